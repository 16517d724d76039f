"""From standard input and options to queue file records: how sendmail(1) reads mail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.lib.requests import DEL_REQ_TRACE_ONLY_MASK
from mta.system import Account
from mta.wire.header_opts import HDR_OPT_EXTRACT, HDR_OPT_RECIP, HDR_OPT_RR, header_table
from mta.wire.mime_state import (
    MIME_HDR_PRIMARY,
    MIME_OPT_DISABLE_MIME,
    MIME_OPT_REPORT_TRUNC_HEADER,
    MimeBody,
    MimeError,
    MimeHeader,
    MimeState,
    mime_state_detail,
)
from mta.wire.record import (
    REC_TYPE_ATTR,
    REC_TYPE_CONT,
    REC_TYPE_END,
    REC_TYPE_FROM,
    REC_TYPE_FULL,
    REC_TYPE_MESG,
    REC_TYPE_NORM,
    REC_TYPE_RCPT,
    REC_TYPE_VERP,
    REC_TYPE_XTRA,
)
from mta.wire.text import to_bytes
from mta.wire.tok822 import TOK822_ADDR, tok822_grep, tok822_internalize, tok822_parse

if TYPE_CHECKING:
    from mta.master.server import Process

Record = tuple[str, bytes]


class SubmissionError(Exception):
    """The message cannot be posted: ``args[0]`` tells why."""


class Submission:
    """A message of a user, and what the options say about it."""

    def __init__(self, process: Process, user: Account, name: str | None) -> None:
        """``name`` is the environment variable NAME."""
        self.process = process
        self.user = user
        self.env_name = name
        self.sender: str | None = None  #: -f
        self.full_name: str | None = None  #: -F
        self.encoding = ""
        self.rewrite_context = "local"
        self.dsn_envid: str | None = None
        self.dsn_ret = 0
        self.dsn_notify = 0
        self.verp_delims: str | None = None
        self.trace_flags = 0
        self.extract = False  #: -t
        self.dot_ends = True
        self.saved_sender = ""

    def records(self, recipients: list[str], data: bytes) -> list[Record]:
        """The message as postdrop(1) wants it.  Raises SubmissionError."""
        self._find_sender()
        records: list[Record] = []
        found = self._envelope(records, recipients)
        records.append((REC_TYPE_MESG, b""))
        extracted: list[str] = []
        if self.trace_flags & DEL_REQ_TRACE_ONLY_MASK:
            self._probe(records, recipients)
        elif self.extract:
            extracted = self._extract(records, self._lines(data))
        else:
            records.extend(self._lines(data))
        records.append((REC_TYPE_XTRA, b""))
        for address in extracted:
            self._recipient(records, address)
        if not found and not extracted:
            if self.extract:
                self._fail("No recipient addresses found in message header")
            self._fail(
                "Recipient addresses must be specified on the command line or via the -t option",
            )
        records.append((REC_TYPE_END, b""))
        return records

    def _fail(self, text: str) -> None:
        raise SubmissionError(f"{self.saved_sender}({self.user.uid}): {text}")

    def _find_sender(self) -> None:
        """The sender: what ``-f`` says, or the login name."""
        if self.sender is None:
            self.saved_sender = self.user.name
            return
        nodes = tok822_grep(tok822_parse(self.sender), TOK822_ADDR)
        self.saved_sender = tok822_internalize(nodes[0].children) if nodes else ""
        if len(nodes) > 1:
            self.process.log.warning(f"-f option specified malformed sender: {self.sender}")

    def _find_full_name(self) -> str:
        """What ``-F`` says, or NAME, or the account's name with ``&`` for the login name."""
        if self.full_name is not None:
            return self.full_name
        if self.env_name is not None:
            return self.env_name
        name = self.user.gecos
        for end in ",;%":
            name = name.partition(end)[0]
        login = self.user.name
        return name.replace("&", login[:1].upper() + login[1:])

    def _envelope(self, records: list[Record], recipients: list[str]) -> int:
        """What comes before the content; the number of recipients."""

        def attribute(name: str, value: str | int) -> None:
            records.append((REC_TYPE_ATTR, to_bytes(f"{name}={value}")))

        if self.dsn_envid is not None:
            attribute("envelope_id", self.dsn_envid)
        if self.dsn_ret:
            attribute("ret_flags", self.dsn_ret)
        attribute("rewrite_context", self.rewrite_context)
        records.append((REC_TYPE_FULL, to_bytes(self._find_full_name())))
        records.append((REC_TYPE_FROM, to_bytes(self.saved_sender)))
        if self.verp_delims and not self.saved_sender:
            self._fail("-V option requires non-null sender address")
        if self.encoding:
            attribute("encoding", self.encoding)
        if self.trace_flags:
            attribute("trace_flags", self.trace_flags)
        if self.verp_delims:
            records.append((REC_TYPE_VERP, to_bytes(self.verp_delims)))
        count = 0
        for word in recipients:
            nodes = tok822_grep(tok822_parse(word), TOK822_ADDR)
            for node in nodes:
                self._recipient(records, tok822_internalize(node.children))
                count += 1
            if not nodes:
                records.append((REC_TYPE_RCPT, b""))
                count += 1
        return count

    def _recipient(self, records: list[Record], address: str) -> None:
        if self.dsn_notify:
            records.append((REC_TYPE_ATTR, b"notify_flags=%d" % self.dsn_notify))
        records.append((REC_TYPE_RCPT, to_bytes(address)))

    def _probe(self, records: list[Record], recipients: list[str]) -> None:
        """The content of a message that is never delivered (-bv)."""
        if self.saved_sender:
            records.append((REC_TYPE_NORM, to_bytes(f"From: {self.saved_sender}")))
        records.append((REC_TYPE_NORM, b"Subject: probe"))
        if recipients:
            records.append((REC_TYPE_CONT, b"To:"))
            last = len(recipients) - 1
            for place, word in enumerate(recipients):
                comma = "," if place < last else ""
                records.append((REC_TYPE_NORM, to_bytes(f"\t{word}{comma}")))

    # -- the content

    def _lines(self, data: bytes) -> list[Record]:
        """Text as records, long lines in parts; without ``From `` lines at the start, and up to a
        lone dot.
        """
        strip = self._strips_cr(data)
        limit = self.process.conf.line_length_limit
        lines = data.split(b"\n")
        rest = lines.pop()
        records: list[Record] = []
        skip_from = True
        for line in lines:
            if len(line) < limit:
                if skip_from:
                    if line.lstrip(b">").startswith(b"From "):
                        continue
                    skip_from = False
                if strip and line.endswith(b"\r"):
                    line = line.rstrip(b"\r")
                if line == b"." and self.dot_ends:
                    return records
                records.append((REC_TYPE_NORM, line))
                continue
            skip_from = False
            while len(line) >= limit:
                records.append((REC_TYPE_CONT, line[:limit]))
                line = line[limit:]
            if strip:
                line = line.rstrip(b"\r")
            records.append((REC_TYPE_NORM, line))
        while rest:
            if rest == b"." and self.dot_ends and (not records or records[-1][0] != REC_TYPE_CONT):
                break
            records.append((REC_TYPE_CONT, rest[:limit]))
            rest = rest[limit:]
        return records

    def _strips_cr(self, data: bytes) -> bool:
        """``sendmail_fix_line_endings``: whether CR LF ends a line, always or where the first line
        ends so.
        """
        mode = self.process.conf.sendmail_fix_line_endings
        if mode == "always":
            return True
        if mode == "never":
            return False
        if mode != "strict":
            raise SubmissionError(f"invalid sendmail_fix_line_endings value: {mode}")
        first, newline, _ = data.partition(b"\n")
        return bool(newline) and first.endswith(b"\r")

    def _extract(self, records: list[Record], lines: list[Record]) -> list[str]:
        """Copies the content and finds the recipients in its headers (-t): those of Resent-
        headers, where there are any.
        """
        conf = self.process.conf
        machine = MimeState(
            MIME_OPT_DISABLE_MIME | MIME_OPT_REPORT_TRUNC_HEADER,
            conf.header_size_limit,
            conf.mime_nesting_limit,
            conf.mime_boundary_length_limit,
            header_table(conf.message_drop_headers),
        )
        plain: list[str] = []
        resent: list[str] = []
        seen_resent = False
        for rec_type, data in [*lines, (REC_TYPE_XTRA, b"")]:
            for event in machine.update(rec_type, data):
                if isinstance(event, MimeBody):
                    records.append((event.rec_type, event.data))
                elif isinstance(event, MimeHeader):
                    opts = event.opts
                    wanted = HDR_OPT_RECIP | HDR_OPT_EXTRACT
                    if (
                        event.header_class == MIME_HDR_PRIMARY
                        and opts is not None
                        and opts.flags & wanted == wanted
                        and (not seen_resent or opts.flags & HDR_OPT_RR)
                    ):
                        is_resent = bool(opts.flags & HDR_OPT_RR)
                        seen_resent |= is_resent
                        tree = tok822_parse(event.text[len(opts.name) + 1 :])
                        found = resent if is_resent else plain
                        for node in tok822_grep(tree, TOK822_ADDR):
                            found.append(tok822_internalize(node.children))
                    self._put_header(records, event.text)
                elif isinstance(event, MimeError):
                    self._fail(
                        f"unable to extract recipients: {mime_state_detail(event.code).text}",
                    )
        return resent if seen_resent else plain

    def _put_header(self, records: list[Record], text: str) -> None:
        limit = self.process.conf.line_length_limit
        for line in to_bytes(text).split(b"\n"):
            while len(line) > limit:
                records.append((REC_TYPE_CONT, line[:limit]))
                line = line[limit:]
            records.append((REC_TYPE_NORM, line))
