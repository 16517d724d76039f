"""Entries of ``master.cf`` as postconf(1) handles them: words, not values.

Unlike master(8) it keeps ``-`` for defaults and shows disabled services.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from mta.conf.postconf.terminal import INDENT, LINE_LIMIT
from mta.util.scalars import BLANKS, extract_parens, split_name_value, split_quoted
from mta.wire.text import to_bytes

#: The fields before the arguments, and the columns at which they are shown.
FIELDS = (
    "service",
    "type",
    "private",
    "unprivileged",
    "chroot",
    "wakeup",
    "process_limit",
    "command",
)
_COLUMNS = (0, 11, 17, 25, 33, 41, 49, 57)
MIN_FIELDS = len(FIELDS)
COMMAND = FIELDS.index("command")

_TYPES = ("unix", "fifo", "inet", "pass")
_DIGITS = "0123456789"

#: Expands the value of an ``-o`` in the scope of an entry.
Expand = Callable[[str], str]


class EntryError(Exception):
    """A field that cannot be; ``args[0]`` is the fatal text."""


@dataclass(slots=True)
class Entry:
    """The words of an entry; the ``-o`` of it (None: none), and the names that are valid in it."""

    words: list[str]
    params: dict[str, str] | None = None
    valid: set[str] = field(default_factory=set)

    @property
    def space(self) -> str:
        """``service/type``."""
        return f"{self.words[0]}/{self.words[1]}"


def is_option(word: str) -> bool:
    """Whether a word among a daemon's arguments is an option."""
    return word.startswith("-") and word != "--"


def takes_value(word: str) -> bool:
    """Whether an option has a value (``-o``; a single ``-`` passes for one)."""
    return word[1:2] in ("", "o")


def parse_entry(text: str, warn: Callable[[str], None]) -> Entry | str:
    """The entry of a logical line, or what is wrong.  Raises EntryError."""
    words = split_quoted(text, BLANKS)
    if len(words) < MIN_FIELDS:
        return "bad field count"
    check_entry(words, text)
    normalize_arguments(words, warn)
    return Entry(words)


def check_entry(words: list[str], text: str) -> None:
    """Raises EntryError for a field that cannot be."""

    def invalid(index: int) -> NoReturn:
        complaint = f'invalid {FIELDS[index]} field "{words[index]}" in "{text}"'
        raise EntryError(complaint.replace("\n", " "))

    if words[1] not in _TYPES:
        invalid(1)
    for index in range(2, 5):
        # An empty field passes: it can only come from an edit.
        if len(words[index]) > 1 or words[index] not in ("y", "n", "-", ""):
            invalid(index)
    wakeup = words[5][:-1] if words[5].endswith("?") else words[5]
    if wakeup != "-" and wakeup.strip(_DIGITS):
        invalid(5)
    if words[6] != "-" and words[6].strip(_DIGITS):
        invalid(6)


def normalize_arguments(words: list[str], warn: Callable[[str], None]) -> None:
    """Brings arguments into a canonical form: ``-o``, ``name=value``, no braces."""
    index = MIN_FIELDS
    while index < len(words) and is_option(words[index]):
        word = words[index]
        place = word.find("o", 2)
        if place > 0:
            words.insert(index + 1, "-" + word[place:])
            word = words[index] = word[:place]
        if not takes_value(word):
            index += 1
            continue
        if len(word) > 2:
            words[index] = word[:2]
            words.insert(index + 1, word[2:])
        index += 1
        if index < len(words):
            if words[index].startswith("{"):
                words[index] = _unwrap(words[index], warn)
                if words[index - 1][1:2] == "o":
                    words[index] = _even(words[index], warn)
            index += 1
    for place in range(index, len(words)):
        if words[place].startswith("{"):
            words[place] = _unwrap(words[place], warn)


def _unwrap(word: str, warn: Callable[[str], None]) -> str:
    text, error = extract_parens(word)
    if error:
        warn(f"master.cf: {error}")
    return text


def _even(word: str, warn: Callable[[str], None]) -> str:
    pair = split_name_value(word)
    if isinstance(pair, str):
        warn(f'master.cf: {pair}: "{word}"')
        return word
    return f"{pair[0]}={pair[1]}"


