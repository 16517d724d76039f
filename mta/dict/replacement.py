"""The result of a regular expression rule: text with ``$1``, ``${1}``, ``$(1)`` and ``$$`` in it.

The syntax is that of mac_parse(3), which knows nothing of conditions here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

_LITERAL = re.compile(r"[^$]+")
_NAME = re.compile(r"[A-Za-z0-9_]*")
_CLOSE = {"(": ")", "{": "}"}
_OPENERS = tuple(_CLOSE)


class Part(NamedTuple):
    """A piece of a replacement: literal text, or with ``is_name`` the number of a group."""

    text: str
    is_name: bool = False


class ReplacementError(ValueError):
    """A text that cannot be parsed: Postfix's text for it, empty where a name was refused."""


#: Whether a name is a good one; it warns of the others.
Accept = Callable[[str], bool]


def parse_replacement(text: str, accept: Accept) -> tuple[Part, ...]:
    """The pieces of a text.  Raises ReplacementError.

    After a name that is refused, those that follow are looked at too, up to the first in brackets.
    """
    parts: list[Part] = []
    literal = ""
    place = 0
    refused = False
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
            name, after = _name(text, place + 1)
            if refused and text.startswith(_OPENERS, place + 1):
                break
            if not name:
                raise ReplacementError(f'empty macro name: "{text}"')
            refused = not accept(name) or refused
            parts.append(Part(name, True))
            place = after
    if refused:
        raise ReplacementError("")
    if literal:
        parts.append(Part(literal))
    return tuple(parts)


def _name(text: str, place: int) -> tuple[str, int]:
    """The name after a dollar, and where it ends."""
    opener = text[place : place + 1]
    if opener and opener in _CLOSE:
        end = _closing(text, place)
        if end < 0:
            raise ReplacementError(f'truncated macro reference: "{text}"')
        return text[place + 1 : end], end + 1
    found = _NAME.match(text, place)
    name = found[0] if found else ""
    return name, place + len(name)


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
