"""MIME, and the checks of headers and bodies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mta.dict.flags import DICT_FLAG_LOCK
from mta.lib.header_body_checks import (
    HBC_UNKNOWN,
    BodyChecks,
    CheckAction,
    HeaderChecks,
    Unknown,
)
from mta.lib.maps import Maps
from mta.system import Wait
from mta.wire.mime_state import (
    MIME_OPT_DOWNGRADE,
    MIME_OPT_REPORT_8BIT_IN_7BIT_BODY,
    MIME_OPT_REPORT_8BIT_IN_HEADER,
    MIME_OPT_REPORT_ENCODING_DOMAIN,
    MIME_OPT_REPORT_NESTING,
    MIME_OPT_REPORT_TRUNC_HEADER,
    MimeBody,
    MimeBodyEnd,
    MimeError,
    MimeHeadEnd,
    MimeHeader,
    MimeState,
    mime_state_detail,
)
from mta.wire.text import c_string, cut, printable, to_bytes, to_text
from tests.vectors.shell import Io, program
from tests.vectors.site import Site, site_of

_OPTIONS = (
    MIME_OPT_DOWNGRADE
    | MIME_OPT_REPORT_8BIT_IN_7BIT_BODY
    | MIME_OPT_REPORT_8BIT_IN_HEADER
    | MIME_OPT_REPORT_ENCODING_DOMAIN
    | MIME_OPT_REPORT_NESTING
    | MIME_OPT_REPORT_TRUNC_HEADER
)
_CLASSES = {1: "MAIN", 2: "MULT", 3: "NEST"}
_SUMMARY = {
    2: "message header length exceeds safety limit",
    1: "MIME nesting exceeds safety limit",
    4: "improper use of 8-bit data in message header",
    8: "improper use of 8-bit data in message body",
    16: "improper message/* or multipart/* encoding domain",
}
_LINE = 1024


def _records(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Lines as text records, long ones in parts."""
    place = 0
    while place < len(data):
        end = data.find(b"\n", place, place + _LINE)
        if end >= 0:
            yield "N", data[place:end]
            place = end + 1
        else:
            yield "L", data[place : place + _LINE]
            place += _LINE
    yield "E", b""


def _say(io: Io, text: str) -> None:
    """A message, which these programs write to standard output."""
    io.out(f"{io.name}: {printable(text, '?', False)}\n")


def _summary(io: Io, errors: int) -> None:
    for code, text in _SUMMARY.items():
        if errors & code:
            _say(io, f"warning: {text}")


def _error(io: Io, event: MimeError) -> None:
    text = mime_state_detail(event.code).text
    _say(io, f"warning: {text}: {to_text(event.text[:100])}")


@program("mime_state")
def run_mime_state(io: Io) -> None:
    """A message in its parts."""
    state = MimeState(_OPTIONS, 2000, 20, 2000)
    for rec_type, data in _records(io.stdin.take()):
        for event in state.update(rec_type, data):
            match event:
                case MimeHeader(kind, _, text, offset):
                    io.out(f"{_CLASSES[kind]} {offset}\t|{text}\n")
                case MimeHeadEnd():
                    io.out("HEADER END\n")
                case MimeBody(letter, line, offset):
                    io.out(f"BODY {letter} {offset}\t|")
                    io.out(line + b"\n" if letter == "N" else line)
                case MimeBodyEnd():
                    io.out("BODY END\n")
                case MimeError():
                    _error(io, event)
    _summary(io, state.errors)


class _Output:
    """What the checks call."""

    def __init__(self, io: Io) -> None:
        self.io = io

    def log(self, action: str, where: str, line: str, text: str) -> None:
        """An action."""
        tail = f": {text}" if text else ""
        _say(self.io, f"test-queueID: {action}: {where} {cut(line, 200)}{tail}")

    def warn(self, text: str) -> None:
        """A warning."""
        _say(self.io, f"warning: {text}")

    def prepend(self, text: str, offset: int) -> None:
        """A line more."""
        self.io.out(f"{text}\n")

    def extend(
        self, action: CheckAction, where: str, line: str, offset: int
    ) -> Wait[str | Unknown | None]:
        """Nothing more."""
        return HBC_UNKNOWN
        yield


class _Checks:
    """The tables, and the number of the next part."""

    def __init__(self, io: Io, site: Site) -> None:
        process = site.process(io, utf8=False)
        titles = ("header_checks", "mime_header_checks", "nested_header_checks", "body_checks")
        tables: list[Any] = [
            Maps(process, title, spec, DICT_FLAG_LOCK) if spec else None
            for title, spec in zip(titles, io.args, strict=True)
        ]
        output = _Output(io)
        self.io = io
        self.site = site
        self.count = 0
        self.headers = HeaderChecks(output, *tables[:3])
        self.body = BodyChecks(output, tables[3]) if tables[3] else None

    def header(self, event: MimeHeader) -> None:
        """One header."""
        text = self.site.run(
            self.headers.check(event.header_class, event.opts, event.text, event.offset)
        )
        if text is not None:
            kind = _CLASSES[event.header_class]
            self.io.out(f"{self.count} {kind} {event.offset}\t|{text}\n")
        self.count += 1

    def line(self, event: MimeBody) -> None:
        """One line of a body."""
        data: bytes | None = event.data
        if self.body is not None:
            data = self.site.run(self.body.check(event.data, event.offset))
        if data is not None:
            self.io.out(f"{self.count} BODY {event.rec_type} {event.offset}\t|")
            self.io.out(to_bytes(to_text(c_string(data))) + b"\n")
        self.count += 1


@program("header_body_checks")
def run_header_body_checks(io: Io) -> None:
    """A message, checked."""
    checks = _Checks(io, site_of(io))
    state = MimeState(_OPTIONS, 2000, 20, 2000)
    for rec_type, data in _records(io.stdin.take()):
        for event in state.update(rec_type, data):
            match event:
                case MimeHeader():
                    checks.header(event)
                case MimeHeadEnd():
                    io.out("HEADER END\n")
                case MimeBody():
                    checks.line(event)
                case MimeBodyEnd():
                    io.out("BODY END\n")
                case MimeError():
                    _error(io, event)
    _summary(io, state.errors)
