"""Caseless text: casefold(3), strcasecmp_utf8(3), lowercase(3), valid_utf8_string(3).

Where UTF-8 is off (``smtputf8_enable = no``) only the letters A-Z are folded.  Where it is on, text
folds as Unicode's full case folding says; bytes that are not UTF-8 (lone surrogates in our text)
stay as they are.
"""

from __future__ import annotations

import string

_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def lowercase(text: str) -> str:
    """The text with A-Z in lower case and all else untouched."""
    return text.lower() if text.isascii() else text.translate(_ASCII_LOWER)


def casefold(text: str, utf8: bool = True) -> str:
    """The text folded for comparison; with ``utf8`` off only A-Z are folded."""
    if text.isascii():
        return text.lower()
    return text.casefold() if utf8 else text.translate(_ASCII_LOWER)


def strcasecmp_utf8(left: str, right: str, utf8: bool = True) -> int:
    """Caseless order of two texts as the bytes of their folded forms: -1, 0 or 1."""
    return _order(casefold(left, utf8), casefold(right, utf8))


def strncasecmp_utf8(left: str, right: str, size: int, utf8: bool = True) -> int:
    """The same for the first ``size`` bytes (not characters) of each."""
    return strcasecmp_utf8(_head(left, size), _head(right, size), utf8)


def same_text(left: str, right: str, utf8: bool = True) -> bool:
    """Whether two texts are equal but for case."""
    return casefold(left, utf8) == casefold(right, utf8)


def valid_utf8(text: str) -> bool:
    """Whether the text came from well-formed UTF-8 (RFC 3629)."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _head(text: str, size: int) -> str:
    data = text.encode("utf-8", "surrogateescape")[:size]
    return data.decode("utf-8", "surrogateescape")


def _order(left: str, right: str) -> int:
    one = left.encode("utf-8", "surrogateescape")
    two = right.encode("utf-8", "surrogateescape")
    return (one > two) - (one < two)
