"""The order in which a hash table of Berkeley DB lists its entries (``postmap -s hash:...``).

Linear hashing: buckets of pages, which are sorted; one bucket is split each time that an entry does
not fit on a page of its bucket.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable

from mta.wire.text import to_bytes

_PAGE = 4096 - 26
_BIG = 4096 // 4
_BIG_SIZE = 12

#: Key and value as they are stored, and the key as it was given.
_Item = tuple[bytes, bytes, str]


def _hash(key: bytes) -> int:
    value = 0
    for byte in key:
        value = (value * 16777619 & 0xFFFFFFFF) ^ byte
    return value


def _part(data: bytes) -> int:
    """What a key or a value takes of a page, its index entry included."""
    return (_BIG_SIZE if len(data) > _BIG else len(data) + 1) + 2


def _size(item: _Item) -> int:
    return _part(item[0]) + _part(item[1])


class _Table:
    def __init__(self) -> None:
        self.buckets: list[list[list[_Item]]] = [[[]], [[]]]
        self.low, self.high = 0, 1

    def bucket(self, key: bytes) -> list[list[_Item]]:
        number = _hash(key) & self.high
        if number >= len(self.buckets):
            number &= self.low
        return self.buckets[number]

    def add(self, item: _Item) -> None:
        pages = self.bucket(item[0])
        for page in pages:
            if sum(map(_size, page)) + _size(item) <= _PAGE:
                insort(page, item)
                return
        pages.append([item])
        self._split()

    def _split(self) -> None:
        new = len(self.buckets)
        if new > self.high:
            self.low, self.high = self.high, new | self.high
        old = new & self.low
        items = [item for page in self.buckets[old] for item in page]
        self.buckets[old] = [[]]
        self.buckets.append([[]])
        for item in items:
            pages = self.bucket(item[0])
            if sum(map(_size, pages[-1])) + _size(item) > _PAGE:
                pages.append([])
            insort(pages[-1], item)


def bdb_hash_order(entries: Iterable[tuple[str, str]]) -> list[str]:
    """The keys of entries as the table lists them; they come in the order of being stored."""
    table = _Table()
    for key, value in entries:
        table.add((to_bytes(key) + b"\0", to_bytes(value) + b"\0", key))
    return [key for bucket in table.buckets for page in bucket for _, _, key in page]
