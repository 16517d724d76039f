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


def many_recipients(count: int) -> Lab:
    """One message with so many recipients at one destination."""
    lab = Lab(seed=1)
    limits = f"smtpd_recipient_limit = {count}\nsmtpd_recipient_overshoot_limit = {count}"
    lab.mta(main_cf=f"mynetworks = 198.51.100.0/24\n{limits}")
    lab.peer("mx.dest.test", mx_for=["dest.test"])
    client = lab.client("198.51.100.7").say("EHLO client.test", "MAIL FROM:<a@client.test>")
    client.say(*(f"RCPT TO:<user{n}@dest.test>" for n in range(count)))
    client.say("DATA", CONTENT.format(n=0), "QUIT")
    return lab


def large_message(kilobytes: int) -> Lab:
    """One message of that size through smtpd, cleanup and local into a mailbox."""
    lab = Lab(seed=1)
    limits = "message_size_limit = 0\nmailbox_size_limit = 0"
    lab.mta(main_cf=f"mydestination = example.org\n{limits}", users=["alice"])
    text = ("x" * 63 + "\n") * 16 * kilobytes
    client = lab.client("198.51.100.7").say("EHLO client.test", "MAIL FROM:<a@client.test>")
    client.say("RCPT TO:<alice@example.org>", "DATA", f"Subject: large\n\n{text}.", "QUIT")
    return lab


def connections(count: int) -> Lab:
    """So many clients one after the other."""
    lab = Lab(seed=1)
    lab.mta(main_cf="mydestination = example.org", users=["alice"])
    for _ in range(count):
        lab.client("198.51.100.7").say("EHLO client.test", "QUIT")
    return lab


def rejected(count: int) -> Lab:
    """So many recipients that are not wanted: a line of the mail log for each."""
    lab = Lab(seed=1)
    limits = f"smtpd_soft_error_limit = {count + 1}\nsmtpd_hard_error_limit = {count + 1}"
    lab.mta(main_cf=f"mydestination = example.org\n{limits}", users=["alice"])
    client = lab.client("198.51.100.7").say("EHLO client.test", "MAIL FROM:<a@client.test>")
    client.say(*(f"RCPT TO:<user{n}@other.test>" for n in range(count)), "QUIT")
    return lab


def destinations(count: int) -> Lab:
    """So many messages, each to a domain of its own."""
    lab = Lab(seed=1)
    lab.mta(main_cf="mynetworks = 198.51.100.0/24")
    lab.peer("mx.dest.test", mx_for=[f"dest{n}.test" for n in range(count)])
    for start in range(0, count, 50):
        client = lab.client("198.51.100.7").say("EHLO client.test")
        for n in range(start, min(start + 50, count)):
            envelope = ["MAIL FROM:<a@client.test>", f"RCPT TO:<b@dest{n}.test>", "DATA"]
            client.say({"pipeline": envelope}, CONTENT.format(n=n))
        client.say("QUIT")
    return lab


def deferred_queue(count: int) -> Lab:
    """So many messages that cannot be delivered, in the deferred queue; they came over hours, so
    that each has a time of its own.
    """
    lab = Lab(seed=1)
    lab.mta(main_cf="mynetworks = 198.51.100.0/24")
    lab.peer("mx.down.test", mx_for=["down.test"], state="refuse")
    for _ in range(10):
        client = lab.client("198.51.100.7").say("EHLO client.test")
        for n in range(count // 10):
            envelope = ["MAIL FROM:<a@client.test>", "RCPT TO:<b@down.test>", "DATA"]
            client.say({"pipeline": envelope}, CONTENT.format(n=n))
        client.say("QUIT")
        lab.run(until="700s")
    return lab


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of a piece of work."""
    begin = time.process_time()
    work()
    return time.process_time() - begin
