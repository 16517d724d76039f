"""Reads the files of LMDB, read-only and without its library (lmdb.h 0.9; dict_lmdb(3)).

A file is pages.  Two meta pages at its start name the root of the main database, the one with the
higher transaction number counts; the database is a B+tree whose leaves hold keys and values.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct, error, unpack_from
from typing import NamedTuple

_MAGIC = 0xBEEFC0DE
_VERSION = 1
_HEADER = 16  #: bytes of a page's header
_BRANCH, _LEAF = 0x01, 0x02
_BIG_DATA = 0x01  #: a node's value is in overflow pages
_UNSUPPORTED = 0x06  #: nodes with duplicates, or databases of their own
_NO_PAGE = (1 << 64) - 1
_MAX_DEPTH = 32

#: magic, version, address, map size, then two databases: pad, flags, depth, pages of three kinds,
#: entries, root; at last the last page and the transaction.
_META = Struct("<IIQQ" + "IHHQQQQQ" * 2 + "QQ")
_NODE = Struct("<HHHH")


class LmdbError(Exception):
    """It is no LMDB file, or a damaged one."""


class _Meta(NamedTuple):
    page_size: int
    root: int
    transaction: int


def lmdb_pairs(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of the main database, in the order of the keys.  Raises LmdbError."""
    try:
        first = _meta(data, 0)
        metas = [first, _meta(data, first.page_size)]
        meta = max(metas, key=lambda found: found.transaction)
        if meta.root != _NO_PAGE:
            yield from _walk(data, first.page_size, meta.root, 0)
    except (error, IndexError) as problem:
        raise LmdbError("the file ends too early") from problem


def _meta(data: bytes, offset: int) -> _Meta:
    fields = _META.unpack_from(data, offset + _HEADER)
    if fields[0] != _MAGIC or fields[1] & 0xFFFF != _VERSION:
        raise LmdbError("not an LMDB file")
    page_size, root, transaction = fields[4], fields[19], fields[21]
    if not 256 <= page_size <= 65536:
        raise LmdbError("bad page size")
    return _Meta(page_size, root, transaction)


def _walk(data: bytes, size: int, number: int, depth: int) -> Iterator[tuple[bytes, bytes]]:
    if depth > _MAX_DEPTH:
        raise LmdbError("the tree is too deep")
    page = number * size
    flags, lower = unpack_from("<HH", data, page + 10)
    count = (lower - _HEADER) // 2
    for offset in unpack_from(f"<{max(count, 0)}H", data, page + _HEADER):
        low, high, node_flags, key_size = _NODE.unpack_from(data, page + offset)
        start = page + offset + _NODE.size
        if flags & _LEAF:
            if node_flags & _UNSUPPORTED:
                raise LmdbError("a database with duplicates")
            length = low | high << 16
            value = start + key_size
            if node_flags & _BIG_DATA:
                value = unpack_from("<Q", data, value)[0] * size + _HEADER
            if value + length > len(data):
                raise LmdbError("the file ends too early")
            yield data[start : start + key_size], data[value : value + length]
        elif flags & _BRANCH:
            child = low | high << 16 | node_flags << 32
            yield from _walk(data, size, child, depth + 1)
        else:
            raise LmdbError("an unexpected page")
