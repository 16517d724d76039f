"""Faults: typed rows that say when, what and whom.

A fault that never fired is reported (:meth:`FaultPlan.unused`): a silent fault is a false green.
Whom a fault of the network concerns is said by the direction of the connection: ``source`` is who
connects, ``host`` and ``port`` to whom; each a machine's name or an address, empty for any.  On a
connection, ``sender`` says whose bytes are meant.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

from sim.clock import FOREVER
from sim.trace import Trace

#: Whose bytes a fault on a connection concerns: of who connected, or of who was connected to.
Side = Literal["client", "server"]

_SIDES: dict[str, int] = {"client": 0, "server": 1}


@dataclass(slots=True, kw_only=True, eq=False)
class Fault:
    """What all faults have: when, and how often.

    ``start`` and ``end`` are moments (microseconds since the epoch); ``times`` counts connections,
    datagrams or operations on files.
    """

    start: int = 0
    end: int = FOREVER
    times: int | None = None
    fired: int = 0

    def active(self, now: int) -> bool:
        """Whether it may strike at this moment."""
        return self.start <= now < self.end and (self.times is None or self.fired < self.times)


@dataclass(slots=True, kw_only=True, eq=False)
class NetworkFault(Fault):
    """A fault between hosts."""

    source: str = ""
    host: str = ""
    port: int = 0

    def concerns(self, source: tuple[str, str], target: tuple[str, str], port: int) -> bool:
        """Whether it is about that way; each side is its machine's name and its address."""
        return (
            (not self.source or self.source in source)
            and (not self.host or self.host in target)
            and (not self.port or self.port == port)
        )


# -- faults of connecting ------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True, eq=False)
class Refuse(NetworkFault):
    """Connections and datagrams are refused: Connection refused."""


@dataclass(slots=True, kw_only=True, eq=False)
class Drop(NetworkFault):
    """The first packet of a connection, or the datagram, vanishes."""


@dataclass(slots=True, kw_only=True, eq=False)
class Unreachable(NetworkFault):
    """A router answers that there is no way: ``No route to host``, ``Network is unreachable``."""

    why: str = "No route to host"


# -- faults on a connection ----------------------------------------------------------------------


@dataclass(slots=True, kw_only=True, eq=False)
class StreamFault(NetworkFault):
    """A fault on a connection that stands; ``sender`` is whose bytes it concerns."""

    sender: Side = "server"

    @property
    def side(self) -> int:
        """The side as a number: 0 who connected, 1 who was connected to."""
        return _SIDES[self.sender]


@dataclass(slots=True, kw_only=True, eq=False)
class Reset(StreamFault):
    """Both sides get a reset when the sender has sent ``after`` bytes."""

    after: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class HalfClose(StreamFault):
    """The sender seems to have closed after ``after`` bytes; the other direction still works."""

    after: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class Stall(StreamFault):
    """Nothing passes after ``after`` bytes, for ``seconds`` or for ever."""

    after: int = 0
    seconds: float | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Delay(StreamFault):
    """Each segment takes ``seconds`` longer."""

    seconds: float = 0.0


@dataclass(slots=True, kw_only=True, eq=False)
class Split(StreamFault):
    """Segments are cut in pieces of ``size`` bytes, which arrive ``gap`` seconds apart."""

    size: int = 1
    gap: float = 0.0


@dataclass(slots=True, kw_only=True, eq=False)
class Merge(StreamFault):
    """Segments wait for up to ``seconds`` and arrive as one."""

    seconds: float = 0.0


@dataclass(slots=True, kw_only=True, eq=False)
class Corrupt(StreamFault):
    """``count`` bytes after the first ``after`` arrive changed (each XOR ``flip``)."""

    after: int = 0
    count: int = 1
    flip: int = 0xFF


@dataclass(slots=True, kw_only=True, eq=False)
class Flood(StreamFault):
    """After ``after`` bytes, ``size`` bytes arrive that nobody has sent."""

    after: int = 0
    size: int = 4096
    byte: int = 0xA5


@dataclass(slots=True, kw_only=True, eq=False)
class Rewrite(StreamFault):
    r"""Somebody in the middle replaces in each segment what matches a pattern, as ``re.sub`` does.

    Without STARTTLS: ``Rewrite(pattern=rb"250[- ]STARTTLS\r\n", replacement=b"")``.
    """

    pattern: bytes = b""
    replacement: bytes = b""


@dataclass(slots=True, kw_only=True, eq=False)
class Partition(NetworkFault):
    """No packet from ``source`` reaches ``host`` (one direction) until ``end``.

    Here ``source`` and ``host`` are sender and receiver of packets, whoever connected.  What was
    sent on a connection meanwhile arrives when it is over.
    """


# -- faults of the disk --------------------------------------------------------------------------

Operation = Literal["create", "write", "append", "rename", "remove", "sync", "read", "mkdir"]


@dataclass(slots=True, kw_only=True, eq=False)
class DiskFault(Fault):
    """A fault of operations on paths that begin with ``path``, on one machine or all.

    ``operation`` is one of ``Operation``, or empty for those that change the disk.
    """

    machine: str = ""
    path: str = "/"
    operation: Operation | Literal[""] = ""

    CHANGES: ClassVar[frozenset[str]] = frozenset(
        ("create", "write", "append", "rename", "remove", "sync", "mkdir")
    )

    def concerns(self, machine: str, path: str, operation: str) -> bool:
        """Whether it is about that operation."""
        return (
            (not self.machine or self.machine == machine)
            and path.startswith(self.path)
            and (operation == self.operation if self.operation else operation in self.CHANGES)
        )


@dataclass(slots=True, kw_only=True, eq=False)
class DiskError(DiskFault):
    """The operation fails with an errno."""

    code: int = errno.EIO

    def error(self, path: str) -> OSError:
        """The exception to raise."""
        return OSError(self.code, os.strerror(self.code), path)


@dataclass(slots=True, kw_only=True, eq=False)
class DiskFull(DiskError):
    """No space left on device."""

    code: int = errno.ENOSPC


@dataclass(slots=True, kw_only=True, eq=False)
class SlowDisk(DiskFault):
    """A sync takes ``seconds``."""

    operation: Operation | Literal[""] = "sync"
    seconds: float = 1.0


F = TypeVar("F", bound=Fault)


class FaultPlan:
    """The faults of a world, in the order in which they are asked."""

    def __init__(self, trace: Trace, now: Callable[[], int]) -> None:
        self.rows: list[Fault] = []
        self._trace = trace
        self._now = now
        self._on_change: list[Callable[[], None]] = []

    def add(self, *faults: Fault) -> None:
        """Adds faults; those on connections concern the connections that stand, too."""
        self.rows += faults
        self._changed()

    def heal(self, fault: Fault) -> None:
        """Ends a fault at this moment."""
        fault.end = self._now()
        self._changed()

    def fire(self, fault: Fault, whom: str) -> None:
        """Notes that a fault has struck."""
        fault.fired += 1
        self._trace.add(self._now(), "fault", type(fault).__name__, whom)

    def of(self, kind: type[F]) -> Iterator[F]:
        """The faults of a type that may strike now."""
        now = self._now()
        return (row for row in self.rows if isinstance(row, kind) and row.active(now))

    def unused(self) -> list[Fault]:
        """The faults that never fired."""
        return [row for row in self.rows if not row.fired]

    def on_change(self, action: Callable[[], None]) -> None:
        """Calls a function whenever the plan changes."""
        self._on_change.append(action)

    def _changed(self) -> None:
        for action in self._on_change:
            action()
