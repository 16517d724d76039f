"""Rejections, deferrals and permissions, and their lines in the log (smtpd_check_reject).

DIAGNOSTICS

    NOQUEUE: reject: RCPT from name[addr]: 554 5.7.1 <x>: Relay access denied; from=<a> to=<x> ...

``reject_warning`` stands for ``reject`` after ``warn_if_reject``; ``permit`` lines come where
``smtpd_log_access_permit_actions`` names the action.
"""

from __future__ import annotations

from typing import NoReturn

from mta.dict.errors import TableError
from mta.lib.mail_error import (
    MAIL_ERROR_DATA,
    MAIL_ERROR_POLICY,
    MAIL_ERROR_RESOURCE,
    MAIL_ERROR_SOFTWARE,
)
from mta.lib.string_list import StringList
from mta.smtpd.check_registry import (
    REPLY,
    SMTPD_CHECK_DUNNO,
    SMTPD_CHECK_OK,
    SMTPD_CHECK_REJECT,
    SMTPD_NAME_RECIPIENT,
    SMTPD_NAME_SENDER,
    Jump,
    Scope,
)
from mta.smtpd.milter import whatsup
from mta.smtpd.state import Deferral, Session
from mta.system import Wait
from mta.wire.dsn import dsn_valid
from mta.wire.text import printable

# tempfail_actions: what becomes of a check that cannot be made.
DEFER_ALL_ACT = False
DEFER_IF_PERMIT_ACT = True

_SERVICE_UNAVAILABLE = "450 4.7.1 Service unavailable"

_SND_DSN = "4.1.7"
#: What a status about one kind of address becomes for the other: last number, sender, recipient.
_ADDRESS_DSN = {
    "1": (_SND_DSN, "4.1.1"),
    "2": ("4.1.8", "4.1.2"),
    "3": ("4.1.7", "4.1.3"),
    "4": (_SND_DSN, "4.1.4"),
    "5": ("4.1.0", "4.1.5"),
    "6": (_SND_DSN, "4.1.6"),
    "7": ("4.1.7", "4.1.3"),
    "8": ("4.1.8", "4.1.2"),
}
_ANY_ADDRESS = ("4.1.0", "4.1.0")


def sender_or(reply_class: str, sender: str, other: str) -> str:
    """One of two statuses, the first where a sender address is rejected."""
    return sender if reply_class == SMTPD_NAME_SENDER else other


def smtpd_dsn_fix(session: Session, status: str, reply_class: str) -> str:
    """The status fit for what is rejected: a recipient's status is wrong for a sender, and both
    are for a host (smtpd_dsn_fix.c).  Logs the change.
    """
    if status[1:4] != ".1.":
        return status
    if reply_class == SMTPD_NAME_SENDER:
        result = _ADDRESS_DSN.get(status[4:], _ANY_ADDRESS)[0]
    elif reply_class == SMTPD_NAME_RECIPIENT:
        result = _ADDRESS_DSN.get(status[4:], _ANY_ADDRESS)[1]
    else:
        result = "4.0.0"
    if status[2:] != result[2:]:
        session.process.log.info(
            f"mapping DSN status {status} into {reply_class} status {status[0]}{result[1:]}"
        )
    return result


def log_whatsup(session: Session, what: str, text: str) -> None:
    """A line with all that is known of the mail."""
    session.process.log.info(
        f"{session.queue_id or 'NOQUEUE'}: {what}: {session.where} from {session.namaddr}: "
        f"{text};{whatsup(session)}"
    )


def acl_permit(
    scope: Scope, action: str, reply_class: str, reply_name: str, suffix: str = ""
) -> Wait[int]:
    """Permits; it is logged where ``smtpd_log_access_permit_actions`` has the action, unless the
    permission is going to be overruled.
    """
    session = scope.session
    wanted = scope.rules.perm_log
    if wanted and not session.defer_if_permit.active and (yield from _is_logged(wanted, action)):
        log_whatsup(
            session, "permit", f"action={action} for {reply_class}={reply_name} {suffix}"
        )
    return SMTPD_CHECK_OK


