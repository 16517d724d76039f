"""Messages: the records for cleanup, the Received header, the reply to the end of the content."""

from __future__ import annotations

import re

import pytest
from smtpd_world import Checks, Process, replies, talk

from mta.lib.crash import Crash
from mta.lib.requests import (
    CLEANUP_FLAG_HOLD,
    CLEANUP_STAT_BAD,
    CLEANUP_STAT_CONT,
    CLEANUP_STAT_HOPS,
    CLEANUP_STAT_SIZE,
    CLEANUP_STAT_WRITE,
    CleanupReply,
)

HELLO = ("EHLO client.test\r\n", "MAIL FROM:<a@b.test>\r\n")
RCPT = "RCPT TO:<u@example.org>\r\n"
RECEIVED = [
    "Received: from client.test (unknown [198.51.100.7])",
    "\tby mx.example.org (Postfix) with ESMTP id Q1",
    "\tfor <u@example.org>; Thu,  1 Jan 2015 00:00:00 +0000 (UTC)",
]


def content(process: Process) -> list[str]:
    """The lines of the first message, partial ones marked."""
    records = process.messages[0].records
    start = records.index(("M", b""))
    return [
        data.decode("latin-1") + ("" if kind == "N" else f" <{kind}>")
        for kind, data in records[start + 1 :]
        if kind in "NL"
    ]


def test_the_envelope_has_its_records_in_postfix_order() -> None:
    process = Process(content_filter="scan:dummy")
    talk(
        process,
        "EHLO client.test\r\n",
        "MAIL FROM:<a@b.test> RET=HDRS ENVID=x+2Dy BODY=8BITMIME\r\n",
        "RCPT TO:<u@example.org> NOTIFY=DELAY,FAILURE\r\n",
        "RCPT TO:<v@example.org> ORCPT=rfc822;w+40x\r\n",
        "DATA\r\n",
        "Subject: x\r\n\r\n.\r\n",
    )
    records = [(kind, data.decode()) for kind, data in process.messages[0].records]
    assert records[:28] == [
        ("T", "1420070400 0"),
        ("L", "scan:dummy"),
        ("A", "log_ident=Q1"),
        ("A", "rewrite_context=remote"),
        ("A", "envelope_id=x-y"),
        ("A", "ret_flags=2"),
        ("S", "a@b.test"),
        ("A", "encoding=8bit"),
        ("A", "log_client_name=unknown"),
        ("A", "log_client_address=198.51.100.7"),
        ("A", "log_client_port=40000"),
        ("A", "log_message_origin=unknown[198.51.100.7]"),
        ("A", "log_helo_name=client.test"),
        ("A", "log_protocol_name=ESMTP"),
        ("A", "client_name=unknown"),
        ("A", "reverse_client_name=unknown"),
        ("A", "client_address=198.51.100.7"),
        ("A", "client_port=40000"),
        ("A", "helo_name=client.test"),
        ("A", "protocol_name=ESMTP"),
        ("A", "client_address_type=2"),
        ("A", "notify_flags=12"),
        ("A", "dsn_orig_rcpt=rfc822;u@example.org"),
        ("R", "u@example.org"),
        ("A", "dsn_orig_rcpt=rfc822;w@x"),
        ("R", "v@example.org"),
        ("M", ""),
        ("N", "Received: from client.test (unknown [198.51.100.7])"),
    ]
    assert records[-2:] == [("X", ""), ("E", "")]


CONTENTS = [
    ("Subject: x\r\n\r\nbody\r\n", ["Subject: x", "", "body"]),
    ("..dot\r\n...\r\n", [".dot", ".."]),
    (" blank first\r\n", ["", " blank first"]),
    (". blank later\r\n", [" blank later"]),
    (
        "From x\r\n>From y\r\nA: b\r\n",
        ["X-Mailbox-Line: From x", "X-Mailbox-Line: >From y", "A: b"],
    ),
    ("A: b\r\nFrom x\r\n", ["A: b", "From x"]),
    ("bare\nnewlines\r\r\n", ["bare", "newlines"]),
    ("", []),
    ("x" * 517 + "\r\n.y\r\n", ["x" * 512 + " <L>", "xxxxx", "y"]),
    ("A: b\r\n" + "x" * 512 + ".\r\nz\r\n", ["A: b", "x" * 512 + " <L>", ".", "z"]),
]


@pytest.mark.parametrize(("text", "lines"), CONTENTS, ids=range(len(CONTENTS)))
@pytest.mark.parametrize("whole", [True, False])
def test_content_becomes_records(text: str, lines: list[str], whole: bool) -> None:
    process = Process(line_length_limit="512")
    wire = text + ".\r\n"
    step = len(wire) if whole else 3
    chunks = [wire[i : i + step] for i in range(0, len(wire), step)]
    commands = ("EHLO c\r\n", "MAIL FROM:<a@b>\r\n", "RCPT TO:<u@e>\r\n", "DATA\r\n")
    client = talk(process, *commands, *chunks, "QUIT\r\n")
    assert content(process)[3:] == lines
    assert replies(client)[-2] == "250 2.0.0 Ok: queued as Q1"


def test_the_received_header_names_the_recipient_where_there_is_one() -> None:
    process = Process()
    talk(process, *HELLO, RCPT, "DATA\r\n", "x\r\n.\r\n")
    assert content(process)[:3] == RECEIVED


RECEIVED_FORMS = [
    ((), "HELO h\r\n", "", "from h (", "with SMTP id Q1"),
    ((), "", "", "from unknown (", "with SMTP id Q1"),
    ((), "EHLO h\r\n", " SMTPUTF8", "from h (", "with UTF8SMTP id Q1"),
]


