"""dns_lookup(3), dns_rr(3), dns_rr_filter(3): resource records for a name.

Asks the stub resolver, follows CNAMEs (at most ten questions), checks all names, and says in
Postfix's words what went wrong.  A reply filter (``smtp_dns_reply_filter``) belongs to a process:
see :func:`set_dns_rr_filter`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dnslib import QTYPE

from mta.dict.errors import TableError
from mta.dict.flags import DICT_FLAG_FOLD_FIX, DICT_FLAG_LOCK
from mta.lib.maps import Maps
from mta.lib.stub_resolver import (
    DNS_STRERROR,
    NO_RECOVERY,
    NODATA,
    NXDOMAIN,
    OK,
    TRY_AGAIN,
    DnsReply,
    stub_resolver,
)
from mta.system import Wait
from mta.util.valid_hostname import valid_hostaddr, valid_hostname
from mta.wire.text import cut

if TYPE_CHECKING:
    from mta.lib.log import Log
    from mta.master.server import Process

# What came of a lookup.  Of several lookups for one name the greatest counts.
DNS_NOTFOUND = -6  #: the name, or data of that type, does not exist
DNS_NULLMX = -5  #: the domain does not accept mail (RFC 7505)
DNS_FAIL = -4  #: the query failed, do not retry
DNS_INVAL = -3  #: a name in the reply is no host name
DNS_RETRY = -2  #: the query failed, try again
DNS_POLICY = -1  #: the reply filter dropped all records
DNS_OK = 0
_DNS_RECURSE = -7

# What ends a lookup of several types early.
DNS_REQ_FLAG_NONE = 0
DNS_REQ_FLAG_STOP_OK = 1 << 0
DNS_REQ_FLAG_STOP_INVAL = 1 << 1
DNS_REQ_FLAG_STOP_NULLMX = 1 << 2
DNS_REQ_FLAG_STOP_MX_POLICY = 1 << 3

# Options of the resolver (resolver(3)).
RES_DEFNAMES = 1 << 0  #: append the local domain to names without a dot
RES_DNSRCH = 1 << 1  #: search the domains of resolv.conf
RES_USE_DNSSEC = 1 << 2  #: ask for validation

#: Questions for one name, over its aliases.
_MAX_CHAIN = 10

#: The types that can be asked for.
TYPES = {
    name: int(getattr(QTYPE, name))
    for name in ("A", "AAAA", "CNAME", "DNAME", "MX", "NS", "PTR", "TLSA", "TXT")
}
_NAME_TYPES = frozenset(TYPES[name] for name in ("CNAME", "DNAME", "NS", "PTR"))
_A, _AAAA, _CNAME, _MX = (TYPES[name] for name in ("A", "AAAA", "CNAME", "MX"))
_STATUS = {NO_RECOVERY: DNS_FAIL, NXDOMAIN: DNS_NOTFOUND, NODATA: DNS_NOTFOUND}
_PLAIN_NAME = re.compile(rb"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_ESCAPED = b'".;\\()@$'
_SEARCH = re.compile(r"^(?:search|domain)\s+(.*)$", re.MULTILINE)

_FILTER = "dns reply filter"
#: In the cache of a process that logs its lookups (``-v``).
VERBOSE = "dns verbose"
_TYPE_NAMES = {number: name for name, number in TYPES.items()}
_SYSTEM_USE_DNSSEC = 1 << 23  #: in the system's own mask


class DnsRR(NamedTuple):
    """A resource record.  ``type`` is its name (``MX``).  ``data`` is a host name without the last
    dot, a numeric address, the first string of a TXT, or the numbers and hexadecimal of a TLSA.
    """

    qname: str  #: the name that was asked for
    rname: str  #: the name that the record belongs to
    type: str
    ttl: int
    pref: int
    data: str
    dnssec_valid: bool = False

    def __str__(self) -> str:
        """As a reply filter sees it (dns_strrecord)."""
        head = f"{self.rname}. {self.ttl} IN {self.type} "
        if self.type == "MX":
            return f"{head}{self.pref} {self.data}."
        return f"{head}{self.data}." if self.type in _DOTTED else head + self.data


_DOTTED = frozenset({"CNAME", "DNAME", "NS", "PTR"})


class DnsResult(NamedTuple):
    """What a lookup gave: DNS_*, the records, the last name of the answer (fqdn), why it failed,
    and the RCODE of the last reply (-1: none).
    """

    status: int
    records: list[DnsRR]
    fqdn: str = ""
    why: str = ""
    rcode: int = -1


class _Bad(Exception):
    """A reply that cannot be used; ``args[0]`` is DNS_*."""


# -- the reply filter -----------------------------------------------------------------------------


def set_dns_rr_filter(process: Process, parameter: str, value: str) -> None:
    """The tables of ``smtp_dns_reply_filter`` or one of its siblings; the last one counts."""
    process.cache[_FILTER] = Maps(process, parameter, value, DICT_FLAG_LOCK | DICT_FLAG_FOLD_FIX)


def _filtered(process: Process, maps: Maps, records: list[DnsRR]) -> Wait[list[DnsRR] | None]:
    """The records that the filter leaves; None where it is in error."""
    kept = []
    for rr in records:
        text = str(rr)
        try:
            found = yield from maps.find(text)
        except TableError:
            return None
        if found is None:
            kept.append(rr)
        elif re.split(r"[ \t]", found, maxsplit=1)[0].upper() == "IGNORE":
            process.log.info(f"ignoring DNS RR: {text}")
        else:
            process.log.warning(f'{maps.title}: unknown DNS filter action: "{found}"')
            return None
    return kept


# -- lookups --------------------------------------------------------------------------------------


def dns_lookup(
    process: Process, name: str, rrtype: str, flags: int = 0, want_records: bool = True
) -> Wait[DnsResult]:
    """The records of a type (``MX``, ``A``, …) for a name; ``flags`` is a mask of RES_*.  Without
    ``want_records`` their data is not looked at (no null MX, no names to be checked).
    """
    if valid_hostaddr(name) or not valid_hostname(name):
        why = f"Name service error for {name}: invalid host or domain name"
        return DnsResult(DNS_NOTFOUND, [], why=why)
    asked = name
    number = TYPES[rrtype]
    secure = True
    verbose = VERBOSE in process.cache
    for _ in range(_MAX_CHAIN):
        if flags & (RES_DEFNAMES | RES_DNSRCH):
            reply = yield from _search(process, name, number, flags)
        else:
            reply = yield from stub_resolver(process).query(
                name, number, bool(flags & RES_USE_DNSSEC)
            )
        if verbose:
            text = "OK" if reply.status == OK else DNS_STRERROR[reply.status]
            process.log.info(f"dns_query: {name} ({rrtype}): {text}")
        if reply.status != OK:
            why = (
                "Host or domain name not found. Name service error for "
                f"name={name} type={rrtype}: {DNS_STRERROR[reply.status]}"
            )
            status = _STATUS.get(reply.status, DNS_RETRY)
            return DnsResult(status, [], why=why, rcode=reply.rcode)
        answer = _Answer(process.log, asked, name, rrtype, number, secure)
        if verbose:
            answer.tell(reply)
        status = answer.read(reply, want_records)
        if status == DNS_OK:
            if _FILTER in process.cache:
                return (yield from _passed(process, name, rrtype, answer, reply.rcode))
            return DnsResult(DNS_OK, answer.records, answer.fqdn, "", reply.rcode)
        if status == DNS_NULLMX:
            why = f"Domain {name} does not accept mail (nullMX)"
            return DnsResult(status, [], answer.fqdn, why, reply.rcode)
        if status != _DNS_RECURSE:
            why = (
                f"Name service error for name={name} type={rrtype}: "
                "Malformed or unexpected name server reply"
            )
            return DnsResult(status, [], answer.fqdn, why, reply.rcode)
        if verbose:
            process.log.info(f"dns_lookup: {name} aliased to {answer.cname}")
        secure = answer.secure
        if not secure:
            flags &= ~RES_USE_DNSSEC
        name = answer.cname
    process.log.warning(f"dns_lookup: Name server loop for {name}")
    return DnsResult(DNS_NOTFOUND, [], answer.fqdn, f"Name server loop for {name}", reply.rcode)


def _passed(
    process: Process, name: str, rrtype: str, answer: _Answer, rcode: int
) -> Wait[DnsResult]:
    """The result with what the reply filter leaves of the records."""
    records = answer.records
    maps: Maps = process.cache[_FILTER]
    if records:
        what = f"Error looking up name={name} type={rrtype}: "
        kept = yield from _filtered(process, maps, records)
        if kept is None:
            why = what + "Invalid DNS reply filter syntax"
            return DnsResult(DNS_RETRY, [], answer.fqdn, why, rcode)
        if not kept:
            why = what + "DNS reply filter drops all results"
            return DnsResult(DNS_POLICY, [], answer.fqdn, why, rcode)
        records = kept
    return DnsResult(DNS_OK, records, answer.fqdn, "", rcode)


def dns_lookup_v(
    process: Process,
    name: str,
    types: Sequence[str],
    flags: int = 0,
    stop: int = DNS_REQ_FLAG_NONE,
    want_records: bool = True,
) -> Wait[DnsResult]:
    """The records of several types, asked for in turn (dns_lookup_v, dns_lookup_l).  ``stop`` is a
    mask of DNS_REQ_FLAG_*.  The status, text and RCODE are those of the best lookup, of the last
    one among equals; the text of a lookup that failed is there even if another one had success.
    """
    best: DnsResult | None = None
    why = fqdn = ""
    records: list[DnsRR] = []
    for index, rrtype in enumerate(types):
        if VERBOSE in process.cache:
            process.log.info(f"lookup {name} type {rrtype} flags {_shown_flags(flags)}")
        result = yield from dns_lookup(process, name, rrtype, flags, want_records)
        records += result.records
        why = result.why or why
        fqdn = result.fqdn or fqdn
        if _stops(result.status, rrtype, stop) or index == len(types) - 1:
            break
        if best is None or result.status >= best.status:
            best = result
    if best is None or best.status <= result.status:
        best = result
    elif best.status != DNS_OK:
        why = best.why
    return DnsResult(best.status, records, fqdn, why, best.rcode)


def _shown_flags(flags: int) -> int:
    """The mask as the system's resolver has it."""
    return _SYSTEM_USE_DNSSEC if flags & RES_USE_DNSSEC else 0


