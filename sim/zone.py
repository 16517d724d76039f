r"""Zones: RFC 1035 text, read with line numbers, and what it answers to a question.

The text may hold several zones; each record stands on its own.  Every name is absolute (it ends
with a dot), except below a ``$ORIGIN``.  TTL and class may be left out, in either order; ``$TTL``,
comments, quoted strings, parentheses over several lines and a blank owner work as in RFC 1035.

Names are kept in wire form in small letters (``b"\x04dest\x04test\x00"``): that is what a
question holds, so that an answer is one look into a dictionary.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from dnslib import (
    AAAA,
    CNAME,
    MX,
    NS,
    PTR,
    QTYPE,
    RDMAP,
    RR,
    SOA,
    SRV,
    TXT,
    A,
    DNSHeader,
    DNSLabel,
    DNSQuestion,
    DNSRecord,
)

#: Numbers of RFC 1035 and successors.
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
TYPE_CNAME, TYPE_SOA, TYPE_ANY = 5, 6, 255

#: Names of the record types, and their numbers.
TYPE_NUMBER: Mapping[str, int] = {name: number for number, name in QTYPE.forward.items()}

#: How long a chain of aliases may be.
MAX_CHAIN = 10

DEFAULT_TTL = 3600
MAX_CACHED = 10_000

_TOKEN = re.compile(
    r"[ \t\r\f\v]+|;[^\n]*|(?P<newline>\n)|(?P<paren>[()])"
    r'|"(?P<quoted>(?:[^"\\\n]|\\.)*)"|(?P<word>(?:[^\s;()"\\]|\\.)+)|(?P<bad>.)',
)
_TTL = re.compile(r"(?:\d+[smhdw]?)+", re.IGNORECASE)
_TTL_PART = re.compile(r"(\d+)([smhdw]?)", re.IGNORECASE)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_ESCAPE = re.compile(r"\\(\d{3}|.)", re.DOTALL)
_LABEL_PIECE = re.compile(r"\\(\d{3}|.)|.", re.DOTALL)
_CLASSES = ("IN", "CH", "HS")


class ZoneError(Exception):
    """A zone text that cannot be read: line number (from 1), the text there, and what to do."""

    def __init__(self, line_number: int, text: str, hint: str) -> None:
        super().__init__(line_number, text, hint)
        self.line_number = line_number
        self.text = text
        self.hint = hint

    def __str__(self) -> str:
        return f"zone line {self.line_number}: {self.text.strip()}: {self.hint}"


class _Bad(ValueError):
    """What is wrong with one record; becomes a ZoneError with the record's line."""


# --- names ---------------------------------------------------------------------------------------


def labels_of(text: str) -> tuple[bytes, ...]:
    r"""The labels of a name in text form.  Raises ValueError.

    ``\.`` and ``\DDD`` are escapes; what is not ASCII becomes IDNA.
    """
    if text == ".":
        return ()
    if not text.isascii():
        text = ".".join(part.encode("idna").decode() for part in text.split("."))
    if "\\" in text:
        labels = _escaped_labels(text)
    else:
        labels = text.removesuffix(".").encode().split(b".")
    if not all(0 < len(label) < 64 for label in labels) or sum(map(len, labels)) > 253:
        raise ValueError(f"not a domain name: {text}")
    return tuple(labels)


def _escaped_labels(text: str) -> list[bytes]:
    labels = [""]
    for piece in _LABEL_PIECE.finditer(text):
        if piece[0] == ".":
            labels.append("")
        else:
            labels[-1] += _unescape(piece) if piece[1] else piece[0]
    if labels[-1] == "":
        labels.pop()
    return [label.encode("utf-8", "surrogateescape") for label in labels]


def _unescape(escape: re.Match[str]) -> str:
    """The character of an escape; a byte above ASCII as to_text would give it."""
    if len(escape[1]) == 1:
        return escape[1]
    code = int(escape[1]) & 0xFF
    return chr(code if code < 0x80 else 0xDC00 + code)


