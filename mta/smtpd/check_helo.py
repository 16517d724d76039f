"""Restrictions on the name of HELO: its form, and whether the DNS knows it.

reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname, reject_unknown_helo_hostname,
permit_naked_ip_address, and their old names.
"""

from __future__ import annotations

import re

from mta.dns_lookup import (
    DNS_INVAL,
    DNS_NULLMX,
    DNS_OK,
    DNS_POLICY,
    DNS_REQ_FLAG_STOP_OK,
    DNS_RETRY,
)
from mta.lib.mail_error import MAIL_ERROR_POLICY
from mta.lib.midna_warn import midna_warn
from mta.smtpd.check_dns import lookup
from mta.smtpd.check_registry import (
    SMTPD_CHECK_DUNNO,
    SMTPD_NAME_HELO,
    Scope,
    Step,
    restriction,
)
from mta.smtpd.check_reject import acl_permit, defer_if_permit, reject_policy
from mta.smtpd.state import SMTPD_FLAG_SMTPUTF8
from mta.system import Wait
from mta.util.midna_domain import valid_utf8_hostname
from mta.util.valid_hostname import valid_hostaddr, valid_hostname, valid_mailhost_addr

_NAKED = re.compile(r"[0-9.:]*")


def without_dot(name: str) -> str:
    """The name without the dot at its end; of two dots, both stay."""
    if len(name) > 1 and name.endswith(".") and not name.endswith(".."):
        return name[:-1]
    return name


def _reject_invalid_hostaddr(scope: Scope, literal: str) -> int:
    """Rejects what is no address literal, with or without brackets."""
    session = scope.session
    bare = literal
    if literal.startswith("[") and literal.endswith("]") and len(literal) > 2:
        bare = literal[1:-1]
    if valid_mailhost_addr(bare)[0] is not None:
        return SMTPD_CHECK_DUNNO
    return reject_policy(
        session,
        session.process.conf.invalid_hostname_reject_code,
        "5.5.2",
        f"<{literal}>: {SMTPD_NAME_HELO} rejected: invalid ip address",
    )


@restriction("reject_invalid_helo_hostname", "reject_invalid_hostname")
def reject_invalid_hostname(scope: Scope, step: Step) -> int:
    """Rejects names that are none (``invalid_hostname_reject_code``)."""
    session = scope.session
    name = session.helo_name
    if name is None:
        return SMTPD_CHECK_DUNNO
    if name.startswith("["):
        return _reject_invalid_hostaddr(scope, name)
    plain = without_dot(name)
    if valid_hostname(plain) or valid_hostaddr(plain):
        return SMTPD_CHECK_DUNNO
    return reject_policy(
        session,
        session.process.conf.invalid_hostname_reject_code,
        "5.5.2",
        f"<{name}>: {SMTPD_NAME_HELO} rejected: Invalid name",
    )


@restriction("reject_non_fqdn_helo_hostname", "reject_non_fqdn_hostname")
def reject_non_fqdn_hostname(scope: Scope, step: Step) -> int:
    """Rejects names without a domain (``non_fqdn_reject_code``)."""
    session = scope.session
    name = session.helo_name
    if name is None:
        return SMTPD_CHECK_DUNNO
    if name.startswith("["):
        return _reject_invalid_hostaddr(scope, name)
    plain = without_dot(name)
    utf8 = bool(session.flags & SMTPD_FLAG_SMTPUTF8)
    if "." in plain and valid_utf8_hostname(utf8, plain, midna_warn(session.process)):
        return SMTPD_CHECK_DUNNO
    return reject_policy(
        session,
        session.process.conf.non_fqdn_reject_code,
        "5.5.2",
        f"<{name}>: {SMTPD_NAME_HELO} rejected: need fully-qualified hostname",
    )


@restriction("reject_unknown_helo_hostname", "reject_unknown_hostname")
def reject_unknown_hostname(scope: Scope, step: Step) -> Wait[int]:
    """Rejects names with neither address nor MX (``unknown_hostname_reject_code``)."""
    session = scope.session
    process = session.process
    name = session.helo_name
    if name is None:
        return SMTPD_CHECK_DUNNO
    if name.startswith("["):
        return _reject_invalid_hostaddr(scope, name)
    result = yield from lookup(process, name, ("A", "AAAA", "MX"), DNS_REQ_FLAG_STOP_OK)
    subject = f"<{name}>: {SMTPD_NAME_HELO} rejected"
    if result.status in (DNS_OK, DNS_NULLMX):
        return SMTPD_CHECK_DUNNO
    if result.status == DNS_POLICY:
        process.log.warning(
            f"{name}: address or MX lookup error: DNS reply filter drops all results"
        )
        return SMTPD_CHECK_DUNNO
    if result.status == DNS_RETRY:
        return defer_if_permit(
            session,
            scope.rules.unk_name_tf_act,
            MAIL_ERROR_POLICY,
            450,
            "4.7.1",
            f"{subject}: Host not found",
        )
    reason = "Malformed DNS server reply" if result.status == DNS_INVAL else "Host not found"
    return reject_policy(
        session, process.conf.unknown_hostname_reject_code, "4.7.1", f"{subject}: {reason}"
    )


@restriction("permit_naked_ip_address")
def permit_naked_ip_address(scope: Scope, step: Step) -> Wait[int]:
    """Permits clients that greet with an address (deprecated)."""
    session = scope.session
    session.process.log.warning(
        f"restriction {step.name} is deprecated. Use permit_mynetworks or "
        "permit_sasl_authenticated instead"
    )
    name = session.helo_name
    if name is None or not _NAKED.fullmatch(name):
        return SMTPD_CHECK_DUNNO
    status = _reject_invalid_hostaddr(scope, name)
    if status != SMTPD_CHECK_DUNNO:
        return status
    return (yield from acl_permit(scope, step.word, SMTPD_NAME_HELO, name))
