"""The order in which Postfix's hash tables list their members.

postconf(1) walks over such tables, and what it prints or writes comes in their order.
"""

from __future__ import annotations

from collections.abc import Iterable

from mta.wire.text import to_bytes


def _hash(key: str) -> int:
    value = 0
    for byte in to_bytes(key):
        value = (value << 4) + byte
        high = value & 0xF0000000
        if high:
            value ^= high >> 24
            value ^= high
    return value


def htable_order(keys: Iterable[str], size: int = 0) -> list[str]:
    """Distinct keys, given in the order in which they were entered, in the order of the table."""
    size = max(size, 13) | 1
    buckets: list[list[str]] = [[] for _ in range(size)]
    for used, key in enumerate(dict.fromkeys(keys)):
        if used >= size:
            members = [member for bucket in buckets for member in bucket]
            size = (2 * size) | 1
            buckets = [[] for _ in range(size)]
            for member in members:
                buckets[_hash(member) % size].insert(0, member)
        buckets[_hash(key) % size].insert(0, key)
    return [member for bucket in buckets for member in bucket]
