"""The text file behind a table: reading it, and Postfix's ``key whitespace value`` lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mta.dict.process import TableProcess, absolute_path
from mta.system import File
from mta.util.parens import WHITESPACE
from mta.util.readllines import bad_line_warning, readllines
from mta.wire.text import to_text

_FIRST_BLANKS = " \t\r\n"


class Line(NamedTuple):
    """A logical line of a table: its number (of its first physical line) and text.

    ``warning`` is set instead of the text where the line is no line.
    """

    number: int
    text: str
    warning: str = ""


class Entry(NamedTuple):
    """A ``key value`` line.  ``warnings`` come before it is stored; it is not where not usable."""

    number: int
    key: str
    value: str
    warnings: tuple[str, ...] = ()
    usable: bool = True


def open_table_file(process: TableProcess, path: str) -> File:
    """The open file of a table.  Raises OSError."""
    return process.system.files.open(absolute_path(process, path))


def table_lines(data: bytes, path: str) -> Iterator[Line]:
    """The logical lines of a table's text, and warnings in their place."""
    for line in readllines(data):
        text = to_text(line.text)
        if line.bad:
            yield Line(line.first, "", bad_line_warning(path, text))
        else:
            yield Line(line.first, text)


def split_key_value(text: str) -> tuple[str, str]:
    """Key and value of a line: cut at the first blank, both without blanks around."""
    for place, char in enumerate(text):
        if char in _FIRST_BLANKS:
            return text[:place].rstrip(WHITESPACE), text[place:].strip(WHITESPACE)
    return text.rstrip(WHITESPACE), ""


def key_value_entries(data: bytes, path: str, utf8: bool, ignoring: str = "") -> Iterator[Entry]:
    """The entries of a text in the format of postmap(1), with Postfix's warnings.

    ``ignoring`` is what texthash adds to the warning of a line without value; ``utf8``: lines that
    are not UTF-8 are left out.
    """
    for number, text, problem in table_lines(data, path):
        if problem:
            yield Entry(number, "", "", (problem,), False)
            continue
        if utf8 and not text.isascii() and not _is_utf8(text):
            problem = f'{path}, line {number}: non-UTF-8 input "{text}" -- ignoring this line'
            yield Entry(number, "", "", (problem,), False)
            continue
        key, value = split_key_value(text)
        if not key or not value:
            problem = f"{path}, line {number}: expected format: key whitespace value{ignoring}"
            yield Entry(number, key, value, (problem,), False)
        elif key.endswith(":"):
            problem = (
                f'{path}, line {number}: record is in "key: value" format; is this an alias file?'
            )
            yield Entry(number, key, value, (problem,))
        else:
            yield Entry(number, key, value)


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
