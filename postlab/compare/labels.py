"""Queue ids of two outcomes brought together.

Ids are labelled ``Q1``, ``Q2``, … in order of appearance.  Since mail moves in parallel, the second
outcome's ids get the labels of those ids of the first whose lines are most like theirs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from postlab.compare.placeholders import LOG_LINE, QUEUE_ID, log_line

_AT_START = re.compile(rf"^({QUEUE_ID}): ")
_IN_REPLY = re.compile(rf"\b(?:queued as|queued mail for delivery|id) ({QUEUE_ID})\b")
_IN_MAILQ = re.compile(rf"(?m)^({QUEUE_ID})[*!#]? +\d+ ")
_IN_POSTSUPER = re.compile(rf"\b({QUEUE_ID}): (?:released from|placed on|removed|requeued)")
_ANY = re.compile(rf"\b{QUEUE_ID}\b")
_MESSAGE_ID_TIME = re.compile(r"\b20\d{12}\.")

Outcome = Mapping[str, Any]


def queue_ids(outcome: Outcome) -> list[str]:
    """The queue ids of the mail system, in order of appearance."""
    return list(dict.fromkeys(_appearances(outcome)))


def _appearances(outcome: Outcome) -> Iterator[str]:
    for client in outcome.get("clients", []):
        for line in client["transcript"]:
            if line.startswith("S: "):
                yield from _IN_REPLY.findall(line)
    for line in outcome.get("log", []):
        match = LOG_LINE.match(line)
        start = _AT_START.match(match[2]) if match else None
        if start:
            yield start[1]
    for item in outcome.get("commands", []):
        yield from _IN_MAILQ.findall(item.get("output", ""))
        yield from _IN_POSTSUPER.findall(item.get("output", ""))


def label(outcome: Outcome) -> dict[str, str]:
    """Labels in order of appearance."""
    return {name: f"Q{number}" for number, name in enumerate(queue_ids(outcome), 1)}


def label_like(outcome: Outcome, model: Outcome, labels: Mapping[str, str]) -> dict[str, str]:
    """Labels for an outcome that agree with the model's wherever both tell the same story."""
    ours, theirs = queue_ids(outcome), list(labels)
    # at first no line knows what the other ids in it are; the second time it does
    chosen = _pair(_stories(outcome, ours, {}), _stories(model, theirs, {}), labels)
    chosen = _pair(_stories(outcome, ours, chosen), _stories(model, theirs, labels), labels)
    number = len(labels)
    for name in ours:
        if name not in chosen:
            number += 1
            chosen[name] = f"Q{number}"
    return chosen


Stories = dict[str, Counter[str]]


def _stories(outcome: Outcome, ids: list[str], labels: Mapping[str, str]) -> Stories:
    """For each id the lines that hold it: itself is ``own``, others have labels or are blank."""
    stories: Stories = {name: Counter() for name in ids}

    for line in _lines(outcome):
        words = [word for word in _ANY.findall(line) if word in stories]
        for own in words:
            names = {word: labels.get(word, "Q?") for word in words} | {own: "own"}
            text = _rename(line, names)
            text = _MESSAGE_ID_TIME.sub("TIME.", text)
            stories[own][log_line(text) or ""] += 1
    return stories


def _rename(line: str, names: Mapping[str, str]) -> str:
    return _ANY.sub(lambda match: names.get(match[0], match[0]), line)


def _lines(outcome: Outcome) -> Iterator[str]:
    yield from outcome.get("log", [])
    for number, client in enumerate(outcome.get("clients", [])):
        for place, line in enumerate(client["transcript"]):
            if line.startswith("S: "):
                yield f"client{number}: {place} {line}"


def _pair(ours: Stories, theirs: Stories, labels: Mapping[str, str]) -> dict[str, str]:
    """Each id of ours with the label of the most similar id of theirs, best pairs first."""
    chosen: dict[str, str] = {}
    free: dict[frozenset[tuple[str, int]], list[str]] = {}
    for name, story in theirs.items():
        free.setdefault(frozenset(story.items()), []).append(name)
    taken = set()
    for name, story in ours.items():  # the same story: no need to look further
        same = free.get(frozenset(story.items()))
        if same and story:
            other = same.pop(0)
            taken.add(other)
            chosen[name] = labels[other]
    left = [(i, name) for i, name in enumerate(ours) if name not in chosen]
    right = [(j, name) for j, name in enumerate(theirs) if name not in taken]
    pairs = [
        (-(ours[a] & theirs[b]).total(), abs(i - j), i, j, a, b) for i, a in left for j, b in right
    ]
    for score, _, _, _, a, b in sorted(pairs):
        if score and a not in chosen and b not in taken:
            chosen[a] = labels[b]
            taken.add(b)
    return chosen
