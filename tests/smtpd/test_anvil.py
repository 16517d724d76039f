"""anvil counts connections and events, and smtpd refuses those who have too many."""

from __future__ import annotations

import pytest
from smtpd_world import Process, replies, run, talk

from mta.daemons.anvil import Anvil
from mta.lib.requests import AnvilReply, AnvilRequest
from mta.system import Gone, Wait

CLIENT = "smtp:198.51.100.7"


def counter(**settings: str) -> tuple[Anvil, Process]:
    process = Process("anvil", **settings)
    return Anvil(process), process  # type: ignore[arg-type]


def ask(anvil: Anvil, kind: str, ident: str = CLIENT) -> AnvilReply:
    reply: AnvilReply = run(anvil.serve(AnvilRequest(kind, ident)))
    return reply


def test_connections_and_their_rate_are_counted_per_client() -> None:
    anvil, _ = counter()
    assert ask(anvil, "connect") == AnvilReply(1, 1)
    assert ask(anvil, "connect") == AnvilReply(2, 2)
    ask(anvil, "disconnect")
    assert ask(anvil, "connect") == AnvilReply(2, 3)
    assert ask(anvil, "connect", "smtp:203.0.113.9") == AnvilReply(1, 1)


@pytest.mark.parametrize(
    ("kind", "counts"), [("message", (3, 0, 0)), ("recipient", (0, 3, 0)), ("newtls", (0, 0, 3))]
)
def test_events_are_counted_by_kind(kind: str, counts: tuple[int, int, int]) -> None:
    anvil, _ = counter()
    ask(anvil, "connect")
    assert [ask(anvil, kind).rate for _ in range(3)] == [1, 2, 3]
    known = ask(anvil, "lookup")
    assert (known.messages, known.recipients, known.newtls) == counts


def test_rates_start_again_after_the_time_unit() -> None:
    anvil, process = counter(anvil_rate_time_unit="60s")
    ask(anvil, "connect")
    ask(anvil, "message")
    process.system.clock += 60_000_000
    assert ask(anvil, "message").rate == 2
    process.system.clock += 1_000_000
    assert ask(anvil, "message").rate == 1
    assert ask(anvil, "lookup").count == 1


def test_stale_rates_are_not_reported() -> None:
    anvil, process = counter()
    ask(anvil, "connect")
    ask(anvil, "newtls")
    assert ask(anvil, "newtls_status").rate == 1
    process.system.clock += 61_000_000
    assert ask(anvil, "newtls_status").rate == 0


def test_a_client_without_connections_is_forgotten_later() -> None:
    anvil, process = counter()
    ask(anvil, "connect")
    ask(anvil, "disconnect")
    timer = process.system.timers[-1]
    ask(anvil, "connect")
    assert timer.cancelled
    ask(anvil, "disconnect")
    process.system.timers[-1].action()
    assert anvil.remotes == {}


def test_peaks_are_logged_when_the_process_ends() -> None:
    anvil, process = counter()
    for _ in range(2):
        ask(anvil, "connect")
    ask(anvil, "recipient")
    anvil.retire()
    when = "at Jan  1 00:00:00"
    assert process.system.lines == [
        f"statistics: max connection rate 2/60s for ({CLIENT}) {when}",
        f"statistics: max connection count 2 for ({CLIENT}) {when}",
        f"statistics: max recipient rate 1/60s for ({CLIENT}) {when}",
        f"statistics: max cache size 1 {when}",
    ]


def test_what_is_no_request_is_warned_of() -> None:
    anvil, process = counter()
    assert run(anvil.serve(AnvilRequest("dance", CLIENT))) is None
    assert process.system.lines == ['warning: unrecognized request: "dance", ignored']


SESSION = ("EHLO c\r\n", "MAIL FROM:<a@b.test>\r\n", "RCPT TO:<u@example.org>\r\n", "QUIT\r\n")
LIMITS = [
    (
        "smtpd_client_connection_rate_limit",
        "421 4.7.0 mx.example.org Error: too many connections from 198.51.100.7",
        "warning: Connection rate limit exceeded: 2 from unknown[198.51.100.7] for service smtp",
    ),
    (
        "smtpd_client_message_rate_limit",
        "450 4.7.1 Error: too much mail from 198.51.100.7",
        "warning: Message delivery request rate limit exceeded: 2 from unknown[198.51.100.7] "
        "for service smtp",
    ),
    (
        "smtpd_client_recipient_rate_limit",
        "450 4.7.1 Error: too many recipients from 198.51.100.7",
        "warning: Recipient address rate limit exceeded: 2 from unknown[198.51.100.7] "
        "for service smtp",
    ),
]


@pytest.mark.parametrize(("parameter", "reply", "line"), LIMITS)
def test_smtpd_refuses_a_client_that_exceeds_a_rate(parameter: str, reply: str, line: str) -> None:
    process = Process(**{parameter: "1"}, smtpd_client_event_limit_exceptions="")
    process.anvil = counter()[0]
    assert reply not in talk(process, *SESSION).heard.decode()
    assert reply in talk(process, *SESSION).heard.decode()
    assert line in process.system.lines


def test_exceptions_are_not_counted() -> None:
    process = Process(
        smtpd_client_connection_rate_limit="1",
        smtpd_client_event_limit_exceptions="198.51.100.0/24",
    )
    process.anvil = counter()[0]
    for _ in range(3):
        assert replies(talk(process, "QUIT\r\n")) == ["221 2.0.0 Bye"]


def test_too_many_connections_at_once_are_refused() -> None:
    process = Process(
        smtpd_client_connection_count_limit="1", smtpd_client_event_limit_exceptions=""
    )
    process.anvil = counter()[0]
    ask(process.anvil, "connect")
    client = talk(process, "QUIT\r\n")
    assert client.heard.startswith(b"421 4.7.0 mx.example.org Error: too many connections")
    assert process.system.lines[-1] == "disconnect from unknown[198.51.100.7] commands=0/0"
    assert ask(process.anvil, "lookup").count == 1


class Broken:
    """An anvil(8) that dies over every request."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def serve(self, request: object) -> Wait[None]:
        """Dies."""
        raise Gone(self.reason)
        yield


@pytest.mark.parametrize(
    ("reason", "warnings"),
    [
        ("Connection reset by peer", ["problem talking to server private/anvil: {}"]),
        ("Connection refused",
         ["connect to private/anvil: {}", "problem talking to server private/anvil: {}"] * 2),
        ("No such file or directory",
         ["connect to private/anvil: {}", "connect to private/anvil: {}",
          "problem talking to server private/anvil: {}"]),
    ],
)  # fmt: skip
def test_a_session_without_anvil_goes_on(reason: str, warnings: list[str]) -> None:
    process = Process()
    process.anvil = Broken(reason)
    assert replies(talk(process, "QUIT\r\n")) == ["221 2.0.0 Bye"]
    said = [line for line in process.system.lines if "anvil" in line]
    expected = [f"warning: {line.format(reason)}" for line in warnings]
    assert said[: len(expected)] == expected  # at the start, and again at the end
