"""``pcre:/path`` - Perl-compatible regular expressions (pcre_table(5)).

Postfix 3.0 knows PCRE 1; the engine here is PCRE 2, asked to behave as its predecessor where they
differ: unknown escapes of letters are the letters, patterns and subjects are bytes, and errors have
the old texts and offsets.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from pcre2 import LibraryError, PatternError, _cy

from mta.dict.patterns import (
    CompileError,
    EngineError,
    Groups,
    Parsed,
    Parser,
    PatternDict,
    open_patterns,
)
from mta.dict.pcre1 import translate
from mta.dict.process import TableProcess
from mta.dict.registry import Dict, dict_type
from mta.wire.text import to_bytes

_ALT_BSUX = 0x00000002
_CASELESS = 0x00000008
_DOLLAR_ENDONLY = 0x00000010
_DOTALL = 0x00000020
_EXTENDED = 0x00000080
_MULTILINE = 0x00000400
_UNGREEDY = 0x00040000
_NEVER_BACKSLASH_C = 0x00100000
_ANCHORED = 0x80000000
#: PCRE 1's "X" (unknown escapes are errors), which PCRE 2 has no bit for.
_EXTRA = 0x100000000

#: What the Python package sets for itself, and PCRE 1 had not.
_NOT_OURS = _ALT_BSUX | _NEVER_BACKSLASH_C

_MAX_CAPTURE = 99
_MATCH_LIMIT = -47
_DEPTH_LIMIT = -53
_HEAP_LIMIT = -63
_UTF_ERRORS = range(-28, -2)

_OPEN_FLAGS = re.compile(rb"\(\?[a-zA-Z-]*\Z")
_NAMED_REFERENCE = re.compile(rb"(?:\\[kg][<{']|\(\?P[=>]|\(\?&)\Z")


class _OldError(NamedTuple):
    """PCRE 1's text for an error of PCRE 2, and how far its offset lies from the new one."""

    text: str
    shift: int = 0


#: By PCRE 2's number; those with an equal text and offset are left out.
_OLD_ERRORS = {
    103: _OldError("unrecognized character follows \\", -1),
    108: _OldError("range out of order in character class", -1),
    109: _OldError("nothing to repeat", -1),
    111: _OldError("unrecognized character after (? or (?-", -1),
    112: _OldError("POSIX named classes are supported only within a class"),
    113: _OldError("POSIX collating elements are not supported"),
    114: _OldError("missing )"),
    118: _OldError("missing ) after comment"),
    122: _OldError("unmatched parentheses", -1),
    124: _OldError("malformed number or name after (?("),
    125: _OldError("lookbehind assertion is not fixed length"),
    128: _OldError("assertion expected after (?( or (?(?C)"),
    130: _OldError("unknown POSIX class name"),
    137: _OldError("PCRE does not support \\L, \\l, \\N{name}, \\U, or \\u", -1),
    138: _OldError("number after (?C is > 255"),
    142: _OldError("syntax error in subpattern name (missing terminator)"),
    143: _OldError("two named subpatterns have the same name", -1),
    144: _OldError("group name must start with a non-digit", -1),
    147: _OldError("unknown property name after \\P or \\p", -1),
    150: _OldError("invalid range in character class", -1),
    154: _OldError("DEFINE group contains more than one branch"),
    157: _OldError("a numbered reference must not be zero", -1),
    158: _OldError("(?R or (?[+-]digits must be followed by )"),
    162: _OldError("unrecognized character after (?<"),
    164: _OldError("non-octal character in \\o{} (closing brace missing?)", -1),
}


def _old_error(pattern: bytes, code: int, place: int, text: str) -> tuple[int, str]:
    """Offset and text of an error as PCRE 1 gives them."""
    old = _OLD_ERRORS.get(code, _OldError(text))
    before = pattern[:place]
    if code == 114 and _OPEN_FLAGS.search(pattern):
        return place, _OLD_ERRORS[111].text
    if code == 115 and _NAMED_REFERENCE.search(before):
        return place + 1, old.text
    if code == 125:
        return _closing(pattern, place), old.text
    if code == 130:
        return before.rfind(b"[:") + 2, old.text
    if code in (112, 113):
        return before.rfind(b"["), old.text
    return place + old.shift, old.text


