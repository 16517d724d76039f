"""The order in which Postfix's in-memory tables list their entries (htable(3)).

``postmap -s`` of the types ``inline`` and ``texthash`` shows it.
"""

from __future__ import annotations

from collections.abc import Iterable

from mta.wire.text import to_bytes

_FIRST_SIZE = 13


def htable_order(keys: Iterable[str]) -> list[str]:
    """The keys, given in the order in which they were stored, as the table lists them."""
    buckets: list[list[str]] = [[] for _ in range(_FIRST_SIZE)]
    for used, key in enumerate(keys):
        if used >= len(buckets):
            buckets = _grown(buckets)
        buckets[_hash(key) % len(buckets)].append(key)
    return [key for bucket in buckets for key in reversed(bucket)]


def _grown(buckets: list[list[str]]) -> list[list[str]]:
    """Twice the size; entries move in the order of the old listing, each to the front."""
    larger: list[list[str]] = [[] for _ in range((2 * len(buckets)) | 1)]
    for bucket in buckets:
        for key in reversed(bucket):
            larger[_hash(key) % len(larger)].append(key)
    return larger


def _hash(key: str) -> int:
    value = 0
    for byte in to_bytes(key):
        value = (value << 4) + byte
        high = value & 0xF0000000
        if high:
            value ^= high >> 24
            value ^= high
    return value
