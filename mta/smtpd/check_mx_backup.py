"""permit_mx_backup: mail for domains whose MX this server is, but not the best one."""

from __future__ import annotations

from mta.dict.errors import TableError
from mta.dns_lookup import DNS_OK, DNS_POLICY, DNS_RETRY, DnsRR
from mta.lib.host_lookup import GAI_STRERROR
from mta.lib.mail_error import MAIL_ERROR_POLICY
from mta.lib.own_inet_addr import is_own_address
from mta.lib.resolve_local import resolve_local
from mta.smtpd.check_dns import (
    address_types,
    ascii_domain,
    host_addresses,
    lookup,
    strerror,
)
from mta.smtpd.check_registry import (
    SMTPD_CHECK_DUNNO,
    SMTPD_NAME_RECIPIENT,
    Scope,
    Step,
    restriction,
)
from mta.smtpd.check_reject import acl_permit, defer_if
from mta.smtpd.check_relay import authorized
from mta.smtpd.check_resolve import resolve_or_defer
from mta.system import Wait


@restriction("permit_mx_backup")
def permit_mx_backup(scope: Scope, step: Step) -> Wait[int]:
    """Permits mail that is for us (as permit_auth_destination), or for a domain whose backup we
    are; with ``permit_mx_backup_networks`` only where all its best servers are in them.
    """
    recipient = scope.session.recipient
    if recipient is None or not (yield from _is_permitted(scope, recipient)):
        return SMTPD_CHECK_DUNNO
    return (yield from acl_permit(scope, step.word, SMTPD_NAME_RECIPIENT, recipient))


def _defer(scope: Scope, recipient: str, reason: str) -> None:
    """What cannot be found out makes a 450 of a later rejection."""
    defer_if(
        scope.session.defer_if_reject,
        MAIL_ERROR_POLICY,
        450,
        "4.4.4",
        f"<{recipient}>: {SMTPD_NAME_RECIPIENT} rejected: {reason}",
    )


def _is_permitted(scope: Scope, recipient: str) -> Wait[bool]:
    session = scope.session
    reply = yield from resolve_or_defer(session, session.sender, recipient)
    _, at, domain = reply.recipient.rpartition("@")
    if not at:
        return True
    ours = authorized(session, reply, domain)
    if ours is not False:
        return bool(ours)
    if domain.startswith("[") and domain.endswith("]"):
        return False
    result = yield from lookup(session.process, ascii_domain(session.process, domain), ("MX",))
    if result.status != DNS_OK:
        if result.status in (DNS_RETRY, DNS_POLICY):
            _defer(
                scope,
                recipient,
                f"Unable to look up mail exchanger information: {strerror(result)}",
            )
        return False
    return (yield from _is_backup(scope, recipient, result.records))


def _is_backup(scope: Scope, recipient: str, records: list[DnsRR]) -> Wait[bool]:
    """Whether we are among the servers, but not among the best."""
    best = min(rr.pref for rr in records)
    ordered = sorted(records, key=lambda rr: rr.pref)
    primaries = [rr.data for rr in ordered if rr.pref == best]
    backups = [rr.data for rr in ordered if rr.pref != best]
    if (yield from _i_am_one(scope, recipient, primaries)):
        return False
    if not backups or not (yield from _i_am_one(scope, recipient, backups)):
        return False
    if not scope.session.process.conf.permit_mx_backup_networks:
        return True
    for host in primaries:
        if not (yield from _in_backup_networks(scope, recipient, host)):
            return False
    return True


def _i_am_one(scope: Scope, recipient: str, hosts: list[str]) -> Wait[bool]:
    """Whether one of the hosts is this one: by name, else by address."""
    process = scope.session.process
    for host in hosts:
        try:
            if (yield from resolve_local(process, host)):
                return True
        except TableError:
            continue
    for host in hosts:
        if (yield from _has_my_address(scope, recipient, host)):
            return True
    return False


def _has_my_address(scope: Scope, recipient: str, host: str) -> Wait[bool]:
    session = scope.session
    found = yield from host_addresses(session, host)
    if found.error:
        reason = GAI_STRERROR[found.error]
        _defer(scope, recipient, f"Unable to look up mail exchanger host {host}: {reason}")
        return False
    return any(is_own_address(session.process, address) for address in found.addresses)


def _in_backup_networks(scope: Scope, recipient: str, host: str) -> Wait[bool]:
    """Whether all addresses of a host are in ``permit_mx_backup_networks``."""
    session = scope.session
    result = yield from lookup(session.process, host, address_types(session))
    if result.status != DNS_OK:
        _defer(
            scope,
            recipient,
            f"Unable to look up host {host} as mail exchanger: {strerror(result)}",
        )
        return False
    for rr in result.records:
        try:
            if not (yield from scope.rules.perm_mx_networks.match(host, rr.data)):
                return False
        except TableError:
            session.process.log.warning(
                "all_auth_mx_addr: permit_mx_backup_networks lookup error for address "
                f"{rr.data} for {host}"
            )
            _defer(scope, recipient, f"Unable to verify host {host} as mail exchanger")
            return False
    return True
