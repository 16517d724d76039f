"""Going back to an earlier stage of the conversation (helo_reset, mail_reset, rcpt_reset)."""

from __future__ import annotations

from mta.lib.requests import CLEANUP_STAT_OK
from mta.smtpd.state import SMTPD_MASK_MAIL_KEEP, Session, Xforward
from mta.system import Wait


def helo_reset(session: Session) -> Wait[None]:
    """Forgets HELO or EHLO."""
    if session.helo_name is not None:
        session.helo_name = None
        if not session.stand_alone and session.milters is not None:
            yield from session.milters.abort(session)


def abandon_message(session: Session) -> Wait[None]:
    """Has cleanup(8) throw away the message on its way, where there is one."""
    destination, session.dest, session.cleanup = session.dest, None, None
    if destination is not None:
        yield from destination.abort()


def mail_reset(session: Session) -> Wait[None]:
    """Ends the mail transaction: forgets MAIL and what was decided since."""
    session.msg_size = 0
    session.act_size = 0
    session.flags &= SMTPD_MASK_MAIL_KEEP
    if session.dest is not None:
        yield from abandon_message(session)
    session.err = CLEANUP_STAT_OK
    session.queue_id = None
    if session.sender is not None:
        if not session.stand_alone and session.milters is not None:
            yield from session.milters.abort(session)
        session.sender = None
    session.verp_delims = None
    session.proxy_mail = None
    session.saved_filter = None
    session.saved_redirect = None
    session.saved_bcc = None
    session.saved_flags = 0
    session.saved_delay = 0
    session.sasl_sender = None
    session.discard = False
    session.instance = ""
    if session.proxy is not None:
        session.proxy.free()
    if session.xforward.flags:
        session.xforward = Xforward()
    session.prepend = []
    session.dsn_envid = None


def rcpt_reset(session: Session) -> None:
    """Forgets the recipients."""
    session.recipient = None
    session.rcpt_count = 0
    session.rcpt_overshoot = 0