def _stops(status: int, rrtype: str, stop: int) -> bool:
    return bool(
        (status == DNS_OK and stop & DNS_REQ_FLAG_STOP_OK)
        or (status == DNS_INVAL and stop & DNS_REQ_FLAG_STOP_INVAL)
        or (status == DNS_POLICY and rrtype == "MX" and stop & DNS_REQ_FLAG_STOP_MX_POLICY)
        or (status == DNS_NULLMX and stop & DNS_REQ_FLAG_STOP_NULLMX)
    )


# -- search lists ---------------------------------------------------------------------------------


def _search_domains(process: Process) -> list[str]:
    """``search`` or ``domain`` of resolv.conf, else the domain of the host's name."""
    try:
        text = process.system.files.read("/etc/resolv.conf").decode("latin-1")
    except OSError:
        text = ""
    lists = _SEARCH.findall(text)
    if lists:
        return [word.rstrip(".") for word in lists[-1].split()]
    domain = process.system.hostname.partition(".")[2]
    return [domain] if domain else []


def _search(process: Process, name: str, number: int, flags: int) -> Wait[DnsReply]:
    """The first answer for a name as it is (where it has a dot), and in the local domain or those
    of the search list (res_search(3)).
    """
    resolver = stub_resolver(process)
    dnssec = bool(flags & RES_USE_DNSSEC)
    dotted = "." in name
    as_is: DnsReply | None = None
    if dotted:
        as_is = yield from resolver.query(name, number, dnssec)
        if as_is.status == OK or name.endswith("."):
            return as_is
    no_data: DnsReply | None = None
    failed: DnsReply | None = None
    last: DnsReply | None = None
    if flags & (RES_DNSRCH if dotted else RES_DEFNAMES):
        for domain in _search_domains(process):
            last = yield from resolver.query(f"{name}.{domain}", number, dnssec)
            if last.status == OK:
                return last
            if last.status == NODATA:
                no_data = last
            elif last.status == TRY_AGAIN:
                failed = last
            if last.status == NO_RECOVERY or not flags & RES_DNSRCH:
                break
    if as_is is None:
        as_is = yield from resolver.query(name, number, dnssec)
        if as_is.status == OK:
            return as_is
    if dotted:
        return as_is
    return no_data or failed or as_is


