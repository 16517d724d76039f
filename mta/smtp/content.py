"""The message content on its way to a server: line lengths, dots, conversion, checks, addresses.

Nearly all messages go through :func:`_plain`, which treats them in one piece.  With 8-bit content
for a 7-bit server, with ``smtp_generic_maps``, or with ``smtp_header_checks`` and its siblings the
records go through a :class:`~mta.wire.mime_state.MimeState`.
"""

from __future__ import annotations

from collections.abc import Iterator

from mta.dict.errors import TableError
from mta.lib.header_body_checks import (
    HBC_UNKNOWN,
    BodyChecks,
    CheckAction,
    HeaderChecks,
    Unknown,
)
from mta.lib.requests import DeliverRequest
from mta.lib.smtp_stream import SmtpDataError, SmtpStream
from mta.smtp.client import Client
from mta.smtp.features import SMTP_FEATURE_8BITMIME, SMTP_FEATURE_PIX_DELAY_DOTCRLF
from mta.smtp.map11 import map11_external
from mta.smtp.state import Session, State
from mta.smtp.trouble import local_reply, mesg_fail
from mta.system import Wait
from mta.wire.header_opts import HDR_OPT_RECIP, HDR_OPT_SENDER, HeaderOpts, header_table
from mta.wire.mime_state import (
    MIME_HDR_PRIMARY,
    MIME_OPT_DISABLE_MIME,
    MIME_OPT_DOWNGRADE,
    MIME_OPT_REPORT_NESTING,
    MimeBody,
    MimeHeader,
    MimeState,
    mime_state_detail,
)
from mta.wire.record import RecordError, content_records, get, records
from mta.wire.text import cut, to_bytes
from mta.wire.tok822 import (
    TOK822_STR_HEAD,
    Token,
    tok822_externalize,
    tok822_grep,
    tok822_parse,
    tok822_scan,
)

_SECOND = 1_000_000
_CHUNK = 1 << 16
_FOLD = 70

Records = list[tuple[str, bytes]]


def mime_downgrade(session: Session, request: DeliverRequest) -> bool:
    """Whether 8-bit content must be converted for the server (SMTP_MIME_DOWNGRADE)."""
    return (
        not session.features & SMTP_FEATURE_8BITMIME
        and request.encoding != "7bit"
        and not session.state.client.conf.disable_mime_output_conversion
    )


def send_message(state: State, session: Session) -> Wait[int | None]:
    """Sends the content without the dot that ends it: None, or the result of the delivery where it
    has come to an end.  Raises SmtpEof, SmtpTimeout, SmtpDataError.
    """
    client, request = state.client, state.request
    content, damage = _read(request.file.data, request.data_offset)
    downgrading = mime_downgrade(session, request)
    if downgrading or client.generic_maps is not None or client.has_checks:
        rewriter = Rewriter(state, session, downgrading)
        errors = yield from rewriter.send(content)
        if errors:
            detail = mime_state_detail(errors)
            yield from mesg_fail(state, local_reply(detail.dsn), detail.text)
            return 0
    else:
        yield from _plain(session.stream, content, client.line_length)
        if content and content[-1][0] == "L":
            session.stream.put_line(b"")
    if session.features & SMTP_FEATURE_PIX_DELAY_DOTCRLF:
        yield from _pix_delay(state, session)
    if damage:
        return (yield from _unreadable(state, session, damage))
    return None


def _pix_delay(state: State, session: Session) -> Wait[None]:
    """Sends what there is, and waits before the dot follows."""
    client = state.client
    arrival = state.request.stats.incoming_arrival // _SECOND
    if arrival <= session.iotime // _SECOND - client.conf.smtp_pix_workaround_threshold_time:
        yield from session.stream.flush()
        session.iotime = client.process.now()
        yield client.process.system.sleep(client.conf.smtp_pix_workaround_delay_time)


# -- the queue file -------------------------------------------------------------------------------


def _read(data: bytearray, offset: int) -> tuple[Records, str]:
    """The text records of the content, and what is wrong with the file, as texts for the log
    separated by newlines.
    """
    try:
        found = content_records(data, offset)
    except RecordError as error:
        return _readable(data, offset), f"{error.args[0]}\n-2"
    end = offset + sum([len(text) for _, text in found]) + 2 * len(found)
    if data[end : end + 1] == b"X":
        return found, ""
    return found, _end_of(data, offset)


def _end_of(data: bytearray, offset: int) -> str:
    """What ends the content of a file with jumps, long records, or damage."""
    for _, rec_type, _ in records(data, offset):
        if rec_type not in ("N", "L"):
            return "" if rec_type == "X" else str(ord(rec_type))
    return "-1"