@pytest.mark.parametrize(("settings", "hello", "option", "who", "how"), RECEIVED_FORMS)
def test_the_received_header_tells_the_protocol(
    settings: tuple[str, ...], hello: str, option: str, who: str, how: str
) -> None:
    process = Process()
    chunks = [c for c in (hello, f"MAIL FROM:<a@b.test>{option}\r\n", RCPT, RCPT) if c]
    talk(process, *chunks, "DATA\r\n", "x\r\n.\r\n")
    lines = content(process)
    assert who in lines[0]
    assert lines[1].endswith(how + ";")
    assert lines[2].startswith("\tThu,")


TROUBLES = [
    (CLEANUP_STAT_SIZE, "", "552 5.3.4 Error: message file too big"),
    (CLEANUP_STAT_HOPS, "", "554 5.4.0 Error: too many hops"),
    (CLEANUP_STAT_WRITE, "", "451 4.3.0 Error: queue file write error"),
    (CLEANUP_STAT_BAD, "", "451 4.3.0 Error: internal error 1"),
    (CLEANUP_STAT_CONT, "", "550 5.7.1 Error: message content rejected"),
    (CLEANUP_STAT_CONT, "5.7.9 no cats", "550 5.7.9 no cats"),
    (CLEANUP_STAT_CONT, "451 4.7.1 later", "451 4.7.1 later"),
    (CLEANUP_STAT_SIZE | CLEANUP_STAT_CONT, "", "552 5.3.4 Error: message file too big"),
]


@pytest.mark.parametrize(("status", "reason", "reply"), TROUBLES)
def test_what_cleanup_says_becomes_the_reply(status: int, reason: str, reply: str) -> None:
    process = Process()
    process.cleanup_reply = CleanupReply(status, reason)
    client = talk(process, *HELLO, RCPT, "DATA\r\n", "x\r\n.\r\n", "QUIT\r\n")
    assert replies(client)[-2] == reply


def test_a_message_that_is_too_big_is_read_to_its_end_and_given_up() -> None:
    process = Process(message_size_limit="10")
    client = talk(process, *HELLO, RCPT, "DATA\r\n", "12345\r\n6789\r\n.\r\n", "RSET\r\n")
    assert replies(client)[-2:] == ["552 5.3.4 Error: message file too big", "250 2.0.0 Ok"]
    assert "warning: Q1: queue file size limit exceeded" in process.system.lines
    assert content(process)[3:] == ["12345"]
    assert process.messages[0].records[-1][0] != "E"


@pytest.mark.parametrize("ending", ["RSET\r\n", "EHLO again\r\n", "QUIT\r\n", ""])
def test_a_message_that_does_not_come_to_its_end_is_given_up(ending: str) -> None:
    process = Process()
    talk(process, *HELLO, RCPT, *([ending] if ending else []))
    assert [record[0] for record in process.messages[0].records][-1] == "R"


def test_access_actions_travel_with_the_message() -> None:
    process = Process()

    class Acting(Checks):
        def check_data(self, state):  # type: ignore[no-untyped-def]
            state.saved_flags |= CLEANUP_FLAG_HOLD
            state.saved_filter = "smtp:[x]"
            state.saved_redirect = "r@x"
            state.saved_bcc = "b@x"
            state.prepend.append("X-First: 1")
            return None
            yield

    talk(process, *HELLO, RCPT, "DATA\r\n", "x\r\n.\r\n", checks=Acting())
    records = process.messages[0].records
    place = records.index(("M", b""))
    assert records[place - 1] == ("f", b"4")
    assert records[place + 1] == ("N", b"X-First: 1")
    assert records[records.index(("X", b"")) :] == [
        ("X", b""),
        ("L", b"smtp:[x]"),
        (">", b"r@x"),
        ("R", b"b@x"),
        ("A", b"notify_flags=1"),
        ("f", b"4"),
        ("E", b""),
    ]


def test_an_end_of_data_rejection_leaves_the_transaction_open() -> None:
    process = Process()
    checks = Checks(eod="554 5.7.1 no")
    client = talk(
        process, *HELLO, RCPT, "DATA\r\n", "x\r\n.\r\n", "MAIL FROM:<c@d>\r\n", checks=checks
    )
    assert replies(client)[-2:] == ["554 5.7.1 no", "503 5.5.1 Error: nested MAIL command"]


def test_opening_may_be_put_off_until_there_is_a_recipient() -> None:
    for delay, lines in (("yes", 0), ("no", 1)):
        process = Process(smtpd_delay_open_until_valid_rcpt=delay)
        talk(process, *HELLO)
        assert len([line for line in process.system.lines if "client=" in line]) == lines


def test_a_verp_sender_is_marked() -> None:
    process = Process(smtpd_authorized_verp_clients="198.51.100.0/24")
    talk(process, "EHLO c\r\n", "MAIL FROM:<a@b.test> XVERP\r\n", RCPT)
    assert ("V", b"+=") in process.messages[0].records


def test_policy_instances_differ_between_transactions() -> None:
    process = Process(smtpd_delay_open_until_valid_rcpt="no")
    seen: list[str] = []

    class Watching(Checks):
        def check_rcpt(self, state, recipient):  # type: ignore[no-untyped-def]
            seen.append(state.instance)
            return None
            yield

    talk(process, *HELLO, RCPT, "RSET\r\n", HELLO[1], RCPT, checks=Watching())
    assert re.fullmatch(r"1267\.54a48e00\.0\.0", seen[0])
    assert seen[1].endswith(".1")


def test_content_without_a_queue_file_ends_the_process_as_in_postfix() -> None:
    process = Process()
    chunks = (*HELLO, RCPT, "DATA\r\n", "x\r\n.\r\n", "DATA\r\n", "QUIT\r\n")
    with pytest.raises(Crash):
        talk(process, *chunks, checks=Checks(eod="554 5.7.1 no"))
