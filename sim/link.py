"""What the two ends of a connection share, and who looks at it or meddles with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sim.engine import Engine
from sim.trace import Trace

if TYPE_CHECKING:
    from sim.streams import SimStream

#: Who listens to a connection: gets the end that sends, what is seen, and the bytes.  ``clear`` are
#: bytes that travel as they are, ``sealed`` the text that is to travel encrypted, and ``cipher``
#: the bytes of a handshake or of encrypted text.
Tap = Callable[["SimStream", str, bytes], None]


class Link:
    """What both ends of a connection share."""

    __slots__ = ("ends", "engine", "ident", "latency", "on_end", "open_ends", "tap", "trace")

    def __init__(self, engine: Engine, trace: Trace, ident: int, latency: int) -> None:
        self.engine = engine
        self.trace = trace
        self.ident = ident  #: the number of the connection in the trace
        self.latency = latency  #: microseconds, one way
        self.open_ends = 2
        self.on_end: Callable[[Link], None] | None = None
        self.ends: tuple[SimStream, ...] = ()
        self.tap: Tap | None = None


class Detour:
    """What faults make of that which one end sends; see :mod:`sim.faults`."""

    def data(self, data: bytes) -> None:
        """A segment leaves."""
        raise NotImplementedError

    def end(self) -> None:
        """The orderly end of the stream leaves."""
        raise NotImplementedError

    def reset(self) -> None:
        """A reset leaves."""
        raise NotImplementedError
