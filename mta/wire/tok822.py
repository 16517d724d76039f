"""tok822(3): RFC 822 address lists as token trees.

A header's value becomes a list of tokens in which each address is one token with its parts below
it.  Nothing of the text that is not understood gets lost.  ``%``, ``!`` and ``|`` are operators,
too.  8-bit text is ordinary text.

Types are one-character operators, standing for themselves, and the TOK822_* names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from mta.wire.quote import quote_822_local
from mta.wire.text import printable, to_bytes

TOK822_ATOM = "atom"
TOK822_QSTRING = "quoted string"
TOK822_COMMENT = "comment"  #: in external form, with its parentheses
TOK822_DOMLIT = "domain literal"  #: without its brackets
TOK822_ADDR = "address"  #: its parts are in ``children``
TOK822_STARTGRP = "group"  #: the colon of a named group

TOK822_STR_NONE = 0
TOK822_STR_LINE = 1 << 2  #: a line break after each comma
TOK822_STR_TRNC = 1 << 3  #: strip comments from addresses that have too many of them
TOK822_STR_DEFL = TOK822_STR_NONE
TOK822_STR_HEAD = TOK822_STR_LINE | TOK822_STR_TRNC  #: for headers

_WORDS = frozenset((TOK822_ATOM, TOK822_QSTRING, TOK822_DOMLIT))
_NON_OPERATORS = _WORDS | {TOK822_COMMENT, TOK822_ADDR}
_MAX_NONADDR_LENGTH = 250

#: The common tokens: a plain atom, an operator, white space.
_EASY = re.compile(
    r'([^\x00-\x20\x7f|%!()<>@,;:\\".\[\]]++)(?![\x00-\x08\x0b\x0c\x0e-\x1f\x7f\\])'
    r"|([|%!)<>@,;:.\]])|[ \t\r\n]+"
)
#: A text without anything but them, and how to split it.
_ALL_EASY = re.compile(r'[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f("\[\\]*')
_EASY_WORDS = re.compile(r"([^ \t\r\n|%!)<>@,;:.\]]+)|([|%!)<>@,;:.\]])")
_ATOM = re.compile(r'(?:[^ \t\r\n|%!()<>@,;:\\".\[\]]|\\.)+', re.DOTALL)
_QSTRING = re.compile(r'(?:[^"\\]|\\.)*', re.DOTALL)
_DOMLIT = re.compile(r"(?:[^\]\\]|\\.)*", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_BLANKS = str.maketrans("\t\r\n", "   ")
_NEEDS_QUOTES = re.compile(r'[\x00-\x20\x7f|%!()<>@,;:\\".\[\]]')
_QUOTE_QSTRING = re.compile(r'["\\\r\n]')
_QUOTE_DOMLIT = re.compile(r"[\\\r\n]")


class Token:
    """A token: its type, its text (empty for operators), and for an address its parts.

    ``owned`` tells that the token was grouped below another by the parser; no space is inserted
    after such a token when the tree becomes text again.
    """

    __slots__ = ("children", "owned", "text", "type")

    def __init__(self, type: str, text: str = "", children: list[Token] | None = None) -> None:
        self.type = type
        self.text = text
        self.children = [] if children is None else children
        self.owned = False

    def __repr__(self) -> str:
        """For debugging."""
        if self.type == TOK822_ADDR:
            return f"Token(address, {self.children!r})"
        return f"Token({self.type!r}, {self.text!r})"

    def append(self, tokens: Sequence[Token]) -> None:
        """Puts tokens behind the children (tok822_sub_append)."""
        owned = self.children[-1].owned if self.children else True
        for token in tokens:
            token.owned = owned
        self.children.extend(tokens)

    def prepend(self, tokens: Sequence[Token]) -> None:
        """Puts tokens before the children (tok822_sub_prepend)."""
        owned = self.children[0].owned if self.children else True
        for token in tokens:
            token.owned = owned
        self.children[:0] = tokens

    def keep_before(self, index: int) -> list[Token]:
        """Cuts the children from an index on, and gives what was cut (tok822_sub_keep_before)."""
        cut = self.children[index:]
        del self.children[index:]
        return cut

    def keep_after(self, index: int) -> list[Token]:
        """Cuts the children up to an index, included, and gives them (tok822_sub_keep_after)."""
        cut = self.children[: index + 1]
        del self.children[: index + 1]
        return cut


def tok822_find_type(tokens: Sequence[Token], type: str, start: int = 0) -> int:
    """The index of the first token of the type, -1 where there is none."""
    for index in range(start, len(tokens)):
        if tokens[index].type == type:
            return index
    return -1


def tok822_rfind_type(tokens: Sequence[Token], type: str) -> int:
    """The index of the last token of the type, -1 where there is none."""
    for index in range(len(tokens) - 1, -1, -1):
        if tokens[index].type == type:
            return index
    return -1


def tok822_grep(tokens: Sequence[Token], type: str = TOK822_ADDR) -> list[Token]:
    """The tokens of a type, without what is below them."""
    return [token for token in tokens if token.type == type]


# -- text to tokens -------------------------------------------------------------------------------


def tok822_scan(text: str, limit: int = 0) -> list[Token]:
    """The tokens of a text in external form, in a row; at most ``limit`` when that is not 0."""
    if _ALL_EASY.fullmatch(text):
        words = _EASY_WORDS.findall(text)
        return [
            Token(TOK822_ATOM, atom) if atom else Token(operator)
            for atom, operator in (words[:limit] if limit else words)
        ]
    text = text.partition("\0")[0]
    tokens: list[Token] = []
    add = tokens.append
    easy = _EASY.match
    at = 0
    end = len(text)
    while at < end:
        match = easy(text, at)
        if match:
            at = match.end()
            if match.lastindex == 1:
                add(Token(TOK822_ATOM, match[1]))
            elif match.lastindex == 2:
                add(Token(match[2]))
            else:
                continue
        else:
            at = _scan_other(text, at, add)
        if limit and len(tokens) >= limit:
            break
    return tokens


def _scan_other(text: str, at: int, add: Callable[[Token], None]) -> int:
    """A token that is not an easy one; where it ends."""
    char = text[at]
    if char == "(":
        stop = _comment_end(text, at + 1)
        add(Token(TOK822_COMMENT, text[at:stop]))
        return stop
    if char == "[":
        value, at = _collect(_DOMLIT, text, at + 1)
        add(Token(TOK822_DOMLIT, value))
        return at + 1
    if char == '"':
        value, at = _collect(_QSTRING, text, at + 1)
        add(Token(TOK822_QSTRING, value))
        return at + 1
    value, at = _collect(_ATOM, text, at)
    add(Token(TOK822_QSTRING if _NEEDS_QUOTES.search(value) else TOK822_ATOM, value))
    return at


def _collect(pattern: re.Pattern[str], text: str, start: int) -> tuple[str, int]:
    """What the pattern matches, without backslashes and with plain blanks, and where it ends.  A
    backslash at the very end of the text is dropped.
    """
    match = pattern.match(text, start)
    stop = match.end() if match else start
    value = text[start:stop]
    if "\\" in value:
        value = _ESCAPE.sub(r"\1", value)
    if text.startswith("\\", stop):
        stop = len(text)
    return value.translate(_BLANKS), stop


def _comment_end(text: str, at: int) -> int:
    level = 1
    end = len(text)
    while at < end:
        char = text[at]
        at += 1
        if char == "(":
            level += 1
        elif char == ")":
            level -= 1
            if level == 0:
                break
        elif char == "\\" and at < end:
            at += 1
    return at


def tok822_scan_addr(text: str) -> Token:
    """An address token for a text that is one address and nothing else; it is not parsed."""
    return Token(TOK822_ADDR, children=tok822_scan(text))


def tok822_parse(text: str, limit: int = 0) -> list[Token]:
    """The tokens of an address list in external form, each address below a token of its own.
    Missing commas are supplied.  At most ``limit`` tokens are read when that is not 0.
    """
    tokens = tok822_scan(text, limit)
    if not tokens:
        return []
    return _Parser(tokens).tokens


class _Parser:
    """Groups tokens from right to left: what is between ``at`` and ``right`` is an address."""

    __slots__ = ("right", "tokens")

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.right = len(tokens)
        self._parse()

    def _parse(self) -> None:
        tokens = self.tokens
        word_ok, in_group = True, False
        at = self.right - 1
        while at >= 0:
            kind = tokens[at].type
            if kind == TOK822_COMMENT:
                self._move_comment(at)
            elif kind == ";":
                self._group(at, comma=True)
                self.right = at
                word_ok = in_group = True
            elif kind == ":" and in_group:
                tokens[at].type = TOK822_STARTGRP
                self._group(at)
                while at >= 0 and tokens[at].type != ",":
                    at -= 1
                self.right = at
                continue
            elif kind == ">":
                self._group(at, comma=True)
                self.right = at
                at = self._route(at)
                self.right = at
                word_ok = True
                continue
            elif kind in _WORDS:
                if not word_ok:
                    self._group(at, comma=True)
                    self.right = at + 1
                word_ok = False
            elif kind == ",":
                self._group(at)
                self.right = at
                word_ok = True
            else:
                word_ok = True
            at -= 1
        self._group(-1)

    def _route(self, at: int) -> int:
        """``<...>``: groups what is in it, and skips to what separates it from what is before."""
        tokens = self.tokens
        while at >= 0 and tokens[at].type != "<":
            if tokens[at].type == TOK822_COMMENT:
                self._move_comment(at)
            at -= 1
        self._group(at)
        while at >= 0 and tokens[at].type not in (">", ";", ",", ":"):
            at -= 1
        return at

    def _move_comment(self, at: int) -> None:
        """Takes a comment out of what is being grouped, and puts it to the right of that."""
        self.right -= 1
        self.tokens.insert(self.right, self.tokens.pop(at))

    def _group(self, left: int, comma: bool = False) -> None:
        first = left + 1
        if first >= self.right:
            return
        parts = self.tokens[first : self.right]
        for part in parts:
            part.owned = True
        group = [Token(TOK822_ADDR, children=parts)]
        if comma:
            group.insert(0, Token(","))
        self.tokens[first : self.right] = group


# -- tokens to text -------------------------------------------------------------------------------


def _space_after(tokens: Sequence[Token], index: int) -> bool:
    token = tokens[index]
    if token.owned or index + 1 >= len(tokens):
        return False
    after = tokens[index + 1].type
    kind = token.type
    if kind in (",", TOK822_STARTGRP) or after == "<":
        return True
    return kind in _NON_OPERATORS and after in _NON_OPERATORS


def tok822_internalize(tokens: Sequence[Token], flags: int = TOK822_STR_DEFL) -> str:
    """Tokens as text in internal form, without quotes."""
    parts: list[str] = []
    for index, token in enumerate(tokens):
        kind = token.type
        if kind == ",":
            parts.append(",")
            if flags & TOK822_STR_LINE:
                parts.append("\n")
                continue
        elif kind == TOK822_ADDR:
            parts.append(tok822_internalize(token.children))
        elif kind == TOK822_DOMLIT:
            parts.append(f"[{token.text}]")
        elif kind == TOK822_STARTGRP:
            parts.append(":")
        elif len(kind) == 1:
            parts.append(kind)
        else:
            parts.append(token.text)
        if _space_after(tokens, index):
            parts.append(" ")
    return "".join(parts)


def tok822_externalize(
    tokens: Sequence[Token],
    flags: int = TOK822_STR_DEFL,
    warn: Callable[[str], None] | None = None,
) -> str:
    """Tokens as text in external form, quoted where necessary.

    With TOK822_STR_TRNC an address with more than 250 bytes of comments and phrases is reduced to
    ``<address>``, and ``warn`` is called with a text for the log.
    """
    output = _Externalizer(flags, warn)
    for index, token in enumerate(tokens):
        output.add(tokens, index, token)
    return output.finish()


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(to_bytes(text))


class _Externalizer:
    """``expression`` is what has been put out since the last comma."""

    __slots__ = ("address", "address_size", "done", "expression", "flags", "warn")

    def __init__(self, flags: int, warn: Callable[[str], None] | None) -> None:
        self.flags = flags
        self.warn = warn
        self.done: list[str] = []
        self._reset()

    def _reset(self) -> None:
        self.expression: list[str] = []
        self.address: Token | None = None
        self.address_size = 0

    def add(self, tokens: Sequence[Token], index: int, token: Token) -> None:
        """One token and the space after it."""
        kind = token.type
        add = self.expression.append
        if kind == ",":
            self._end_expression()
            self.done.append(",\n" if self.flags & TOK822_STR_LINE else ", ")
            return
        if kind == TOK822_ADDR:
            self.address = token
            text = quote_822_local(tok822_internalize(token.children))
            self.address_size = _size(text)
            add(text)
        elif kind in (TOK822_ATOM, TOK822_COMMENT):
            add(token.text)
        elif kind == TOK822_QSTRING:
            add('"' + _QUOTE_QSTRING.sub(r"\\\g<0>", token.text) + '"')
        elif kind == TOK822_DOMLIT:
            add("[" + _QUOTE_DOMLIT.sub(r"\\\g<0>", token.text) + "]")
        elif kind == TOK822_STARTGRP:
            add(":")
        else:
            if kind == "<" and index + 1 < len(tokens) and tokens[index + 1].type == ">":
                self.address = token
                self.address_size = 0
            add(kind)
        if _space_after(tokens, index):
            add(" ")

    def _end_expression(self) -> None:
        text = "".join(self.expression)
        if (
            self.flags & TOK822_STR_TRNC
            and self.address is not None
            and _size(text) - self.address_size > _MAX_NONADDR_LENGTH
        ):
            text = self._strip(text, self.address)
        self.done.append(text)
        self._reset()

    def _strip(self, text: str, address: Token) -> str:
        """The plain address instead of the expression (CERT advisory CA-2003-07)."""
        if self.warn is not None:
            shown = printable(to_bytes(text)[:100].decode("utf-8", "surrogateescape"))
            self.warn(f"stripping too many comments from address: {shown}...")
        if not address.children:
            return "<>"
        return f"<{quote_822_local(tok822_internalize(address.children))}>"

    def finish(self) -> str:
        """The whole text."""
        self._end_expression()
        return "".join(self.done)
