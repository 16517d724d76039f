"""What happened in a session, and why: commands, replies, and the decisions between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: Programs whose decisions belong to the SMTP server's.
_ASKED = frozenset(("smtpd", "trivial-rewrite", "proxymap", "verify", "postscreen"))


@dataclass(slots=True)
class Event:
    """A decision (or a line of the log) while a command was under way."""

    command: int  #: how many commands had been said
    kind: str
    facts: Mapping[str, Any]


@dataclass(slots=True)
class Decision:
    """A decision, and those that it was made of."""

    kind: str
    facts: Mapping[str, Any]
    children: list[Decision] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """``dunno``, ``permit``, ``reject``, …; empty for what is no verdict."""
        return str(self.facts.get("verdict", ""))


@dataclass(slots=True)
class Exchange:
    """A command, what came back, and why."""

    command: str  #: empty for the connection itself
    replies: list[str] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    @property
    def refused(self) -> bool:
        """Whether the answer is a 4xx or 5xx."""
        return bool(self.replies) and self.replies[-1][:1] in ("4", "5")

    @property
    def deciding(self) -> Decision | None:
        """The decision from which the reply comes: the last one, down to the bottom."""
        return _deciding(self.decisions, "reject") if self.refused else None


def _deciding(decisions: Sequence[Decision], verdict: str) -> Decision | None:
    for at in range(len(decisions) - 1, -1, -1):
        decision = decisions[at]
        if decision.kind == "put off":
            return _putting_off(decisions[:at])
        if decision.verdict == verdict:
            return _deciding(decision.children, verdict) or decision
    return None


def _putting_off(decisions: Sequence[Decision]) -> Decision | None:
    """The restriction that put a rejection off."""
    for decision in reversed(decisions):
        if decision.kind == "restriction" and decision.facts["changes"].get("defer_if_permit"):
            return _putting_off(decision.children) or decision
    return None


def exchanges(transcript: Iterable[str], events: Iterable[Event]) -> list[Exchange]:
    """The session, command by command."""
    found = [Exchange("")]
    for line in transcript:
        mark, _, text = line.partition(" ")
        if mark == "C:":
            found.append(Exchange(text))
        elif mark == "S:":
            found[-1].replies.append(text)
        else:
            found[-1].replies.append(f"({text})")
    pending: list[list[Event]] = [[] for _ in found]
    for event in events:
        place = min(event.command, len(found) - 1)
        if event.kind == "log":
            found[place].log.append(str(event.facts["text"]))
        elif event.facts.get("process", "smtpd") in _ASKED:
            pending[place].append(event)
    for exchange, mine in zip(found, pending, strict=True):
        exchange.decisions = tree(mine)
    return found


def tree(events: Sequence[Event]) -> list[Decision]:
    """Decisions as they are made of each other: a restriction begins, asks, and is told."""
    levels: list[list[Decision]] = [[]]  # what is open: all, then each restriction in another
    for event in events:
        if event.kind == "restriction begins":
            levels.append([])
            continue
        decision = Decision(event.kind, event.facts)
        if event.kind == "restriction" and len(levels) > 1:
            decision.children = levels.pop()
        levels[-1].append(decision)
    return [decision for level in levels for decision in level]
