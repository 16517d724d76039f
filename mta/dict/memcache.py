"""``memcache:/path`` - memcached servers, with a table behind them (memcache_table(5))."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from mta.dict.auto_clnt import AutoClient, errno_text
from mta.dict.cfg_parser import CfgParser
from mta.dict.db_common import DbCommon
from mta.dict.errors import TableError
from mta.dict.flags import (
    DICT_FLAG_FIXED,
    DICT_FLAG_MULTI_WRITER,
    DICT_FLAG_NO_UNAUTH,
    O_RDONLY,
    O_RDWR,
)
from mta.dict.process import TableProcess
from mta.dict.registry import Dict, dict_surrogate, dict_type, open_table
from mta.system import ConnectError, Gone, TimedOut, Wait
from mta.util.parens import WHITESPACE
from mta.wire.text import to_bytes, to_text

_VALUE = re.compile(rb"VALUE\s+\S+\s+\S+\s+([+-]?\d+)")


class MemcacheDict(Dict):
    """The cache, and the table behind it (``backup``) that knows what the cache does not."""

    def __init__(
        self,
        process: TableProcess,
        name: str,
        open_flags: int,
        flags: int,
        parser: CfgParser,
    ) -> None:
        super().__init__(process, "memcache", name, flags | DICT_FLAG_FIXED)
        self.writable = open_flags == O_RDWR
        self.key_format = parser.text("key_format", "%s")
        timeout = parser.number("timeout", 2)
        self.ttl = parser.number("ttl", 3600)
        self.mc_flags = parser.number("flags", 0)
        self.pause = parser.number("retry_pause", 1, min=1)
        self.max_tries = parser.number("max_try", 2, min=1)
        self.max_line = parser.number("line_size_limit", 1024, min=1)
        self.max_data = parser.number("data_size_limit", 10240, min=1)
        service = parser.text("memcache", "inet:localhost:11211")
        self._client = AutoClient(process, service, timeout)
        #: The text of errno, where a connection failed.
        self._errno: tuple[str, ...] = ()
        backup = parser.optional("backup")
        self.backup = open_table(process, backup, open_flags, flags) if backup else None
        self.common = DbCommon(process, "memcache", name)
        self.common.parse(self.key_format, True)
        self.common.parse_domain(parser)
        self.flags |= DICT_FLAG_MULTI_WRITER

    # -- keys

    def _wanted(self, key: str, what: Literal["lookup", "update", "delete"]) -> Wait[bytes | None]:
        """The key for the server; None where there cannot be such a key."""
        why = ""
        name = key
        if not key:
            why = "empty lookup key"
        elif not (yield from self.common.check_domain(key)):
            why = "domain mismatch"
        elif self.key_format not in ("", "%s"):
            name = self.common.expand_query(self.key_format, key) or ""
        if not why and not name:
            why = "empty lookup key expansion"
        if not why and any(char in WHITESPACE for char in name):
            why = "name contains space"
        if not why:
            return to_bytes(name)
        if what == "update":
            self.process.log.warning(f'{self.table}: skipping update for name "{key}": {why}')
        return None

    # -- the protocol

    def _talk(self, request: bytes) -> Wait[bytes]:
        """The first line of the reply.  Raises ConnectError, Gone, TimedOut."""
        yield from self._client.send(request)
        line = yield from self._client.take_line(self.max_line)
        if line is None:
            raise Gone("end of stream")
        return line

    def _warn(self, count: int, text: str) -> None:
        """Failures of the first attempt are not worth a word."""
        if count > 0:
            self.process.log.warning(text)

    def _broken(self, count: int, error: Exception) -> None:
        errno = errno_text(error)
        text = f"database memcache:{self.table}: I/O error"
        self._warn(count, f"{text}: {errno}" if errno else text)

    def _attempts(self) -> Iterator[int]:
        return iter(range(self.max_tries))

    def _before(self, count: int) -> Wait[bool]:
        """Pauses before another attempt; False where there is no connection."""
        if count:
            yield self.process.system.sleep(self.pause)
        try:
            yield from self._client.access()
        except ConnectError as error:
            self._errno = (str(error.args[0]),)
            return False
        self._errno = ()
        return True

    def _get(self, key: bytes) -> Wait[str | None]:
        for count in self._attempts():
            if not (yield from self._before(count)):
                break
            try:
                line = yield from self._talk(b"get " + key + b"\r\n")
            except (Gone, TimedOut) as error:
                self._broken(count, error)
                self._client.recover()
                continue
            if line == b"END":
                return None
            found = _VALUE.match(line)
            if found is None or not 0 <= int(found[1]) <= self.max_data:
                text = to_text(line)[:30]
                self._warn(count, f"{self.table}: unexpected memcache server reply: {text}")
            else:
                data = yield from self._data(count, int(found[1]))
                if data is not None:
                    return to_text(data.partition(b"\0")[0])
            self._client.recover()
        raise TableError(self.name, *self._errno)

    def _data(self, count: int, size: int) -> Wait[bytes | None]:
        try:
            data = yield from self._client.take(size)
            end = yield from self._client.take(2)
        except (Gone, TimedOut):
            end = b""
        if end != b"\r\n":
            self._warn(count, f"{self.table}: EOF receiving memcache server reply")
            return None
        try:
            if (yield from self._client.take_line(self.max_line)) != b"END":
                self._client.recover()
        except (Gone, TimedOut):
            self._client.recover()
        return data

    def _change(self, request: bytes, done: bytes, what: str) -> Wait[bool]:
        """Has the server store or delete; False where there is nothing to delete."""
        for count in self._attempts():
            if not (yield from self._before(count)):
                break
            try:
                line = yield from self._talk(request)
            except (Gone, TimedOut) as error:
                self._broken(count, error)
            else:
                if line == done:
                    return True
                if what == "delete" and line == b"NOT_FOUND":
                    return False
                text = to_text(line)[:30]
                self._warn(count, f"database memcache:{self.table}: {what} failed: {text}")
            self._client.recover()
        raise TableError(self.name, *self._errno)

    def _set(self, key: bytes, value: str) -> Wait[bool]:
        data = to_bytes(value)
        if len(data) > self.max_data:
            self.process.log.warning(
                f"database memcache:{self.table}: data for key {to_text(key)} is too long "
                f"(data_size_limit={self.max_data}) -- not stored"
            )
            return False
        head = b"set %b %d %d %d\r\n" % (key, self.mc_flags, self.ttl, len(data))
        return (yield from self._change(head + data + b"\r\n", b"STORED", "update"))

    # -- the table

    def _search(self, key: str) -> Wait[str | None]:
        name = yield from self._wanted(key, "lookup")
        if name is None:
            return None
        value: str | None = None
        try:
            value = yield from self._get(name)
        except TableError:
            if self.backup is None:
                raise
        if value is None and self.backup is not None:
            value = yield from self.backup.lookup(key)
            if value is not None:
                yield from self._quietly(self._set(name, value))
        return value

    def _quietly(self, change: Wait[bool]) -> Wait[bool]:
        try:
            return (yield from change)
        except TableError:
            return False

    def update(self, key: str, value: str) -> Wait[bool]:
        """Stores a value in the cache and in the table behind it."""
        self._must_be_writable("update")
        wanted = self._key(key)
        if wanted is None:
            return True
        name = yield from self._wanted(wanted, "update")
        if name is None:
            return False
        change = self._set(name, value)
        if self.backup is None:
            return (yield from change)
        yield from self._quietly(change)
        return (yield from self.backup.update(wanted, value))

    def delete(self, key: str) -> Wait[bool]:
        """Removes a key from the cache and from the table behind it."""
        self._must_be_writable("delete")
        wanted = self._key(key)
        if wanted is None:
            return True
        name = yield from self._wanted(wanted, "delete")
        if name is None:
            return False
        change = self._change(b"delete " + name + b"\r\n", b"DELETED", "delete")
        if self.backup is None:
            return (yield from change)
        yield from self._quietly(change)
        return (yield from self.backup.delete(wanted))

    def _must_be_writable(self, operation: str) -> None:
        if not self.writable:
            self.process.log.fatal(f"table {self.name}: {operation} operation is not supported")

    def sequence(self) -> Iterator[tuple[str, str]]:
        """The entries of the table behind the cache."""
        if self.backup is None:
            self.process.log.warning(
                f"database memcache:{self.table}: first/next support requires backup database"
            )
            return iter(())
        return self.backup.sequence()


@dict_type("memcache")
def open_memcache(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """Reads the configuration and opens the table behind the cache."""
    mode = open_flags & (O_RDONLY | O_RDWR | 1)
    reason = ""
    if flags & DICT_FLAG_NO_UNAUTH:
        reason = f"memcache:{name} map is not allowed for security-sensitive data"
    elif mode not in (O_RDONLY, O_RDWR):
        reason = f"memcache:{name} map requires O_RDONLY or O_RDWR access mode"
    if reason:
        return dict_surrogate(process, "memcache", name, flags, reason)
    try:
        parser = CfgParser(process, name)
    except OSError as error:
        return dict_surrogate(process, "memcache", name, flags, f"open {name}: {error.strerror}")
    return MemcacheDict(process, name, mode, flags, parser)
