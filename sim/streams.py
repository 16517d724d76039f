"""Streams: the two ends of a connection, made by hand for speed.

What is written leaves with ``flush`` as one segment that arrives whole after the latency of the
link.  The rest is as with TCP on Linux, as far as a program can tell:

* what the other side has not read yet, and what is on its way, is bounded by a window; ``flush``
  waits when it is full;
* data that arrives at a closed end makes a reset come back: the first ``flush`` after the other
  side has closed succeeds, later ones raise Gone;
* an end that is closed with unread data sends a reset in place of an orderly end;
* data that came before a reset can still be read, an end that came before a reset stays an end;
* on a UNIX-domain socket the sender knows at once that the other side has closed.

A stream may be *covered* by a cipher (TLS): then what is written and read is plain text, and what
travels is what the cipher makes of it.  Ciphertext is chance, so the trace tells of the text under
it; a *tap* on a connection sees both (see :data:`sim.link.Tap`).

A *passive* end belongs to a peer that only answers: while its task waits for input, the task does
not keep the world from being idle, but a segment on its way to it does.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import shake_128
from typing import Any
from zlib import crc32

from mta.system import Cipher, Endpoint, Gone, TimedOut, Unix
from sim.discretion import Discretion
from sim.engine import DONE, Alarm, Call, Failed, Ready, Wake
from sim.link import Detour, Link

#: How many bytes may be on their way and unread, in each direction.
WINDOW = 256 * 1024

RESET = "Connection reset by peer"
BROKEN = "Broken pipe"
CLOSED = "Bad file descriptor"

_LIMITLESS = 1 << 62
#: So many bytes of a handshake (the headers of a record and of a ClientHello) are no chance.
_HEADER = 11


class SimStream:
    """One end of a connection; a :class:`mta.system.Stream`.

    A timeout of 0 seconds stands for no limit.  Gone carries the errno's text.
    """

    __slots__ = (
        "__weakref__", "_alarm", "_broken", "_cipher", "_closed", "_data", "_deadline", "_engine",
        "_eof", "_error", "_in_flight", "_notice", "_out", "_peer", "_pos", "_reader", "_shut",
        "_told", "_trace", "_unveiled", "_veiled", "_want", "_want_line", "_write_alarm",
        "_write_timeout", "_writer",
        "detour", "link", "local", "passive", "remote", "sealing", "sent", "side",
    )  # fmt: skip

    def __init__(self, link: Link, side: int, local: Endpoint, remote: Endpoint) -> None:
        self.local = local
        self.remote = remote
        self.side = side  #: 0: the end that connected, 1: the end that was connected to
        self.passive = False
        self.sent = 0  #: bytes sent so far
        self.detour: Detour | None = None  #: where faults meddle with what this end sends
        self.link = link
        self._engine = link.engine
        self._trace = link.trace
        self._peer: SimStream = self
        self._data = b""  # arrived, from _pos on not read yet
        self._pos = 0
        self._eof = False  # the other side has closed
        self._error = ""  # the connection was reset; why
        self._closed = False  # we have closed
        self._shut = False  # we have ended what we send, and still read
        self._out: list[bytes] = []
        self._in_flight = 0
        self._reader: Wake | None = None
        self._want = 0
        self._want_line = False
        self._writer: Wake | None = None
        self._alarm: Alarm | None = None
        self._deadline = 0
        self._write_alarm: Alarm | None = None
        self._write_timeout = 0.0
        self._cipher: Cipher | None = None
        self._broken = ""  # the cipher makes no sense of what came; why
        self._notice: Callable[[], None] | None = None
        self.sealing = False  #: what this end sends is chance: a handshake, or ciphertext
        self._unveiled = False  # this end knows what to do with such bytes
        self._veiled: bytes | None = None  # what _data is in truth, where it is veiled
        self._told: tuple[int, int] | None = None  # size and digest of the text under ciphertext

    # -- reading ------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """How many bytes have arrived and are not read yet."""
        return len(self._data) - self._pos

    @property
    def at_end(self) -> bool:
        """Whether the other side is known to have closed and nothing is left to read."""
        over = self._eof or self._error != "" or self._broken != ""
        return over and self._pos == len(self._data)

    def peek(self) -> bytes:
        """What has arrived and is not read yet; it stays there."""
        return self._data[self._pos :]

    def when_readable(self, action: Callable[[], None] | None) -> None:
        """Calls a plain function once, when there is something to read, or the end, or a reset;
        None takes that back.
        """
        if action is not None and (self._pos < len(self._data) or self.at_end):
            action()
        else:
            self._notice = action

    def _tell_of_input(self) -> None:
        action, self._notice = self._notice, None
        assert action is not None
        action()

    def take_line(self, limit: int) -> bytes | None:
        """What ``read_line`` would return at once, or None when it would wait or raise."""
        data, pos = self._data, self._pos
        end = data.find(b"\n", pos, pos + limit) + 1
        if not end:
            if len(data) - pos >= limit:
                end = pos + limit
            elif not self._eof and (not (self._error or self._broken) or pos == len(data)):
                return None
            else:
                end = len(data)
        self._pos = end
        if self._peer._writer is not None:
            self._tell_of_room()
        return data[pos:end]

    def read_line(self, limit: int, timeout: float) -> Any:
        """Leaf: bytes up to and including the next LF, or ``limit`` bytes where there is none
        among them, or what was left before the end of the stream; ``b""`` at the end.
        """
        line = self.take_line(limit)
        if line is not None:
            return Ready(line)
        return self._wait_to_read(limit, timeout, True)

    def read(self, limit: int, timeout: float) -> Any:
        """Leaf: 1 to ``limit`` bytes as they come; ``b""`` at the end."""
        pos = self._pos
        if pos < len(self._data) or self._eof:
            return Ready(self._take(limit))
        return self._wait_to_read(limit, timeout, False)

    def _take(self, limit: int) -> bytes:
        pos = self._pos
        taken = self._data[pos : pos + limit]
        self._pos = pos + len(taken)
        if self._peer._writer is not None:
            self._tell_of_room()
        return taken

    def _wait_to_read(self, limit: int, timeout: float, line: bool) -> Any:
        if self._closed:
            return Failed(Gone(CLOSED))
        if self._error:
            return Failed(Gone(self._error))
        if self._broken:
            return Failed(self._cipher_failed())
        if self._reader is not None:
            raise RuntimeError(f"two tasks read from {self!r}")
        self._want = limit
        self._want_line = line
        self._reader = wake = Wake(self._engine)
        self._arm(timeout)
        if self.passive:
            self._engine.busy -= 1
        return wake

    def _stop_reading(self) -> Wake:
        """The reader, which from now on does not wait any more."""
        wake, self._reader = self._reader, None
        assert wake is not None
        if self.passive:
            self._engine.busy += 1
        return wake

    # -- deadlines: one alarm for a stream, armed again only when it rings -----------------------

    def _arm(self, timeout: float) -> None:
        engine = self._engine
        if not timeout:
            self._deadline = _LIMITLESS
            return
        deadline = self._deadline = engine._now + round(timeout * 1_000_000)
        alarm = self._alarm
        if alarm is not None:
            if alarm.at <= deadline:
                return
            alarm.cancel()
        self._alarm = Alarm(engine, deadline - engine._now, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._reader is None or self._deadline == _LIMITLESS:
            return
        engine = self._engine
        if self._deadline > engine._now:
            self._alarm = Alarm(engine, self._deadline - engine._now, self._ring)
        else:
            self._stop_reading().fire_error(TimedOut())

    # -- writing ------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Buffers bytes.  They leave with ``flush``.  Never fails."""
        if self._cipher is None:
            self._out.append(data)
        elif not self._broken:
            size, digest = self._told or (0, 0)
            self._told = (size + len(data), crc32(data, digest))
            if self.link.tap is not None:
                self.link.tap(self, "sealed", data)
            self._out.append(self._cipher.encrypt(data))

    def write_sealed(self, data: bytes) -> None:
        """Buffers bytes of a handshake, which are chance: the trace tells nothing of them."""
        if data:
            self.sealing = True
            self._told = self._told or (0, 0)
            self._out.append(data)

    def unveil(self) -> None:
        """From now on a handshake reads what comes, and gets it as it is."""
        self._unveiled = True
        if self._veiled is not None:
            self._data, self._veiled = self._veiled, None

    def _veil(self, data: bytes) -> bytes:
        """What an end that expects no cipher reads of a cipher's bytes.  These are chance, even
        for the same seed; what it reads is the same in every run, and begins as they do.
        """
        unread = self._data if self._veiled is None else self._veiled
        self._veiled = unread[self._pos :] + data
        start = b"" if self._pos < len(self._data) else data[:_HEADER]
        name = f"{self.link.ident} {self.side} {len(unread)}"
        return start + shake_128(name.encode()).digest(len(data) - len(start))

    def confide(self) -> None:
        """From now on nothing but what opens a session may go in the clear; see
        :class:`sim.discretion.Discretion`.
        """
        Discretion(self)

    def cover(self, cipher: Cipher) -> None:
        """From now on, what is read and written is plain text, and the cipher is on the wire."""
        if self._out:
            raise RuntimeError(f"{self!r} is covered while output waits")
        self.unveil()
        self.sealing = True
        self._cipher = cipher
        came, self._data, self._pos = self._data[self._pos :], b"", 0
        self._data = self._decrypted(came)
        if self._eof and not cipher.ended:
            self._eof = False
            self._end_of_wire()

    @property
    def covered(self) -> bool:
        """Whether a cipher is on the wire."""
        return self._cipher is not None

    # -- the cipher ---------------------------------------------------------------------------

    def _decrypted(self, data: bytes) -> bytes:
        """The plain text of what came; sends what the protocol has to say to it."""
        cipher = self._cipher
        assert cipher is not None
        plain = cipher.decrypt(data)
        self._after_cipher()
        return plain

    def _end_of_wire(self) -> None:
        """The other side has closed, with or without a word of the cipher's before."""
        assert self._cipher is not None
        self._cipher.end()
        self._after_cipher()

    def _after_cipher(self) -> None:
        """What has become of us by what the cipher was told."""
        cipher = self._cipher
        assert cipher is not None
        reply = cipher.reply()
        if reply and not (self._closed or self._shut or self._error):
            self._out.append(reply)
            if self._writer is None and (len(self._out) == 1 or cipher.broken):
                self._told = self._told or (0, 0)
                data = b"".join(self._out)
                self._out.clear()
                self._send(data)
        if cipher.broken:
            self._broken = cipher.broken
            if self._writer is not None:
                self._stop_writing().fail_soon(Gone(self._broken))
        elif cipher.ended:
            self._eof = True

    def _cipher_failed(self) -> Gone:
        """What a reader gets where the cipher made no sense of what came."""
        assert self._cipher is not None
        self._cipher.failed()
        return Gone(self._broken)

    # -- sending ------------------------------------------------------------------------------

    def flush(self, timeout: float) -> Any:
        """Leaf: sends what was written; the value is None."""
        out = self._out
        if self._error or self._closed or self._shut or self._broken:
            out.clear()
            if self._closed:
                return Failed(Gone(CLOSED))
            if self._broken:
                return Failed(Gone(self._broken))
            return Failed(Gone(BROKEN if self._eof or self._shut else self._error))
        if not out:
            return DONE
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        peer = self._peer
        if peer._closed and isinstance(self.remote, Unix):
            self._error = BROKEN
            return Failed(Gone(BROKEN))
        room = WINDOW - self._in_flight - len(peer._data) + peer._pos
        if room >= len(data):
            self._send(data)
            return DONE
        return self._send_in_parts(data, room, timeout)

    def _send_in_parts(self, data: bytes, room: int, timeout: float) -> Wake:
        if self._writer is not None:
            raise RuntimeError(f"two tasks write to {self!r}")
        if room > 0:
            self._send(data[:room])
            data = data[room:]
        self._out.append(data)
        self._writer = wake = Wake(self._engine)
        self._write_timeout = timeout
        self._arm_writer()
        return wake

    def _arm_writer(self) -> None:
        """The time limit of a writer counts from the last progress."""
        if self._write_alarm is not None:
            self._write_alarm.cancel()
        if self._write_timeout:
            self._write_alarm = self._engine.alarm(self._write_timeout, self._writer_expires)

    def _writer_expires(self) -> None:
        self._stop_writing().fire_error(TimedOut())

    def _stop_writing(self) -> Wake:
        """The writer, which from now on does not wait any more."""
        wake, self._writer = self._writer, None
        assert wake is not None
        if self._write_alarm is not None:
            self._write_alarm.cancel()
            self._write_alarm = None
        return wake

    def _tell_of_room(self) -> None:
        """We have read, and the other side waits for room: it will know after the latency."""
        Call(self._engine, self.link.latency, self._peer._room_came)

    def _room_came(self, _: object) -> None:
        if self._writer is None or self._closed:
            return
        data = b"".join(self._out)
        self._out.clear()
        room = WINDOW - self._in_flight - self._peer.pending
        if room > 0:
            self._send(data[:room])
            data = data[room:]
            self._arm_writer()
        if data:
            self._out.append(data)
        else:
            self._stop_writing().fire(None)

    def _send(self, data: bytes) -> None:
        size = len(data)
        engine, link, peer = self._engine, self.link, self._peer
        self.sent += size
        self._in_flight += size
        told = self._told
        if told is None and self._cipher is None:
            self._trace.add(engine._now, "send", link.ident, self.side, size, crc32(data))
        else:
            text, text_digest = told or (0, 0)
            self._trace.add(engine._now, "sealed", link.ident, self.side, text, text_digest)
            self._told = None
        if link.tap is not None:
            open_text = told is None and self._cipher is None
            link.tap(self, "clear" if open_text else "cipher", data)
        if self.detour is not None:
            self.detour.data(data)
        else:
            if peer.passive:
                engine.busy += 1
            Call(engine, link.latency, peer._arrive, data)

    def deliver(self, data: bytes, delay: int) -> None:
        """Lets a segment arrive at the other side after microseconds."""
        peer = self._peer
        if peer.passive:
            self._engine.busy += 1
        Call(self._engine, delay, peer._arrive, data)

    def lost(self, size: int) -> None:
        """A segment of ours will not arrive, and does not count as under way any more."""
        self._in_flight -= size

    # -- what arrives -------------------------------------------------------------------------

    def _arrive(self, segment: Any) -> None:
        data: bytes = segment._value
        self._peer._in_flight -= len(data)
        if self._closed:
            self._answer_with_reset()
        elif not self._error and not self._eof and not self._broken:
            if self._cipher is not None:
                data = self._decrypted(data)
            elif self._peer.sealing and not self._unveiled:
                data = self._veil(data)
            pos = self._pos
            if pos == len(self._data):
                self._data = data
                self._pos = 0
            else:
                self._data = self._data[pos:] + data
                self._pos = 0
            if self._reader is not None:
                self._serve_reader()
            elif self._notice is not None:
                self._tell_of_input()
        if self.passive:
            self._engine.busy -= 1

    def _serve_reader(self) -> None:
        if self._want_line:
            line = self.take_line(self._want)
            if line is not None:
                self._stop_reading().fire(line)
        elif self._pos < len(self._data) or self._eof:
            self._stop_reading().fire(self._take(self._want))
        if self._broken and self._reader is not None:
            self._stop_reading().fire_error(self._cipher_failed())

    def _end_arrives(self, _: object) -> None:
        if not self._eof and not self._error and not self._broken:
            if self._cipher is None:
                self._eof = True
            else:
                self._end_of_wire()
            if self._reader is not None:
                self._serve_reader()
            elif self._notice is not None:
                self._tell_of_input()
        if self.passive:
            self._engine.busy -= 1

    def _reset_arrives(self, _: object) -> None:
        self._fail(RESET)
        if self.passive:
            self._engine.busy -= 1

    def reset_from_afar(self, _: object) -> None:
        """Something between the ends has reset the connection: the callback of an event."""
        self._fail(RESET)

    def _fail(self, why: str) -> None:
        """The connection broke: wakes who waits."""
        if self._error or self._closed:
            return
        self._error = why
        self._out.clear()
        if self._notice is not None:
            self._tell_of_input()
        if self._reader is not None:
            if self._pos < len(self._data):
                self._stop_reading().fire(self._take(self._want))
            else:
                self._stop_reading().fire_error(Gone(why))
        if self._writer is not None:
            self._stop_writing().fire_error(Gone(BROKEN if self._eof else why))
        self._let_go()

    def _answer_with_reset(self) -> None:
        if not isinstance(self.remote, Unix):
            self._send_reset()

    def _send_reset(self) -> None:
        if self.detour is not None:
            self.detour.reset()
        else:
            self.deliver_reset(self.link.latency)

    # -- ending -------------------------------------------------------------------------------

    def shut(self) -> None:
        """Sends what was written and ends our direction in good order; we still read.

        shutdown(2) with SHUT_WR.  ``close`` must follow.  A cipher says so before.
        """
        if self._closed or self._shut or self._error:
            return
        if self._cipher is not None:
            self.write_sealed(self._cipher.farewell())
        if self._out:
            data = b"".join(self._out)
            self._out.clear()
            self._send(data)
        self._shut = True
        self._trace.add(self._engine._now, "end", self.link.ident, self.side, "shut")
        if self.detour is not None:
            self.detour.end()
        else:
            self.deliver_end(self.link.latency)

    def close(self) -> None:
        """Sends what was written and ends the connection in good order.  May be called twice."""
        if self._closed:
            return
        if not self._error:
            if self._out:
                data = b"".join(self._out)
                self._out.clear()
                self._send(data)
            self._trace.add(self._engine._now, "end", self.link.ident, self.side, "close")
            if self._pos < len(self._data):
                self._send_reset()
            elif self._shut:
                pass
            elif self.detour is not None:
                self.detour.end()
            else:
                self.deliver_end(self.link.latency)
        self._close_down()

    def abort(self) -> None:
        """Ends the connection with a reset."""
        if self._closed:
            return
        if not self._error:
            self._trace.add(self._engine._now, "end", self.link.ident, self.side, "reset")
            self._send_reset()
        self._close_down()

    def _close_down(self) -> None:
        self._closed = True
        self._out.clear()
        if self._reader is not None:
            self._stop_reading().fail_soon(Gone(CLOSED))
        if self._writer is not None:
            self._stop_writing().fail_soon(Gone(CLOSED))
        if not self._error:
            self._let_go()

    def _let_go(self) -> None:
        """The end is over, by a close or a reset: its alarm has nothing to guard any more."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        link = self.link
        link.open_ends -= 1
        if not link.open_ends and link.on_end is not None:
            link.on_end(link)

    def deliver_end(self, delay: int) -> None:
        """Lets an orderly end arrive at the other side after microseconds."""
        peer = self._peer
        if peer.passive:
            self._engine.busy += 1
        Call(self._engine, delay, peer._end_arrives)

    def deliver_reset(self, delay: int) -> None:
        """Lets a reset arrive at the other side after microseconds."""
        peer = self._peer
        if peer.passive:
            self._engine.busy += 1
        Call(self._engine, delay, peer._reset_arrives)

    def __repr__(self) -> str:
        return f"<stream {self.link.ident} {self.local} - {self.remote}>"
