"""Logical lines of a configuration file or lookup table (readlline(3)).

A line that starts with white space continues the line before it.  Comment lines, and lines without
anything, are left out also between a line and its continuation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_BLANKS = b" \t\r\n\f\v"


class LogicalLine(NamedTuple):
    """A logical line, and the numbers of its first and last physical line (from 1).

    With ``bad`` it is no line but an error: continuing text without a line before it, which
    Postfix skips with :func:`bad_line_warning`.
    """

    text: bytes
    first: int
    last: int
    bad: bool = False


def readllines(data: bytes | bytearray) -> Iterator[LogicalLine]:
    """The logical lines of a file's content."""
    parts: list[bytes] = []
    first = last = 0
    physical = bytes(data).split(b"\n")
    if not physical[-1]:
        physical.pop()
    for number, line in enumerate(physical, 1):
        blank = line.lstrip(_BLANKS)
        if parts and line[:1] and line[0] not in _BLANKS and line[0] != 0x23:
            yield _logical(parts, first, last)
            parts = []
        last = number
        if blank and blank[0] != 0x23:
            if not parts:
                first = number
            parts.append(line)
    if parts:
        yield _logical(parts, first, last)


def _logical(parts: list[bytes], first: int, last: int) -> LogicalLine:
    text = parts[0] if len(parts) == 1 else b"".join(parts)
    return LogicalLine(text, first, last, text[0] in _BLANKS)


def bad_line_warning(path: str, text: str) -> str:
    """What Postfix warns of for a :class:`LogicalLine` that is ``bad``."""
    more = "..." if len(text) > 30 else ""
    return f'{path}: logical line must not start with whitespace: "{text[:30]}{more}"'
