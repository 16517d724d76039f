"""Block lists and white lists in the DNS: reject_rbl_*, reject_rhsbl_*, permit_dnswl_client,
permit_rhswl_client, reject_maps_rbl.

An entry is ``domain`` or ``domain=pattern``: then only answers that match the pattern count
(``127.0.0.[2;4..11]``).  Answers are remembered across sessions.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from mta.dict.errors import TableError
from mta.dns_lookup import DNS_NOTFOUND, DNS_OK, DNS_POLICY, dns_lookup
from mta.lib.mail_error import MAIL_ERROR_POLICY
from mta.smtpd.check_dns import ascii_domain
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
from mta.smtpd.check_reject import (
    acl_permit,
    defer_if,
    reject_policy,
    reject_server_error,
    smtpd_dsn_fix,
)
from mta.smtpd.check_relay import is_auth_destination
from mta.smtpd.check_rules import Rules
from mta.smtpd.expand import smtpd_expand, smtpd_expand_lookup
from mta.smtpd.state import CLIENT_ATTR_UNKNOWN, SMTPD_CMD_RCPT, Session
from mta.system import Wait
from mta.util.ip_match import IpMatchError, IpPattern, ip_match_parse
from mta.util.mac_expand import MacError
from mta.util.scalars import all_digits, split_at_commas
from mta.util.valid_hostname import valid_hostname, valid_ipv6_hostaddr
from mta.wire.dsn import dsn_split
from mta.wire.text import cut, to_bytes

_TXT_LIMIT = 500
_REPLY = re.compile(r"[45][0-9][0-9] ")


class RblAnswer(NamedTuple):
    """What a list says of a name: its addresses (none: not listed) and its reason.
    ``soft``: the list cannot be asked.
    """

    addresses: tuple[str, ...] = ()
    text: str = ""
    soft: bool = False


_NOT_LISTED = RblAnswer()
_SOFT = RblAnswer(soft=True)


# -- questions


def _ask(rules: Rules, query: str) -> Wait[RblAnswer]:
    """What a list says, from memory or the DNS (rbl_pagein)."""
    found = rules.rbl.get(query)
    if found is None:
        found = rules.rbl.put(query, (yield from _lookup(rules, query)))
    process = rules.process
    if process.system.decisions is not None:
        process.decide(
            "dnsxl", query=query, addresses=found.addresses, text=found.text, soft=found.soft
        )
    return found


def _lookup(rules: Rules, query: str) -> Wait[RblAnswer]:
    process = rules.process
    result = yield from dns_lookup(process, query, "A")
    if result.status == DNS_NOTFOUND:
        return _NOT_LISTED
    if result.status != DNS_OK:
        process.log.warning(f"{query}: RBL lookup error: {result.why}")
        return _SOFT
    addresses = tuple(rr.data for rr in result.records)
    texts = yield from dns_lookup(process, query, "TXT")
    if texts.status == DNS_POLICY:
        process.log.warning(
            f"{query}: TXT lookup error: DNS reply filter drops all results"
        )
    if texts.status != DNS_OK:
        return RblAnswer(addresses)
    return RblAnswer(addresses, _join([rr.data for rr in texts.records]))


def _join(texts: list[str]) -> str:
    """The reasons in one, up to a limit (bytes)."""
    joined = ""
    left = _TXT_LIMIT
    for place, text in enumerate(texts):
        if left <= 0:
            break
        joined += cut(text, left)
        left = _TXT_LIMIT - len(to_bytes(joined))
        if place + 1 < len(texts) and left > 3:
            joined += " / "
            left -= 3
    return joined


def _pattern(rules: Rules, text: str) -> IpPattern:
    """The compiled form of an answer pattern.  Raises Fatal."""
    found = rules.rbl_patterns.get(text)
    if found is None:
        try:
            found = ip_match_parse(text)
        except IpMatchError as error:
            rules.process.log.fatal(f"RBL reply error: {error.args[0]}")
        rules.rbl_patterns.put(text, found)
    return found


def _find(rules: Rules, prefix: str, rbl_domain: str) -> Wait[RblAnswer]:
    domain, equals, pattern = f"{prefix}{rbl_domain}".partition("=")
    answer = yield from _ask(rules, domain)
    if equals:
        wanted = _pattern(rules, pattern)
        if answer.addresses and not any(wanted.matches(address) for address in answer.addresses):
            return _NOT_LISTED
    return answer


def find_address(rules: Rules, rbl_domain: str, address: str) -> Wait[RblAnswer]:
    """What a list says of an address (find_dnsxl_addr)."""
    if ":" in address and valid_ipv6_hostaddr(address):
        nibbles = ipaddress.IPv6Address(address).packed.hex()[::-1]
        prefix = "".join(f"{nibble}." for nibble in nibbles)
    else:
        octets = [octet for octet in address.split(".") if octet]
        prefix = "".join(f"{octet}." for octet in reversed(octets))
    return _find(rules, prefix, rbl_domain)


def find_domain(rules: Rules, rbl_domain: str, what: str) -> Wait[RblAnswer]:
    """What a list says of a host name, or of the domain of an address (find_dnsxl_domain).
    Names that end in a number are not asked for.
    """
    _, at, domain = what.rpartition("@")
    if at and domain.startswith("["):
        return _NOT_LISTED
    if not domain or all_digits(domain.rpartition(".")[2]):
        return _NOT_LISTED
    domain = ascii_domain(rules.process, domain)
    if not valid_hostname(domain):
        return _NOT_LISTED
    return (yield from _find(rules, f"{domain}.", rbl_domain))


# -- verdicts


def _reject(
    scope: Scope, answer: RblAnswer, rbl_domain: str, what: str, reply_class: str
) -> Wait[int]:
    """Rejects in the words of ``rbl_reply_maps`` or ``default_rbl_reply``.  Raises Jump."""
    session = scope.session
    template: str | None = None
    if session.process.conf.rbl_reply_maps:
        try:
            template = yield from scope.rules.rbl_reply_maps.find(rbl_domain)
        except TableError:
            reject_server_error(session)
    text = _expand(session, template, answer, rbl_domain, what, reply_class)
    if not _REPLY.match(text):
        session.process.log.warning(f"rbl response code configuration error: {text}")
        return reject_policy(session, 450, "4.7.1", "Service unavailable")
    status, reason = dsn_split("4.7.1", text[4:])
    status = smtpd_dsn_fix(session, status, reply_class)
    return reject_policy(session, int(text[:3]), status, reason or "Service unavailable")


def _expand(
    session: Session,
    template: str | None,
    answer: RblAnswer,
    rbl_domain: str,
    what: str,
    reply_class: str,
) -> str:
    conf = session.process.conf
    log = session.process.log
    names = {
        "rbl_code": str(conf.maps_rbl_reject_code),
        "rbl_domain": rbl_domain.partition("=")[0],
        "rbl_reason": answer.text,
        "rbl_txt": answer.text,
        "rbl_what": what,
        "rbl_class": reply_class,
    }

    def lookup(name: str) -> str | None:
        value = names.get(name)
        return smtpd_expand_lookup(session, name) if value is None else value

    def expanded(text: str) -> str | None:
        try:
            expansion = smtpd_expand(session, text, lookup)
        except MacError as error:
            for warning in error.warnings:
                log.warning(warning)
            return None
        return None if expansion.undefined else expansion.text

    if template is not None:
        reply = expanded(template)
        if reply is not None:
            return reply
        log.warning(
            f"rbl_reject_reply: bad rbl reply template for domain {rbl_domain}: {template}"
        )
    reply = expanded(conf.default_rbl_reply)
    if reply is None:
        log.fatal(
            f"rbl_reject_reply: bad default rbl reply template: {conf.default_rbl_reply}"
        )
    return reply


def reject_rbl_addr(scope: Scope, rbl_domain: str, address: str, reply_class: str) -> Wait[int]:
    """Rejects an address that is listed."""
    answer = yield from find_address(scope.rules, rbl_domain, address)
    if not answer.addresses:
        return SMTPD_CHECK_DUNNO
    return (yield from _reject(scope, answer, rbl_domain, address, reply_class))


def reject_rbl_domain(scope: Scope, rbl_domain: str, what: str, reply_class: str) -> Wait[int]:
    """Rejects a domain that is listed."""
    answer = yield from find_domain(scope.rules, rbl_domain, what)
    if not answer.addresses:
        return SMTPD_CHECK_DUNNO
    return (yield from _reject(scope, answer, rbl_domain, what, reply_class))


def _unauthorized(session: Session) -> Wait[bool]:
    """A white list does not open the way to other sites."""
    if session.where != SMTPD_CMD_RCPT or session.recipient is None:
        return False
    return not (yield from is_auth_destination(session, session.recipient))


def _permit(scope: Scope, step: Step, answer: RblAnswer, what: str) -> Wait[int]:
    session = scope.session
    if answer.soft:
        return defer_if(
            session.defer_if_reject,
            MAIL_ERROR_POLICY,
            450,
            "4.7.1",
            f"<{what}>: {SMTPD_NAME_CLIENT} rejected: Service unavailable",
        )
    if not answer.addresses:
        return SMTPD_CHECK_DUNNO
    return (yield from acl_permit(scope, step.word, SMTPD_NAME_CLIENT, session.namaddr))


# -- restrictions


@restriction("reject_rbl_client", "reject_rbl", argument=Argument.DOMAIN)
def reject_rbl_client(scope: Scope, step: Step) -> Wait[int]:
    """The client's address."""
    address = scope.session.addr
    return (yield from reject_rbl_addr(scope, step.argument, address, SMTPD_NAME_CLIENT))


