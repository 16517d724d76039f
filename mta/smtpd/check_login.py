"""Whether clients that are logged in use their own sender address (``smtpd_sender_login_maps``).

reject_authenticated_sender_login_mismatch, reject_known_sender_login_mismatch,
reject_unauthenticated_sender_login_mismatch; reject_sender_login_mismatch is a class of the first
and the last.
"""

from __future__ import annotations

from mta.smtpd.check_rcpt_maps import find_address
from mta.smtpd.check_registry import SMTPD_CHECK_DUNNO, Scope, Step, restriction
from mta.smtpd.check_reject import reject_policy
from mta.smtpd.check_resolve import resolve_or_defer
from mta.system import Wait
from mta.util.casefold import same_text
from mta.util.scalars import split_at_commas


def _sender(scope: Scope, step: Step) -> str | None:
    """The sender, where there is one and SASL is on."""
    session = scope.session
    if not session.process.conf.smtpd_sasl_auth_enable:
        session.process.log.warning(f"restriction `{step.word}' ignored: no SASL support")
        return None
    return session.sender


def _owners(scope: Scope, sender: str) -> Wait[str | None]:
    """Who may use a sender address.  Raises Jump."""
    session = scope.session
    reply = yield from resolve_or_defer(session, session.recipient, sender)
    return (
        yield from find_address(session, sender, scope.rules.sender_login_maps, reply.recipient)
    )


def _reject_auth_mismatch(scope: Scope, sender: str, allow_unknown: bool) -> Wait[int]:
    session = scope.session
    user = session.sasl_username
    if user is None:
        return SMTPD_CHECK_DUNNO
    owners = yield from _owners(scope, sender)
    if owners is None and allow_unknown:
        return SMTPD_CHECK_DUNNO
    utf8 = bool(session.process.conf.smtputf8_enable)
    if any(same_text(user, owner, utf8) for owner in split_at_commas(owners or "")):
        return SMTPD_CHECK_DUNNO
    return reject_policy(
        session,
        553,
        "5.7.1",
        f"<{sender}>: Sender address rejected: not owned by user {user}",
    )


def _reject_unauth_mismatch(scope: Scope, sender: str) -> Wait[int]:
    session = scope.session
    if session.sasl_username is not None or (yield from _owners(scope, sender)) is None:
        return SMTPD_CHECK_DUNNO
    return reject_policy(
        session, 553, "5.7.1", f"<{sender}>: Sender address rejected: not logged in"
    )


@restriction("reject_authenticated_sender_login_mismatch")
def reject_auth_sender_login_mismatch(scope: Scope, step: Step) -> Wait[int]:
    """Rejects clients that are logged in and do not own the sender."""
    sender = _sender(scope, step)
    if not sender:
        return SMTPD_CHECK_DUNNO
    return (yield from _reject_auth_mismatch(scope, sender, False))


@restriction("reject_unauthenticated_sender_login_mismatch")
def reject_unauth_sender_login_mismatch(scope: Scope, step: Step) -> Wait[int]:
    """Rejects clients that are not logged in where the sender has an owner."""
    sender = _sender(scope, step)
    if not sender:
        return SMTPD_CHECK_DUNNO
    return (yield from _reject_unauth_mismatch(scope, sender))


@restriction("reject_known_sender_login_mismatch")
def reject_known_sender_login_mismatch(scope: Scope, step: Step) -> Wait[int]:
    """Both, for senders that have an owner."""
    sender = _sender(scope, step)
    if not sender:
        return SMTPD_CHECK_DUNNO
    if scope.session.sasl_username is None:
        return (yield from _reject_unauth_mismatch(scope, sender))
    return (yield from _reject_auth_mismatch(scope, sender, True))
