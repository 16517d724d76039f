"""Restrictions on the client: its names, its address, its login and its certificate."""

from __future__ import annotations

from mta.dict.errors import TableError
from mta.smtpd.check_registry import (
    SMTPD_CHECK_DUNNO,
    SMTPD_NAME_CLIENT,
    Scope,
    Step,
    restriction,
)
from mta.smtpd.check_reject import acl_permit, reject_policy
from mta.smtpd.check_rules import Rules, rules_of
from mta.smtpd.sasl import permit_sasl_auth
from mta.smtpd.state import (
    SMTPD_PEER_CODE_FORGED,
    SMTPD_PEER_CODE_OK,
    SMTPD_PEER_CODE_PERM,
    Session,
)
from mta.system import Wait


@restriction("reject_unknown_client_hostname", "reject_unknown_client")
def reject_unknown_client(scope: Scope, step: Step) -> int:
    """Rejects where the client has no verified name (``unknown_client_reject_code``)."""
    session = scope.session
    status = session.name_status
    if status == SMTPD_PEER_CODE_OK:
        return SMTPD_CHECK_DUNNO
    lasting = status in (SMTPD_PEER_CODE_PERM, SMTPD_PEER_CODE_FORGED)
    return reject_policy(
        session,
        session.process.conf.unknown_client_reject_code if lasting else 450,
        "4.7.25",
        f"Client host rejected: cannot find your hostname, [{session.addr}]",
    )


@restriction("reject_unknown_reverse_client_hostname")
def reject_unknown_reverse_name(scope: Scope, step: Step) -> int:
    """Rejects where the client's address has no name at all."""
    session = scope.session
    status = session.reverse_name_status
    if status == SMTPD_PEER_CODE_OK:
        return SMTPD_CHECK_DUNNO
    lasting = status == SMTPD_PEER_CODE_PERM
    return reject_policy(
        session,
        session.process.conf.unknown_client_reject_code if lasting else 450,
        "4.7.1",
        f"Client host rejected: cannot find your reverse hostname, [{session.addr}]",
    )


def in_mynetworks(rules: Rules, session: Session) -> Wait[bool]:
    """Whether the client is in ``mynetworks``.  Raises TableError.

    Where only the old default of ``mynetworks_style`` makes it so, the log says it.
    """
    if not (yield from rules.mynetworks.match(session.name, session.addr)):
        return False
    if rules.mynetworks_host is not None:
        try:
            found = yield from rules.mynetworks_host.match(session.name, session.addr)
        except TableError:
            found = False
        if not found:
            process = session.process
            process.log.info(
                "using backwards-compatible default setting mynetworks_style="
                f'{process.conf.mynetworks_style} to permit request from client "{session.namaddr}"'
            )
    return True


def _permit_client(scope: Scope, step: Step) -> Wait[int]:
    session = scope.session
    return (yield from acl_permit(scope, step.word, SMTPD_NAME_CLIENT, session.namaddr))


@restriction("permit_mynetworks")
def permit_mynetworks(scope: Scope, step: Step) -> Wait[int]:
    """Permits clients in ``mynetworks``."""
    if (yield from in_mynetworks(scope.rules, scope.session)):
        return (yield from _permit_client(scope, step))
    return SMTPD_CHECK_DUNNO


@restriction("permit_inet_interfaces")
def permit_inet_interfaces(scope: Scope, step: Step) -> Wait[int]:
    """Permits this host (``inet_interfaces``)."""
    if is_interface_address(scope.session):
        return (yield from _permit_client(scope, step))
    return SMTPD_CHECK_DUNNO


def is_interface_address(session: Session) -> bool:
    """Whether the client's address is one of ``inet_interfaces``; proxies do not count."""
    return session.addr in session.process.conf.own_addresses


@restriction("permit_sasl_authenticated")
def permit_sasl_authenticated(scope: Scope, step: Step) -> Wait[int]:
    """Permits clients that are logged in."""
    session = scope.session
    if session.sasl_server is not None and permit_sasl_auth(session):
        return (yield from _permit_client(scope, step))
    return SMTPD_CHECK_DUNNO


@restriction("permit_tls_clientcerts")
def permit_tls_clientcerts(scope: Scope, step: Step) -> Wait[int]:
    """Permits clients whose certificate's fingerprint is in ``relay_clientcerts``."""
    if (yield from has_known_certificate(rules_of(scope.session), scope.session, False)):
        return (yield from _permit_client(scope, step))
    return SMTPD_CHECK_DUNNO


@restriction("permit_tls_all_clientcerts")
def permit_tls_all_clientcerts(scope: Scope, step: Step) -> Wait[int]:
    """Permits clients with a certificate that a trusted authority has signed."""
    if (yield from has_known_certificate(rules_of(scope.session), scope.session, True)):
        return (yield from _permit_client(scope, step))
    return SMTPD_CHECK_DUNNO


def has_known_certificate(rules: Rules, session: Session, all_trusted: bool) -> Wait[bool]:
    """Whether the client's certificate permits to relay; False without TLS.  Raises TableError."""
    context = session.tls_context
    if context is None:
        return False
    if all_trusted and context.is_trusted:
        return True
    if not context.is_present:
        return False
    prints = (context.peer_cert_fprint, context.peer_pkey_fprint)
    for fingerprint in prints:
        try:
            found = yield from rules.relay_ccerts.find(fingerprint)
        except TableError:
            session.process.log.warning(
                f"relay_clientcerts: lookup error for fingerprint '{prints[0]}', "
                f"pkey fingerprint {prints[1]}"
            )
            raise
        if found is not None:
            return True
    return False


