"""The trace: what happened in a world, in order, and a hash over it.

Two runs are the same when their hashes are.  Hashing is batched, since it is done for every segment
on every wire; the events themselves are kept only where somebody will look at them.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from hashlib import blake2b
from itertools import zip_longest
from typing import Any, NamedTuple
from zlib import crc32

from sim import clock

#: The version of marshal's format that tells values and nothing else: not what is interned, nor
#: what is the same object.
_BY_VALUE = 0

#: How many events are hashed at a time.
BATCH = 512

#: The kinds of event and the names of their facts.
KINDS: dict[str, tuple[str, ...]] = {
    "log": ("host", "tag", "pid", "text"),
    "connect": ("connection", "local", "remote"),
    "no-connect": ("local", "remote", "why"),
    "send": ("connection", "side", "size", "digest"),
    "sealed": ("connection", "side", "size", "digest"),  # encrypted; of the text, 0 in a handshake
    "end": ("connection", "side", "how"),
    "datagram": ("source", "destination", "size", "digest"),
    "query": ("server", "question"),
    "answer": ("server", "question", "answer"),
    "create": ("host", "path"),
    "write": ("host", "path", "size", "digest"),
    "rename": ("host", "path", "new"),
    "remove": ("host", "path"),
    "run": ("host", "path", "status"),
    "delivered": ("where", "size", "digest"),
    "fault": ("what", "whom"),
    "note": ("text",),
}


class Event(NamedTuple):
    """One event: its moment (microseconds since the epoch), kind, and facts (see KINDS)."""

    at: int
    kind: str
    facts: tuple[Any, ...]

    def fact(self, name: str) -> Any:
        """The fact of that name.  Raises ValueError where the kind has none such."""
        return self.facts[KINDS[self.kind].index(name)]

    def __str__(self) -> str:
        facts = " ".join(
            f"{name}={value}"
            for name, value in zip_longest(KINDS[self.kind], self.facts, fillvalue="?")
        )
        return f"{clock.iso(self.at)} {self.kind} {facts}"


class Decision(NamedTuple):
    """A decision that the mail system reported: moment, kind, facts.  Not part of the hash."""

    at: int
    kind: str
    facts: Mapping[str, Any]


class Difference(NamedTuple):
    """The first place where two traces part; None stands for the end of a trace."""

    position: int
    ours: Event | None
    theirs: Event | None


class Trace:
    """Events in order, hashed; kept as well if ``keep``."""

    def __init__(self, keep: bool = False) -> None:
        self.keep = keep
        self.count = 0
        self._hash = blake2b(digest_size=16)
        self._batch: list[tuple[Any, ...]] = []
        self._kept: list[tuple[Any, ...]] = []

    def add(self, *event: Any) -> None:
        """Adds an event: its moment, its kind, and its facts in the order of KINDS.

        Facts are whole numbers, text and bytes, and the plain types, which are the same everywhere.
        """
        batch = self._batch
        batch.append(event)
        if len(batch) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        batch = self._batch
        if batch:
            self._hash.update(b"".join([marshal.dumps(event, _BY_VALUE) for event in batch]))
            self.count += len(batch)
            if self.keep:
                self._kept += batch
            batch.clear()

    def hash(self) -> str:
        """The hash over all that happened so far, in hexadecimal."""
        self._flush()
        return self._hash.hexdigest()

    def events(self, kind: str = "") -> list[Event]:
        """The events so far, all or of one kind.  Raises ValueError where they were not kept."""
        if not self.keep:
            raise ValueError("the events of this trace were not kept (keep_trace=True keeps them)")
        self._flush()
        return [Event(e[0], e[1], e[2:]) for e in self._kept if not kind or e[1] == kind]

    def first_difference(self, other: Trace) -> Difference | None:
        """Where this trace and another part; None where they are the same.

        Raises ValueError where the events of one were not kept.
        """
        pairs = zip_longest(self.events(), other.events())
        for position, (ours, theirs) in enumerate(pairs):
            if ours != theirs:
                return Difference(position, ours, theirs)
        return None


def digest(data: bytes) -> int:
    """A short digest of data for an event."""
    return crc32(data)
