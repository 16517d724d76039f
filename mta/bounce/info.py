"""A delivery status notification, piece by piece (bounce_notify_util; RFC 3464, 3834, 6533)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.bounce.original import Original
from mta.bounce.template import Template
from mta.lib.bounce_log import BounceEntry, bounce_log_read
from mta.lib.deliver_completed import deliver_completed
from mta.lib.post_mail import PostMail
from mta.lib.recipient import DSN_RET_HDRS
from mta.lib.requests import SMTPUTF8_FLAG_REQUESTED, FlushRequest
from mta.util.casefold import valid_utf8
from mta.util.line_wrap import line_wrap
from mta.wire.mail_date import mail_date
from mta.wire.quote import quote_822_local

if TYPE_CHECKING:
    from mta.master.server import Process

_WIDTH = 79
_INDENT = 4

#: What may not stand in an atom (RFC 822) becomes ``-`` in the names of our own fields.
_ATOM = str.maketrans(dict.fromkeys(' \t\r\n()<>@,;:\\".[]', "-"))


class BounceInfo:
    """What all notifications of one request have in common.

    ``entries`` is the logfile's content, None where there is no logfile.
    """

    def __init__(
        self, process: Process, request: FlushRequest, template: Template, service: str
    ) -> None:
        """Reads the logfile of the service (``none``: there is none) and the original message."""
        conf = process.conf
        self.process = process
        self.queue_id = request.queue_id
        self.smtputf8 = request.smtputf8
        self.envid = request.dsn_envid
        self.template = template
        self.encoding = self._mime_encoding(request.encoding)
        self.mail_name = conf.mail_name.translate(_ATOM)
        seconds = process.now() // 1_000_000
        self.boundary = f"{request.queue_id}.{seconds}/{conf.myhostname}"
        self.entries: list[BounceEntry] | None = None
        if service != "none":
            self.entries = bounce_log_read(process, service, request.queue_id)
        self.original = Original(process, service, request.queue_name, request.queue_id)

    def _mime_encoding(self, encoding: str) -> str:
        """Addresses and host names may be UTF-8, so that it is 8bit with ``smtputf8_enable``."""
        if self.process.conf.smtputf8_enable:
            return "8bit"
        if encoding not in ("8bit", "7bit", ""):
            self.process.log.warning(f"{self.queue_id}: unknown encoding: {encoding[:200]}")
            return ""
        return encoding

    @property
    def _not_7bit(self) -> bool:
        return self.encoding == "8bit"

    @property
    def _global(self) -> bool:
        """Whether the original asked for SMTPUTF8 (RFC 6533)."""
        return bool(self.smtputf8 & SMTPUTF8_FLAG_REQUESTED)

    def selected(self, notify: int) -> list[BounceEntry]:
        """The recipients whose senders want to know, by DSN_NOTIFY_* (or did not say)."""
        return [
            entry
            for entry in self.entries or ()
            if entry.recipient.dsn_notify == 0 or entry.recipient.dsn_notify & notify
        ]

    # -- the parts of the message

    def header(self, mail: PostMail, dest: str, postmaster_copy: bool) -> None:
        """The message header, and the beginning of the part for people."""
        text = self.template.text
        put = mail.text
        put(*self.template.headers(quote_822_local(dest), postmaster_copy))
        put(f"Auto-Submitted: auto-{'generated' if postmaster_copy else 'replied'}")
        put("MIME-Version: 1.0")
        put("Content-Type: multipart/report; report-type=delivery-status;")
        put(f'\tboundary="{self.boundary}"')
        if self.encoding:
            encoding = text.encoding if self.encoding == "7bit" else self.encoding
            put(f"Content-Transfer-Encoding: {encoding}")
        put("", "This is a MIME-encapsulated message.")
        charset = text.charset
        if charset.lower() == "us-ascii":
            charset = "utf-8" if self._not_7bit else "us-ascii"
        self._part(mail, "Notification", f"text/plain; charset={charset}", self._not_7bit)
        put("")

    def _part(self, mail: PostMail, description: str, content_type: str, encoding: bool) -> None:
        put = mail.text
        put("", f"--{self.boundary}")
        put(f"Content-Description: {description}")
        put(f"Content-Type: {content_type}")
        if encoding:
            put(f"Content-Transfer-Encoding: {self.encoding}")

    def boilerplate(self, mail: PostMail) -> None:
        """The text of the template."""
        mail.text(*self.template.expand())

    def recipient_log(self, mail: PostMail, entry: BounceEntry) -> None:
        """One recipient, for people."""
        recipient = entry.recipient
        expanded = f" (expanded from <{recipient.orig_addr}>)" if recipient.orig_addr else ""
        text = f"<{recipient.address}>{expanded}: {entry.dsn.reason}"
        mail.text("", *line_wrap(text, _WIDTH, _INDENT))

    def diagnostic_log(self, mail: PostMail, notify: int) -> int:
        """The recipients, for people; how many."""
        if self.entries is None:
            if not self.template.is_failure:
                return 0
            mail.text("", "\t--- Delivery report unavailable ---")
            return 1
        selected = self.selected(notify)
        for entry in selected:
            self.recipient_log(mail, entry)
        return len(selected)

    def header_dsn(self, mail: PostMail) -> None:
        """The beginning of the part for programs: the facts of the message."""
        name = "global-delivery-status" if self._global else "delivery-status"
        # Without SMTPUTF8 no encoding is told, lest the part be converted on its way.
        self._part(mail, "Delivery report", f"message/{name}", self._not_7bit and self._global)
        put = mail.text
        put("", f"Reporting-MTA: dns; {self.process.conf.myhostname}")
        if self.envid:
            put(f"Original-Envelope-Id: {self.envid}")
        put(f"X-{self.mail_name}-Queue-ID: {self.queue_id}")
        sender = self.original.sender
        if sender:
            put(f"X-{self.mail_name}-Sender: {self._type(sender)}; {sender}")
        if self.original.arrival_time:
            put(f"Arrival-Date: {self._date(self.original.arrival_time)}")

    def recipient_dsn(self, mail: PostMail, entry: BounceEntry) -> None:
        """One recipient, for programs."""
        recipient, dsn = entry
        put = mail.text
        put("", f"Final-Recipient: {self._type(recipient.address)}; {recipient.address}")
        if recipient.dsn_orcpt:
            put(f"Original-Recipient: {recipient.dsn_orcpt}")
        elif recipient.orig_addr:
            put(f"Original-Recipient: {self._type(recipient.orig_addr)}; {recipient.orig_addr}")
        put(f"Action: {'failed' if self.template.is_failure else dsn.action}")
        put(f"Status: {dsn.status}")
        if dsn.mtype and dsn.mname:
            put(*line_wrap(f"Remote-MTA: {dsn.mtype}; {dsn.mname}", _WIDTH, _INDENT))
        if dsn.dtype and dsn.dtext:
            code = f"{dsn.dtype}; {dsn.dtext}"
        else:
            code = f"X-{self.mail_name}; {dsn.reason}"
        put(*line_wrap(f"Diagnostic-Code: {code}", _WIDTH, _INDENT))
        if self.template.is_delay:
            lifetime = self.process.conf.maximal_queue_lifetime * 1_000_000
            put(f"Will-Retry-Until: {self._date(self.original.arrival_time + lifetime)}")

    def diagnostic_dsn(self, mail: PostMail, notify: int) -> None:
        """The recipients, for programs."""
        for entry in self.selected(notify):
            self.recipient_dsn(mail, entry)

    def original_message(self, mail: PostMail, dsn_ret: int) -> None:
        """The returned message or, with DSN_RET_HDRS or where it is too large, its headers."""
        original = self.original
        limit = self.process.conf.bounce_size_limit
        if limit > 0 and original.file is not None and not 0 < original.message_size <= limit:
            dsn_ret = DSN_RET_HDRS
        headers_only = dsn_ret == DSN_RET_HDRS
        template = self.template
        what = "Undelivered " if template.is_failure or template.is_delay else ""
        what += "Message Headers" if headers_only else "Message"
        if self._global:
            content_type = "message/global-headers" if headers_only else "message/global"
        else:
            content_type = "text/rfc822-headers" if headers_only else "message/rfc822"
        self._part(mail, what, content_type, self._not_7bit)
        put = mail.text
        put("")
        if original.data_offset == 0:
            put("\t--- Undelivered message unavailable ---")
            return
        put(f"Return-Path: <{original.sender}>")
        mail.message.records.extend(original.content(dsn_ret))
        put("", f"--{self.boundary}--")

    def _type(self, address: str) -> str:
        """The address type of a field."""
        utf8 = self.smtputf8 and not address.isascii() and valid_utf8(address)
        return "utf-8" if utf8 else "rfc822"

    def _date(self, moment: int) -> str:
        return mail_date(moment, self.process.system.timezone)

    # -- the queue file

    def delete_recipients(self) -> None:
        """Marks the recipients of the logfile as done in the queue file (bounce_delrcpt)."""
        for entry in self.entries or ():
            self.delete_recipient(entry)

    def delete_recipient(self, entry: BounceEntry) -> None:
        """Marks one recipient as done (bounce_delrcpt_one)."""
        if self.original.file is not None and entry.recipient.offset > 0:
            deliver_completed(self.original.file, entry.recipient.offset)
