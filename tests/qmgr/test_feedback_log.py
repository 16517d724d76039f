"""What ``destination_concurrency_feedback_debug`` tells; the lines are those of Postfix 3.0.15."""

from __future__ import annotations

import pytest

from postlab import Lab

SITE = """
mydestination = example.org
mynetworks = 192.0.2.0/24
destination_concurrency_feedback_debug = yes
"""
DEFAULT = "smtp: default_destination_concurrency_{}_feedback feedback type 0 value at 5: 1"
TYPES = [DEFAULT.format("positive"), DEFAULT.format("negative")]
BAD = "warning: default_destination_concurrency_{}_feedback: ignoring malformed or unreasonable"

#: Settings, whether the server is there, and what the queue manager says.
CASES = [
    ("", True, [
        *TYPES,
        "qmgr_queue_unthrottle: feedback 1",
        "qmgr_queue_unthrottle: queue dest.test: limit 20 window 6 success 0 failure 0 "
        "fail_cohorts 0",
    ]),
    ("smtp_destination_concurrency_limit = 3", False, [
        *TYPES,
        "qmgr_queue_throttle: feedback 1",
        "qmgr_queue_throttle: queue dest.test: limit 3 window 1 success 0 failure 1 "
        "fail_cohorts 0.333333",
    ]),
    ("smtp_destination_concurrency_positive_feedback = 1/concurrency\n"
     "smtp_destination_concurrency_negative_feedback = 1/3\n"
     "smtp_destination_concurrency_failed_cohort_limit = 5\n"
     "initial_destination_concurrency = 2", False, [
        "smtp: smtp_destination_concurrency_positive_feedback feedback type 1 value at 2: 0.5",
        "smtp: smtp_destination_concurrency_negative_feedback feedback type 0 value at 2: 0.333333",
        "qmgr_queue_throttle: feedback 0.333333",
        "qmgr_queue_throttle: queue dest.test: limit 20 window 1 success 0 failure 0.666667 "
        "fail_cohorts 0.5",
    ]),
    ("default_destination_concurrency_negative_feedback = bogus\n"
     "default_destination_concurrency_positive_feedback = 3", False, [
        BAD.format("positive") + " feedback: 3", TYPES[0],
        BAD.format("negative") + " feedback: bogus", TYPES[1],
        "qmgr_queue_throttle: feedback 1",
        "qmgr_queue_throttle: queue dest.test: limit 20 window 3 success 0 failure 1 "
        "fail_cohorts 0.2",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "listens", "expected"), CASES)
def test_the_window_of_a_destination_is_logged(
    settings: str, listens: bool, expected: list[str]
) -> None:
    lab = Lab(seed=1)
    lab.mta(f"{SITE}{settings}\n")
    lab.peer("mx.dest.test", mx_for=["dest.test"], state="listen" if listens else "refuse")
    lab.client("192.0.2.30").say("EHLO pc").mail("a@example.org", "bob@dest.test").quit()
    lines = [str(line).partition(": ")[2] for line in lab.log if "/qmgr[" in str(line)]
    assert [line for line in lines if "feedback" in line or "window" in line] == expected
