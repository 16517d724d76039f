"""The session fingerprint and the transcript tell the same story."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from postlab.lab import Lab

MAIN_CF = """
mydestination = example.org
smtpd_sender_restrictions = inline:{{bad.test=REJECT}}
smtpd_hard_error_limit = 100
smtpd_error_sleep_time = 0
"""
COMMANDS = (
    "HELO client.test", "EHLO client.test", "EHLO", "MAIL FROM:<a@client.test>",
    "MAIL FROM:<>", "MAIL FROM:<a@bad.test>", "MAIL", "RCPT TO:<alice@example.org>",
    "RCPT TO:<nobody@example.org>", "RCPT TO:<x@far.test>", "RCPT", "DATA", "RSET", "NOOP",
    "VRFY alice", "ETRN far.test", "FOO", "AUTH PLAIN x", "QUIT",
)  # fmt: skip
CONTENT = "Subject: x\n\nx\n.\n"
UNCOUNTED = "unknown"
KNOWN = frozenset(
    ["helo", "ehlo", "mail", "rcpt", "data", "rset", "noop", "vrfy", "etrn", "quit", "auth"]
)


def counted(transcript: list[str]) -> dict[str, str]:
    """The fingerprint that belongs to a transcript of commands, one at a time."""
    good: Counter[str] = Counter()
    every: Counter[str] = Counter()
    name = ""
    for line in transcript:
        if line.startswith("C: "):
            verb = line[3:].split()[0].lower()
            if verb.startswith("<"):  # the content belongs to DATA
                continue
            name = verb if verb in KNOWN else UNCOUNTED
            every[name] += 1
            good[name] += 1
        elif line[:3] == "S: " and line[3] in "45" and line[6:7] != "-" and name:
            good[name] -= 1
    total = sum(every.values())
    rows = {name: _row(good[name], count) for name, count in every.items()}
    return {**rows, "commands": _row(sum(good.values()), total)}


def _row(good: int, every: int) -> str:
    return str(every) if good == every else f"{good}/{every}"


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(COMMANDS), min_size=1, max_size=12))
def test_the_fingerprint_is_what_the_transcript_says(commands: list[str]) -> None:
    lab = Lab()
    lab.mta(MAIN_CF, users=["alice"])
    client = lab.client("198.51.100.7")
    for command in commands:
        client.say(command)
        if command == "DATA":
            client.say(CONTENT)
    lab.run()
    assert client.fingerprint.counts == counted(client.transcript)
