"""How a filter is shown a message: its headers one by one, its body in pieces, its end.

As with Sendmail, the headers that we have put in front ourselves are not shown, and the blank after
the colon of a header is not either, unless the filter wants it.
"""

from __future__ import annotations

from collections.abc import Sequence

from mta.lib.milters.edits import Editor, Reply
from mta.lib.milters.filter import STAT_ACCEPT_MSG, STAT_ENVELOPE, STAT_MESSAGE
from mta.lib.milters.milter8 import SILENT_MESSAGE, Milter8
from mta.system import Wait
from mta.wire.header_opts import is_header_buf
from mta.wire.milter import CHUNK_SIZE, Body, Header, Step, pack
from mta.wire.mime_state import (
    MIME_OPT_DISABLE_MIME,
    MimeBody,
    MimeBodyEnd,
    MimeEvent,
    MimeHeader,
    MimeState,
)
from mta.wire.record import RecordError, records
from mta.wire.text import to_bytes

#: libmilter takes no more than 64k at once, so that cleanup(8) cuts longer headers.
_HEADER_LIMIT = 60000
_TOO_BIG = "552 5.3.4 Message file too big"
_READ_ERROR = "450 4.3.0 Queue file write error"


def message(
    milter: Milter8,
    data: bytearray,
    offset: int,
    macros: tuple[bytes, bytes],
    auto_headers: Sequence[str],
    editor: Editor | None,
    too_big: str = "",
) -> Wait[Reply]:
    """Shows the content at an offset of a queue file; macros are those of headers and of the rest.
    ``auto_headers`` are not shown.  ``too_big`` is the name of a file that does not take what has
    been written so far.
    """
    if milter.state in SILENT_MESSAGE:
        return milter.def_reply
    if milter.state != STAT_ENVELOPE:
        milter.bad_state("message")
    if too_big:
        milter.process.log.warning(f"milter8_message: vstream_fseek {too_big}: File too large")
        return _TOO_BIG
    milter.state = STAT_MESSAGE
    if milter.connection is not None:
        milter.connection.timeout = milter.settings.content_timeout
    reply = yield from _Content(milter, macros, auto_headers, editor).show(data, offset)
    if milter.connection is not None:
        milter.connection.timeout = milter.settings.command_timeout
    if milter.state in (STAT_MESSAGE, STAT_ACCEPT_MSG):
        milter.state = STAT_ENVELOPE
    return reply


class _Content:
    """A message on its way to a filter."""

    __slots__ = (
        "auto_headers",
        "editor",
        "eoh_macros",
        "eom_macros",
        "first_line",
        "milter",
        "pieces",
        "reply",
        "size",
    )

    def __init__(
        self,
        milter: Milter8,
        macros: tuple[bytes, bytes],
        auto_headers: Sequence[str],
        editor: Editor | None,
    ) -> None:
        self.milter = milter
        self.eoh_macros, self.eom_macros = macros
        self.auto_headers = list(auto_headers)
        self.editor = editor
        self.reply: Reply = None
        self.first_line = True  #: the blank line after the headers is not part of the body
        self.pieces: list[bytes] = []  #: of the body, not sent yet
        self.size = 0

    @property
    def over(self) -> bool:
        """Whether the filter has decided."""
        return self.reply is not None or self.milter.state != STAT_MESSAGE

    def show(self, data: bytearray, offset: int) -> Wait[Reply]:
        """Shows all; the filter's decision."""
        process = self.milter.process
        limit = min(process.conf.header_size_limit, _HEADER_LIMIT)
        mime = MimeState(MIME_OPT_DISABLE_MIME, limit)
        error = "Success"
        try:
            for _, rec_type, value in records(data, offset):
                is_text = rec_type in ("N", "L")
                if is_text and mime.plain_body:
                    mime.pass_body(rec_type)
                    if self._keep(rec_type, value):
                        yield from self._flush_full()
                else:
                    yield from self._events(mime.update(rec_type, value))
                if self.over or not is_text:
                    return self.reply
        except RecordError as trouble:
            process.log.warning(trouble.args[0])
        process.log.warning(f"milter8_message: error reading queue file: {error}")
        return _READ_ERROR

    def _events(self, events: list[MimeEvent]) -> Wait[None]:
        steps = self.milter.steps
        for event in events:
            if self.over:
                return
            if isinstance(event, MimeHeader):
                if not steps & Step.NOHDRS:
                    yield from self._header(event)
            elif isinstance(event, MimeBody):
                if self._keep(event.rec_type, event.data):
                    yield from self._flush_full()
            elif isinstance(event, MimeBodyEnd):
                yield from self._end()
            elif not steps & Step.NOEOH:
                self.reply = yield from self.milter.event(
                    pack(b"N"), Step.NOEOH, Step.NR_EOH, self.eoh_macros
                )

    def _header(self, event: MimeHeader) -> Wait[None]:
        text = event.text
        if text in self.auto_headers:
            self.auto_headers.remove(text)
            return
        milter = self.milter
        size = len(event.opts.name) if event.opts is not None else is_header_buf(to_bytes(text))
        name, value = text[:size], text[size:].lstrip(" \t")[1:]
        if value.startswith(" ") and not milter.steps & Step.HDR_LEADSPC:
            value = value[1:]
        self.reply = yield from milter.event(
            Header(name, value).encode(), Step.NOHDRS, Step.NR_HDR, self.eoh_macros
        )

    # -- the body

    def _keep(self, rec_type: str, data: bytes) -> bool:
        """Keeps a line for sending; whether there is enough for a packet."""
        if self.milter.steps & Step.NOBODY:
            return False
        if self.first_line:
            self.first_line = False
            return False
        if rec_type == "N":
            data += b"\r\n"
        self.pieces.append(data)
        self.size += len(data)
        return self.size >= CHUNK_SIZE

    def _flush_full(self) -> Wait[None]:
        """Sends whole packets."""
        body = b"".join(self.pieces)
        while len(body) >= CHUNK_SIZE and not self.over:
            yield from self._body(body[:CHUNK_SIZE])
            body = body[CHUNK_SIZE:]
        self.pieces = [body] if body else []
        self.size = len(body)

    def _body(self, data: bytes) -> Wait[None]:
        self.reply = yield from self.milter.event(
            Body(data).encode(), Step.NOBODY, Step.NR_BODY, self.eom_macros
        )

    def _end(self) -> Wait[None]:
        """The rest of the body, and the end of the message."""
        if self.size:
            yield from self._body(b"".join(self.pieces))
            if self.over:
                return
        self.reply = yield from self.milter.event(pack(b"E"), 0, 0, self.eom_macros, self.editor)
