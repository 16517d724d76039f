"""C-like escapes: text with unprintable bytes made visible, and back (unescape(3))."""

from __future__ import annotations

import re

from mta.wire.text import to_bytes, to_text

_NAMES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 92: "\\\\"}
_ESCAPES = [
    _NAMES.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in range(256)
]

_UNESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|(.?))", re.DOTALL)
_LETTERS = {
    b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v",
}  # fmt: skip


def escape(data: bytes) -> str:
    r"""The bytes as printable ASCII: ``\r``, ``\n`` and the like, ``\ooo`` for others."""
    return "".join(_ESCAPES[byte] for byte in data)


def _one(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return bytes((int(match[1], 8) & 0xFF,))
    letter: bytes = match[2]
    return _LETTERS.get(letter, letter)


def unescape(text: str) -> str:
    r"""The text with ``\n``, ``\ooo`` and the like replaced by what they stand for."""
    return to_text(_UNESCAPE.sub(_one, to_bytes(text))) if "\\" in text else text