def _closing(pattern: bytes, start: int) -> int:
    """Where the group that starts at a place ends."""
    level = 0
    place = start
    while place < len(pattern):
        char = pattern[place : place + 1]
        if char == b"\\":
            place += 1
        elif char == b"(":
            level += 1
        elif char == b")":
            level -= 1
            if level == 0:
                break
        place += 1
    return place


class FatalEngineError(EngineError):
    """A failed match that ends the process, as most errors of pcre_exec do."""


_CONTEXT = _cy.create_match_context()


class PcrePattern:
    """A compiled pattern."""

    __slots__ = ("_code", "groups")

    def __init__(self, pattern: bytes, options: int) -> None:
        new = translate(pattern, bool(options & _EXTENDED), bool(options & _EXTRA))
        try:
            self._code = _cy.compile(new.pattern, options & ~_EXTRA, _NOT_OURS)
        except PatternError as error:
            text = error.msg.partition("; ")[2]
            place = new.places[min(error.pos, len(new.places) - 1)]
            place, text = _old_error(pattern, error.code, place, text)
            raise CompileError(f"error in regex at offset {place}: {text}") from error
        self.groups: int = _cy.pattern_capture_count(self._code)

    def search(self, subject: bytes, count: int) -> Groups | None:
        """The groups of the first match."""
        try:
            found = _cy.match(self._code, subject, len(subject), 0, _CONTEXT, 0)[0]
        except LibraryError as error:
            raise FatalEngineError(_exec_error(error.code)) from error
        if found is None:
            return None
        if self.groups >= _MAX_CAPTURE and self._too_many(found, subject):
            raise EngineError("too many (...)")
        return [_cy.match_substring_bynumber(found, subject, number) for number in range(count)]

    def _too_many(self, found: object, subject: bytes) -> bool:
        return any(
            _cy.match_substring_bynumber(found, subject, number) is not None
            for number in range(_MAX_CAPTURE, self.groups + 1)
        )


def _exec_error(code: int) -> str:
    if code == _MATCH_LIMIT:
        return "matched text exceeds buffer limit"
    if code in (_DEPTH_LIMIT, _HEAP_LIMIT):
        return "unknown re_exec error: -21"
    if code in _UTF_ERRORS:
        return "bad UTF-8 sequence in search string"
    return f"unknown re_exec error: {code}"


class PcreParser(Parser):
    """Rules of pcre_table(5)."""

    kind = "pcre"
    default_options = _CASELESS | _DOTALL
    options = {
        "i": _CASELESS,
        "m": _MULTILINE,
        "s": _DOTALL,
        "x": _EXTENDED,
        "A": _ANCHORED,
        "E": _DOLLAR_ENDONLY,
        "U": _UNGREEDY,
        "X": _EXTRA,
    }
    no_delimiter = "ignoring this rule"
    bad_index = "out of range"

    def empty_replacement(self) -> str:
        """The warning of a rule without a result."""
        return f"{self.path}, line {self.line}: no replacement text: using empty string"

    def compile(self, text: str, options: int, capture: bool) -> PcrePattern:
        """Compiles a pattern."""
        return PcrePattern(to_bytes(text), options)


@lru_cache(maxsize=64)
def parse_pcre_table(path: str, data: bytes, no_substitution: bool) -> Parsed:
    """The rules of a table's text."""
    return PcreParser(path, no_substitution).parse(data)


class PcreDict(PatternDict):
    """A table of Perl-compatible expressions."""

    def _engine_error(self, error: EngineError, text: str) -> None:
        if isinstance(error, FatalEngineError):
            self.process.log.fatal(text)
        self.process.log.warning(text)


@dict_type("pcre", read_only=True)
def open_pcre(process: TableProcess, path: str, open_flags: int, flags: int) -> Dict:
    """Opens a table of Perl-compatible regular expressions."""
    return open_patterns(process, PcreDict, "pcre", path, flags, parse_pcre_table)
