"""International domain names (midna_domain(3)): to ASCII and to UTF-8, by UTS 46.

``warn`` gets the text of the warning where a name has no such form.  (Postfix calls the errors of
the conversion by the names of other errors with the same numbers.)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from mta.util.casefold import valid_utf8
from mta.util.uts46 import uts46
from mta.util.valid_hostname import valid_hostname
from mta.wire.text import cut

Warn = Callable[[str], object]

_ERRORS = (
    "U_ZERO_ERROR", "U_ILLEGAL_ARGUMENT_ERROR", "U_MISSING_RESOURCE_ERROR",
    "U_INVALID_FORMAT_ERROR", "U_FILE_ACCESS_ERROR", "U_INTERNAL_PROGRAM_ERROR",
    "U_MESSAGE_PARSE_ERROR", "U_MEMORY_ALLOCATION_ERROR", "U_INDEX_OUTOFBOUNDS_ERROR",
    "U_PARSE_ERROR", "U_INVALID_CHAR_FOUND", "U_TRUNCATED_CHAR_FOUND", "U_ILLEGAL_CHAR_FOUND",
    "U_INVALID_TABLE_FORMAT", "U_INVALID_TABLE_FILE", "U_BUFFER_OVERFLOW_ERROR",
    "U_UNSUPPORTED_ERROR", "U_RESOURCE_TYPE_MISMATCH", "U_ILLEGAL_ESCAPE_SEQUENCE",
    "U_UNSUPPORTED_ESCAPE_SEQUENCE", "U_NO_SPACE_AVAILABLE", "U_CE_NOT_FOUND_ERROR",
    "U_PRIMARY_TOO_LONG_ERROR", "U_STATE_TOO_OLD_ERROR", "U_TOO_MANY_ALIASES_ERROR",
    "U_ENUM_OUT_OF_SYNC_ERROR", "U_INVARIANT_CONVERSION_ERROR", "U_INVALID_STATE_ERROR",
    "U_COLLATOR_VERSION_MISMATCH", "U_USELESS_COLLATOR_ERROR", "U_NO_WRITE_PERMISSION",
    "U_INPUT_TOO_LONG_ERROR",
)  # fmt: skip
_MALFORMED = "malformed UTF-8"


def midna_domain_to_ascii(name: str, warn: Warn | None = None) -> str | None:
    """The domain in ASCII (``xn--``) and in lower case; None where it has no such form."""
    result, problem = _to_ascii(name)
    if problem and warn is not None:
        warn(problem)
    return result


def midna_domain_to_utf8(name: str, warn: Warn | None = None) -> str | None:
    """The domain with its ``xn--`` labels decoded; None where one of them cannot be, or where the
    result has no form in ASCII.
    """
    result, problem = _to_utf8(name)
    if problem and warn is not None:
        warn(problem)
    return result


def _problem(kind: str, form: str, name: str, what: str) -> str:
    return (
        f"midna_domain_to_{kind}_create: Problem translating domain "
        f'"{cut(name, 100)}" to {form} form: {what}'
    )


def _error_name(errors: int) -> str:
    return _ERRORS[errors] if errors < len(_ERRORS) else "[BOGUS UErrorCode]"


@lru_cache(maxsize=1000)
def _to_ascii(name: str) -> tuple[str | None, str]:
    """The name in ASCII, and the warning where there is none."""
    if not valid_utf8(name):
        return None, _problem("ascii", "ASCII", name, _MALFORMED)
    result, errors = uts46(name, True)
    if errors or not result:
        return None, _problem("ascii", "ASCII", name, _error_name(errors))
    if not valid_hostname(result):
        return None, _problem("ascii", "ASCII", name, "malformed ASCII label(s)")
    return result, ""


@lru_cache(maxsize=1000)
def _to_utf8(name: str) -> tuple[str | None, str]:
    """The name in UTF-8, and the warning where there is none."""
    if not valid_utf8(name):
        return None, _problem("utf8", "UTF-8", name, _MALFORMED)
    result, errors = uts46(name, False)
    if errors or not result:
        return None, _problem("utf8", "UTF8", name, _error_name(errors))
    ascii_name, problem = _to_ascii(result)
    return (None, problem) if ascii_name is None else (result, "")


def valid_utf8_hostname(enable: bool, name: str, warn: Warn | None = None) -> bool:
    """Whether it is a valid host name; with SMTPUTF8 enabled, also one that is not ASCII."""
    if enable and not name.isascii():
        ascii_name = midna_domain_to_ascii(name, warn)
        return ascii_name is not None and bool(valid_hostname(ascii_name))
    return bool(valid_hostname(name))
