"""Where posttls-finger(1) goes: the servers of a destination, and connections to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.dns_lookup import (
    DNS_FAIL,
    DNS_INVAL,
    DNS_NOTFOUND,
    DNS_NULLMX,
    DNS_OK,
    RES_USE_DNSSEC,
    VERBOSE,
    DnsRR,
    dns_lookup,
    dns_lookup_v,
)
from mta.lib.host_lookup import EAI_AGAIN, EAI_NONAME, GAI_STRERROR, forward_addresses
from mta.lib.inet_proto import inet_families
from mta.lib.midna_warn import midna_warn
from mta.system import ConnectError, Endpoint, Inet, Stream, TimedOut, Unix, Wait
from mta.util.host_port import HostPortError, host_port
from mta.util.midna_domain import midna_domain_to_ascii
from mta.util.scalars import all_digits
from mta.util.valid_hostname import valid_hostaddr

if TYPE_CHECKING:
    from mta.master.server import Process

HOST_FLAG_DNS = 1 << 0
HOST_FLAG_NATIVE = 1 << 1

_SERVICES = {"smtp": 25, "smtps": 465, "submissions": 465, "submission": 587, "lmtp": 24}
_UNIX_PATH_MAX = 108
_SEGMENT = 1448  #: of TCP, on an Ethernet
_FIRST = {"ipv6": "AAAA", "ipv4": "A", "any": ""}
_MX_STATUS = {DNS_INVAL: "5.4.4", DNS_NULLMX: "5.1.0", DNS_FAIL: "5.4.3"}


def say(process: Process, text: str) -> None:
    """A line of the log with ``-v``."""
    if VERBOSE in process.cache:
        process.log.info(text)


class Hosts:
    """Looks up hosts.  ``reason`` says why there are none, ``mx`` is the best MX record."""

    def __init__(self, process: Process, lookup: int, preference: str) -> None:
        """``lookup`` is a mask of HOST_FLAG_*, ``preference`` ipv4, ipv6 or any."""
        self.process = process
        self.reason = ""
        self.mx: DnsRR | None = None
        self._status = ""
        self._lookup = lookup
        self._first = _FIRST[preference]
        self._families = inet_families(process.conf.inet_protocols)

    def of(self, domain: str, mx: bool) -> Wait[list[DnsRR]]:
        """The addresses of a domain's mail exchangers, or of a host, in order."""
        self._status = self.reason = ""
        name = self._ascii(domain)
        if not mx:
            return (yield from self._host(name))
        result = yield from dns_lookup(self.process, name, "MX", RES_USE_DNSSEC)
        self.reason = result.why
        if result.status == DNS_NOTFOUND:
            return (yield from self._host(name))
        if result.status != DNS_OK:
            self._status = _MX_STATUS.get(result.status, "4.4.3")
            return []
        exchangers = sorted(result.records, key=lambda rr: rr.pref)
        self.mx = exchangers[0]
        flags = RES_USE_DNSSEC if exchangers[0].dnssec_valid else 0
        found: list[DnsRR] = []
        for exchanger in exchangers:
            found += yield from self._one(exchanger.data, flags, exchanger.pref)
        if not found:
            self.process.log.warning(f"no MX host for {domain} has a valid address record")
        return self._sorted(found)

    def _host(self, name: str) -> Wait[list[DnsRR]]:
        self._status = ""
        return self._sorted((yield from self._one(name, RES_USE_DNSSEC, 0)))

    def _sorted(self, found: list[DnsRR]) -> list[DnsRR]:
        if len(found) > 1:
            self.process.system.dice("posttls-finger").shuffle(found)
            first = self._first
            found.sort(key=lambda rr: (rr.pref, int(bool(first) and rr.type != first)))
        return found

    def _ascii(self, name: str) -> str:
        if name.isascii():
            return name
        found = midna_domain_to_ascii(name, midna_warn(self.process))
        if found is None:
            return name
        self.process.log.info(f"{name} asciified to {found}")
        return found

    def _one(self, host: str, flags: int, pref: int) -> Wait[list[DnsRR]]:
        """The addresses of one host."""
        say(self.process, f"addr_one: host {host}")
        kinds = [name for family, name in ((4, "A"), (6, "AAAA")) if family in self._families]
        kind = "AAAA" if ":" in host else "A"
        if valid_hostaddr(host) and kind in kinds:
            return [DnsRR(host, host, kind, 0, pref, host)]
        soft = self._status.startswith("4")
        if self._lookup & HOST_FLAG_DNS:
            result = yield from dns_lookup_v(self.process, host, kinds, flags)
            self.reason = result.why or self.reason
            if result.status == DNS_OK:
                return [rr._replace(pref=pref) for rr in result.records]
            hard = result.status in (DNS_FAIL, DNS_INVAL, DNS_NOTFOUND)
            self._status = "5.4.4" if hard and not soft else "4.4.3"
            if result.status != DNS_NOTFOUND:
                return []
        if self._lookup & HOST_FLAG_NATIVE:
            return (yield from self._native(host, pref))
        return []

    def _native(self, host: str, pref: int) -> Wait[list[DnsRR]]:
        family = self._families[0] if len(self._families) == 1 else 0
        found = yield from forward_addresses(self.process, host, family)
        if found.error:
            soft = self._status.startswith("4") or found.error == EAI_AGAIN
            hard = "5.4.4" if found.error == EAI_NONAME else "5.3.0"
            self._status = "4" + hard[1:] if soft else hard
            self.reason = f"unable to look up host {host}: {GAI_STRERROR[found.error]}"
            return []
        return [DnsRR(host, host, "AAAA" if ":" in a else "A", 0, pref, a) for a in found.addresses]


