"""The milter protocol, versions 2 to 6: packets, and what the mail system sends.

A packet is a length (four bytes, of what follows), a code of one byte, and data: numbers of four
bytes, texts that end with a zero byte, and raw bytes.  Nothing here reads or writes: events (mail
system to filter) are small classes with ``encode``; ``decode_event`` is the other direction.
Replies (filter to mail system) are in :mod:`mta.wire.milter_reply`.

Texts are ``str`` as made by :func:`mta.wire.text.to_text`; bodies are bytes.

Names and numbers are those of ``libmilter``'s ``mfdef.h``, as milter8.c of Postfix has them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import ClassVar, NamedTuple

from mta.wire.text import to_bytes, to_text

#: The newest version of the protocol.
VERSION = 6

#: The most that goes into one body packet.
CHUNK_SIZE = 65535

#: A packet that claims to be longer is not believed.
MAX_DATA = 0x7FFFFFFF // 2

#: The name of each event, as in log lines.
EVENT_NAMES: Mapping[bytes, str] = {
    b"A": "SMFIC_ABORT", b"B": "SMFIC_BODY", b"C": "SMFIC_CONNECT", b"D": "SMFIC_MACRO",
    b"E": "SMFIC_BODYEOB", b"H": "SMFIC_HELO", b"L": "SMFIC_HEADER", b"M": "SMFIC_MAIL",
    b"N": "SMFIC_EOH", b"O": "SMFIC_OPTNEG", b"Q": "SMFIC_QUIT", b"R": "SMFIC_RCPT",
    b"T": "SMFIC_DATA", b"U": "SMFIC_UNKNOWN", b"K": "SMFIC_QUIT_NC",
}  # fmt: skip

#: The name of each reply, as in log lines.
REPLY_NAMES: Mapping[bytes, str] = {
    b"+": "SMFIR_ADDRCPT", b"-": "SMFIR_DELRCPT", b"a": "SMFIR_ACCEPT", b"b": "SMFIR_REPLBODY",
    b"c": "SMFIR_CONTINUE", b"d": "SMFIR_DISCARD", b"f": "SMFIR_CONN_FAIL",
    b"m": "SMFIR_CHGHEADER", b"p": "SMFIR_PROGRESS", b"r": "SMFIR_REJECT", b"t": "SMFIR_TEMPFAIL",
    b"4": "SMFIR_SHUTDOWN", b"h": "SMFIR_ADDHEADER", b"i": "SMFIR_INSHEADER",
    b"y": "SMFIR_REPLYCODE", b"q": "SMFIR_QUARANTINE", b"s": "SMFIR_SKIP", b"e": "SMFIR_CHGFROM",
    b"2": "SMFIR_ADDRCPT_PAR", b"l": "SMFIR_SETSYMLIST",
}  # fmt: skip


class Step(IntFlag):
    """``SMFIP_*``: events that a filter does not want, replies that it will not send."""

    NOCONNECT = 1 << 0
    NOHELO = 1 << 1
    NOMAIL = 1 << 2
    NORCPT = 1 << 3
    NOBODY = 1 << 4
    NOHDRS = 1 << 5
    NOEOH = 1 << 6
    NR_HDR = 1 << 7
    NOUNKNOWN = 1 << 8
    NODATA = 1 << 9
    SKIP = 1 << 10  #: the mail system knows SMFIR_SKIP
    RCPT_REJ = 1 << 11  #: the filter wants to know of rejected recipients
    NR_CONN = 1 << 12
    NR_HELO = 1 << 13
    NR_MAIL = 1 << 14
    NR_RCPT = 1 << 15
    NR_DATA = 1 << 16
    NR_UNKN = 1 << 17
    NR_EOH = 1 << 18
    NR_BODY = 1 << 19
    HDR_LEADSPC = 1 << 20  #: header values come and go with the space after the colon


#: Plain numbers, since flag arithmetic of enums is slow.
NO_SEND_MASK = 0x37F
NO_REPLY_MASK = 0xFF080
STEPS_V2 = 0x7F
STEPS_V3 = STEPS_V2 | 0x100
STEPS_V4 = STEPS_V3 | 0x200
STEPS_V6 = STEPS_V4 | 0xC00 | NO_REPLY_MASK | 0x100000


class Action(IntFlag):
    """``SMFIF_*``: what a filter may ask for at the end of the message."""

    ADDHDRS = 1 << 0
    CHGBODY = 1 << 1
    ADDRCPT = 1 << 2
    DELRCPT = 1 << 3
    CHGHDRS = 1 << 4
    QUARANTINE = 1 << 5
    CHGFROM = 1 << 6
    ADDRCPT_PAR = 1 << 7
    SETSYMLIST = 1 << 8


#: All of :class:`Action`.
ALL_ACTIONS = 0x1FF

#: ``SMFIM_*``: the stages that have a list of macro names, by number.
MACRO_STAGES = ("connect", "helo", "mail", "rcpt", "data", "eom", "eoh")


class MalformedPacket(Exception):
    """A packet that does not hold what its code asks for.

    ``args[0]`` is the warning as milter8(3) words it, with ``{name}`` for the filter's endpoint.
    """


class ExcessData(Exception):
    """A reply that takes no data came with some.  ``args``: its ``SMFIR_*`` name, and how much."""


class UnknownCode(Exception):
    """A packet with a code that the protocol does not have.  ``args[0]`` is the code."""


class Packet(NamedTuple):
    """A packet, maybe cut short."""

    code: bytes
    data: bytes
    size: int  #: how long the data should be


def pack(code: bytes, data: bytes = b"") -> bytes:
    """A packet as bytes."""
    return _LONG(len(data) + 1) + code + data


_LONG = struct.Struct("!I").pack


class PacketReader:
    """Cuts a stream of bytes into packets."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Bytes that came."""
        self._buffer += data

    @property
    def pending(self) -> int:
        """How many bytes are waiting for the rest of their packet."""
        return len(self._buffer)

    def next(self) -> Packet | None:
        """The next whole packet.  Raises MalformedPacket for a length that cannot be."""
        buffer = self._buffer
        if len(buffer) < 4:
            return None
        size = packet_length(buffer)
        if len(buffer) < 4 + size:
            return None
        packet = Packet(bytes(buffer[4:5]), bytes(buffer[5 : 4 + size]), size - 1)
        del buffer[: 4 + size]
        return packet

    def rest(self) -> Packet | None:
        """At the end of the stream: the packet that was cut after its code, or None."""
        buffer = self._buffer
        if len(buffer) < 5:
            return None
        return Packet(bytes(buffer[4:5]), bytes(buffer[5:]), packet_length(buffer) - 1)