@restriction("reject_maps_rbl")
def reject_maps_rbl(scope: Scope, step: Step) -> Wait[int]:
    """The client's address in all ``maps_rbl_domains``."""
    process = scope.session.process
    if step.name not in scope.rules.warned:
        scope.rules.warned.add(step.name)
        process.log.warning(
            f'support for restriction "{step.name}" will be removed from '
            f'{process.conf.mail_name}; use "reject_rbl_client domain-name" instead'
        )
    for rbl_domain in split_at_commas(process.conf.maps_rbl_domains):
        status = yield from reject_rbl_addr(
            scope, rbl_domain, scope.session.addr, SMTPD_NAME_CLIENT
        )
        if status != SMTPD_CHECK_DUNNO:
            return status
    return SMTPD_CHECK_DUNNO


@restriction("permit_dnswl_client", argument=Argument.DOMAIN)
def permit_dnswl_client(scope: Scope, step: Step) -> Wait[int]:
    """Permits a client whose address is listed."""
    session = scope.session
    if (yield from _unauthorized(session)):
        return SMTPD_CHECK_DUNNO
    answer = yield from find_address(scope.rules, step.argument, session.addr)
    return (yield from _permit(scope, step, answer, session.addr))


@restriction("permit_rhswl_client", argument=Argument.DOMAIN)
def permit_rhswl_client(scope: Scope, step: Step) -> Wait[int]:
    """Permits a client whose name is listed."""
    session = scope.session
    if session.name.lower() == CLIENT_ATTR_UNKNOWN or (yield from _unauthorized(session)):
        return SMTPD_CHECK_DUNNO
    answer = yield from find_domain(scope.rules, step.argument, session.name)
    return (yield from _permit(scope, step, answer, session.name))


