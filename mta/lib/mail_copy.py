"""mail_copy(3) - the content of a queue file as mailboxes and commands want it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from mta.lib.mail_addr_names import MAIL_ADDR_MAIL_DAEMON
from mta.lib.requests import DeliverRequest
from mta.wire.mail_date import asctime
from mta.wire.quote import quote_822_local
from mta.wire.record import RecordError, content_lines, records
from mta.wire.text import to_bytes

if TYPE_CHECKING:
    from mta.master.server import Process

MAIL_COPY_QUOTE = 1 << 0  #: ``>`` before lines that begin with ``From ``
MAIL_COPY_TOFILE = 1 << 1  #: the destination is a file
MAIL_COPY_FROM = 1 << 2  #: a ``From `` line
MAIL_COPY_DELIVERED = 1 << 3  #: Delivered-To
MAIL_COPY_RETURN_PATH = 1 << 4  #: Return-Path
MAIL_COPY_DOT = 1 << 5  #: ``.`` before lines that begin with a dot
MAIL_COPY_BLANK = 1 << 6  #: an empty line at the end
MAIL_COPY_ORIG_RCPT = 1 << 7  #: X-Original-To
MAIL_COPY_MBOX = (
    MAIL_COPY_FROM
    | MAIL_COPY_QUOTE
    | MAIL_COPY_TOFILE
    | MAIL_COPY_DELIVERED
    | MAIL_COPY_RETURN_PATH
    | MAIL_COPY_BLANK
    | MAIL_COPY_ORIG_RCPT
)

#: The mode of a corrupt queue file, by which the queue manager knows it.
_MAIL_QUEUE_STAT_CORRUPT = 0o400


class CorruptError(Exception):
    """The queue file is damaged; it has been marked, and the log has been told."""


def mail_copy(
    process: Process,
    request: DeliverRequest,
    flags: int,
    *,
    sender: str,
    orig_rcpt: str,
    delivered: str,
    eol: bytes = b"\n",
) -> bytes:
    """The message with its envelope headers, as MAIL_COPY_* say.  Addresses are in internal form.
    Raises CorruptError.
    """
    head = _envelope(process, flags, sender, orig_rcpt, delivered, eol)
    lines = _content(process, request)
    if flags & (MAIL_COPY_QUOTE | MAIL_COPY_DOT):
        _quote(lines, flags)
    lines.append(b"")
    if flags & MAIL_COPY_BLANK:
        lines.append(b"")
    return head + eol.join(lines)


def _envelope(
    process: Process, flags: int, sender: str, orig_rcpt: str, delivered: str, eol: bytes
) -> bytes:
    lines: list[str] = []
    if flags & (MAIL_COPY_FROM | MAIL_COPY_RETURN_PATH):
        quoted = quote_822_local(sender) if sender else ""
        if flags & MAIL_COPY_FROM:
            date = asctime(process.now(), process.system.timezone)
            lines.append(f"From {quoted or MAIL_ADDR_MAIL_DAEMON}  {date}")
        if flags & MAIL_COPY_RETURN_PATH:
            lines.append(f"Return-Path: <{quoted}>")
    if flags & MAIL_COPY_ORIG_RCPT and orig_rcpt:
        lines.append(f"X-Original-To: {quote_822_local(orig_rcpt)}")
    if flags & MAIL_COPY_DELIVERED:
        lines.append(f"Delivered-To: {quote_822_local(delivered)}")
    return b"".join(to_bytes(line) + eol for line in lines)


def _content(process: Process, request: DeliverRequest) -> list[bytes]:
    """The lines of the message.  Raises CorruptError."""
    data, offset = request.file.data, request.data_offset
    end = offset + request.data_size
    try:
        if data[end : end + 1] != b"X":  # edited by a Milter, or not as it should be
            bad = _bad_end(data, offset)
            if bad is not None:
                raise RecordError(f"bad record type: {bad} in message content")
        return content_lines(data, offset, request.data_size)
    except RecordError as error:
        mark_corrupt(process, request, error.args[0])


def _bad_end(data: bytearray, offset: int) -> int | None:
    """The number of the record type that ends the content, where it is not X (-1: nothing)."""
    for _, rec_type, _ in records(data, offset):
        if rec_type not in "NL":
            return None if rec_type == "X" else ord(rec_type)
    return -1


def mark_corrupt(process: Process, request: DeliverRequest, why: str) -> NoReturn:
    """Marks the queue file as damaged (mark_corrupt(3)) and raises CorruptError."""
    process.log.warning(why)
    process.log.warning(f"corrupted queue file: {request.queue_name}/{request.queue_id}")
    request.file.mode = _MAIL_QUEUE_STAT_CORRUPT
    raise CorruptError(why)


def _quote(lines: list[bytes], flags: int) -> None:
    if flags & MAIL_COPY_QUOTE:
        for index, line in enumerate(lines):
            if line.startswith(b"From "):
                lines[index] = b">" + line
    if flags & MAIL_COPY_DOT:
        for index, line in enumerate(lines):
            if line.startswith(b"."):
                lines[index] = b"." + line


def check_file_limit(process: Process, request: DeliverRequest, limit: int) -> None:
    """A limit on files (``mailbox_size_limit``) below the size of the queue file is a defect of the
    configuration that ends the process, as in Postfix.  A limit of 0 is none.
    """
    size = len(request.file.data)
    if 0 < limit < size:
        process.log.panic(
            f"file size limit {limit} < message size {size}. This causes large messages to be "
            'delivered repeatedly after they were submitted with "sendmail -t" or after '
            "recipients were added with the Milter SMFIR_ADDRCPT request"
        )
