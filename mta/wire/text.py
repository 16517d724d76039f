"""Bytes and text: any byte survives the way to text and back (UTF-8 with surrogate escapes)."""

from __future__ import annotations


def to_text(data: bytes | bytearray) -> str:
    """Text for bytes; what is not UTF-8 becomes lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def to_bytes(text: str) -> bytes:
    """The bytes of a text made by :func:`to_text` (or of any other)."""
    return text.encode("utf-8", "surrogateescape")


def is_ascii(text: str) -> bool:
    """Whether all characters are ASCII."""
    return text.isascii()
