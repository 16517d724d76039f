"""The envelope segment: what the client says about the message (cleanup_envelope)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from mta.cleanup.addr import addr_recipient, addr_sender
from mta.cleanup.milter import emul_mail, emul_rcpt
from mta.cleanup.state import (
    CLEANUP_FLAG_INRCPT,
    CLEANUP_FLAG_MASK_EXTRA,
    CLEANUP_FLAG_WARN_SEEN,
    State,
)
from mta.lib.dsn_mask import dsn_notify_value, dsn_ret_value
from mta.lib.requests import (
    REWRITE_INVALID,
    REWRITE_LOCAL,
    SMTPUTF8_FLAG_REQUESTED,
)
from mta.system import Wait
from mta.util.scalars import C_SPACE, split_name_value, strtol
from mta.wire.record import (
    QMGR_READ_FLAG_MIXED_RCPT_OTHER,
    REC_TYPE_ATTR,
    REC_TYPE_CTIME,
    REC_TYPE_DONE,
    REC_TYPE_DRCP,
    REC_TYPE_DSN_ENVID,
    REC_TYPE_DSN_NOTIFY,
    REC_TYPE_DSN_ORCPT,
    REC_TYPE_DSN_RET,
    REC_TYPE_ENV_RECIPIENT,
    REC_TYPE_ENVELOPE,
    REC_TYPE_FLGS,
    REC_TYPE_FROM,
    REC_TYPE_FULL,
    REC_TYPE_MESG,
    REC_TYPE_MILT_COUNT,
    REC_TYPE_ORCP,
    REC_TYPE_RCPT,
    REC_TYPE_SIZE,
    REC_TYPE_TIME,
    REC_TYPE_VERP,
    REC_TYPE_WARN,
    SizeRecord,
    decode_time,
    encode,
    encode_size,
    encode_warn,
    rec_attr_map,
)
from mta.wire.text import to_text
from mta.wire.verp import verp_delims_verify

if TYPE_CHECKING:
    Records = list[tuple[str, bytes]]

#: Attributes that mean nothing to cleanup(8) while it reads them.
_PLAIN = frozenset(
    (
        b"client_address",
        b"client_address_type",
        b"client_name",
        b"client_port",
        b"encoding",
        b"helo_name",
        b"log_client_address",
        b"log_client_name",
        b"log_client_port",
        b"log_helo_name",
        b"log_ident",
        b"log_message_origin",
        b"log_protocol_name",
        b"protocol_name",
        b"reverse_client_name",
        b"sasl_method",
        b"sasl_sender",
        b"sasl_username",
    )
)
#: A value without blanks at its ends.
_CLEAN = re.compile(rb"[^ \t\n\v\f\r](?:.*[^ \t\n\v\f\r])?", re.S).fullmatch

#: The record that comes first; its numbers are filled in at the end.
_SIZE = encode_size(SizeRecord())


def envelope(state: State, records: Records) -> Wait[int]:
    """Processes records from the first on.  Returns the index of the one after the end of the
    segment; -1 where the segment has no end, or the message is lost.
    """
    state.put(REC_TYPE_SIZE, _SIZE)
    out, attr = state.out, state.attr
    room = state.process.conf.queue_file_attribute_count_limit
    for index, (rec_type, data) in enumerate(records):
        if rec_type == REC_TYPE_ATTR and not state.flags & CLEANUP_FLAG_INRCPT:
            plain = _plain(data)
            if plain is not None and len(attr) < room:
                name, value, record = plain
                attr[name] = value
                out += record
                continue
        if rec_type == REC_TYPE_RCPT:
            if _begins_recipients(state, rec_type):
                yield from recipient(state, to_text(data))
        elif rec_type == REC_TYPE_FROM:
            yield from _sender(state, to_text(data))
        elif rec_type == REC_TYPE_MESG:
            if _begins_recipients(state, rec_type):
                _end(state)
                return index + 1
        else:
            _other(state, rec_type, data)
        if not state.ok:
            return -1
    return -1


@lru_cache(maxsize=4096)
def _plain(data: bytes) -> tuple[str, str, bytes] | None:
    """Name, value and record of one of the many attributes that say who the client is and need
    nothing but a place; None for all others.
    """
    name, _, value = data.partition(b"=")
    if name in _PLAIN and _CLEAN(value) and len(data) < 128:
        return name.decode(), to_text(value), encode(REC_TYPE_ATTR, data)
    return None


def _begins_recipients(state: State, rec_type: str) -> bool:
    """On the way from other records to recipient records the delay warning's time is written.
    False where something is missing that must have come before.
    """
    if state.flags & CLEANUP_FLAG_INRCPT or rec_type not in REC_TYPE_ENV_RECIPIENT:
        return True
    if state.sender is None:
        state.bad("missing sender envelope record")
        return False
    if not state.arrival_time:
        state.bad("missing time envelope record")
        return False
    delay = state.tables.delay_warning_time
    if not state.flags & CLEANUP_FLAG_WARN_SEEN and state.sender and delay > 0:
        state.put(REC_TYPE_WARN, encode_warn(state.arrival_time // 1_000_000 + delay))
    state.flags |= CLEANUP_FLAG_INRCPT
    return True


def recipient(state: State, address: str) -> Wait[None]:
    """A recipient, of the envelope or taken out of the headers."""
    if state.sender is None:
        state.bad("envelope recipient precedes sender")
        return
    if state.orig_rcpt is None:
        state.orig_rcpt = address
    yield from addr_recipient(state, address)
    if state.tables.milters is not None and state.milters is None and state.milter_ok:
        yield from emul_rcpt(state, state.tables.milters, state.recip or "")
    forget_recipient(state)


def forget_recipient(state: State) -> None:
    """What was said of a recipient is of no use for the next."""
    state.orig_rcpt = None
    state.dsn_orcpt = None
    state.dsn_notify = 0


def _sender(state: State, address: str) -> Wait[None]:
    if state.flags & CLEANUP_FLAG_INRCPT:
        state.qmgr_opts |= QMGR_READ_FLAG_MIXED_RCPT_OTHER
    if state.sender is not None:
        state.bad("multiple envelope sender records")
        return
    offset = len(state.out)
    after = yield from addr_sender(state, address)
    if state.wants_padding:
        state.sender_pt_offset = offset
        state.sender_pt_target = after
    if state.tables.milters is not None and state.milters is None and state.milter_ok:
        yield from emul_mail(state, state.tables.milters, state.sender or "")


def _end(state: State) -> None:
    """The end of the segment: room for recipients that a milter may add."""
    if not state.flags & CLEANUP_FLAG_INRCPT:
        return
    if state.wants_padding:
        state.append_rcpt_pt_offset = len(state.out)
        state.put_ptr()
        state.append_rcpt_pt_target = len(state.out)
    state.flags &= ~CLEANUP_FLAG_INRCPT


def extra_flags(state: State, data: bytes) -> None:
    """Flags that smtpd(8) raises on the way (HOLD, DISCARD).  Not part of the queue file."""
    flags = strtol(to_text(data))[0]
    if flags & ~CLEANUP_FLAG_MASK_EXTRA:
        state.warn(f"ignoring bad extra flags: 0x{flags & 0xFFFFFFFF:x}")
    else:
        state.flags |= flags


def attribute(state: State, data: bytes) -> tuple[str, str] | None:
    """Name and value of an attribute record; None where it is malformed or has no value."""
    text = to_text(data)
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        pair = split_name_value(text)
        if isinstance(pair, str):
            state.bad(f"malformed attribute: {pair}: {text[:100]}")
            return None
        name, value = pair
    elif value and (value[0] in C_SPACE or value[-1] in C_SPACE):
        value = value.strip(C_SPACE)
    if not value:
        state.warn(f'spurious null attribute value for "{name}" -- ignored')
        return None
    return name, value


def _other(state: State, rec_type: str, data: bytes) -> None:
    """Any record but the sender, a recipient, or the end of the segment."""
    if rec_type == REC_TYPE_FLGS:
        extra_flags(state, data)
        return
    if rec_type == REC_TYPE_MILT_COUNT:
        # The milters themselves come with the message.
        return
    name = value = ""
    mapped = rec_type
    if rec_type == REC_TYPE_ATTR:
        pair = attribute(state, data)
        if pair is None:
            return
        name, value = pair
        mapped = rec_attr_map(name) or rec_type
    if rec_type not in REC_TYPE_ENVELOPE:
        state.bad(f"unexpected record type {ord(rec_type)} in envelope")
        return
    if not _begins_recipients(state, rec_type):
        return
    if rec_type in (REC_TYPE_DONE, REC_TYPE_DRCP):
        forget_recipient(state)
        return
    if mapped == rec_type:
        value = value or to_text(data)
    if recipient_attribute(state, mapped, value, to_text(data)):
        return
    if state.flags & CLEANUP_FLAG_INRCPT:
        # The queue manager must read on after the first recipients.
        state.qmgr_opts |= QMGR_READ_FLAG_MIXED_RCPT_OTHER
    handler = _HANDLERS.get(mapped)
    if handler is not None:
        handler(state, rec_type, value, data)
    elif rec_type == REC_TYPE_ATTR:
        _named(state, name, value, data)
    else:
        state.put(rec_type, data)


def recipient_attribute(
    state: State, mapped: str, value: str, shown: str, extracted: bool = False
) -> bool:
    """What is said of the recipient that comes next; False for all other records.  The wording of
    the warnings differs in the extracted segment.
    """
    if mapped == REC_TYPE_DSN_ORCPT:
        if state.dsn_orcpt is not None:
            state.warn(
                f"ignoring out-of-order DSN original recipient record <{state.dsn_orcpt[:200]}>"
            )
        state.dsn_orcpt = value
    elif mapped == REC_TYPE_DSN_NOTIFY:
        if state.dsn_notify:
            state.warn(f"ignoring out-of-order DSN notify record <{state.dsn_notify}>")
            state.dsn_notify = 0
        notify = dsn_notify_value(value)
        if notify:
            state.dsn_notify = notify
            state.qmgr_opts |= notify << 1
        else:
            dsn = "dsn" if extracted else "DSN"
            state.warn(f"ignoring malformed {dsn} notify record <{shown[:200]}>")
    elif mapped == REC_TYPE_ORCP:
        if state.orig_rcpt is not None:
            which = value if extracted else state.orig_rcpt
            state.warn(f"ignoring out-of-order original recipient record <{which[:200]}>")
        state.orig_rcpt = value
    else:
        return False
    return True


Handler = Callable[[State, str, str, bytes], None]
_HANDLERS: dict[str, Handler] = {}


def _handles(mapped: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        _HANDLERS[mapped] = handler
        return handler

    return register


@_handles(REC_TYPE_SIZE)
def _size(state: State, rec_type: str, value: str, data: bytes) -> None:
    """We make our own; and the request for SMTPUTF8 in it goes unseen."""
    state.smtputf8 &= SMTPUTF8_FLAG_REQUESTED


@_handles(REC_TYPE_CTIME)
def _ctime(state: State, rec_type: str, value: str, data: bytes) -> None:
    """We make our own."""


@_handles(REC_TYPE_TIME)
def _time(state: State, rec_type: str, value: str, data: bytes) -> None:
    """The arrival time: the first one counts.  Expiration is counted from now."""
    if not state.arrival_time:
        state.arrival_time = decode_time(data)
        state.put(rec_type, data)
    state.put(REC_TYPE_ATTR, b"create_time=%d" % (state.process.now() // 1_000_000))


@_handles(REC_TYPE_FULL)
def _full(state: State, rec_type: str, value: str, data: bytes) -> None:
    """The sender's name: the first one counts."""
    if state.fullname is None:
        state.fullname = value
        state.put(rec_type, data)


