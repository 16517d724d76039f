"""Tables of regular expressions: what regexp_table(5) and pcre_table(5) have in common.

A text is parsed once, whichever process opens it: rules and warnings depend on nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from mta.dict.flags import DICT_FLAG_NO_REGSUB, DICT_FLAG_PATTERN
from mta.dict.process import TableProcess
from mta.dict.registry import LocalDict, Owner, dict_surrogate
from mta.dict.replacement import Part, ReplacementError, parse_replacement
from mta.dict.tablefile import open_table_file, table_lines
from mta.util.parens import WHITESPACE
from mta.wire.text import to_bytes, to_text


class EngineError(Exception):
    """The engine gave up on a match; ``args[0]`` is the text for the log."""


class CompileError(Exception):
    """A pattern is bad; ``args[0]`` is the text for the log."""


#: What a match leaves behind: the text of group 0, 1, …; None where a group took no part.
Groups = Sequence[bytes | None]


class Compiled(Protocol):
    """A pattern as its engine compiled it."""

    groups: int

    def search(self, subject: bytes, count: int) -> Groups | None:
        """The first ``count`` groups (at least the whole match, where one is asked for) of the
        first match; None where there is none.  Raises EngineError.
        """


@dataclass(slots=True)
class Test:
    """A pattern and whether it has to match, or not to match."""

    pattern: Compiled
    positive: bool


@dataclass(slots=True)
class Rule:
    """A line of the table.  ``op`` is ``match``, ``if`` or ``endif``."""

    op: str
    nesting: int
    line: int
    test: Test | None = None
    second: Test | None = None
    literal: str = ""
    parts: tuple[Part, ...] = ()
    max_sub: int = 0


class Parsed(NamedTuple):
    """The rules of a text, and the warnings that it caused."""

    rules: tuple[Rule, ...]
    warnings: tuple[str, ...]


class Source(NamedTuple):
    """A pattern before it is compiled; ``rest`` is what follows it and its options."""

    text: str
    options: int
    positive: bool
    rest: str


class _SkipError(Exception):
    """The line is no rule; it has been warned of."""


class Parser(ABC):
    """Parses a table.  Subclasses know an engine, its options, and Postfix's words about them."""

    kind: str
    default_options: int
    options: dict[str, int]
    #: Characters that end the options besides white space.
    stop = ""
    no_delimiter = ""
    bad_index = ""

    def __init__(self, path: str, no_substitution: bool) -> None:
        self.path = path
        self.no_substitution = no_substitution
        self.warnings: list[str] = []
        self.line = 0

    @abstractmethod
    def compile(self, text: str, options: int, capture: bool) -> Compiled:
        """Compiles a pattern.  Raises CompileError."""

    @abstractmethod
    def empty_replacement(self) -> str:
        """The warning of a rule without a result."""

    def warn(self, text: str) -> None:
        """A warning about the current line."""
        self.warnings.append(f"{self.kind} map {self.path}, line {self.line}: {text}")

    def parse(self, data: bytes) -> Parsed:
        """All rules of a text."""
        rules: list[Rule] = []
        nesting = 0
        for number, text, problem in table_lines(data, self.path):
            self.line = number
            if problem:
                self.warnings.append(problem)
                continue
            try:
                rule = self._rule(text.rstrip(WHITESPACE), nesting)
            except _SkipError:
                continue
            nesting += {"if": 1, "endif": -1}.get(rule.op, 0)
            rules.append(rule)
        if nesting:
            self.warn("more IFs than ENDIFs")
        return Parsed(tuple(rules), tuple(self.warnings))

    def _skip(self, text: str) -> _SkipError:
        self.warn(text)
        return _SkipError()

    def _rule(self, text: str, nesting: int) -> Rule:
        if not _alnum(text[:1]):
            return self._match_rule(text, nesting)
        word = text.upper()
        if word.startswith("IF") and not _alnum(text[2:3]):
            return self._if_rule(text[2:], nesting)
        if word.startswith("ENDIF") and not _alnum(text[5:6]):
            return self._endif_rule(text[5:], nesting)
        raise self._skip("ignoring unrecognized request")

    def _match_rule(self, text: str, nesting: int) -> Rule:
        first = self._source(text)
        second = self._second_source(first)
        result = (second or first).rest.lstrip(WHITESPACE)
        if not result:
            self.warnings.append(self.empty_replacement())
        parts, max_sub = self._replacement(result)
        if max_sub and not first.positive:
            raise self._skip("$number found in negative match replacement text: skipping this rule")
        if max_sub and self.no_substitution:
            raise self._skip("regular expression substitution is not allowed: skipping this rule")
        test = self._test(first, max_sub > 0)
        if max_sub > test.pattern.groups:
            raise self._skip(f'out of range replacement index "{max_sub}": skipping this rule')
        other = self._test(second, False) if second else None
        literal = "" if max_sub else "".join(part.text for part in parts)
        return Rule("match", nesting, self.line, test, other, literal, parts, max_sub)

    def _second_source(self, first: Source) -> Source | None:
        return None

    def _if_rule(self, text: str, nesting: int) -> Rule:
        source = self._source(text.lstrip(WHITESPACE))
        rest = source.rest.lstrip(WHITESPACE)
        if rest:
            self.warn(f'ignoring extra text after IF statement: "{rest}"')
            self.warn("do not prepend whitespace to statements between IF and ENDIF")
        return Rule("if", nesting, self.line, self._test(source, False))

    def _endif_rule(self, text: str, nesting: int) -> Rule:
        if nesting == 0:
            raise self._skip("ignoring ENDIF without matching IF")
        if text.strip(WHITESPACE):
            self.warn("ignoring extra text after ENDIF")
        return Rule("endif", nesting, self.line)

    def _test(self, source: Source, capture: bool) -> Test:
        try:
            return Test(self.compile(source.text, source.options, capture), source.positive)
        except CompileError as error:
            raise self._skip(error.args[0]) from error

    def _source(self, text: str) -> Source:
        """The pattern at the start of a text: ``!/pattern/options``."""
        body = text.lstrip("!")
        positive = (len(text) - len(body)) % 2 == 0
        body = body.lstrip(WHITESPACE)
        if not body:
            raise self._skip("no regexp: skipping this rule")
        delimiter = body[0]
        place = 1
        while place < len(body) and body[place] != delimiter:
            place += 2 if body[place] == "\\" else 1
        if place >= len(body):
            raise self._skip(f'no closing regexp delimiter "{delimiter}": {self.no_delimiter}')
        options, rest = self._options(body[place + 1 :])
        return Source(body[1:place], options, positive, rest)

    def _options(self, text: str) -> tuple[int, str]:
        options = self.default_options
        for place, char in enumerate(text):
            if char in WHITESPACE or char in self.stop:
                return options, text[place:]
            if char not in self.options:
                raise self._skip(f'unknown regexp option "{char}": skipping this rule')
            options ^= self.options[char]
        return options, ""

    def _replacement(self, text: str) -> tuple[tuple[Part, ...], int]:
        """The pieces of a result, and its largest $number."""
        try:
            parts = parse_replacement(text, self._accept)
        except ReplacementError as error:
            if error.args[0]:
                self.warnings.append(error.args[0])
            raise self._skip("bad replacement syntax: skipping this rule") from error
        return parts, max((int(part.text) for part in parts if part.is_name), default=0)

    def _accept(self, name: str) -> bool:
        """Whether a name is a number, and at least 1."""
        if not (name.isascii() and name.isdigit()):
            self.warn(f'non-numeric replacement index "{name}"')
        elif int(name) < 1:
            self.warn(f'{self.bad_index} replacement index "{name}"')
        else:
            return True
        return False


