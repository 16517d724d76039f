"""Mail that comes faster than it goes (in_flow_delay), and a queue manager that is full.

The delays are those of a real Postfix 3.0.15.
"""

from __future__ import annotations

import re

import pytest

from postlab import Lab

SITE = """
mydestination = example.org
mynetworks = 192.0.2.0/24
smtp_rcpt_timeout = 12s
qmgr_message_active_limit = 1
default_process_limit = 3
"""
_DELAYS = re.compile(r"to=<([^@]*)@.*delays=([0-9.]+)/")


def waits(settings: str) -> dict[str, str]:
    """How long each of some messages was in the queue behind one that takes twelve seconds."""
    lab = Lab(seed=1)
    lab.mta(SITE + settings)
    lab.peer("mx.slow.test", mx_for=["slow.test"]).on("RCPT", do="silent")
    lab.peer("mx.fast.test", mx_for=["fast.test"])
    client = lab.client("192.0.2.30").say("EHLO pc").mail("a@example.org", "first@slow.test")
    for number in range(2, 8):
        client.mail("a@example.org", f"m{number}@fast.test")
    client.quit()
    found = [match for line in map(str, lab.log) if (match := _DELAYS.search(line))]
    return {match[1]: match[2] for match in found}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("", "0 12 12 12 12 11 10"),
        ("in_flow_delay = 2s", "0 12 12 12 12 10 8"),
        ("in_flow_delay = 0", "0 12 12 12 12 12 12"),
        ("default_process_limit = 100", "0 12 12 12 12 12 12"),
    ],
)
def test_clients_wait_when_the_queue_manager_has_no_tokens_left(
    settings: str, expected: str
) -> None:
    found = waits(settings)
    names = ["first", *(f"m{number}" for number in range(2, 8))]
    assert [found[name] for name in names] == expected.split()


def test_all_mail_is_taken_up_when_there_is_room_again() -> None:
    assert len(waits("qmgr_message_active_limit = 2")) == 7


def test_the_newest_deferred_message_is_tried_first() -> None:
    lab = Lab(seed=1)
    lab.mta(
        "mydestination = example.org\nmynetworks = 192.0.2.0/24\n"
        "initial_destination_concurrency = 1\n"
    )
    lab.peer("mx.dead.test", mx_for=["dead.test"], state="refuse")
    for number in range(3):
        client = lab.client("192.0.2.30").say("EHLO pc")
        client.mail("a@example.org", f"m{number}@dead.test").quit()
    lab.settle()
    before = len(list(lab.log))
    lab.command("postqueue -f")
    lines = [str(line) for line in lab.log][before:]
    tried = [line for line in lines if "status=deferred (connect to" in line]
    assert len(tried) == 1 and "to=<m2@dead.test>" in tried[0]
    assert sum("delivery temporarily suspended" in line for line in lines) == 2
