"""smtp_sasl_auth_cache(3): servers that have rejected a password, lest we try it again and again.

The key is ``host;user``, the value ``time;hash;status;reply``: the time in seconds since the epoch,
and the hash that of the password.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import NamedTuple

from mta.dict.errors import TableError
from mta.dict.flags import (
    DICT_FLAG_DUP_REPLACE,
    DICT_FLAG_SYNC_UPDATE,
    DICT_FLAG_UTF8_REQUEST,
    O_CREAT,
    O_RDWR,
)
from mta.dict.registry import dict_open
from mta.master.server import Process
from mta.system import MICROSECONDS, Wait
from mta.util.scalars import split
from mta.wire.dsn import dsn_valid
from mta.wire.smtp_reply import SmtpReply
from mta.wire.text import to_bytes

_FLAGS = DICT_FLAG_DUP_REPLACE | DICT_FLAG_SYNC_UPDATE | DICT_FLAG_UTF8_REQUEST
_PROXY = "proxy:"
_ENTRY = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+);([^;]+);([^;]+);([^\n]+)")


class Rejection(NamedTuple):
    """What a server said."""

    status: str
    text: str


class SaslAuthCache:
    """The cache: ``smtp_sasl_auth_cache_name``.  A name that will not do is fatal."""

    def __init__(self, process: Process, name: str, ttl: int) -> None:
        quoted = f'SASL authentication cache name "{name}"'
        if split(name) != [name]:
            process.log.fatal(f"{quoted} contains multiple values")
        if not name.startswith(_PROXY):
            process.log.fatal(f'{quoted} must start with "{_PROXY}')
        self.process = process
        self.ttl = ttl
        self.table = dict_open(process, name, flags=_FLAGS, open_flags=O_CREAT | O_RDWR)

    def find(self, host: str, username: str, password: str) -> Wait[Rejection | None]:
        """What the server said of the name and password not long ago.  An entry that is no good any
        more is removed.
        """
        warning = self.process.log.warning
        key = f"{host};{username}"
        found = None
        try:
            entry = yield from self.table.lookup(key)
            if entry is not None:
                found = self._valid(entry, password)
                if found is None and not (yield from self.table.delete(key)):
                    warning(f"SASL auth failure map {self.table.table}: entry not deleted: {key}")
        except TableError:
            warning(f"SASL auth failure map {self.table.table}: lookup failed for {key}")
        return found

    def _valid(self, entry: str, password: str) -> Rejection | None:
        fields = _ENTRY.match(entry)
        if fields is None or not dsn_valid(fields[3]):
            self.process.log.warning(f"bad smtp_sasl_auth_cache entry: {entry[:100]}")
            return None
        if int(fields[1]) + self.ttl < self._now() or fields[2] != _hashed(password):
            return None
        return Rejection(fields[3], fields[4])

    def store(self, host: str, username: str, password: str, reply: SmtpReply) -> Wait[None]:
        """Remembers what the server said."""
        value = f"{self._now()};{_hashed(password)};{reply.dsn};{reply.text}"
        try:
            yield from self.table.update(f"{host};{username}", value)
        except TableError:
            pass

    def _now(self) -> int:
        return self.process.now() // MICROSECONDS


def _hashed(password: str) -> str:
    return base64.b64encode(hashlib.sha1(to_bytes(password)).digest()).decode("ascii")
