"""The stub resolver of the machine: what resolver(3) does with ``/etc/resolv.conf``.

A question goes to the name servers of the system in turn, over UDP: 5 seconds for the first one,
later ones share the time of their round; two rounds.  A truncated answer is fetched again over TCP.
A server that does not answer, refuses, or fails is passed over; when no other is left the outcome
is ``TRY_AGAIN``, as res_nsend(3) of the GNU library has it.  ``options timeout:N attempts:N`` of an
``/etc/resolv.conf`` in the world are honoured.

Nothing is raised: the outcome of a question is a :class:`DnsReply`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from dnslib import QTYPE, RR, DNSError, DNSLabel, DNSRecord

from mta.system import ConnectError, Gone, Inet, Stream, System, TimedOut, Wait
from mta.wire.text import to_bytes

# The outcome of a question.
OK = "OK"  #: there are answers
NXDOMAIN = "NXDOMAIN"  #: no such name (HOST_NOT_FOUND)
NODATA = "NODATA"  #: the name has no records of that type (NO_DATA)
TRY_AGAIN = "TRY_AGAIN"  #: no usable answer from any server: timeout, SERVFAIL, REFUSED, NOTIMP
NO_RECOVERY = "NO_RECOVERY"  #: the question cannot be asked, or the answer is senseless

#: What Postfix says of an outcome (dns_strerror).
DNS_STRERROR = {
    NXDOMAIN: "Host not found",
    TRY_AGAIN: "Host not found, try again",
    NO_RECOVERY: "Non-recoverable error",
    NODATA: "Host found but no data record of requested type",
}

# Response codes (RFC 1035, 4.1.1).
_NOERROR, _SERVFAIL, _NXDOMAIN, _NOTIMP, _REFUSED = 0, 2, 3, 4, 5

_NEXT_SERVER = frozenset({_SERVFAIL, _NOTIMP, _REFUSED})
_HEADER = struct.Struct("!HHHHHH")
_TRUNCATED = 0x0200
_AUTHORITATIVE = 0x0400
_RECURSION_AVAILABLE = 0x0080
_AUTHENTIC = 0x0020
_CLASS_IN = 1
#: An OPT record (RFC 6891) that offers 1200 bytes and sets DNSSEC OK.
_OPT_DO = b"\0" + struct.pack("!HHIH", 41, 1200, 0x00008000, 0)

_TIMEOUT = re.compile(r"\btimeout:(\d+)")
_ATTEMPTS = re.compile(r"\battempts:(\d+)")


class ResourceRecord(NamedTuple):
    """A record as it came.  The name is dnslib's, and so is the data, by the type."""

    rname: DNSLabel
    rtype: int
    rclass: int
    ttl: int
    rdata: Any


class DnsReply(NamedTuple):
    """What came of a question.

    ``answers`` are the records of the answer section in order (shared, never change their data),
    also those of other types on the way, such as CNAME.  ``ad``: the server vouches for the
    answer (DNSSEC).  ``rcode`` is -1 where no server gave a final answer.  ``authority`` holds the
    records of the authority section.
    """

    status: str
    rcode: int = -1
    answers: Sequence[ResourceRecord] = ()
    ad: bool = False
    authority: Sequence[ResourceRecord] = ()


class ResolverProcess(Protocol):
    """What the resolver needs of a process."""

    system: System
    cache: dict[Any, Any]


