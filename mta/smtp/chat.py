"""smtp_chat(3): commands, replies, and what the postmaster gets to see of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from mta.dict.errors import TableError
from mta.lib.mail_addr_names import mail_addr_double_bounce, mail_addr_mail_daemon
from mta.lib.mail_error import MAIL_ERROR_PROTOCOL
from mta.lib.post_mail import post_mail_open
from mta.lib.smtp_stream import SmtpDataError
from mta.smtp.features import SMTP_FEATURE_PIPELINING
from mta.smtp.state import Session
from mta.system import Gone, Wait
from mta.util.line_wrap import line_wrap
from mta.wire.smtp_reply import ReplyReader, SmtpReply
from mta.wire.text import c_string, cut, printable, to_bytes, to_text

_LINE_LENGTH = 78
_INDENT = 4
#: A reply without any garbage.
_REPLY = re.compile(rb"(?:[0-9]{3}-[^\n\0]*\n)*[0-9]{3}(?: [^\n\0]*)?\r*\n")


def chat_cmd(session: Session, command: str) -> None:
    """Buffers a command; it leaves with the next flush, or before the next reply is read."""
    if session.history is not None:
        session.history.append(f"Out: {command}")
    session.stream.put_line(to_bytes(command))


def chat_resp(session: Session) -> Wait[SmtpReply]:
    """The next reply of the server.  Raises SmtpEof, SmtpTimeout, SmtpDataError."""
    client = session.state.client
    stream = session.stream
    if client.reply_filter is None:
        data = yield from stream.get_match(_REPLY, client.line_limit)
        session.iotime = client.process.now()
        if data is not None:
            lines, reply = _whole(data, client.utf8)
            if session.history is not None:
                session.history += [f"In:  {line}" for line in lines]
            return reply
    data = stream.take(client.line_limit)
    if data is None:
        data = yield from _get(session)
    elif not stream.complete:
        yield from stream.get(0)  # the rest of the line
        stream.complete = False
    return (yield from _long_reply(session, data))


@lru_cache(maxsize=1024)
def _whole(data: bytes, utf8: bool) -> tuple[tuple[str, ...], SmtpReply]:
    """The lines of a reply that is in order, made printable, and what they say."""
    reader = ReplyReader(len(data) + 1)
    lines = []
    for raw in data[:-1].split(b"\n"):
        line = printable(to_text(raw.rstrip(b"\r")), "?", utf8)
        lines.append(line)
        reader.add(line)
    return tuple(lines), reader.reply()


def _get(session: Session) -> Wait[bytes]:
    """The next line, without what is too long of it."""
    client = session.state.client
    data = yield from session.stream.get(client.line_limit, skip=True)
    session.iotime = client.process.now()
    return data


def _long_reply(session: Session, data: bytes) -> Wait[SmtpReply]:
    """The reply that begins with a line, which has been read, that is long or not its last."""
    client = session.state.client
    limit = client.line_limit
    reader = ReplyReader(limit)
    while True:
        line = printable(to_text(c_string(data)), "?", client.utf8)
        if not session.stream.complete:
            client.log.warning(
                f"{session.namaddrport}: response longer than {limit}: {cut(line, 30)}..."
            )
        storing = reader.storing
        if not storing and not reader.skipped:
            client.log.warning(
                f"{session.namaddrport}: multi-line response longer than {limit} "
                f"{cut(reader.text, 30)}..."
            )
        if storing and session.history is not None:
            session.history.append(f"In:  {line}")
        if client.reply_filter is not None:
            line = yield from _replaced(session, line, storing)
        if reader.add(line):
            return reader.reply()
        if reader.last_garbage:
            _garbage(session, line)
        data = yield from _get(session)


def _replaced(session: Session, line: str, storing: bool) -> Wait[str]:
    """The line that ``smtp_reply_filter`` puts in the place of one.  Raises SmtpDataError."""
    client = session.state.client
    table = client.reply_filter
    assert table is not None
    try:
        new = yield from table.lookup(line)
    except TableError:
        client.log.warning(
            f"{session.state.request.queue_id}: table {table.name} lookup error for {line}"
        )
        raise SmtpDataError from None
    if new is None:
        return line
    client.log.info(f'{session.namaddrport}: replacing server reply "{line}" with "{new}"')
    if storing and session.history is not None:
        session.history += ["Replaced-by: ", f"     {new}"]
    return new


def _garbage(session: Session, line: str) -> None:
    """A line that is no part of a reply."""
    client = session.state.client
    session.error_mask |= MAIL_ERROR_PROTOCOL
    if not session.features & SMTP_FEATURE_PIPELINING:
        return
    mode = "ESMTP" if client.smtp_mode else "LMTP"
    client.log.warning(
        f"{session.state.request.queue_id}: non-{mode} response from {session.namaddrport}: "
        f"{cut(line, 100)}"
    )
    if client.conf.helpful_warnings:
        client.log.warning(
            "to prevent loss of mail, turn off command pipelining for "
            f"{session.state.addr} with the "
            f"{client.name('smtp_discard_ehlo_keyword_address_maps')} parameter"
        )


def chat_notify(session: Session) -> Wait[None]:
    """Sends the transcript to ``error_notice_recipient`` (smtp_chat_notify)."""
    client = session.state.client
    process, conf = client.process, client.conf
    postmaster = conf.error_notice_recipient
    try:
        notice = yield from post_mail_open(
            process, mail_addr_double_bounce(process), postmaster, "notify"
        )
        notice.text(
            f"From: {mail_addr_mail_daemon(process)} (Mail Delivery System)",
            f"To: {postmaster} (Postmaster)",
            f"Subject: {conf.mail_name} {client.mode} client: errors from {session.namaddrport}",
            "",
            f"Unexpected response from {session.namaddrport}.",
            "",
            "Transcript of session follows.",
            "",
        )
        _transcript(session, notice.text)
        notice.text("", "For other details, see the local mail logfile")
        yield from notice.finish()
    except Gone as gone:
        client.log.warning(f"postmaster notify: {gone.args[0]}")


def _transcript(session: Session, put: Callable[[str], None]) -> None:
    utf8 = session.state.client.utf8
    for entry in session.history or ():
        for line in line_wrap(printable(entry, "?", utf8), _LINE_LENGTH, _INDENT):
            put(f" {line}")
