"""The headers of a message: checks, rewriting, and those that are missing (cleanup_message).

Headers are bytes, with newlines between their lines.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mta.cleanup.act import act
from mta.cleanup.rewrite import map11_external, masquerade_external, rewrite_external
from mta.cleanup.tables import HDR_FROM, HDR_RCPT
from mta.dict.errors import TableError
from mta.lib.header_body_checks import HBC_CTXT_HEADER
from mta.lib.mail_addr_names import MAIL_ADDR_MAIL_DAEMON
from mta.lib.requests import (
    CLEANUP_FLAG_FILTER,
    CLEANUP_FLAG_MAP_OK,
    CLEANUP_STAT_HOPS,
    CLEANUP_STAT_WRITE,
)
from mta.system import Wait
from mta.wire.header_opts import (
    HDR_CC,
    HDR_CONTENT_TRANSFER_ENCODING,
    HDR_DATE,
    HDR_MESSAGE_ID,
    HDR_OPT_DROP,
    HDR_OPT_MIME,
    HDR_OPT_RECIP,
    HDR_OPT_RR,
    HDR_OPT_SENDER,
    HDR_RECEIVED,
    HDR_RESENT_CC,
    HDR_RESENT_DATE,
    HDR_RESENT_FROM,
    HDR_RESENT_MESSAGE_ID,
    HDR_RESENT_TO,
    HDR_TO,
    HeaderOpts,
    is_header,
)
from mta.wire.header_opts import (
    HDR_FROM as HDR_TYPE_FROM,
)
from mta.wire.mail_date import local_time, mail_date
from mta.wire.mime_state import MIME_HDR_MULTIPART, MIME_HDR_NESTED, MIME_HDR_PRIMARY
from mta.wire.quote import quote_822_local
from mta.wire.text import to_bytes, to_text
from mta.wire.tok822 import (
    TOK822_ADDR,
    TOK822_STR_HEAD,
    Token,
    tok822_externalize,
    tok822_grep,
    tok822_parse,
    tok822_scan,
)

if TYPE_CHECKING:
    from mta.cleanup.state import State
    from mta.lib.maps import Maps

_SPACE = b" \t\n\v\f\r"
_FOLD = 70
_VISIBLE = 1 << HDR_TO | 1 << HDR_RESENT_TO | 1 << HDR_CC | 1 << HDR_RESENT_CC

_WORD = r"[A-Za-z0-9_+-]+"
_PLAIN = rf"{_WORD}(?:\.{_WORD})*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
#: A header with one address of the plainest kind, which rewriting leaves alone more often than not.
_SIMPLE = re.compile(
    rf"""[A-Za-z-]+:[ \t]*(?:({_PLAIN})|(?:"[^"\\\n]*"|[A-Za-z0-9 ]*)[ \t]*<({_PLAIN})>)[ \t]*"""
)


def header(
    state: State, header_class: int, opts: HeaderOpts | None, text: bytes
) -> Wait[None]:
    """Processes one header of a class (MIME_HDR_*); ``opts`` is what is known of its name."""
    if opts is not None:
        if opts.flags & HDR_OPT_MIME:
            header_class = MIME_HDR_MULTIPART
        if opts.type == HDR_RECEIVED:
            state.hop_count += 1
    if state.flags & CLEANUP_FLAG_FILTER and state.tables.examines:
        checked = yield from _check(state, header_class, text)
        if checked is None:
            return
        if checked is not text:
            text = checked
            opts = state.tables.header_table.find(to_text(text))
    if opts is None:
        state.put_header(text)
        return
    value = text[len(opts.name) + 1 :].lstrip(_SPACE)
    if opts.type == HDR_CONTENT_TRANSFER_ENCODING and state.tables.detect_8bit_encoding_header:
        if value.lower() in (b"8bit", b"binary"):
            state.attr["encoding"] = "8bit"
    if header_class != MIME_HDR_PRIMARY:
        state.put_header(text)
        return
    yield from _known(state, opts, text, value)