def wire_name(labels: tuple[bytes, ...]) -> bytes:
    """The wire form of a name, in small letters."""
    return b"".join(bytes((len(label),)) + label for label in labels).lower() + b"\0"


def name_key(text: str) -> bytes:
    """The wire form, in small letters, of a name in text form, with its last dot or without."""
    return wire_name(labels_of(text))


def split_name(wire: bytes) -> tuple[bytes, ...]:
    """The labels of a wire form."""
    labels = []
    position = 0
    while length := wire[position]:
        labels.append(wire[position + 1 : position + 1 + length])
        position += 1 + length
    return tuple(labels)


def name_text(wire: bytes) -> str:
    """A wire form as text, with the dot at its end."""
    return str(DNSLabel(split_name(wire)))


def ancestors(wire: bytes) -> Iterator[bytes]:
    """A name, its parent, and so on; without the root."""
    while wire[0]:
        yield wire
        wire = wire[wire[0] + 1 :]


# --- records from text ---------------------------------------------------------------------------


class _Fields(NamedTuple):
    """A record's words, where it begins, and whether its first word is an owner."""

    line: int
    text: str
    has_owner: bool
    words: list[tuple[str, bool]]  #: text, and whether it was quoted


def _records(text: str) -> Iterator[_Fields]:
    lines = text.split("\n")
    line = begin = 1
    depth = 0
    has_owner = True
    words: list[tuple[str, bool]] = []
    at_start = True
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "newline":
            if depth == 0:
                if words:
                    yield _Fields(begin, lines[begin - 1], has_owner, words)
                    words = []
                at_start = True
            line += 1
            continue
        if at_start:
            begin, has_owner, at_start = line, kind is not None, False
        if kind is None:
            continue
        if kind == "bad":
            what = "the quoted text has no end" if token[0] == '"' else "a lone backslash"
            raise ZoneError(line, lines[line - 1], what)
        if kind == "paren":
            depth += 1 if token[0] == "(" else -1
            if depth not in (0, 1):
                raise ZoneError(line, lines[line - 1], "the parentheses do not match")
        elif kind == "quoted":
            words.append((token["quoted"], True))
        else:
            words.append((token["word"], False))
    if depth:
        raise ZoneError(begin, lines[begin - 1], "the parenthesis is never closed")
    if words:
        yield _Fields(begin, lines[begin - 1], has_owner, words)


class _Reader:
    """What `$ORIGIN`, `$TTL` and the record before say."""

    def __init__(self) -> None:
        self.origin: tuple[bytes, ...] | None = None
        self.ttl = DEFAULT_TTL
        self.owner: tuple[bytes, ...] | None = None

    def name(self, text: str) -> DNSLabel:
        """A name of an owner or of a record's data."""
        if text == "@" and self.origin is not None:
            return DNSLabel(self.origin)
        absolute = text.endswith(".") and not text.endswith("\\.")
        if not absolute and self.origin is None:
            raise _Bad(f"names are absolute here: end {text!r} with a dot ({text}.)")
        try:
            labels = labels_of(text)
        except ValueError as error:
            raise _Bad(str(error)) from None
        return DNSLabel(labels if absolute else labels + (self.origin or ()))

    def read(self, fields: _Fields) -> RR | None:
        """One record, or None for a directive.  Raises _Bad."""
        words = list(fields.words)
        if words[0][0].startswith("$") and fields.has_owner:
            self.directive([text for text, _ in words])
            return None
        if fields.has_owner:
            self.owner = self.name(words.pop(0)[0]).label
        elif self.owner is None:
            raise _Bad("the first record needs a name")
        ttl = self.ttl
        while words and not words[0][1]:
            word = words[0][0]
            if word.upper() in _CLASSES:
                if word.upper() != "IN":
                    raise _Bad(f"class {word} is not served here, only IN")
            elif _TTL.fullmatch(word):
                ttl = _seconds(word)
            else:
                break
            words.pop(0)
        if not words:
            raise _Bad("the record type is missing")
        kind = words.pop(0)[0].upper()
        return RR(DNSLabel(self.owner), _type_number(kind), 1, ttl, self.rdata(kind, words))

    def directive(self, words: list[str]) -> None:
        """`$ORIGIN` and `$TTL`."""
        match [words[0].upper(), *words[1:]]:
            case ["$ORIGIN", name]:
                self.origin = self.name(name).label
            case ["$TTL", ttl] if _TTL.fullmatch(ttl):
                self.ttl = _seconds(ttl)
            case _:
                raise _Bad("only $ORIGIN name and $TTL time are known")

    def rdata(self, kind: str, words: list[tuple[str, bool]]) -> Any:
        """A record's data."""
        texts = [text for text, _ in words]
        reader = _RDATA.get(kind)
        try:
            if reader is not None:
                count, build = reader
                if count and len(texts) != count:
                    raise _Bad(f"{kind} takes {count} value{'s'[: count > 1]}, not {len(texts)}")
                return build(self, texts)
            if kind not in RDMAP or not texts:
                raise _Bad(f"no data of a {kind} record can be read here")
            return RDMAP[kind].fromZone([_unquote(text) for text in texts], DNSLabel(self.origin))
        except _Bad:
            raise
        except Exception as error:  # a library's readers raise whatever they like
            raise _Bad(f"bad {kind} data: {error}") from None


