"""The milter protocol: the replies of a filter.

Most decide about an event (:data:`DECISIONS` have no data); those in :data:`MODIFICATIONS` change
the message, and come only at its end, before the decision.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from mta.wire.milter import REPLY_NAMES, ExcessData, Fields, Packet, UnknownCode, pack
from mta.wire.text import to_bytes, to_text

__all__ = [
    "ACCEPT", "CONN_FAIL", "CONTINUE", "DECISIONS", "DISCARD", "MODIFICATIONS", "PROGRESS",
    "REJECT", "SHUTDOWN", "SKIP", "TEMPFAIL", "AddHeader", "AddRecipient", "ChangeFrom",
    "ChangeHeader", "Decision", "DeleteRecipient", "InsertHeader", "Modification", "Quarantine",
    "ReplaceBody", "Reply", "ReplyCode", "SetSymlist", "decode_reply",
]  # fmt: skip

_LONG = struct.Struct("!I").pack


def _string(text: str) -> bytes:
    return to_bytes(text) + b"\0"


@dataclass(slots=True, frozen=True)
class Decision:
    """A reply without data."""

    code: bytes

    def encode(self) -> bytes:
        """The packet."""
        return pack(self.code)


ACCEPT = Decision(b"a")  #: no more questions about this message (or connection): take it
CONTINUE = Decision(b"c")
DISCARD = Decision(b"d")  #: say yes and throw it away
CONN_FAIL = Decision(b"f")  #: break the connection; Postfix does not know it
PROGRESS = Decision(b"p")  #: still at work
REJECT = Decision(b"r")
SKIP = Decision(b"s")  #: no more events of this kind
TEMPFAIL = Decision(b"t")
SHUTDOWN = Decision(b"4")  #: 421 and disconnect

#: The replies without data, by code.
DECISIONS: Mapping[bytes, Decision] = {
    decision.code: decision
    for decision in (
        ACCEPT, CONTINUE, DISCARD, CONN_FAIL, PROGRESS, REJECT, SKIP, TEMPFAIL, SHUTDOWN,
    )
}  # fmt: skip


@dataclass(slots=True)
class ReplyCode:
    """``SMFIR_REPLYCODE``: an SMTP reply, maybe of several lines (with CR LF between)."""

    code: ClassVar[bytes] = b"y"
    text: str

    def encode(self) -> bytes:
        """The packet."""
        return pack(b"y", _string(self.text))

    @classmethod
    def decode(cls, fields: Fields) -> ReplyCode:
        """Reads the data of a packet; the text ends at the first zero byte."""
        return cls(to_text(fields.raw().partition(b"\0")[0]))


@dataclass(slots=True)
class Quarantine:
    """``SMFIR_QUARANTINE``: put the message on hold.  The decision comes after it."""

    code: ClassVar[bytes] = b"q"
    reason: str

    def encode(self) -> bytes:
        """The packet."""
        return pack(b"q", _string(self.reason))

    @classmethod
    def decode(cls, fields: Fields) -> Quarantine:
        """Reads the data of a packet; the text ends at the first zero byte."""
        return cls(to_text(fields.raw().partition(b"\0")[0]))


@dataclass(slots=True)
class SetSymlist:
    """``SMFIR_SETSYMLIST``: macro names for a stage; Postfix takes it only in the negotiation."""

    code: ClassVar[bytes] = b"l"
    stage: int
    names: str

    def encode(self) -> bytes:
        """The packet."""
        return pack(b"l", _LONG(self.stage) + _string(self.names))

    @classmethod
    def decode(cls, fields: Fields) -> SetSymlist:
        """Reads the data of a packet."""
        return cls(fields.long(), fields.string())


@dataclass(slots=True)
class AddHeader:
    """``SMFIR_ADDHEADER``: a header after all others."""

    code: ClassVar[bytes] = b"h"
    name: str
    value: str

    def encode(self) -> bytes:
        """The packet."""
        return pack(b"h", _string(self.name) + _string(self.value))

    @classmethod
    def decode(cls, fields: Fields) -> AddHeader:
        """Reads the data of a packet."""
        return cls(fields.string(), fields.string())


@dataclass(slots=True)
class InsertHeader:
    """``SMFIR_INSHEADER``: a header at a place; 0 is the top."""

    code: ClassVar[bytes] = b"i"
    index: int
    name: str
    value: str

    def encode(self) -> bytes:
        """The packet."""
        return pack(b"i", _LONG(self.index) + _string(self.name) + _string(self.value))

    @classmethod
    def decode(cls, fields: Fields) -> InsertHeader:
        """Reads the data of a packet."""
        return cls(fields.long(), fields.string(), fields.string())


@dataclass(slots=True)
class ChangeHeader:
    """``SMFIR_CHGHEADER``: the index-th header (from 1) of a name gets a value (empty: goes)."""

    code: ClassVar[bytes] = b"m"
    index: int
    name: str
    value: str

    def encode(self) -> bytes:
        """The packet."""
        return pack(b"m", _LONG(self.index) + _string(self.name) + _string(self.value))

    @classmethod
    def decode(cls, fields: Fields) -> ChangeHeader:
        """Reads the data of a packet."""
        return cls(fields.long(), fields.string(), fields.string())


@dataclass(slots=True)
class ReplaceBody:
    """``SMFIR_REPLBODY``: a piece of the new body, lines ended by CR LF."""

    code: ClassVar[bytes] = b"b"
    data: bytes

    def encode(self) -> bytes:
        """The packet."""
        return pack(b"b", self.data)

    @classmethod
    def decode(cls, fields: Fields) -> ReplaceBody:
        """Reads the data of a packet."""
        return cls(fields.raw())


@dataclass(slots=True)
class AddRecipient:
    """``SMFIR_ADDRCPT``; with ESMTP parameters (not None) ``SMFIR_ADDRCPT_PAR``."""

    code: ClassVar[bytes] = b"+"
    address: str
    parameters: str | None = None

    def encode(self) -> bytes:
        """The packet."""
        if self.parameters is None:
            return pack(b"+", _string(self.address))
        return pack(b"2", _string(self.address) + _string(self.parameters))

    @classmethod
    def decode(cls, fields: Fields) -> AddRecipient:
        """Reads the data of a packet."""
        return cls(fields.string())

    @classmethod
    def decode_with_parameters(cls, fields: Fields) -> AddRecipient:
        """Reads the data of a ``SMFIR_ADDRCPT_PAR`` packet."""
        return cls(fields.string(), fields.string() if fields.left > 0 else "")


@dataclass(slots=True)
class DeleteRecipient:
    """``SMFIR_DELRCPT``."""

    code: ClassVar[bytes] = b"-"
    address: str

    def encode(self) -> bytes:
        """The packet."""
        return pack(b"-", _string(self.address))

    @classmethod
    def decode(cls, fields: Fields) -> DeleteRecipient:
        """Reads the data of a packet."""
        return cls(fields.string())


@dataclass(slots=True)
class ChangeFrom:
    """``SMFIR_CHGFROM``: another sender, maybe with ESMTP parameters."""

    code: ClassVar[bytes] = b"e"
    address: str
    parameters: str = ""

    def encode(self) -> bytes:
        """The packet."""
        more = _string(self.parameters) if self.parameters else b""
        return pack(b"e", _string(self.address) + more)

    @classmethod
    def decode(cls, fields: Fields) -> ChangeFrom:
        """Reads the data of a packet."""
        return cls(fields.string(), fields.string() if fields.left > 0 else "")


Modification = (
    AddHeader
    | InsertHeader
    | ChangeHeader
    | ReplaceBody
    | AddRecipient
    | DeleteRecipient
    | ChangeFrom
)
Reply = Decision | ReplyCode | Quarantine | SetSymlist | Modification

_REPLIES: Mapping[bytes, Callable[[Fields], Reply]] = {
    ReplyCode.code: ReplyCode.decode,
    Quarantine.code: Quarantine.decode,
    SetSymlist.code: SetSymlist.decode,
    AddHeader.code: AddHeader.decode,
    InsertHeader.code: InsertHeader.decode,
    ChangeHeader.code: ChangeHeader.decode,
    ReplaceBody.code: ReplaceBody.decode,
    AddRecipient.code: AddRecipient.decode,
    b"2": AddRecipient.decode_with_parameters,
    DeleteRecipient.code: DeleteRecipient.decode,
    ChangeFrom.code: ChangeFrom.decode,
}

#: The codes of replies that change the message; only good as answers to the end of the message.
MODIFICATIONS: Sequence[bytes] = (b"m", b"h", b"i", b"e", b"+", b"2", b"-", b"b")


def decode_reply(packet: Packet) -> Reply:
    """What a filter sent.  Raises MalformedPacket, ExcessData, UnknownCode."""
    decision = DECISIONS.get(packet.code)
    if decision is not None:
        if packet.size:
            raise ExcessData(REPLY_NAMES[packet.code], packet.size)
        return decision
    decode = _REPLIES.get(packet.code)
    if decode is None:
        raise UnknownCode(packet.code)
    fields = Fields(packet.data, packet.size)
    reply = decode(fields)
    fields.done()
    return reply
