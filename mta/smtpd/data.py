"""DATA, the message content, and the reply to its end (data_cmd)."""

from __future__ import annotations

import re

from mta.lib.cleanup_strerror import cleanup_stat_detail
from mta.lib.crash import Crash
from mta.lib.mail_error import (
    MAIL_ERROR_BOUNCE,
    MAIL_ERROR_POLICY,
    MAIL_ERROR_RESOURCE,
    MAIL_ERROR_SOFTWARE,
)
from mta.lib.recipient import DSN_NOTIFY_NEVER
from mta.lib.requests import (
    CLEANUP_STAT_BAD,
    CLEANUP_STAT_CONT,
    CLEANUP_STAT_DEFER,
    CLEANUP_STAT_HOPS,
    CLEANUP_STAT_OK,
    CLEANUP_STAT_PROXY,
    CLEANUP_STAT_SIZE,
    CLEANUP_STAT_WRITE,
)
from mta.smtpd.chat import chat_reply, chat_reset
from mta.smtpd.commands import protocol_error
from mta.smtpd.milter import check_milter_reply, milters_of, whatsup
from mta.smtpd.proxy import WANT_ANY, WANT_MORE
from mta.smtpd.received import received_lines
from mta.smtpd.reset import abandon_message, mail_reset, rcpt_reset
from mta.smtpd.state import SMTPD_AFTER_DATA, SMTPD_AFTER_DOT, Session
from mta.smtpd.token import Token
from mta.system import Wait
from mta.wire.text import c_string, printable, to_bytes

Records = list[tuple[str, bytes]]

_FROM_LINE = re.compile(rb">*From ")
_SMTP_REJECT = re.compile(r"[45][0-9]{2}(?:[ -]|$)")


def data_cmd(session: Session, argv: list[Token]) -> Wait[bool]:
    """DATA and the message."""
    refusal = yield from _refusal(session, argv)
    if refusal is not None:
        if refusal:
            yield from chat_reply(session, refusal)
        return False
    yield from _begin_content(session)
    yield from chat_reply(session, "354 End data with <CR><LF>.<CR><LF>")
    session.where = SMTPD_AFTER_DATA
    yield from _copy_content(session)
    session.where = SMTPD_AFTER_DOT
    if session.err == CLEANUP_STAT_OK and not session.stand_alone:
        refusal = yield from session.server.checks.check_eod(session)
        if refusal is not None:
            yield from chat_reply(session, refusal)
            if session.proxy is not None:
                session.proxy.close()
            else:
                yield from abandon_message(session)
            return False
    return (yield from _finish(session))


def _refusal(session: Session, argv: list[Token]) -> Wait[str | None]:
    """Why there may be no content: a reply, or nothing when it was sent; None to go on."""
    if session.rcpt_count == 0:
        if session.in_mail_transaction:
            return "554 5.5.1 Error: no valid recipients"
        yield from protocol_error(session, "503 5.5.1 Error: need RCPT command")
        return ""
    if len(argv) != 1:
        yield from protocol_error(session, "501 5.5.4 Syntax: DATA")
        return ""
    if not session.stand_alone:
        refusal: str | None = yield from session.server.checks.check_data(session)
        if refusal is not None:
            return refusal
    milters = milters_of(session)
    if milters is not None:
        reply = yield from milters.data(session)
        if reply is not None:
            answer = check_milter_reply(session, reply)
            if answer is not None:
                return answer
    if session.proxy is not None:
        refusal = yield from session.proxy.command(WANT_MORE, session.buffer)
        return refusal
    return None


def _begin_content(session: Session) -> Wait[None]:
    """Ends the envelope, and writes what stands above the client's own header."""
    message = session.cleanup
    if message is None and session.proxy is None:
        raise Crash("DATA after a rejection at the end of data")
    if message is not None:
        if not session.stand_alone:
            milters = milters_of(session)
            if milters is not None:
                yield from milters.send_to_cleanup(session, message)
            if session.saved_flags:
                message.records.append(("f", b"%d" % session.saved_flags))
        message.records.append(("M", b""))
    lines = list(session.prepend)
    if session.proxy is None or not session.xforward.flags:
        lines += received_lines(session)
    yield from _store(session, [("N", to_bytes(line)) for line in lines])


def _store(session: Session, records: Records) -> Wait[None]:
    """Sends content on its way."""
    if session.proxy is not None:
        if not (yield from session.proxy.put(records)):
            session.err = CLEANUP_STAT_PROXY
    elif session.cleanup is not None:
        session.cleanup.records += records


# -- the content ------------------------------------------------------------------------------


def _copy_content(session: Session) -> Wait[None]:
    """Takes the content up to the lone dot.  After trouble the rest is read and thrown away."""
    client = session.client
    limit = session.process.conf.line_length_limit
    previous = yield from _first_lines(session, limit)
    unstuff = session.proxy is None
    done = previous is None
    kind = previous or ""
    direct = session.cleanup.records if session.cleanup is not None and unstuff else None
    maximum = session.process.conf.message_size_limit
    while not done:
        records, done = yield from client.get_text(limit, kind, unstuff)
        if not records:
            continue
        kind = records[-1][0]
        if session.err != CLEANUP_STAT_OK:
            continue
        size = 2 * len(records) + sum([len(record[1]) for record in records])
        if maximum <= 0 or session.act_size + size <= maximum:
            session.act_size += size
            if direct is not None:
                direct += records
            else:
                yield from _store(session, records)
        else:
            yield from _store_some(session, records, maximum)