def _seconds(text: str) -> int:
    return sum(int(n) * _SECONDS[unit.lower()] for n, unit in _TTL_PART.findall(text))


def _unquote(text: str) -> str:
    return _ESCAPE.sub(_unescape, text)


def _type_number(name: str) -> int:
    number = TYPE_NUMBER.get(name)
    if number is None:
        near = difflib.get_close_matches(name, TYPE_NUMBER, 1, 0.3)
        raise _Bad(f"no record type {name}" + (f"; did you mean {near[0]}?" if near else ""))
    return number


def _number(text: str, most: int = 0xFFFF) -> int:
    if not text.isdecimal() or int(text) > most:
        raise _Bad(f"{text} is not a number up to {most}")
    return int(text)


def _a(reader: _Reader, words: list[str]) -> A:
    return A(tuple(ipaddress.IPv4Address(words[0]).packed))


def _aaaa(reader: _Reader, words: list[str]) -> AAAA:
    return AAAA(tuple(ipaddress.IPv6Address(words[0]).packed))


def _mx(reader: _Reader, words: list[str]) -> MX:
    return MX(reader.name(words[1]), _number(words[0]))


def _srv(reader: _Reader, words: list[str]) -> SRV:
    return SRV(*map(_number, words[:3]), reader.name(words[3]))


def _soa(reader: _Reader, words: list[str]) -> SOA:
    times = [_seconds(word) if _TTL.fullmatch(word) else _number(word) for word in words[2:]]
    return SOA(reader.name(words[0]), reader.name(words[1]), times)


def _txt(reader: _Reader, words: list[str]) -> TXT:
    if not words:
        raise _Bad("TXT takes one value or more")
    strings = [_ESCAPE.sub(_unescape, word).encode("utf-8", "surrogateescape") for word in words]
    return TXT(strings)


def _pointer(record: type[CNAME]) -> Callable[[_Reader, list[str]], Any]:
    return lambda reader, words: record(reader.name(words[0]))


#: Record type: how many values, and what makes the data of them.
_RDATA: Mapping[str, tuple[int, Callable[[_Reader, list[str]], Any]]] = {
    "A": (1, _a),
    "AAAA": (1, _aaaa),
    "MX": (2, _mx),
    "SRV": (4, _srv),
    "SOA": (7, _soa),
    "TXT": (0, _txt),
    "NS": (1, _pointer(NS)),
    "CNAME": (1, _pointer(CNAME)),
    "PTR": (1, _pointer(PTR)),
}


# --- zones ---------------------------------------------------------------------------------------


class Answer(NamedTuple):
    """A packed answer: all that follows the question on the wire, and what the header says."""

    rcode: int
    answers: int
    authority: int
    tail: bytes
    names: tuple[bytes, ...]  #: the names on the way, for the question of who vouches for them


