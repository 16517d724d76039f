"""Traffic for the benchmarks: labs with a number of messages in them."""

from __future__ import annotations

import time
from collections.abc import Callable

from postlab.lab import Lab

CONTENT = "Subject: hello\nMessage-Id: <{n}@client.test>\n\nhello there\nthis is a small message\n."


def relay(messages: int, per_session: int = 50) -> Lab:
    """A mail system that relays small messages to one destination, each with one recipient:
    through smtpd, cleanup, qmgr and smtp.
    """
    lab = Lab(seed=1)
    lab.mta(main_cf="mynetworks = 198.51.100.0/24")
    lab.peer("mx.dest.test", mx_for=["dest.test"])
    numbers = iter(range(messages))
    for start in range(0, messages, per_session):
        client = lab.client("198.51.100.7").say("EHLO client.test")
        for _ in range(min(per_session, messages - start)):
            client.say(
                {"pipeline": ["MAIL FROM:<a@client.test>", "RCPT TO:<b@dest.test>", "DATA"]},
                CONTENT.format(n=next(numbers)),
            )
        client.say("QUIT")
    return lab


def deferred(days: str = "5d") -> Lab:
    """One message to a destination that is down, and the time until it comes back."""
    lab = Lab(seed=1)
    lab.mta(main_cf="mydestination = example.org", users=["alice"])
    lab.peer("mx.down.test", mx_for=["down.test"], state="refuse")
    lab.submit("alice", "bob@down.test")
    return lab


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of a piece of work."""
    begin = time.process_time()
    work()
    return time.process_time() - begin
