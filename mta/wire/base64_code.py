"""base64_code(3): base 64 with Postfix's idea of what is valid."""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64

_ALPHABET = re.compile(r"[A-Za-z0-9+/]*")


def base64_encode(data: bytes) -> str:
    """Base 64 without line breaks."""
    return b2a_base64(data, newline=False).decode("ascii")


def base64_decode(text: str) -> bytes | None:
    """The data, or None where the text is malformed.  What comes after ``=`` within a length that
    is a multiple of four is not looked at.
    """
    if len(text) % 4:
        return None
    digits, padding, _ = text.partition("=")
    if not _ALPHABET.fullmatch(digits) or (padding and len(digits) % 4 < 2):
        return None
    return a2b_base64(digits + "=" * (-len(digits) % 4))
