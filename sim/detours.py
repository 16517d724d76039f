"""What the faults on a connection make of the bytes that one end sends (see :mod:`sim.faults`)."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from sim.clock import FOREVER, micros
from sim.engine import Call, Engine
from sim.faults import (
    Corrupt,
    Delay,
    FaultPlan,
    Flood,
    HalfClose,
    Merge,
    NetworkFault,
    Partition,
    Reset,
    Rewrite,
    Split,
    Stall,
)
from sim.link import Detour
from sim.streams import SimStream


class FaultyWay(Detour):
    """The way from one end of a connection to the other, with faults on it.

    Segments queue up here in order.  The one in front may be held by a stall or a partition; when
    it is let through, it may be delayed, split, or merged with those behind it.
    """

    def __init__(self, stream: SimStream, plan: FaultPlan, faults: Sequence[NetworkFault]) -> None:
        self.faults = list(faults)
        self._stream = stream
        self._plan = plan
        self._engine: Engine = stream.link.engine
        self._latency = stream.link.latency
        #: What waits: its position, its data (None is the end), and when it left.
        self._queue: deque[tuple[int, bytes | None, int]] = deque()
        self._position = stream.sent  # of the next byte to be queued
        self._last_arrival = 0
        self._over = False  # nothing more gets through: reset, or closed half
        self._struck: dict[NetworkFault, int] = {}  # faults that struck here, and when
        self._wake_at = FOREVER
        self._ends_with_reset = False

    # -- what the end sends -------------------------------------------------------------------

    def data(self, data: bytes) -> None:
        """A segment leaves."""
        for at in self._borders(len(data)):
            self._queue.append((self._position, data[:at], self._engine.now))
            self._position += at
            data = data[at:]
        self._queue.append((self._position, data, self._engine.now))
        self._position += len(data)
        self.go_on()

    def end(self) -> None:
        """The orderly end of the stream leaves."""
        self._queue.append((self._position, None, self._engine.now))
        self.go_on()

    def reset(self) -> None:
        """A reset leaves.  Where the way is blocked it is lost, since nobody sends it again."""
        if not self._over and self._blocked_until(self._position) <= self._engine.now:
            self._ends_with_reset = True
            self.go_on()

    def _borders(self, size: int) -> list[int]:
        """Where a segment must be cut, since a fault begins there; each counted from the last."""
        begin = self._position
        found = {
            fault.after - begin
            for fault in self.faults
            if isinstance(fault, Reset | HalfClose | Stall) and begin < fault.after < begin + size
        }
        cuts = [0, *sorted(found)]
        return [b - a for a, b in pairwise(cuts)]

    # -- what gets through --------------------------------------------------------------------

    def go_on(self) -> None:
        """Lets through what is not held."""
        while self._queue:
            position, data, left = self._queue[0]
            if self._over:
                self._queue.popleft()
                self._lose(data)
                continue
            if self._cut_off(position, data):
                continue
            until = self._held_until(position, left)
            if until > self._engine.now:
                self._try_again_at(until)
                return
            self._queue.popleft()
            if data is None:
                self._stream.deliver_end(self._delay())
            else:
                data = self._merged(data)
                if self._alter:
                    data = self._altered(position, data)
                if data:
                    self._let_through(data)
        if self._ends_with_reset and not self._over:
            self._over = True
            self._stream.deliver_reset(self._delay())

    def _lose(self, data: bytes | None) -> None:
        if data:
            self._stream.lost(len(data))

    @property
    def _alter(self) -> bool:
        return any(isinstance(fault, Corrupt | Flood | Rewrite) for fault in self.faults)

    def _altered(self, position: int, data: bytes) -> bytes:
        """What becomes of a segment by who meddles with what is in it."""
        end = position + len(data)
        before = len(data)
        floods: list[tuple[int, bytes]] = []
        for fault in self.faults:
            if isinstance(fault, Corrupt):
                first = max(fault.after, position) - position
                last = min(fault.after + fault.count, end) - position
                if first < last and self._strike(fault):
                    changed = bytes(byte ^ fault.flip for byte in data[first:last])
                    data = data[:first] + changed + data[last:]
            elif isinstance(fault, Flood):
                if position <= fault.after < end and self._strike(fault):
                    floods.append((fault.after - position, bytes([fault.byte]) * fault.size))
        for at, junk in sorted(floods, reverse=True):
            data = data[:at] + junk + data[at:]
        for fault in self.faults:
            if isinstance(fault, Rewrite) and re.search(fault.pattern, data):
                if self._strike(fault):
                    data = re.sub(fault.pattern, fault.replacement, data)
        self._stream.lost(before - len(data))
        return data

    def _strike(self, fault: NetworkFault) -> bool:
        """Whether a fault strikes: once it has struck a connection it does so until its end."""
        if fault in self._struck:
            return self._engine.now < fault.end
        if not fault.active(self._engine.now):
            return False
        self._struck[fault] = self._engine.now
        self._plan.fire(fault, repr(self._stream))
        return True

    def _cut_off(self, position: int, data: bytes | None) -> bool:
        for fault in self.faults:
            if isinstance(fault, Reset | HalfClose) and position >= fault.after:
                if self._strike(fault):
                    self._over = True
                    if isinstance(fault, Reset):
                        self._stream.deliver_reset(self._delay())
                        Call(self._engine, self._latency, self._stream.reset_from_afar)
                    else:
                        self._stream.deliver_end(self._delay())
                    return True
        return False

    def _held_until(self, position: int, left: int) -> int:
        """Until when that which left at a moment has to wait here."""
        until = self._blocked_until(position)
        for fault in self.faults:
            if isinstance(fault, Merge) and self._strike(fault):
                until = max(until, left + micros(fault.seconds))
        return until

    def _blocked_until(self, position: int) -> int:
        """Until when nothing gets through from that position on; in the past if it does."""
        now = self._engine.now
        until = 0
        for fault in self.faults:
            if now >= fault.end or not isinstance(fault, Stall | Partition):
                continue
            if isinstance(fault, Partition):
                if self._strike(fault):
                    until = max(until, fault.end)
            elif position >= fault.after and self._strike(fault):
                begin = self._struck[fault]
                limit = fault.end if fault.seconds is None else begin + micros(fault.seconds)
                until = max(until, limit)
        return until

    def _try_again_at(self, until: int) -> None:
        if until < self._wake_at:
            self._wake_at = until
            Call(self._engine, until - self._engine.now, self._wake_up)

    def _wake_up(self, _: object) -> None:
        self._wake_at = FOREVER
        self.go_on()

    def _merged(self, data: bytes) -> bytes:
        """The data with what waits behind it, where segments are merged."""
        if not any(isinstance(fault, Merge) and fault in self._struck for fault in self.faults):
            return data
        parts = [data]
        while self._queue and self._queue[0][1] and not self._is_border(self._queue[0][0]):
            parts.append(self._queue.popleft()[1] or b"")
        return b"".join(parts)

    def _is_border(self, position: int) -> bool:
        return any(
            isinstance(fault, Reset | HalfClose | Stall) and fault.after == position
            for fault in self.faults
        )

    def _delay(self) -> int:
        """How long what leaves now is on its way; it never overtakes what left before."""
        now = self._engine.now
        delay = self._latency
        for fault in self.faults:
            if isinstance(fault, Delay) and self._strike(fault):
                delay += micros(fault.seconds)
        arrival = self._last_arrival = max(self._last_arrival, now + delay)
        return arrival - now

    def _let_through(self, data: bytes) -> None:
        delay = self._delay()
        for fault in self.faults:
            if isinstance(fault, Split) and len(data) > fault.size and self._strike(fault):
                gap = micros(fault.gap)
                for start in range(0, len(data), fault.size):
                    self._stream.deliver(data[start : start + fault.size], delay)
                    delay += gap
                self._last_arrival = self._engine.now + delay - gap
                return
        self._stream.deliver(data, delay)
