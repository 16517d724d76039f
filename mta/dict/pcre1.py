r"""Patterns of PCRE 1 as PCRE 2 understands them.

PCRE 2 refuses some things that PCRE 1 took literally: unknown escapes of letters, escapes in a
character class that make no sense there, and a hyphen after an escape such as ``\d`` in a class.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_COMMENT = rb"\(\?\#[^)]*\)?"
_LINE_COMMENT = rb"\#[^\n]*"
_OUTSIDE = rb"\\Q.*?(?:\\E|\Z)|(?P<escape>\\.)|(?P<open>\[\^?\]?)|" + _COMMENT
_PLAIN = re.compile(_OUTSIDE, re.DOTALL)
_EXTENDED = re.compile(_OUTSIDE + rb"|" + _LINE_COMMENT, re.DOTALL)
_INSIDE = re.compile(
    rb"\\Q.*?(?:\\E|\Z)"
    rb"|(?P<set>\\[pP](?:\{[^}]*\}|.)|\\[dDwWsShHvV]|\[:\^?[a-zA-Z]+:\])"
    rb"|(?P<escape>\\.)"
    rb"|(?P<close>\])",
    re.DOTALL,
)

#: Letters that mean nothing after a backslash, and those that mean nothing there in a class.
_UNKNOWN = frozenset(b"ijmqyFIJMOTY")
_UNKNOWN_IN_CLASS = _UNKNOWN | frozenset(b"ABCGKRXZgkz")


class Translated(NamedTuple):
    """A pattern for PCRE 2; ``places[n]`` is where its byte ``n`` was in the original."""

    pattern: bytes
    places: list[int]


class _Output:
    def __init__(self, pattern: bytes) -> None:
        self.pattern = pattern
        self.bytes = bytearray()
        self.places: list[int] = []

    def copy(self, start: int, end: int) -> None:
        self.bytes += self.pattern[start:end]
        self.places += range(start, end)

    def escape(self, start: int, unknown: frozenset[int]) -> None:
        """An escape of two bytes; without its backslash where it is the letter itself."""
        self.copy(start + 1 if self.pattern[start + 1] in unknown else start, start + 2)

    def literal_hyphen(self, place: int) -> None:
        self.bytes += b"\\-"
        self.places += (place, place)


def translate(pattern: bytes, extended: bool, strict: bool) -> Translated:
    """The pattern for PCRE 2.  ``extended``: white space and comments do not count; ``strict``
    (PCRE 1's option X): unknown escapes are errors also there.
    """
    unknown = frozenset() if strict else _UNKNOWN
    output = _Output(pattern)
    tokens = _EXTENDED if extended else _PLAIN
    place = 0
    while found := tokens.search(pattern, place):
        output.copy(place, found.start())
        if found["escape"]:
            output.escape(found.start(), unknown)
        else:
            output.copy(found.start(), found.end())
        place = found.end()
        if found["open"]:
            place = _class(output, place, strict)
    output.copy(place, len(pattern))
    return Translated(bytes(output.bytes), [*output.places, len(pattern)])


def _class(output: _Output, place: int, strict: bool) -> int:
    """The inside of a character class from its first byte; returns where it ends."""
    pattern = output.pattern
    unknown = frozenset() if strict else _UNKNOWN_IN_CLASS
    while found := _INSIDE.search(pattern, place):
        output.copy(place, found.start())
        place = found.end()
        if found["escape"]:
            output.escape(found.start(), unknown)
            continue
        output.copy(found.start(), place)
        if found["close"]:
            break
        if found["set"] and pattern[place : place + 1] == b"-":
            output.literal_hyphen(place)
            place += 1
    else:
        output.copy(place, len(pattern))
        place = len(pattern)
    return place