def _is_logged(wanted: StringList, action: str) -> Wait[bool]:
    try:
        return (yield from wanted.match(action))
    except TableError:
        return False


def check_reject(session: Session, error_class: int, code: int, dsn: str, reason: str) -> int:
    """Rejects with a code, an enhanced status, and a reason: logs it, and leaves the reply in
    ``session.scratch[REPLY]``.  SMTPD_CHECK_REJECT, or SMTPD_CHECK_DUNNO where it is only a test.

    A 5xx becomes the pending ``defer_if_reject`` where there is one.
    """
    process = session.process
    conf = process.conf
    test = bool(session.warn_if_reject) and error_class not in (
        MAIL_ERROR_SOFTWARE,
        MAIL_ERROR_RESOURCE,
    )
    session.error_mask |= error_class
    text = f"{code} {dsn} {reason}"
    if not 400 <= code <= 599:
        process.log.warning(f"SMTP reply code configuration error: {text}")
        text = _SERVICE_UNAVAILABLE
    if not dsn_valid(text[4:]):
        process.log.warning(f"DSN detail code configuration error: {text}")
        text = _SERVICE_UNAVAILABLE
    text = printable(text, " ", conf.smtputf8_enable)
    pending = session.defer_if_reject
    if not test and pending.active and text[0] == "5":
        session.warn_if_reject = 0
        pending.active = False
        return reject_pending(session, pending)
    first = "4" if conf.soft_bounce and text[0] == "5" else text[0]
    text = f"{first}{text[1:4]}{first}{text[5:]}"
    session.scratch[REPLY] = text
    log_whatsup(session, "reject_warning" if test else "reject", text)
    return SMTPD_CHECK_DUNNO if test else SMTPD_CHECK_REJECT


def reject_pending(session: Session, deferral: Deferral) -> int:
    """Rejects with what was put off earlier."""
    return check_reject(
        session, deferral.error_class, deferral.code, deferral.dsn, deferral.reason
    )


def defer_if(deferral: Deferral, error_class: int, code: int, dsn: str, reason: str) -> int:
    """Puts a 4xx off; the first reason stays."""
    if not deferral.active:
        deferral.active = True
        deferral.error_class = error_class
        deferral.code = code
        deferral.dsn = dsn
        deferral.reason = reason
    return SMTPD_CHECK_DUNNO


def defer_if_permit(
    session: Session, action: bool, error_class: int, code: int, dsn: str, reason: str
) -> int:
    """Rejects later, where the mail would be permitted; at once where ``action`` (a
    ``*_tempfail_action``) is DEFER_ALL_ACT, or for a test.
    """
    if action is DEFER_IF_PERMIT_ACT and not session.warn_if_reject:
        return defer_if(session.defer_if_permit, error_class, code, dsn, reason)
    return check_reject(session, error_class, code, dsn, reason)


def reject_dict_retry(session: Session, reply_name: str) -> NoReturn:
    """A table fails for now: ends the evaluation with a 451.  Raises Jump."""
    _leave(
        check_reject(
            session, MAIL_ERROR_DATA, 451, "4.3.0", f"<{reply_name}>: Temporary lookup failure"
        )
    )


def reject_server_error(session: Session) -> NoReturn:
    """The configuration makes no sense: ends the evaluation with a 451.  Raises Jump."""
    _leave(
        check_reject(session, MAIL_ERROR_SOFTWARE, 451, "4.3.5", "Server configuration error")
    )


def _leave(status: int) -> NoReturn:
    """Ends the evaluation.  A mere test ends with a permission, as longjmp(3) makes 1 of 0."""
    raise Jump(status or SMTPD_CHECK_OK)


def reject_policy(session: Session, code: int, dsn: str, reason: str) -> int:
    """Rejects for reasons of policy."""
    return check_reject(session, MAIL_ERROR_POLICY, code, dsn, reason)