@_handles(REC_TYPE_DSN_ENVID)
def _envid(state: State, rec_type: str, value: str, data: bytes) -> None:
    """ENVID of RFC 3461."""
    if state.dsn_envid is not None:
        state.bad("multiple DSN envelope ID records")
    elif not (value.isascii() and value.isprintable()):
        state.bad("bad DSN envelope ID record")
    else:
        state.dsn_envid = value
        state.put(rec_type, data)


@_handles(REC_TYPE_DSN_RET)
def _ret(state: State, rec_type: str, value: str, data: bytes) -> None:
    """RET of RFC 3461."""
    if state.dsn_ret:
        state.bad("multiple DSN RET records")
        return
    ret = dsn_ret_value(value)
    if not ret:
        state.bad(f"bad DSN RET record <{to_text(data)[:200]}>")
        return
    state.dsn_ret = ret
    state.put(rec_type, data)


@_handles(REC_TYPE_WARN)
def _warn(state: State, rec_type: str, value: str, data: bytes) -> None:
    """The time of the delay warning: the first one counts."""
    if not state.flags & CLEANUP_FLAG_WARN_SEEN:
        state.flags |= CLEANUP_FLAG_WARN_SEEN
        state.put(rec_type, data)


@_handles(REC_TYPE_VERP)
def _verp(state: State, rec_type: str, value: str, data: bytes) -> None:
    """VERP delimiters: the first ones count."""
    if state.verp_delims is not None:
        return
    if not state.sender:
        state.warn("ignoring VERP request for null sender")
    elif verp_delims_verify(value, state.process.conf.verp_delimiter_filter):
        state.warn(f'ignoring bad VERP request: "{value[:100]}"')
    else:
        state.verp_delims = value
        state.put(rec_type, data)


def _named(state: State, name: str, value: str, data: bytes) -> None:
    """An attribute that is no record type of its own."""
    attr = state.attr
    if len(attr) >= state.process.conf.queue_file_attribute_count_limit:
        limit = state.process.conf.queue_file_attribute_count_limit
        state.bad(f"attribute count exceeds limit {limit}")
        return
    if name == "rewrite_context":
        if value == REWRITE_LOCAL:
            state.hdr_rewrite_context = REWRITE_LOCAL
        elif value == REWRITE_INVALID:
            domain = state.process.conf.remote_header_rewrite_domain
            state.hdr_rewrite_context = REWRITE_INVALID if domain else None
        else:
            state.bad(f"bad rewriting context: {value[:100]}")
            return
    attr[name] = value
    state.put(REC_TYPE_ATTR, data)
