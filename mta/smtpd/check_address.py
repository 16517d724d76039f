"""Restrictions on the form of addresses, and on whether the DNS knows their domain.

reject_non_fqdn_sender, reject_non_fqdn_recipient, reject_unknown_sender_domain,
reject_unknown_recipient_domain, reject_unknown_address.
"""

from __future__ import annotations

from mta.dns_lookup import (
    DNS_INVAL,
    DNS_NULLMX,
    DNS_OK,
    DNS_POLICY,
    DNS_REQ_FLAG_STOP_INVAL,
    DNS_REQ_FLAG_STOP_MX_POLICY,
    DNS_REQ_FLAG_STOP_NULLMX,
    DNS_REQ_FLAG_STOP_OK,
    DNS_RETRY,
)
from mta.lib.mail_error import MAIL_ERROR_POLICY
from mta.lib.midna_warn import midna_warn
from mta.smtpd.check_dns import ascii_domain, lookup
from mta.smtpd.check_helo import without_dot
from mta.smtpd.check_registry import (
    SMTPD_CHECK_DUNNO,
    SMTPD_NAME_RECIPIENT,
    SMTPD_NAME_SENDER,
    Scope,
    Step,
    restriction,
)
from mta.smtpd.check_reject import defer_if_permit, reject_policy, sender_or
from mta.smtpd.check_relay import RESOLVE_CLASS_FINAL
from mta.smtpd.check_resolve import resolve_or_defer
from mta.smtpd.state import SMTPD_FLAG_SMTPUTF8
from mta.system import Wait
from mta.util.midna_domain import valid_utf8_hostname

_STOP = (
    DNS_REQ_FLAG_STOP_OK
    | DNS_REQ_FLAG_STOP_INVAL
    | DNS_REQ_FLAG_STOP_NULLMX
    | DNS_REQ_FLAG_STOP_MX_POLICY
)


def _is_literal(domain: str) -> bool:
    return domain.startswith("[") and domain.endswith("]")


def _reject_non_fqdn_address(scope: Scope, address: str, reply_class: str) -> int:
    session = scope.session
    domain = address.rpartition("@")[2] if "@" in address else ""
    if _is_literal(domain):
        return SMTPD_CHECK_DUNNO
    plain = without_dot(domain)
    utf8 = bool(session.flags & SMTPD_FLAG_SMTPUTF8)
    if "." in plain and valid_utf8_hostname(utf8, plain, midna_warn(session.process)):
        return SMTPD_CHECK_DUNNO
    return reject_policy(
        session,
        session.process.conf.non_fqdn_reject_code,
        "4.5.2",
        f"<{address}>: {reply_class} rejected: need fully-qualified address",
    )


@restriction("reject_non_fqdn_sender")
def reject_non_fqdn_sender(scope: Scope, step: Step) -> int:
    """Rejects senders without a full domain (``non_fqdn_reject_code``)."""
    sender = scope.session.sender
    if not sender:
        return SMTPD_CHECK_DUNNO
    return _reject_non_fqdn_address(scope, sender, SMTPD_NAME_SENDER)


@restriction("reject_non_fqdn_recipient")
def reject_non_fqdn_recipient(scope: Scope, step: Step) -> int:
    """The same for recipients."""
    recipient = scope.session.recipient
    if recipient is None:
        return SMTPD_CHECK_DUNNO
    return _reject_non_fqdn_address(scope, recipient, SMTPD_NAME_RECIPIENT)


@restriction("reject_unknown_sender_domain", "reject_unknown_address")
def reject_unknown_sender_domain(scope: Scope, step: Step) -> Wait[int]:
    """Rejects senders whose domain has neither MX nor address (``unknown_address_reject_code``)."""
    session = scope.session
    if not session.sender:
        return SMTPD_CHECK_DUNNO
    return (
        yield from _reject_unknown_address(
            scope, session.sender, session.recipient, SMTPD_NAME_SENDER
        )
    )


@restriction("reject_unknown_recipient_domain")
def reject_unknown_recipient_domain(scope: Scope, step: Step) -> Wait[int]:
    """The same for recipients."""
    session = scope.session
    if session.recipient is None:
        return SMTPD_CHECK_DUNNO
    return (
        yield from _reject_unknown_address(
            scope, session.recipient, session.sender, SMTPD_NAME_RECIPIENT
        )
    )


def _reject_unknown_address(
    scope: Scope, address: str, other: str | None, reply_class: str
) -> Wait[int]:
    """Addresses that are delivered here, and address literals, are known.  Raises Jump."""
    reply = yield from resolve_or_defer(scope.session, other, address)
    _, at, domain = reply.recipient.rpartition("@")
    if not at or reply.flags & RESOLVE_CLASS_FINAL or _is_literal(domain):
        return SMTPD_CHECK_DUNNO
    return (yield from _reject_unknown_mailhost(scope, domain, address, reply_class))


def _reject_unknown_mailhost(
    scope: Scope, domain: str, reply_name: str, reply_class: str
) -> Wait[int]:
    session = scope.session
    process = session.process
    domain = ascii_domain(process, domain)
    result = yield from lookup(process, domain, ("MX", "A", "AAAA"), _STOP)
    status = result.status
    subject = f"<{reply_name}>: {reply_class} rejected"
    dsn = sender_or(reply_class, "4.1.8", "4.1.2")
    if status == DNS_OK:
        return SMTPD_CHECK_DUNNO
    if status == DNS_POLICY:
        process.log.warning(
            f"{domain}: MX or address lookup error: DNS reply filter drops all results"
        )
        return SMTPD_CHECK_DUNNO
    if status == DNS_NULLMX:
        return _reject_null_mx(scope, domain, subject, reply_class)
    if status == DNS_RETRY:
        return defer_if_permit(
            session,
            scope.rules.unk_addr_tf_act,
            MAIL_ERROR_POLICY,
            450,
            dsn,
            f"{subject}: Domain not found",
        )
    reason = "Malformed DNS server reply" if status == DNS_INVAL else "Domain not found"
    return reject_policy(
        session, process.conf.unknown_address_reject_code, dsn, f"{subject}: {reason}"
    )


def _reject_null_mx(scope: Scope, domain: str, subject: str, reply_class: str) -> int:
    """The domain takes no mail (RFC 7505).  Recipients get ``nullmx_reject_code``."""
    session = scope.session
    reason = f"{subject}: Domain {domain} does not accept mail (nullMX)"
    if reply_class == SMTPD_NAME_SENDER:
        return reject_policy(session, 550, "4.7.27", reason)
    return reject_policy(session, session.process.conf.nullmx_reject_code, "4.1.10", reason)