class Resolver:
    """The resolver of one process.  Get it with :func:`stub_resolver`."""

    __slots__ = ("_id", "attempts", "servers", "system", "timeout")

    def __init__(self, system: System) -> None:
        self.system = system
        self.servers: Sequence[Inet] = tuple(system.nameservers) or (Inet("127.0.0.1", 53),)
        self.timeout = 5  #: seconds for the first server of a round
        self.attempts = 2  #: rounds
        self._id = 0
        self._read_options()

    def _read_options(self) -> None:
        try:
            text = self.system.files.read("/etc/resolv.conf").decode("latin-1")
        except OSError:
            return
        for line in text.splitlines():
            if line.split(None, 1)[:1] == ["options"]:
                if match := _TIMEOUT.search(line):
                    self.timeout = min(int(match[1]), 30)
                if match := _ATTEMPTS.search(line):
                    self.attempts = min(int(match[1]), 5)

    def query(self, name: str, rrtype: int, dnssec: bool = False) -> Wait[DnsReply]:
        """Asks for records of a type (dnslib ``QTYPE.MX``, …).  ``dnssec`` asks the servers to
        validate (RES_USE_DNSSEC); without it ``ad`` is always False.
        """
        question = encode_question(name, rrtype)
        if question is None:
            return DnsReply(NO_RECOVERY)
        for _ in range(self.attempts):
            for index, server in enumerate(self.servers):
                seconds = self.timeout << index
                if index:
                    seconds //= len(self.servers)
                data = yield from self._ask(server, question, dnssec, max(seconds, 1))
                if data is None:
                    continue
                reply = self._judge(data, dnssec)
                if reply is not None:
                    return reply
        return DnsReply(TRY_AGAIN)

    def _ask(self, server: Inet, question: bytes, dnssec: bool, timeout: int) -> Wait[bytes | None]:
        """One question to one server; None where it has no usable answer."""
        self._id = (self._id + 1) & 0xFFFF
        packet = _HEADER.pack(self._id, 0x0100, 1, 0, 0, int(dnssec)) + question
        if dnssec:
            packet += _OPT_DO
        start = self.system.now()
        try:
            data: bytes = yield self.system.network.exchange(server, packet, timeout)
        except (TimedOut, ConnectError):
            return None
        if not _belongs(packet, data, question):
            left = timeout - (self.system.now() - start) / 1_000_000
            if left > 0:
                yield self.system.sleep(left)
            return None
        if _HEADER.unpack_from(data)[1] & _TRUNCATED:
            return (yield from self._ask_tcp(server, packet, question, timeout))
        return data

    def _ask_tcp(
        self, server: Inet, packet: bytes, question: bytes, timeout: int
    ) -> Wait[bytes | None]:
        """The same over TCP (RFC 1035, 4.2.2)."""
        try:
            stream: Stream = yield self.system.network.connect(server, timeout)
        except (TimedOut, ConnectError):
            return None
        try:
            stream.write(struct.pack("!H", len(packet)) + packet)
            yield stream.flush(timeout)
            head = yield from _read_exactly(stream, 2, timeout)
            size = struct.unpack("!H", head)[0] if len(head) == 2 else 0
            data = yield from _read_exactly(stream, size, timeout)
        except (TimedOut, Gone):
            return None
        finally:
            stream.close()
        return data if data and len(data) == size and _belongs(packet, data, question) else None

    @staticmethod
    def _judge(data: bytes, dnssec: bool) -> DnsReply | None:
        """The meaning of an answer; None where the next server should be asked."""
        _, flags, _, answer_count, authority_count, _ = _HEADER.unpack_from(data)
        rcode = flags & 15
        if rcode in _NEXT_SERVER:
            return None
        ad = dnssec and bool(flags & _AUTHENTIC)
        if rcode == _NXDOMAIN:
            return DnsReply(NXDOMAIN, rcode, (), ad, _parse(data[2:]).authority)
        if rcode != _NOERROR:
            return DnsReply(NO_RECOVERY, rcode)
        if not answer_count:
            if not flags & (_AUTHORITATIVE | _RECURSION_AVAILABLE) and not authority_count:
                return None
            return DnsReply(NODATA, rcode, (), ad, _parse(data[2:]).authority)
        answers, authority = _parse(data[2:])
        if answers is None:
            return DnsReply(TRY_AGAIN, rcode)
        return DnsReply(OK, rcode, answers, ad, authority)


def stub_resolver(process: ResolverProcess) -> Resolver:
    """The resolver of a process, made when it is first needed."""
    resolver: Resolver | None = process.cache.get(Resolver)
    if resolver is None:
        resolver = process.cache[Resolver] = Resolver(process.system)
    return resolver


def rrtype(name: str) -> int:
    """The number of a record type by its name (``MX``)."""
    return int(getattr(QTYPE, name))


def _belongs(packet: bytes, data: bytes, question: bytes) -> bool:
    """Whether a packet is an answer to the question that was asked (case of names ignored)."""
    if len(data) < 12 or data[:2] != packet[:2] or not data[2] & 0x80:
        return False
    if data[4:6] != b"\0\1":
        return data[4:6] == b"\0\0" and data[3] & 15 != _NOERROR
    end = 12 + len(question)
    return data[12:end].lower() == question.lower()


def _read_exactly(stream: Stream, size: int, timeout: int) -> Wait[bytes]:
    data = b""
    while len(data) < size:
        more: bytes = yield stream.read(size - len(data), timeout)
        if not more:
            break
        data += more
    return data


@lru_cache(maxsize=1 << 15)
def encode_question(name: str, rrtype: int) -> bytes | None:
    """The question section for a name; None where the name is no domain name at all."""
    wire = bytearray()
    plain = to_bytes(name)
    if plain.endswith(b"."):
        plain = plain[:-1]
    for label in plain.split(b".") if plain else ():
        if not 0 < len(label) <= 63:
            return None
        wire.append(len(label))
        wire += label
    if len(wire) > 254:
        return None
    return bytes(wire) + b"\0" + struct.pack("!HH", rrtype, _CLASS_IN)


class _Sections(NamedTuple):
    """The records of the answer section, None where the packet cannot be parsed, and of the
    authority section.
    """

    answers: tuple[ResourceRecord, ...] | None
    authority: tuple[ResourceRecord, ...] = ()


@lru_cache(maxsize=1 << 15)
def _parse(data: bytes) -> _Sections:
    """A packet, without its id, taken apart.  Kept, since the same answers come again and again."""
    try:
        record = DNSRecord.parse(b"\0\0" + data)
    except (DNSError, ValueError, IndexError, struct.error):
        return _Sections(None)
    return _Sections(_plain(record.rr), _plain(record.auth))


def _plain(records: Iterable[RR]) -> tuple[ResourceRecord, ...]:
    return tuple(ResourceRecord(r.rname, r.rtype, r.rclass, r.ttl, r.rdata) for r in records)
