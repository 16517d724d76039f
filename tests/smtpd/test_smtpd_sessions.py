"""Sessions: errors, timeouts, pipelining, transcripts, fingerprints."""

from __future__ import annotations

import pytest
from smtpd_world import Checks, Process, ask, replies, run, talk

from mta.system import Gone

DIALOGUE = ("EHLO c\r\n", "MAIL FROM:<a@b.test>\r\n", "RCPT TO:<u@example.org>\r\n")


def ends(process: Process) -> list[str]:
    """The lines of the log from the end of the session."""
    return process.system.lines[-2:]


FINGERPRINTS: list[tuple[list[str], str]] = [
    ([], "commands=0/0"),
    (["QUIT\r\n"], "quit=1 commands=1"),
    (["NOPE\r\n", "QUIT\r\n"], "quit=1 unknown=0/1 commands=1/2"),
    (["RSET\r\n", "ehlo x\r\n", "RSET x\r\n"], "ehlo=1 rset=1/2 commands=2/3"),
]


@pytest.mark.parametrize(("chunks", "text"), FINGERPRINTS)
def test_the_log_ends_with_the_fingerprint_of_the_session(chunks: list[str], text: str) -> None:
    process = Process()
    talk(process, *chunks)
    assert process.system.lines[-1] == f"disconnect from unknown[198.51.100.7] {text}"


LOSSES: list[tuple[list[str | float | Exception], str]] = [
    ([], "lost connection after CONNECT from"),
    (["EHLO c\r\n"], "lost connection after EHLO from"),
    (["EHLO c\r\n", Gone("reset")], "lost connection after EHLO from"),
    ([*DIALOGUE, "DATA\r\n", "123\r\n45"], "lost connection after DATA (5 bytes) from"),
    (["EHLO c\r\n", 400.0], "timeout after EHLO from"),
    ([*DIALOGUE, "DATA\r\n", "x\r\n", 400.0], "timeout after DATA (3 bytes) from"),
    (["NOPE\r\n"], "lost connection after UNKNOWN from"),
]


@pytest.mark.parametrize(("chunks", "text"), LOSSES)
def test_a_client_that_vanishes_is_logged_with_the_stage(
    chunks: list[str | float | Exception], text: str
) -> None:
    process = Process()
    talk(process, *chunks)
    assert ends(process)[0] == f"{text} unknown[198.51.100.7]"


def test_nothing_is_logged_of_a_client_that_leaves_after_its_message() -> None:
    process = Process()
    talk(process, *DIALOGUE, "DATA\r\n", ".\r\n")
    assert not [line for line in process.system.lines if "lost connection" in line]


def test_after_a_timeout_the_client_is_told() -> None:
    client = talk(Process(), "EHLO c\r\n", 301.0)
    assert replies(client)[-1] == "421 4.4.2 mx.example.org Error: timeout exceeded"


