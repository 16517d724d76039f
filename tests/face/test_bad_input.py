"""Clients that send what is no SMTP, and peers that answer what is none: nothing breaks.

The replies are those of a real Postfix 3.0.15 (see also scenarios/conformance/robustness).
"""

from __future__ import annotations

import pytest

from postlab import Lab

TEN_MEGABYTES = "x" * 10_000_000


@pytest.fixture
def site() -> Lab:
    made = Lab()
    made.mta("mydestination = example.org\nmynetworks = 192.0.2.0/24\n", users=["alice"])
    return made


def test_lines_of_ten_megabytes_are_cut_and_answered(site: Lab) -> None:
    client = site.client("198.51.100.7").say(
        "EHLO client.test", TEN_MEGABYTES, f"NOOP {TEN_MEGABYTES}", "MAIL FROM:<a@client.test>",
        f"RCPT TO:<{TEN_MEGABYTES}@example.org>", "RCPT TO:<alice@example.org>", "DATA",
    ).content(f"Subject: {TEN_MEGABYTES[:5_000_000]}\n\n{TEN_MEGABYTES[:3_000_000]}").quit()  # fmt: skip
    assert [reply[:9] for reply in client.replies[-8:]] == [
        "502 5.5.2", "250 2.0.0", "250 2.1.0", "501 5.1.3", "250 2.1.5", "354 End d", "250 2.0.0",
        "221 2.0.0",
    ]  # fmt: skip
    assert str(client.fingerprint).endswith("unknown=0/1 commands=6/8")
    assert len(site.log.find("warning: .*: request longer than 2048: ", "smtpd")) == 3
    assert site.message(sender="a@client.test").size == 3107117


def test_nul_bytes_are_part_of_a_command_that_does_not_exist(site: Lab) -> None:
    client = site.client("198.51.100.7").raw("EH\0LO x.test\r\n").raw("\0\r\n").say("NOOP").quit()
    assert client.replies[1:] == [
        "502 5.5.2 Error: command not recognized", "500 5.5.2 Error: bad syntax", "250 2.0.0 Ok",
        "221 2.0.0 Bye",
    ]  # fmt: skip


def test_nul_bytes_in_a_message_arrive(site: Lab) -> None:
    client = site.client("198.51.100.7").say("EHLO x.test", "MAIL FROM:<a@x.test>")
    client.say("RCPT TO:<alice@example.org>", "DATA").raw("A: \0\r\n\r\nb\0c\r\n.\r\n").quit()
    assert site.mailbox("alice")[0].endswith("\nb\0c\n")


def test_half_a_command_is_nothing(site: Lab) -> None:
    client = site.client("198.51.100.7").say("EHLO x.test").raw("MAIL FROM:<a@x").hangup()
    assert client.transcript[-2:] == ["C: MAIL FROM:<a@x", "* closed by client"]
    assert str(client.fingerprint) == "ehlo=1 commands=1"
    assert "lost connection after EHLO from unknown[198.51.100.7]" in site.log


def test_a_command_in_pieces_is_one_command(site: Lab) -> None:
    client = site.client("198.51.100.7").raw("NO").raw("OP\r").raw("\nRSET\n").quit()
    assert client.replies[1:] == ["250 2.0.0 Ok", "250 2.0.0 Ok", "221 2.0.0 Bye"]


def test_a_client_that_never_speaks_is_told_and_left(site: Lab) -> None:
    client = site.client("198.51.100.7").wait(400)
    assert client.replies[-1] == "421 4.4.2 mx.example.org Error: timeout exceeded"
    assert client.transcript[-1] == "* closed by server"


@pytest.mark.parametrize(
    ("on", "reply", "status", "said"),
    [
        ("connect", "how do you do", "deferred",
         "timed out while receiving the initial server greeting"),
        ("EHLO", "25", "deferred", "timed out while performing the EHLO handshake"),
        ("MAIL", "\x01\x02 what?", "bounced", "said: ?? what? 503 5.5.1 Error: need MAIL command"),
        ("RCPT", "999 what a number", "bounced", "said: 999 what a number"),
        ("DATA", "250 yes", "bounced", "Protocol error: host mx.dest.test[203.0.113.10] said: 250 yes"),
    ],
)  # fmt: skip
def test_a_peer_that_answers_garbage_has_the_mail_kept_or_sent_back(
    on: str, reply: str, status: str, said: str
) -> None:
    lab = Lab()
    lab.mta("mynetworks = 192.0.2.0/24")
    lab.peer("mx.dest.test", mx_for=["dest.test"]).on(on, reply)
    lab.client("192.0.2.30").say("EHLO pc").mail("a@example.org", "b@dest.test").quit()
    fate = lab.fate("b@dest.test")
    assert (fate.status, said in fate.reason) == (status, True), fate.reason
