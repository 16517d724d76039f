"""Commands and their replies, one row each."""

from __future__ import annotations

import pytest
from smtpd_world import Checks, Process, ask, replies, talk

MAIL = "MAIL FROM:<a@b.test>"
RCPT = "RCPT TO:<u@example.org>"

ROWS: list[tuple[str, list[str], str]] = [
    ("HELO without a name", ["HELO"], "501 Syntax: HELO hostname"),
    ("HELO", ["HELO x"], "250 mx.example.org"),
    ("EHLO", ["EHLO x"], "250 SMTPUTF8"),
    ("RCPT before MAIL", [RCPT], "503 5.5.1 Error: need MAIL command"),
    ("DATA before MAIL", ["DATA"], "503 5.5.1 Error: need RCPT command"),
    ("DATA before RCPT", [MAIL, "DATA"], "554 5.5.1 Error: no valid recipients"),
    ("DATA with a word", [MAIL, RCPT, "DATA x"], "501 5.5.4 Syntax: DATA"),
    ("MAIL twice", [MAIL, MAIL], "503 5.5.1 Error: nested MAIL command"),
    ("MAIL without FROM", ["MAIL <a@b.test>"], "501 5.5.4 Syntax: MAIL FROM:<address>"),
    ("RCPT without TO", [MAIL, "RCPT <a@b.test>"], "501 5.5.4 Syntax: RCPT TO:<address>"),
    ("the null sender", ["MAIL FROM:<>"], "250 2.1.0 Ok"),
    ("a null recipient", [MAIL, "RCPT TO:<>"], "501 5.1.3 Bad recipient address syntax"),
    ("an open bracket", ["MAIL FROM:<a@b.test"], "501 5.1.7 Bad sender address syntax"),
    ("two addresses", ["MAIL FROM:<a@b.test,c@d.test>"], "501 5.1.7 Bad sender address syntax"),
    ("RSET", ["RSET"], "250 2.0.0 Ok"),
    ("RSET with a word", ["RSET x"], "501 5.5.4 Syntax: RSET"),
    ("NOOP with a word", ["NOOP x"], "250 2.0.0 Ok"),
    ("VRFY", ["VRFY <u@example.org>"], "252 2.0.0 <u@example.org>"),
    ("VRFY of words", ["VRFY u@example.org x"], "501 5.1.3 Bad recipient address syntax"),
    ("VRFY alone", ["VRFY"], "501 5.5.4 Syntax: VRFY address [SMTPUTF8]"),
    ("QUIT", ["QUIT"], "221 2.0.0 Bye"),
    ("HELP", ["HELP"], "502 5.5.2 Error: command not recognized"),
    ("EXPN", ["EXPN x"], "502 5.5.2 Error: command not recognized"),
    ("an empty line", [""], "500 5.5.2 Error: bad syntax"),
    ("a header", ["Subject: x"], "221 2.7.0 Error: I can break rules, too. Goodbye."),
    ("GET", ["GET / HTTP/1.1"], "221 2.7.0 Error: I can break rules, too. Goodbye."),
    ("STARTTLS without TLS", ["STARTTLS"], "502 5.5.1 Error: command not implemented"),
    ("AUTH without SASL", ["AUTH PLAIN"], "503 5.5.1 Error: authentication not enabled"),
    ("XCLIENT", ["XCLIENT NAME=x"], "550 5.7.0 Error: insufficient authorization"),
    ("XFORWARD", ["XFORWARD NAME=x"], "550 5.7.0 Error: insufficient authorization"),
    ("ETRN alone", ["ETRN"], "500 Syntax: ETRN domain"),
    ("ETRN", ["ETRN site.test"], "459 <site.test>: service unavailable"),
    ("ETRN of nonsense", ["ETRN -x"], "501 Error: invalid parameter syntax"),
    ("ETRN in a transaction", [MAIL, "ETRN x.test"], "503 Error: MAIL transaction in progress"),
    ("an unknown parameter", [f"{MAIL} FOO=1"], "555 5.5.4 Unsupported option: FOO=1"),
    ("SIZE", [f"{MAIL} SIZE=99"], "250 2.1.0 Ok"),
    ("SIZE beyond 63 bits", [f"{MAIL} SIZE={2**63}"],
     "552 5.3.4 Message size exceeds file system imposed limit"),
    ("SIZE that wraps around", [f"{MAIL} SIZE={'9' * 20}"], "250 2.1.0 Ok"),
    ("SIZE of letters", [f"{MAIL} SIZE=x"], "501 5.5.4 Bad message size syntax"),
    ("BODY", [f"{MAIL} BODY=8BITMIME"], "250 2.1.0 Ok"),
    ("another BODY", [f"{MAIL} BODY=X"], "555 5.5.4 Unsupported option: BODY=X"),
    ("RET", [f"{MAIL} RET=HDRS"], "250 2.1.0 Ok"),
    ("a bad RET", [f"{MAIL} RET=X"], "501 5.5.4 Bad RET parameter syntax"),
    ("RET twice", [f"{MAIL} RET=FULL RET=FULL"], "501 5.5.4 Bad RET parameter syntax"),
    ("a bad ENVID", [f"{MAIL} ENVID=a+x"], "501 5.5.4 Bad ENVID parameter syntax"),
    ("XVERP of a stranger", [f"{MAIL} XVERP"], "555 5.5.4 Unsupported option: XVERP"),
    ("NOTIFY", [MAIL, f"{RCPT} NOTIFY=SUCCESS,delay"], "250 2.1.5 Ok"),
    (
        "NEVER with more",
        [MAIL, f"{RCPT} NOTIFY=NEVER,DELAY"],
        "501 5.5.4 Error: Bad NOTIFY parameter syntax",
    ),
    (
        "ORCPT without a type",
        [MAIL, f"{RCPT} ORCPT=x"],
        "501 5.5.4 Error: Bad ORCPT parameter syntax",
    ),
    ("bad UTF-8", ["NOOP \udcff"], "500 5.5.2 Error: bad UTF-8 syntax"),
]