def packet_length(head: bytes | bytearray) -> int:
    """The length that the first four bytes tell.  Raises MalformedPacket for one that cannot be."""
    size = int.from_bytes(head[:4])
    if size < 1:
        raise MalformedPacket(f"milter {{name}}: bad packet length: {size}")
    if size > MAX_DATA:
        raise MalformedPacket(f"milter {{name}}: unreasonable packet length: {size} > {MAX_DATA}")
    return size


class Fields:
    """The data of a packet, read field by field; raises MalformedPacket."""

    __slots__ = ("_data", "_left", "_position")

    def __init__(self, data: bytes, size: int | None = None) -> None:
        """``size``: how long the data should be, when it may have been cut short."""
        self._data = data
        self._position = 0
        self._left = len(data) if size is None else size

    @property
    def left(self) -> int:
        """How many bytes should be there still."""
        return self._left

    def long(self) -> int:
        """A number of four bytes."""
        if self._left < 4:
            raise MalformedPacket("milter {name}: input packet too short for network long")
        value = self._take(4, "milter {name}: EOF while reading network long: {error}")
        return int.from_bytes(value)

    def string(self) -> str:
        """A text that ends with a zero byte."""
        if self._left < 1:
            raise MalformedPacket("milter {name}: packet too short for string")
        end = self._data.find(b"\0", self._position, self._position + self._left)
        if end < 0:
            if len(self._data) - self._position < self._left:
                what = "EOF while reading string: {error}"
            else:
                what = "missing string null termimator"
            raise MalformedPacket(f"milter8_read_data: milter {{name}}: {what}")
        value = self._data[self._position : end]
        self._left -= end + 1 - self._position
        self._position = end + 1
        return to_text(value)

    def strings(self) -> list[str]:
        """All texts that are left."""
        found = []
        while self._left > 0:
            found.append(self.string())
        return found

    def raw(self) -> bytes:
        """All bytes that are left."""
        return self._take(self._left, "milter {name}: EOF while reading data: {error}")

    def done(self) -> None:
        """Raises when something is left."""
        if self._left > 0:
            raise MalformedPacket(f"milter8_read_data: left-over data {self._left} bytes")

    def _take(self, size: int, cut: str) -> bytes:
        value = self._data[self._position : self._position + size]
        if len(value) < size:
            raise MalformedPacket(cut)
        self._position += size
        self._left -= size
        return value


