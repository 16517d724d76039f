"""SMTP replies: reading those of a server (smtp_chat), and adding a footer (smtp_reply_footer(3)).

Texts are ``str`` (see :mod:`mta.wire.text`) without line ends, except where said.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from mta.wire.dsn import dsn_valid
from mta.wire.text import to_bytes

_CODE = re.compile(r"[0-9]*")
_REPLY_LINE = re.compile(r"[0-9]{3}[ -]")

#: The status of a reply that makes no sense.
_NO_DSN = "5.5.0"


class SmtpReply(NamedTuple):
    """A reply: its code (0: garbage), enhanced status code, and text: all its lines, codes
    included, separated by newlines (SMTP_RESP).
    """

    code: int
    dsn: str
    text: str


class ReplyReader:
    """Puts one reply of a server together, from its lines.

    The lines have been made printable and were cut at the limit, the parameter line_length_limit.
    For each line: look at ``storing`` (whether the line belongs into the transcript; it does not
    when the reply is too long already), then :meth:`add` what it is or was replaced by.
    """

    __slots__ = ("_last", "_lines", "_size", "last_garbage", "limit", "skipped")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.last_garbage = False
        self.skipped = 0
        self._lines: list[str] = []
        self._size = 0
        self._last = ""

    @property
    def storing(self) -> bool:
        """Whether there is room for another line."""
        return self._size < self.limit

    @property
    def text(self) -> str:
        """The lines so far."""
        return "\n".join(self._lines)

    def add(self, line: str) -> bool:
        """Takes a line; True when it is the last one.

        ``last_garbage`` tells after that whether the line did not look like one of a reply (then
        more lines are read).  ``skipped`` counts the lines for which there was no room: when it
        becomes 1 it is time to warn ``multi-line response longer than LIMIT TEXT...``.
        """
        if self.storing:
            if self._size:
                self._lines.append(line)
                self._size += 1
            else:  # empty lines at the start leave nothing behind
                self._lines = [line]
            self._size += len(line) if line.isascii() else len(to_bytes(line))
        else:
            self.skipped += 1
        self._last = line
        digits = _CODE.match(line)
        size = digits.end() if digits else 0
        self.last_garbage = False
        if size == 3:
            after = line[3:4]
            if after == "-":
                return False
            if after in ("", " "):
                return True
        self.last_garbage = True
        return False

    def reply(self) -> SmtpReply:
        """The reply, after its last line.  An enhanced status code that contradicts the reply code
        does not count; without one, it is ``N.0.0``.
        """
        line = self._last
        first = line[:1]
        if first not in ("2", "4", "5"):
            return SmtpReply(int(line[:3]), _NO_DSN, self.text)
        rest = line[4:].lstrip(" ")
        size = dsn_valid(rest)
        dsn = rest[:size] if size and rest[0] == first else f"{first}.0.0"
        return SmtpReply(int(line[:3]), dsn, self.text)


def smtp_reply_footer(reply: str, template: str, expand: Callable[[str], str]) -> str:
    r"""The reply with a footer (smtpd_reject_footer).

    ``reply`` has one or more lines, separated by CR LF, with or without CR LF at its end, which is
    kept.  The template's ``\n`` begin new lines with the code and enhanced status code of the
    reply; ``\c`` at its start joins it to the last line.  ``expand`` expands $name in one line of
    the template.  A reply that is malformed comes back as far as it was changed.
    """
    crlf = "\r\n" if reply.endswith("\r\n") else ""
    lines = reply.removesuffix("\r\n").split("\r\n")
    for index, line in enumerate(lines):
        if not _REPLY_LINE.match(line):
            return "\r\n".join(lines) + crlf
        lines[index] = f"{line[:3]}-{line[4:]}"
    code = lines[0][:3]
    dsn = lines[0][4 : 4 + dsn_valid(lines[0][4:])]
    footer = template.split("\\n")
    joined = footer[0].startswith("\\c")
    if joined:
        lines[-1] += expand(footer.pop(0)[2:])
    for index, text in enumerate(footer):
        mark = " " if index == len(footer) - 1 else "-"
        lines.append(f"{code}{mark}{dsn} {expand(text)}" if dsn else f"{code}{mark}{expand(text)}")
    if not footer:
        lines[-1] = f"{lines[-1][:3]} {lines[-1][4:]}"
    return "\r\n".join(lines) + crlf
