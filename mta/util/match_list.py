"""match_list(3) - lists of patterns with exclusions, files and tables in them.

A list such as ``mynetworks`` is read from left to right, and the first pattern that matches
decides: ``pattern``, ``!pattern``, ``/file`` (its words stand in its place), ``type:table``.
"""

from __future__ import annotations

from typing import NamedTuple

from mta.dict.errors import TableError
from mta.dict.flags import DICT_FLAG_LOCK, DICT_FLAG_UTF8_REQUEST, O_RDONLY, dict_flags_str
from mta.dict.process import TableProcess, decide, utf8_enabled
from mta.dict.registry import Dict, dict_open, dict_surrogate, handles
from mta.system import Wait
from mta.util.casefold import casefold
from mta.util.match_ops import Pattern, PatternError, TableMatcher, TextMatcher
from mta.util.parens import split_words
from mta.wire.text import to_text

#: The type of the surrogate for a /file that cannot be opened.
_NO_FILE = "non-existent"
_FLAGS = DICT_FLAG_LOCK | DICT_FLAG_UTF8_REQUEST
_SUFFIX = f"({O_RDONLY:o},{dict_flags_str(_FLAGS)})"


class Matcher(NamedTuple):
    """How one of the things that a list is asked for is compared with literal text and tables."""

    text: TextMatcher
    table: TableMatcher


class MatchList:
    """A list of patterns under the name of its parameter.

    ``parent``: a domain also matches its subdomains.  ``fatal``: a table that fails ends the
    process (lists without MATCH_FLAG_RETURN) where it otherwise raises TableError.
    """

    __slots__ = ("_utf8", "fatal", "matchers", "name", "parent", "patterns", "process")

    def __init__(
        self,
        process: TableProcess,
        name: str,
        patterns: str,
        matchers: tuple[Matcher, ...],
        parent: bool = False,
        fatal: bool = False,
    ) -> None:
        self.process = process
        self.name = name
        self.matchers = matchers
        self.parent = parent
        self.fatal = fatal
        self._utf8 = utf8_enabled(process)
        self.patterns: list[Pattern] = []
        if patterns:
            self._parse(patterns, True)

    def __bool__(self) -> bool:
        return bool(self.patterns)

    # -- reading

    def _parse(self, text: str, positive: bool) -> None:
        words = split_words(text)
        for place, word in enumerate(words):
            if word.startswith("#"):
                rest = text[text.find(word) + len(word) + 1 :] if place + 1 < len(words) else ""
                self.process.log.warning(
                    f"{self.name}: comment at end of line is not supported: {word} {rest}"
                )
                break
            item = word.lstrip("!")
            sense = positive if (len(word) - len(item)) % 2 == 0 else not positive
            if not item:
                self.process.log.fatal(f"{self.name}: no pattern after '!'")
            self._add(item, sense)

    def _add(self, item: str, positive: bool) -> None:
        if item.startswith("/"):
            self._add_file(item, positive)
        elif is_table(item):
            table = dict_open(self.process, item, flags=_FLAGS, handle=item + _SUFFIX)
            self.patterns.append(Pattern(item, positive, table))
        else:
            self.patterns.append(Pattern(casefold(item, self._utf8), positive))

    def _add_file(self, path: str, positive: bool) -> None:
        try:
            data = self.process.system.files.read(path)
        except OSError as error:
            table = self._missing(path, f"open file {path}: {error.strerror}")
            self.patterns.append(Pattern(path, True, table))
            return
        for line in to_text(data).split("\n"):
            if not line.startswith("#"):
                self._parse(line, positive)

    def _missing(self, path: str, reason: str) -> Dict:
        handle = f"{_NO_FILE}:{path}"
        tables = handles(self.process)
        found = tables.get(handle)
        if found is None:
            found = tables[handle] = dict_surrogate(self.process, _NO_FILE, path, _FLAGS, reason)
        return found

    # -- asking

    def match_all(self, *texts: str) -> Wait[bool]:
        """Whether one of the things (one for each matcher, as name and address) is in the list.

        Raises TableError after a warning, or Fatal with ``fatal``, where a table fails or a network
        pattern is bad.
        """
        utf8 = self._utf8
        parent = self.parent
        folded = [casefold(text, utf8) for text in texts]
        pairs = list(zip(folded, self.matchers, strict=True))
        for pattern in self.patterns:
            for text, matcher in pairs:
                if pattern.table is None:
                    found = self._match_text(text, pattern, matcher)
                else:
                    try:
                        found = yield from matcher.table(pattern.table, text, parent)
                    except TableError as error:
                        self._report(f"{pattern.table.name}: table lookup problem")
                        raise TableError(pattern.table.name) from error
                if found:
                    self._decide(texts, pattern, pattern.positive)
                    return pattern.positive
        self._decide(texts, None, False)
        return False

    def _match_text(self, text: str, pattern: Pattern, matcher: Matcher) -> bool:
        try:
            return matcher.text(text, pattern.text, self.parent)
        except PatternError as error:
            self._report(error.args[0])
            raise TableError(self.name) from error

    def _report(self, text: str) -> None:
        if self.fatal:
            self.process.log.fatal(f"{self.name}: {text}")
        self.process.log.warning(f"{self.name}: {text}")

    def _decide(self, texts: tuple[str, ...], pattern: Pattern | None, result: bool) -> None:
        if self.process.system.decisions is not None:
            what = "" if pattern is None else ("" if pattern.positive else "!") + pattern.text
            decide(
                self.process, "match_list", list=self.name, of=texts, pattern=what, result=result
            )


def is_table(pattern: str) -> bool:
    """Whether a pattern is ``type:table``, and no address in brackets."""
    return not pattern.startswith("[") and ":" in pattern
