"""How long a run takes: ``until``, and when the first client comes."""

from __future__ import annotations

import pytest

from postlab.run import run_scenario
from postlab.scenario import loads

TEXT = """\
format: 1
title: t
mta:
  main.cf: |
    queue_run_delay = 5s
    minimal_backoff_time = {backoff}s
    maximal_backoff_time = {backoff}s
    maximal_queue_lifetime = {lifetime}s
    bounce_queue_lifetime = 1s
    mynetworks = 198.51.100.0/24
dns: {{zone: "dest.test. IN A 203.0.113.33\\n"}}
peers: {{dest.test: {{address: 203.0.113.33, state: refuse}}}}
clients:
- from: 198.51.100.7
  say: [EHLO c.test, "MAIL FROM:<a@dest.test>", "RCPT TO:<b@dest.test>", DATA, "x: y\\n.\\n", QUIT]
until: {until}
"""

CASES = [
    # until, backoff, lifetime: attempts, whether it is given up by then
    (4, 5, 60, 1, False),
    (5, 5, 60, 1, False),
    (6, 5, 60, 2, False),
    (10, 5, 60, 2, False),
    (11, 5, 60, 3, False),
    (12, 10, 10, 2, True),
    (10, 10, 10, 1, False),
]


@pytest.mark.parametrize(("until", "backoff", "lifetime", "attempts", "expired"), CASES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_queue_run_at_the_very_end_is_not_seen_and_what_is_due_is_tried(
    seed: int, until: int, backoff: int, lifetime: int, attempts: int, expired: bool
) -> None:
    text = TEXT.format(until=until, backoff=backoff, lifetime=lifetime)
    outcome = run_scenario(loads(text), seed=seed).report.outcome
    tried = [line for line in outcome.log if "to=<b@dest.test>" in line]
    assert len(tried) == attempts
    assert any("status=expired" in line for line in outcome.log) == expired
