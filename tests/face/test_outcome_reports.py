"""Outcomes and what is read from them: the JSON document, fates, reports for people."""

from __future__ import annotations

import datetime
import json

import pytest

from reports.fates import parse_lines, read
from reports.outcome import (
    CommandResult,
    Delivered,
    Dialogue,
    Outcome,
    QueueEntry,
    Report,
    Waiting,
)
from reports.terminal import as_text, console, overview
from reports.times import date, duration, since

LOG = """\
postfix/smtpd[17]: connect from client.test[198.51.100.7]
postfix/smtpd[17]: NOQUEUE: reject: RCPT from client.test[198.51.100.7]: 550 5.1.1 <no@example.org>: Recipient address rejected: User unknown; from=<a@client.test> to=<no@example.org> proto=ESMTP helo=<client.test>
postfix/smtpd[17]: 7F7D02A: client=client.test[198.51.100.7]
postfix/cleanup[20]: 7F7D02A: message-id=<1@client.test>
postfix/qmgr[16]: 7F7D02A: from=<a@client.test>, size=208, nrcpt=2 (queue active)
postfix/smtpd[17]: disconnect from client.test[198.51.100.7] ehlo=1 mail=1 rcpt=2/3 data=1 quit=1 commands=6/7
postfix/local[21]: 7F7D02A: to=<alice@example.org>, orig_to=<team@example.org>, relay=local, delay=0.01, delays=0/0/0/0, dsn=2.0.0, status=sent (delivered to mailbox)
postfix/smtp[22]: 7F7D02A: to=<b@dest.test>, relay=none, delay=0.1, delays=0/0/0.1/0, dsn=4.4.1, status=deferred (connect to mx.dest.test[203.0.113.10]:25: Connection refused)
postfix/qmgr[16]: 7F7D02A: from=<a@client.test>, size=208, nrcpt=2 (queue active)
postfix/smtp[23]: 7F7D02A: to=<b@dest.test>, relay=mx.dest.test[203.0.113.10]:25, delay=300, delays=300/0/0.1/0, dsn=5.1.1, status=bounced (host mx.dest.test[203.0.113.10] said: 550 5.1.1 unknown (in reply to RCPT TO command))
postfix/bounce[24]: 7F7D02A: sender non-delivery notification: 8A01B2C
postfix/qmgr[16]: 7F7D02A: removed
postfix/smtpd[17]: warning: hostname x does not resolve to address 198.51.100.9
""".splitlines()
MOMENTS = [1_000_000 * n for n in (1, 2, 3, 4, 5, 6, 7, 8, 308, 309, 310, 311, 312)]


def outcome() -> Outcome:
    return Outcome(
        clients=[Dialogue("198.51.100.7", ["* connected", "S: 220 hi [x]", "C: QUIT"])],
        peers=[Dialogue("mx.dest.test", ["* connected"])],
        delivered=[
            Delivered("mailbox alice", "body\n", "a@client.test", ["alice@example.org"]),
            Delivered("command /bin/x", "body\n", args=["-f"]),
        ],
        log=list(LOG),
        queue=[QueueEntry("deferred", "", [Waiting("b@dest.test", "later")], queue_id="7F7D02A")],
        policy={"inet:127.0.0.1:1": [{"request": "smtpd_access_policy"}]},
        milters={"inet:127.0.0.1:2": [["helo", "x"]]},
        commands=[CommandResult("mailq", 1, "no [such] thing\n")],
    )


def report() -> Report:
    return Report("f.yaml", "A [title]", outcome(), 3, "abc123", 1_000_000, 400_000_000, MOMENTS)


def test_the_document_has_the_documented_keys_and_comes_back() -> None:
    data = outcome().to_json()
    assert list(data) == [
        "clients", "peers", "delivered", "log", "queue", "policy", "milters", "commands",
    ]  # fmt: skip
    assert data["clients"][0]["from"] == "198.51.100.7"
    assert data["delivered"][1] == {"where": "command /bin/x", "args": ["-f"], "message": "body\n"}
    silent = Delivered("peer mx.dest.test", "x\n", None, ["b@dest.test"]).to_json()
    assert silent["sender"] is None
    assert data["queue"] == [
        {
            "queue": "deferred",
            "sender": "",
            "recipients": [{"address": "b@dest.test", "reason": "later"}],
        }
    ]
    again = Outcome.from_json(json.loads(outcome().to_text()))
    assert again.to_text() == outcome().to_text()


def test_bytes_that_are_no_text_survive_in_the_document() -> None:
    odd = Outcome(log=[b"a\xff".decode("utf-8", "surrogateescape")])
    assert odd.to_text().encode("utf-8", "surrogateescape").count(b"a\xff") == 1


