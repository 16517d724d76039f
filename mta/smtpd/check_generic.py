"""Restrictions that look at nothing, or at the conversation as a whole.

permit, reject, defer, defer_if_permit, defer_if_reject, sleep, reject_unauth_pipelining,
reject_plaintext_session, reject_multi_recipient_bounce.
"""

from __future__ import annotations

from mta.lib.mail_error import MAIL_ERROR_POLICY, MAIL_ERROR_PROTOCOL
from mta.smtpd.check_registry import (
    SMTPD_CHECK_DUNNO,
    Argument,
    Scope,
    Step,
    restriction,
)
from mta.smtpd.check_reject import (
    DEFER_IF_PERMIT_ACT,
    acl_permit,
    check_reject,
    defer_if,
    defer_if_permit,
    reject_policy,
)
from mta.smtpd.state import SMTPD_CMD_DATA, SMTPD_FLAG_ILL_PIPELINING
from mta.system import Wait


def _ignored(scope: Scope, step: Step) -> None:
    if step.following is not None:
        scope.session.process.log.warning(
            f"restriction `{step.following}' after `{step.name}' is ignored"
        )


@restriction("permit")
def permit(scope: Scope, step: Step) -> Wait[int]:
    """Permits."""
    status = yield from acl_permit(scope, step.word, scope.reply_class, scope.reply_name)
    _ignored(scope, step)
    return status


@restriction("defer")
def defer(scope: Scope, step: Step) -> int:
    """Rejects for now (``defer_code``)."""
    session = scope.session
    status = reject_policy(
        session,
        session.process.conf.defer_code,
        "4.3.2",
        f"<{scope.reply_name}>: {scope.reply_class} rejected: Try again later",
    )
    if not session.warn_if_reject:
        _ignored(scope, step)
    return status


@restriction("reject")
def reject(scope: Scope, step: Step) -> int:
    """Rejects (``reject_code``)."""
    session = scope.session
    status = reject_policy(
        session,
        session.process.conf.reject_code,
        "5.7.1",
        f"<{scope.reply_name}>: {scope.reply_class} rejected: Access denied",
    )
    if not session.warn_if_reject:
        _ignored(scope, step)
    return status


@restriction("reject_unauth_pipelining")
def reject_unauth_pipelining(scope: Scope, step: Step) -> int:
    """Rejects clients that do not wait for replies where they should."""
    session = scope.session
    if not session.flags & SMTPD_FLAG_ILL_PIPELINING:
        return SMTPD_CHECK_DUNNO
    return check_reject(
        session,
        MAIL_ERROR_PROTOCOL,
        503,
        "5.5.0",
        f"<{scope.reply_name}>: {scope.reply_class} rejected: "
        "Improper use of SMTP command pipelining",
    )


@restriction("defer_if_permit")
def defer_if_permit_requested(scope: Scope, step: Step) -> int:
    """Turns a later permission into a 450."""
    return defer_if_permit(
        scope.session,
        DEFER_IF_PERMIT_ACT,
        MAIL_ERROR_POLICY,
        450,
        "4.7.0",
        f"<{scope.reply_name}>: {scope.reply_class} rejected: defer_if_permit requested",
    )


@restriction("defer_if_reject")
def defer_if_reject_requested(scope: Scope, step: Step) -> int:
    """Turns a later rejection into a 450."""
    return defer_if(
        scope.session.defer_if_reject,
        MAIL_ERROR_POLICY,
        450,
        "4.7.0",
        f"<{scope.reply_name}>: {scope.reply_class} rejected: defer_if_reject requested",
    )


@restriction("sleep", argument=Argument.NUMBER)
def sleep(scope: Scope, step: Step) -> Wait[int]:
    """Waits for some seconds."""
    yield scope.session.process.system.sleep(int(step.argument))
    return SMTPD_CHECK_DUNNO


@restriction("reject_plaintext_session")
def reject_plaintext_session(scope: Scope, step: Step) -> int:
    """Rejects where the session is not encrypted (``plaintext_reject_code``)."""
    session = scope.session
    if session.tls_context is not None:
        return SMTPD_CHECK_DUNNO
    return reject_policy(
        session,
        session.process.conf.plaintext_reject_code,
        "4.7.1",
        "Session encryption is required",
    )


@restriction("reject_multi_recipient_bounce")
def reject_multi_recipient_bounce(scope: Scope, step: Step) -> int:
    """Rejects mail from <> to more than one recipient."""
    session = scope.session
    allowed = 1 if session.where == SMTPD_CMD_DATA else 0
    if session.sender != "" or session.rcpt_count <= allowed:
        return SMTPD_CHECK_DUNNO
    return reject_policy(
        session,
        session.process.conf.multi_recipient_bounce_reject_code,
        "5.5.3",
        f"<{scope.reply_name}>: {scope.reply_class} rejected: Multi-recipient bounce",
    )
