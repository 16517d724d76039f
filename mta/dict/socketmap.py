"""``socketmap:inet:host:port:name``, ``socketmap:unix:path:name`` - Sendmail's protocol for tables
(socketmap_table(5)).

A request is the netstring ``name key``; the reply is one with ``OK value``, ``NOTFOUND``, ``TEMP``,
``TIMEOUT`` or ``PERM`` and a reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mta.dict.errors import DictConfigError, TableError
from mta.dict.flags import DICT_FLAG_NO_UNAUTH, DICT_FLAG_PATTERN
from mta.dict.process import TableProcess
from mta.dict.registry import Dict, dict_surrogate, dict_type
from mta.lib.inet_connect import inet_connect, unix_connect
from mta.lib.log import printable
from mta.system import MICROSECONDS, ConnectError, Gone, Stream, TimedOut, Wait
from mta.util.parens import WHITESPACE
from mta.wire.text import to_bytes, to_text

#: Seconds for connecting, reading, writing.
_TIMEOUT = 100
#: Bytes of a reply.
_MAX_REPLY = 100_000
#: Seconds after which an idle connection, or any, is closed.
_MAX_IDLE = 10
_MAX_AGE = 100

_IN_PROGRESS = "Operation now in progress"
_CONNECTIONS = "socketmap"

_EOF = "unexpected disconnect"
_TIME = "time limit exceeded"
_FORMAT = "input format error"
_SIZE = "input exceeds size limit"

#: What a server's failures are called, and whether they are temporary.
_FAILURES = {"TEMP": "temporary", "TIMEOUT": "timeout", "PERM": "permanent"}


class NetstringError(Exception):
    """A netstring could not be read; ``args[0]`` says why (netstring_strerror)."""


@dataclass(slots=True)
class SocketmapConnection:
    """The connection to a server, which all maps of that server share (auto_clnt(3))."""

    transport: str
    endpoint: str
    stream: Stream | None = None
    opened: int = 0
    used: int = 0
    buffer: bytes = b""

    def access(self, process: TableProcess) -> Wait[Stream]:
        """The open stream.  Raises ConnectError after a warning."""
        now = process.system.now()
        if self.stream is not None and (
            self.stream.at_end
            or now - self.used > _MAX_IDLE * MICROSECONDS
            or now - self.opened > _MAX_AGE * MICROSECONDS
        ):
            self.close()
        if self.stream is None:
            connect = inet_connect if self.transport == "inet" else unix_connect
            whole: Any = process
            try:
                self.stream = yield from connect(whole, self.endpoint, _TIMEOUT)
            except ConnectError as error:
                process.log.warning(f"connect to {self.endpoint}: {error.args[0]}")
                raise
            self.opened = process.system.now()
        self.used = process.system.now()
        return self.stream

    def close(self) -> None:
        """Ends the connection."""
        if self.stream is not None:
            self.stream.close()
        self.stream = None
        self.buffer = b""

    def exchange(self, stream: Stream, data: bytes) -> Wait[bytes]:
        """Sends a netstring and reads one.  Raises NetstringError."""
        try:
            stream.write(b"%d:%b," % (len(data), data))
            yield stream.flush(_TIMEOUT)
            size = yield from self._length(stream)
            if size > _MAX_REPLY:
                raise NetstringError(_SIZE)
            while len(self.buffer) <= size:
                yield from self._more(stream)
        except Gone:
            raise NetstringError(_EOF) from None
        except TimedOut:
            raise NetstringError(_TIME) from None
        reply, end, self.buffer = (
            self.buffer[:size],
            self.buffer[size : size + 1],
            self.buffer[size + 1 :],
        )
        if end != b",":
            raise NetstringError(_FORMAT)
        return reply

    def _length(self, stream: Stream) -> Wait[int]:
        size = 0
        while True:
            if not self.buffer:
                yield from self._more(stream)
            char, self.buffer = self.buffer[:1], self.buffer[1:]
            if char == b":":
                return size
            if not char.isdigit():
                raise NetstringError(_FORMAT)
            size = size * 10 + int(char)
            if size >= 1 << 63:
                raise NetstringError(_SIZE)

    def _more(self, stream: Stream) -> Wait[None]:
        data: bytes = yield stream.read(4096, _TIMEOUT)
        if not data:
            raise NetstringError(_EOF)
        self.buffer += data


class SocketmapDict(Dict):
    """A map of a socketmap server."""

    def __init__(
        self, process: TableProcess, name: str, flags: int, connection: SocketmapConnection
    ) -> None:
        super().__init__(process, "socketmap", name, flags | DICT_FLAG_PATTERN)
        self._connection = connection
        self._map = name.rpartition(":")[2]

    def _search(self, key: str) -> Wait[str | None]:
        request = to_bytes(f"{self._map} {key}")
        try:
            reply = yield from self._ask(request)
        except ConnectError as error:
            raise self._failed(error.args[0], error.args[0]) from error
        except NetstringError as error:
            errno = "Connection timed out" if error.args[0] == _TIME else _IN_PROGRESS
            raise self._failed(error.args[0], errno) from error
        status, _, text = to_text(reply.partition(b"\0")[0]).partition(" ")
        if status == "OK":
            return text
        if status == "NOTFOUND":
            return None
        reason = printable(text.lstrip(WHITESPACE))[:200]
        self.process.log.warning(
            f"{self.name} socketmap server {_FAILURES.get(status, 'unknown')} error"
            + (f": {reason}" if reason else "")
        )
        error_class = DictConfigError if status == "PERM" else TableError
        raise error_class(self.name, _IN_PROGRESS)

    def _ask(self, request: bytes) -> Wait[bytes]:
        """The reply; a connection that the server has closed is made anew, once."""
        connection = self._connection
        stream = yield from connection.access(self.process)
        try:
            return (yield from connection.exchange(stream, request))
        except NetstringError as error:
            if error.args[0] != _EOF:
                raise
        connection.close()
        stream = yield from connection.access(self.process)
        return (yield from connection.exchange(stream, request))

    def _failed(self, why: str, errno: str) -> TableError:
        self.process.log.warning(f"table {self.name} lookup error: {why}")
        return TableError(self.name, errno)


@dict_type("socketmap", read_only=True)
def open_socketmap(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """Opens nothing before the first lookup."""
    server, colon, _ = name.rpartition(":")
    reason = ""
    if flags & DICT_FLAG_NO_UNAUTH:
        reason = f"socketmap:{name} map is not allowed for security-sensitive data"
    elif not colon:
        reason = "socketmap requires server:socketmap argument"
    if reason:
        return dict_surrogate(process, "socketmap", name, flags, reason)
    known: dict[str, SocketmapConnection] = process.cache.setdefault(_CONNECTIONS, {})
    if server not in known:
        known[server] = _connection(process, server)
    return SocketmapDict(process, name, flags, known[server])


def _connection(process: TableProcess, server: str) -> SocketmapConnection:
    transport, _, endpoint = server.partition(":")
    if not endpoint or not transport:
        process.log.fatal(f'need service transport:endpoint instead of "{server}"')
    if transport not in ("inet", "local", "unix"):
        process.log.fatal(f"invalid transport name: {transport} in service: {server}")
    return SocketmapConnection(transport, endpoint)
