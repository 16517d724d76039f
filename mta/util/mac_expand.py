"""Expansion of ``$name`` and of the conditional and logical expressions of Postfix 3.0.

The language (mac_expand(3), postconf(5)):

* ``$name``, ``$(name)``, ``${name}``: the value of the name; empty where it has none;
* ``${name?text}``, ``${name?{text}}``: the text where the value is not empty;
* ``${name:text}``, ``${name:{text}}``: the text where the value is empty or there is none;
* ``${name?{text}:{text}}``: one of both;
* ``${{text} == {text} ? {text} : {text}}`` with ``==  !=  <  <=  >=  >``: numbers where both sides
  are digits alone, bytes otherwise; without ``?`` or ``:`` the result is ``true`` or empty;
* ``$$``: a dollar.

Texts are parsed once: :func:`compile_macro` keeps what it parsed, and the parts that a condition
chooses between are parsed when they are chosen, so that a mistake in the other one stays unnoticed,
as in Postfix.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import NamedTuple

from mta.util.scalars import all_digits
from mta.wire.text import printable as printable_text
from mta.wire.text import to_bytes, to_text

#: Looks up a name; None where it is not defined.
Lookup = Callable[[str], str | None]

#: Changes a value.
Clean = Callable[[str], str]

_MAX_NESTING = 100
_BLANKS = " \t\r\n"
_OPERATORS = ("==", "!=", "<", "<=", ">=", ">")
_ANY_OPERATOR = '"==" or "!="" or "<"" or "<="" or ">="" or ">"'
_OPERATOR = re.compile(r"[<>!=?+\-*/~&|%]*")
_NAME = re.compile(r"[A-Za-z0-9_]*")
_ORDINARY = re.compile(r"[^$]+")
_BRACES = {"(": (")", re.compile(r"[()]")), "{": ("}", re.compile(r"[{}]"))}


class MacError(Exception):
    """A text that cannot be expanded.

    ``args`` are the text of the first warning, all the warnings that Postfix logs, what had been
    expanded so far, and whether that met an undefined name.
    """

    @property
    def text(self) -> str:
        """The (first) warning."""
        return str(self.args[0])

    @property
    def warnings(self) -> tuple[str, ...]:
        """All warnings, in order."""
        return tuple(self.args[1]) if len(self.args) > 1 else (self.text,)


class _EmptyBracketsError(MacError):
    """``${}`` or ``$()``."""


class _TooDeepError(Exception):
    """Comparisons within comparisons without end.  (Postfix does not count here, and crashes.)"""


class Expansion(NamedTuple):
    """The result: the text, and whether a name was expanded that has no value."""

    text: str
    undefined: bool


class Scan(NamedTuple):
    """An expression in a text: what stands between ``${`` and ``}``, or the bare name."""

    expression: str
    bare: bool  #: written as ``$name``, without brackets


def parse_macro(text: str) -> Iterator[str | Scan]:
    """Breaks a text into literal text and expressions (``mac_parse``).

    Raises MacError where it meets a mistake; what comes before it has been yielded by then.
    """
    literal = ""
    index = 0
    size = len(text)
    while index < size:
        match = _ORDINARY.match(text, index)
        if match:
            literal += match[0]
            index = match.end()
            continue
        follower = text[index + 1 : index + 2]
        if follower == "$":
            literal += "$"
            index += 2
            continue
        if literal:
            yield literal
            literal = ""
        if follower and follower in _BRACES:
            start = index + 2
            index = _closing(text, start, follower)
            if index < 0:
                raise MacError(f'truncated macro reference: "{text}"')
            expression = text[start : index - 1]
        else:
            expression = _NAME.match(text, index + 1)[0]  # type: ignore[index]
            index += 1 + len(expression)
        if not expression:
            kind = _EmptyBracketsError if follower and follower in _BRACES else MacError
            raise kind(f'empty macro name: "{text}"')
        yield Scan(expression, follower not in _BRACES)
    if literal:
        yield literal


def _closing(text: str, start: int, opening: str) -> int:
    """Where the bracket ends whose inside begins at ``start``; -1 where it does not."""
    closing, pattern = _BRACES[opening]
    level = 1
    for match in pattern.finditer(text, start):
        level += 1 if match[0] != closing else -1
        if level == 0:
            return match.end()
    return -1


class Macro:
    """A parsed text.  ``constant`` is its value where that needs no look-up, or None."""

    __slots__ = ("constant", "items", "late", "mistake", "tail", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        items: list[str | _Expression] = []
        self.mistake = ""
        #: The mistake goes unnoticed when something failed before.
        self.late = False
        try:
            for item in parse_macro(text):
                items.append(item if isinstance(item, str) else _Expression(item))
        except MacError as error:
            self.mistake = error.text
            self.late = isinstance(error, _EmptyBracketsError)
        #: Literal text at the end, which is not looked at when something failed before.
        self.tail = ""
        last = items[-1] if items and not self.mistake else None
        if isinstance(last, str):
            self.tail = last
            items.pop()
        self.items = tuple(items)
        self.constant = None if items or self.mistake else self.tail

    def expand(
        self,
        lookup: Lookup,
        *,
        recursive: bool = False,
        clean: Clean | None = None,
        test: Lookup | None = None,
    ) -> Expansion:
        """See :func:`mac_expand`; ``clean`` changes the values that are not expanded in turn."""
        if self.constant is not None:
            return Expansion(self.constant, False)
        run = _Run(lookup, test or lookup, recursive, clean)
        try:
            run.parse(self)
        except _TooDeepError as error:
            run.warn(str(error))
        text = "".join(run.out)
        if run.failed:
            raise MacError(run.warnings[0], tuple(run.warnings), text, run.undefined)
        return Expansion(text, run.undefined)


class _Expression:
    """What stands in ``${...}``, or a bare name.

    ``name`` or ``logical`` is what is looked at; ``operator`` is ``?``, ``:`` or empty; ``rest`` is
    the text after it.
    """

    __slots__ = ("bare", "logical", "mistake", "name", "operator", "rest", "text")

    def __init__(self, scan: Scan) -> None:
        self.bare = scan.bare
        self.mistake = ""
        self.operator = self.rest = ""
        self.name = ""
        #: Parsed when it is evaluated: nobody knows how deep it goes.
        self.logical: tuple[str, str, str] | None = None
        self.text = text = scan.expression
        try:
            if text.lstrip(_BLANKS).startswith("{"):
                rest = self._parse_logical(text.lstrip(_BLANKS))
            else:
                rest = self._parse_name(text)
        except MacError as error:
            self.mistake = error.text
        else:
            self.operator, self.rest = rest[:1], rest[1:]

    def _parse_name(self, text: str) -> str:
        match = _NAME.match(text)
        self.name = match[0] if match else ""
        rest = text[len(self.name) :]
        if rest and rest[0] not in "?:":
            raise MacError(f'attribute name syntax error at: "...{self.name}>>>{clip(rest, 20)}"')
        return rest

    def _parse_logical(self, text: str) -> str:
        left, rest = _braced(text)
        match = _OPERATOR.match(rest)
        operator = match[0] if match else ""
        if operator not in _OPERATORS:
            raise MacError(f'{_ANY_OPERATOR} expected at: "...{left}}}>>>{clip(rest, 20)}"')
        rest = rest[len(operator) :]
        if not rest.lstrip(_BLANKS).startswith("{"):
            raise MacError(
                f'"{{expression}}" expected at: "...{{{left}}} {operator}>>>{clip(rest, 20)}"'
            )
        right, rest = _braced(rest.lstrip(_BLANKS))
        self.logical = left, operator, right
        # What else follows is a mistake that is noticed after the evaluation.
        return "!" + rest if rest and rest[0] not in "?:" else rest


def clip(text: str, size: int) -> str:
    """The first bytes of a text (C's ``%.20s``)."""
    if text.isascii():
        return text[:size]
    return to_text(to_bytes(text)[:size])


def _braced(text: str) -> tuple[str, str]:
    """What stands in the braces that begin a text, and what follows after blanks."""
    end = _closing(text, 1, "{")
    if end < 0:
        raise MacError(f'unbalanced {{}} in attribute expression: "{text}"')
    return text[1 : end - 1], text[end:].lstrip(_BLANKS)


def _payload(text: str) -> tuple[str, str]:
    """The text of a branch, and what is left: ``{text}`` or all that there is."""
    stripped = text.lstrip(_BLANKS)
    return _braced(stripped) if stripped.startswith("{") else (text, "")


class _Run:
    """One expansion."""

    __slots__ = (
        "clean",
        "depth",
        "failed",
        "level",
        "lookup",
        "out",
        "recursive",
        "scan",
        "test",
        "undefined",
        "warnings",
    )

    def __init__(
        self,
        lookup: Lookup,
        test: Lookup,
        recursive: bool,
        clean: Clean | None,
        scan: bool = False,
    ) -> None:
        self.lookup = lookup
        self.test = test
        self.recursive = recursive
        self.clean = clean
        self.scan = scan
        self.out: list[str] = []
        self.warnings: list[str] = []
        self.failed = False
        self.undefined = False
        self.level = 0
        #: The level at which a comparison began, when this is an operand of it.
        self.depth = 0

    def warn(self, text: str) -> None:
        """A syntax error."""
        self.warnings.append(text)
        self.failed = True

    def parse(self, macro: Macro) -> None:
        """Expands a text to the end of the output.

        After a failure the rest is still walked over: more warnings may come of it.
        """
        for item in macro.items:
            if isinstance(item, str):
                self.literal(item)
            else:
                if self.failed and not item.bare:
                    return
                if self.enter(item.text) and self.expression(item):
                    self.level -= 1
        if macro.mistake and not (self.failed and macro.late):
            self.warn(macro.mistake)
        if macro.tail and not self.failed:
            self.literal(macro.tail)

    def literal(self, text: str) -> None:
        """Text that stands for itself."""
        if self.enter(text):
            if not self.scan:
                self.out.append(text)
            self.level -= 1

    def enter(self, text: str) -> bool:
        """Counts the depth.  False: failed, now or before."""
        self.level += 1
        if self.level > _MAX_NESTING + 1:
            self.warn(f'unreasonable macro call nesting: "{text}"')
        return not self.failed

    def expression(self, item: _Expression) -> bool:
        """Expands one expression.  False where it ended early."""
        if item.mistake:
            self.warn(item.mistake)
            return False
        operator = item.operator
        value: str | None
        if item.logical is not None:
            value = self.logical(*item.logical)
            if value is None:
                return False
            if operator == "!":
                self.warn(f'"?" or ":" expected at: "...}}>>>{clip(item.rest, 20)}"')
                return False
        else:
            value = (self.test if operator else self.lookup)(item.name)
        if operator:
            try:
                self.branches(item, value)
            except MacError as error:
                self.warn(error.text)
                return False
        elif value is None:
            self.undefined = True
        elif value and not self.scan:
            self.use(value)
        return True

    def use(self, value: str) -> None:
        """The value of a name."""
        if self.recursive:
            macro = compile_macro(value)
            if macro.constant is None or self.level > _MAX_NESTING:
                self.parse(macro)
            else:
                self.out.append(macro.constant)
        else:
            self.out.append(value if self.clean is None else self.clean(value))

    def branches(self, item: _Expression, value: str | None) -> None:
        """One of the texts after ``?`` and ``:``."""
        rest = item.rest
        if item.operator == "?":
            text, rest = _payload(rest)
            if value or self.scan:
                self.parse(compile_macro(text))
            if not rest:
                return
            if rest[0] != ":":
                raise MacError(f'":" expected at: "...{text}}}>>>{clip(rest, 20)}"')
            rest = rest[1:]
        text, rest = _payload(rest)
        if not value or self.scan:
            self.parse(compile_macro(text))
        if rest:
            raise MacError(f'unexpected input at: "...{text}}}>>>{clip(rest, 20)}"')

    def logical(self, left: str, operator: str, right: str) -> str | None:
        """The value of a comparison, or None where an operand fails."""
        sides = [self.operand(left), self.operand(right)]
        if self.failed:
            return None
        return "true" if compare(sides[0], operator, sides[1]) else ""

    def operand(self, text: str) -> str:
        """One side of a comparison, expanded on its own."""
        run = _Run(self.lookup, self.test, self.recursive, self.clean, self.scan)
        run.depth = self.depth + self.level
        if run.depth > _MAX_NESTING:
            raise _TooDeepError(f'unreasonable macro call nesting: "{text}"')
        run.parse(compile_macro(text))
        self.warnings += run.warnings
        self.failed |= run.failed
        self.undefined |= run.undefined
        return "".join(run.out)


def compare(left: str, operator: str, right: str) -> bool:
    """A comparison: of numbers where both sides are digits, else of bytes."""
    first: int | bytes
    second: int | bytes
    if all_digits(left) and all_digits(right):
        first, second = (min(int(side), 2**63 - 1) for side in (left, right))
    else:
        first, second = to_bytes(left), to_bytes(right)
    delta = (first > second) - (first < second)  # type: ignore[operator]
    return {
        "==": delta == 0,
        "!=": delta != 0,
        "<": delta < 0,
        "<=": delta <= 0,
        ">=": delta >= 0,
        ">": delta > 0,
    }[operator]


def filter_text(text: str, allowed: str) -> str:
    """The text with a ``_`` for every byte that is not among the allowed characters."""
    return "".join(c if c in allowed else "_" * len(to_bytes(c)) for c in text)


@lru_cache(maxsize=4096)
def compile_macro(text: str) -> Macro:
    """The parsed form of a text; kept, so that the same text is parsed once."""
    return Macro(text)


def mac_expand(
    text: str,
    lookup: Lookup,
    *,
    recursive: bool = False,
    filter: str | None = None,
    printable: bool = False,
    utf8: bool = True,
    test: Lookup | None = None,
) -> Expansion:
    """Expands a text.

    ``recursive``: values are expanded in turn.  Without it, ``filter`` names the characters that
    values may contain (others become ``_``), and ``printable`` lets only printable ASCII through
    (and UTF-8, where ``utf8``, the parameter smtputf8_enable, is on).
    ``test`` answers instead of ``lookup`` where a name is only asked whether it has a value.
    Raises MacError.
    """
    if "$" not in text:
        return Expansion(text, False)
    clean: Clean | None = None
    if printable:
        clean = partial(printable_text, replacement="_", utf8=utf8)
    elif filter is not None:
        clean = partial(filter_text, allowed=filter)
    return compile_macro(text).expand(lookup, recursive=recursive, clean=clean, test=test)


def scan_names(text: str) -> tuple[list[str], tuple[str, ...]]:
    """All names that a text may look at, whatever the conditions in it, and the warnings."""
    names: list[str] = []

    def note(name: str) -> str:
        names.append(name)
        return ""

    run = _Run(note, note, False, None, scan=True)
    run.parse(compile_macro(text))
    return names, tuple(run.warnings)
