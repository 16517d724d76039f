"""The words of a shell's command: quotes, backslashes, and the environment (POSIX, 2.2 and 2.6).

``$NAME`` and ``${NAME}`` are replaced, in double quotes as one word, outside of quotes split at
blanks; what is not set is empty.  Of the forms ``${NAME-word}``, ``${NAME+word}`` and
``${NAME?word}`` (with or without a colon) the word is taken as it stands.  Nothing else of a
shell's language is here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = r"[A-Za-z_]\w*|\{[A-Za-z_]\w*(?::?[-+?][^}]*)?\}"
_TOKEN = re.compile(
    r"(?P<blank>[ \t\n]+)"
    r"|'(?P<single>[^']*)'"
    r'|"(?P<double>(?:[^"\\]|\\.)*)"'
    r"|\\(?P<escaped>.)"
    rf"|\$(?P<name>{_NAME})"
    r"|(?P<plain>[^\s'\"\\$]+|[$'\"\\])",
    re.DOTALL | re.ASCII,
)
_IN_DOUBLE = re.compile(rf"\\(?P<escaped>[$`\"\\])|\$(?P<name>{_NAME})", re.ASCII)
_PARAMETER = re.compile(
    r"\{?(?P<name>\w+)(?P<colon>:?)(?P<sign>[-+?]?)(?P<word>[^}]*)\}?", re.DOTALL | re.ASCII
)


class ParameterError(Exception):
    """``${NAME?word}`` of a name that is not set: args[0] is what the shell says before it ends."""


def shell_words(command: str, env: Mapping[str, str]) -> tuple[str, ...]:
    """The words that a shell makes of a command.  Raises ParameterError."""
    words: list[str] = []
    word: str | None = None  # None: between words

    for token in _TOKEN.finditer(command):
        kind, text = token.lastgroup or "", token[token.lastgroup or 0]
        if kind == "blank":
            if word is not None:
                words.append(word)
            word = None
        elif kind == "name":
            word = _spread(_parameter(text, env), word, words)
        else:
            if kind == "double":
                text = _IN_DOUBLE.sub(lambda match: _replaced(match, env), text)
            word = (word or "") + text
    return (*words, word) if word is not None else tuple(words)


def _replaced(match: re.Match[str], env: Mapping[str, str]) -> str:
    name = match["name"]
    return match["escaped"] if name is None else _parameter(name, env)


def _parameter(text: str, env: Mapping[str, str]) -> str:
    """The value of what stands after a dollar."""
    match = _PARAMETER.fullmatch(text)
    if match is None:
        return ""
    name, sign, word = match["name"], match["sign"], match["word"]
    value = env.get(name)
    usable = value is not None and (value != "" or not match["colon"])
    if sign == "+":
        return word if usable else ""
    if usable or not sign:
        return value or ""
    if sign == "?":
        what = "parameter null or not set" if match["colon"] else "parameter not set"
        raise ParameterError(f"{name}: {word or what}")
    return word


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