@restriction("reject_rhsbl_client", argument=Argument.DOMAIN)
def reject_rhsbl_client(scope: Scope, step: Step) -> Wait[int]:
    """The client's name."""
    name = scope.session.name
    if name.lower() == CLIENT_ATTR_UNKNOWN:
        return SMTPD_CHECK_DUNNO
    return (yield from reject_rbl_domain(scope, step.argument, name, SMTPD_NAME_CLIENT))


@restriction("reject_rhsbl_reverse_client", argument=Argument.DOMAIN)
def reject_rhsbl_reverse_client(scope: Scope, step: Step) -> Wait[int]:
    """The client's name that is not verified."""
    name = scope.session.reverse_name
    if name.lower() == CLIENT_ATTR_UNKNOWN:
        return SMTPD_CHECK_DUNNO
    return (yield from reject_rbl_domain(scope, step.argument, name, SMTPD_NAME_REV_CLIENT))


@restriction("reject_rhsbl_helo", argument=Argument.DOMAIN)
def reject_rhsbl_helo(scope: Scope, step: Step) -> Wait[int]:
    """The name of HELO."""
    name = scope.session.helo_name
    if name is None:
        return SMTPD_CHECK_DUNNO
    return (yield from reject_rbl_domain(scope, step.argument, name, SMTPD_NAME_HELO))


@restriction("reject_rhsbl_sender", argument=Argument.DOMAIN)
def reject_rhsbl_sender(scope: Scope, step: Step) -> Wait[int]:
    """The sender's domain."""
    sender = scope.session.sender
    if not sender:
        return SMTPD_CHECK_DUNNO
    return (yield from reject_rbl_domain(scope, step.argument, sender, SMTPD_NAME_SENDER))


@restriction("reject_rhsbl_recipient", argument=Argument.DOMAIN)
def reject_rhsbl_recipient(scope: Scope, step: Step) -> Wait[int]:
    """The recipient's domain."""
    recipient = scope.session.recipient
    if recipient is None:
        return SMTPD_CHECK_DUNNO
    return (yield from reject_rbl_domain(scope, step.argument, recipient, SMTPD_NAME_RECIPIENT))
