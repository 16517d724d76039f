"""The segment after the content: recipients from headers and the like (cleanup_extracted)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.cleanup.addr import addr_bcc
from mta.cleanup.envelope import (
    attribute,
    extra_flags,
    forget_recipient,
    recipient,
    recipient_attribute,
)
from mta.cleanup.state import CLEANUP_FLAG_END_SEEN, CLEANUP_FLAG_INRCPT, State
from mta.lib.requests import CLEANUP_FLAG_BCC_OK
from mta.system import Wait
from mta.wire.record import (
    QMGR_READ_FLAG_MIXED_RCPT_OTHER,
    REC_TYPE_ATTR,
    REC_TYPE_DONE,
    REC_TYPE_DRCP,
    REC_TYPE_END,
    REC_TYPE_EXT_RECIPIENT,
    REC_TYPE_EXTRACT,
    REC_TYPE_FILT,
    REC_TYPE_FLGS,
    REC_TYPE_RCPT,
    REC_TYPE_RDR,
    REC_TYPE_XTRA,
    rec_attr_map,
)
from mta.wire.text import to_bytes, to_text

if TYPE_CHECKING:
    Records = list[tuple[str, bytes]]


def extracted(state: State, records: Records, index: int) -> Wait[None]:
    """Processes the records from an index on, up to the end of the message."""
    if index < len(records):
        state.put(REC_TYPE_XTRA, b"")
    for rec_type, data in records[index:]:
        if not state.ok:
            return
        yield from _record(state, rec_type, data)
        if rec_type == REC_TYPE_END:
            return


def _record(state: State, rec_type: str, data: bytes) -> Wait[None]:
    if rec_type == REC_TYPE_FLGS:
        extra_flags(state, data)
        return
    if rec_type not in REC_TYPE_EXTRACT:
        state.bad(f"unexpected record type {ord(rec_type)} in extracted envelope")
        return
    value = to_text(data)
    mapped = rec_type
    if rec_type == REC_TYPE_ATTR:
        pair = attribute(state, data)
        if pair is None:
            return
        mapped = rec_attr_map(pair[0]) or rec_type
        if mapped != rec_type:
            value = pair[1]
    if not state.flags & CLEANUP_FLAG_INRCPT and mapped in REC_TYPE_EXT_RECIPIENT:
        _found_in_content(state)
    if mapped == REC_TYPE_RCPT:
        yield from recipient(state, value)
    elif mapped in (REC_TYPE_DONE, REC_TYPE_DRCP):
        forget_recipient(state)
    elif recipient_attribute(state, mapped, value, value, extracted=True):
        pass
    elif mapped == REC_TYPE_END:
        yield from _finish(state)
    else:
        if state.flags & CLEANUP_FLAG_INRCPT:
            state.qmgr_opts |= QMGR_READ_FLAG_MIXED_RCPT_OTHER
        state.put(mapped, data if mapped == rec_type else to_bytes(value))


def _found_in_content(state: State) -> None:
    """What the content had to say goes before the recipients: filter, redirection, encoding."""
    if state.filter is not None:
        state.put_text(REC_TYPE_FILT, state.filter)
    if state.redirect is not None:
        state.put_text(REC_TYPE_RDR, state.redirect)
    encoding = state.attr.get("encoding")
    if encoding is not None:
        state.put_text(REC_TYPE_ATTR, f"encoding={encoding}")
    state.flags |= CLEANUP_FLAG_INRCPT
    if state.wants_padding:
        state.append_meta_pt_offset = len(state.out)
        state.put_ptr()
        state.append_meta_pt_target = len(state.out)


def _finish(state: State) -> Wait[None]:
    """The end of the message: copies that nobody asked for."""
    if state.wants_padding and state.append_rcpt_pt_offset < 0:
        state.append_rcpt_pt_offset = len(state.out)
        state.put_ptr()
        state.append_rcpt_pt_target = len(state.out)
    state.flags &= ~CLEANUP_FLAG_INRCPT
    state.flags |= CLEANUP_FLAG_END_SEEN
    always_bcc: str = state.process.conf.always_bcc
    if state.flags & CLEANUP_FLAG_BCC_OK and state.recip is not None and always_bcc:
        yield from addr_bcc(state, always_bcc)
    if state.hbc_rcpt:
        if state.ok and state.recip is not None:
            for address in state.hbc_rcpt:
                yield from addr_bcc(state, address)
        state.hbc_rcpt = []
    state.put(REC_TYPE_END, b"")
