"""What smtpd(8) makes of the answers of milters (check_milter_reply)."""

from __future__ import annotations

from mta.lib.mail_error import MAIL_ERROR_POLICY, MAIL_ERROR_SOFTWARE
from mta.lib.requests import CLEANUP_FLAG_DISCARD, CLEANUP_FLAG_HOLD
from mta.smtpd.state import MilterSession, Session


def milters_of(session: Session) -> MilterSession | None:
    """The milters that still want to hear of the message."""
    if session.stand_alone or session.saved_flags & CLEANUP_FLAG_DISCARD:
        return None
    return session.milters


def check_milter_reply(session: Session, reply: str) -> str | None:
    """Logs what a milter wants and gives what the client is told: None to go on.

    ``H`` holds the message, ``D`` discards it, ``S`` ends the connection; replies 4xx and 5xx are
    passed on; all else is a mistake.
    """
    action = "milter-reject"
    shown = ""
    answer: str | None = None
    kind = reply[:1]
    if kind == "H":
        session.saved_flags |= CLEANUP_FLAG_HOLD
        action, shown = "milter-hold", "milter triggers HOLD action"
    elif kind == "D":
        session.saved_flags |= CLEANUP_FLAG_DISCARD
        action, shown = "milter-discard", "milter triggers DISCARD action"
    elif kind == "S":
        session.error_mask |= MAIL_ERROR_POLICY
        answer = "421 4.7.0 Server closing connection"
    elif kind in ("4", "5"):
        session.error_mask |= MAIL_ERROR_POLICY
        answer = reply
    else:
        session.error_mask |= MAIL_ERROR_SOFTWARE
        action = "reject"
        answer = "421 4.3.5 Server configuration error"
    session.process.log.info(
        f"{session.queue_id or 'NOQUEUE'}: {action}: {session.where} from {session.namaddr}: "
        f"{answer or shown};{whatsup(session)}"
    )
    return answer


def whatsup(session: Session) -> str:
    """What is known of the transaction, for the log (smtpd_whatsup)."""
    parts = []
    if session.sender is not None:
        parts.append(f" from=<{session.sender}>")
    if session.recipient is not None:
        parts.append(f" to=<{session.recipient}>")
    parts.append(f" proto={session.protocol}")
    if session.helo_name is not None:
        parts.append(f" helo=<{session.helo_name}>")
    return "".join(parts)
