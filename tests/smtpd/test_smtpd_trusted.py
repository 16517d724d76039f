"""Clients that are trusted: XCLIENT, XFORWARD, haproxy, postscreen, sendmail -bs, SASL."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from smtpd_world import Checks, Client, Process, replies, run, talk

from mta.lib.passed_stream import PassedStream
from mta.lib.requests import CleanupMessage, CleanupReply
from mta.lib.xsasl import XSASL_AUTH_DONE, XSASL_AUTH_FAIL, XSASL_AUTH_MORE
from mta.smtpd.server import Server
from mta.smtpd.smtpd import smtpd_service
from mta.system import Unix

US = "198.51.100.7"
MAIL = ("MAIL FROM:<a@b.test>\r\n", "RCPT TO:<u@example.org>\r\n")


def last(process: Process, *chunks: str) -> str:
    return replies(talk(process, *chunks))[-1]


def envelope(process: Process) -> list[str]:
    return [data.decode() for kind, data in process.messages[0].records if kind == "A"]


XCLIENT = [
    ("", "501 5.5.4 Syntax: XCLIENT attribute=value..."),
    ("NAME", "501 5.5.4 Error: attribute=value expected"),
    ("NAME=" + "x" * 256, "501 5.5.4 Error: attribute value too long"),
    ("NAME=-x", "501 5.5.4 Bad NAME syntax: -x"),
    ("ADDR=1.2.3", "501 5.5.4 Bad ADDR syntax: 1.2.3"),
    ("PORT=x", "501 5.5.4 Bad PORT syntax: x"),
    ("PROTO=LMTP", "501 5.5.4 Bad PROTO syntax: LMTP"),
    ("FOO=x", "501 5.5.4 Bad XCLIENT attribute name: FOO"),
    ("NAME=a.test", "220 mx.example.org ESMTP Postfix"),
]


@pytest.mark.parametrize(("words", "reply"), XCLIENT)
def test_xclient_is_checked(words: str, reply: str) -> None:
    process = Process(smtpd_authorized_xclient_hosts=US)
    assert last(process, f"XCLIENT {words}\r\n") == reply


def test_xclient_makes_another_client_of_it() -> None:
    process = Process(smtpd_authorized_xclient_hosts=US)
    talk(
        process,
        "XCLIENT NAME=a.test ADDR=IPv6:2001:db8::9 PORT=99 HELO=h+40x PROTO=ESMTP LOGIN=joe\r\n",
        *MAIL,
        "DATA\r\n",
        ".\r\n",
    )
    assert "Q1: client=a.test[2001:db8::9], sasl_method=XCLIENT, sasl_username=joe" in (
        process.system.lines
    )
    assert "log_client_address=IPv6:2001:db8::9" in envelope(process)
    assert "client_address=2001:db8::9" in envelope(process)
    assert ("N", b"Received: from h?x (a.test [IPv6:2001:db8::9])") in process.messages[0].records
    assert ("N", b"\tby mx.example.org (Postfix) with ESMTPA id Q1") in process.messages[0].records


def test_after_xclient_commands_are_counted_anew() -> None:
    process = Process(smtpd_authorized_xclient_hosts=US)
    talk(process, "NOOP\r\n", "XCLIENT NAME=a.test\r\n", "QUIT\r\n")
    assert process.system.lines[-1] == "disconnect from a.test[198.51.100.7] quit=1 commands=1"


XFORWARD = [
    ("", "501 5.5.4 Syntax: XFORWARD attribute=value..."),
    ("ADDR=2001:db8::1", "501 5.5.4 Bad ADDR syntax: 2001:db8::1"),
    ("SOURCE=x", "501 5.5.4 Bad SOURCE syntax: x"),
    ("LOGIN=x", "501 5.5.4 Bad XFORWARD attribute name: LOGIN"),
    ("NAME=a.test IDENT=1", "250 2.0.0 Ok"),
]


@pytest.mark.parametrize(("words", "reply"), XFORWARD)
def test_xforward_is_checked(words: str, reply: str) -> None:
    process = Process(smtpd_authorized_xforward_hosts=US)
    assert last(process, f"XFORWARD {words}\r\n") == reply


def test_xforward_tells_whose_mail_it_is() -> None:
    process = Process(smtpd_authorized_xforward_hosts=US)
    talk(
        process,
        "EHLO c\r\n",
        "XFORWARD NAME=a.test ADDR=192.0.2.9 PORT=[UNAVAILABLE] IDENT=ABC SOURCE=LOCAL\r\n",
        *MAIL,
    )
    told = envelope(process)
    assert {
        "log_ident=ABC",
        "rewrite_context=local",
        "log_client_name=a.test",
        "log_client_port=unknown",
        "log_message_origin=a.test[192.0.2.9]",
        "log_protocol_name=unknown",
        "client_address=198.51.100.7",
        "helo_name=c",
    } <= set(told)
    assert not [attribute for attribute in told if attribute.startswith("log_helo_name")]
    assert (
        "Q1: client=unknown[198.51.100.7], orig_queue_id=ABC, orig_client=a.test[192.0.2.9]"
        in process.system.lines
    )


HAPROXY = [
    ("PROXY TCP4 203.0.113.5 192.0.2.1 77 25\r\n", "connect from unknown[203.0.113.5]", ""),
    (
        "PROXY TCP6 2001:db8::1 2001:db8::2 77 25\r\n",
        "connect from unknown[unknown]",
        "haproxy read: unsupported protocol type: PROXY TCP6 2001:db8::1 2001:db8::2 77 25",
    ),
    (
        "EHLO x\r\n",
        "connect from unknown[unknown]",
        "haproxy read: unexpected protocol header: EHLO x",
    ),
    (
        "PROXY TCP4 203.0.113.5 192.0.2.1 77 099\r\n",
        "connect from unknown[unknown]",
        "haproxy read: unexpected server port syntax: PROXY TCP4 203.0.113.5 192.0.2.1 77 099",
    ),
    ("x" * 300, "connect from unknown[unknown]", "haproxy read: line > 258 characters"),
    ("", "connect from unknown[unknown]", "haproxy read: unexpected EOF"),
]


@pytest.mark.parametrize(("line", "connect", "warning"), HAPROXY)
def test_an_haproxy_says_who_the_client_is(line: str, connect: str, warning: str) -> None:
    process = Process(smtpd_upstream_proxy_protocol="haproxy")
    talk(process, *([line, "QUIT\r\n"] if line else []))
    assert connect in process.system.lines
    assert (f"warning: {warning}" in process.system.lines) == bool(warning)


def test_postscreen_passes_clients_on() -> None:
    process = Process(smtpd_upstream_proxy_protocol="haproxy")
    client = Client(process.system, "QUIT\r\n")
    passed = PassedStream(client, "203.0.113.5", "99", "192.0.2.25", "25")  # type: ignore[arg-type]
    server = Server(process, Checks())  # type: ignore[arg-type]
    run(smtpd_service(server, client, passed), process.system)  # type: ignore[arg-type]
    assert process.system.lines[:2] == [
        "warning: ignoring non-empty smtpd_upstream_proxy_protocol setting behind postscreen",
        "connect from unknown[203.0.113.5]",
    ]


def test_a_local_program_may_submit_without_checks() -> None:
    process = Process()
    client = Client(
        process.system, "EHLO x\r\n", *MAIL, "DATA\r\n", "Subject: x\r\n.\r\n", "ETRN x.test\r\n"
    )
    client.remote = Unix("")  # type: ignore[assignment]
    checks = Checks(rcpt="550 no", mail="550 no", data="550 no")
    message = CleanupMessage("DROP", 0)

    class Postdrop:
        def __init__(self) -> None:
            self.message = message

        def finish(self) -> Generator[Any, Any, CleanupReply]:
            return CleanupReply(0)
            yield

        def abort(self) -> Generator[Any, Any, None]:
            return
            yield

    def opener(session: Any) -> Generator[Any, Any, Postdrop]:
        return Postdrop()
        yield

    server = Server(process, checks)  # type: ignore[arg-type]
    service = smtpd_service(server, client, stand_alone=opener)  # type: ignore[arg-type]
    run(service, process.system)
    assert [kind for kind, _ in message.records][:4] == ["S", "A", "R", "M"]
    heard = replies(client)
    assert "250 2.0.0 Ok: queued as DROP" in heard
    assert heard[-1] == "458 Unable to queue messages"
    assert process.system.lines[0] == "connect from localhost[127.0.0.1]"


# -- SASL -----------------------------------------------------------------------------------------


def dovecot(process: Process, *chunks: str) -> Client:
    """A Dovecot auth server with a script."""
    greeting = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tCRAM-MD5\tactive\nSPID\t1\nDONE\n"
    server = Client(process.system, greeting, *chunks)
    server.read_line = lambda limit, timeout: _line(server)  # type: ignore[attr-defined]
    process.system.network.servers["/var/spool/postfix/private/auth",] = server
    return server


def _line(server: Client) -> bytes:
    text = server.chunks.pop(0) if server.chunks else ""
    assert isinstance(text, str)
    first, newline, rest = text.partition("\n")
    if rest:
        server.chunks.insert(0, rest)
    return (first + newline).encode()


SASL = {
    "smtpd_sasl_auth_enable": "yes",
    "smtpd_sasl_type": "dovecot",
    "smtpd_sasl_path": "private/auth",
    "broken_sasl_auth_clients": "yes",
}


def test_ehlo_lists_the_mechanisms_that_are_allowed() -> None:
    process = Process(**SASL, smtpd_sasl_security_options="noplaintext")
    dovecot(process)
    lines = replies(talk(process, "EHLO c\r\n"))
    assert "250-AUTH CRAM-MD5" in lines
    assert "250-AUTH=CRAM-MD5" in lines


def test_a_client_logs_in_with_an_initial_response() -> None:
    process = Process(**SASL, smtpd_sasl_authenticated_header="yes")
    server = dovecot(process, "OK\t1\tuser=joe\n")
    client = talk(
        process, "EHLO c\r\n", "AUTH PLAIN AGpvZQBw\r\n", *MAIL, "DATA\r\n", ".\r\n", "AUTH X\r\n"
    )
    assert "235 2.7.0 Authentication successful" in replies(client)
    assert replies(client)[-1] == "503 5.5.1 Error: already authenticated"
    assert b"AUTH\t1\tPLAIN\tservice=smtp\tnologin\tlip=192.0.2.25\trip=198.51.100.7" in (
        server.heard
    )
    assert server.heard.endswith(b"\tresp=AGpvZQBw\n")
    records = process.messages[0].records
    assert ("N", b"\t(Authenticated sender: joe)") in records
    assert ("A", b"sasl_username=joe") in records


def test_a_challenge_is_answered_or_not() -> None:
    process = Process(**SASL)
    dovecot(process, "CONT\t1\tPDEyMz4=\n", "FAIL\t1\tuser=joe\treason=go away\n")
    client = talk(process, "AUTH CRAM-MD5\r\n", "am9l\r\n", "AUTH NOPE\r\n")
    assert replies(client) == [
        "334 PDEyMz4=",
        "535 5.7.8 Error: authentication failed: go away",
        "535 5.7.8 Error: authentication failed: Invalid authentication mechanism",
    ]
    assert (
        "warning: unknown[198.51.100.7]: SASL CRAM-MD5 authentication failed: go away"
        in process.system.lines
    )


def test_a_client_may_give_up() -> None:
    process = Process(**SASL)
    dovecot(process, "CONT\t1\t\n")
    client = talk(process, "AUTH PLAIN\r\n", "*\r\n")
    assert replies(client) == ["334 ", "501 5.7.0 Authentication aborted"]


def test_without_an_auth_server_the_process_dies() -> None:
    process = Process(**SASL)
    talk(process, "EHLO c\r\n")
    assert process.system.lines[-2:] == [
        "warning: SASL: Connect to private/auth failed: Connection refused",
        "fatal: no SASL authentication mechanisms",
    ]


def test_states_of_an_authentication_are_told_apart() -> None:
    assert len({XSASL_AUTH_DONE, XSASL_AUTH_FAIL, XSASL_AUTH_MORE}) == 3
