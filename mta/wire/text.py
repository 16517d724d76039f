"""Bytes and text: any byte survives the way to text and back (UTF-8 with surrogate escapes)."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile(r"[^ -~]")
_UNPRINTABLE_BYTES = re.compile(rb"[\xc2-\xfe][\x80-\xbf]+|([^ -~])")


def to_text(data: bytes | bytearray) -> str:
    """Text for bytes; what is not UTF-8 becomes lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def to_bytes(text: str) -> bytes:
    """The bytes of a text made by :func:`to_text` (or of any other)."""
    return text.encode("utf-8", "surrogateescape")


def c_string(data: bytes) -> bytes:
    """What C sees of it: up to a NUL."""
    return data.partition(b"\0")[0] if b"\0" in data else data


def printable(text: str, replacement: str = "?", utf8: bool = True) -> str:
    """The text with each byte that is not printable ASCII, nor (with ``utf8``, which is the
    parameter smtputf8_enable) part of a UTF-8 sequence, replaced (printable(3)).  UTF-8 is not
    looked at closely: any lead byte with what continues it will do.
    """
    if not _UNPRINTABLE.search(text):
        return text
    data = to_bytes(text)
    mark = replacement.encode()
    if utf8:
        data = _UNPRINTABLE_BYTES.sub(lambda found: mark if found[1] else found[0], data)
    else:
        data = re.sub(rb"[^ -~]", mark, data)
    return to_text(data)


def cut(text: str, size: int) -> str:
    """At most the first bytes of a text: ``%.200s``."""
    if len(text) <= size and text.isascii():
        return text
    return to_text(to_bytes(text)[:size])
