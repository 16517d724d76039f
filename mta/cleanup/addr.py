"""Envelope addresses: what becomes of the sender, the recipients, and the automatic copies
(cleanup_addr).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.cleanup.recipient import out_recipient
from mta.cleanup.rewrite import canonical_recipient, canonical_sender, rewrite_internal
from mta.dict.errors import TableError
from mta.lib.mail_addr_find import mail_addr_find
from mta.lib.mail_addr_names import MAIL_ADDR_MAIL_DAEMON
from mta.lib.maps import Maps
from mta.lib.recipient import DSN_NOTIFY_NEVER
from mta.lib.requests import (
    CLEANUP_FLAG_AUTOUTF8,
    CLEANUP_FLAG_BCC_OK,
    CLEANUP_STAT_WRITE,
    SMTPUTF8_FLAG_REQUESTED,
    SMTPUTF8_FLAG_SENDER,
)
from mta.system import Wait
from mta.util.casefold import same_text, valid_utf8
from mta.wire.record import REC_TYPE_FROM, REC_TYPE_PTR, REC_TYPE_PTR_PAYL_SIZE
from mta.wire.text import to_bytes

if TYPE_CHECKING:
    from mta.cleanup.state import State

_DAEMON_AT = f"{MAIL_ADDR_MAIL_DAEMON}@".lower()


def addr_sender(state: State, text: str) -> Wait[int]:
    """The envelope sender: rewritten, written, and maybe with a copy to somebody.  Returns the
    place after its record (with the padding that milters need), 0 without milters.

    ``MAILER-DAEMON@$myorigin`` becomes the null address.
    """
    tables = state.tables
    address = yield from rewrite_internal(state, text)
    if address[: len(_DAEMON_AT)].lower() == _DAEMON_AT:
        daemon = yield from rewrite_internal(state, MAIL_ADDR_MAIL_DAEMON)
        if same_text(address, daemon, tables.utf8):
            address = ""
    address = yield from canonical_sender(state, address)
    if not address.isascii() and tables.utf8 and valid_utf8(address):
        state.smtputf8 |= SMTPUTF8_FLAG_SENDER
        if state.flags & CLEANUP_FLAG_AUTOUTF8:
            state.smtputf8 |= SMTPUTF8_FLAG_REQUESTED
    data = to_bytes(address)
    state.put(REC_TYPE_FROM, data)
    state.sender = address
    after = 0
    if state.wants_padding:
        if len(data) < REC_TYPE_PTR_PAYL_SIZE:
            state.pad(REC_TYPE_PTR, REC_TYPE_PTR_PAYL_SIZE - len(data))
        after = len(state.out)
    if state.flags & CLEANUP_FLAG_BCC_OK and address and tables.send_bcc_maps is not None:
        yield from _bcc_maps(state, tables.send_bcc_maps, address)
    return after


def addr_recipient(state: State, text: str) -> Wait[None]:
    """An envelope recipient.  The null address becomes ``empty_address_recipient``."""
    tables = state.tables
    text = text or state.process.conf.empty_address_recipient
    address = yield from rewrite_internal(state, text)
    address = yield from canonical_recipient(state, address)
    _autodetect(state, address)
    if state.dsn_orcpt is None and address:
        utf8 = not address.isascii() and state.smtputf8 & SMTPUTF8_FLAG_REQUESTED
        state.dsn_orcpt = f"utf-8;{address}" if utf8 else f"rfc822;{address}"
    yield from out_recipient(
        state, state.dsn_orcpt or "", state.dsn_notify, state.orig_rcpt or "", address
    )
    state.recip = address
    if state.flags & CLEANUP_FLAG_BCC_OK and address and tables.rcpt_bcc_maps is not None:
        yield from _bcc_maps(state, tables.rcpt_bcc_maps, address)


def addr_bcc(
    state: State, text: str, dsn_orcpt: str = "", dsn_notify: int = DSN_NOTIFY_NEVER
) -> Wait[None]:
    """A recipient that we add ourselves; by default nobody is told what becomes of it."""
    address = yield from rewrite_internal(state, text)
    address = yield from canonical_recipient(state, address)
    _autodetect(state, address)
    yield from out_recipient(state, dsn_orcpt, dsn_notify, address, address)


def _autodetect(state: State, address: str) -> None:
    """A UTF-8 recipient makes the message an SMTPUTF8 one, where mail is examined for that."""
    if (
        not address.isascii()
        and state.tables.utf8
        and state.flags & CLEANUP_FLAG_AUTOUTF8
        and valid_utf8(address)
    ):
        state.smtputf8 |= SMTPUTF8_FLAG_REQUESTED


def _bcc_maps(state: State, maps: Maps, address: str) -> Wait[None]:
    """``sender_bcc_maps`` and ``recipient_bcc_maps``."""
    try:
        found = yield from mail_addr_find(state.process, maps, address)
    except TableError:
        state.warn(f"{maps.title} map lookup problem -- message not accepted, try again later")
        state.errs |= CLEANUP_STAT_WRITE
        return
    if found is not None:
        yield from addr_bcc(state, found.value)