def options_of(words: list[str]) -> list[tuple[str, str]]:
    """The ``-o name=value`` of an entry."""
    found: list[tuple[str, str]] = []
    index = MIN_FIELDS
    while index < len(words) and is_option(words[index]):
        if takes_value(words[index]) and index + 1 < len(words):
            if words[index] == "-o":
                pair = split_name_value(words[index + 1])
                if not isinstance(pair, str):
                    found.append(pair)
            index += 1
        index += 1
    return found


class _Paper:
    """Text in lines of limited length."""

    def __init__(self, fold: bool) -> None:
        self.fold = fold
        self.parts: list[str] = []
        self.length = 0

    def add(self, text: str) -> None:
        """Text on the present line."""
        self.parts.append(text)
        self.length += len(to_bytes(text))

    def break_line(self) -> None:
        """A new, indented line."""
        self.parts.append("\n" + INDENT)
        self.length = len(INDENT)

    def arguments(self, words: list[str], expand: Expand | None, extra: int) -> None:
        """The arguments of a command: an option and its value stay together on a line.

        ``extra`` is what counts beside the texts of both.
        """
        options = True
        index = 0
        while index < len(words):
            word = words[index]
            index += 1
            size = len(to_bytes(word))
            value: str | None = None
            braces = False
            if options and not is_option(word):
                options = False
            elif options:
                if takes_value(word) and index < len(words):
                    self.length = LINE_LIMIT
                    value = words[index]
                    index += 1
                    if word == "-o" and expand is not None:
                        value = expand(value)
                    size += len(to_bytes(value)) + extra
                    braces = _has_blanks(value)
                    size += 2 * braces
            else:
                braces = _has_blanks(word)
            if self.length > len(INDENT):
                if not self.fold or self.length + 1 + size < LINE_LIMIT:
                    self.add(" ")
                else:
                    self.break_line()
            self.add(f"{{{word}}}" if braces and not options else word)
            if value is not None:
                self.add(f" {{{value}}}" if braces else f" {value}")
                self.length = LINE_LIMIT


def _has_blanks(text: str) -> bool:
    return any(char in BLANKS for char in text)


def entry_text(entry: Entry, fold: bool, expand: Expand | None = None) -> str:
    """An entry as ``postconf -M`` shows it."""
    paper = _Paper(fold)
    for index in range(MIN_FIELDS):
        if paper.length > 0:
            paper.add(" " * max(1, _COLUMNS[index] - paper.length))
        paper.add(entry.words[index])
    paper.arguments(entry.words[MIN_FIELDS:], expand, 3)
    return "".join(paper.parts) + "\n"


def field_text(
    entry: Entry, index: int, fold: bool, hide_name: bool, expand: Expand | None = None
) -> str:
    """A field as ``postconf -F`` shows it."""
    paper = _Paper(fold)
    word = entry.words[index]
    if not hide_name:
        paper.add(f"{entry.space}/{FIELDS[index]} = ")
        if paper.length + len(to_bytes(word)) > LINE_LIMIT:
            paper.break_line()
    paper.add(word)
    if index == COMMAND:
        paper.arguments(entry.words[MIN_FIELDS:], expand, 1)
    return "".join(paper.parts) + "\n"


def edit_field(entry: Entry, index: int, value: str, warn: Callable[[str], None]) -> None:
    """Gives a field another value; the command takes its arguments along.  Raises EntryError."""
    if index == COMMAND:
        entry.words[COMMAND:] = split_quoted(value, BLANKS)
        normalize_arguments(entry.words, warn)
    else:
        entry.words[index] = value
    check_entry(entry.words, value)


def edit_param(entry: Entry, name: str, value: str | None) -> None:
    """Changes or adds an ``-o``, or takes it away (None)."""
    words = entry.words
    found = False
    index = MIN_FIELDS
    while index < len(words) and is_option(words[index]):
        if takes_value(words[index]) and index + 1 < len(words):
            if words[index] == "-o" and words[index + 1].startswith(name + "="):
                found = True
                if value is None:
                    del words[index : index + 2]
                    continue
                words[index + 1] = f"{name}={value}"
            index += 1
        index += 1
    if value is not None and not found:
        words[index:index] = ["-o", f"{name}={value}"]
