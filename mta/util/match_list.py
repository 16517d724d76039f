"""match_list(3) - lists of patterns with exclusions, files and tables in them.

A list such as ``mynetworks`` is read from left to right, and the first pattern that matches
decides: ``pattern``, ``!pattern``, ``/file`` (its words stand in its place), ``type:table``.
"""

from __future__ import annotations

from enum import Enum, auto
from functools import lru_cache
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


class _Kind(Enum):
    """What a word of a list is."""

    TEXT = auto()  #: a pattern
    TABLE = auto()  #: ``type:table``
    FILE = auto()  #: ``/file``
    COMMENT = auto()  #: ``#`` and all that follows, to be complained of
    NOTHING = auto()  #: no pattern after ``!``


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
        for kind, pattern in _read(text, self._utf8):
            if not positive:
                pattern = pattern._replace(positive=not pattern.positive)
            if kind is _Kind.TEXT:
                self.patterns.append(pattern)
            elif kind is _Kind.TABLE:
                handle = pattern.text + _SUFFIX
                table = dict_open(self.process, pattern.text, flags=_FLAGS, handle=handle)
                self.patterns.append(pattern._replace(table=table))
            elif kind is _Kind.FILE:
                self._add_file(pattern.text, pattern.positive)
            elif kind is _Kind.COMMENT:
                self.process.log.warning(
                    f"{self.name}: comment at end of line is not supported: {pattern.text}"
                )
            else:
                self.process.log.fatal(f"{self.name}: no pattern after '!'")

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
            table = pattern.table
            for text, matcher in pairs:
                try:
                    if table is None:
                        found = matcher.text(text, pattern.text, parent)
                    else:
                        found = yield from matcher.table(table, text, parent)
                except PatternError as error:
                    self._report(error.args[0])
                    raise TableError(self.name) from error
                except TableError as error:
                    assert table is not None
                    self._report(f"{table.name}: table lookup problem")
                    raise TableError(table.name) from error
                if found:
                    self._decide(texts, pattern, pattern.positive)
                    return pattern.positive
        self._decide(texts, None, False)
        return False

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


@lru_cache(maxsize=1024)
def _read(text: str, utf8: bool) -> tuple[tuple[_Kind, Pattern], ...]:
    """The words of a list; patterns are folded.  Kept, since every process reads the same lists."""
    found: list[tuple[_Kind, Pattern]] = []
    words = split_words(text)
    for place, word in enumerate(words):
        if word.startswith("#"):
            rest = text[text.find(word) + len(word) + 1 :] if place + 1 < len(words) else ""
            found.append((_Kind.COMMENT, Pattern(f"{word} {rest}", True)))
            break
        item = word.lstrip("!")
        positive = (len(word) - len(item)) % 2 == 0
        if not item:
            kind = _Kind.NOTHING
        elif item.startswith("/"):
            kind = _Kind.FILE
        elif is_table(item):
            kind = _Kind.TABLE
        else:
            kind, item = _Kind.TEXT, casefold(item, utf8)
        found.append((kind, Pattern(item, positive)))
    return tuple(found)
