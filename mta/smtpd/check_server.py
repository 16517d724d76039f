"""Access tables for the servers of a domain: check_*_mx_access, check_*_ns_access,
check_*_a_access (check_server_access).

The names of the servers are looked for, then their addresses.  OK is not allowed, since anyone can
name any server in the DNS.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mta.dns_lookup import DNS_NOTFOUND, DNS_NULLMX, DNS_OK, DnsResult
from mta.lib.host_lookup import GAI_STRERROR
from mta.smtpd.check_access import Lookup, forbid_whitelist, verdict
from mta.smtpd.check_dns import (
    NO_DATA_TEXT,
    ascii_domain,
    host_addresses,
    strerror,
)
from mta.smtpd.check_dns import (
    lookup as dns,
)
from mta.smtpd.check_registry import (
    SMTPD_CHECK_DUNNO,
    SMTPD_NAME_CLIENT,
    SMTPD_NAME_HELO,
    SMTPD_NAME_RECIPIENT,
    SMTPD_NAME_REV_CLIENT,
    SMTPD_NAME_SENDER,
    Argument,
    Scope,
    Step,
    restriction,
)
from mta.smtpd.state import CLIENT_ATTR_UNKNOWN, Session
from mta.system import Wait
from mta.util.valid_hostname import valid_hostaddr, valid_mailhost_addr


def _check_server_access(lookup: Lookup, name: str, rrtype: str) -> Wait[int]:
    """Looks the servers of a host name, or of the domain of an address, up in a table."""
    domain = name.rpartition("@")[2]
    if domain.startswith("["):
        return (yield from _check_literal(lookup, domain, rrtype))
    session = lookup.scope.session
    host = ascii_domain(session.process, domain)
    servers = yield from _servers(session, name, host, rrtype)
    for server in servers:
        status = yield from _check_server(lookup, server, rrtype)
        if status is not None:
            return status
    return SMTPD_CHECK_DUNNO


def _check_literal(lookup: Lookup, literal: str, rrtype: str) -> Wait[int]:
    """An address literal is its own mail server, and has no name server."""
    if rrtype != "MX" or not literal.endswith("]"):
        return SMTPD_CHECK_DUNNO
    address, _ = valid_mailhost_addr(literal[1:-1])
    if address is None:
        return SMTPD_CHECK_DUNNO
    return verdict((yield from lookup.address(address)))


def _servers(session: Session, name: str, domain: str, rrtype: str) -> Wait[list[str]]:
    """The servers of a domain; none, with a warning, where they cannot be found out."""
    if rrtype == "A":
        return [domain]
    process = session.process
    result = yield from dns(process, domain, (rrtype,))
    if result.status == DNS_NULLMX:
        return []
    if result.status == DNS_NOTFOUND:
        if rrtype == "MX":
            return [domain]
        result, domain = yield from _parent_servers(session, domain, result)
    if result.status != DNS_OK:
        shown = domain if len(domain) > 1 else name
        process.log.warning(f"Unable to look up {rrtype} host for {shown}: {strerror(result)}")
        return []
    return [rr.data for rr in result.records]


def _parent_servers(
    session: Session, domain: str, result: DnsResult
) -> Wait[tuple[DnsResult, str]]:
    """The name servers of the nearest domain above that has some; and that domain."""
    while result.status == DNS_NOTFOUND and result.why.endswith(NO_DATA_TEXT):
        _, dot, parent = domain.partition(".")
        if not parent:
            return result, dot
        domain = parent
        result = yield from dns(session.process, domain, ("NS",))
    return result, domain


def _check_server(lookup: Lookup, server: str, rrtype: str) -> Wait[int | None]:
    """One server: its name, then its addresses; None where the table has neither."""
    session = lookup.scope.session
    if valid_hostaddr(server):
        return (yield from lookup.address(server))
    if rrtype != "A":
        status = yield from lookup.domain(server)
        if status is not None:
            return status
    found = yield from host_addresses(session, server)
    if found.error:
        if rrtype != "A":
            session.process.log.warning(
                f"Unable to look up {rrtype} host {server} for {lookup.reply_class} "
                f"{lookup.reply_name}: {GAI_STRERROR[found.error]}"
            )
        return None
    for address in found.addresses:
        status = yield from lookup.address(address)
        if status is not None:
            return status
    return None


# -- whose servers


def _known_host(name: str) -> str | None:
    return None if name.lower() == CLIENT_ATTR_UNKNOWN else name


#: What is looked up, and how it is called in the log; None: there is none.
_Subject = Callable[[Session], tuple[str | None, str]]

_SUBJECTS: dict[str, tuple[str, _Subject]] = {
    "client": (SMTPD_NAME_CLIENT, lambda s: (_known_host(s.name), s.namaddr)),
    "reverse_client_hostname": (
        SMTPD_NAME_REV_CLIENT,
        lambda s: (_known_host(s.reverse_name), s.reverse_name),
    ),
    "helo": (SMTPD_NAME_HELO, lambda s: (s.helo_name, s.helo_name or "")),
    "sender": (SMTPD_NAME_SENDER, lambda s: (s.sender or None, s.sender or "")),
    "recipient": (SMTPD_NAME_RECIPIENT, lambda s: (s.recipient or None, s.recipient or "")),
}


def _check(
    reply_class: str, subject: _Subject, rrtype: str, scope: Scope, step: Step
) -> Wait[int]:
    name, shown = subject(scope.session)
    if name is None:
        return SMTPD_CHECK_DUNNO
    lookup = Lookup(scope, step.argument, shown, reply_class)
    status = yield from _check_server_access(lookup, name, rrtype)
    return forbid_whitelist(scope, step, status, name)


for _kind, (_class, _subject) in _SUBJECTS.items():
    for _rrtype in ("MX", "NS", "A"):
        restriction(f"check_{_kind}_{_rrtype.lower()}_access", argument=Argument.TABLE)(
            partial(_check, _class, _subject, _rrtype)
        )
