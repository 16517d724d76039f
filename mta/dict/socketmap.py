"""``socketmap:inet:host:port:name``, ``socketmap:unix:path:name`` - Sendmail's protocol for tables
(socketmap_table(5)).

A request is the netstring ``name key``; the reply is one with ``OK value``, ``NOTFOUND``, ``TEMP``,
``TIMEOUT`` or ``PERM`` and a reason.
"""

from __future__ import annotations

from mta.dict.auto_clnt import IN_PROGRESS, AutoClient
from mta.dict.errors import DictConfigError, TableError
from mta.dict.flags import DICT_FLAG_NO_UNAUTH, DICT_FLAG_PATTERN
from mta.dict.process import TableProcess
from mta.dict.registry import Dict, dict_surrogate, dict_type
from mta.system import ConnectError, Gone, TimedOut, Wait
from mta.util.parens import WHITESPACE
from mta.wire.text import printable, to_bytes, to_text

#: Seconds for connecting, reading, writing.
_TIMEOUT = 100
#: Bytes of a reply.
_MAX_REPLY = 100_000
#: Seconds after which an idle connection, or any, is closed.
_MAX_IDLE = 10
_MAX_AGE = 100

#: Key of ``process.cache``: the connections, which all maps of a server share.
_CONNECTIONS = "socketmap"

_EOF = "unexpected disconnect"
_TIME = "time limit exceeded"
_FORMAT = "input format error"
_SIZE = "input exceeds size limit"

#: What a server's failures are called.
_FAILURES = {"TEMP": "temporary", "TIMEOUT": "timeout", "PERM": "permanent"}


class NetstringError(Exception):
    """A netstring could not be read; ``args[0]`` says why (netstring_strerror)."""


def exchange(client: AutoClient, data: bytes) -> Wait[bytes]:
    """Sends a netstring and reads one.  Raises NetstringError."""
    try:
        yield from client.send(b"%d:%b," % (len(data), data))
        size = yield from _length(client)
        if size > _MAX_REPLY:
            raise NetstringError(_SIZE)
        reply = yield from client.take(size)
        end = yield from client.take(1)
    except Gone:
        raise NetstringError(_EOF) from None
    except TimedOut:
        raise NetstringError(_TIME) from None
    if end != b",":
        raise NetstringError(_FORMAT)
    return reply


def _length(client: AutoClient) -> Wait[int]:
    size = 0
    while True:
        char = yield from client.take(1)
        if char == b":":
            return size
        if not char.isdigit():
            raise NetstringError(_FORMAT)
        size = size * 10 + int(char)
        if size >= 1 << 63:
            raise NetstringError(_SIZE)


class SocketmapDict(Dict):
    """A map of a socketmap server."""

    def __init__(self, process: TableProcess, name: str, flags: int, client: AutoClient) -> None:
        super().__init__(process, "socketmap", name, flags | DICT_FLAG_PATTERN)
        self._client = client
        self._map = name.rpartition(":")[2]

    def _search(self, key: str) -> Wait[str | None]:
        request = to_bytes(f"{self._map} {key}")
        try:
            reply = yield from self._ask(request)
        except ConnectError as error:
            raise self._failed(error.args[0], error.args[0]) from error
        except NetstringError as error:
            errno = "Connection timed out" if error.args[0] == _TIME else IN_PROGRESS
            raise self._failed(error.args[0], errno) from error
        status, _, text = to_text(reply.partition(b"\0")[0]).partition(" ")
        if status == "OK":
            return text
        if status == "NOTFOUND":
            return None
        utf8 = bool(self.process.conf.smtputf8_enable)
        reason = printable(text.lstrip(WHITESPACE), "?", utf8)[:200]
        self.process.log.warning(
            f"{self.name} socketmap server {_FAILURES.get(status, 'unknown')} error"
            + (f": {reason}" if reason else "")
        )
        error_class = DictConfigError if status == "PERM" else TableError
        raise error_class(self.name, IN_PROGRESS)

    def _ask(self, request: bytes) -> Wait[bytes]:
        """The reply; a connection that the server has closed is made anew, once."""
        yield from self._client.access()
        try:
            return (yield from exchange(self._client, request))
        except NetstringError as error:
            if error.args[0] != _EOF:
                raise
        self._client.recover()
        yield from self._client.access()
        return (yield from exchange(self._client, request))

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
    known: dict[str, AutoClient] = process.cache.setdefault(_CONNECTIONS, {})
    if server not in known:
        known[server] = AutoClient(process, server, _TIMEOUT, _MAX_IDLE, _MAX_AGE)
    return SocketmapDict(process, name, flags, known[server])