# -- replies --------------------------------------------------------------------------------------


class _Answer:
    """One reply taken apart (dns_get_answer)."""

    __slots__ = ("asked", "cname", "fqdn", "log", "name", "number", "records", "rrtype", "secure")

    def __init__(
        self, log: Log, asked: str, name: str, rrtype: str, number: int, secure: bool
    ) -> None:
        self.log = log
        self.asked = asked
        self.name = name
        self.rrtype = rrtype
        self.number = number
        self.secure = secure
        self.fqdn = ""
        self.cname = ""
        self.records: list[DnsRR] = []

    def tell(self, reply: DnsReply) -> None:
        """Logs what is in the answer."""
        for rr in reply.answers:
            kind = _TYPE_NAMES.get(rr.rtype, f"{rr.rtype}")
            self.log.info(f"dns_get_answer: type {kind} for {_text(rr.rname.label)}")

    def read(self, reply: DnsReply, want_records: bool) -> int:
        """Takes the records that matter; DNS_*, or _DNS_RECURSE where there is only an alias."""
        found = 0
        not_found = DNS_NOTFOUND
        for rr in reply.answers:
            if rr.rclass != 1:
                self.log.warning(f"dns_get_fixed: bad class: {rr.rclass}")
                return DNS_RETRY
            rname = _text(rr.rname.label)
            if not self._valid(rname, "resource name", rr.rtype):
                return DNS_INVAL
            self.fqdn = rname
            if rr.rtype == self.number:
                if not want_records:
                    found += 1
                    continue
                try:
                    pref, data = self._data(rr)
                except _Bad as bad:
                    if bad.args[0] == DNS_NULLMX:
                        return DNS_NULLMX
                    if not_found != DNS_RETRY:
                        not_found = bad.args[0]
                    continue
                found += 1
                ad = self.secure and reply.ad
                self.records.append(DnsRR(self.asked, rname, self.rrtype, rr.ttl, pref, data, ad))
            elif rr.rtype == _CNAME:
                self.cname = _text(rr.rdata.label.label)
                if not self._valid(self.cname, "resource data", rr.rtype):
                    return DNS_INVAL
                if not reply.ad:
                    self.secure = False
        if found:
            return DNS_OK
        return _DNS_RECURSE if self.cname else not_found

    def _data(self, rr: Any) -> tuple[int, str]:
        """The preference and data of a record.  Raises _Bad."""
        kind = rr.rtype
        if kind in (_A, _AAAA):
            return 0, str(rr.rdata)
        if kind == _MX:
            name = _text(rr.rdata.label.label)
            if not name:
                raise _Bad(DNS_NULLMX)
            if not self._valid(name, "resource data", kind):
                raise _Bad(DNS_INVAL)
            return int(rr.rdata.preference), name
        if kind in _NAME_TYPES:
            name = _text(rr.rdata.label.label)
            if not self._valid(name, "resource data", kind):
                raise _Bad(DNS_INVAL)
            return 0, name
        if kind == TYPES["TXT"]:
            first = rr.rdata.data[0] if rr.rdata.data else b""
            return 0, "".join(chr(byte) if 32 <= byte < 127 else " " for byte in first)
        if kind == TYPES["TLSA"]:
            tlsa = rr.rdata
            numbers = f"{tlsa.cert_usage} {tlsa.selector} {tlsa.matching_type}"
            return 0, f"{numbers} {tlsa.cert_data.hex()}"
        raise AssertionError(self.rrtype)

    def _valid(self, name: str, location: str, kind: int) -> bool:
        """Whether a name may be used; numeric ones may, with a warning (valid_rr_name)."""
        verdict = valid_hostname(name)
        if verdict:
            return True
        numeric = bool(valid_hostaddr(name))
        if not numeric:
            self.log.warning(verdict.reason)
        gripe = "numeric domain name" if numeric else "malformed domain name"
        self.log.warning(
            f"{gripe} in {location} of {QTYPE.get(kind)} record for {self.name}: {cut(name, 100)}"
        )
        return numeric


def _text(labels: Iterable[bytes]) -> str:
    """A name as dn_expand(3) shows it."""
    plain = b".".join(labels)
    if _PLAIN_NAME.fullmatch(plain) or not plain:
        return plain.decode("ascii")
    return ".".join("".join(map(_shown, label)) for label in labels)


def _shown(byte: int) -> str:
    if byte in _ESCAPED:
        return "\\" + chr(byte)
    return chr(byte) if 32 < byte < 127 else f"\\{byte:03d}"