def _alnum(char: str) -> bool:
    return char.isascii() and char.isalnum()


class PatternDict(LocalDict):
    """A table of patterns."""

    def __init__(
        self, process: TableProcess, kind: str, path: str, flags: int, parsed: Parsed
    ) -> None:
        super().__init__(process, kind, path, flags | DICT_FLAG_PATTERN)
        self.rules = parsed.rules

    def _search_rules(self, key: str) -> tuple[Rule, Groups] | None:
        """The rule that decides, and its groups."""
        subject = to_bytes(key)
        nesting = 0
        for rule in self.rules:
            if nesting < rule.nesting:
                continue
            if rule.test is None:
                nesting -= 1
                continue
            groups = self._try(rule, rule.test, subject, rule.max_sub)
            if groups is None:
                continue
            if rule.op == "if":
                nesting += 1
            elif rule.second is None or self._try(rule, rule.second, subject, 0) is not None:
                return rule, groups
        return None

    def _try(self, rule: Rule, test: Test, subject: bytes, max_sub: int) -> Groups | None:
        """The groups where the test is passed (none where it is passed by not matching)."""
        try:
            groups = test.pattern.search(subject, max_sub + 1 if max_sub else 0)
        except EngineError as error:
            text = f"{self.kind} map {self.table}, line {rule.line}: {error.args[0]}"
            self._engine_error(error, text)
            return None
        if test.positive:
            return groups
        return () if groups is None else None

    def _engine_error(self, error: EngineError, text: str) -> None:
        self.process.log.warning(text)

    def _find(self, key: str) -> str | None:
        found = self._search_rules(key)
        if found is None:
            return None
        rule, groups = found
        if not rule.max_sub:
            return rule.literal
        result = b""
        for part in rule.parts:
            if part.is_name:
                result += groups[int(part.text)] or b""
            else:
                result += to_bytes(part.text)
        return to_text(result)

    def explain(self, key: str) -> int | None:
        """The line of the rule that decides."""
        wanted = self._key(key)
        found = None if wanted is None else self._search_rules(wanted)
        return None if found is None else found[0].line


class ParseText(Protocol):
    """Parses a text: path, content, whether $number is forbidden."""

    def __call__(self, path: str, data: bytes, no_substitution: bool) -> Parsed:
        """The rules."""


def open_patterns(
    process: TableProcess,
    cls: type[PatternDict],
    kind: str,
    path: str,
    flags: int,
    parse: ParseText,
) -> LocalDict:
    """Reads the rules of a file; bad ones are warned of and skipped."""
    try:
        file = open_table_file(process, path)
    except OSError as error:
        return dict_surrogate(process, kind, path, flags, f"open {path}: {error.strerror}")
    parsed = parse(path, bytes(file.data), bool(flags & DICT_FLAG_NO_REGSUB))
    for warning in parsed.warnings:
        process.log.warning(warning)
    table = cls(process, kind, path, flags, parsed)
    table.owner = Owner.of_file(file.uid)
    return table
