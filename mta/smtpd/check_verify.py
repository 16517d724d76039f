"""Whether an address can get mail, by trying: reject_unverified_sender and _recipient
(ADDRESS_VERIFICATION_README).

verify(8) is asked up to ``address_verify_poll_count`` times, ``address_verify_poll_delay`` apart.
"""

from __future__ import annotations

from typing import NamedTuple

from mta.lib.clients import verify_query
from mta.lib.mail_error import MAIL_ERROR_POLICY
from mta.lib.requests import RCPT_BOUNCE, RCPT_DEFER, RCPT_OK, RCPT_TODO, VRFY_STAT_OK, VerifyReply
from mta.smtpd.check_registry import (
    SMTPD_CHECK_DUNNO,
    SMTPD_NAME_RECIPIENT,
    SMTPD_NAME_SENDER,
    Scope,
    Step,
    restriction,
)
from mta.smtpd.check_reject import defer_if_permit, reject_policy, sender_or
from mta.smtpd.state import Session
from mta.system import Wait
from mta.wire.text import cut

_REASON_LIMIT = 250


class _Codes(NamedTuple):
    """What is done about an address that is no good."""

    defer_code: int
    reject_code: int
    tempfail_action: bool
    reason: str  #: instead of the real one


@restriction("reject_unverified_sender")
def reject_unverified_sender(scope: Scope, step: Step) -> Wait[int]:
    """Rejects senders to which mail bounces (``unverified_sender_reject_code``)."""
    sender = scope.session.sender
    if not sender:
        return SMTPD_CHECK_DUNNO
    conf = scope.session.process.conf
    codes = _Codes(
        conf.unverified_sender_defer_code,
        conf.unverified_sender_reject_code,
        scope.rules.unv_from_tf_act,
        conf.unverified_sender_reject_reason,
    )
    return (yield from _reject_unverified(scope, sender, SMTPD_NAME_SENDER, codes))


@restriction("reject_unverified_recipient")
def reject_unverified_recipient(scope: Scope, step: Step) -> Wait[int]:
    """Rejects recipients to which mail bounces (``unverified_recipient_reject_code``)."""
    recipient = scope.session.recipient
    if not recipient:
        return SMTPD_CHECK_DUNNO
    conf = scope.session.process.conf
    codes = _Codes(
        conf.unverified_recipient_defer_code,
        conf.unverified_recipient_reject_code,
        scope.rules.unv_rcpt_tf_act,
        conf.unverified_recipient_reject_reason,
    )
    return (yield from _reject_unverified(scope, recipient, SMTPD_NAME_RECIPIENT, codes))


def _poll(session: Session, address: str) -> Wait[VerifyReply]:
    """What verify(8) knows, with some patience."""
    process = session.process
    for _ in range(process.conf.address_verify_poll_count - 1):
        reply = yield from verify_query(process, address)
        if reply.request != VRFY_STAT_OK or reply.rcpt_status != RCPT_TODO:
            return reply
        yield process.system.sleep(process.conf.address_verify_poll_delay)
    return (yield from verify_query(process, address))


def _reject_unverified(
    scope: Scope, address: str, reply_class: str, codes: _Codes
) -> Wait[int]:
    session = scope.session
    log = session.process.log
    reply = yield from _poll(session, address)
    if session.process.system.decisions is not None:
        session.process.decide(
            "verify", address=address, status=reply.rcpt_status, text=reply.text
        )
    dsn = sender_or(reply_class, "4.1.7", "4.1.1")
    subject = f"<{address}>: {reply_class} rejected"
    if reply.request != VRFY_STAT_OK:
        log.warning(f"{session.process.conf.address_verify_service_name} service failure")
        return defer_if_permit(
            session,
            codes.tempfail_action,
            MAIL_ERROR_POLICY,
            450,
            dsn,
            f"{subject}: address verification problem",
        )
    code = 0
    if reply.rcpt_status in (RCPT_TODO, RCPT_DEFER):
        code = codes.defer_code
    elif reply.rcpt_status == RCPT_BOUNCE:
        code = codes.reject_code
    elif reply.rcpt_status != RCPT_OK:
        log.warning(f"unknown address verification status {reply.rcpt_status}")
    why = codes.reason if code >= 400 and codes.reason else reply.text
    if code // 100 == 4:
        return defer_if_permit(
            session,
            codes.tempfail_action,
            MAIL_ERROR_POLICY,
            code,
            dsn,
            f"{subject}: unverified address: {cut(why, _REASON_LIMIT)}",
        )
    if code == 0 or code // 100 == 2:
        return SMTPD_CHECK_DUNNO
    return reject_policy(session, code, dsn, f"{subject}: undeliverable address: {why}")