def _check(state: State, header_class: int, text: bytes) -> Wait[bytes | None]:
    """Header checks: the header as it is to be (the same object: unchanged), None to drop it."""
    tables = state.tables
    if header_class == MIME_HDR_PRIMARY:
        maps, map_class = tables.header_checks, "header_checks"
    elif header_class == MIME_HDR_NESTED:
        maps, map_class = tables.nested_header_checks, "nested_header_checks"
    else:
        maps, map_class = tables.mime_header_checks, "mime_header_checks"
    if maps is None:
        return text
    shown = to_text(text)
    try:
        value = yield from maps.find(shown)
    except TableError:
        state.warn(f"{maps.title} map lookup problem -- message not accepted, try again later")
        state.errs |= CLEANUP_STAT_WRITE
        return text
    if value is None:
        return text
    result = act(state, HBC_CTXT_HEADER, shown, value, map_class)
    if result is None:
        return None
    return text if result is shown else to_bytes(result)


def _known(state: State, opts: HeaderOpts, text: bytes, value: bytes) -> Wait[None]:
    """A primary header that Postfix has an interest in."""
    kind = opts.type
    state.headers_seen |= 1 << kind
    if kind == HDR_MESSAGE_ID:
        state.process.log.info(f"{state.queue_id}: message-id={to_text(value)}")
    elif kind == HDR_RESENT_MESSAGE_ID:
        state.process.log.info(f"{state.queue_id}: resent-message-id={to_text(value)}")
    elif kind == HDR_RECEIVED:
        if state.hop_count >= state.tables.hopcount_limit:
            state.warn("message rejected: hopcount exceeded")
            state.errs |= CLEANUP_STAT_HOPS
        if state.hop_count == 1:
            state.auto_hdrs.append(to_text(text))
    if not state.ok:
        return
    flags = opts.flags
    if flags & HDR_OPT_RR:
        state.resent = "Resent-"
    if state.hdr_rewrite_context and flags & (HDR_OPT_SENDER | HDR_OPT_RECIP):
        text = yield from _rewrite(state, state.hdr_rewrite_context, opts, text)
    if not flags & HDR_OPT_DROP:
        state.put_header(text)


# -- addresses in headers -------------------------------------------------------------------------


def _header_maps(state: State, opts: HeaderOpts) -> tuple[list[Maps], bool]:
    """The canonical tables for a header, and whether it is masqueraded."""
    if not state.flags & CLEANUP_FLAG_MAP_OK:
        return [], False
    tables = state.tables
    if opts.flags & HDR_OPT_SENDER:
        own, own_flags, flag = tables.send_canon_maps, tables.send_canon_flags, HDR_FROM
    else:
        own, own_flags, flag = tables.rcpt_canon_maps, tables.rcpt_canon_flags, HDR_RCPT
    common = tables.comm_canon_maps
    maps = []
    if own is not None and own_flags & flag:
        maps.append(own)
    if common is not None and tables.comm_canon_flags & flag:
        maps.append(common)
    return maps, bool(tables.masq_domains and tables.masq_flags & flag)


def _rewrite(state: State, context: str, opts: HeaderOpts, text: bytes) -> Wait[bytes]:
    """The header with its addresses rewritten; the same object where none changes."""
    maps, masquerades = _header_maps(state, opts)
    shown = to_text(text)
    if not maps and not masquerades:
        simple = _SIMPLE.fullmatch(shown)
        if simple is not None:
            address = simple[1] or simple[2]
            if (yield from rewrite_external(state, context, address)) == address:
                return text
    name = opts.name
    limit = state.process.conf.header_address_token_limit
    tree = tok822_parse(shown[len(name) + 1 :], limit)
    changed = False
    for node in tok822_grep(tree, TOK822_ADDR):
        before = tok822_externalize(node.children)
        address = yield from rewrite_external(state, context, before)
        changed |= address != before
        node.children = tok822_scan(address)
        for table in maps:
            changed |= yield from _map11_tree(state, node, table)
        if masquerades:
            masked = yield from masquerade_external(state, tok822_externalize(node.children))
            changed |= masked.changed
            node.children = tok822_scan(masked.address)
    if not changed:
        return text
    list_text = tok822_externalize(tree, TOK822_STR_HEAD, state.process.log.warning)
    return fold_header(to_bytes(f"{shown[: len(name)]}: {list_text}"))