def test_errors_slow_the_client_down_and_end_the_session() -> None:
    process = Process(smtpd_soft_error_limit="2", smtpd_hard_error_limit="3")
    client = talk(process, *["NOPE\r\n"] * 9)
    begin = client.marks[0][0]
    seconds = [(moment - begin) // 1_000_000 for moment, _ in client.marks]
    assert seconds == [0, 0, 0, 1, 2]
    assert replies(client)[-1] == "421 4.7.0 mx.example.org Error: too many errors"
    assert ends(process)[0] == "too many errors after UNKNOWN from unknown[198.51.100.7]"


def test_junk_commands_become_errors() -> None:
    heard = ask(*["NOOP"] * 9, smtpd_junk_command_limit="2", smtpd_hard_error_limit="3")
    assert heard.count("250 2.0.0 Ok") == 6
    assert heard[-1].startswith("421 4.7.0")


def test_a_good_message_forgives_errors() -> None:
    process = Process(smtpd_hard_error_limit="3")
    message = (*DIALOGUE, "DATA\r\n", "x\r\n.\r\n")
    client = talk(process, "NOPE\r\n", "NOPE\r\n", *message, "NOPE\r\n", "NOPE\r\n", "QUIT\r\n")
    assert replies(client)[-1] == "221 2.0.0 Bye"


def test_replies_to_a_group_of_commands_travel_together() -> None:
    client = talk(Process(), DIALOGUE[0], "".join(DIALOGUE[1:]) + "DATA\r\n", ".\r\n", "QUIT\r\n")
    group = b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n"
    assert group in [text for _, text in client.marks]


IMPROPER = [
    ("EHLO c\r\nMAIL FROM:<a@b>\r\n", "EHLO", "MAIL FROM:<a@b>\\r\\n"),
    ("HELO c\r\nNOOP\r\n", "HELO", "NOOP\\r\\n"),
    ("NOOP\r\n\x01\\\r\n", "NOOP", "\\001\\\\\\r\\n"),
]


@pytest.mark.parametrize(("chunk", "command", "rest"), IMPROPER)
def test_improper_pipelining_is_logged_once(chunk: str, command: str, rest: str) -> None:
    process = Process()
    talk(process, chunk, "NOOP\r\nNOOP\r\n")
    lines = [line for line in process.system.lines if line.startswith("improper")]
    assert lines == [
        f"improper command pipelining after {command} from unknown[198.51.100.7]: {rest}"
    ]


def test_long_requests_are_cut_with_a_warning() -> None:
    process = Process(line_length_limit="512")
    client = talk(process, "NOOP " + "1" * 600 + "\r\nRSET\r\n")
    assert replies(client) == ["250 2.0.0 Ok", "250 2.0.0 Ok"]
    assert (
        f"warning: unknown[198.51.100.7]: request longer than 512: NOOP {'1' * 25}..."
        in process.system.lines
    )


def test_a_nul_ends_what_is_read_of_a_command() -> None:
    assert ask("NOOP\0xyz")[-1] == "250 2.0.0 Ok"
    assert ask("\0NOOP")[-1] == "500 5.5.2 Error: bad syntax"


def test_soft_bounce_makes_temporary_errors() -> None:
    assert ask("NOPE", soft_bounce="yes")[-1] == "402 4.5.2 Error: command not recognized"
    assert ask("ETRN", soft_bounce="yes")[-1] == "400 Syntax: ETRN domain"


def test_rejections_have_a_footer() -> None:
    process = Process(smtpd_reject_footer="\\c, sorry\\nCall $client_address, ${x?y}$server_name")
    client = talk(process, "NOPE\r\n", "NOOP\r\n")
    assert replies(client) == [
        "502-5.5.2 Error: command not recognized, sorry",
        "502 5.5.2 Call 198.51.100.7, mx.example.org",
        "250 2.0.0 Ok",
    ]
    assert 'warning: unknown macro name "x" in expansion request' in process.system.lines


def test_the_postmaster_gets_a_transcript_of_what_he_wants_to_know() -> None:
    process = Process(notify_classes="protocol")
    talk(process, "NOPE " + "x " * 60 + "\r\n", "QUIT\r\n")
    (message,) = process.messages
    lines = [data.decode() for kind, data in message.records if kind == "N"][3:]
    assert ("S", b"double-bounce@mx.example.org") in message.records
    assert ("R", b"postmaster") in message.records
    assert lines == [
        "From: MAILER-DAEMON@mx.example.org (Mail Delivery System)",
        "To: postmaster (Postmaster)",
        "Subject: Postfix SMTP server: errors from unknown[198.51.100.7]",
        "",
        "Transcript of session follows.",
        "",
        " Out: 220 mx.example.org ESMTP Postfix",
        " In:  NOPE" + " x" * 34,
        "    " + " x" * 26,
        " Out: 502 5.5.2 Error: command not recognized",
        " In:  QUIT",
        " Out: 221 2.0.0 Bye",
        "",
        "",
        "For other details, see the local mail logfile",
    ]


def test_no_transcript_is_sent_for_other_trouble() -> None:
    process = Process(notify_classes="resource")
    talk(process, "NOPE\r\n", "QUIT\r\n")
    assert process.messages == []


def test_a_failing_list_of_trusted_clients_ends_the_session_at_ehlo() -> None:
    process = Process(smtpd_authorized_xclient_hosts="2001:db8::1")
    client = talk(process, "EHLO c\r\n")
    assert replies(client) == ["421 4.3.0 mx.example.org Server local data error"]
    assert (
        "NOQUEUE: reject: EHLO from unknown[198.51.100.7]: "
        "421 4.3.0 mx.example.org Server local data error" in process.system.lines
    )


def test_ports_are_logged_on_request() -> None:
    process = Process(smtpd_client_port_logging="yes")
    talk(process, "QUIT\r\n")
    assert process.system.lines[0] == "connect from unknown[198.51.100.7]:40000"


def test_without_cleanup_the_process_dies_and_says_nothing() -> None:
    process = Process(cleanup_service_name="gone")
    original = process.call

    def call(service: str, request: object):  # type: ignore[no-untyped-def]
        if service == "gone":
            raise Gone("Connection reset by peer")
        return original(service, request)

    process.call = call  # type: ignore[method-assign,assignment]
    client = talk(process, *DIALOGUE)
    assert process.system.lines[-1] == "fatal: unable to connect to the public gone service"
    assert b"250 2.1.5" not in client.heard
    assert client.closed


def test_the_bare_checks_of_this_suite_answer_none() -> None:
    assert run(Checks().check_mail(None, "x")) is None
