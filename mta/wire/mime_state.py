"""mime_state(3): finds the headers and bodies in a stream of content records.

The machine is fed with records and says what they are: it does no I/O.  It knows of message
headers, of ``multipart/*`` with its boundaries, and of ``message/*``, whose content begins with
headers.  It can convert 8-bit content to quoted-printable on the way.

Each :meth:`MimeState.update` gives the events that the record caused, in order; a header is only
known to be whole when the next record comes.  Any record type but N and L ends the message.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mta.wire.header_opts import (
    HDR_CONTENT_TRANSFER_ENCODING,
    HDR_CONTENT_TYPE,
    HEADER_TOK_TOKEN,
    RFC2045_TSPECIALS,
    HeaderOpts,
    HeaderTable,
    HeaderToken,
    header_table,
    header_token,
)
from mta.wire.text import c_string, to_bytes, to_text

MIME_OPT_NONE = 0
MIME_OPT_DOWNGRADE = 1 << 0  #: convert 8-bit content to quoted-printable
MIME_OPT_REPORT_8BIT_IN_7BIT_BODY = 1 << 1
MIME_OPT_REPORT_8BIT_IN_HEADER = 1 << 2
MIME_OPT_REPORT_ENCODING_DOMAIN = 1 << 3
MIME_OPT_RECURSE_ALL_MESSAGE = 1 << 4
MIME_OPT_REPORT_TRUNC_HEADER = 1 << 5
MIME_OPT_DISABLE_MIME = 1 << 6  #: all after the primary headers is body
MIME_OPT_REPORT_NESTING = 1 << 7

MIME_ERR_NESTING = 1 << 0
MIME_ERR_TRUNC_HEADER = 1 << 1
MIME_ERR_8BIT_IN_HEADER = 1 << 2
MIME_ERR_8BIT_IN_7BIT_BODY = 1 << 3
MIME_ERR_ENCODING_DOMAIN = 1 << 4

MIME_HDR_PRIMARY = 1  #: headers of the message
MIME_HDR_MULTIPART = 2  #: headers after a boundary
MIME_HDR_NESTED = 3  #: headers of an attached message

_BODY = 4

_ENC_QP = 1
_ENC_BASE64 = 2
MIME_ENC_7BIT = 7
MIME_ENC_8BIT = 8
MIME_ENC_BINARY = 9

#: Name in Content-Transfer-Encoding: encoding and the domain of its result.
_ENCODINGS = {
    "7bit": (MIME_ENC_7BIT, MIME_ENC_7BIT),
    "8bit": (MIME_ENC_8BIT, MIME_ENC_8BIT),
    "binary": (MIME_ENC_BINARY, MIME_ENC_BINARY),
    "base64": (_ENC_BASE64, MIME_ENC_7BIT),
    "quoted-printable": (_ENC_QP, MIME_ENC_7BIT),
}
_ENCODING_NAMES = {encoding: name for name, (encoding, _) in _ENCODINGS.items()}

_OTHER = "other"
_TEXT = ("text", "plain")
_MESSAGE_SUBTYPES = ("rfc822", "partial", "external-body", "global")

_HEADER = re.compile(rb"([!-9;-~]+)[ \t]*(?=:)")
_SOFT_LIMIT = 72

#: How a byte looks in quoted-printable.
_QUOTED = [
    b"=%02X" % byte if (byte < 32 and byte != 9) or byte == 61 or byte > 126 else bytes((byte,))
    for byte in range(256)
]


class MimeDetail(NamedTuple):
    """An error of the machine: code (MIME_ERR_*), enhanced status, text."""

    code: int
    dsn: str
    text: str


#: The most serious first.
_DETAILS = (
    MimeDetail(MIME_ERR_NESTING, "5.6.0", "MIME nesting exceeds safety limit"),
    MimeDetail(MIME_ERR_TRUNC_HEADER, "5.6.0", "message header length exceeds safety limit"),
    MimeDetail(MIME_ERR_8BIT_IN_HEADER, "5.6.0", "improper use of 8-bit data in message header"),
    MimeDetail(MIME_ERR_8BIT_IN_7BIT_BODY, "5.6.0", "improper use of 8-bit data in message body"),
    MimeDetail(
        MIME_ERR_ENCODING_DOMAIN, "5.6.0", "invalid message/* or multipart/* encoding domain"
    ),
)


def mime_state_detail(errors: int) -> MimeDetail:
    """The most serious of the errors in a mask that is not 0."""
    return next(detail for detail in _DETAILS if detail.code & errors)


class MimeHeader(NamedTuple):
    """A header: MIME_HDR_*, what is known of it (None for an ordinary header; also for one that the
    machine made itself), its text with newlines between its lines, its offset in its block.
    """

    header_class: int
    opts: HeaderOpts | None
    text: str
    offset: int


class MimeHeadEnd(NamedTuple):
    """The primary headers are over."""


class MimeBody(NamedTuple):
    """A record of body text (type N or L), boundaries and blank lines included; its offset in its
    block, each line counting one byte for its end.
    """

    rec_type: str
    data: bytes
    offset: int


class MimeBodyEnd(NamedTuple):
    """The message is over."""


class MimeError(NamedTuple):
    """An error, reported once a kind: MIME_ERR_* and the text that it was found in."""

    code: int
    text: bytes


MimeEvent = MimeHeader | MimeHeadEnd | MimeBody | MimeBodyEnd | MimeError

_HEAD_END = MimeHeadEnd()
_BODY_END = MimeBodyEnd()


class _Boundary(NamedTuple):
    """A multipart's boundary, and the default content type of its parts."""

    default: tuple[str, str]
    text: bytes


