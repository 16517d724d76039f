"""The before-queue filter gets what the client said, and its word is the client's reply."""

from __future__ import annotations

import pytest
from smtpd_world import Client, Process, replies, talk

EHLO = "250-filter\r\n250 XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT\r\n"
OK = "250 2.0.0 Ok\r\n"
SESSION = (
    "EHLO client.test\r\n",
    "MAIL FROM:<a@b.test> BODY=8BITMIME\r\n",
    "rcpt to:<u@example.org> NOTIFY=NEVER\r\n",
    "DATA\r\n",
    "Subject: x\r\n\r\n..dot\r\n.\r\n",
    "QUIT\r\n",
)
WIRE = (
    "EHLO mx.example.org\r\n"
    "XFORWARD NAME=[UNAVAILABLE] ADDR=198.51.100.7 PORT=40000 HELO=client.test"
    " IDENT=[UNAVAILABLE] PROTO=ESMTP SOURCE=REMOTE\r\n"
    "MAIL FROM:<a@b.test> BODY=8BITMIME\r\n"
    "rcpt to:<u@example.org> NOTIFY=NEVER\r\n"
    "DATA\r\n"
    "Received: from client.test (unknown [198.51.100.7])\r\n"
    "\tby mx.example.org (Postfix) with ESMTP\r\n"
    "\tfor <u@example.org>; Thu,  1 Jan 2015 00:00:00 +0000 (UTC)\r\n"
    "Subject: x\r\n\r\n..dot\r\n.\r\n"
    "QUIT\r\n"
)


def proxied(*script: str | Exception, **settings: str) -> tuple[Process, Client]:
    """A process and its filter, which says one chunk for each line that it is asked for."""
    process = Process(smtpd_proxy_filter="127.0.0.1:10026", **settings)
    server = Client(process.system, *script)
    process.system.network.servers["127.0.0.1", 10026] = server
    return process, server


@pytest.mark.parametrize("options", ["", "speed_adjust"])
def test_a_session_passes_through_the_filter(options: str) -> None:
    process, server = proxied(
        "220 hi\r\n", EHLO, OK, OK, OK, "354 go\r\n", "250 2.0.0 taken\r\n",
        smtpd_proxy_options=options,
    )  # fmt: skip
    client = talk(process, *SESSION)
    assert server.heard.decode() == WIRE
    assert replies(client)[-2] == "250 2.0.0 taken"
    assert (
        "proxy-accept: END-OF-MESSAGE: 250 2.0.0 taken; "
        "from=<a@b.test> to=<u@example.org> proto=ESMTP helo=<client.test>" in process.system.lines
    )
    assert "NOQUEUE: client=unknown[198.51.100.7]" in process.system.lines
    assert process.messages == []


def test_the_last_attribute_of_a_line_that_is_not_the_last_is_not_seen() -> None:
    process, server = proxied(
        "220 hi\r\n", "250-filter\r\n250-XFORWARD NAME ADDR PROTO\r\n250 DSN\r\n", OK, OK, OK,
        "354 go\r\n", OK,
    )  # fmt: skip
    talk(process, *SESSION)
    assert server.heard.split(b"\r\n")[1] == b"XFORWARD NAME=[UNAVAILABLE] ADDR=198.51.100.7"


BROKEN = "451 4.3.0 Error: queue file write error"
TROUBLES: list[tuple[list[str | Exception], str, str]] = [
    (
        ["421 busy\r\n"],
        BROKEN,
        'proxy 127.0.0.1:10026 rejected "connection request": "421 busy"',
    ),
    (
        ["220 hi\r\n", "502 what\r\n"],
        BROKEN,
        'proxy 127.0.0.1:10026 rejected "EHLO mx.example.org": "502 what"',
    ),
    (
        ["220 hi\r\n", "250 x\r\n", "550-no\r\n550 really\r\n"],
        "550 really",
        'proxy 127.0.0.1:10026 rejected "MAIL FROM:<a@b.test> BODY=8BITMIME": "550-no??550 really"',
    ),
    (
        ["220 hi\r\n", "250 x\r\n", OK, "354 huh\r\n"],
        BROKEN,
        'proxy 127.0.0.1:10026 rejected "rcpt to:<u@example.org> NOTIFY=NEVER": "354 huh"',
    ),
    (
        ["220 hi\r\n", "250 x\r\n", OK, "450 4.2.0 wait\r\n"],
        "450 4.2.0 wait",
        'proxy 127.0.0.1:10026 rejected "rcpt to:<u@example.org> NOTIFY=NEVER": "450 4.2.0 wait"',
    ),
    ([""], BROKEN, "lost connection with proxy 127.0.0.1:10026"),
    (["220 hi\r\n", "250 x\r\n", ""], BROKEN, "lost connection with proxy 127.0.0.1:10026"),
    (
        ["what\r\n220 hi\r\n"],
        BROKEN,
        "received garbage from proxy 127.0.0.1:10026: what",
    ),
]


@pytest.mark.parametrize(("script", "reply", "warning"), TROUBLES)
def test_trouble_with_the_filter_is_told_with_care(
    script: list[str | Exception], reply: str, warning: str
) -> None:
    process, _ = proxied(*script)
    client = talk(process, *SESSION[:3], "RSET\r\n")
    assert replies(client)[-2] == reply
    assert f"warning: {warning}" in process.system.lines


def test_a_filter_that_is_not_there_is_a_temporary_error() -> None:
    process = Process(smtpd_proxy_filter="[127.0.0.1]:10026")
    client = talk(process, *SESSION[:3])
    assert replies(client)[-1] == BROKEN
    assert (
        "warning: connect to proxy filter [127.0.0.1]:10026: Connection refused"
        in process.system.lines
    )


def test_the_filter_may_refuse_the_content() -> None:
    process, _ = proxied("220 hi\r\n", "250 x\r\n", OK, OK, "354 go\r\n", "554 5.7.1 spam\r\n")
    client = talk(process, *SESSION)
    assert replies(client)[-2] == "554 5.7.1 spam"
    assert any(line.startswith("proxy-reject: END-OF-MESSAGE") for line in process.system.lines)


def test_a_filter_that_dies_over_the_content_is_a_temporary_error() -> None:
    process, _ = proxied("220 hi\r\n", "250 x\r\n", OK, OK, "354 go\r\n", "")
    client = talk(process, *SESSION)
    assert replies(client)[-2] == BROKEN


def test_a_forwarded_client_gets_no_received_header_of_ours() -> None:
    process, server = proxied(
        "220 hi\r\n", "250 x\r\n", OK, OK, "354 go\r\n", OK,
        smtpd_authorized_xforward_hosts="198.51.100.7",
    )  # fmt: skip
    talk(process, "XFORWARD NAME=a.test\r\n", *SESSION[1:])
    assert b"Received:" not in server.heard