def _store_some(session: Session, records: Records, maximum: int) -> Wait[None]:
    """Takes as many records as there is room for under ``message_size_limit``."""
    for place, (_, data) in enumerate(records):
        size = len(data) + 2
        if 0 < maximum < session.act_size + size:
            session.err = CLEANUP_STAT_SIZE
            session.process.log.warning(
                f"{session.queue_id or 'NOQUEUE'}: queue file size limit exceeded"
            )
            records = records[:place]
            break
        session.act_size += size
    yield from _store(session, records)


def _first_lines(session: Session, limit: int) -> Wait[str | None]:
    """The first line, and ``From `` lines of mailbox files before it; the type of the record, None
    where the content is empty.  A first line that begins with a blank must not become part of the
    Received header.
    """
    client = session.client
    kind = ""
    while True:
        data = yield from client.get(limit)
        previous, kind = kind, "N" if client.complete else "L"
        if not _FROM_LINE.match(data):
            break
        yield from _store(session, [(kind, b"X-Mailbox-Line: " + c_string(data))])
    if data[:1] in (b" ", b"\t"):
        yield from _store(session, [("N", b"")])
    if previous != "L" and data.startswith(b"."):
        if data == b".":
            return None
        if session.proxy is None:
            data = data[1:]
    if session.err == CLEANUP_STAT_OK:
        yield from _store_some(session, [(kind, data)], session.process.conf.message_size_limit)
    return kind


# -- the end of the content -------------------------------------------------------------------


def _finish(session: Session) -> Wait[bool]:
    """Hands the message over and tells the client what came of it."""
    reason = ""
    proxy = session.proxy
    if proxy is not None:
        if session.err == CLEANUP_STAT_OK:
            yield from proxy.command(WANT_ANY, ".")
            if session.err == CLEANUP_STAT_OK and not proxy.reply.startswith("2"):
                session.err = CLEANUP_STAT_CONT
    elif session.err == CLEANUP_STAT_OK and session.dest is not None:
        _end_records(session)
        destination, session.dest, session.cleanup = session.dest, None, None
        outcome = yield from destination.finish()
        session.err = outcome.status
        reason = printable(outcome.reason, " ", session.process.conf.smtputf8_enable)
    else:
        yield from abandon_message(session)
    if session.milters is not None and session.err & CLEANUP_STAT_WRITE:
        session.access_denied = "421 4.3.0 Mail system error"
    yield from chat_reply(session, _outcome(session, reason))
    if proxy is not None:
        verdict = "accept" if session.err == CLEANUP_STAT_OK else "reject"
        session.process.log.info(
            f"proxy-{verdict}: {session.where}: {proxy.reply};{whatsup(session)}"
        )
    good = session.err == CLEANUP_STAT_OK
    yield from chat_reset(session, session.process.conf.smtpd_history_flush_threshold)
    yield from mail_reset(session)
    rcpt_reset(session)
    return good


def _end_records(session: Session) -> None:
    """What access tables decided, and the end of the queue file."""
    if session.cleanup is None:
        return
    put = session.cleanup.records.append
    put(("X", b""))
    if session.saved_filter is not None:
        put(("L", to_bytes(session.saved_filter)))
    if session.saved_redirect is not None:
        put((">", to_bytes(session.saved_redirect)))
    if session.saved_bcc is not None:
        put(("R", to_bytes(session.saved_bcc)))
        put(("A", b"notify_flags=%d" % DSN_NOTIFY_NEVER))
    if session.saved_flags:
        put(("f", b"%d" % session.saved_flags))
    if session.saved_delay:
        put(("d", b"%d" % session.saved_delay))
    put(("E", b""))


#: Kinds of trouble, the gravest first: the bit, what the postmaster calls it, and whether cleanup's
#: (or the filter's) own text is for the client.
_TROUBLES = (
    (CLEANUP_STAT_DEFER, MAIL_ERROR_POLICY, True),
    (CLEANUP_STAT_BAD, MAIL_ERROR_SOFTWARE, False),
    (CLEANUP_STAT_SIZE, MAIL_ERROR_BOUNCE, False),
    (CLEANUP_STAT_HOPS, MAIL_ERROR_BOUNCE, False),
    (CLEANUP_STAT_CONT, MAIL_ERROR_POLICY, True),
    (CLEANUP_STAT_WRITE, MAIL_ERROR_RESOURCE, False),
    (CLEANUP_STAT_PROXY, MAIL_ERROR_SOFTWARE, False),
)


def _outcome(session: Session, reason: str) -> str:
    """The reply to the end of the content.  Who sends good mail is forgiven earlier errors."""
    err = session.err
    proxy = session.proxy
    if err == CLEANUP_STAT_OK:
        session.error_count = 0
        session.error_mask = 0
        session.junk_cmds = 0
        if proxy is not None:
            return str(proxy.reply)
        return f"250 2.0.0 Ok: queued as {session.queue_id}"
    if _SMTP_REJECT.match(reason):
        session.error_mask |= MAIL_ERROR_POLICY
        return reason
    for bit, error, own_text in _TROUBLES:
        if not err & bit:
            continue
        session.error_mask |= error
        if proxy is not None and bit in (CLEANUP_STAT_CONT, CLEANUP_STAT_PROXY):
            return str(proxy.reply)
        detail = cleanup_stat_detail(bit)
        if own_text and reason:
            return f"{detail.smtp} {reason}"
        text = f"internal error {err}" if bit == CLEANUP_STAT_BAD else detail.text
        return f"{detail.smtp} {detail.dsn} Error: {text}"
    session.error_mask |= MAIL_ERROR_SOFTWARE
    detail = cleanup_stat_detail(CLEANUP_STAT_BAD)
    return f"{detail.smtp} {detail.dsn} Error: internal error {err}"
