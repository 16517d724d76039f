"""Scripted SMTP servers and clients, each against the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from mta.system import Gone, Inet, Stream, Unix, Wait
from sim.peers.smtp_client import (
    Content,
    HangUp,
    Pause,
    Pipeline,
    Raw,
    Say,
    SmtpClient,
    SmtpClientSpec,
    StartTls,
    parse_step,
    parse_steps,
    target_address,
)
from sim.peers.smtp_server import (
    PeerRecord,
    ReplyRule,
    SmtpServer,
    SmtpServerSpec,
    address_of,
)
from sim.peers.tls import TlsMissing, TlsSpec
from sim.peers.transcript import Transcript
from sim.world import World, WorldError

HERE, THERE = "198.51.100.7", "203.0.113.10"


@dataclass
class Seen:
    """What came of a conversation."""

    client: Transcript
    server: Transcript
    record: PeerRecord
    seconds: float
    the_server: SmtpServer


def talk(
    steps: Sequence[Any],
    *rules: ReplyRule,
    wrap: Any = None,
    tls: TlsSpec | None = None,
    client_tls: TlsSpec | None = None,
    **spec: Any,
) -> Seen:
    """Lets a client with these steps talk to a server with these rules."""
    world = World()
    record = PeerRecord()
    there = world.machine("mx.dest.test", [THERE])
    server = SmtpServer(
        SmtpServerSpec("mx.dest.test", THERE, replies=rules, tls=tls, **spec), there, record, wrap
    )
    server.start()
    client = SmtpClient(
        SmtpClientSpec(HERE, parse_steps(steps), tls=client_tls),
        world.machine("client.test", [HERE]),
        Inet(THERE, 25),
        "mx.dest.test",
        wrap,
    )
    task = world.start_task(client.run(), "client")
    begin = world.now
    assert world.settle(3600), world.under_way()
    assert task.value is client.transcript
    seen = record.sessions[0].transcript if record.sessions else []
    return Seen(client.transcript, seen, record, (world.now - begin) / 1e6, server)


EHLO = [
    "S: 250-mx.dest.test", "S: 250-PIPELINING", "S: 250-8BITMIME", "S: 250-SIZE 10240000",
    "S: 250-ENHANCEDSTATUSCODES", "S: 250 DSN",
]  # fmt: skip
MAIL, RCPT = "MAIL FROM:<a@c.test> SIZE=1", "RCPT TO:<b@dest.test>"
MESSAGE = "Subject: x\n\n.dot\nend\n.\n"


def test_a_polite_conversation_delivers_a_message() -> None:
    seen = talk(["EHLO c.test", MAIL, RCPT, "DATA", MESSAGE, "QUIT"])
    assert seen.server == [
        "* connected", "S: 220 mx.dest.test ESMTP", "C: EHLO c.test", *EHLO, f"C: {MAIL}",
        "S: 250 2.1.0 Ok", f"C: {RCPT}", "S: 250 2.1.5 Ok", "C: DATA",
        "S: 354 End data with <CR><LF>.<CR><LF>", "C: <4 lines>", "S: 250 2.0.0 Ok", "C: QUIT",
        "S: 221 2.0.0 Bye", "* closed by server",
    ]  # fmt: skip
    assert seen.client == seen.server
    (delivery,) = seen.record.delivered
    assert delivery.where == "peer mx.dest.test"
    assert delivery.sender == "a@c.test"
    assert delivery.recipients == ["b@dest.test"]
    assert delivery.message == "Subject: x\n\n.dot\nend\n"
    assert seen.seconds < 0.1


def test_a_pipeline_shows_all_its_commands_first_on_the_side_of_the_client() -> None:
    seen = talk([{"pipeline": [MAIL, RCPT, "DATA"]}, MESSAGE, "hangup"])
    assert seen.client[2:8] == [
        f"C: {MAIL}", f"C: {RCPT}", "C: DATA", "S: 250 2.1.0 Ok", "S: 250 2.1.5 Ok",
        "S: 354 End data with <CR><LF>.<CR><LF>",
    ]  # fmt: skip
    assert seen.server[2:6] == [f"C: {MAIL}", "S: 250 2.1.0 Ok", f"C: {RCPT}", "S: 250 2.1.5 Ok"]
    assert seen.client[-1] == seen.server[-1] == "* closed by client"


def test_content_within_a_pipeline_is_sent_whatever_the_replies() -> None:
    seen = talk([{"pipeline": [MAIL, RCPT, "DATA", MESSAGE, "QUIT"]}])
    assert seen.client[2:7] == [f"C: {MAIL}", f"C: {RCPT}", "C: DATA", "C: <4 lines>", "C: QUIT"]
    assert len(seen.record.delivered) == 1


def test_content_is_skipped_when_the_last_reply_was_not_354() -> None:
    seen = talk([MAIL, "DATA", MESSAGE, "QUIT"])
    assert seen.client[4:] == [
        "C: DATA", "S: 554 5.5.1 Error: no valid recipients", "C: QUIT", "S: 221 2.0.0 Bye",
        "* closed by server",
    ]  # fmt: skip


REPLIES = [
    ("HELO c.test", "250 mx.dest.test"),
    ("NOOP", "250 2.0.0 Ok"),
    ("VRFY b", "252 2.0.0 Ok"),
    ("AUTH PLAIN x", "235 2.7.0 Authentication successful"),
    ("STARTTLS", "502 5.5.1 Error: command not implemented"),
    ("RCPT TO:<b@dest.test>", "503 5.5.1 Error: need MAIL command"),
    ("DATA", "503 5.5.1 Error: need RCPT command"),
    ("anything else", "250 2.0.0 Ok"),
    ("mail from:<>", "250 2.1.0 Ok"),
    ("", "250 2.0.0 Ok"),
]


@pytest.mark.parametrize(("command", "reply"), REPLIES)
def test_a_command_gets_its_default_reply(command: str, reply: str) -> None:
    assert talk([command]).server[2:4] == [f"C: {command}", f"S: {reply}"]


def test_rset_and_ehlo_forget_the_transaction() -> None:
    for command in ("RSET", "EHLO x", "HELO x", "LHLO x"):
        assert "S: 503 5.5.1 Error: need MAIL command" in talk([MAIL, command, RCPT]).server


def test_the_first_rule_that_matches_wins_and_counts_over_all() -> None:
    seen = talk(
        [MAIL, RCPT, RCPT, "RCPT TO:<x@dest.test>", "DATA", MESSAGE],
        ReplyRule("rcpt to:<B@", "450 4.2.1 busy\n450 4.2.1 really".replace("450 ", "450-", 1),
                  times=1),
        ReplyRule("RCPT TO:<x", "550 5.1.1 no x"),
        ReplyRule("RCPT", "251 2.1.5 will forward"),
        ReplyRule(".", "250 2.0.0 queued"),
        ReplyRule("EHLO", "500 never"),
    )  # fmt: skip
    assert [line for line in seen.server if line[:4] in ("S: 4", "S: 5", "S: 2")] == [
        "S: 220 mx.dest.test ESMTP", "S: 250 2.1.0 Ok", "S: 450-4.2.1 busy",
        "S: 450 4.2.1 really", "S: 251 2.1.5 will forward", "S: 550 5.1.1 no x",
        "S: 250 2.0.0 queued",
    ]  # fmt: skip
    assert seen.record.delivered[0].recipients == ["b@dest.test"]
    assert [rule.on for rule in seen.the_server.unused_rules()] == ["EHLO"]


def test_a_rule_that_accepts_what_is_out_of_order_is_believed() -> None:
    seen = talk([RCPT, "DATA", ".\n"], ReplyRule("RCPT", "250 yes"), ReplyRule("DATA", "354 go"))
    assert seen.record.delivered[0].sender is None
    assert seen.record.delivered[0].message == ""


def test_a_message_that_is_refused_is_not_delivered() -> None:
    seen = talk([MAIL, RCPT, "DATA", MESSAGE], ReplyRule(".", "554 5.6.0 virus"))
    assert seen.record.delivered == []
    assert seen.client[-2:] == ["S: 554 5.6.0 virus", "* closed by client"]


def test_the_server_may_close_after_a_reply_or_without_one() -> None:
    seen = talk(["NOOP", "NOOP"], ReplyRule("NOOP", "421 4.3.2 down", then="close"))
    assert seen.server[2:] == ["C: NOOP", "S: 421 4.3.2 down", "* closed by server"]
    assert seen.client[2:] == ["C: NOOP", "S: 421 4.3.2 down", "C: NOOP", "* closed by server"]
    seen = talk(["NOOP"], ReplyRule("connect", do="close"))
    assert seen.server == seen.client == ["* connected", "* closed by server"]


def test_pipelined_commands_after_the_end_do_no_harm() -> None:
    seen = talk([{"pipeline": [MAIL, RCPT, "DATA"]}], ReplyRule("MAIL", "421 bye", then="close"))
    assert seen.client[5:] == ["S: 421 bye", "* closed by server"]
    assert seen.server[2:] == [f"C: {MAIL}", "S: 421 bye", "* closed by server"]


def test_a_silent_server_says_no_word_and_the_client_gives_up() -> None:
    seen = talk(["NOOP"], ReplyRule("connect", do="silent"))
    assert seen.client == ["* connected", "* no reply", "* closed by client"]
    assert seen.server == ["* connected", "* closed by client"]
    assert seen.seconds == pytest.approx(50, abs=1)


def test_a_server_may_break_the_connection() -> None:
    seen = talk(["NOOP"], ReplyRule("NOOP", do="reset"))
    assert seen.client[-2:] == ["C: NOOP", "* closed by server"]


def test_a_slow_server_is_waited_for() -> None:
    seen = talk(["NOOP", "QUIT"], ReplyRule("NOOP", "250 slowly", delay=30))
    assert "S: 250 slowly" in seen.client
    assert seen.seconds == pytest.approx(30, abs=0.1)


def test_a_reply_may_be_any_bytes() -> None:
    seen = talk(["NOOP", "NOOP"], ReplyRule("NOOP", raw=b"250-\xff\n250 ok\r\n", times=1))
    assert seen.client[3:5] == ["S: 250-\udcff", "S: 250 ok"]


def test_a_client_that_leaves_in_a_line_leaves_no_line() -> None:
    seen = talk([MAIL, RCPT, "DATA", {"raw": "Subject: cut\r\n\r\nhal"}])
    assert seen.server[-2:] == ["S: 354 End data with <CR><LF>.<CR><LF>", "* closed by client"]
    assert seen.client[-5:-1] == [
        "S: 354 End data with <CR><LF>.<CR><LF>", "C: Subject: cut", "C: ", "C: hal"
    ]  # fmt: skip
    assert seen.record.delivered == []


def test_raw_bytes_are_followed_by_whatever_comes_in_half_a_second() -> None:
    seen = talk([{"raw": "NOOP\r\nNOO"}, {"raw": "P\r\n"}], ReplyRule("connect", delay=1))
    assert seen.client[1:] == [
        "S: 220 mx.dest.test ESMTP", "C: NOOP", "C: NOO", "S: 250 2.0.0 Ok", "C: P",
        "S: 250 2.0.0 Ok", "* closed by client",
    ]  # fmt: skip
    assert seen.seconds == pytest.approx(2, abs=0.1)


def test_a_pause_lasts_as_long_as_it_says_and_notes_what_comes() -> None:
    rule = ReplyRule("NOOP", "250 late", delay=3)
    seen = talk([{"raw": "NOOP\r\n"}, {"wait": 10}, "QUIT"], rule)
    assert seen.client[2:5] == ["C: NOOP", "S: 250 late", "C: QUIT"]
    assert seen.seconds == pytest.approx(10.5, abs=0.1)


def test_a_server_that_stays_after_quit_is_left() -> None:
    seen = talk(["QUIT"], ReplyRule("QUIT", delay=60))
    assert seen.client[2:] == ["C: QUIT", "* no reply", "* closed by client"]
    seen = talk(["QUIT", "NOOP"], ReplyRule("QUIT", raw=b"221 bye\r\nand more\r\n"))
    assert seen.client[2:] == ["C: QUIT", "S: 221 bye", "* closed by server"]


def test_an_lmtp_server_answers_for_each_recipient() -> None:
    other = "RCPT TO:<c@dest.test>"
    seen = talk(
        ["LHLO c.test", MAIL, RCPT, other, "DATA", MESSAGE, {"wait": 1}],
        ReplyRule(".", "452 4.2.2 full", times=1),
    )
    assert seen.server[-4:] == [
        "C: <4 lines>", "S: 452 4.2.2 full", "S: 250 2.0.0 Ok", "* closed by client"
    ]  # fmt: skip
    assert seen.record.delivered[0].recipients == ["c@dest.test"]


def test_an_lmtp_server_may_close_between_the_recipients() -> None:
    rule = ReplyRule(".", "250 2.1.5 stored one", then="close", times=1)
    seen = talk(["LHLO c.test", MAIL, RCPT, RCPT, "DATA", MESSAGE], rule)
    assert seen.server[-2:] == ["S: 250 2.1.5 stored one", "* closed by server"]
    assert seen.record.delivered[0].recipients == ["b@dest.test"]


def test_nobody_is_at_home() -> None:
    assert talk(["NOOP"], state="refuse").client == ["* refused"]


def test_nobody_answers() -> None:
    world = World()
    client = SmtpClient(
        SmtpClientSpec(HERE, (Say("NOOP"),)), world.machine("c", [HERE]), Inet("192.0.2.99", 25)
    )
    world.start_task(client.run(), "client")
    begin = world.now
    assert world.settle()
    assert client.transcript == ["* refused"]
    assert world.now - begin == 10_000_000


def test_a_client_without_a_target_is_refused() -> None:
    world = World()
    client = SmtpClient(SmtpClientSpec(HERE, ()), world.machine("c", [HERE]), None)
    world.start_task(client.run(), "client")
    assert world.settle()
    assert client.transcript == ["* refused"]


def test_a_server_may_listen_on_a_local_socket_and_stop() -> None:
    world = World()
    machine = world.machine("mx.example.org", ["192.0.2.25"])
    where = Unix("/var/spool/postfix/public/lmtp")
    server = SmtpServer(SmtpServerSpec("lmtp", "", endpoint=where), machine, PeerRecord())
    got: list[bytes] = []

    def caller() -> Wait[None]:
        stream: Stream = yield machine.network.connect(where, 5)
        got.append((yield stream.read_line(100, 5)))
        stream.close()

    server.start()
    world.start_task(caller(), "caller")
    assert world.settle()
    assert got == [b"220 lmtp ESMTP\r\n"]
    server.stop()
    world.start_task(caller(), "caller")
    with pytest.raises(WorldError, match="Connection refused"):
        world.settle()


# --- TLS ------------------------------------------------------------------------------------------


class FakeTls:
    """A TLS engine whose encryption is none; it tells whom it was asked for."""

    def __init__(self, version: str | None = "TLSv1.3") -> None:
        self.version = version
        self.asked: list[tuple[bool, str, str]] = []

    def __call__(
        self, stream: Stream, spec: TlsSpec, server: bool, name: str, server_name: str
    ) -> Wait[tuple[Stream, str] | None]:
        self.asked.append((server, name, server_name))
        yield from ()
        return None if self.version is None else (stream, self.version)


def test_starttls_is_offered_until_it_is_done() -> None:
    engine = FakeTls()
    steps = ["EHLO c.test", MAIL, "starttls", "EHLO c.test", RCPT, "QUIT"]
    seen = talk(steps, wrap=engine, tls=TlsSpec())
    assert seen.client.count("S: 250 STARTTLS") == 1
    assert seen.client.count("S: 250 DSN") == 1
    at = seen.client.index("C: STARTTLS")
    assert seen.client[at + 1 : at + 3] == ["S: 220 2.0.0 Ready to start TLS", "* tls TLSv1.3"]
    assert "S: 503 5.5.1 Error: need MAIL command" in seen.client
    assert sorted(engine.asked) == [(False, "client.test", "mx.dest.test"),
                                    (True, "mx.dest.test", "")]  # fmt: skip
    assert seen.client == seen.server


def test_tls_from_the_first_byte() -> None:
    tls = TlsSpec(wrapper=True)
    seen = talk(["QUIT"], wrap=FakeTls("TLSv1.2"), tls=tls, client_tls=tls)
    assert seen.client[:3] == ["* connected", "* tls TLSv1.2", "S: 220 mx.dest.test ESMTP"]
    assert seen.client == seen.server


def test_a_handshake_that_fails_ends_the_session() -> None:
    seen = talk(["starttls", "NOOP"], wrap=FakeTls(None), tls=TlsSpec())
    assert seen.server[-2:] == ["* tls failed", "* closed by client"]
    assert seen.client[-2:] == ["* tls failed", "* closed by server"]


@pytest.mark.parametrize(
    ("fault", "server"),
    [
        ("refuse", ["S: 454 4.7.0 TLS not available due to local problem"]),
        ("close-after-starttls", ["S: 220 2.0.0 Ready to start TLS", "* closed by server"]),
        ("close-in-handshake", ["S: 220 2.0.0 Ready to start TLS", "* closed by server"]),
        ("garbage", ["S: 220 2.0.0 Ready to start TLS", "* closed by server"]),
        ("close-after-handshake",
         ["S: 220 2.0.0 Ready to start TLS", "* tls TLSv1.3", "* closed by server"]),
    ],
)  # fmt: skip
def test_a_server_may_fail_at_tls(fault: Any, server: list[str]) -> None:
    steps: list[Any] = [{"raw": "STARTTLS\r\n"}, {"raw": "\x16\x03\x01 hello"}]
    seen = talk(steps, wrap=FakeTls(), tls=TlsSpec(fault=fault))
    assert seen.server[3 : 3 + len(server)] == server
    garbage = "S: this is not TLS at all, not even close to it"
    assert seen.client.count(garbage) == (2 if fault == "garbage" else 0)


def test_a_world_without_tls_says_so_when_it_is_needed() -> None:
    assert "S: 250 STARTTLS" in talk(["EHLO x"], tls=TlsSpec()).client
    with pytest.raises(WorldError) as caught:
        talk(["starttls"], tls=TlsSpec())
    assert isinstance(caught.value.__cause__, TlsMissing)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: TlsSpec(cert="vaild"), "'valid'"),  # type: ignore[arg-type]
        (lambda: TlsSpec(min="TLSv1.4"), "'TLSv1"),  # type: ignore[arg-type]
        (lambda: TlsSpec(fault="rubbish"), "fault"),  # type: ignore[arg-type]
        (lambda: ReplyRule("x", do="clsoe"), "'close'"),  # type: ignore[arg-type]
        (lambda: ReplyRule("x", then="quit"), "'close'"),  # type: ignore[arg-type]
        (lambda: SmtpServerSpec("a", "b", state="gone"), "state"),  # type: ignore[arg-type]
        (lambda: parse_step({"pipelined": []}), "pipeline"),
        (lambda: parse_step({"raw": "", "wait": 1}), "one key"),
    ],
)
def test_a_word_that_does_not_exist_names_those_that_do(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()


STEPS = [
    ("EHLO x", Say("EHLO x")),
    ("hangup", HangUp()),
    ("starttls", StartTls()),
    ("STARTTLS", Say("STARTTLS")),
    (".", Content("")),
    ("a\n.\n", Content("a\n")),
    ("a\n.\n\n", Content("a\n")),
    ("a\r\n.\r\n", Content("a\r\n")),
    ("a\n. \n", Say("a\n. \n")),
    ({"wait": "2"}, Pause(2.0)),
    ({"raw": "x\r\n"}, Raw("x\r\n")),
    ({"pipeline": ["DATA", "a\n.\n"]}, Pipeline((Say("DATA"), Content("a\n")))),
]


@pytest.mark.parametrize(("text", "step"), STEPS)
def test_steps_are_read_from_scenario_files(text: Any, step: Any) -> None:
    assert parse_step(text) == step


ADDRESSES = [
    ("MAIL FROM:<a@b> SIZE=1", "a@b"),
    ("MAIL FROM:<>", ""),
    ("MAIL FROM: <a@b>", "a@b"),
    ("RCPT TO:a@b NOTIFY=NEVER", "a@b"),
    ("RCPT TO:<@x:a@b>", "@x:a@b"),
    ("RCPT TO:<a>b>", "a"),
    ("RCPT TO:<a@b", "a@b"),
    ("RCPT", ""),
]


@pytest.mark.parametrize(("line", "address"), ADDRESSES)
def test_addresses_are_taken_out_of_commands(line: str, address: str) -> None:
    assert address_of(line) == address


TARGETS = [
    ("198.51.100.7", "192.0.2.25"),
    ("127.0.0.2", "127.0.0.1"),
    ("::1", "::1"),
    ("2001:db8::7", "2001:db8::25"),
    ("192.0.2.25", "192.0.2.25"),
]


@pytest.mark.parametrize(("source", "target"), TARGETS)
def test_a_client_talks_to_an_address_of_its_family(source: str, target: str) -> None:
    assert target_address(source, ["192.0.2.25", "2001:db8::25"]) == target
    assert target_address("2001:db8::7", ["192.0.2.25"]) is None


def test_a_server_that_has_closed_still_takes_what_comes_for_a_while() -> None:
    world = World()
    server = SmtpServer(
        SmtpServerSpec("mx", THERE, replies=[ReplyRule("connect", "421 no", then="close")]),
        world.machine("mx", [THERE]),
        PeerRecord(),
    )
    server.start()
    machine = world.machine("client", [HERE])
    seen: list[bytes | str] = []

    def caller() -> Wait[None]:
        stream: Stream = yield machine.network.connect(Inet(THERE, 25), 5)
        for pause in (0.5, 0.5, 2.5, 0.5):
            yield machine.sleep(pause)
            try:
                stream.write(b"x" * 1000)
                yield stream.flush(5)
                seen.append("sent")
            except Gone:
                seen.append("gone")
        seen.append((yield stream.read_line(100, 5)))
        stream.close()

    world.start_task(caller(), "caller")
    assert world.settle(60)
    assert seen == ["sent", "sent", "sent", "gone", b"421 no\r\n"]
