"""The text of ``main.cf``: logical lines, names and raw values.

Nothing here evaluates a parameter.  Parsing never raises: what is wrong is kept in ``error`` (the
text of the fatal error) and ``warnings``, since each process that reads the file meets it anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from mta.util.mac_expand import clip
from mta.util.scalars import C_SPACE, split_name_value

MAIN_CF = "/etc/postfix/main.cf"

_CONTINUES = tuple("#" + C_SPACE)


class LogicalLine(NamedTuple):
    """A line with what continues it, joined; the numbers of its first line with text, and last."""

    text: str
    line: int
    last: int


def logical_lines(text: str, path: str, warnings: list[str]) -> Iterator[LogicalLine]:
    """The logical lines of a text (``readllines``).

    A line that begins with blanks continues the one before it; lines that are empty, blank or
    comments are skipped also within a logical line.  A continuation of nothing is skipped, with a
    warning.
    """
    parts: list[str] = []
    first = last = 0
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    for number, line in enumerate(lines, 1):
        stripped = line.lstrip(C_SPACE)
        if stripped and stripped[0] != "#":
            if not parts:
                first = number
            last = number
            parts.append(line)
        if not parts:
            continue
        if number < len(lines):
            following = lines[number]
            if not following or following.startswith(_CONTINUES):
                continue
        logical = "".join(parts)
        parts = []
        if logical[0] in C_SPACE:
            dots = "..." if len(logical) > 30 else ""
            warnings.append(
                f'{path}: logical line must not start with whitespace: "{clip(logical, 30)}{dots}"'
            )
        else:
            yield LogicalLine(logical, first, last)


class MainEntry(NamedTuple):
    """A line ``name = value`` of ``main.cf``, and its line number."""

    name: str
    value: str
    line: int


@dataclass(slots=True)
class MainCf:
    """A parsed ``main.cf``: ``values`` are those that count, ``entries`` all that there are."""

    values: dict[str, str] = field(default_factory=dict)
    entries: list[MainEntry] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    error: str | None = None
    path: str = MAIN_CF

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Self:
        """A configuration without a text."""
        entries = [MainEntry(name, value, 0) for name, value in values.items()]
        return cls(dict(values), entries)

    def line_of(self, name: str) -> int:
        """The line of the entry that counts; 0 where there is none."""
        return next((e.line for e in reversed(self.entries) if e.name == name), 0)


def parse_main_cf(text: str, path: str = MAIN_CF) -> MainCf:
    """Parses ``main.cf`` (``dict_load_fp``).  Later entries win, with a warning."""
    main = MainCf(path=path)
    for logical in logical_lines(text, path, main.warnings):
        pair = split_name_value(logical.text)
        if isinstance(pair, str):
            main.error = f'{path}, line {logical.line}: {pair}: "{logical.text}"'
            break
        name, value = pair
        old = main.values.get(name)
        if old is not None and old != value:
            main.warnings.append(
                f"{path}, line {logical.line}: overriding earlier entry: {name}={old}"
            )
        main.values[name] = value
        main.entries.append(MainEntry(name, value, logical.line))
    return main