def _map11_tree(state: State, node: Token, maps: Maps) -> Wait[bool]:
    address = tok822_externalize(node.children)
    mapped = yield from map11_external(state, address, maps, state.tables.propagate_canonical)
    node.children = tok822_scan(mapped.address)
    return mapped.changed


def fold_header(text: bytes) -> bytes:
    """Puts as many addresses on a line as fit; they come one on a line."""
    lines = text.split(b"\n")
    result = [lines[0]]
    size = len(lines[0])
    for line in lines[1:]:
        if size + 1 + len(line) < _FOLD:
            result[-1] += b" " + line
            size += 1 + len(line)
        else:
            result.append(line)
            size = len(line)
    return b"\n".join(result)


# -- headers that are missing ---------------------------------------------------------------------


def headers_done(state: State) -> None:
    """At the end of the primary headers: adds what is missing (cleanup_header_done_callback)."""
    if not state.ok:
        return
    if state.hop_count < 1:
        state.bad("no Received: header")
        return
    adds = state.hdr_rewrite_context is not None or state.tables.always_add_missing_headers
    resent = state.resent
    seen = state.headers_seen
    if adds and not seen & 1 << (HDR_RESENT_MESSAGE_ID if resent else HDR_MESSAGE_ID):
        _add_message_id(state)
    if not state.headers_seen & 1 << HDR_MESSAGE_ID:
        state.process.log.info(f"{state.queue_id}: message-id=<>")
    if adds:
        if not seen & 1 << (HDR_RESENT_DATE if resent else HDR_DATE):
            date = mail_date(state.arrival_time, state.process.system.timezone)
            state.put_text("N", f"{resent}Date: {date}")
        if not seen & 1 << (HDR_RESENT_FROM if resent else HDR_TYPE_FROM):
            _add_from(state)
        if not seen & _VISIBLE:
            _add_recipient(state)
    if state.wants_padding:
        state.append_hdr_pt_offset = len(state.out)
        state.put_ptr()
        state.append_hdr_pt_target = state.body_offset = len(state.out)


def _add_message_id(state: State) -> None:
    """The queue id, unless it is long with the time when it was made, at this host."""
    conf = state.process.conf
    stamp = ""
    if not conf.enable_long_queue_ids:
        stamp = local_time(state.created).strftime("%Y%m%d%H%M%S.")
    message_id = f"<{stamp}{state.queue_id}@{conf.myhostname}>"
    state.put_text("N", f"{state.resent}Message-Id: {message_id}")
    prefix = "resent-" if state.resent else ""
    state.process.log.info(f"{state.queue_id}: {prefix}message-id={message_id}")
    state.headers_seen |= 1 << (HDR_RESENT_MESSAGE_ID if state.resent else HDR_MESSAGE_ID)


def _add_from(state: State) -> None:
    """The envelope sender, with the full name where it is known."""
    sender = state.sender or ""
    line = f"{state.resent}From: {quote_822_local(sender or MAIL_ADDR_MAIL_DAEMON)}"
    if sender and state.fullname:
        tokens = tok822_parse(f"({state.fullname})")
        line += f" {tok822_externalize(tokens)}"
    state.put_text("N", line)


def _add_recipient(state: State) -> None:
    """``undisclosed_recipients_header``."""
    text = state.process.conf.undisclosed_recipients_header
    if not text:
        return
    if not is_header(text):
        state.process.log.warning(
            f'bad undisclosed_recipients_header header text "{text}" -- '
            'need "headername: headervalue"'
        )
        return
    state.put_text("N", text)
