"""smtp_trouble(3), smtp_rcpt(3): what becomes of recipients, for better or worse.

Three ranges of trouble: a server (``site_fail``, ``sess_fail``: the queue manager learns of it), a
message (``mesg_fail``), a recipient (``rcpt_fail``).  A temporary error (or a permanent one with
``soft_bounce``) is only logged while there is another server to try; else recipients are deferred
or bounced.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from mta.lib.deliver_completed import deliver_completed
from mta.lib.delivery_status import NO_RELAY_AGENT, bounce_append, defer_append, sent
from mta.lib.mail_error import MAIL_ERROR_DATA, MAIL_ERROR_PROTOCOL
from mta.lib.recipient import DSN_NOTIFY_SUCCESS, Recipient
from mta.lib.requests import DEL_REQ_FLAG_SUCCESS
from mta.lib.smtp_stream import SmtpDataError, SmtpEof, SmtpError, SmtpTimeout
from mta.smtp.features import SMTP_FEATURE_DSN
from mta.smtp.state import DROP, KEEP, UNMARKED, Session, State
from mta.system import Wait
from mta.wire.dsn import Dsn
from mta.wire.smtp_reply import SmtpReply

#: The result of a dialogue that failed.
FAILED: Literal[-1] = -1


def local_reply(status: str) -> SmtpReply:
    """What stands for a reply where we are not content ourselves (SMTP_RESP_FAKE)."""
    return SmtpReply(0, status, "")


def one_line(reply: SmtpReply) -> str:
    """The text of a reply in one line."""
    return reply.text.replace("\n", " ")


def said(session: Session, reply: SmtpReply, command: str) -> str:
    """``host X[addr] said: 550 no (in reply to RCPT TO command)``."""
    return f"host {session.namaddr} said: {one_line(reply)} (in reply to {command})"


# -- a server, a message --------------------------------------------------------------------------


def site_fail(state: State, reply: SmtpReply, text: str) -> Wait[int]:
    """We cannot use this server.  A reply with code 0 is our own."""
    _fill(state, reply, text)
    return (yield from _bulk_fail(state, throttle=True))


def mesg_fail(state: State, reply: SmtpReply, text: str) -> Wait[int]:
    """The server does not want this message."""
    _fill(state, reply, text)
    return (yield from _bulk_fail(state, throttle=False))


def sess_fail(state: State) -> Wait[int]:
    """No server was left to try; ``state.why`` says what was wrong with the last one."""
    return (yield from _bulk_fail(state, throttle=True))


def stream_except(state: State, error: SmtpError, doing: str) -> Wait[int]:
    """Input or output has failed."""
    session, why = state.session, state.why
    assert session is not None
    if isinstance(error, SmtpEof):
        session.broken = True
        why.simple("4.4.2", f"lost connection with {session.namaddr} while {doing}")
    elif isinstance(error, SmtpTimeout):
        session.broken = True
        why.simple("4.4.2", f"conversation with {session.namaddr} timed out while {doing}")
    else:
        assert isinstance(error, SmtpDataError)
        session.error_mask |= MAIL_ERROR_DATA
        why.simple("4.3.0", f"local data error while talking to {session.namaddr}")
    if session.tls_context is not None and state.client.tls is not None:
        yield from state.client.tls.broken(state, session, error)
    return (yield from _bulk_fail(state, throttle=True))


def _fill(state: State, reply: SmtpReply, text: str) -> None:
    """``state.why`` for a failure (vsmtp_fill_dsn), and whether the postmaster should know."""
    why, status = state.why, reply.dsn
    if not reply.code and not reply.text:
        why.simple(status, text)
        return
    if status[0] not in "45":
        text = f"Protocol error: {text}"
        status = "5.5.0"
    why.simple(status, text)
    why.mtype, why.mname = "dns", state.host
    why.dtype, why.dtext = "smtp", one_line(reply)
    code = reply.code
    if state.session is not None and (not 400 <= code <= 599 or code == 555 or 500 <= code < 510):
        state.session.error_mask |= MAIL_ERROR_PROTOCOL


def _may_retry(state: State) -> bool:
    """Whether an error qualifies for another server, and there is one."""
    why = state.why
    return not state.final_server and (
        why.soft or (why.hard and bool(state.client.conf.soft_bounce))
    )


def _bulk_fail(state: State, throttle: bool) -> Wait[int]:
    """Skips, defers or bounces all recipients whose fate is open."""
    session, why = state.session, state.why
    marks = state.marks
    if _may_retry(state):
        state.client.log.info(f"{state.request.queue_id}: {why.reason}")
        state.marks = [mark or KEEP for mark in marks]
    else:
        stats = state.request.stats
        now = state.client.process.now()
        if not stats.conn_setup_done:
            stats.conn_setup_done = now
        stats.deliver_done = now
        dsn = why.dsn()
        left_over = False
        for index, recipient in enumerate(state.left):
            if marks[index] == UNMARKED:
                if not (yield from _report(state, recipient, dsn)):
                    left_over = True
                marks[index] = DROP
        if left_over:
            state.deferred = True
            if throttle and not state.complete_session and state.hop_status is None:
                state.hop_status = dsn
    if throttle and session is not None:
        session.expire_time = -1
    return FAILED


def _report(state: State, recipient: Recipient, dsn: Dsn) -> Wait[bool]:
    """Defers or bounces a recipient; whether it is finished."""
    request, session = state.request, state.session
    report = defer_append if dsn.status[0] == "4" else bounce_append
    finished = yield from report(
        state.client.process,
        state.trace_flags,
        request.queue_id,
        request.stats,
        recipient,
        session.namaddrport if session is not None else NO_RELAY_AGENT,
        dsn,
    )
    if finished:
        deliver_completed(request.file, recipient.offset)
    return finished


# -- a recipient ----------------------------------------------------------------------------------


def rcpt_fail(state: State, index: int, reply: SmtpReply, text: str) -> Wait[None]:
    """The server does not want a recipient (by its index among those left)."""
    _fill(state, reply, text)
    if _may_retry(state):
        state.client.log.info(f"{state.request.queue_id}: {state.why.reason}")
        state.marks[index] = KEEP
        return
    if not (yield from _report(state, state.left[index], state.why.dsn())):
        state.deferred = True
    state.marks[index] = DROP


def rcpt_done(state: State, index: int, reply: SmtpReply) -> Wait[None]:
    """The server has taken responsibility for a recipient."""
    request, session, client = state.request, state.session, state.client
    assert session is not None
    recipient = state.left[index]
    action = "relayed"
    if session.features & SMTP_FEATURE_DSN:
        # It tells the sender itself.
        if recipient.dsn_notify & DSN_NOTIFY_SUCCESS:
            notify = recipient.dsn_notify & ~DSN_NOTIFY_SUCCESS
            recipient = state.left[index] = replace(recipient, dsn_notify=notify)
    elif not client.smtp_mode and client.conf.lmtp_assume_final:
        action = "delivered"
    text = one_line(reply)
    dsn = Dsn(reply.dsn, text, action, "smtp", text, "dns", state.host)
    finished = yield from sent(
        client.process,
        state.trace_flags,
        request.queue_id,
        request.stats,
        recipient,
        session.namaddrport,
        dsn,
    )
    if not finished:
        state.deferred = True
    elif request.flags & DEL_REQ_FLAG_SUCCESS:
        deliver_completed(request.file, recipient.offset)
    state.marks[index] = DROP


def rcpt_cleanup(state: State) -> None:
    """The end of a session: what is left are the recipients for another server."""
    marks = state.marks
    if UNMARKED in marks:
        state.client.log.panic("smtp_rcpt_cleanup: recipient count mismatch")
    state.left = [r for r, mark in zip(state.left, marks, strict=True) if mark == KEEP]
    state.marks = [UNMARKED] * len(state.left)
