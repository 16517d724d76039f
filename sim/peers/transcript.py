"""Transcripts: what an administrator would see of a session, a list of lines.

``S: `` is what the server said and ``C: `` what the client said, on both sides of the wire; ``* ``
is an event.  Message content counts as one line that tells how many lines it had.

Here too: what both SMTP sides need to read lines, and to end a connection so that nothing is lost.
"""

from __future__ import annotations

from typing import Protocol

from mta.system import Gone, Stream, TimedOut, Wait

#: A transcript grows at its end only.
Transcript = list[str]

CONNECTED = "* connected"
REFUSED = "* refused"
CLOSED_BY_SERVER = "* closed by server"
CLOSED_BY_CLIENT = "* closed by client"
TLS_FAILED = "* tls failed"
NO_REPLY = "* no reply"

#: Lines of any length are whole lines.
NO_LIMIT = 1 << 40

#: How long a side that has closed takes what the other side still sends, in seconds.
LINGER = 2.0

#: How long a side tries to send, in seconds.
SEND_TIMEOUT = 60.0


class Closed(Exception):
    """The other side ended the connection."""


class Silent(Exception):
    """The other side said nothing for too long."""


class Clock(Protocol):
    """Who knows the time."""

    def now(self) -> int:
        """Microseconds since the epoch."""


def tls_note(version: str) -> str:
    """The event of a handshake that went well: ``* tls TLSv1.3``."""
    return f"* tls {version}"


def content_note(lines: int) -> str:
    """The line that stands for message content."""
    return f"C: <{lines} lines>"


def text_of(line: bytes) -> str:
    """A line from the wire, with its LF, as text without its end."""
    return line[:-1].rstrip(b"\r").decode("utf-8", "surrogateescape")


def next_line(stream: Stream, timeout: float) -> Wait[str]:
    """Sends what was written, and waits for a whole line.  Raises Closed, Silent.

    Ask ``take_line`` before: it is cheaper, and what was written may wait for more.  A line that
    the end of the stream cut short is dropped.
    """
    try:
        yield stream.flush(SEND_TIMEOUT)
    except (Gone, TimedOut):
        pass
    try:
        line: bytes = yield stream.read_line(NO_LIMIT, timeout)
    except TimedOut:
        raise Silent() from None
    except Gone:
        raise Closed() from None
    if line[-1:] != b"\n":
        raise Closed()
    return text_of(line)


def send(stream: Stream) -> Wait[None]:
    """Sends what was written.  That a connection is gone shows at the next read."""
    try:
        yield stream.flush(SEND_TIMEOUT)
    except (Gone, TimedOut):
        pass


def some_bytes(stream: Stream, timeout: float) -> Wait[bytes]:
    """Sends what was written, and reads whatever comes.  Raises Closed, Silent."""
    yield from send(stream)
    try:
        data: bytes = yield stream.read(65536, timeout)
    except TimedOut:
        raise Silent() from None
    except Gone:
        raise Closed() from None
    if not data:
        raise Closed()
    return data


def forget_pending(stream: Stream) -> Wait[None]:
    """Throws away what has come and was not read: plain text from before a TLS handshake."""
    if stream.pending:
        yield stream.read(stream.pending, 0)


def end_gently(stream: Stream, clock: Clock) -> Wait[None]:
    """Ends our side, and takes for a while what the other side still sends, so that none of what
    we said gets lost in a reset.
    """
    shut = getattr(stream, "shut", None)
    try:
        if shut is not None and not stream.at_end:
            yield from send(stream)
            shut()
            limit = clock.now() + round(LINGER * 1_000_000)
            while (left := limit - clock.now()) > 0:
                if not (yield stream.read(65536, left / 1_000_000)):
                    break
        else:
            yield from forget_pending(stream)
            if getattr(stream, "covered", False) and shut is not None:
                shut()
    except (Gone, TimedOut):
        pass
    stream.close()