def test_a_log_line_is_taken_apart() -> None:
    line = parse_lines(LOG[:1])[0]
    assert (line.service, line.daemon, line.pid) == ("postfix/smtpd", "smtpd", 17)
    assert str(line) == LOG[0]
    assert parse_lines(["odd"])[0].text == "odd"


def test_the_log_tells_the_fate_of_each_recipient() -> None:
    (message,) = read(LOG, MOMENTS).messages
    assert message.sender == "a@client.test"
    assert message.origin == "client=client.test[198.51.100.7]"
    assert (message.arrived, message.removed) == (3_000_000, 311_000_000)
    assert message.notices == [("sender non-delivery notification", "8A01B2C")]
    alice = message.fate("team@example.org")
    assert (alice.recipient, alice.status, alice.attempts) == ("alice@example.org", "sent", 1)
    other = message.fate("b@dest.test")
    assert (other.status, other.attempts, other.dsn) == ("bounced", 2, "5.1.1")
    assert (other.first, other.last) == (8_000_000, 309_000_000)
    assert other.reason.startswith("host mx.dest.test[203.0.113.10] said: 550")
    with pytest.raises(KeyError, match=r"it has: alice@example\.org, b@dest\.test"):
        message.fate("nobody@example.org")


def test_a_message_that_expires_has_expired_recipients() -> None:
    lines = [*LOG[2:5], LOG[7], "postfix/qmgr[1]: 7F7D02A: from=<a@b>, status=expired, "
             "returned to sender"]  # fmt: skip
    assert [fate.status for fate in read(lines).messages[0].fates] == ["expired"]


def test_a_queue_id_that_comes_again_after_its_message_left_is_another_message() -> None:
    first, second = read([*LOG, LOG[2]]).messages
    assert first.removed is not None
    assert second.removed is None


def test_rejects_and_fingerprints_and_troubles_are_told() -> None:
    story = read(LOG, MOMENTS)
    (reject,) = story.rejects
    assert (reject.kind, reject.stage, reject.queue_id) == ("reject", "RCPT", "NOQUEUE")
    assert (reject.sender, reject.recipient) == ("a@client.test", "no@example.org")
    assert reject.reply.endswith("User unknown")
    (fingerprint,) = story.fingerprints
    assert str(fingerprint) == "ehlo=1 mail=1 rcpt=2/3 data=1 quit=1 commands=6/7"
    assert fingerprint["rcpt"] == (2, 3)
    assert fingerprint["quit"] == (1, 1)
    assert fingerprint["vrfy"] == (0, 0)
    assert [line.text[:20] for line in story.troubles] == ["warning: hostname x "]


def test_the_summary_shows_fates_rejects_queue_commands_and_how_to_run_again() -> None:
    text = as_text(report(), width=160)
    for part in (
        "A [title]", "7F7D02A", "for team@example.org", "bounced",
        "reject at RCPT", "Left in the queue", "later", "$ mailq   exit 1", "no [such] thing",
        "ehlo=1 mail=1", "hostname x does not resolve", "seed 3, trace abc123",
        "sender non-delivery notification", "1 message: 1 sent, 1 bounced; 1 rejected; 1 left",
        "2 tries, the last +5 min 8 s",
    ):  # fmt: skip
        assert part in text
    assert "220 hi [x]" not in text


def test_dialogue_and_log_come_on_request() -> None:
    text = as_text(report(), dialogue=True, log=True, width=200)
    assert "S: 220 hi [x]" in text
    assert "Peer mx.dest.test" in text
    assert LOG[6] in text
    assert LOG[6] not in as_text(report(), width=200)


def test_nothing_that_a_peer_says_moves_the_terminal() -> None:
    odd = report()
    odd.outcome.clients[0].transcript.append("S: 220 \x1b[2J\x07\udcff\x9b31m")
    assert "S: 220 ?[2J???31m" in as_text(odd, dialogue=True)


def test_the_overview_has_a_line_for_each_run_and_the_reason_where_there_is_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    overview([("area/one", report()), ("area/two", "it [broke]")], console())
    said = capsys.readouterr().out
    assert "area/one" in said
    assert "it [broke]" in said
    assert "1 of 2 scenarios have an outcome" in said


@pytest.mark.parametrize("moment", [0, 951_782_400, 951_868_800, 1_767_603_600, 4_102_444_799])
def test_dates_are_those_of_the_calendar(moment: int) -> None:
    real = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    assert date(moment * 1_000_000) == real.strftime("%b %e %H:%M:%S")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (1.26, "1.3 s"), (59.7, "1 min"), (61, "1 min 1 s"), (3600, "1 h"),
     (3661, "1 h 1 min"), (273_600, "3 d 4 h")],
)  # fmt: skip
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_an_unknown_moment_is_left_blank() -> None:
    assert since(0, 5) == ""
    assert since(6_000_000, 5_000_000) == "+1.0 s"
