"""The result of a regular expression rule: text with ``$1``, ``${1}``, ``$(1)`` and ``$$`` in it.

The syntax is that of mac_parse(3), which knows nothing of conditions here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_LITERAL = re.compile(r"[^$]+")
_NAME = re.compile(r"[A-Za-z0-9_]*")
_CLOSE = {"(": ")", "{": "}"}


class Part(NamedTuple):
    """A piece of a replacement: literal text, or with ``is_name`` the number of a group."""

    text: str
    is_name: bool = False


class ReplacementError(ValueError):
    """A text that cannot be parsed: Postfix's text for it, and the pieces before the mistake."""

    def __init__(self, text: str, before: Sequence[Part] = ()) -> None:
        super().__init__(text, tuple(before))

    @property
    def before(self) -> Sequence[Part]:
        """The pieces before the mistake."""
        return self.args[1]  # type: ignore[no-any-return]


def parse_replacement(text: str) -> tuple[Part, ...]:
    """The pieces of a text.  Raises ReplacementError."""
    parts: list[Part] = []
    literal = ""
    place = 0
    while place < len(text):
        found = _LITERAL.match(text, place)
        if found:
            literal += found[0]
            place = found.end()
        elif text.startswith("$$", place):
            literal += "$"
            place += 2
        else:
            if literal:
                parts.append(Part(literal))
                literal = ""
            name, place = _name(text, place + 1, parts)
            parts.append(Part(name, True))
    if literal:
        parts.append(Part(literal))
    return tuple(parts)


def _name(text: str, place: int, before: list[Part]) -> tuple[str, int]:
    """The name after a dollar, and where it ends."""
    opener = text[place : place + 1]
    if opener in _CLOSE and opener:
        end = _closing(text, place)
        if end < 0:
            raise ReplacementError(f'truncated macro reference: "{text}"', before)
        name = text[place + 1 : end]
        after = end + 1
    else:
        found = _NAME.match(text, place)
        name = found[0] if found else ""
        after = place + len(name)
    if not name:
        raise ReplacementError(f'empty macro name: "{text}"', before)
    return name, after


def _closing(text: str, place: int) -> int:
    opener = text[place]
    closer = _CLOSE[opener]
    level = 0
    for end in range(place, len(text)):
        if text[end] == opener:
            level += 1
        elif text[end] == closer:
            level -= 1
            if level == 0:
                return end
    return -1