def _readable(data: bytearray, offset: int) -> Records:
    """The text records before the damage."""
    found: Records = []
    try:
        while (record := get(data, offset)) is not None and record[0] in ("N", "L"):
            found.append(record[:2])
            offset = record[2]
    except RecordError:
        pass
    return found


def _unreadable(state: State, session: Session, damage: str) -> Wait[int]:
    """The queue file is damaged: the connection ends without a dot."""
    log, request = state.client.log, state.request
    path = f"{request.queue_name}/{request.queue_id}"
    *warnings, code = damage.split("\n")
    for text in warnings:
        log.warning(f"{path}: {text}")
    log.warning(f"{request.queue_id}: bad record type: {code} in message content")
    result = yield from mesg_fail(state, local_reply("5.3.0"), "unreadable mail queue entry")
    session.stream.purge()
    session.forbidden = True
    if not state.deferred:
        log.warning(f"corrupted queue file: {path}")
        request.file.mode = 0o400
    return result


# -- plain text -----------------------------------------------------------------------------------


def _plain(stream: SmtpStream, content: Records, limit: int) -> Wait[None]:
    """All records in one piece, where no line is too long or comes in parts."""
    lines = [text for _, text in content]
    if not lines:
        return
    whole = b"\r\n".join(lines)
    if (
        (limit and max(map(len, lines)) >= limit)
        or whole.count(b"\n") != len(lines) - 1
        or "L" in [rec_type for rec_type, _ in content]
    ):
        writer = LineWriter(stream, limit)
        for rec_type, text in content:
            writer.text(rec_type, text)
            if stream.out_pending >= _CHUNK:
                yield from stream.drain()
        yield from stream.drain()
        return
    if b"\n." in whole:
        whole = whole.replace(b"\n.", b"\n..")
    if whole[:1] == b".":
        whole = b"." + whole
    if len(whole) <= _CHUNK:
        stream.put_line(whole)
        yield from stream.drain()
        return
    for start in range(0, len(whole), _CHUNK):
        stream.put(whole[start : start + _CHUNK])
        yield from stream.drain()
    stream.put(b"\r\n")


class LineWriter:
    """Text records as lines of at most ``limit`` bytes (0: any, never 1): a longer one is folded,
    its parts begin with a blank (smtp_line_length_limit).  Dots at the start of lines are doubled.
    """

    __slots__ = ("left", "limit", "stream")

    def __init__(self, stream: SmtpStream, limit: int) -> None:
        self.stream = stream
        self.limit = limit
        self.left = limit

    def text(self, rec_type: str, data: bytes) -> None:
        """Writes a record of type N or L."""
        stream, limit = self.stream, self.limit
        while True:
            if self.left == limit and data[:1] == b".":
                stream.put(b".")
            if limit <= 0 or len(data) < self.left:
                break
            stream.put_line(data[: self.left])
            data = data[self.left :]
            self.left = limit
            if data or rec_type == "L":
                stream.put(b" ")
                self.left -= 1
            if not data:
                return
        if rec_type == "L":
            stream.put(data)
            self.left -= len(data)
        else:
            stream.put_line(data)
            self.left = limit

    def header(self, header: str) -> None:
        """Writes the lines of a header."""
        for line in header.split("\n"):
            self.text("N", to_bytes(line))


# -- conversion, checks, addresses ----------------------------------------------------------------


