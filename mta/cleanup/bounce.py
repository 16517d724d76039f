"""Mail that cleanup(8) itself sends back (cleanup_bounce): the client could not tell its sender."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.cleanup.state import State
from mta.lib.cleanup_strerror import cleanup_stat_detail
from mta.lib.delivery_status import bounce_append, bounce_flush
from mta.lib.dsn_mask import dsn_notify_value
from mta.lib.recipient import DSN_RET_HDRS, Recipient
from mta.lib.requests import (
    BOUNCE_FLAG_CLEAN,
    CLEANUP_FLAG_DISCARD,
    CLEANUP_STAT_CONT,
    CLEANUP_STAT_SIZE,
    CLEANUP_STAT_WRITE,
    FlushRequest,
)
from mta.system import Wait
from mta.util.scalars import split_name_value
from mta.wire.dsn import Dsn, dsn_split
from mta.wire.record import (
    REC_TYPE_ATTR,
    REC_TYPE_DONE,
    REC_TYPE_DRCP,
    REC_TYPE_DSN_NOTIFY,
    REC_TYPE_DSN_ORCPT,
    REC_TYPE_END,
    REC_TYPE_ORCP,
    REC_TYPE_RCPT,
    RecordError,
    rec_attr_map,
    records,
)
from mta.wire.text import to_text

if TYPE_CHECKING:
    from collections.abc import Iterator


def cleanup_bounce(state: State) -> Wait[None]:
    """Bounces all recipients and drops the message.  What goes wrong becomes CLEANUP_STAT_WRITE."""
    if state.reason is not None:
        status, text = dsn_split("5.0.0", state.reason)
    else:
        detail = cleanup_stat_detail(state.errs)
        status, text = detail.dsn, detail.text
    dsn = Dsn(status, text)
    found = False
    for recipient in queue_file_recipients(state):
        found = True
        yield from _append(state, recipient, dsn)
        if state.errs & CLEANUP_STAT_WRITE:
            break
    if not found and not state.errs & CLEANUP_STAT_WRITE:
        yield from _append(state, Recipient("unknown"), dsn)
    if not state.errs & CLEANUP_STAT_WRITE:
        yield from _flush(state)
    state.errs &= CLEANUP_STAT_WRITE
    if not state.errs:
        state.flags |= CLEANUP_FLAG_DISCARD


def queue_file_recipients(state: State) -> Iterator[Recipient]:
    """The recipients in the queue file, as far as it was written."""
    orcpt, notify = "", 0
    orig: str | None = None
    try:
        for offset, rec_type, data in records(state.out):
            if rec_type == REC_TYPE_END:
                return
            value = to_text(data)
            if rec_type == REC_TYPE_ATTR:
                pair = split_name_value(value)
                if isinstance(pair, str) or not pair[1]:
                    continue
                mapped = rec_attr_map(pair[0])
                if mapped:
                    rec_type, value = mapped, pair[1]
            if rec_type == REC_TYPE_DSN_ORCPT:
                orcpt = value
            elif rec_type == REC_TYPE_DSN_NOTIFY:
                notify = dsn_notify_value(value)
            elif rec_type == REC_TYPE_ORCP:
                orig = value
            elif rec_type in (REC_TYPE_RCPT, REC_TYPE_DRCP, REC_TYPE_DONE):
                if rec_type == REC_TYPE_RCPT:
                    yield Recipient(value, value if orig is None else orig, orcpt, notify, offset)
                orcpt, notify, orig = "", 0, None
    except RecordError as error:
        path = state.tables.queue.name(state.queue_name, state.queue_id)
        state.process.log.warning(f"{path}: {error.args[0]}")


def _append(state: State, recipient: Recipient, dsn: Dsn) -> Wait[None]:
    done = yield from bounce_append(
        state.process, BOUNCE_FLAG_CLEAN, state.queue_id, state.stats, recipient, "none", dsn
    )
    if not done:
        state.errs |= CLEANUP_STAT_WRITE


def _flush(state: State) -> Wait[None]:
    """Content that was refused, or is too much, does not go back."""
    headers_only = state.errs & (CLEANUP_STAT_CONT | CLEANUP_STAT_SIZE)
    verp = state.verp_delims
    if verp is None or state.process.conf.disable_verp_bounces:
        verp = ""
    request = FlushRequest(
        kind="verp" if verp else "bounce",
        flags=BOUNCE_FLAG_CLEAN,
        queue_name=state.queue_name,
        queue_id=state.queue_id,
        encoding=state.attr.get("encoding", ""),
        smtputf8=state.smtputf8,
        sender=state.sender or "",
        dsn_envid=state.dsn_envid or "",
        dsn_ret=DSN_RET_HDRS if headers_only else state.dsn_ret,
        verp=verp,
    )
    if not (yield from bounce_flush(state.process, request)):
        state.warn("bounce message failure")
        state.errs |= CLEANUP_STAT_WRITE
