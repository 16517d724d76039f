"""The words of a shell's command: quotes, backslashes, and the environment (POSIX, 2.2 and 2.6).

``$NAME`` and ``${NAME}`` are replaced, in double quotes as one word, outside of quotes split at
blanks; what is not set is empty.  Nothing else of a shell's language is here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_TOKEN = re.compile(
    r"(?P<blank>[ \t\n]+)"
    r"|'(?P<single>[^']*)'"
    r'|"(?P<double>(?:[^"\\]|\\.)*)"'
    r"|\\(?P<escaped>.)"
    r"|\$(?P<name>[A-Za-z_]\w*|\{[A-Za-z_]\w*\})"
    r"|(?P<plain>[^\s'\"\\$]+|[$'\"\\])",
    re.DOTALL | re.ASCII,
)
_IN_DOUBLE = re.compile(
    r"\\(?P<escaped>[$`\"\\])|\$(?P<name>[A-Za-z_]\w*|\{[A-Za-z_]\w*\})", re.ASCII
)


def shell_words(command: str, env: Mapping[str, str]) -> tuple[str, ...]:
    """The words that a shell makes of a command."""
    words: list[str] = []
    word: str | None = None  # None: between words

    for token in _TOKEN.finditer(command):
        kind, text = token.lastgroup or "", token[token.lastgroup or 0]
        if kind == "blank":
            if word is not None:
                words.append(word)
            word = None
        elif kind == "name":
            word = _spread(env.get(text.strip("{}"), ""), word, words)
        else:
            if kind == "double":
                text = _IN_DOUBLE.sub(lambda match: _replaced(match, env), text)
            word = (word or "") + text
    return (*words, word) if word is not None else tuple(words)


def _replaced(match: re.Match[str], env: Mapping[str, str]) -> str:
    name = match["name"]
    return match["escaped"] if name is None else env.get(name.strip("{}"), "")


def _spread(value: str, word: str | None, words: list[str]) -> str | None:
    """An unquoted value: its blanks end words.  Returns the word that is not ended."""
    parts = value.split()
    if not value:
        return word
    if not parts or (value[0].isspace() and word is not None):
        if word is not None:
            words.append(word)
        word = None
    if parts:
        parts[0] = (word or "") + parts[0]
        words += parts[:-1]
        word = parts[-1]
        if value[-1].isspace():
            words.append(word)
            word = None
    return word
