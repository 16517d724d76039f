"""regcomp(3) and regexec(3) of the C library: the engine of ``regexp:`` tables.

The library is called in the process, on memory of ours, in the "C" locale (Postfix never leaves
it), so that the result depends neither on the environment nor on anything outside.
"""

from __future__ import annotations

import ctypes
import re
import sys
import weakref
from collections.abc import Sequence
from typing import Any

from mta.dict.patterns import EngineError

_BSD = not sys.platform.startswith("linux")

REG_EXTENDED = 1
REG_ICASE = 2
REG_NEWLINE = 8 if _BSD else 4
REG_NOSUB = 4 if _BSD else 8
_NOMATCH = 1

_libc = ctypes.CDLL(None, use_errno=False)
_GLIBC = hasattr(_libc, "gnu_get_libc_version")
_LC_ALL_MASK = 0x1FBF if not _BSD else 0x7F
#: Where re_nsub is in a regex_t; larger than any regex_t is our buffer.
_NSUB_OFFSET = 48 if _GLIBC else (8 if _BSD else 0)
_REGEX_SIZE = 256
_Offset = ctypes.c_int if _GLIBC else ctypes.c_longlong

#: How much memory a pattern's repetitions may cost, in copies of single elements.
_MAX_REPEATED = 200_000
_REPEAT = re.compile(rb"\{(\d*),?(\d*)\}|\\?[()]|\\.", re.DOTALL)


class RegexError(Exception):
    """A pattern is bad; ``args[0]`` is the text of regerror(3)."""


class _Match(ctypes.Structure):
    _fields_ = [("start", _Offset), ("end", _Offset)]


def _prototype(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_libc, name)
    function.restype = result
    function.argtypes = arguments
    return function


_regcomp = _prototype("regcomp", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)
_regexec = _prototype(
    "regexec",
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_size_t,
    ctypes.c_void_p,
    ctypes.c_int,
)
_regfree = _prototype("regfree", None, ctypes.c_void_p)
_regerror = _prototype(
    "regerror",
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_size_t,
)
_newlocale = _prototype(
    "newlocale", ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p
)
_uselocale = _prototype("uselocale", ctypes.c_void_p, ctypes.c_void_p)
_C_LOCALE = _newlocale(_LC_ALL_MASK, b"C", None)


def _error_text(code: int, regex: Any) -> str:
    text = ctypes.create_string_buffer(256)
    _regerror(code, regex, text, 256)
    return text.value.decode("ascii", "replace")


class Regex:
    """A compiled pattern."""

    __slots__ = ("__weakref__", "_buffer", "_matches", "groups")

    def __init__(self, buffer: Any, groups: int, capture: bool) -> None:
        self._buffer = buffer
        self.groups = groups
        self._matches = (_Match * (groups + 1))() if capture else None
        weakref.finalize(self, _regfree, buffer)

    def search(self, subject: bytes, count: int) -> Sequence[bytes | None] | None:
        """The text of the first ``count`` groups of the first match, group 0 being the whole; None
        where there is none.  Raises EngineError.
        """
        matches = self._matches
        if matches is None or not count:
            count, matches = 0, None
        elif count > len(matches):
            count = len(matches)
        code = _regexec(self._buffer, subject, count, matches, 0)
        if code == _NOMATCH:
            return None
        if code:
            raise EngineError(_error_text(code, self._buffer))
        if matches is None:
            return ()
        return [
            subject[found.start : found.end] if found.start >= 0 else None
            for found in matches[:count]
        ]


def regcomp(pattern: bytes, options: int, capture: bool) -> Regex:
    """Compiles a pattern; without ``capture`` matches have no groups.  Raises RegexError."""
    if _repeated(pattern) > _MAX_REPEATED:
        raise RegexError("Memory exhausted")
    buffer = ctypes.create_string_buffer(_REGEX_SIZE)
    before = _uselocale(_C_LOCALE)
    try:
        code = _regcomp(buffer, pattern, options if capture else options | REG_NOSUB)
    finally:
        _uselocale(before)
    if code:
        raise RegexError(_error_text(code, buffer))
    groups = ctypes.c_size_t.from_buffer(buffer, _NSUB_OFFSET).value
    return Regex(buffer, groups, capture)


def _repeated(pattern: bytes) -> int:
    """At most how many elements the pattern has once its ``{n,m}`` are written out."""
    total = 1
    stack: list[int] = []
    last = 1
    for found in _REPEAT.finditer(pattern):
        token = found[0]
        if token == b"(":
            stack.append(total)
            total = last = 1
        elif token == b")" and stack:
            last = total
            total += stack.pop()
        elif token.startswith(b"{"):
            times = max(int(found[1] or 0), int(found[2] or 0), 1)
            total += last * min(times, 0x7FFF)
            last = min(last * times, 10 * _MAX_REPEATED)
        total = min(total, 10 * _MAX_REPEATED)
    return total + len(pattern)
