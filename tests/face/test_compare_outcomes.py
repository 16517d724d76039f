"""Comparison: what differs from run to run does not count, and all else does."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from postlab.compare import compare
from postlab.compare.labels import label, label_like, queue_ids

REPORT = (
    "Content-Type: multipart/report; report-type=delivery-status;\n"
    '\tboundary="7F7D02A.1795342147/mx.example.org"\n\n<a@x.test>: no\n\n<b@x.test>: no\n\n'
    "--7F7D02A.1795342147/mx.example.org\n\nFinal-Recipient: rfc822; a@x.test\nStatus: 5.1.1\n\n"
    "Final-Recipient: rfc822; b@x.test\nStatus: 5.1.1\n\n--\n"
)


def outcome() -> dict[str, Any]:
    return {
        "clients": [
            {"from": "198.51.100.7", "transcript": ["S: 250 2.0.0 Ok: queued as 7F7D02A", "C: QUIT"]}
        ],
        "peers": [
            {"peer": "one.test", "transcript": ["C: MAIL FROM:<a@b> SIZE=300", "S: 250 Ok"]},
            {"peer": "two.test", "transcript": ["C: XFORWARD PORT=40001 ADDR=1.2.3.4"]},
        ],
        "delivered": [
            {
                "where": "mailbox alice",
                "sender": "a@client.test",
                "recipients": ["alice@example.org", "bob@example.org"],
                "message": "Received: by mx (Postfix)\n\tid 7F7D02A; Sun, 22 Nov 2026 10:09:07 "
                "+0000 (UTC)\nMessage-Id: <20261122100907.7F7D02A@mx.example.org>\n\nhi\n",
            },
            {"where": "mailbox bob", "sender": "", "recipients": [], "message": REPORT},
        ],
        "log": [
            "postfix/smtpd[17]: 7F7D02A: client=unknown[198.51.100.7]",
            "postfix/cleanup[20]: 7F7D02A: message-id=<20261122100907.7F7D02A@mx.example.org>",
            "postfix/qmgr[16]: 7F7D02A: from=<a@client.test>, size=208, nrcpt=2 (queue active)",
            "postfix/smtp[21]: 7F7D02A: to=<u@one.test>, relay=one.test[203.0.113.1]:25, "
            "conn_use=2, delay=0.01, delays=0/0/0/0, dsn=2.0.0, status=sent (250 Ok)",
            "postfix/smtp[22]: 7F7D02A: to=<u@two.test>, relay=two.test[203.0.113.2]:25, "
            "delay=0.02, delays=0/0/0/0, dsn=2.0.0, status=sent (250 Ok)",
            "postfix/qmgr[16]: 7F7D02A: removed",
            "postfix/anvil[30]: statistics: max connection rate 1/60s",
        ],
        "queue": [],
        "policy": {
            "inet:127.0.0.1:1": [
                {"client_port": "40001", "instance": "inst.9", "size": "300",
                 "protocol_state": "END-OF-MESSAGE"}
            ]
        },
        "milters": {"inet:127.0.0.1:2": []},
        "commands": [
            {
                "command": "mailq",
                "exit": 0,
                "output": "-Queue ID- --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
                "7F7D02A      300 Sun Nov 22 10:09:03  a@x.test\n"
                "                                         b@y.test\n\n-- 1 Kbytes in 1 Request.\n",
            }
        ],
    }  # fmt: skip


def changed(old: str, new: str) -> dict[str, Any]:
    """The outcome with a text replaced everywhere."""

    def change(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(old, new)
        if isinstance(value, list):
            return [change(item) for item in value]
        if isinstance(value, dict):
            return {key: change(item) for key, item in value.items()}
        return value

    result: dict[str, Any] = change(outcome())
    assert result != outcome(), f"{old!r} does not stand in the outcome"
    return result


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("7F7D02A", "3wX5kL1fJpz9Ck8"),  # a long queue id
        ("7F7D02A", "ABCDEF012"),
        ("[17]", "[4711]"),
        ("Sun, 22 Nov 2026 10:09:07 +0000 (UTC)", "Mon,  5 Jan 2026 09:00:01 +0000 (UTC)"),
        ("Sun Nov 22 10:09:03", "Mon Jan  5 09:00:01"),
        ("20261122100907.", "20260105090001."),
        (".1795342147/", ".1767603601/"),
        ("delay=0.02, delays=0/0/0/0", "delay=77, delays=1/2/3/4.5"),
        ("conn_use=2, ", ""),
        ("size=208", "size=1208"),
        ("SIZE=300", "SIZE=301"),
        ("PORT=40001", "PORT=52000"),
        ("40001", "41000"),
        ("inst.9", "inst.7"),
        ("      300 ", "      999 "),
        ("-- 1 Kbytes", "-- 7 Kbytes"),
        ("rate 1/60s", "rate 9/60s"),
    ],
)
def test_what_differs_from_run_to_run_does_not_count(old: str, new: str) -> None:
    result = compare(outcome(), changed(old, new))
    assert result.equal, result.text()


@pytest.mark.parametrize(
    ("old", "new", "section"),
    [
        ("C: QUIT", "C: quit", "clients"),
        ("S: 250 Ok", "S: 250 ok", "peers"),
        ("hi\n", "ho\n", "delivered"),
        ("status=sent", "status=deferred", "log"),
        ("smtpd[", "pickup[", "log"),
        ("b@y.test", "c@y.test", "commands"),
        ("END-OF-MESSAGE", "RCPT", "policy"),
        ("Status: 5.1.1", "Status: 5.7.1", "delivered"),
        ("relay=two.test", "relay=none", "log"),
    ],
)
def test_what_the_mail_system_said_counts(old: str, new: str, section: str) -> None:
    result = compare(outcome(), changed(old, new))
    assert [part.name for part in result.different()] == [section]
    assert not result.equal
    assert 0 < result.share < 1
    assert f"--- {section}" in result.text()


def test_the_order_of_what_runs_side_by_side_does_not_count() -> None:
    other = outcome()
    other["peers"].reverse()
    other["delivered"].reverse()
    other["log"][3], other["log"][4] = other["log"][4], other["log"][3]
    other["delivered"][1]["recipients"].reverse()
    other["delivered"][0]["message"] = (
        REPORT.replace("a@x.test", "?").replace("b@x.test", "a@x.test").replace("?", "b@x.test")
    )
    assert compare(outcome(), other).equal


def test_the_order_of_what_one_process_says_counts() -> None:
    other = outcome()
    other["log"][2], other["log"][5] = other["log"][5], other["log"][2]
    assert [part.name for part in compare(outcome(), other).different()] == ["log"]


def test_a_milter_that_was_never_asked_is_as_good_as_none() -> None:
    other = outcome()
    other["milters"] = {}
    assert compare(outcome(), other).equal


def test_comparing_leaves_the_outcomes_alone() -> None:
    left, right = outcome(), outcome()
    keep = copy.deepcopy(left)
    compare(left, right)
    assert (left, right) == (keep, keep)


def two_messages(first: str, second: str) -> dict[str, Any]:
    return {
        "log": [
            f"postfix/smtp[1]: {first}: to=<a@x.test>, status=sent",
            f"postfix/smtp[2]: {second}: to=<b@x.test>, status=deferred",
        ]
    }


def test_queue_ids_are_matched_by_their_story_and_not_by_their_order() -> None:
    left = two_messages("AAAAAA1", "BBBBBB2")
    right = two_messages("CCCCCC3", "DDDDDD4")
    right["log"].reverse()
    assert queue_ids(right) == ["DDDDDD4", "CCCCCC3"]
    assert label_like(right, left, label(left)) == {"CCCCCC3": "Q1", "DDDDDD4": "Q2"}
    assert compare(left, right).equal


def test_an_id_without_a_partner_gets_a_label_of_its_own() -> None:
    left = two_messages("AAAAAA1", "BBBBBB2")
    right = two_messages("CCCCCC3", "DDDDDD4")
    right["log"].append("postfix/qmgr[3]: EEEEEE5: removed")
    assert label_like(right, left, label(left))["EEEEEE5"] == "Q3"
    assert not compare(left, right).equal