class Rewriter:
    """One message through the MIME machine (smtp_header_rewrite, smtp_body_rewrite)."""

    def __init__(self, state: State, session: Session, downgrading: bool) -> None:
        client = state.client
        conf = client.conf
        self.client = client
        self.session = session
        self.queue_id = state.request.queue_id
        self.writer = LineWriter(session.stream, client.line_length)
        calls = _CallBacks(self)
        self.header_checks = HeaderChecks(
            calls, client.header_checks, client.mime_checks, client.nested_checks
        )
        self.body_checks = (
            BodyChecks(calls, client.body_checks) if client.body_checks is not None else None
        )
        if downgrading:
            options = MIME_OPT_DOWNGRADE | MIME_OPT_REPORT_NESTING
        else:
            options = 0 if client.has_checks else MIME_OPT_DISABLE_MIME
        self.machine = MimeState(
            options,
            conf.header_size_limit,
            conf.mime_nesting_limit,
            conf.mime_boundary_length_limit,
            header_table(conf.message_drop_headers),
        )

    def send(self, content: Records) -> Wait[int]:
        """Sends all records; the mask of MIME_ERR_* that ends it early."""
        machine, stream = self.machine, self.session.stream
        for index, (rec_type, text) in enumerate(content):
            if machine.plain_body and self.body_checks is None and self._fresh:
                rest = content[index:]
                yield from _plain(stream, rest, self.client.line_length)
                self.writer.left = self.client.line_length
                if rest[-1][0] == "L":
                    stream.put_line(b"")
                return machine.errors
            yield from self._update(rec_type, text)
            if machine.errors:
                return machine.errors
            if stream.out_pending >= _CHUNK:
                yield from stream.drain()
        yield from self._update("X", b"")
        yield from stream.drain()
        return machine.errors

    @property
    def _fresh(self) -> bool:
        """Whether a line begins."""
        return self.writer.left == self.writer.limit

    def _update(self, rec_type: str, text: bytes) -> Wait[None]:
        for event in self.machine.update(rec_type, text):
            if isinstance(event, MimeHeader):
                yield from self._header(event)
            elif isinstance(event, MimeBody):
                yield from self._body(event)

    def _body(self, event: MimeBody) -> Wait[None]:
        data: bytes | None = event.data
        if self.body_checks is not None:
            try:
                data = yield from self.body_checks.check(event.data, event.offset)
            except TableError:
                self._gives_up("body")
        if data is not None:
            self.writer.text(event.rec_type, data)

    def _gives_up(self, what: str) -> None:
        self.client.log.warning(f"{self.queue_id}: smtp {what} checks lookup error")
        raise SmtpDataError from None

    def _header(self, event: MimeHeader) -> Wait[None]:
        header: str | None = event.text
        opts = event.opts
        if self.header_checks:
            try:
                header = yield from self.header_checks.check(
                    event.header_class, opts, event.text, event.offset
                )
            except TableError:
                self._gives_up("header")
        if header is None:
            return
        if (
            self.client.generic_maps is not None
            and opts is not None
            and event.header_class == MIME_HDR_PRIMARY
            and opts.flags & (HDR_OPT_SENDER | HDR_OPT_RECIP)
        ):
            mapped = yield from self._mapped(opts, header)
            if mapped is not None:
                self.writer.header("\n".join(_folded(mapped)))
                return
        self.writer.header(header)

    def _mapped(self, opts: HeaderOpts, header: str) -> Wait[str | None]:
        """The header with its addresses mapped; None where none of them is."""
        size = len(opts.name)
        tree = tok822_parse(header[size + 1 :])
        did = False
        for token in tok822_grep(tree):
            did |= yield from self._map_address(token)
        if not did:
            return None
        return f"{header[:size]}: {tok822_externalize(tree, TOK822_STR_HEAD)}"

    def _map_address(self, token: Token) -> Wait[bool]:
        address = tok822_externalize(token.children)
        found = yield from map11_external(self.client, address)
        token.children = tok822_scan(address if found is None else found)
        return found is not None


def _folded(header: str) -> Iterator[str]:
    """A header with one address a line as lines with as many as fit; all but the first with a tab
    before them (smtp_header_rewrite).
    """
    lines = header.split("\n")
    current = lines[0]
    first = True
    for line in lines[1:]:
        if _size(current) + 1 + _size(line) < _FOLD:
            current += " " + line
        else:
            yield _tabbed(current, first)
            current, first = line, False
    yield _tabbed(current, first)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(to_bytes(text))


def _tabbed(line: str, first: bool) -> str:
    return line if first or line[:1] in (" ", "\t") else "\t" + line


class _CallBacks:
    """What header and body checks do here (smtp_hbc_callbacks)."""

    def __init__(self, rewriter: Rewriter) -> None:
        self.rewriter = rewriter
        self.client: Client = rewriter.client

    def log(self, action: str, where: str, line: str, text: str) -> None:
        """``QUEUEID: action: header Subject: ...: text``."""
        end = f": {text}" if text else ""
        self.client.log.info(
            f"{self.rewriter.queue_id}: {action}: {where} {cut(line, 60)}{end}"
        )

    def warn(self, text: str) -> None:
        """A warning about a table."""
        self.client.log.warning(text)

    def prepend(self, text: str, offset: int) -> None:
        """A line before the one at hand."""
        self.rewriter.writer.text("N", to_bytes(text))

    def extend(
        self, action: CheckAction, where: str, line: str, offset: int
    ) -> Wait[str | Unknown | None]:
        """There are no other actions."""
        return HBC_UNKNOWN
        yield None
