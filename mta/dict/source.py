"""The texts from which indexed tables are built, in the formats of postmap(1) and postalias(1)."""

from __future__ import annotations

from collections.abc import Iterator

from mta.dict.tablefile import Entry, key_value_entries, table_lines
from mta.util.casefold import valid_utf8
from mta.wire.tok822 import (
    Token,
    tok822_externalize,
    tok822_find_type,
    tok822_internalize,
    tok822_rfind_type,
    tok822_scan,
)


def postmap_entries(data: bytes, path: str, utf8: bool) -> Iterator[Entry]:
    """``key value`` lines, with the warnings of postmap(1); ``utf8`` is the table's."""
    return key_value_entries(data, path, utf8)


def postalias_entries(data: bytes, path: str, utf8: bool) -> Iterator[Entry]:
    """``name: value`` lines (aliases(5)), with the warnings of postalias(1).

    Names come in internal form, values in external form.
    """
    for number, text, problem in table_lines(data, path):
        if problem:
            yield Entry(number, "", "", (problem,), False)
        elif utf8 and not valid_utf8(text):
            problem = f'{path}, line {number}: non-UTF-8 input "{text}" -- ignoring this line'
            yield Entry(number, "", "", (problem,), False)
        else:
            entry = _alias(number, text, path)
            if entry is not None:
                yield entry


def _alias(number: int, text: str, path: str) -> Entry | None:
    tokens = tok822_scan(text)
    if not tokens:
        return None
    colon = tok822_find_type(tokens, ":")
    name = tokens[:colon]
    problem = ""
    if colon < 1 or colon + 1 >= len(tokens) or _has(name, ","):
        problem = f"{path}, line {number}: need name:value pair"
    elif _has(name, "@") or _has(name, "%"):
        problem = f"{path}, line {number}: name must be local"
    if problem:
        return Entry(number, "", "", (problem,), False)
    return Entry(number, tok822_internalize(name), tok822_externalize(tokens[colon + 1 :]))


def _has(tokens: list[Token], type: str) -> bool:
    return tok822_rfind_type(tokens, type) >= 0
