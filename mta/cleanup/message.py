"""The content segment: headers and body (cleanup_message).

Mail that nobody wants examined is copied: its primary headers one by one, its body in one go.  All
other mail goes through the MIME machine; so does the body of multipart and ``message/*`` mail,
since a part may say that the message is 8bit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mta.cleanup.act import CTXT_ANY, act
from mta.cleanup.header import header, headers_done
from mta.cleanup.state import NORM_HEAD, State
from mta.dict.errors import TableError
from mta.lib.header_body_checks import HBC_CTXT_BODY
from mta.lib.requests import (
    CLEANUP_FLAG_FILTER,
    CLEANUP_STAT_BAD,
    CLEANUP_STAT_CONT,
    CLEANUP_STAT_WRITE,
)
from mta.system import Wait
from mta.wire.dsn import dsn_prepend
from mta.wire.header_opts import HDR_CONTENT_TRANSFER_ENCODING, HDR_CONTENT_TYPE
from mta.wire.mime_state import (
    MIME_ERR_TRUNC_HEADER,
    MIME_HDR_PRIMARY,
    MIME_OPT_DISABLE_MIME,
    MimeBody,
    MimeError,
    MimeHeadEnd,
    MimeHeader,
    MimeState,
    mime_state_detail,
)
from mta.wire.record import REC_TYPE_MESG, REC_TYPE_XTRA, encode
from mta.wire.text import c_string, to_bytes, to_text

if TYPE_CHECKING:
    from mta.lib.maps import Maps

    Records = list[tuple[str, bytes]]

#: libmilter takes no more than 64k at once.
_MILTER_HEADER_LIMIT = 60000

_HEADER = re.compile(rb"([!-9;-~]+)[ \t]*:")
_COMPOSITE = re.compile(rb"multipart|message", re.I)
_BLANKS = (b" ", b"\t")
_CONTENT_TYPES = ("N", "L", REC_TYPE_XTRA)


def message(state: State, records: Records, index: int) -> Wait[int]:
    """Processes the content from an index on.  Returns the index of the record after the end of the
    segment; -1 where the segment has no end, or the message is lost.
    """
    if index >= len(records):
        return -1
    tables = state.tables
    state.put(REC_TYPE_MESG, b"")
    state.data_offset = len(state.out)
    if state.wants_padding and tables.header_size_limit > _MILTER_HEADER_LIMIT:
        tables.header_size_limit = _MILTER_HEADER_LIMIT
    filters = state.flags & CLEANUP_FLAG_FILTER
    if filters and tables.examines:
        return (yield from _Examiner(state, _machine(state)).run(records, index))
    return (yield from _copy(state, records, index))


def _machine(state: State) -> MimeState:
    tables = state.tables
    options = MIME_OPT_DISABLE_MIME if tables.mime_disabled else 0
    if state.flags & CLEANUP_FLAG_FILTER:
        options |= tables.mime_options
    conf = state.process.conf
    return MimeState(
        options,
        tables.header_size_limit,
        conf.mime_nesting_limit,
        conf.mime_boundary_length_limit,
        tables.header_table,
    )


# -- copying --------------------------------------------------------------------------------------


def _copy(state: State, records: Records, index: int) -> Wait[int]:
    """Copies a message of which only the primary headers matter."""
    tables = state.tables
    limit = tables.header_size_limit
    pads = state.wants_padding
    mime_fields: list[bytes] = []
    out = state.out
    end = len(records)
    while index < end:
        rec_type, line = records[index]
        match = _HEADER.match(line) if rec_type == "N" else None
        if match is None:
            if rec_type == "L" and _HEADER.match(line):
                return (yield from _examine_rest(state, records, index, mime_fields))
            break
        after = index + 1
        while after < end and records[after][1][:1] in _BLANKS and records[after][0] == "N":
            after += 1
        if after == end:
            # Whether more comes to this header is not known, and will not be.
            return -1
        text = line
        if after > index + 1:
            text = b"\n".join([data for _, data in records[index:after]])
        follows = records[after]
        if (
            len(text) >= limit
            or b"\0" in text
            or (follows[0] == "L" and follows[1][:1] in _BLANKS)
        ):
            return (yield from _examine_rest(state, records, index, mime_fields))
        opts = tables.header_opts(match[1])
        if opts is None:
            size = len(text)
            if size < 128 and not pads and text is line and text.isascii():
                text = _normal(match, text)
                out += NORM_HEAD[len(text)]
                out += text
            else:
                state.put_header(_normal(match, text))
        else:
            text = _normal(match, text)
            if opts.type == HDR_CONTENT_TYPE or opts.type == HDR_CONTENT_TRANSFER_ENCODING:
                mime_fields.append(text)
            yield from header(state, MIME_HDR_PRIMARY, opts, text)
            if not state.ok:
                return -1
        index = after
    if index >= end or records[index][0] not in _CONTENT_TYPES:
        return _end(state, records, index, None)
    headers_done(state)
    if not tables.mime_disabled and any(
        _COMPOSITE.search(field) for field in mime_fields if field[:9].lower() == b"content-t"
    ):
        return (yield from _parts(state, records, index, mime_fields))
    return _copy_body(state, records, index)


def _normal(match: re.Match[bytes], text: bytes) -> bytes:
    """The header without blanks before its colon."""
    if match.end() == match.end(1) + 1:
        return text
    return match[1] + text[match.end() - 1 :]


def _copy_body(state: State, records: Records, index: int) -> int:
    """Copies the body as it is, up to the end of the segment."""
    if not state.ok:
        return -1
    out = state.out
    limit = state.tables.line_length_limit
    heads = NORM_HEAD
    parts: list[bytes] = []
    add = parts.append
    end = len(records)
    if index < end and records[index][0] in ("N", "L") and records[index][1]:
        # No empty line after the headers.
        add(heads[0])
    while index < end:
        rec_type, data = records[index]
        size = len(data)
        if rec_type == "N" and size < 128:
            add(heads[size])
            add(data)
        elif rec_type == "N" or rec_type == "L":
            while len(data) > limit:
                add(encode("L", data[:limit]))
                data = data[limit:]
            add(encode(rec_type, data))
        else:
            break
        index += 1
    out += b"".join(parts)
    if index and records[index - 1][0] == "L":
        # The last line had no end.
        out += heads[0]
    if len(out) > state.threshold:
        state.too_big()
    return _end(state, records, index, None)


def _end(state: State, records: Records, index: int, machine: MimeState | None) -> int:
    """The end of the segment."""
    if not state.ok or index >= len(records):
        return -1
    rec_type = records[index][0]
    if rec_type != REC_TYPE_XTRA:
        state.process.log.warning(
            "cleanup_message_headerbody: message rejected: "
            f"unexpected record type {ord(rec_type)} in message content"
        )
        state.errs |= CLEANUP_STAT_BAD
        return -1
    if state.wants_padding:
        state.put_ptr()
    errors = machine.errors & ~MIME_ERR_TRUNC_HEADER if machine is not None else 0
    if errors and state.reason is None:
        detail = mime_state_detail(errors)
        state.errs |= CLEANUP_STAT_CONT
        state.reason = dsn_prepend(detail.dsn, detail.text)
    state.xtra_offset = len(state.out)
    state.cont_length = state.xtra_offset - state.data_offset
    return index + 1 if state.ok else -1


# -- examining ------------------------------------------------------------------------------------


def _examine_rest(
    state: State, records: Records, index: int, mime_fields: list[bytes]
) -> Wait[int]:
    """Continues with the machine at the beginning of a primary header."""
    machine = _informed_machine(state, mime_fields)
    examiner = _Examiner(state, machine, skip_headers=1 if mime_fields else 0)
    return (yield from examiner.run(records, index))


def _parts(state: State, records: Records, index: int, mime_fields: list[bytes]) -> Wait[int]:
    """Continues with the machine after the primary headers of composite mail."""
    machine = _informed_machine(state, mime_fields)
    examiner = _Examiner(state, machine, skip_headers=1, skip_end=True)
    return (yield from examiner.run(records, index))


def _informed_machine(state: State, mime_fields: list[bytes]) -> MimeState:
    """A machine that has seen the MIME headers.  It still has to tell of the last one."""
    machine = _machine(state)
    for field in mime_fields:
        for line in field.split(b"\n"):
            machine.update("N", line)
    return machine


class _Examiner:
    """Takes a message apart, record by record.

    ``skip_headers`` is how many primary headers, and ``skip_end`` whether their end, the machine
    will tell that are dealt with already.
    """

    __slots__ = ("machine", "skip_end", "skip_headers", "state")

    def __init__(
        self, state: State, machine: MimeState, skip_headers: int = 0, skip_end: bool = False
    ) -> None:
        self.state = state
        self.machine = machine
        self.skip_headers = skip_headers
        self.skip_end = skip_end

    def run(self, records: Records, index: int) -> Wait[int]:
        """Processes records from an index on.  Returns what :func:`message` returns."""
        state, machine, tables = self.state, self.machine, self.state.tables
        end = len(records)
        while index < end and state.ok:
            rec_type, data = records[index]
            filters = state.flags & CLEANUP_FLAG_FILTER
            if filters and tables.reject_chars and _has_any(data, tables.reject_chars):
                _reject_character(state, data)
                index += 1
                continue
            if filters and tables.strip_chars:
                data = data.translate(None, tables.strip_chars)
            if rec_type not in _CONTENT_TYPES:
                break
            yield from self._events(rec_type, data)
            if rec_type == REC_TYPE_XTRA:
                break
            index += 1
            if machine.plain_body and not (filters and tables.examines_body):
                return self._copy_tail(records, index)
        return _end(state, records, index, machine)

    def _copy_tail(self, records: Records, index: int) -> int:
        """Copies what is left of a body that needs no more attention."""
        state = self.state
        end = len(records)
        while index < end and records[index][0] in ("N", "L") and state.ok:
            state.put(*records[index])
            index += 1
        if records[index - 1][0] == "L":
            state.put("N", b"")
        return _end(state, records, index, self.machine)

    def _events(self, rec_type: str, data: bytes) -> Wait[None]:
        """What the machine makes of a record."""
        state = self.state
        for event in self.machine.update(rec_type, data):
            if isinstance(event, MimeBody):
                yield from self._body(event)
            elif isinstance(event, MimeHeader):
                if self.skip_headers and event.header_class == MIME_HDR_PRIMARY:
                    self.skip_headers -= 1
                else:
                    yield from header(state, event.header_class, event.opts, to_bytes(event.text))
            elif isinstance(event, MimeHeadEnd):
                if not self.skip_end:
                    headers_done(state)
            elif isinstance(event, MimeError):
                _mime_error(state, event)

    def _body(self, event: MimeBody) -> Wait[None]:
        """A line of the body, or a part of one."""
        state = self.state
        if not state.ok:
            return
        rec_type, data, offset = event
        maps = state.tables.body_checks
        if maps is not None and state.flags & CLEANUP_FLAG_FILTER:
            size_limit = state.process.conf.body_checks_size_limit
            if size_limit == 0 or offset < size_limit:
                checked = yield from _check_line(state, maps, data)
                if checked is None:
                    return
                data = checked
        state.put(rec_type, data)


def _check_line(state: State, maps: Maps, data: bytes) -> Wait[bytes | None]:
    """Body checks: the line as it is to be, None to drop it."""
    shown = to_text(c_string(data))
    try:
        value = yield from maps.find(shown)
    except TableError:
        state.warn(f"{maps.title} map lookup problem -- message not accepted, try again later")
        state.errs |= CLEANUP_STAT_WRITE
        return data
    if value is None:
        return data
    result = act(state, HBC_CTXT_BODY, shown, value, "body_checks")
    if result is None:
        return None
    return data if result is shown else to_bytes(result)


def _has_any(data: bytes, chars: bytes) -> bool:
    return len(data.translate(None, chars)) != len(data)


def _reject_character(state: State, data: bytes) -> None:
    """``message_reject_characters``."""
    act(
        state, CTXT_ANY, to_text(c_string(data)), "REJECT disallowed character", "character reject"
    )


def _mime_error(state: State, event: MimeError) -> None:
    """An error of the MIME structure; the message is rejected at its end."""
    if event.code == MIME_ERR_TRUNC_HEADER:
        return
    origin = state.attr.get("log_message_origin", "unknown")
    state.process.log.info(
        f"{state.queue_id}: reject: mime-error {mime_state_detail(event.code).text}: "
        f"{to_text(event.text[:100])} from {origin}; from=<{state.sender}> "
        f"to=<{state.recip if state.recip is not None else 'unknown'}>"
    )

