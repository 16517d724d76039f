"""How an indexed table (``.db``, ``.cdb``, ``.lmdb``, …) looks on the disk of ours.

Berkeley DB and the others write files of their own formats.  Ours is a log: a first line that names
the type, then a record for each change, so that an update costs the same in a table of any size::

    # indexed table: hash
    +3 5 key value
    -3 key

Numbers are lengths in bytes.  What was torn off at the end by a crash is left out.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from mta.wire.text import to_bytes, to_text

_HEADER = b"# indexed table: "


class BadTableError(ValueError):
    """A file that is no indexed table of ours."""


class Content(NamedTuple):
    """What a file holds: its entries, and how many records it took."""

    entries: dict[str, str]
    records: int


def header(kind: str) -> bytes:
    """The first line of a table of a type."""
    return _HEADER + kind.encode() + b"\n"


def stored(key: str, value: str) -> bytes:
    """The record of a stored value."""
    one, two = to_bytes(key), to_bytes(value)
    return b"+%d %d %b %b\n" % (len(one), len(two), one, two)


def removed(key: str) -> bytes:
    """The record of a removed key."""
    data = to_bytes(key)
    return b"-%d %b\n" % (len(data), data)


def whole(kind: str, entries: dict[str, str]) -> bytes:
    """A file with these entries."""
    return header(kind) + b"".join(stored(key, value) for key, value in entries.items())


@lru_cache(maxsize=64)
def _parsed(data: bytes) -> Content:
    if not data.startswith(_HEADER):
        raise BadTableError(data[:20])
    entries: dict[str, str] = {}
    records = 0
    place = data.find(b"\n") + 1 or len(data)
    while place < len(data):
        sign = data[place : place + 1]
        end = data.find(b" ", place)
        if end < 0:
            break
        key_size = int(data[place + 1 : end])
        value_size = 0
        if sign == b"+":
            place = end + 1
            end = data.find(b" ", place)
            if end < 0:
                break
            value_size = int(data[place:end])
        key_end = end + 1 + key_size
        last = key_end + 1 + value_size if sign == b"+" else key_end
        if data[last : last + 1] != b"\n":
            break
        key = to_text(data[end + 1 : key_end])
        if sign == b"+":
            entries[key] = to_text(data[key_end + 1 : last])
        else:
            entries.pop(key, None)
        records += 1
        place = last + 1
    return Content(entries, records)


def parse(data: bytes) -> Content:
    """The entries of a file; the dict is the caller's own.  Raises BadTableError."""
    content = _parsed(data)
    return Content(dict(content.entries), content.records)
