"""The envelope and first header lines of internally generated mail (post_mail, int_filt)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mta.lib.requests import (
    CLEANUP_FLAG_AUTOUTF8,
    CLEANUP_FLAG_FILTER,
    CLEANUP_FLAG_MASK_INTERNAL,
    CLEANUP_FLAG_MILTER,
    CLEANUP_FLAG_SMTPUTF8,
    SMTPUTF8_FLAG_REQUESTED,
    CleanupMessage,
)
from mta.wire.mail_date import mail_date
from mta.wire.text import to_bytes

if TYPE_CHECKING:
    from mta.master.server import Process

#: Names of ``internal_mail_filter_classes``; only these two sources may be filtered at all.
_FILTERED = ("notify", "bounce")
_KNOWN = ("notify", "bounce", "sendmail", "smtpd", "qmqpd", "forward", "verify")
#: Names of ``smtputf8_autodetect_classes``.
_AUTODETECT = ("all", "bounce", "forward", "notify", "qmqpd", "sendmail", "smtpd", "verify")


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", text.lower()) if word]


def internal_filter_flags(process: Process, source: str) -> int:
    """Whether mail of that source passes content filters (int_filt_flags)."""
    words = _words(process.conf.internal_mail_filter_classes)
    if not words or source not in _FILTERED:
        return 0
    for word in words:
        if word not in _KNOWN:
            process.log.fatal(
                f'unknown internal_mail_filter_classes value "{word}" in '
                f'"{process.conf.internal_mail_filter_classes}"'
            )
    if source in words:
        return CLEANUP_FLAG_FILTER | CLEANUP_FLAG_MILTER
    return 0


def smtputf8_autodetect(process: Process, source: str) -> int:
    """CLEANUP_FLAG_AUTOUTF8 where mail of that source is examined (smtputf8_autodetect(3))."""
    conf = process.conf
    if not conf.smtputf8_enable:
        return 0
    words = _words(conf.smtputf8_autodetect_classes)
    for word in words:
        if word not in _AUTODETECT:
            process.log.fatal(
                f'unknown smtputf8_autodetect_classes value "{word}" in '
                f'"{conf.smtputf8_autodetect_classes}"'
            )
    return CLEANUP_FLAG_AUTOUTF8 if "all" in words or source in words else 0


def internal_flags(process: Process, source: str, smtputf8: int) -> int:
    """The CLEANUP_FLAG_* for a message of that source."""
    flags = internal_filter_flags(process, source) | CLEANUP_FLAG_MASK_INTERNAL
    flags |= smtputf8_autodetect(process, source)
    if smtputf8 & SMTPUTF8_FLAG_REQUESTED:
        flags |= CLEANUP_FLAG_SMTPUTF8
    return flags


def preamble(
    process: Process,
    message: CleanupMessage,
    sender: str,
    recipient: str,
    trace_flags: int,
    attributes: tuple[str, ...],
) -> None:
    """Envelope records, Received and Date (post_mail_init); ``attributes`` are further
    ``name=value`` records of the envelope.
    """
    now = process.now()
    seconds, micros = divmod(now, 1_000_000)
    date = mail_date(now, process.system.timezone)
    conf = process.conf
    records = message.records
    records.append(("T", f"{seconds} {micros}".encode()))
    records.append(("A", b"log_message_origin=local"))
    records.append(("A", f"trace_flags={trace_flags}".encode()))
    records.extend(("A", to_bytes(attribute)) for attribute in attributes)
    records.append(("S", to_bytes(sender)))
    records.append(("R", to_bytes(recipient)))
    records.append(("M", b""))
    for line in (
        f"Received: by {conf.myhostname} ({conf.mail_name})",
        f"\tid {message.queue_id}; {date}",
        f"Date: {date}",
    ):
        records.append(("N", to_bytes(line)))
