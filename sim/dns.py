"""The name server of a world: a resolver that knows every zone, over UDP and TCP.

It answers from :mod:`sim.zone`; what differs from question to question (the id, the letters of the
name, EDNS, who vouches for the data) is patched into packed answers, so that a question costs a
few microseconds.

Trouble is told by faults, by name and type: silence, wrong result codes, truncation, nonsense, and
answers that do not validate.  A fault counts how often it fired; one that never did is a false
green (:meth:`DnsServer.unused_faults`).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from mta.system import Gone, Inet, Stream, TimedOut, Wait
from sim.peers.host import PeerNetwork
from sim.zone import (
    FORMERR,
    NOERROR,
    NOTIMP,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    TYPE_NUMBER,
    Zone,
    ZoneError,
    name_key,
    name_text,
    parse_zone,
)

__all__ = [
    "DnsFault", "DnsServer", "FaultKind", "Zone", "ZoneError", "fault_key", "parse_fault",
    "parse_zone",
]  # fmt: skip

#: What can go wrong with a question.
FaultKind = Literal[
    "timeout",  # no answer at all
    "servfail",
    "refused",
    "formerr",
    "notimp",
    "nxdomain",  # no such name, whatever the zone says
    "nodata",  # the name exists, records of that type do not
    "truncated",  # over UDP always the TC bit and no data; TCP has it all
    "garbage",  # an answer that cannot be parsed
    "bogus",  # data that does not validate: SERVFAIL for who did not switch checking off
    "mismatch",  # an answer with another id, which resolvers must ignore
]
_KINDS: tuple[str, ...] = get_args(FaultKind)
_RCODES = {
    "servfail": SERVFAIL,
    "refused": REFUSED,
    "formerr": FORMERR,
    "notimp": NOTIMP,
    "nxdomain": NXDOMAIN,
    "nodata": NOERROR,
}

#: Header bits, in the order of RFC 1035, 2535 and 3655.
_QR, _TC, _RD, _RA, _AD, _CD = 0x8000, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
_OPCODE = 0x7800

UDP_LIMIT = 512
#: How large a datagram the server sends to who says by EDNS that it can take it.
EDNS_LIMIT = 4096
TCP_LIMIT = 0xFFFF

#: How long a TCP client may be quiet, in seconds.
TCP_PATIENCE = 30.0


@dataclass(slots=True)
class DnsFault:
    """What happens to a question instead of its answer."""

    kind: FaultKind
    times: int | None = None  #: to how many questions; None: to all
    fired: int = 0  #: how often it did

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            near = difflib.get_close_matches(str(self.kind), _KINDS, 1, 0)
            raise ValueError(f"no DNS fault {self.kind!r}; the nearest is {near[0]!r}")

    def fire(self) -> bool:
        """Whether it strikes now; counts."""
        if self.times is not None and self.fired >= self.times:
            return False
        self.fired += 1
        return True


def parse_fault(key: str, what: str | DnsFault) -> tuple[bytes, int | None, DnsFault]:
    """A row of ``faults``: ``NAME TYPE`` (or ``NAME`` for all types) and the kind of trouble.

    Returns the name on the wire, the type's number and the fault.  Raises ValueError.
    """
    words = key.split()
    if not 1 <= len(words) <= 2:
        raise ValueError(f"{key!r} is not NAME TYPE")
    number = None
    if len(words) == 2 and words[1] != "*":
        number = TYPE_NUMBER.get(words[1].upper())
        if number is None:
            near = difflib.get_close_matches(words[1].upper(), TYPE_NUMBER, 1, 0)
            raise ValueError(f"no record type {words[1]!r}; the nearest is {near[0]!r}")
    fault = DnsFault(what) if isinstance(what, str) else what  # type: ignore[arg-type]
    return name_key(words[0]), number, fault


def fault_key(name: bytes, number: int | None) -> bytes:
    """What a fault is kept under: the start of a question, name and type on the wire."""
    return name if number is None else name + number.to_bytes(2)


class DnsServer:
    """A resolver that answers from one zone text (of any number of zones)."""

    def __init__(
        self,
        zone: str | Zone = "",
        faults: Mapping[str, str | DnsFault] | None = None,
        secure: Iterable[str] = (),
    ) -> None:
        """``secure``: domains whose data, and that of all names below, is DNSSEC-validated."""
        self.zone = parse_zone(zone) if isinstance(zone, str) else zone
        self._faults: dict[bytes, DnsFault] = {}
        self._fault_names: dict[bytes, str] = {}
        self._secure = tuple(name_key(name) for name in secure)
        #: Called with the name, the type's number and the reply for each question, when set.
        self.listener: Callable[[str, int, bytes | None], None] | None = None
        for key, what in (faults or {}).items():
            self.set_fault(key, what)

    def set_fault(self, key: str, what: str | DnsFault) -> DnsFault:
        """Adds or replaces trouble for ``NAME TYPE`` or ``NAME``.  Raises ValueError."""
        name, number, fault = parse_fault(key, what)
        at = fault_key(name, number)
        self._faults[at] = fault
        self._fault_names[at] = key
        return fault

    def vouch(self, *domains: str) -> None:
        """From now on the data of these domains, and below them, is DNSSEC-validated, too."""
        self._secure += tuple(map(name_key, domains))

    def clear_fault(self, key: str) -> None:
        """Takes trouble away; quiet where there is none."""
        name, number, _ = parse_fault(key, "timeout")
        self._faults.pop(fault_key(name, number), None)

    def unused_faults(self) -> list[str]:
        """The rows of ``faults`` that no question has met."""
        return [self._fault_names[at] for at, fault in self._faults.items() if not fault.fired]

    def install(self, network: PeerNetwork, host: str = "127.0.0.1", port: int = 53) -> None:
        """Serves on an address of a machine, UDP and TCP.  Raises OSError."""
        network.listen_datagrams(Inet(host, port), self.serve_datagram)
        network.listen(Inet(host, port), self.serve, passive=True)

    def serve_datagram(self, packet: bytes, _: Inet, send: Callable[[bytes], None]) -> None:
        """One UDP query."""
        reply = self.answer(packet)
        if reply is not None:
            send(reply)

    def serve(self, stream: Stream) -> Wait[None]:
        """One TCP client: packets with their length before them, until it closes."""
        try:
            while True:
                head = yield from _exactly(stream, 2)
                packet = yield from _exactly(stream, int.from_bytes(head))
                if not packet:
                    break
                reply = self.answer(packet, TCP_LIMIT)
                if reply is not None:
                    stream.write(len(reply).to_bytes(2) + reply)
                    yield stream.flush(TCP_PATIENCE)
        except (Gone, TimedOut):
            pass
        stream.close()

    def answer(self, packet: bytes, limit: int = UDP_LIMIT) -> bytes | None:
        """The reply to a query; None for silence.  ``limit``: how long it may be without EDNS."""
        packet = bytes(packet)
        end = _question_end(packet)
        if end is None:
            return _format_error(packet)
        question = packet[12:end]
        query = int.from_bytes(packet[2:4])
        flags = _QR | _RA | query & (_RD | _CD)
        edns, wants_security = _edns(packet, end)
        if edns and limit < TCP_LIMIT:
            limit = min(max(limit, edns), EDNS_LIMIT)
        if query & _OPCODE:
            reply: bytes | None = _reply(packet, end, flags | NOTIMP, b"", edns)
        elif (fault := self._fault(question)) is not None:
            reply = self._trouble(fault.kind, packet, end, flags, edns, limit)
        else:
            found = self.zone.answer(question)
            flags |= found.rcode
            if self._secure and (wants_security or query & _AD) and self._vouched(found.names):
                flags |= _AD
            counts = found.answers << 16 | found.authority
            reply = _reply(packet, end, flags, found.tail, edns, counts)
        if reply is not None and len(reply) > limit:
            reply = _reply(packet, end, flags | _TC, b"", edns)
        if self.listener is not None:
            self.listener(name_text(question[:-4].lower()), int.from_bytes(question[-4:-2]), reply)
        return reply

    def _fault(self, question: bytes) -> DnsFault | None:
        if not self._faults:
            return None
        question = question.lower()
        for key in (question[:-2], question[:-4]):
            fault = self._faults.get(key)
            if fault is not None and fault.fire():
                return fault
        return None

    def _vouched(self, names: Iterable[bytes]) -> bool:
        """Whether all names are in secure domains."""
        return all(
            any(name == domain or name.endswith(domain) for domain in self._secure)
            for name in names
        )

    def _trouble(
        self, kind: FaultKind, packet: bytes, end: int, flags: int, edns: int, limit: int
    ) -> bytes | None:
        if kind == "timeout":
            return None
        if kind in _RCODES:
            return _reply(packet, end, flags | _RCODES[kind], b"", edns)
        if kind == "bogus" and not flags & _CD:
            return _reply(packet, end, flags | SERVFAIL, b"", edns)
        if kind == "truncated" and limit < TCP_LIMIT:
            return _reply(packet, end, flags | _TC, b"", edns)
        if kind == "garbage":
            return packet[:2] + (flags & 0xFFFF).to_bytes(2) + b"\0\1\0\1\0\0\0\0" + b"\xffgarbage"
        found = self.zone.answer(packet[12:end])
        counts = found.answers << 16 | found.authority
        reply = _reply(packet, end, flags | found.rcode, found.tail, edns, counts)
        if kind == "mismatch":
            return bytes((reply[0] ^ 0xFF,)) + reply[1:]
        return reply


def _reply(packet: bytes, end: int, flags: int, tail: bytes, edns: int, counts: int = 0) -> bytes:
    """A reply with the question as it was asked; ``counts``: answers and authority records."""
    head = packet[:2] + flags.to_bytes(2) + b"\0\1" + counts.to_bytes(4)
    if not edns:
        return head + b"\0\0" + packet[12:end] + tail
    return head + b"\0\1" + packet[12:end] + tail + _OPT


_OPT = b"\0\0\x29" + EDNS_LIMIT.to_bytes(2) + b"\0\0\0\0\0\0"


def _question_end(packet: bytes) -> int | None:
    """Where the only question ends; None for what is not a query with one question."""
    size = len(packet)
    if size < 17 or packet[2] & 0x80 or packet[4:6] != b"\0\1":
        return None
    position = 12
    while position < size and (length := packet[position]):
        if length > 63:
            return None
        position += 1 + length
    end = position + 5
    return end if end <= size and position - 12 < 255 else None


def _format_error(packet: bytes) -> bytes | None:
    """The reply to what is no query; silence for what has no header or is a reply itself."""
    if len(packet) < 12 or packet[2] & 0x80:
        return None
    return packet[:2] + (_QR | _RA | FORMERR).to_bytes(2) + bytes(8)


def _edns(packet: bytes, end: int) -> tuple[int, bool]:
    """The datagram size of an OPT record after the question (0: there is none), and its DO bit."""
    if packet[11] == 0 or packet[end : end + 3] != b"\0\0\x29" or len(packet) < end + 11:
        return 0, False
    size = int.from_bytes(packet[end + 3 : end + 5])
    return max(size, UDP_LIMIT), bool(packet[end + 7] & 0x80)


def _exactly(stream: Stream, size: int) -> Wait[bytes]:
    """So many bytes, or ``b""`` where the stream ends before."""
    data: bytes = b""
    while len(data) < size:
        more: bytes = yield stream.read(size - len(data), TCP_PATIENCE)
        if not more:
            return b""
        data += more
    return data
