"""smtp_addr(3): the addresses of a destination's servers, in the order in which to try them.

The text of a failure is left in a :class:`~mta.smtp.state.Why`, with a status that is soft as soon
as any lookup failed softly.
"""

from __future__ import annotations

from collections.abc import Callable

from mta.dns_lookup import (
    DNS_FAIL,
    DNS_INVAL,
    DNS_NOTFOUND,
    DNS_NULLMX,
    DNS_OK,
    DNS_POLICY,
    RES_USE_DNSSEC,
    DnsResult,
    DnsRR,
    dns_lookup,
    dns_lookup_v,
)
from mta.lib.host_lookup import (
    EAI_AGAIN,
    EAI_NONAME,
    GAI_STRERROR,
    forward_addresses,
)
from mta.lib.midna_warn import midna_warn
from mta.lib.own_inet_addr import is_own_address
from mta.smtp.client import SMTP_DNS_DNSSEC, SMTP_HOST_FLAG_DNS, SMTP_HOST_FLAG_NATIVE, Client
from mta.smtp.state import State, Why
from mta.system import Wait
from mta.util.midna_domain import midna_domain_to_ascii
from mta.util.valid_hostname import valid_hostaddr

#: EAI_NODATA is none of them: its name is not there where Postfix is compiled.
_NO_HOST = frozenset({EAI_AGAIN, EAI_NONAME})


def type_of(address: str) -> str:
    """The type of record that a numeric address belongs into."""
    return "AAAA" if ":" in address else "A"


def host_name(client: Client, rr: DnsRR) -> str:
    """A server's name: as in the MX record, or the one that a CNAME leads to
    (smtp_cname_overrides_servername).
    """
    return rr.rname if client.conf.smtp_cname_overrides_servername else rr.qname


# -- one host -------------------------------------------------------------------------------------


def _addr_one(client: Client, host: str, flags: int, pref: int, why: Why) -> Wait[list[DnsRR]]:
    """The addresses of one host (smtp_addr_one)."""
    if valid_hostaddr(host) and type_of(host) in client.address_types:
        return [DnsRR(host, host, type_of(host), 0, pref, host)]
    if client.host_lookup & SMTP_HOST_FLAG_DNS:
        result = yield from dns_lookup_v(
            client.process, host, client.address_types, flags | client.dns_options
        )
        why.reason = result.why or why.reason
        if result.status == DNS_OK:
            return [rr._replace(pref=pref) for rr in result.records]
        why.set_status(_host_status(result.status, why.soft))
        if result.status != DNS_NOTFOUND:
            return []
    if client.host_lookup & SMTP_HOST_FLAG_NATIVE:
        return (yield from _native(client, host, pref, why))
    return []


def _host_status(status: int, soft: bool) -> str:
    """The enhanced status for a host that was not found."""
    first = "4" if soft else "5"
    if status == DNS_FAIL:
        return f"{first}.4.3"
    if status in (DNS_INVAL, DNS_NOTFOUND):
        return f"{first}.4.4"
    return "4.7.0" if status == DNS_POLICY else "4.4.3"


def _native(client: Client, host: str, pref: int, why: Why) -> Wait[list[DnsRR]]:
    """The addresses of a host by the native name service, with /etc/hosts."""
    family = client.families[0] if len(client.families) == 1 else 0
    found = yield from forward_addresses(client.process, host, family)
    if found.error:
        first = "4" if why.soft or found.error == EAI_AGAIN else "5"
        status = f"{first}.4.4" if found.error in _NO_HOST else f"{first}.3.0"
        why.simple(status, f"unable to look up host {host}: {GAI_STRERROR[found.error]}")
        return []
    return [DnsRR(host, host, type_of(a), 0, pref, a) for a in found.addresses]


# -- order ----------------------------------------------------------------------------------------


def _by_preference(client: Client) -> Callable[[DnsRR], tuple[int, int]]:
    """MX preference first, then the family of ``smtp_address_preference``."""
    first = client.first_type
    return lambda rr: (rr.pref, int(bool(first) and rr.type != first))


