"""What is not as it was, from one outcome to another, in the words of an administrator.

Both outcomes get placeholders for what differs from run to run; what differs then is told by what
it is: a reply, the fate of a recipient, a message that arrives.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from postlab.compare.labels import label, label_like
from postlab.compare.placeholders import EVERYWHERE, apply, with_placeholders
from postlab.compare.sections import log_lines
from reports.changes import Change
from reports.dialogues import exchanges
from reports.fates import Fate, Message, Story, read
from reports.outcome import Report

T = TypeVar("T")
Data = Mapping[str, Any]

#: Lines of a diff that are shown at most.
_MOST_LINES = 60


def changes(old: Report, new: Report) -> list[Change]:
    """Everything that is not in ``new`` as it is in ``old``."""
    left, right = old.outcome.to_json(), new.outcome.to_json()
    labels = label(left)
    others = label_like(right, left, labels)
    sides = _Side(old, left, labels), _Side(new, right, others)
    return [
        *_replies(*sides),
        *_fates(*sides),
        *_arrivals(*sides),
        *_listed("decision", sides, _Side.decisions),
        *_listed("queue", sides, _Side.queue),
        *_questions(*sides),
        *_sessions(*sides),
        *_commands(*sides),
        *_listed("warning", sides, _Side.warnings),
        *_other_lines(*sides),
    ]


class _Side:
    """One of the outcomes, with placeholders."""

    def __init__(self, report: Report, data: Data, labels: Mapping[str, str]) -> None:
        self.data = with_placeholders(data, labels)
        self.story: Story = read(report.outcome.log, report.moments)
        self.labels = labels

    def plain(self, text: str) -> str:
        """A text of the log with placeholders."""
        for name, other in self.labels.items():
            if name in text:
                text = text.replace(name, other)
        return apply(EVERYWHERE, text)

    def fates(self) -> dict[tuple[str, str, str, int], str]:
        """What became of each recipient, by sender, recipient, and the recipient that was given."""
        found: dict[tuple[str, str, str, int], str] = {}
        for message in sorted(self.story.messages, key=self._order):
            sender = message.sender or ("<>" if message.sender == "" else "?")
            for fate in message.fates:
                names = (sender, fate.recipient, fate.original)
                number = sum(key[:3] == names for key in found)
                found[(*names, number)] = self.plain(_told(fate))
        return found

    def _order(self, message: Message) -> tuple[int, str]:
        name = self.labels.get(message.queue_id, "")
        return (int(name[1:]) if name[1:].isdigit() else 1 << 30, message.queue_id)

    def decisions(self) -> Iterator[str]:
        """Decisions that no reply tells: hold, discard, redirect, …"""
        for item in self.story.rejects:
            if not item.kind.endswith("reject"):
                what = f"{item.kind} at {item.stage}" if item.stage else item.kind
                who = "" if item.recipient is None else f" ({item.sender} to {item.recipient})"
                yield self.plain(f"{what}: {item.reply}{who}")

    def queue(self) -> Iterator[str]:
        """What is left in the queue."""
        for entry in self.data["queue"]:
            for item in entry["recipients"]:
                reason = f": {item['reason']}" if item["reason"] else ""
                sender = entry["sender"] or "<>"
                yield f"{entry['queue']}: {sender} to {item['address']}{reason}"

    def warnings(self) -> Iterator[str]:
        """Warnings and worse in the log."""
        for line in self.story.troubles:
            yield self.plain(f"{line.service}: {line.text}")


def _told(fate: Fate) -> str:
    tries = f" at try {fate.attempts}" if fate.attempts > 1 else ""
    relay = f" via {fate.relay}" if fate.relay not in ("", "none") else ""
    return f"{fate.status}{tries}{relay}: {fate.reason}"


# -- replies ---------------------------------------------------------------------------------------


def _replies(old: _Side, new: _Side) -> Iterator[Change]:
    left, right = old.data["clients"], new.data["clients"]
    for number, (one, two) in enumerate(zip(left, right, strict=False), 1):
        who = f"client {number} ({one['from']})" if len(left) > 1 else f"client {one['from']}"
        before, after = exchanges(one["transcript"]), exchanges(two["transcript"])
        for first, second in _aligned(before, after, key=lambda item: item.command):
            said = first or second
            assert said is not None
            one_told = "(not said)" if first is None else first.told
            two_told = "(not said)" if second is None else second.told
            if one_told != two_told:
                yield Change("reply", f"{who}: {said.command}", one_told, two_told)


def _aligned(
    left: Sequence[T], right: Sequence[T], key: Callable[[T], Hashable]
) -> Iterator[tuple[T | None, T | None]]:
    """The items of two lists side by side, by their keys, in order."""
    matcher = difflib.SequenceMatcher(None, [key(i) for i in left], [key(i) for i in right], False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            yield from zip(left[a:b], right[c:d], strict=True)
        else:
            yield from ((item, None) for item in left[a:b])
            yield from ((None, item) for item in right[c:d])


# -- mail ------------------------------------------------------------------------------------------


def _fates(old: _Side, new: _Side) -> Iterator[Change]:
    before, after = old.fates(), new.fates()
    for key in {**before, **after}:
        if before.get(key) != after.get(key):
            sender, recipient, original, _ = key
            given = f" (for {original})" if original else ""
            what = f"{sender} to {recipient}{given}"
            yield Change("fate", what, before.get(key, ""), after.get(key, ""))


def _arrivals(old: _Side, new: _Side) -> Iterator[Change]:
    """Messages that reached somebody in one outcome only, or with another content."""
    gone, come = _only(old.data["delivered"], new.data["delivered"])
    for item in gone:
        twin = next((other for other in come if _envelope(other) == _envelope(item)), None)
        if twin is None:
            yield Change("arrival", _envelope(item), "arrives", "")
            continue
        come.remove(twin)
        lines = _diff(item["message"].split("\n"), twin["message"].split("\n"))
        yield Change("arrival", _envelope(item), "as it was", "with another content", lines)
    for item in come:
        yield Change("arrival", _envelope(item), "", "arrives")


def _envelope(item: Data) -> str:
    to = ", ".join(item.get("recipients") or ())
    sender = item.get("sender")
    told = f" from {sender or '<>'}" if sender is not None else ""
    return f"{item['where']}:{told}{f' to {to}' if to else ''}"


# -- the rest --------------------------------------------------------------------------------------


def _only(left: Iterable[Any], right: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    """The items that are in one list only, in their order."""
    found = []
    for mine, theirs in ((left, right), (right, left)):
        spare = Counter(json.dumps(item, sort_keys=True) for item in theirs)
        only = []
        for item in mine:
            text = json.dumps(item, sort_keys=True)
            if spare[text]:
                spare[text] -= 1
            else:
                only.append(item)
        found.append(only)
    return found[0], found[1]


def _listed(
    kind: str, sides: tuple[_Side, _Side], lines: Callable[[_Side], Iterator[str]]
) -> Iterator[Change]:
    """Lines that are in one outcome only."""
    gone, come = _only(list(lines(sides[0])), list(lines(sides[1])))
    yield from (Change(kind, "no more", old=text) for text in gone)
    yield from (Change(kind, "new", new=text) for text in come)


def _questions(old: _Side, new: _Side) -> Iterator[Change]:
    for kind, noun in (("policy", "request"), ("milters", "event")):
        left, right = old.data[kind], new.data[kind]
        for endpoint in {**left, **right}:
            one, two = left.get(endpoint, []), right.get(endpoint, [])
            if one != two:
                lines = _diff(list(map(_flat, one)), list(map(_flat, two)))
                what = f"{kind.removesuffix('s')} {endpoint}"
                yield Change(
                    "question", what, _count(len(one), noun), _count(len(two), noun), lines
                )


def _flat(item: Any) -> str:
    if isinstance(item, dict):
        return " ".join(f"{key}={value}" for key, value in item.items() if value)
    return " ".join(map(str, item))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _sessions(old: _Side, new: _Side) -> Iterator[Change]:
    """What peers hear."""
    gone, come = _only(old.data["peers"], new.data["peers"])
    for name in dict.fromkeys(item["peer"] for item in (*gone, *come)):
        one = [line for item in gone if item["peer"] == name for line in item["transcript"]]
        two = [line for item in come if item["peer"] == name for line in item["transcript"]]
        before = sum(item["peer"] == name for item in old.data["peers"])
        after = sum(item["peer"] == name for item in new.data["peers"])
        yield Change(
            "session", name, _count(before, "session"), _count(after, "session"), _diff(one, two)
        )


def _commands(old: _Side, new: _Side) -> Iterator[Change]:
    for one, two in zip(old.data["commands"], new.data["commands"], strict=False):
        if one != two:
            lines = _diff(one["output"].splitlines(), two["output"].splitlines())
            yield Change(
                "command", one["command"], f"exit {one['exit']}", f"exit {two['exit']}", lines
            )


def _other_lines(old: _Side, new: _Side) -> Iterator[Change]:
    """All other lines of the log: their number, and the lines to look at."""
    left, right = log_lines(old.data["log"]), log_lines(new.data["log"])
    lines = _diff(left, right)
    if not lines:
        return
    gone = sum(line.startswith("-") for line in lines)
    come = sum(line.startswith("+") for line in lines)
    yield Change("log", "lines of the mail log", f"{gone} no more", f"{come} new", lines)


def _diff(left: Sequence[str], right: Sequence[str]) -> tuple[str, ...]:
    """The lines that differ, with a little of what is around them."""
    lines = list(difflib.unified_diff(left, right, lineterm="", n=1))[2:]
    shown = [line for line in lines if not line.startswith("@@")]
    if len(shown) > _MOST_LINES:
        more = len(shown) - _MOST_LINES
        shown[_MOST_LINES:] = [f"  … and {more} lines more"]
    return tuple(shown)
