"""The name service."""

from __future__ import annotations

from mta.dns_lookup import (
    DNS_OK,
    RES_USE_DNSSEC,
    TYPES,
    DnsResult,
    dns_lookup,
    dns_lookup_v,
    set_dns_rr_filter,
)
from mta.lib.host_lookup import same_address
from mta.util.scalars import split
from mta.util.valid_hostname import valid_hostaddr
from tests.vectors.drivers.config import NOBODY
from tests.vectors.drivers.hosts import addresses
from tests.vectors.shell import Exit, Io, program
from tests.vectors.site import site_of


def _stop(io: Io, text: str, name: str = NOBODY) -> Exit:
    io.message(f"fatal: {text}", name)
    return Exit(1)


def _first(io: Io, rrtype: str, name: str) -> str:
    """The first address of a type."""
    site = site_of(io)
    process = site.process(io, name=NOBODY)
    if rrtype.upper() not in TYPES:
        raise _stop(io, f"usage: {io.name} dnsaddrtype hostname")
    result: DnsResult = site.run(dns_lookup(process, name, rrtype.upper()))
    if result.status != DNS_OK:
        raise _stop(io, f"{name}: {result.why}")
    return result.records[0].data


@program("dns_rr_to_pa")
def run_dns_rr_to_pa(io: Io) -> None:
    """Types and names, and an address of each."""
    for rrtype, name in zip(io.args[::2], io.args[1::2], strict=True):
        io.line(f"{name} -> {_first(io, rrtype, name)}")


@program("dns_rr_to_sa")
def run_dns_rr_to_sa(io: Io) -> None:
    """Types, names and ports."""
    triples = zip(io.args[::3], io.args[1::3], io.args[2::3], strict=True)
    for rrtype, name, port in triples:
        io.line(f"{name} {port} -> {_first(io, rrtype, name)} {int(port)}")


@program("dns_sa_to_rr")
def run_dns_sa_to_rr(io: Io) -> None:
    """Names, and all their addresses."""
    site = site_of(io)
    process = site.process(io, name=NOBODY)
    for name in io.args:
        found, why = addresses(site, process, name)
        if why:
            raise _stop(io, f"{name}: {why}")
        for address in found:
            io.line(f"{name} -> {address}")


@program("dns_rr_eq_sa")
def run_dns_rr_eq_sa(io: Io) -> None:
    """Names and addresses compared."""
    site = site_of(io)
    process = site.process(io, name=NOBODY)
    for name, address in zip(io.args[::2], io.args[1::2], strict=True):
        if not valid_hostaddr(address):
            raise _stop(io, f"host address {address}: Name or service not known")
        found, why = addresses(site, process, name)
        if why:
            raise _stop(io, f"host name {name}: {why}")
        for one in found:
            answer = "yes" if same_address(one, address) else "no"
            io.line(f"{one} =?= {address}")
            io.line(f"tested by function: {answer}")
            io.line(f"tested by macro:    {answer}")


@program("test_dns_lookup")
def run_test_dns_lookup(io: Io) -> None:
    """The records of some types."""
    site = site_of(io)
    process = site.process(io)
    args = list(io.args)
    while args and args[0].startswith("-"):
        if args.pop(0) == "-f":
            set_dns_rr_filter(process, "DNS reply filter", args.pop(0))
    types = [name.upper() for name in split(args[0])]
    for rrtype in types:
        if rrtype not in TYPES:
            raise _stop(io, f"invalid query type: {rrtype}", io.name)
    name = args[1]
    result: DnsResult = site.run(dns_lookup_v(process, name, types, RES_USE_DNSSEC))
    if result.status != DNS_OK:
        rcode = max(result.rcode, 0)
        raise _stop(io, f"{result.why} (rcode={rcode})", io.name)
    io.line(f"{name}: fqdn: {result.fqdn}")
    for rr in result.records:
        io.line(f"ad: {int(rr.dnssec_valid)}, rr: {rr}")
