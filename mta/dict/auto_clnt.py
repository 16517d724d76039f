"""auto_clnt(3) - a connection to a server that is made when needed, and made anew after a break."""

from __future__ import annotations

from typing import Any

from mta.dict.process import TableProcess
from mta.lib.inet_connect import inet_connect, unix_connect
from mta.system import MICROSECONDS, ConnectError, Gone, Stream, TimedOut, Wait

#: What is left in errno by a connection that was made with a time limit.
IN_PROGRESS = "Operation now in progress"


class AutoClient:
    """The connection.  ``service`` is ``inet:host:port`` or ``unix:path``; it is closed after
    ``max_idle`` seconds without use, ``max_ttl`` seconds at all, and when the server closes it
    (0: never).  Raises Fatal for another kind of service.
    """

    def __init__(
        self, process: TableProcess, service: str, timeout: int, max_idle: int = 0, max_ttl: int = 0
    ) -> None:
        self.process = process
        self.transport, _, self.endpoint = service.partition(":")
        self.timeout = timeout
        self.max_idle = max_idle
        self.max_ttl = max_ttl
        self.buffer = b""
        self._stream: Stream | None = None
        self._opened = 0
        self._used = 0
        if not self.endpoint or not self.transport:
            process.log.fatal(f'need service transport:endpoint instead of "{service}"')
        if self.transport not in ("inet", "local", "unix"):
            process.log.fatal(f"invalid transport name: {self.transport} in service: {service}")

    def _is_stale(self, now: int) -> bool:
        return (
            (self._stream is not None and self._stream.at_end)
            or 0 < self.max_idle * MICROSECONDS < now - self._used
            or 0 < self.max_ttl * MICROSECONDS < now - self._opened
        )

    def access(self) -> Wait[Stream]:
        """The open stream.  Raises ConnectError, after a warning."""
        now = self.process.system.now()
        if self._stream is not None and self._is_stale(now):
            self.recover()
        if self._stream is None:
            connect = inet_connect if self.transport == "inet" else unix_connect
            # the process is a whole one wherever a table of the network is used
            whole: Any = self.process
            try:
                self._stream = yield from connect(whole, self.endpoint, self.timeout)
            except ConnectError as error:
                self.process.log.warning(f"connect to {self.endpoint}: {error.args[0]}")
                raise
            self._opened = self.process.system.now()
        self._used = self.process.system.now()
        return self._stream

    def recover(self) -> None:
        """Ends the connection."""
        if self._stream is not None:
            self._stream.close()
        self._stream = None
        self.buffer = b""

    def send(self, data: bytes) -> Wait[None]:
        """Sends bytes.  Raises Gone, TimedOut."""
        assert self._stream is not None
        self._stream.write(data)
        yield self._stream.flush(self.timeout)

    def more(self) -> Wait[None]:
        """Waits for bytes, for the buffer.  Raises Gone (also at the end), TimedOut."""
        assert self._stream is not None
        data: bytes = yield self._stream.read(4096, self.timeout)
        if not data:
            raise Gone("end of stream")
        self.buffer += data

    def take(self, size: int) -> Wait[bytes]:
        """So many bytes.  Raises Gone, TimedOut."""
        while len(self.buffer) < size:
            yield from self.more()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def take_line(self, limit: int) -> Wait[bytes | None]:
        """A line without its end; None where it has more than ``limit`` bytes.
        Raises Gone, TimedOut.
        """
        while True:
            line, newline, rest = self.buffer.partition(b"\n")
            if len(line) > limit:
                return None
            if newline:
                self.buffer = rest
                return line.removesuffix(b"\r")
            yield from self.more()


def errno_text(error: Exception) -> str:
    """The text of errno after a failed read or write; empty at the end of a stream."""
    if isinstance(error, TimedOut):
        return "Connection timed out"
    return "" if error.args[:1] == ("end of stream",) else "Connection reset by peer"
