"""header_opts(3), is_header(3), header_token(3): what Postfix knows of message headers.

Header texts are ``str`` (see :mod:`mta.wire.text`), the lines of a logical header are separated by
newlines.  ``is_header`` takes bytes, too.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

HDR_OTHER = 0
HDR_APPARENTLY_TO = 1
HDR_BCC = 2
HDR_CC = 3
HDR_CONTENT_LENGTH = 4
HDR_CONTENT_TRANSFER_ENCODING = 5
HDR_CONTENT_TYPE = 6
HDR_DATE = 7
HDR_DELIVERED_TO = 8
HDR_ERRORS_TO = 9
HDR_FROM = 10
HDR_MESSAGE_ID = 11
HDR_RECEIVED = 12
HDR_REPLY_TO = 13
HDR_RESENT_BCC = 14
HDR_RESENT_CC = 15
HDR_RESENT_DATE = 16
HDR_RESENT_FROM = 17
HDR_RESENT_MESSAGE_ID = 18
HDR_RESENT_REPLY_TO = 19
HDR_RESENT_SENDER = 20
HDR_RESENT_TO = 21
HDR_RETURN_PATH = 22
HDR_RETURN_RECEIPT_TO = 23
HDR_SENDER = 24
HDR_TO = 25
HDR_MAIL_FOLLOWUP_TO = 26
HDR_CONTENT_DESCRIPTION = 27
HDR_CONTENT_DISPOSITION = 28
HDR_CONTENT_ID = 29
HDR_MIME_VERSION = 30
HDR_DISP_NOTIFICATION = 31

HDR_OPT_DROP = 1 << 0  #: delete from the message (message_drop_headers)
HDR_OPT_SENDER = 1 << 1  #: has sender addresses
HDR_OPT_RECIP = 1 << 2  #: has recipient addresses
HDR_OPT_RR = 1 << 3  #: a Resent- header
HDR_OPT_EXTRACT = 1 << 4  #: recipients are taken from it (sendmail -t)
HDR_OPT_MIME = 1 << 5  #: a MIME header
HDR_OPT_XRECIP = HDR_OPT_RECIP | HDR_OPT_EXTRACT

#: The default of the parameter message_drop_headers.
DEF_DROP_HDRS = "bcc, content-length, resent-bcc, return-path"

#: RFC 822 specials, the default of :func:`header_token`; and those of RFC 2045.
LEX_822_SPECIALS = '()<>@,;:\\".[]'
RFC2045_TSPECIALS = '()<>@,;:\\"/[]?='

HEADER_TOK_TOKEN = "token"
HEADER_TOK_QSTRING = "qstring"

_HEADER = re.compile(r"([!-9;-~]+)[ \t]*:")
_HEADER_BYTES = re.compile(rb"([!-9;-~]+)[ \t]*:")
_SPACE = " \t\n\v\f\r"


class HeaderOpts(NamedTuple):
    """A header's name in preferred capitalization, its type (HDR_*) and flags (HDR_OPT_*)."""

    name: str
    type: int
    flags: int


_TABLE = (
    HeaderOpts("Apparently-To", HDR_APPARENTLY_TO, HDR_OPT_RECIP),
    HeaderOpts("Bcc", HDR_BCC, HDR_OPT_XRECIP),
    HeaderOpts("Cc", HDR_CC, HDR_OPT_XRECIP),
    HeaderOpts("Content-Description", HDR_CONTENT_DESCRIPTION, HDR_OPT_MIME),
    HeaderOpts("Content-Disposition", HDR_CONTENT_DISPOSITION, HDR_OPT_MIME),
    HeaderOpts("Content-ID", HDR_CONTENT_ID, HDR_OPT_MIME),
    HeaderOpts("Content-Length", HDR_CONTENT_LENGTH, 0),
    HeaderOpts("Content-Transfer-Encoding", HDR_CONTENT_TRANSFER_ENCODING, HDR_OPT_MIME),
    HeaderOpts("Content-Type", HDR_CONTENT_TYPE, HDR_OPT_MIME),
    HeaderOpts("Delivered-To", HDR_DELIVERED_TO, 0),
    HeaderOpts("Disposition-Notification-To", HDR_DISP_NOTIFICATION, HDR_OPT_SENDER),
    HeaderOpts("Date", HDR_DATE, 0),
    HeaderOpts("Errors-To", HDR_ERRORS_TO, HDR_OPT_SENDER),
    HeaderOpts("From", HDR_FROM, HDR_OPT_SENDER),
    HeaderOpts("Mail-Followup-To", HDR_MAIL_FOLLOWUP_TO, HDR_OPT_SENDER),
    HeaderOpts("Message-Id", HDR_MESSAGE_ID, 0),
    HeaderOpts("MIME-Version", HDR_MIME_VERSION, HDR_OPT_MIME),
    HeaderOpts("Received", HDR_RECEIVED, 0),
    HeaderOpts("Reply-To", HDR_REPLY_TO, HDR_OPT_SENDER),
    HeaderOpts("Resent-Bcc", HDR_RESENT_BCC, HDR_OPT_XRECIP | HDR_OPT_RR),
    HeaderOpts("Resent-Cc", HDR_RESENT_CC, HDR_OPT_XRECIP | HDR_OPT_RR),
    HeaderOpts("Resent-Date", HDR_RESENT_DATE, HDR_OPT_RR),
    HeaderOpts("Resent-From", HDR_RESENT_FROM, HDR_OPT_SENDER | HDR_OPT_RR),
    HeaderOpts("Resent-Message-Id", HDR_RESENT_MESSAGE_ID, HDR_OPT_RR),
    HeaderOpts("Resent-Reply-To", HDR_RESENT_REPLY_TO, HDR_OPT_RECIP | HDR_OPT_RR),
    HeaderOpts("Resent-Sender", HDR_RESENT_SENDER, HDR_OPT_SENDER | HDR_OPT_RR),
    HeaderOpts("Resent-To", HDR_RESENT_TO, HDR_OPT_XRECIP | HDR_OPT_RR),
    HeaderOpts("Return-Path", HDR_RETURN_PATH, HDR_OPT_SENDER),
    HeaderOpts("Return-Receipt-To", HDR_RETURN_RECEIPT_TO, HDR_OPT_SENDER),
    HeaderOpts("Sender", HDR_SENDER, HDR_OPT_SENDER),
    HeaderOpts("To", HDR_TO, HDR_OPT_XRECIP),
)