class Zone:
    """Records by name, with NXDOMAIN and NODATA told apart, aliases followed, and wildcards."""

    def __init__(self, records: list[RR]) -> None:
        self._records: dict[bytes, list[RR]] = {}
        self._names: set[bytes] = set()  # with the names between that have no records
        self._packed: dict[bytes, Answer] = {}
        for record in records:
            name = wire_name(record.rname.label)
            self._records.setdefault(name, []).append(record)
            self._names.update(ancestors(name))

    def names(self) -> list[str]:
        """The owners of records, in the order of the text."""
        return [name_text(name) for name in self._records]

    def lookup(self, name: bytes, kind: int) -> tuple[int, list[RR], list[bytes]]:
        """The result code, the answers, and the names on the way, for a name and a type."""
        answers: list[RR] = []
        way: list[bytes] = []
        for _ in range(MAX_CHAIN):
            way.append(name)
            records = self._records.get(name)
            if records is None:
                if name in self._names:
                    return NOERROR, answers, way
                records = self._wildcard(name)
                if records is None:
                    return NXDOMAIN, answers, way
            hits = [record for record in records if kind in (record.rtype, TYPE_ANY)]
            if hits:
                return NOERROR, answers + hits, way
            alias = next((record for record in records if record.rtype == TYPE_CNAME), None)
            if alias is None:
                return NOERROR, answers, way
            answers.append(alias)
            name = wire_name(alias.rdata.label.label)
        return SERVFAIL, [], way

    def _wildcard(self, name: bytes) -> list[RR] | None:
        for parent in ancestors(name[name[0] + 1 :] if name[0] else name):
            records = self._records.get(b"\x01*" + parent)
            if records:
                owner = DNSLabel(split_name(name))
                return [RR(owner, r.rtype, r.rclass, r.ttl, r.rdata) for r in records]
            if parent in self._names:
                return None
        return None

    def _soa(self, name: bytes) -> RR:
        """The SOA record that goes with an answer that has no data."""
        for parent in ancestors(name):
            for record in self._records.get(parent, ()):
                if record.rtype == TYPE_SOA:
                    return record
        return _ROOT_SOA

    def answer(self, question: bytes) -> Answer:
        """The packed answer to a question: name, type and class on the wire.

        The name is as it was asked, since what follows may point to parts of it; small and capital
        letters in the answer are those of the zone.
        """
        found = self._packed.get(question)
        if found is None:
            if len(self._packed) >= MAX_CACHED:
                self._packed.clear()
            found = self._packed[question] = self._pack(question)
        return found

    def _pack(self, question: bytes) -> Answer:
        name, kind = question[:-4], int.from_bytes(question[-4:-2])
        rcode, answers, way = self.lookup(name.lower(), kind)
        packet = DNSRecord(
            DNSHeader(id=1, rcode=rcode), q=DNSQuestion(DNSLabel(split_name(name)), kind)
        )
        for record in answers:
            packet.add_answer(record)
        lacking = rcode != NOERROR or not answers or answers[-1].rtype == TYPE_CNAME != kind
        if lacking:
            packet.add_auth(self._soa(way[-1]))
        tail = bytes(packet.pack()[12 + len(question) :])
        return Answer(rcode, len(answers), int(lacking), tail, tuple(way))


_ROOT_SOA = RR(
    DNSLabel(()), TYPE_SOA, 1, 60, SOA("a.root.test.", "hostmaster.root.test.", (1, 1, 1, 1, 60))
)


def parse_records(text: str) -> list[RR]:
    """The records of a zone text.  Raises ZoneError."""
    reader = _Reader()
    records = []
    for fields in _records(text):
        try:
            record = reader.read(fields)
        except _Bad as error:
            raise ZoneError(fields.line, fields.text, str(error)) from None
        if record is not None:
            records.append(record)
    return records


@lru_cache(maxsize=256)
def parse_zone(text: str) -> Zone:
    """The zone of a text; the same text gives the same zone, with its packed answers.

    Raises ZoneError.
    """
    return Zone(parse_records(text))
