"""``tcp:host:port`` - a table behind a line protocol (tcp_table(5)).

``get KEY`` is answered with ``200 VALUE``, ``400 REASON`` (try later) or ``500 REASON`` (no such
key); what is not printable is written as ``%XX``.
"""

from __future__ import annotations

import re
from typing import Any

from mta.dict.auto_clnt import IN_PROGRESS
from mta.dict.errors import TableError
from mta.dict.flags import DICT_FLAG_NO_UNAUTH, DICT_FLAG_PATTERN, O_RDONLY
from mta.dict.process import TableProcess
from mta.dict.registry import Dict, dict_surrogate, dict_type
from mta.lib.inet_connect import inet_connect
from mta.system import ConnectError, Gone, Stream, TimedOut, Wait
from mta.wire.text import printable, to_bytes, to_text

#: Attempts before a lookup fails; one second lies between two.
_MAX_TRY = 10
#: Seconds for connecting, reading, writing.
_TIMEOUT = 100
#: Bytes of a reply.
_MAX_REPLY = 4096

_REPLY = re.compile(rb"\d\d\d[ \t\r\n\f\v]")
_ESCAPE = re.compile(rb"%(..?)?", re.DOTALL)
_HEX = re.compile(rb"[0-9a-fA-F]{2}")
_QUOTED = re.compile(rb"[^!-$&-~]")


def hex_quote(data: bytes) -> bytes:
    """Bytes with ``%XX`` for all that is not printable, for blanks and for ``%``."""
    return _QUOTED.sub(lambda found: b"%%%02X" % found[0][0], data)


def hex_unquote(data: bytes) -> bytes | None:
    """The reverse; None where a ``%`` is not followed by two hexadecimal digits."""
    pieces = []
    place = 0
    for found in _ESCAPE.finditer(data):
        digits = found[1] or b""
        if not _HEX.fullmatch(digits):
            return None
        pieces += [data[place : found.start()], bytes([int(digits, 16)])]
        place = found.end()
    return b"".join([*pieces, data[place:]])


class TcpDict(Dict):
    """A table that a server is asked for.  The connection stays open."""

    def __init__(self, process: TableProcess, name: str, flags: int) -> None:
        super().__init__(process, "tcp", name, flags | DICT_FLAG_PATTERN)
        self._stream: Stream | None = None

    def _search(self, key: str) -> Wait[str | None]:
        request = b"get " + hex_quote(to_bytes(key)) + b"\n"
        tries = 0
        reply, problem = yield from self._attempt(request)
        while problem:
            tries += 1
            if tries >= _MAX_TRY:
                raise TableError(self.name, problem)
            yield self.process.system.sleep(1)
            reply, problem = yield from self._attempt(request)
        return self._parse(reply)

    def _attempt(self, request: bytes) -> Wait[tuple[bytes, str]]:
        """The reply line, or a text of errno where there was none."""
        warning = self.process.log.warning
        if self._stream is None:
            try:
                # the process is a whole one wherever a table of the network is used
                whole: Any = self.process
                self._stream = yield from inet_connect(whole, self.table, _TIMEOUT)
            except ConnectError as error:
                warning(f"connect to TCP map {self.table}: {error.args[0]}")
                return b"", str(error.args[0])
        stream = self._stream
        problem = IN_PROGRESS
        try:
            stream.write(request)
            yield stream.flush(_TIMEOUT)
            line: bytes = yield stream.read_line(_MAX_REPLY, _TIMEOUT)
        except Gone:
            line, problem = b"", "Connection reset by peer"
        except TimedOut:
            line, problem = b"", "Connection timed out"
        if line.endswith(b"\n"):
            return line[:-1], ""
        if len(line) >= _MAX_REPLY:
            warning(f"read TCP map reply from {self.table}: text longer than {_MAX_REPLY}")
        else:
            warning(f"read TCP map reply from {self.table}: unexpected EOF ({problem})")
        self._disconnect()
        return b"", problem

    def _parse(self, reply: bytes) -> str | None:
        value = hex_unquote(reply[4:]) if _REPLY.match(reply) else None
        if value is None:
            raise self._bad("malformed reply", reply)
        if reply[:1] == b"2":
            return to_text(value)
        if reply[:1] == b"5":
            return None
        if reply[:1] == b"4":
            self._disconnect()
            raise TableError(self.name, IN_PROGRESS)
        raise self._bad("bad status code", reply)

    def _bad(self, what: str, reply: bytes) -> TableError:
        text = printable(to_text(reply), "_", bool(self.process.conf.smtputf8_enable))[:100]
        self.process.log.warning(f"read TCP map reply from {self.table}: {what}: {text}")
        self._disconnect()
        return TableError(self.name, IN_PROGRESS)

    def _disconnect(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


@dict_type("tcp")
def open_tcp(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """Opens nothing before the first lookup."""
    reason = ""
    if flags & DICT_FLAG_NO_UNAUTH:
        reason = f"tcp:{name} map is not allowed for security sensitive data"
    elif open_flags != O_RDONLY:
        reason = f"tcp:{name} map requires O_RDONLY access mode"
    if reason:
        return dict_surrogate(process, "tcp", name, flags, reason)
    return TcpDict(process, name, flags)