def _string(text: str) -> bytes:
    return to_bytes(text) + b"\0"


def _strings(texts: Sequence[str]) -> bytes:
    return b"".join(map(_string, texts))


# --- events --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Negotiation:
    """``SMFIC_OPTNEG``, of both sides: version, actions, steps; a filter may add macro lists."""

    code: ClassVar[bytes] = b"O"
    version: int
    actions: int
    steps: int
    macros: Sequence[tuple[int, str]] = ()  #: stage (an index of MACRO_STAGES) and macro names

    def encode(self) -> bytes:
        """The packet."""
        data = struct.pack("!III", self.version, self.actions, self.steps)
        lists = b"".join(_LONG(stage) + _string(names) for stage, names in self.macros)
        return pack(b"O", data + lists)

    @classmethod
    def decode(cls, fields: Fields) -> Negotiation:
        """Reads the data of a packet."""
        numbers = fields.long(), fields.long(), fields.long()
        macros = []
        while fields.left > 0:
            stage = fields.long()
            macros.append((stage, fields.string()))
        return cls(*numbers, tuple(macros))


@dataclass(slots=True)
class Macros:
    """``SMFIC_MACRO``: names and values that go with the event that comes next."""

    code: ClassVar[bytes] = b"D"
    event: bytes
    pairs: Sequence[tuple[str, str]]

    def encode(self) -> bytes:
        """The packet."""
        return pack(b"D", self.event + _strings([text for pair in self.pairs for text in pair]))

    @classmethod
    def decode(cls, fields: Fields) -> Macros:
        """Reads the data of a packet."""
        data = fields.raw()
        texts = Fields(data[1:]).strings()
        return cls(data[:1], list(zip(texts[::2], texts[1::2], strict=False)))


@dataclass(slots=True)
class Connect:
    """``SMFIC_CONNECT``: a client.  Family: ``4``, ``6``, ``L`` (local) or ``U`` (unknown)."""

    code: ClassVar[bytes] = b"C"
    name: str
    family: str
    port: int = 0
    address: str = ""

    def encode(self) -> bytes:
        """The packet."""
        data = _string(self.name) + self.family.encode()
        if self.family != "U":
            data += self.port.to_bytes(2) + _string(self.address)
        return pack(b"C", data)

    @classmethod
    def decode(cls, fields: Fields) -> Connect:
        """Reads the data of a packet."""
        name = fields.string()
        rest = fields.raw()
        address = to_text(rest[3:].rstrip(b"\0"))
        return cls(name, rest[:1].decode("latin-1"), int.from_bytes(rest[1:3]), address)


@dataclass(slots=True)
class Helo:
    """``SMFIC_HELO``: the name that the client gave."""

    code: ClassVar[bytes] = b"H"
    name: str

    def encode(self) -> bytes:
        """The packet."""
        return pack(b"H", _string(self.name))

    @classmethod
    def decode(cls, fields: Fields) -> Helo:
        """Reads the data of a packet."""
        return cls(fields.string())