class MimeState:
    """The machine.  ``errors`` is the mask of MIME_ERR_* found so far."""

    __slots__ = (
        "_body_offset",
        "_bound_limit",
        "_buffer",
        "_depth_limit",
        "_domain",
        "_encoding",
        "_head_offset",
        "_header_limit",
        "_options",
        "_previous",
        "_stack",
        "_state",
        "_table",
        "_type",
        "errors",
    )

    def __init__(
        self,
        options: int = MIME_OPT_NONE,
        header_size_limit: int = 102400,
        mime_nesting_limit: int = 100,
        mime_boundary_length_limit: int = 2048,
        table: HeaderTable | None = None,
    ) -> None:
        """``options`` is a mask of MIME_OPT_*; the limits are the parameters of those names."""
        self.errors = 0
        self._options = options
        self._header_limit = header_size_limit
        self._depth_limit = mime_nesting_limit
        self._bound_limit = mime_boundary_length_limit
        self._table = table or header_table()
        self._buffer = b""
        self._previous = ""
        self._stack: list[_Boundary] = []
        self._body_offset = 0
        self._head_offset = 0
        self._enter(MIME_HDR_PRIMARY, _TEXT)

    def _enter(self, state: int, content_type: tuple[str, str]) -> None:
        """A new block of headers or body with default encoding (SET_MIME_STATE)."""
        self._type = content_type
        self._encoding = self._domain = MIME_ENC_7BIT
        self._set_state(state)

    def _set_state(self, state: int) -> None:
        self._state = state
        if state == _BODY:
            self._body_offset = 0
        else:
            self._head_offset = 0

    # -- feeding ------------------------------------------------------------------------------

    @property
    def plain_body(self) -> bool:
        """Whether text records would only come back as MimeBody events, without exception, until
        the message ends.  The program may then keep them from the machine and call
        :meth:`pass_body` instead.
        """
        return (
            self._state == _BODY
            and not self._stack
            and not self._converting
            and not self._looks_for_8bit
        )

    def pass_body(self, rec_type: str) -> None:
        """Tells the type of the last text record that was kept from the machine (plain_body)."""
        self._previous = rec_type

    @property
    def _converting(self) -> bool:
        return bool(self._options & MIME_OPT_DOWNGRADE) and self._domain != MIME_ENC_7BIT

    @property
    def _looks_for_8bit(self) -> bool:
        return (
            bool(self._options & MIME_OPT_REPORT_8BIT_IN_7BIT_BODY)
            and self._encoding == MIME_ENC_7BIT
            and not self.errors & MIME_ERR_8BIT_IN_7BIT_BODY
        )

    def update(self, rec_type: str, data: bytes) -> list[MimeEvent]:
        """What a record is; see the events."""
        events: list[MimeEvent] = []
        is_text = rec_type in ("N", "L")
        if not is_text and self._previous == "L":
            events += self.update("N", b"")
        if self._state == _BODY or not self._headers(rec_type, data, is_text, events):
            if is_text:
                self._body(rec_type, data, events)
            else:
                events.append(_BODY_END)
        self._previous = rec_type
        return events

    def _report(self, code: int, text: bytes, events: list[MimeEvent]) -> None:
        if not self.errors & code:
            self.errors |= code
            events.append(MimeError(code, text))

    # -- headers ------------------------------------------------------------------------------

    def _headers(self, rec_type: str, data: bytes, is_text: bool, events: list[MimeEvent]) -> bool:
        """Handles a record in a block of headers; False when it ends the block and is to be
        treated as body.
        """
        if self._buffer:
            if is_text:
                if self._previous == "L":
                    self._continue_header(data, b"", events)
                    return True
                if data[:1] in (b" ", b"\t"):
                    self._continue_header(data, b"\n", events)
                    return True
            self._finish_header(len(data), events)
        if is_text and (match := _HEADER.match(data)):
            self._buffer = match[1] + c_string(data[match.end() :])
            return True
        if self._converting:
            composite = self._type[0] == "multipart" or (
                self._type[0] == "message" and self._type[1] != "global"
            )
            encoding = "7bit" if composite else "quoted-printable"
            self._head_out(None, f"Content-Transfer-Encoding: {encoding}", len(data), events)
        if self._state == MIME_HDR_PRIMARY:
            events.append(_HEAD_END)
        if self._options & MIME_OPT_REPORT_ENCODING_DOMAIN:
            self._check_domain(events)
        if not is_text:
            self._set_state(_BODY)
        elif data:
            if self._state == MIME_HDR_PRIMARY:  # garbage: supply the missing blank line
                self._body_out("N", b"", events)
            self._set_state(_BODY)
        else:
            self._begin_body()
        return False

    def _continue_header(self, data: bytes, glue: bytes, events: list[MimeEvent]) -> None:
        if len(self._buffer) < self._header_limit:
            self._buffer += glue + c_string(data)
        elif self._options & MIME_OPT_REPORT_TRUNC_HEADER:
            self._report(MIME_ERR_TRUNC_HEADER, self._buffer, events)

    def _finish_header(self, size: int, events: list[MimeEvent]) -> None:
        """The header in the buffer is whole.  ``size`` is that of the record that shows it."""
        header = to_text(self._buffer)
        opts = self._table.find(header)
        if opts is not None and not self._options & MIME_OPT_DISABLE_MIME:
            if opts.type == HDR_CONTENT_TYPE:
                self._content_type(header, len(opts.name) + 1, events)
            elif opts.type == HDR_CONTENT_TRANSFER_ENCODING:
                self._content_encoding(header, len(opts.name) + 1)
        if (
            self._options & MIME_OPT_REPORT_8BIT_IN_HEADER
            and not self.errors & MIME_ERR_8BIT_IN_HEADER
            and not self._buffer.isascii()
        ):
            self._report(MIME_ERR_8BIT_IN_HEADER, self._buffer, events)
        if not (
            opts is not None and opts.type == HDR_CONTENT_TRANSFER_ENCODING and self._converting
        ):
            self._head_out(opts, header, size, events)
        self._previous = ""
        self._buffer = b""

    def _head_out(
        self, opts: HeaderOpts | None, text: str, size: int, events: list[MimeEvent]
    ) -> None:
        events.append(MimeHeader(self._state, opts, text, self._head_offset))
        self._head_offset += size + 1

    def _content_type(self, header: str, offset: int, events: list[MimeEvent]) -> None:
        found = header_token(header, offset, 3, RFC2045_TSPECIALS, ";")
        if found is None or not found[0]:
            self._type = (_OTHER, self._type[1])
            return
        tokens, offset = found
        subtype = ""
        if len(tokens) == 3 and tokens[1].type == "/" and tokens[2].type == HEADER_TOK_TOKEN:
            subtype = tokens[2].value.lower()
        if _is_token(tokens[0], "text"):
            self._type = ("text", subtype if subtype == "plain" else _OTHER)
        elif _is_token(tokens[0], "message"):
            self._type = ("message", subtype if subtype in _MESSAGE_SUBTYPES else _OTHER)
        elif _is_token(tokens[0], "multipart"):
            self._type = ("multipart", self._type[1])
            default = ("message", "rfc822") if subtype == "digest" else _TEXT
            self._boundaries(header, offset, default, events)

    def _boundaries(
        self, header: str, offset: int, default: tuple[str, str], events: list[MimeEvent]
    ) -> None:
        """All boundary parameters of a Content-Type header, though more than one is illegal."""
        while (found := header_token(header, offset, 3, RFC2045_TSPECIALS, ";")) is not None:
            tokens, offset = found
            if len(tokens) < 3 or not _is_token(tokens[0], "boundary") or tokens[1].type != "=":
                continue
            if len(self._stack) > self._depth_limit + 1:  # Postfix counts from -1
                if self._options & MIME_OPT_REPORT_NESTING:
                    self._report(MIME_ERR_NESTING, self._buffer, events)
            else:
                boundary = to_bytes(tokens[2].value)[: self._bound_limit]
                self._stack.append(_Boundary(default, boundary))

    def _content_encoding(self, header: str, offset: int) -> None:
        found = header_token(header, offset, 1)
        if found and found[0] and found[0][0].type == HEADER_TOK_TOKEN:
            known = _ENCODINGS.get(found[0][0].value.lower())
            if known:
                self._encoding, self._domain = known

    def _check_domain(self, events: list[MimeEvent]) -> None:
        """Multipart and message must not be encoded (RFC 2045)."""
        main, sub = self._type
        if main == "message" and sub in ("partial", "external-body"):
            wrong = self._domain != MIME_ENC_7BIT
        elif main == "multipart" or (main == "message" and sub == "rfc822"):
            wrong = self._encoding != self._domain
        else:
            wrong = False
        if wrong:
            self._report(MIME_ERR_ENCODING_DOMAIN, _ENCODING_NAMES[self._encoding].encode(), events)

    def _begin_body(self) -> None:
        """The blank line after a block of headers: does the body begin with headers, too?"""
        self._body_offset = 0
        main, sub = self._type
        if main == "message" and (sub == "rfc822" or (sub == "global" and not self._converting)):
            self._enter(MIME_HDR_NESTED, _TEXT)
        elif main == "multipart":
            self._enter(_BODY, (_OTHER, _OTHER))
        else:
            self._set_state(_BODY)

    # -- body ---------------------------------------------------------------------------------

    def _body(self, rec_type: str, data: bytes, events: list[MimeEvent]) -> None:
        if self._looks_for_8bit and not data.isascii():
            self._report(MIME_ERR_8BIT_IN_7BIT_BODY, data, events)
        if self._stack and self._previous != "L" and data[:2] == b"--" and len(data) > 2:
            self._boundary(data)
        if self._converting:
            self._downgrade(rec_type, data, events)
        else:
            self._body_out(rec_type, data, events)

    def _body_out(self, rec_type: str, data: bytes, events: list[MimeEvent]) -> None:
        events.append(MimeBody(rec_type, data, self._body_offset))
        self._body_offset += len(data) + 1

    def _boundary(self, data: bytes) -> None:
        """Looks for the boundaries that are open, the innermost first; what an outer one ends is
        over, too.  Text after the boundary does not matter.
        """
        for level in range(len(self._stack) - 1, -1, -1):
            boundary = self._stack[level]
            if data.startswith(boundary.text, 2):
                del self._stack[level + 1 :]
                if data.startswith(b"--", 2 + len(boundary.text)):
                    self._stack.pop()
                    self._enter(_BODY, (_OTHER, _OTHER))
                else:
                    self._enter(MIME_HDR_MULTIPART, boundary.default)
                return

    def _downgrade(self, rec_type: str, data: bytes, events: list[MimeEvent]) -> None:
        """Quoted-printable, with soft line breaks (RFC 2045)."""
        line = bytearray(self._buffer)
        for byte in data:
            if len(line) > _SOFT_LIMIT:
                line += b"="
                self._body_out("N", bytes(line), events)
                line.clear()
            line += _QUOTED[byte]
        if rec_type == "N":
            if line and line[-1] in b" \t":
                line[-1:] = b"=%02X" % line[-1]
            self._body_out("N", bytes(line), events)
            line.clear()
        self._buffer = bytes(line)


def _is_token(token: HeaderToken, text: str) -> bool:
    return token.type == HEADER_TOK_TOKEN and token.value.lower() == text
