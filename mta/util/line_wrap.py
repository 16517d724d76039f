"""line_wrap(3) - fold a long line at its blanks."""

from __future__ import annotations

import re

from mta.wire.text import to_bytes, to_text

_BLANK = re.compile(rb"[ \t]")
_SPACES = re.compile(rb"[ \t\n\v\f\r]*")
_SPACE = b" \t\n\v\f\r"


def line_wrap(text: str, width: int, indent: int) -> list[str]:
    """The lines of a text of at most ``width`` bytes each, as far as words allow; all but the first
    are indented.  Blanks at the ends of lines are dropped.
    """
    if len(text) <= width and text.isascii():
        return [text.rstrip(" \t\n\v\f\r")]
    data = to_bytes(text)
    lines: list[bytes] = []
    start = word = 0
    prefix = b""
    room = width
    while True:
        match = _BLANK.search(data, word)
        blank = match.start() if match else len(data)
        if word > start and blank - start > room:
            lines.append(prefix + data[start:word].rstrip(_SPACE))
            if start == 0:
                prefix = b" " * indent
                room -= indent
            spaces = _SPACES.match(data, word)
            start = spaces.end() if spaces else word
        if match is None:
            break
        word = blank + 1
    lines.append(prefix + data[start:].rstrip(_SPACE))
    return [to_text(line) for line in lines]
