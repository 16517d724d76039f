"""Chance: named streams of random numbers, each derived from a seed and the stream's name.

A stream gives the same numbers for the same seed and name whatever other streams exist, so that
another peer in a world reshuffles nothing.  Nothing else in ``sim`` is random.
"""

from __future__ import annotations

from hashlib import sha256
from random import Random
from typing import Any


class ChanceStream:
    """A stream of random numbers; a :class:`mta.system.Dice`."""

    __slots__ = ("_random",)

    def __init__(self, seed: int | str, name: str) -> None:
        digest = sha256(f"{seed}\0{name}".encode("utf-8", "surrogatepass")).digest()
        self._random = Random(int.from_bytes(digest, "big"))

    def randrange(self, stop: int) -> int:
        """0 <= n < stop."""
        return self._random.randrange(stop)

    def random(self) -> float:
        """0.0 <= x < 1.0."""
        return self._random.random()

    def shuffle(self, items: list[Any]) -> None:
        """Shuffles in place."""
        self._random.shuffle(items)


class Chance:
    """The streams of one world.  Asking twice for a name gives the same, advancing stream."""

    def __init__(self, seed: int | str) -> None:
        self.seed = seed
        self._streams: dict[str, ChanceStream] = {}

    def __call__(self, name: str) -> ChanceStream:
        """The stream of that name."""
        found = self._streams.get(name)
        if found is None:
            found = self._streams[name] = ChanceStream(self.seed, name)
        return found
