"""Restrictions on where mail goes: who may relay through this server."""

from __future__ import annotations

from mta.lib.requests import (
    RESOLVE_CLASS_ALIAS,
    RESOLVE_CLASS_LOCAL,
    RESOLVE_CLASS_RELAY,
    RESOLVE_CLASS_VIRTUAL,
    RESOLVE_FLAG_ROUTED,
    ResolveReply,
)
from mta.smtpd.check_registry import (
    SMTPD_CHECK_DUNNO,
    SMTPD_NAME_RECIPIENT,
    Scope,
    Step,
    restriction,
)
from mta.smtpd.check_reject import acl_permit, reject_policy
from mta.smtpd.check_resolve import resolve_or_defer
from mta.smtpd.state import Session
from mta.system import Wait

#: Address classes that are delivered here.
RESOLVE_CLASS_FINAL = RESOLVE_CLASS_LOCAL | RESOLVE_CLASS_ALIAS | RESOLVE_CLASS_VIRTUAL


def authorized(session: Session, reply: ResolveReply, domain: str) -> bool | None:
    """Whether mail for a resolved address may come here from anyone; None where it cannot be told
    (a source route to elsewhere).
    """
    conf = session.process.conf
    if reply.flags & RESOLVE_FLAG_ROUTED and not conf.allow_untrusted_routing:
        return None
    if reply.flags & RESOLVE_CLASS_FINAL:
        return True
    if reply.flags & RESOLVE_CLASS_RELAY:
        if conf.warn_compat_break_relay_domains:
            session.process.log.info(
                "using backwards-compatible default setting relay_domains=$mydestination "
                f'to accept mail for domain "{domain}"'
            )
        return True
    return False


def is_auth_destination(session: Session, recipient: str) -> Wait[bool]:
    """Whether mail for the recipient is received here, or relayed by ``relay_domains``.
    Raises Jump.
    """
    reply = yield from resolve_or_defer(session, session.sender, recipient)
    _, at, domain = reply.recipient.rpartition("@")
    if not at:
        return True
    return bool(authorized(session, reply, domain))


@restriction("permit_auth_destination")
def permit_auth_destination(scope: Scope, step: Step) -> Wait[int]:
    """Permits mail that is for us, or that ``relay_domains`` has us relay."""
    recipient = scope.session.recipient
    if recipient is None or not (yield from is_auth_destination(scope.session, recipient)):
        return SMTPD_CHECK_DUNNO
    return (yield from acl_permit(scope, step.word, SMTPD_NAME_RECIPIENT, recipient))


@restriction("reject_unauth_destination")
def reject_unauth_destination(scope: Scope, step: Step) -> Wait[int]:
    """Rejects all other mail (``relay_domains_reject_code``)."""
    code = scope.session.process.conf.relay_domains_reject_code
    return (yield from _unauth_destination(scope, code, "5.7.1"))


@restriction("defer_unauth_destination")
def defer_unauth_destination(scope: Scope, step: Step) -> Wait[int]:
    """The same with a 4xx."""
    code = scope.session.process.conf.relay_domains_reject_code - 100
    return (yield from _unauth_destination(scope, code, "4.7.1"))


def _unauth_destination(scope: Scope, code: int, dsn: str) -> Wait[int]:
    session = scope.session
    recipient = session.recipient
    if recipient is None or (yield from is_auth_destination(session, recipient)):
        return SMTPD_CHECK_DUNNO
    return reject_policy(session, code, dsn, f"<{recipient}>: Relay access denied")


@restriction("check_relay_domains")
def check_relay_domains(scope: Scope, step: Step) -> Wait[int]:
    """The oldest way to say who may relay: also clients in ``relay_domains`` may."""
    session = scope.session
    process = session.process
    status = SMTPD_CHECK_DUNNO
    recipient = session.recipient
    if recipient is not None:
        _deprecated(scope, step)
        if (yield from _relay_domain(scope)) or (
            yield from is_auth_destination(session, recipient)
        ):
            status = yield from acl_permit(scope, step.word, SMTPD_NAME_RECIPIENT, recipient)
        else:
            status = reject_policy(
                session,
                process.conf.relay_domains_reject_code,
                "5.7.1",
                f"<{recipient}>: {SMTPD_NAME_RECIPIENT} rejected: Relay access denied",
            )
    if step.following is not None and not session.warn_if_reject:
        process.log.warning(f"restriction `{step.following}' after `{step.name}' is ignored")
    return status


def _deprecated(scope: Scope, step: Step) -> None:
    """Warns once in a process, when there is a recipient to judge for the first time."""
    if step.name in scope.rules.warned:
        return
    scope.rules.warned.add(step.name)
    process = scope.session.process
    process.log.warning(
        f'support for restriction "{step.name}" will be removed from '
        f'{process.conf.mail_name}; use "reject_unauth_destination" instead'
    )


def _relay_domain(scope: Scope) -> Wait[bool]:
    """Whether the client is in ``relay_domains``."""
    session = scope.session
    if not (yield from scope.rules.relay_domains.match(session.name)):
        return False
    process = session.process
    if process.conf.warn_compat_break_relay_domains:
        process.log.info(
            "using backwards-compatible default setting relay_domains=$mydestination "
            f'to permit request from client "{session.name}"'
        )
    return True
