"""smtp_stream(3): lines over a stream, as SMTP servers and clients read and write them.

Input: a line ends in LF; that and the CRs before it are removed.  A line that is longer than a
limit is given in parts.  The end of the stream is an error, even between two lines.

Output is buffered here.  It leaves with :meth:`SmtpStream.flush`, or before the stream is read when
no input is left in the buffer, so that replies to a group of commands travel together.  What fills
more than one buffer (4096 bytes) while a message is sent should leave with :meth:`SmtpStream.drain`
so that a peer that does not read is noticed at the right stage of the dialogue.

Bytes, not text.  Times in seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mta.system import Gone, Stream, TimedOut, Wait

VSTREAM_BUFSIZE = 4096
_CONTENT_BUFSIZE = 65536
_FOREVER = 10**9
_MICROSECONDS = 1_000_000
_CR = 13
_LF = 10
_LAST_LINE = re.compile(rb"\.\r*\n")
_LAST_LINE_LATER = re.compile(rb"\n\.\r*\n")


class SmtpError(Exception):
    """What ends an SMTP dialogue (SMTP_ERR_*)."""


class SmtpEof(SmtpError):
    """The peer has gone (SMTP_ERR_EOF)."""


class SmtpTimeout(SmtpError):
    """The peer did not send, or take, anything in time (SMTP_ERR_TIME)."""


class SmtpQuiet(SmtpError):
    """The program gave up and has said so already (SMTP_ERR_QUIET); raised by programs only."""


class SmtpDataError(SmtpError):
    """The program cannot go on with this session (SMTP_ERR_DATA); raised by programs only."""


class SmtpStream:
    """A stream with the line discipline of SMTP.

    ``stream`` may be replaced (STARTTLS) after :meth:`purge`.  ``complete`` tells whether the line
    that was read last came to its end; it is False for a part of a longer line.
    """

    __slots__ = (
        "_at",
        "_in",
        "_left",
        "_now",
        "_out",
        "_out_size",
        "complete",
        "deadline",
        "stream",
        "timeout",
    )

    def __init__(
        self,
        stream: Stream,
        timeout: float = 0,
        deadline: bool = False,
        now: Callable[[], int] | None = None,
    ) -> None:
        """``timeout`` is for each wait (0: none); with ``deadline`` it is for a whole line, and
        ``now`` (``system.now``) is needed.
        """
        self.stream = stream
        self.timeout = timeout
        self.deadline = deadline
        self.complete = True
        self._now = now
        self._left = 0
        self._in = b""
        self._at = 0
        self._out: list[bytes] = []
        self._out_size = 0

    def setup(self, timeout: float, deadline: bool = False) -> None:
        """Changes the time limit (smtp_stream_setup)."""
        self.timeout = timeout
        self.deadline = deadline

    # -- input --------------------------------------------------------------------------------

    def take(self, limit: int) -> bytes | None:
        """What :meth:`get` would return when it is in the buffer already, else None."""
        data = self._in
        start = self._at
        end = data.find(b"\n", start, start + limit) if limit else data.find(b"\n", start)
        if end < 0:
            size = len(data) - start
            if not limit or size < limit:
                return None
            stop = start + limit
            if data[stop - 1] != _CR:
                self._at = stop
                self.complete = False
                return data[start:stop]
            if size == limit:
                return None
            if data[stop] != _LF:
                self._at = stop
                self.complete = False
                return data[start:stop]
            end = stop
        self._at = end + 1
        self.complete = True
        while end > start and data[end - 1] == _CR:
            end -= 1
        return data[start:end]

    def get_match(self, pattern: re.Pattern[bytes], limit: int) -> Wait[bytes | None]:
        """What a pattern matches at the start of the buffer, when that is less than ``limit``
        bytes, else None; it should match whole lines.  Reads once where the buffer is empty (not
        with ``deadline``).  Raises SmtpEof, SmtpTimeout.
        """
        if self._at >= len(self._in) and not self.deadline:
            yield from self._fill(VSTREAM_BUFSIZE)
        start = self._at
        match = pattern.match(self._in, start)
        if match is None or match.end() - start >= limit:
            return None
        self._at = match.end()
        self.complete = True
        return match[0]

    def get(self, limit: int, skip: bool = False) -> Wait[bytes]:
        """The next line without its end, or its first ``limit`` bytes (0: no limit) where it is
        longer (then ``complete`` is False); ``skip`` throws the rest of a long line away (smtp_get,
        SMTP_GET_FLAG_SKIP).  Raises SmtpEof, SmtpTimeout.
        """
        line = self.take(limit)
        if line is None:
            self._begin()
            while line is None:
                yield from self._fill(VSTREAM_BUFSIZE)
                line = self.take(limit)
        if skip and not self.complete:
            yield from self._skip_line()
        return line

    def _skip_line(self) -> Wait[None]:
        while (end := self._in.find(b"\n", self._at)) < 0:
            self._at = len(self._in)
            yield from self._fill(VSTREAM_BUFSIZE)
        self._at = end + 1

    def get_char(self) -> Wait[int]:
        """The next byte (smtp_fgetc).  Raises SmtpEof, SmtpTimeout."""
        if self._at >= len(self._in):
            self._begin()
            yield from self._fill(VSTREAM_BUFSIZE)
        self._at += 1
        return self._in[self._at - 1]

    def get_text(
        self, limit: int, previous: str = "", unstuff: bool = True
    ) -> Wait[tuple[list[tuple[str, bytes]], bool]]:
        """Many lines of message content at once, up to and without the line that is a lone dot.

        The result are records (``N`` for a line or the last part of one, ``L`` for a part that is
        continued; see :mod:`mta.wire.record`) and whether the lone dot came; call it until it did.
        ``previous`` is the type of the record before (a dot that continues a line is text).
        ``unstuff`` removes the first dot of lines.  Raises SmtpEof, SmtpTimeout.
        """
        if self._in.find(b"\n", self._at) < 0:
            self._begin()
        while True:
            data = self._in
            start = self._at
            last = _last_line(data, start, limit, previous != "L")
            stop, self._at = last or (data.rfind(b"\n", start) + 1, start)
            if stop > start:
                self._at = max(self._at, stop)
                lines = data[start : stop - 1].split(b"\n")
                return _text_records(lines, limit, previous, unstuff), last is not None
            if last:
                return [], True
            part = self.take(limit)
            if part is not None:
                if unstuff and previous != "L" and part.startswith(b"."):
                    part = part[1:]
                return [("N" if self.complete else "L", part)], False
            yield from self._fill(_CONTENT_BUFSIZE)

    def peek(self) -> bytes:
        """Input that was read from the stream and not used yet (vstream_peek_data)."""
        return self._in[self._at :]

    @property
    def readable(self) -> bool:
        """Whether input waits, in the buffer or in the stream (vstream_peek, peekfd)."""
        return self._at < len(self._in) or self.stream.pending > 0

    def _begin(self) -> None:
        """The time limit of a new operation begins (smtp_timeout_reset)."""
        self._left = int(self.timeout * _MICROSECONDS)

    def _started(self) -> int:
        """The moment, where a deadline needs it."""
        return self._now() if self.deadline and self._now is not None else 0

    def _wait(self) -> float:
        if not self.deadline:
            return self.timeout or _FOREVER
        seconds = -(-self._left // _MICROSECONDS)
        if seconds <= 0:
            raise SmtpTimeout
        return seconds

    def _fill(self, size: int) -> Wait[None]:
        """More input behind what is left of it.  Sends pending output first."""
        if self._out:
            yield from self._send()
        wait = self._wait()
        started = self._started()
        try:
            data = yield self.stream.read(size, wait)
        except TimedOut:
            raise SmtpTimeout from None
        except Gone:
            raise SmtpEof from None
        if not data:
            raise SmtpEof
        self._left += started - self._started()
        if self._at < len(self._in):
            self._in = self._in[self._at :] + data
        else:
            self._in = bytes(data)
        self._at = 0

    # -- output -------------------------------------------------------------------------------

    def put_line(self, line: bytes) -> None:
        """Buffers a line and CR LF (smtp_fputs)."""
        self._out.append(line + b"\r\n")
        self._out_size += len(line) + 2

    def put(self, data: bytes) -> None:
        """Buffers bytes as they are (smtp_fwrite, smtp_fputc)."""
        self._out.append(data)
        self._out_size += len(data)

    @property
    def out_pending(self) -> int:
        """How many bytes of output are buffered (VSTREAM_BST_OUT_PEND)."""
        return self._out_size

    def flush(self) -> Wait[None]:
        """Sends all buffered output (smtp_flush).  Raises SmtpEof, SmtpTimeout."""
        if self._out:
            self._begin()
            yield from self._send()

    def drain(self) -> Wait[None]:
        """Sends the buffered output when it is more than one buffer, else leaves it.  What
        remains is less than a buffer.  Raises SmtpEof, SmtpTimeout.
        """
        if self._out_size < VSTREAM_BUFSIZE:
            return
        data = b"".join(self._out)
        size = len(data) - len(data) % VSTREAM_BUFSIZE
        rest = data[size:]
        self._out = [data[:size]]
        self._begin()
        yield from self._send()
        self._out = [rest] if rest else []
        self._out_size = len(rest)

    def _send(self) -> Wait[None]:
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        self._out_size = 0
        wait = self._wait()
        started = self._started()
        self.stream.write(data)
        try:
            yield self.stream.flush(wait)
        except TimedOut:
            raise SmtpTimeout from None
        except Gone:
            raise SmtpEof from None
        self._left += started - self._started()

    # -- the end ------------------------------------------------------------------------------

    def purge(self, read: bool = True, write: bool = True) -> None:
        """Throws buffered input and output away (vstream_fpurge)."""
        if read:
            self._in = b""
            self._at = 0
        if write:
            self._out.clear()
            self._out_size = 0

    def close(self) -> None:
        """Sends what is buffered and ends the connection (vstream_fclose)."""
        if self._out:
            self.stream.write(b"".join(self._out))
            self.purge()
        self.stream.close()


def _last_line(data: bytes, start: int, limit: int, fresh: bool) -> tuple[int, int] | None:
    """Where the line that is a lone dot begins and ends.  CRs may follow the dot, but not so many
    that the line is too long; ``fresh`` tells that a line begins at the start.
    """
    match = _LAST_LINE.match(data, start) if fresh else None
    if match is None:
        match = _LAST_LINE_LATER.search(data, start)
    while match is not None:
        begin = match.start() + (data[match.start()] == _LF)
        if not limit or match.end() - begin <= limit + 1:
            return begin, match.end()
        match = _LAST_LINE_LATER.search(data, match.end() - 1)
    return None


def _text_records(
    lines: list[bytes], limit: int, previous: str, unstuff: bool
) -> list[tuple[str, bytes]]:
    """Records of whole lines (LF removed)."""
    if limit and max(map(len, lines)) >= limit:
        return _long_records(lines, limit, previous, unstuff)
    if previous == "L":
        first = [("N", lines[0].rstrip(b"\r"))]
        return first + _text_records(lines[1:], limit, "N", unstuff) if len(lines) > 1 else first
    if unstuff:
        return [
            ("N", line.rstrip(b"\r") if line[:1] != b"." else line[1:].rstrip(b"\r"))
            for line in lines
        ]
    return [("N", line.rstrip(b"\r")) for line in lines]


def _long_records(
    lines: list[bytes], limit: int, previous: str, unstuff: bool
) -> list[tuple[str, bytes]]:
    """Records of whole lines of which some are longer than a record may be."""
    records: list[tuple[str, bytes]] = []
    for line in lines:
        while len(line) > limit or (len(line) == limit and line[-1] != _CR):
            part = line[:limit]
            line = line[limit:]
            if unstuff and previous != "L" and part.startswith(b"."):
                part = part[1:]
            records.append(("L", part))
            previous = "L"
        if unstuff and previous != "L" and line.startswith(b"."):
            line = line[1:]
        records.append(("N", line.rstrip(b"\r")))
        previous = "N"
    return records
