"""What another configuration changes: the model that comparisons fill and pages draw.

A :class:`Change` is one thing that is not as it was: a reply, the fate of a recipient, a message
that arrives.  An :class:`Effect` holds those of one scenario, a :class:`Comparison` all of them,
with what differs in the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

#: The kinds of changes, what people care for first, and their headings.
KINDS: dict[str, str] = {
    "start": "The mail system",
    "reply": "Replies",
    "fate": "What becomes of mail",
    "arrival": "What arrives",
    "decision": "Decisions on the way in",
    "queue": "Left in the queue",
    "question": "Policy servers and milters",
    "session": "Dialogues with other servers",
    "command": "Commands",
    "warning": "Warnings in the mail log",
    "log": "Other lines of the mail log",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is not as it was; ``""`` in ``old`` or ``new`` where it is not there."""

    kind: str  #: of :data:`KINDS`
    what: str  #: what it is about: ``client 198.51.100.7: RCPT TO:<bob@example.org>``
    old: str = ""
    new: str = ""
    detail: tuple[str, ...] = ()  #: lines of a unified diff, where there is more to see

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "kind": self.kind,
            "what": self.what,
            "old": self.old,
            "new": self.new,
            "detail": list(self.detail),
        }


@dataclass(frozen=True, slots=True)
class Setting:
    """Something in the files that differs: a parameter, a service, a table."""

    name: str
    old: str  #: ``""`` where there is none
    new: str
    detail: tuple[str, ...] = ()  #: lines of a unified diff
    old_is_default: bool = False  #: the old value is not set, but what holds without
    new_is_default: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name,
            "old": self.old,
            "new": self.new,
            "old_is_default": self.old_is_default,
            "new_is_default": self.new_is_default,
            "detail": list(self.detail),
        }


@dataclass(slots=True)
class Effect:
    """What changes in one scenario."""

    name: str  #: the file, or a name
    title: str
    changes: list[Change] = field(default_factory=list)
    error: str = ""  #: why there is nothing to compare
    doubts: list[str] = field(default_factory=list)  #: why the comparison is not to be trusted

    @property
    def same(self) -> bool:
        """Whether all is as it was."""
        return not self.changes and not self.error

    def by_kind(self) -> list[tuple[str, list[Change]]]:
        """(heading, changes) of each kind that there is, in the order of :data:`KINDS`."""
        found = [(KINDS[k], [c for c in self.changes if c.kind == k]) for k in KINDS]
        return [(heading, changes) for heading, changes in found if changes]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name,
            "title": self.title,
            "changes": [change.to_json() for change in self.changes],
            "error": self.error,
            "doubts": self.doubts,
        }


@dataclass(slots=True)
class Comparison:
    """Two configurations over the same traffic."""

    old: str  #: names of the configurations
    new: str
    settings: list[Setting] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)  #: of the world, where no scenario says it

    @property
    def same(self) -> bool:
        """Whether no scenario shows a change."""
        return all(effect.same for effect in self.effects)

    @property
    def changed(self) -> Sequence[Effect]:
        """The scenarios in which something changes, or that cannot be compared."""
        return [effect for effect in self.effects if not effect.same]

    def headline(self) -> str:
        """All in one line."""
        total = len(self.effects)
        count = f"{total} scenario{'' if total == 1 else 's'}"
        failed = sum(bool(effect.error) for effect in self.effects)
        changed = len(self.changed) - failed
        if self.same:
            return f"{count}: nothing changes"
        parts = [f"{changed} of {count} change{'s' if changed == 1 else ''}"] if changed else []
        parts += [f"{failed} cannot be compared"] if failed else []
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "old": self.old,
            "new": self.new,
            "same": self.same,
            "settings": [setting.to_json() for setting in self.settings],
            "scenarios": [effect.to_json() for effect in self.effects],
            "assumed": self.assumed,
        }