@dataclass(slots=True)
class Mail:
    """``SMFIC_MAIL``: the address in angle brackets, and parameters."""

    code: ClassVar[bytes] = b"M"
    words: Sequence[str]

    def encode(self) -> bytes:
        """The packet."""
        return pack(b"M", _strings(self.words))

    @classmethod
    def decode(cls, fields: Fields) -> Mail:
        """Reads the data of a packet."""
        return cls(fields.strings())


@dataclass(slots=True)
class Rcpt:
    """``SMFIC_RCPT``: the address in angle brackets, and parameters."""

    code: ClassVar[bytes] = b"R"
    words: Sequence[str]

    def encode(self) -> bytes:
        """The packet."""
        return pack(b"R", _strings(self.words))

    @classmethod
    def decode(cls, fields: Fields) -> Rcpt:
        """Reads the data of a packet."""
        return cls(fields.strings())


@dataclass(slots=True)
class Header:
    """``SMFIC_HEADER``: one message header; lines of a long value are separated by newlines."""

    code: ClassVar[bytes] = b"L"
    name: str
    value: str

    def encode(self) -> bytes:
        """The packet."""
        return pack(b"L", _string(self.name) + _string(self.value))

    @classmethod
    def decode(cls, fields: Fields) -> Header:
        """Reads the data of a packet."""
        return cls(fields.string(), fields.string())


@dataclass(slots=True)
class Body:
    """``SMFIC_BODY``: a piece of the body, lines ended by CR LF."""

    code: ClassVar[bytes] = b"B"
    data: bytes

    def encode(self) -> bytes:
        """The packet."""
        return pack(b"B", self.data)

    @classmethod
    def decode(cls, fields: Fields) -> Body:
        """Reads the data of a packet."""
        return cls(fields.raw())


@dataclass(slots=True)
class EndOfBody:
    """``SMFIC_BODYEOB``: the end of the message; some mail systems add the last of the body."""

    code: ClassVar[bytes] = b"E"
    data: bytes = b""

    def encode(self) -> bytes:
        """The packet."""
        return pack(b"E", self.data)

    @classmethod
    def decode(cls, fields: Fields) -> EndOfBody:
        """Reads the data of a packet."""
        return cls(fields.raw())


@dataclass(slots=True)
class Unknown:
    """``SMFIC_UNKNOWN``: a command that the mail system does not know."""

    code: ClassVar[bytes] = b"U"
    command: str

    def encode(self) -> bytes:
        """The packet."""
        return pack(b"U", _string(self.command))

    @classmethod
    def decode(cls, fields: Fields) -> Unknown:
        """Reads the data of a packet."""
        return cls(fields.string())


@dataclass(slots=True)
class Plain:
    """An event without data: ``SMFIC_DATA``, ``_EOH``, ``_ABORT``, ``_QUIT``, ``_QUIT_NC``."""

    code: bytes

    def encode(self) -> bytes:
        """The packet."""
        return pack(self.code)


DATA, EOH, ABORT, QUIT, QUIT_NC = map(Plain, (b"T", b"N", b"A", b"Q", b"K"))

Event = (
    Negotiation
    | Macros
    | Connect
    | Helo
    | Mail
    | Rcpt
    | Header
    | Body
    | EndOfBody
    | Unknown
    | Plain
)

_EVENTS: Mapping[bytes, Callable[[Fields], Event]] = {
    kind.code: kind.decode
    for kind in (
        Negotiation, Macros, Connect, Helo, Mail, Rcpt, Header, Body, EndOfBody, Unknown,
    )
}  # fmt: skip
_PLAIN_EVENTS: Mapping[bytes, Plain] = {e.code: e for e in (DATA, EOH, ABORT, QUIT, QUIT_NC)}


def decode_event(packet: Packet) -> Event:
    """What a mail system sent.  Raises MalformedPacket, UnknownCode."""
    plain = _PLAIN_EVENTS.get(packet.code)
    if plain is not None:
        return plain
    decode = _EVENTS.get(packet.code)
    if decode is None:
        raise UnknownCode(packet.code)
    fields = Fields(packet.data, packet.size)
    event = decode(fields)
    fields.done()
    return event