def _own(client: Client, addresses: list[DnsRR]) -> DnsRR | None:
    """The first address that is our own, or our proxy's."""
    known = client.own_addresses
    for rr in addresses:
        own = known.get(rr.data)
        if own is None:
            own = known[rr.data] = is_own_address(client.process, rr.data)
        if own:
            return rr
    return None


def _ascii(client: Client, name: str) -> str:
    """The name as the DNS knows it."""
    if name.isascii():
        return name
    return midna_domain_to_ascii(name, midna_warn(client.process)) or name


def host_addr(state: State, host: str) -> Wait[list[DnsRR]]:
    """The addresses of a host, no MX considered (smtp_host_addr)."""
    client, why = state.client, state.why
    why.reset()
    flags = RES_USE_DNSSEC if client.dns_support == SMTP_DNS_DNSSEC else 0
    found = yield from _addr_one(client, _ascii(client, host), flags, 0, why)
    if found and state.loop_detect and _own(client, found):
        why.simple("5.4.6", f"mail for {host} loops back to myself")
        return []
    if len(found) > 1:
        if client.conf.smtp_randomize_addresses:
            client.dice.shuffle(found)
        if len(client.families) > 1:
            found.sort(key=_by_preference(client))
    return found


# -- a domain -------------------------------------------------------------------------------------


def domain_addr(state: State, name: str) -> Wait[tuple[list[DnsRR], bool]]:
    """The addresses of a domain's mail exchangers that are better than we are, and whether we are
    one of them (smtp_domain_addr).  ``state.mx`` becomes the best MX record.
    """
    client, why = state.client, state.why
    why.reset()
    flags = RES_USE_DNSSEC if client.dns_support == SMTP_DNS_DNSSEC else 0
    asked = _ascii(client, name)
    result = yield from dns_lookup(client.process, asked, "MX", flags)
    why.reason = result.why
    status = result.status
    if status == DNS_OK:
        return (yield from _exchangers(state, name, result))
    if status == DNS_NOTFOUND:
        return (yield from host_addr(state, asked)), False
    why.set_status(_MX_STATUS.get(status, "4.4.3"))
    if status not in (DNS_NULLMX, DNS_POLICY) and client.conf.ignore_mx_lookup_error:
        return (yield from host_addr(state, asked)), False
    return [], False


_MX_STATUS = {DNS_INVAL: "5.4.4", DNS_NULLMX: "5.1.0", DNS_POLICY: "4.7.0", DNS_FAIL: "5.4.3"}


def _exchangers(state: State, name: str, result: DnsResult) -> Wait[tuple[list[DnsRR], bool]]:
    """The same for MX records that were found."""
    client, why = state.client, state.why
    exchangers = sorted(result.records, key=lambda rr: rr.pref)
    state.mx = exchangers[0]
    flags = RES_USE_DNSSEC if exchangers[0].dnssec_valid else 0
    found: list[DnsRR] = []
    for mx in exchangers:
        found += yield from _addr_one(client, mx.data, flags, mx.pref, why)
    if not found:
        if client.conf.smtp_defer_if_no_mx_address_found and why.hard:
            why.status = "4" + why.status[1:]
        client.log.warning(f"no MX host for {name} has a valid address record")
        return [], False
    own = _own(client, found) if state.loop_detect else None
    if own is not None:
        best_found = found[0].pref
        found = found[: next(i for i, rr in enumerate(found) if rr.pref == own.pref)]
        if not found:
            if exchangers[0].pref != best_found:
                why.simple("4.4.4", f"unable to find primary relay for {name}")
            else:
                why.simple("5.4.6", f"mail for {name} loops back to myself")
    if len(found) > 1 and client.conf.smtp_randomize_addresses:
        client.dice.shuffle(found)
        found.sort(key=_by_preference(client))
    return found, own is not None
