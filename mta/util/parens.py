"""Words and ``{ text in braces }``: mystrtokq(3), balpar(3), extpar(3), split_nameval(3)."""

from __future__ import annotations

import re

WHITESPACE = " \t\r\n\f\v"
COMMA_SPACE = ", \t\r\n"

_SIMPLE_WORDS = re.compile(r"[^, \t\r\n]+")


class ParenError(ValueError):
    """Braces or a ``name = value`` with an error; ``args[0]`` is Postfix's text for it."""


def split_words(text: str, separators: str = COMMA_SPACE) -> list[str]:
    """Words between separators; separators within ``{...}`` do not count (mystrtokq)."""
    if separators == COMMA_SPACE and "{" not in text:
        return _SIMPLE_WORDS.findall(text)
    words: list[str] = []
    start = -1
    level = 0
    for place, char in enumerate(text):
        if start < 0:
            if char in separators:
                continue
            start = place
        if char == "{":
            level += 1
        elif char == "}" and level > 0:
            level -= 1
        elif level == 0 and char in separators:
            words.append(text[start:place])
            start = -1
    if start >= 0:
        words.append(text[start:])
    return words


def balpar(text: str) -> int:
    """The length of the balanced ``{text}`` at the start; 0 where there is none."""
    if not text.startswith("{"):
        return 0
    level = 0
    for place, char in enumerate(text):
        if char == "{":
            level += 1
        elif char == "}":
            level -= 1
            if level == 0:
                return place + 1
    return 0


def extpar(text: str, strip: bool = True) -> str:
    """What is within the ``{...}`` that the text must be (white space at both ends removed when
    ``strip``).  Raises ParenError: no closing brace, or text after it.
    """
    size = balpar(text)
    if size == 0:
        raise ParenError(f"missing '}}' in \"{text}\"")
    if size != len(text):
        raise ParenError(f"syntax error after '}}' in \"{text}\"")
    inner = text[1:-1]
    return inner.strip(WHITESPACE) if strip else inner


def split_nameval(text: str) -> tuple[str, str]:
    """Name and value of ``name = value``.  Raises ParenError."""
    text = text.lstrip(WHITESPACE)
    if not text:
        raise ParenError("missing attribute name")
    end = 0
    while end < len(text) and text[end] != "=" and text[end] not in WHITESPACE:
        end += 1
    rest = text[end:].lstrip(WHITESPACE)
    if not rest.startswith("="):
        raise ParenError("missing '=' after attribute name")
    return text[:end], rest[1:].strip(WHITESPACE)
