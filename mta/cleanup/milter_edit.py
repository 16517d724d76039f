"""What milters may change at the end of a message: the queue file is edited in its place
(cleanup_milter).

New records go to the end of the file; pointers lead there and back.  For this purpose the file has
dummy pointers after the recipients, after the headers and after the body, and short headers are
padded, so that a pointer fits over each.  Headers count from 1.  Changes are relative to the
message as the milter has seen it, without our own Received header; insertions count that, too.

All edits return None, or a reply for the SMTP client when they fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mta.cleanup.addr import addr_bcc, addr_sender
from mta.cleanup.body_edit import (
    body_edit_finish,
    body_edit_start,
    body_edit_write,
    overwrite,
    pointer,
)
from mta.lib.cleanup_strerror import cleanup_stat_detail
from mta.lib.dsn_mask import dsn_notify_mask
from mta.lib.requests import CLEANUP_FLAG_DISCARD, CLEANUP_STAT_SIZE, CLEANUP_STAT_WRITE
from mta.system import Wait
from mta.wire.header_opts import is_header_buf
from mta.wire.quote import xtext_unquote
from mta.wire.record import (
    REC_TYPE_CONT,
    REC_TYPE_DONE,
    REC_TYPE_DRCP,
    REC_TYPE_DTXT,
    REC_TYPE_END,
    REC_TYPE_MESG,
    REC_TYPE_NORM,
    REC_TYPE_ORCP,
    REC_TYPE_PTR,
    REC_TYPE_PTR_PAYL_SIZE,
    REC_TYPE_RCPT,
    RecordError,
    decode_ptr,
    get,
    put_type,
)
from mta.wire.text import to_bytes, to_text
from mta.wire.tok822 import TOK822_ADDR, tok822_grep, tok822_internalize, tok822_parse

if TYPE_CHECKING:
    from mta.cleanup.state import State

MILTER_BODY_START = 1
MILTER_BODY_LINE = 2
MILTER_BODY_END = 3

_BLANKS = (b" ", b"\t")


class _Found(NamedTuple):
    """The record where a header begins, or the pointer that leads there; and what follows."""

    offset: int
    rec_type: str
    data: bytes
    following: int


class _Trouble(Exception):
    """The queue file cannot be read; it has been logged."""


class Edits:
    """The edits of one message."""

    __slots__ = ("state",)

    def __init__(self, state: State) -> None:
        self.state = state

    # -- errors

    def _failure(self) -> str:
        """The reply for what went wrong."""
        detail = cleanup_stat_detail(self.state.errs)
        return f"{detail.smtp} {detail.dsn} {detail.text}"

    def _outcome(self) -> str | None:
        state = self.state
        return None if state.ok else self._failure()

    def _header_outcome(self) -> str | None:
        """Header checks may have something to say."""
        return self._outcome() or self.state.milter_hbc_reply or None

    def _append(self) -> int:
        """Where new records go: the end of the file, from where a new block is written."""
        start = len(self.state.out)
        self.state.aim(start)
        return start

    def _too_big(self, where: str) -> bool:
        """Whether what was written goes beyond ``message_size_limit``, which is found out when the
        file position moves elsewhere.
        """
        state = self.state
        if len(state.out) <= state.size_limit and not state.errs & CLEANUP_STAT_SIZE:
            return False
        path = state.tables.queue.name(state.queue_name, state.queue_id)
        state.process.log.warning(f"{where}: seek file {path}: File too large")
        state.too_big()
        return True

    def _panic(self, where: str, text: str) -> None:
        self.state.process.log.panic(f"{where}: {text}")

    # -- headers

    def _new_header(self, name: str, space: str, value: str) -> Wait[bytes | None]:
        """A header that passes the checks; None where it is dropped."""
        text = to_bytes(f"{name}:{space}{value}")
        checks = self.state.milter_hbc_checks
        if checks is None:
            return text
        return (yield from checks.check(text))

    def add_header(self, name: str, space: str, value: str) -> Wait[str | None]:
        """Appends a header.  ``space`` is what stands between the colon and the value."""
        state = self.state
        if state.append_hdr_pt_offset < 0:
            self._panic("cleanup_add_header", "no header append pointer location")
        text = yield from self._new_header(name, space, value)
        if text is None or state.flags & CLEANUP_FLAG_DISCARD:
            return None
        if not state.ok:
            return self._failure()
        new = self._append()
        state.put_header(text)
        back = len(state.out)
        state.put_ptr(state.append_hdr_pt_target)
        if self._too_big("cleanup_add_header"):
            return self._failure()
        if state.ok:
            overwrite(state.out, state.append_hdr_pt_offset, pointer(new))
        state.append_hdr_pt_offset = back
        return self._header_outcome()

    def ins_header(self, index: int, name: str, space: str, value: str) -> Wait[str | None]:
        """Inserts a header before the one with the index; where there is none it is appended."""
        try:
            found = self._find_start(max(index, 1), None, ptr_backup=True, skip=0)
        except _Trouble:
            return self._failure()
        if found is None:
            return (yield from self.add_header(name, space, value))
        following = -1 if found.rec_type == REC_TYPE_PTR else found.following
        return (yield from self._patch(name, space, value, found, following, keep=True))

    def upd_header(self, index: int, name: str, space: str, value: str) -> Wait[str | None]:
        """Replaces the header of that name with the index; where there is none one is appended."""
        if not name:
            self._panic("cleanup_upd_header", "null header name")
        try:
            found = self._find_start(index, name, ptr_backup=False, skip=1)
            if found is None:
                return (yield from self.add_header(name, space, value))
            following = self._find_end(found)
        except _Trouble:
            return self._failure()
        return (yield from self._patch(name, space, value, found, following, keep=False))

    def del_header(self, index: int, name: str) -> Wait[str | None]:
        """Removes the header of that name with the index: a pointer leads past it."""
        if not name:
            self._panic("cleanup_del_header", "null header name")
        try:
            found = self._find_start(index, name, ptr_backup=False, skip=1)
            if found is not None:
                following = self._find_end(found)
                overwrite(self.state.out, found.offset, pointer(following))
        except _Trouble:
            return self._failure()
        return self._outcome()
        yield None

    def _patch(
        self, name: str, space: str, value: str, found: _Found, following: int, keep: bool
    ) -> Wait[str | None]:
        """Puts a pointer to a new header over a record.  ``keep``: the record itself moves behind
        the new header.
        """
        state = self.state
        text = yield from self._new_header(name, space, value)
        if text is None:
            return None
        new = self._append()
        state.put_header(text)
        if keep:
            state.put(found.rec_type, found.data)
            if len(found.data) < REC_TYPE_PTR_PAYL_SIZE:
                state.pad(REC_TYPE_DTXT, REC_TYPE_PTR_PAYL_SIZE - len(found.data))
        if not keep or found.rec_type != REC_TYPE_PTR:
            state.put_ptr(following)
        if self._too_big("cleanup_patch_header"):
            return self._failure()
        if state.ok:
            overwrite(state.out, found.offset, pointer(new))
        return self._header_outcome()

    def _read(self, offset: int) -> tuple[str, bytes, int]:
        """A record as it is.  Raises _Trouble."""
        state = self.state
        path = state.tables.queue.name(state.queue_name, state.queue_id)
        try:
            record = get(state.out, offset)
        except RecordError as error:
            state.process.log.warning(f"{path}: {error.args[0]}")
            record = None
        if record is None:
            state.process.log.warning(f"cleanup_milter: read file {path}: Success")
            state.warn("write queue file: Success")
            state.errs |= CLEANUP_STAT_WRITE
            raise _Trouble
        return record

    def _find_start(
        self, index: int, name: str | None, ptr_backup: bool, skip: int
    ) -> _Found | None:
        """The beginning of a header: the index'th of the name, or of all.  ``ptr_backup``: the
        pointer that leads to it, where one does.  ``skip`` headers do not count.
        """
        state = self.state
        wanted = to_bytes(name).lower() if name is not None else None
        offset = state.data_offset
        via: tuple[int, bytes] | None = None
        last_type = ""
        while offset != state.append_hdr_pt_offset:
            current = offset
            rec_type, data, offset = self._read(current)
            if rec_type == REC_TYPE_DTXT:
                continue
            if rec_type == REC_TYPE_PTR:
                if ptr_backup:
                    via = (current, data)
                offset = decode_ptr(data) or offset
                continue
            if rec_type not in (REC_TYPE_NORM, REC_TYPE_CONT):
                return None
            if last_type != REC_TYPE_CONT and data[:1] not in _BLANKS:
                size = is_header_buf(data)
                if not size:
                    return None
                if skip > 0:
                    skip -= 1
                elif wanted is None or data[:size].lower() == wanted:
                    index -= 1
                    if index == 0:
                        return self._found(_Found(current, rec_type, data, offset), via)
            via = None
            last_type = rec_type
        return None

    def _found(self, found: _Found, via: tuple[int, bytes] | None) -> _Found:
        """Steps over padding; takes the pointer instead, where there is one."""
        if len(found.data) < REC_TYPE_PTR_PAYL_SIZE:
            rec_type, _, following = self._read(found.following)
            if rec_type != REC_TYPE_DTXT:
                self._panic("cleanup_find_header_start", "short header without padding")
            found = found._replace(following=following)
        if via is not None:
            return _Found(via[0], REC_TYPE_PTR, via[1], found.following)
        return found

    def _find_end(self, found: _Found) -> int:
        """Where the record after a header is."""
        offset = found.following
        last_type = found.rec_type
        while offset != self.state.append_hdr_pt_offset:
            current = offset
            rec_type, data, offset = self._read(current)
            if rec_type == REC_TYPE_DTXT:
                continue
            if rec_type == REC_TYPE_PTR:
                offset = decode_ptr(data) or offset
                continue
            if rec_type not in (REC_TYPE_NORM, REC_TYPE_CONT):
                return current
            if last_type != REC_TYPE_CONT and data[:1] not in _BLANKS:
                return current
            last_type = rec_type
        return offset

    # -- the envelope

    def _internal(self, text: str, what: str) -> str | None:
        """The first address of a text in external form; None where there is none."""
        nodes = tok822_grep(tok822_parse(text), TOK822_ADDR)
        if len(nodes) > 1:
            self.state.warn(f'{what}: "{text}"')
        return tok822_internalize(nodes[0].children) if nodes else None

    def chg_from(self, sender: str, esmtp_args: str) -> Wait[str | None]:
        """Another sender; ESMTP parameters are ignored."""
        state = self.state
        if esmtp_args:
            state.warn(f'cleanup_chg_from: ignoring ESMTP arguments "{esmtp_args[:100]}"')
        if state.sender_pt_offset < 0 or state.sender_pt_target < 0:
            self._panic("cleanup_chg_from", "no original sender record offset")
        new = self._append()
        address = self._internal(sender, "Milter request to add multi-sender") or ""
        after = yield from addr_sender(state, address)
        state.put_ptr(state.sender_pt_target)
        state.sender_pt_target = after
        if self._too_big("cleanup_chg_from"):
            return self._failure()
        if state.ok:
            overwrite(state.out, state.sender_pt_offset, pointer(new))
        return self._outcome()

    def add_rcpt(self, recipient: str) -> Wait[str | None]:
        """One more recipient."""
        return self.add_rcpt_par(recipient, "")

    def add_rcpt_par(self, recipient: str, esmtp_args: str) -> Wait[str | None]:
        """One more recipient, with NOTIFY and ORCPT."""
        state = self.state
        if state.append_rcpt_pt_offset < 0:
            self._panic("cleanup_add_rcpt_par", "no recipient append pointer location")
        new = self._append()
        notify, orcpt = self._parameters(esmtp_args)
        address = self._internal(
            recipient, "Milter or header/body_checks request to add multi-recipient"
        )
        if address is None:
            state.warn("ignoring attempt from Milter to add null recipient")
        else:
            yield from addr_bcc(state, address, orcpt, notify)
        back = len(state.out)
        if back == new:  # a duplicate
            return self._outcome()
        state.put_ptr(state.append_rcpt_pt_target)
        if self._too_big("cleanup_add_rcpt_par"):
            return self._failure()
        if state.ok:
            overwrite(state.out, state.append_rcpt_pt_offset, pointer(new))
        state.append_rcpt_pt_offset = back
        return self._outcome()

    def _parameters(self, esmtp_args: str) -> tuple[int, str]:
        """NOTIFY and ORCPT among ESMTP parameters."""
        state = self.state
        notify, orcpt = 0, ""
        source = "from Milter or header/body_checks"
        for word in esmtp_args.split(" "):
            upper = word.upper()
            if upper.startswith("NOTIFY="):
                mask = 0 if notify else dsn_notify_mask(state.process.log, word[7:])
                if not mask:
                    state.warn(f'Bad NOTIFY parameter {source}: "{word[:100]}"')
                notify = notify or mask
            elif upper.startswith("ORCPT="):
                kind, semicolon, xtext = word[6:].partition(";")
                address = xtext_unquote(xtext) if kind and semicolon and not orcpt else None
                if address is None:
                    state.warn(f'Bad ORCPT parameter {source}: "{word[:100]}"')
                else:
                    orcpt = f"{kind};{address}"
            elif word:
                state.warn(f'ignoring ESMTP argument {source}: "{word[:100]}"')
        return notify, orcpt

    def del_rcpt(self, recipient: str) -> Wait[str | None]:
        """Removes a recipient, as it was before aliases, with all its expansions."""
        wanted = self._internal(recipient, "Milter request to drop multi-recipient") or ""
        try:
            self._delete(wanted)
        except _Trouble:
            return self._failure()
        return self._outcome()
        yield None

    def _delete(self, wanted: str) -> None:
        state = self.state
        orig: str | None = None
        offset = 0
        while state.ok:
            current = offset
            rec_type, data, offset = self._read(current)
            if rec_type == REC_TYPE_END:
                return
            if rec_type == REC_TYPE_MESG:
                offset = state.xtra_offset
            elif rec_type == REC_TYPE_PTR:
                offset = decode_ptr(data) or offset
            elif rec_type == REC_TYPE_ORCP:
                orig = to_text(data)
            elif rec_type in (REC_TYPE_RCPT, REC_TYPE_DRCP, REC_TYPE_DONE):
                address = to_text(data) if orig is None else orig
                if rec_type == REC_TYPE_RCPT and address == wanted:
                    put_type(state.out, REC_TYPE_DRCP, current)
                orig = None

    # -- the body

    def repl_body(self, command: int, line: bytes = b"") -> Wait[str | None]:
        """Another body: MILTER_BODY_START, its lines, MILTER_BODY_END."""
        state = self.state
        if command == MILTER_BODY_LINE:
            body_edit_write(state, line)
        elif command == MILTER_BODY_START:
            body_edit_start(state)
            body_edit_write(state, b"")
        elif command == MILTER_BODY_END:
            body_edit_finish(state)
        else:
            self._panic("cleanup_repl_body", f"bad command: {command}")
        return self._outcome()
        yield None
