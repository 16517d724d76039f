"""Requests and replies, with a transcript for the postmaster (smtpd_chat.c)."""

from __future__ import annotations

from mta.lib.mail_addr_names import mail_addr_double_bounce, mail_addr_mail_daemon
from mta.lib.post_mail import post_mail_open
from mta.smtpd.expand import expand_line
from mta.smtpd.state import SMTPD_FLAG_HANGUP, Session
from mta.system import Gone, Wait
from mta.util.line_wrap import line_wrap
from mta.wire.smtp_reply import smtp_reply_footer
from mta.wire.text import c_string, printable, to_bytes, to_text

#: Output waits no longer than this for more input (seconds).
_FLUSH_AFTER = 10
_WIDTH = 78
_INDENT = 4


def clip(text: str, size: int) -> str:
    """The first bytes of a text, as ``%.30s`` prints them."""
    return text[:size] if text.isascii() else to_text(to_bytes(text)[:size])


def chat_query(session: Session) -> Wait[bytes]:
    """The next line of the client without its end, for ``session.buffer`` as text.

    A line that is longer than ``line_length_limit`` is cut, with a warning.  The result are all its
    bytes; the text ends at a NUL, as Postfix reads it.  Raises SmtpEof, SmtpTimeout.
    """
    process = session.process
    client = session.client
    limit = process.conf.line_length_limit
    data = client.take(limit)
    if data is None:
        data = yield from client.get(limit)
        session.io_time = process.now()
    complete = client.complete
    while not client.complete:
        yield from client.get(limit)
    session.buffer = text = to_text(c_string(data))
    if session.notify_mask:
        session.history.append("In:  " + text)
    if not complete:
        shown = clip(printable(text, "?", process.conf.smtputf8_enable), 30)
        process.log.warning(f"{session.namaddr}: request longer than {limit}: {shown}...")
    return data


def chat_reply(session: Session, text: str) -> Wait[None]:
    """Sends a reply; lines of a longer one are separated by CR LF.

    Clients that make many errors have to wait for it (``smtpd_error_sleep_time``); rejections get
    ``smtpd_reject_footer``; ``soft_bounce`` makes 4xx of 5xx.  After 421 and 521 the connection
    ends.  Output stays in the buffer as long as there is input.  Raises SmtpEof, SmtpTimeout.
    """
    process = session.process
    conf = process.conf
    delay = 0
    if session.error_count >= conf.smtpd_soft_error_limit:
        delay = conf.smtpd_error_sleep_time
        if delay:
            yield process.system.sleep(delay)
    if text[:1] in "45" or "\r\n" in text:
        text = _final_text(session, text)
        if text.startswith(("421", "521")):
            session.flags |= SMTPD_FLAG_HANGUP
    if session.notify_mask:
        session.history.extend(["Out: " + line for line in text.split("\r\n")])
    session.client.put_line(to_bytes(text))
    if delay or process.now() // 1_000_000 - session.io_time // 1_000_000 > _FLUSH_AFTER:
        yield from session.client.flush()
        session.io_time = process.now()


def _final_text(session: Session, text: str) -> str:
    """A rejection, or a reply of several lines, as the client gets it."""
    conf = session.process.conf
    if conf.smtpd_reject_footer and text[:1] in "45":
        text = smtp_reply_footer(
            text, conf.smtpd_reject_footer, lambda line: expand_line(session, line)
        )
    if "\r\n" not in text and not conf.soft_bounce:
        return text
    lines = text.removesuffix("\r\n").split("\r\n")
    for place, line in enumerate(lines):
        if conf.soft_bounce and line[:1] == "5":
            line = "4" + (line[1:4] + "4" + line[5:] if line[4:5] == "5" else line[1:])
        if place < len(lines) - 1:
            line = f"{line[:3]}-{line[4:]}"
        lines[place] = line
    return "\r\n".join(lines)


def chat_reset(session: Session, threshold: int) -> Wait[None]:
    """Starts a new transcript when this one is longer than the threshold.  The postmaster gets it
    where something happened that ``notify_classes`` names.
    """
    if len(session.history) > threshold:
        if not session.stand_alone and session.error_mask & session.notify_mask:
            yield from chat_notify(session)
        session.error_mask = 0
        session.history = []


def chat_notify(session: Session) -> Wait[None]:
    """Mails the transcript to ``error_notice_recipient``."""
    process = session.process
    conf = process.conf
    recipient = conf.error_notice_recipient
    try:
        notice = yield from post_mail_open(
            process, mail_addr_double_bounce(process), recipient, "notify"
        )
        notice.text(
            f"From: {mail_addr_mail_daemon(process)} (Mail Delivery System)",
            f"To: {recipient} (Postmaster)",
            f"Subject: {conf.mail_name} SMTP server: errors from {session.namaddr}",
            "",
            "Transcript of session follows.",
            "",
        )
        for line in session.history:
            shown = printable(line, "?", conf.smtputf8_enable)
            notice.text(*(" " + part for part in line_wrap(shown, _WIDTH, _INDENT)))
        notice.text("")
        if session.reason is not None:
            notice.text(f"Session aborted, reason: {session.reason}")
        notice.text("", "For other details, see the local mail logfile")
        yield from notice.finish()
    except Gone as gone:
        process.log.warning(f"postmaster notify: {gone.args[0]}")
