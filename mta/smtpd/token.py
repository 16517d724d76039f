"""The words of an SMTP command line (smtpd_token.c).

Words are separated by white space.  ``<...>`` and ``"..."`` hold together and keep their quotes;
``from:`` and ``to:`` are words of their own.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Token(NamedTuple):
    """A word, in external form; ``bad`` where a quote or bracket is not closed in it."""

    text: str
    bad: bool = False


_SPACE = " \t\n\v\f\r"

#: A word without quotes or nested brackets.
_PLAIN = re.compile(
    r"[ \t\n\v\f\r]*((?:from|to):|(?:[^ \t\n\v\f\r<]|<[^<>]*>)+)[ \t\n\v\f\r]*", re.IGNORECASE
)
_PREFIXES = ("from:", "to:")


def smtpd_token(line: str) -> list[Token]:
    """The words of a line."""
    if '"' not in line and "\\" not in line:
        words = []
        position = 0
        end = len(line)
        while position < end:
            match = _PLAIN.match(line, position)
            if match is None:
                break
            words.append(Token(match[1]))
            position = match.end()
        if position == end or not line.strip(_SPACE):
            return words
    return _scan(line)


def _scan(line: str) -> list[Token]:
    """The same for lines of any form."""
    tokens: list[Token] = []
    word: list[str] = []
    bad = False
    position = 0
    end = len(line)

    def finish() -> None:
        nonlocal bad
        if word:
            tokens.append(Token("".join(word), bad))
            word.clear()
        bad = False

    while position < end:
        char = line[position]
        position += 1
        if char in _SPACE:
            finish()
        elif char in '<"':
            position, closed = _quoted(line, position, word, char)
            bad = bad or not closed
        elif char == ":":
            word.append(char)
            if "".join(word).lower() in _PREFIXES:
                finish()
        elif char == "\\":
            word.append(char)
            if position < end:
                word.append(line[position])
                position += 1
        else:
            word.append(char)
    finish()
    return tokens


def _quoted(line: str, position: int, word: list[str], opening: str) -> tuple[int, bool]:
    """Adds all up to the closing quote or bracket; where it ended and whether it was closed."""
    wanted = [">" if opening == "<" else '"']
    word.append(opening)
    end = len(line)
    while position < end:
        char = line[position]
        position += 1
        word.append(char)
        if char == "\\":
            if position == end:
                break
            word.append(line[position])
            position += 1
        elif char == wanted[-1]:
            wanted.pop()
            if not wanted:
                return position, True
        elif char == '"':
            wanted.append('"')
        elif char == "<" and wanted[-1] == ">":
            wanted.append(">")
    return position, False
