"""``regexp:/path`` - POSIX regular expressions (regexp_table(5)), matched by the C library."""

from __future__ import annotations

from functools import lru_cache

from mta.dict import posix_regex
from mta.dict.patterns import (
    CompileError,
    Parsed,
    Parser,
    PatternDict,
    Source,
    open_patterns,
)
from mta.dict.process import TableProcess
from mta.dict.registry import Dict, dict_type
from mta.wire.text import to_bytes


class RegexpParser(Parser):
    """Rules of regexp_table(5).  ``/pattern1/!/pattern2/`` is an old form with two patterns."""

    kind = "regexp"
    default_options = posix_regex.REG_EXTENDED | posix_regex.REG_ICASE
    options = {
        "i": posix_regex.REG_ICASE,
        "m": posix_regex.REG_NEWLINE,
        "x": posix_regex.REG_EXTENDED,
    }
    stop = "!"
    no_delimiter = "skipping this rule"
    bad_index = "out-of-range"

    def empty_replacement(self) -> str:
        """The warning of a rule without a result."""
        return f"regexp map {self.path}, line {self.line}: using empty replacement string"

    def compile(self, text: str, options: int, capture: bool) -> posix_regex.Regex:
        """Compiles a pattern."""
        try:
            return posix_regex.regcomp(to_bytes(text), options, capture)
        except posix_regex.RegexError as error:
            raise CompileError(error.args[0]) from error

    def _second_source(self, first: Source) -> Source | None:
        return self._source(first.rest) if first.rest.startswith("!") else None


@lru_cache(maxsize=64)
def parse_regexp_table(path: str, data: bytes, no_substitution: bool) -> Parsed:
    """The rules of a table's text."""
    return RegexpParser(path, no_substitution).parse(data)


@dict_type("regexp", read_only=True)
def open_regexp(process: TableProcess, path: str, open_flags: int, flags: int) -> Dict:
    """Opens a table of POSIX regular expressions."""
    return open_patterns(process, PatternDict, "regexp", path, flags, parse_regexp_table)