def parse_destination(process: Process, text: str, default: str) -> tuple[str, int]:
    """Host and port of a destination.  What cannot be understood is fatal."""
    say(process, f"parse_destination: {text} {default}")
    try:
        host, service = host_port(text, None, default, bool(process.conf.smtputf8_enable))
    except HostPortError as error:
        process.log.fatal(f"{error.args[0]} in server description: {text}")
    if all_digits(service):
        if not 0 < int(service) < 65536:
            process.log.fatal(f"bad network port in destination: {text}")
        return host, int(service)
    if service not in _SERVICES:
        process.log.fatal(f"unknown service: {service}/tcp")
    return host, _SERVICES[service]


def connect_unix(process: Process, path: str, timeout: float) -> Wait[Stream | str]:
    """A connection to a UNIX-domain socket, or why there is none."""
    if len(path.encode("utf-8", "surrogateescape")) >= _UNIX_PATH_MAX:
        return f"unix-domain name too long: {path}"
    full = path if path.startswith("/") else f"/{path}"
    where = f"{process.conf.myhostname}[{path}]"
    say(process, f"connect_unix: trying: {path}...")
    return (yield from _connect(process, Unix(full), timeout, where))


def connect_inet(process: Process, rr: DnsRR, port: int, timeout: float) -> Wait[Stream | str]:
    """A connection to a server, or why there is none."""
    where = f"{rr.qname}[{rr.data}]:{port}"
    say(process, f"connect_addr: trying: {rr.qname}[{rr.data}] port {port}...")
    found = yield from _connect(process, Inet(rr.data, port), timeout, where)
    if not isinstance(found, str):
        say(process, f"vstream_tweak_tcp: TCP_MAXSEG {_SEGMENT}")
    return found


def _connect(process: Process, remote: Endpoint, timeout: float, where: str) -> Wait[Stream | str]:
    try:
        stream: Stream = yield process.system.network.connect(remote, timeout)
    except ConnectError as error:
        return f"connect to {where}: {error.args[0]}"
    except TimedOut:
        return f"connect to {where}: Connection timed out"
    return stream
