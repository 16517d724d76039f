"""What filters may ask for at the end of a message, and who carries it out."""

from __future__ import annotations

from typing import Protocol

from mta.system import Wait

#: What is to be done: ``H`` hold the message, ``D`` throw it away, ``S`` close the connection, or
#: an SMTP reply with an enhanced status code; None: go on.
Reply = str | None

MILTER_BODY_START = 1
MILTER_BODY_LINE = 2
MILTER_BODY_END = 3


class Editor(Protocol):
    """Edits the queue file.  Each edit gives None, or a reply where it failed (milter(3))."""

    def add_header(self, name: str, space: str, value: str) -> Wait[Reply]:
        """Appends a header."""

    def ins_header(self, index: int, name: str, space: str, value: str) -> Wait[Reply]:
        """Inserts a header; the first place is 1."""

    def upd_header(self, index: int, name: str, space: str, value: str) -> Wait[Reply]:
        """Replaces the header of that name with the index (from 1)."""

    def del_header(self, index: int, name: str) -> Wait[Reply]:
        """Removes the header of that name with the index (from 1)."""

    def chg_from(self, sender: str, esmtp_args: str) -> Wait[Reply]:
        """Replaces the sender."""

    def add_rcpt(self, recipient: str) -> Wait[Reply]:
        """Adds a recipient."""

    def add_rcpt_par(self, recipient: str, esmtp_args: str) -> Wait[Reply]:
        """Adds a recipient with ESMTP parameters."""

    def del_rcpt(self, recipient: str) -> Wait[Reply]:
        """Removes a recipient."""

    def repl_body(self, command: int, line: bytes = b"") -> Wait[Reply]:
        """Replaces the body: MILTER_BODY_START, its lines, MILTER_BODY_END."""


class BodyReplacement:
    """Cuts the new body, which comes in pieces, into lines."""

    __slots__ = ("_editor", "_rest", "_started")

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        self._started = False
        self._rest = b""

    def add(self, data: bytes) -> Wait[Reply]:
        """A piece; lines end with LF or CR LF."""
        if not self._started:
            self._started = True
            reply = yield from self._editor.repl_body(MILTER_BODY_START)
            if reply is not None:
                return reply
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            reply = yield from self._editor.repl_body(MILTER_BODY_LINE, line.removesuffix(b"\r"))
            if reply is not None:
                return reply
        return None

    def finish(self) -> Wait[Reply]:
        """The end of the body, whose last line may have no end of its own."""
        reply: Reply = None
        if self._rest:
            reply = yield from self._editor.repl_body(MILTER_BODY_LINE, self._rest)
        if reply is None:
            reply = yield from self._editor.repl_body(MILTER_BODY_END)
        return reply
