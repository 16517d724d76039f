"""How one pattern of a match list is tried (match_ops(3)): string, host name, host address.

A pattern is compiled once, when the list is read.  Names and patterns are case-folded before they
come here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from mta.dict.flags import DICT_FLAG_FIXED
from mta.dict.registry import Dict
from mta.system import Wait
from mta.util.cidr_match import CidrError, CidrPattern, cidr_parse, parse_address

_ADDRESS = re.compile(r"[0-9.a-fA-F:]*", re.ASCII)
_ADDRESS_PATTERN = re.compile(r"[0-9.a-fA-F:\[\]/]*", re.ASCII)
_ALL_IPV4 = re.compile(r"[0-9.]*", re.ASCII)


class Pattern(NamedTuple):
    """One pattern: literal ``text``, or a table (``text`` is then its handle); ``positive`` is
    False after an odd number of ``!``.
    """

    text: str
    positive: bool
    table: Dict | None = None


class PatternError(ValueError):
    """A network pattern that cannot be used; ``args[0]`` says why."""


#: Whether literal text matches a pattern; the last argument: parent domains match subdomains.
TextMatcher = Callable[[str, str, bool], bool]


def match_string(text: str, pattern: str, parent: bool) -> bool:
    """Whether they are the same."""
    return text == pattern


def match_hostname(name: str, pattern: str, parent: bool) -> bool:
    """Whether the name is the pattern, or below it: below ``pattern`` where parent domains match
    subdomains, else below ``.pattern``.
    """
    if name == pattern:
        return True
    if parent:
        return (
            bool(pattern or name.endswith("."))
            and name.endswith("." + pattern)
            and (len(name) > len(pattern) + 1)
        )
    return pattern.startswith(".") and len(name) > len(pattern) and name.endswith(pattern)


def match_hostaddr(address: str, pattern: str, parent: bool) -> bool:
    """Whether an address is the pattern, or in its network.  Raises PatternError."""
    if not _is_address(address):
        return False
    if address == pattern or (pattern.startswith("[") and f"[{address}]" == pattern):
        return True
    if not _is_network(pattern) or (":" in address) != (":" in pattern):
        return False
    compiled = _compile(pattern)
    number = parse_address(address)
    return number is not None and compiled.matches(number)


@lru_cache(maxsize=4096)
def _is_address(text: str) -> bool:
    """Whether a text has only characters of addresses."""
    return _ADDRESS.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def _is_network(pattern: str) -> bool:
    """Whether the pattern looks like one that needs a comparison bit by bit."""
    return (
        (":" in pattern or "/" in pattern)
        and not _ALL_IPV4.fullmatch(pattern)
        and _ADDRESS_PATTERN.fullmatch(pattern) is not None
    )


_compiled: dict[str, CidrPattern | CidrError] = {}


def _compile(pattern: str) -> CidrPattern:
    found = _compiled.get(pattern)
    if found is None:
        try:
            found = cidr_parse(pattern)
        except CidrError as error:
            found = error
        if len(_compiled) > 10_000:
            _compiled.clear()
        _compiled[pattern] = found
    if isinstance(found, CidrError):
        raise PatternError(found.args[0])
    return found


#: Looks a name up in a table; the last argument: parent domains match subdomains.
TableMatcher = Callable[[Dict, str, bool], Wait[bool]]


def search_exact(table: Dict, text: str, parent: bool) -> Wait[bool]:
    """Whether the table has the text."""
    value = (yield from table.lookup(text)) if table.remote else table.get(text)
    return value is not None


def search_hostaddr(table: Dict, text: str, parent: bool) -> Wait[bool]:
    """Whether the table has the address; what is no address is not asked for."""
    if not _is_address(text):
        return False
    return (yield from search_exact(table, text, parent))


def search_hostname(table: Dict, name: str, parent: bool) -> Wait[bool]:
    """Whether the table has the name, or (tables with literal keys only) a parent domain of it:
    ``domain`` where parent domains match subdomains, else ``.domain``.
    """
    entry = name
    while entry:
        if entry is name or table.flags & DICT_FLAG_FIXED:
            value = (yield from table.lookup(entry)) if table.remote else table.get(entry)
            if value is not None:
                return True
        dot = entry.find(".", 1)
        if dot < 0:
            break
        entry = entry[dot + 1 :] if parent else entry[dot:]
    return False