_LOWER = str.maketrans(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
)  # ASCII alone, as tolower(3) in the C locale


def is_header(text: str) -> int:
    """The length of the header's name when the text begins with a name, optional blanks and a
    colon; else 0 (RFC 822).
    """
    match = _HEADER.match(text)
    return match.end(1) if match else 0


def is_header_buf(data: bytes) -> int:
    """:func:`is_header` for bytes."""
    match = _HEADER_BYTES.match(data)
    return match.end(1) if match else 0


class HeaderTable:
    """The headers that Postfix treats in a special way, with the drop flags of a process."""

    __slots__ = ("_by_name",)

    def __init__(self, drop: str = DEF_DROP_HDRS) -> None:
        """``drop`` is the value of the parameter message_drop_headers."""
        self._by_name = {opts.name.lower(): opts for opts in _TABLE}
        for name in re.split(r"[,\s]+", drop):
            if not name:
                continue
            name = name.translate(_LOWER)
            opts = self._by_name.get(name) or HeaderOpts(name, HDR_OTHER, 0)
            self._by_name[name] = opts._replace(flags=opts.flags | HDR_OPT_DROP)

    def find(self, header: str) -> HeaderOpts | None:
        """What is known of a header, by the name before its colon (blanks before the colon and
        case do not matter); None for an ordinary one (header_opts_find).
        """
        name = header.partition(":")[0].translate(_LOWER)
        return self._by_name.get(name.rstrip(_SPACE))


@lru_cache(maxsize=64)
def header_table(drop: str = DEF_DROP_HDRS) -> HeaderTable:
    """The table for a value of message_drop_headers, made once."""
    return HeaderTable(drop)


class HeaderToken(NamedTuple):
    """``type`` is HEADER_TOK_TOKEN, HEADER_TOK_QSTRING, or the special or control itself."""

    type: str
    value: str


def header_token(
    text: str,
    offset: int,
    limit: int,
    specials: str = LEX_822_SPECIALS,
    terminator: str = "",
) -> tuple[list[HeaderToken], int] | None:
    """The next tokens of a header's value from an offset, and where they end.

    White space and comments are skipped.  Stops after the terminator (tokens beyond the limit are
    ignored), or at the limit where there is no terminator.  None when the text was exhausted
    before any token was found.  Unlike header_token(3), a count, this gives the tokens.
    """
    tokens: list[HeaderToken] = []
    end = len(text)
    while offset < end and (terminator or len(tokens) < limit):
        char = text[offset]
        offset += 1
        if char in " \t\r\n":
            continue
        if char == terminator:
            return tokens, offset
        if char == "(":
            offset = _skip_comment(text, offset)
            continue
        if char == '"':
            value, offset = _quoted_string(text, offset)
            token = HeaderToken(HEADER_TOK_QSTRING, value)
        elif char in specials or _is_control(char):
            token = HeaderToken(char, char)
        else:
            start = offset - 1
            while offset < end and not _ends_token(text[offset], specials):
                offset += 1
            token = HeaderToken(HEADER_TOK_TOKEN, text[start:offset])
        if len(tokens) < limit:
            tokens.append(token)
    if not tokens and offset >= end:
        return None
    return tokens, offset


def _is_control(char: str) -> bool:
    return char < " " or char == "\x7f"


def _ends_token(char: str, specials: str) -> bool:
    return char == " " or char in specials or _is_control(char)


def _skip_comment(text: str, offset: int) -> int:
    """The end of a comment whose parenthesis has been read; comments nest."""
    level = 1
    while offset < len(text):
        char = text[offset]
        offset += 1
        if char == "(":
            level += 1
        elif char == ")":
            level -= 1
            if level == 0:
                break
        elif char == "\\" and offset < len(text):
            offset += 1
    return offset


def _quoted_string(text: str, offset: int) -> tuple[str, int]:
    """The value of a quoted string whose first quote has been read, and its end."""
    value = ""
    while offset < len(text):
        char = text[offset]
        offset += 1
        if char == '"':
            break
        if char == "\n":  # unfold
            value = value.rstrip(" \t\r\n")
            continue
        if char == "\\":
            if offset >= len(text):
                break
            char = text[offset]
            offset += 1
        value += char
    return value, offset
