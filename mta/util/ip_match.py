"""Patterns for IPv4 addresses: ``127.0.[1..3].[2;4;8..11]`` (ip_match(3))."""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = re.compile(r"[0-9]+|.", re.DOTALL | re.ASCII)
_OCTETS = 4


class IpMatchError(ValueError):
    """A pattern with a mistake; ``args[0]`` is Postfix's text for it, with its place."""


class IpPattern(NamedTuple):
    """For each octet the ranges (first, last) that match, and whether it is a bare number."""

    fields: tuple[tuple[tuple[int, int], ...], ...]
    bare: tuple[bool, ...]

    def matches(self, address: str) -> bool:
        """Whether an IPv4 address (dotted quad) matches."""
        octets = address.split(".")
        return len(octets) == _OCTETS and all(
            any(first <= int(octet) <= last for first, last in ranges)
            for octet, ranges in zip(octets, self.fields, strict=True)
        )

    def __str__(self) -> str:
        """The pattern in its usual form."""
        return ".".join(
            _range(ranges[0]) if bare else f"[{';'.join(map(_range, ranges))}]"
            for ranges, bare in zip(self.fields, self.bare, strict=True)
        )


def _range(ends: tuple[int, int]) -> str:
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]}..{ends[1]}"


class _Reader:
    """The tokens of a pattern; the place of the latest for complaints."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.start = 0
        self.end = 0

    def next(self) -> str:
        """The next token: digits, one character, or nothing at the end."""
        self.start = self.end
        match = _TOKEN.match(self.pattern, self.end)
        if match is None:
            return ""
        self.end = match.end()
        return match[0]

    def bad(self, text: str) -> IpMatchError:
        """The error at the latest token."""
        before, here = self.pattern[: self.start], self.pattern[self.start : self.end]
        return IpMatchError(f'{text} at "{before}>{here}<{self.pattern[self.end :]}"')


def _octet(token: str) -> int | None:
    return int(token) if token[:1].isdigit() and int(token) <= 255 else None


def _strip(pattern: str) -> str:
    """The pattern without ``[]`` around the whole."""
    if not pattern.startswith("["):
        return pattern
    level = 0
    for place, char in enumerate(pattern):
        level += (char == "[") - (char == "]")
        if char == "]" and level == 0:
            return pattern[1:-1] if place + 1 == len(pattern) else pattern
    raise IpMatchError('missing "]" character')


def ip_match_parse(pattern: str) -> IpPattern:
    """The pattern in its compiled form.  Raises IpMatchError."""
    pattern = _strip(pattern)
    if not pattern:
        raise IpMatchError("empty address pattern")
    reader = _Reader(pattern)
    fields: list[tuple[tuple[int, int], ...]] = []
    bare: list[bool] = []
    while True:
        token = reader.next()
        octet = _octet(token)
        if octet is None and token != "[":
            raise reader.bad('need decimal number 0..255 or "["')
        bare.append(octet is not None)
        fields.append(_ranges(reader) if octet is None else ((octet, octet),))
        if len(fields) == _OCTETS:
            if reader.end < len(pattern):
                reader.next()
                raise reader.bad("garbage after pattern")
            return IpPattern(tuple(fields), tuple(bare))
        if reader.next() != ".":
            raise reader.bad('need "."')


def _ranges(reader: _Reader) -> tuple[tuple[int, int], ...]:
    """What stands in ``[...]``: numbers and ranges, ``;`` between them."""
    ranges: list[tuple[int, int]] = []
    while True:
        first = _octet(reader.next())
        if first is None:
            raise reader.bad("need decimal number 0..255")
        last: int | None = first
        token = reader.next()
        if token == ".":
            last = _octet(reader.next()) if reader.next() == "." else None
            if last is None or first > last:
                raise reader.bad("numeric range error")
            token = reader.next()
        ranges.append((first, last if last is not None else first))
        if token == "]":
            return tuple(ranges)
        if token != ";":
            raise reader.bad('need ";" or "]"')
