"""What the access checks ask the name service (``smtpd_dns_reply_filter`` applies)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mta.dns_lookup import DNS_POLICY, DNS_REQ_FLAG_NONE, DnsResult, dns_lookup_v
from mta.lib.host_lookup import Addresses, forward_addresses
from mta.lib.inet_proto import inet_families
from mta.lib.midna_warn import midna_warn
from mta.lib.stub_resolver import DNS_STRERROR, NODATA, NXDOMAIN
from mta.smtpd.state import Session
from mta.system import Wait
from mta.util.midna_domain import midna_domain_to_ascii

if TYPE_CHECKING:
    from mta.master.server import Process

NO_DATA_TEXT = DNS_STRERROR[NODATA]
_TEXTS = tuple(DNS_STRERROR.values())


def ascii_domain(process: Process, domain: str) -> str:
    """The domain in ASCII, where it has such a form."""
    if domain.isascii():
        return domain
    return midna_domain_to_ascii(domain, midna_warn(process)) or domain


def strerror(result: DnsResult) -> str:
    """Why a lookup failed, in few words (dns_strerror)."""
    if result.status == DNS_POLICY:
        return "DNS reply filter policy"
    for text in _TEXTS:
        if result.why.endswith(text):
            return text
    return DNS_STRERROR[NXDOMAIN]


def lookup(
    process: Process, name: str, types: Sequence[str], stop: int = DNS_REQ_FLAG_NONE
) -> Wait[DnsResult]:
    """The records of some types for a name (dns_lookup_l); the answer is a decision."""
    result = yield from dns_lookup_v(process, name, types, stop=stop)
    if process.system.decisions is not None:
        process.decide(
            "dns",
            name=name,
            types=tuple(types),
            status=result.status,
            records=[str(rr) for rr in result.records],
            why=result.why,
        )
    return result


def address_types(session: Session) -> list[str]:
    """The types of address records that ``inet_protocols`` allows."""
    families = inet_families(session.process.conf.inet_protocols)
    return [rrtype for rrtype, family in (("A", 4), ("AAAA", 6)) if family in families]


def host_addresses(session: Session, name: str) -> Wait[Addresses]:
    """The addresses of a host (getaddrinfo(3)) in the allowed families; they are a decision."""
    process = session.process
    families = inet_families(process.conf.inet_protocols)
    family = families[0] if len(families) == 1 else 0
    found = yield from forward_addresses(process, name, family)
    if process.system.decisions is not None:
        process.decide("addresses", name=name, addresses=found.addresses, why=found.error)
    return found