@pytest.mark.parametrize(
    ("commands", "reply"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_the_reply_to_the_last_command(commands: list[str], reply: str) -> None:
    process = Process()
    lines = [f"{command}\r\n".encode("utf-8", "surrogateescape") for command in commands]
    assert replies(talk(process, *lines))[-1] == reply


SETTINGS: list[tuple[dict[str, str], list[str], str]] = [
    ({"smtpd_helo_required": "yes"}, [MAIL], "503 5.5.1 Error: send HELO/EHLO first"),
    ({"disable_vrfy_command": "yes"}, ["VRFY x"], "502 5.5.1 VRFY command is disabled"),
    (
        {"strict_rfc821_envelopes": "yes"},
        ["MAIL FROM:a@b.test"],
        "501 5.1.7 Bad sender address syntax",
    ),
    (
        {"strict_rfc821_envelopes": "yes"},
        ["MAIL FROM:<x a@b.test>"],
        "501 5.1.7 Bad sender address syntax",
    ),
    ({}, ["MAIL FROM:a@b.test"], "250 2.1.0 Ok"),
    ({}, ["MAIL FROM:<@x.test:a@b.test>"], "250 2.1.0 Ok"),
    ({"smtpd_recipient_limit": "1"}, [MAIL, RCPT, RCPT], "452 4.5.3 Error: too many recipients"),
    ({"smtpd_noop_commands": "xyzzy"}, ["XYZZY 1"], "250 2.0.0 Ok"),
    (
        {"smtpd_discard_ehlo_keywords": "dsn"},
        [f"{MAIL} RET=FULL"],
        "501 5.7.1 DSN support is disabled",
    ),
    (
        {"smtpd_authorized_verp_clients": "198.51.100.7"},
        [f"{MAIL} XVERP=ab"],
        "501 5.5.4 Error: XVERP needs two characters from -=+",
    ),
    (
        {"smtpd_authorized_verp_clients": "198.51.100.7"},
        ["MAIL FROM:<> XVERP"],
        "503 5.5.4 Error: XVERP requires non-null sender",
    ),
    (
        {"strict_smtputf8": "yes"},
        ["MAIL FROM:<ä@b.test>"],
        "553 5.6.7 Must declare SMTPUTF8 to send unicode address",
    ),
    (
        {"smtpd_command_filter": "inline:{ {oops=NOOP} }"},
        ["  oops"],
        "250 2.0.0 Ok",
    ),
]


@pytest.mark.parametrize(("settings", "commands", "reply"), SETTINGS)
def test_parameters_change_replies(
    settings: dict[str, str], commands: list[str], reply: str
) -> None:
    assert ask(*commands, **settings)[-1] == reply


def test_ehlo_lists_what_is_on_offer() -> None:
    lines = replies(talk(Process(message_size_limit="99"), "EHLO x\r\n"))
    assert lines == [
        "250-mx.example.org",
        "250-PIPELINING",
        "250-SIZE 99",
        "250-VRFY",
        "250-ETRN",
        "250-ENHANCEDSTATUSCODES",
        "250-8BITMIME",
        "250-DSN",
        "250 SMTPUTF8",
    ]


def test_discarded_keywords_are_left_out_and_logged() -> None:
    process = Process(smtpd_discard_ehlo_keywords="pipelining, ETRN, nonsense")
    lines = replies(talk(process, "EHLO x\r\n"))
    assert not [line for line in lines if "PIPELINING" in line or "ETRN" in line]
    assert "discarding EHLO keywords: ETRN PIPELINING" in process.system.lines


def test_early_rejections_come_when_they_are_not_delayed() -> None:
    checks = Checks(helo="504 5.5.2 <x>: no")
    assert ask("HELO x", checks=checks)[-1] == "250 mx.example.org"
    assert ask("HELO x", checks=checks, smtpd_delay_reject="no")[-1] == "504 5.5.2 <x>: no"


def test_a_client_that_was_refused_may_only_quit() -> None:
    checks = Checks(client="554 5.7.1 go away")
    process = Process(smtpd_delay_reject="no")
    client = talk(process, "EHLO x\r\n", "QUIT\r\n", checks=checks)
    assert client.heard.decode().split("\r\n")[:-1] == [
        "554 5.7.1 go away",
        "503 5.7.0 Error: access denied for unknown[198.51.100.7]",
        "221 2.0.0 Bye",
    ]


def test_the_name_in_helo_cannot_hurt_headers() -> None:
    process = Process()
    talk(process, 'EHLO a<b> "c"\r\n', "MAIL FROM:<a@b.test>\r\n", RCPT + "\r\n")
    records = process.messages[0].records
    assert ("A", b"log_helo_name=a?b???c?") in records
