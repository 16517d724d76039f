"""Unicode IDNA compatibility processing (UTS 46), as libraries of the time of Postfix 3.0 do it by
default: transitional, with any ASCII characters, without checks of contexts and directions.

Errors are bits, of which an application sees all, not only the first.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import idna

EMPTY_LABEL = 0x01
LABEL_TOO_LONG = 0x02
DOMAIN_NAME_TOO_LONG = 0x04
LEADING_HYPHEN = 0x08
TRAILING_HYPHEN = 0x10
HYPHEN_3_4 = 0x20
LEADING_COMBINING_MARK = 0x40
DISALLOWED = 0x80
PUNYCODE = 0x100
LABEL_HAS_DOT = 0x200
INVALID_ACE_LABEL = 0x400

_SEVERE = LEADING_COMBINING_MARK | DISALLOWED | PUNYCODE | LABEL_HAS_DOT | INVALID_ACE_LABEL
_BAD = "\ufffd"
_PREFIX = "xn--"
_LONGEST_LABEL = 63
_LONGEST_NAME = 253
#: Hyphens as third and fourth of the 16-bit units.
_UNITS_3_4 = re.compile(rb"....-\x00-\x00", re.DOTALL)
_HYPHENS_3_4 = re.compile(r"(?:^|\.)[^.][^.]--")
_LDH = re.compile(r"[a-z0-9-]*")
#: What transitional processing makes of the characters that IDNA2003 and IDNA2008 disagree on.
_DEVIATIONS = {0xDF: "ss", 0x3C2: "\u03c3", 0x200C: None, 0x200D: None}


def uts46(name: str, to_ascii: bool) -> tuple[str, int]:
    """The name in ASCII or in Unicode, and the errors.

    What is wrong in the result of a name with errors is marked with U+FFFD.
    """
    mapped = _mapped(name)
    text = _normal(mapped.translate(_DEVIATIONS))
    errors = 0
    labels = text.split(".")
    result: list[str] = []
    for place, label in enumerate(labels):
        if not label and place and place + 1 == len(labels) and not _vanished(name):
            result.append(label)  # the root
            continue
        done, found = _label(label, to_ascii)
        result.append(done)
        errors |= found
    converted = ".".join(result)
    if to_ascii and converted.isascii() and len(converted.removesuffix(".")) > _LONGEST_NAME:
        errors |= DOMAIN_NAME_TOO_LONG
    return converted, errors


def _vanished(name: str) -> bool:
    """Whether what comes after a last ASCII dot is there, but is ignored."""
    before, _, last = name.rpartition(".")
    return (
        bool(last)
        and before.isascii()
        and not _HYPHENS_3_4.search(before)
        and not _mapped(last).translate(_DEVIATIONS)
    )


def _mapped(text: str) -> str:
    """The mapping of the characters, in normal form; what is not allowed is U+FFFD."""
    if text.isascii():
        return text.lower()
    return _normal("".join(map(_mapping, text)))


def _normal(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


@lru_cache(maxsize=4096)
def _mapping(char: str) -> str:
    try:
        return idna.uts46_remap(char, std3_rules=False)
    except (idna.IDNAError, UnicodeError):
        return _BAD


def _label(label: str, to_ascii: bool) -> tuple[str, int]:
    """One label, and what is wrong with it."""
    written = label
    encoded = label.startswith(_PREFIX)
    if encoded:
        decoded = _decoded(label)
        if isinstance(decoded, int):
            return _marked(label, to_ascii, decoded)
        label = decoded
    if not label:
        return label, EMPTY_LABEL
    errors = _faults(label)
    if errors & _SEVERE:
        if encoded:
            return _marked(written, to_ascii, errors | INVALID_ACE_LABEL)
        return label, errors
    if not to_ascii:
        return label, errors
    if encoded:
        label = written
    elif not label.isascii():
        label = _PREFIX + label.encode("punycode").decode("ascii")
    if len(label) > _LONGEST_LABEL:
        errors |= LABEL_TOO_LONG
    return label, errors


def _decoded(label: str) -> str | int:
    """The text of an ``xn--`` label, or the error."""
    if label == _PREFIX or (len(label) > len(_PREFIX) + 1 and label.endswith("-")):
        return INVALID_ACE_LABEL
    if label.rfind("-") == len(_PREFIX):
        return PUNYCODE
    try:
        text = label[len(_PREFIX) :].encode("ascii").decode("punycode")
        text.encode("utf-8")
    except (UnicodeError, ValueError, OverflowError):
        return PUNYCODE
    return text if _mapped(text) == text else INVALID_ACE_LABEL


def _faults(label: str) -> int:
    """What is wrong with the text of a label."""
    errors = 0
    if _UNITS_3_4.match(label.encode("utf-16-le")):
        errors |= HYPHEN_3_4
    if label.startswith("-"):
        errors |= LEADING_HYPHEN
    if label.endswith("-"):
        errors |= TRAILING_HYPHEN
    if "." in label:
        errors |= LABEL_HAS_DOT
    if _BAD in label:
        errors |= DISALLOWED
    if unicodedata.category(label[0]).startswith("M"):
        errors |= LEADING_COMBINING_MARK
    return errors


def _marked(label: str, to_ascii: bool, errors: int) -> tuple[str, int]:
    """A bad ``xn--`` label, made such that it does not look good; and its errors."""
    if _LDH.fullmatch(label):
        return label + _BAD, errors
    if to_ascii and label.isascii() and len(label) > _LONGEST_LABEL:
        errors |= LABEL_TOO_LONG
    return label, errors
