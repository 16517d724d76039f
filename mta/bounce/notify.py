"""The notifications of bounce(8): who is told what (bounce_notify, _warn, _trace, _verp, _one).

The sender of a notification depends on who gets it.  Mail to the sender of a message comes from the
null address; mail about mail from the null address, and postmaster copies, come from
``double_bounce_sender``; about those nobody is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mta.bounce.info import BounceInfo
from mta.bounce.template import Template
from mta.bounce.templates import Templates
from mta.lib.bounce_log import BounceEntry, bounce_log_remove
from mta.lib.class_mask import class_mask
from mta.lib.cleanup_client import cleanup_finish
from mta.lib.dsn_mask import DSN_NOTIFY_OVERRIDE
from mta.lib.mail_addr_names import mail_addr_double_bounce
from mta.lib.mail_error import (
    MAIL_ERROR_2BOUNCE,
    MAIL_ERROR_BOUNCE,
    MAIL_ERROR_DELAY,
    MAIL_ERROR_MASKS,
)
from mta.lib.post_mail import PostMail, post_mail_open
from mta.lib.recipient import (
    DSN_NOTIFY_DELAY,
    DSN_NOTIFY_FAILURE,
    DSN_RET_FULL,
    DSN_RET_HDRS,
    Recipient,
)
from mta.lib.requests import (
    BOUNCE_FLAG_DELRCPT,
    CLEANUP_STAT_WRITE,
    DEL_REQ_FLAG_RECORD,
    DEL_REQ_FLAG_USR_VRFY,
    FlushRequest,
)
from mta.system import Fatal, Gone, Wait
from mta.util.casefold import same_text
from mta.wire.dsn import Dsn
from mta.wire.verp import verp_sender

if TYPE_CHECKING:
    from mta.master.server import Process

_FAILED = 1

NULL_SENDER = ""


@dataclass(slots=True)
class Notice:
    """One message to send: from whom, to whom, in what words.

    ``notify`` selects recipients of the logfile by DSN_NOTIFY_*; with ``entry`` it is about that
    one alone.  ``kind`` is what the log calls it.
    """

    sender: str
    recipient: str
    kind: str
    copy: bool = False  #: a postmaster copy: another subject, no boilerplate
    notify: int = 0
    entry: BounceEntry | None = None
    dsn_ret: int = DSN_RET_HDRS


class Notifier:
    """Serves the requests of one process."""

    def __init__(self, process: Process, templates: Templates) -> None:
        self.process = process
        self.templates = templates

    # -- the requests; 0 is success

    def bounce(self, request: FlushRequest) -> Wait[int]:
        """Undeliverable mail goes back (BOUNCE_CMD_FLUSH)."""
        info = self._info(request, self.templates.failure)
        if self._is_double_bounce(request.sender):
            status = self._discarded(request)
        elif not request.sender:
            status = yield from self._double_bounce(info, notify=DSN_NOTIFY_OVERRIDE)
        else:
            notice = self._non_delivery(request, request.sender, notify=DSN_NOTIFY_FAILURE)
            status = yield from self._post(info, notice)
            if status == 0:
                yield from self._bounce_copy(request, info, notify=DSN_NOTIFY_OVERRIDE)
        if status == 0:
            if request.flags & BOUNCE_FLAG_DELRCPT:
                info.delete_recipients()
            bounce_log_remove(self.process, self.process.service, request.queue_id)
        return status

    def warn(self, request: FlushRequest) -> Wait[int]:
        """Delayed mail is still on its way (BOUNCE_CMD_WARN).  The logfile stays."""
        info = self._info(request, self.templates.delay)
        if self._is_double_bounce(request.sender):
            return self._discarded(request)
        about = self._to_postmaster(
            self.process.conf.delay_notice_recipient, "delay", notify=DSN_NOTIFY_OVERRIDE
        )
        if not request.sender:
            about.dsn_ret = DSN_RET_FULL
            return (yield from self._post(info, about)) if self._tells_delays() else 0
        notice = Notice(NULL_SENDER, request.sender, "sender delay", notify=DSN_NOTIFY_DELAY)
        status = yield from self._post(info, notice)
        if status == 0 and self._tells_delays() and (yield from self._post(info, about)):
            self._copy_failed(request, "warning")
        return status

    def trace(self, request: FlushRequest) -> Wait[int]:
        """What became of a message, for who wants to know (BOUNCE_CMD_TRACE)."""
        process = self.process
        recipient, sender = request.sender, NULL_SENDER
        if self._is_double_bounce(recipient):
            process.log.info(
                f"{request.queue_id}: not sending trace/success notification for "
                "double-bounce message"
            )
            return 0
        if not recipient:
            if not self._notify_mask & MAIL_ERROR_2BOUNCE:
                process.log.info(
                    f"{request.queue_id}: not sending trace/success notification for "
                    "single-bounce message"
                )
                bounce_log_remove(process, process.service, request.queue_id)
                return 0
            recipient = process.conf._2bounce_notice_recipient
            sender = mail_addr_double_bounce(process)
        wanted = request.flags & (DEL_REQ_FLAG_USR_VRFY | DEL_REQ_FLAG_RECORD)
        template = self.templates.verify if wanted else self.templates.success
        info = self._info(request, template)
        if info.entries is None:
            return 0
        notice = Notice(sender, recipient, "sender delivery status", notify=DSN_NOTIFY_OVERRIDE)
        status = yield from self._post(info, notice)
        if status == 0:
            bounce_log_remove(process, process.service, request.queue_id)
        return status

    def verp(self, request: FlushRequest) -> Wait[int]:
        """Undeliverable mail goes back, one notification for each recipient (BOUNCE_CMD_VERP)."""
        process = self.process
        if not request.sender or self._is_double_bounce(request.sender):
            process.log.warning("request to send VERP-style notification of bounced mail")
            return (yield from self.bounce(request))
        info = self._info(request, self.templates.failure)
        if info.entries is None:
            # Without a list of recipients; but not without a word.
            unknown = Recipient("(recipient address unavailable)")
            dsn = Dsn("5.0.0", "(error report unavailable)")
            return (yield from self.one(request._replace(recipient=unknown, dsn=dsn)))
        for entry in info.entries:
            recipient = entry.recipient
            if _wants_failures(recipient):
                original = recipient.orig_addr or recipient.address
                sender = verp_sender(request.verp, request.sender, original)
                notice = self._non_delivery(request, sender, entry=entry)
                status = yield from self._post(info, notice)
                if status:
                    return status
                if request.flags & BOUNCE_FLAG_DELRCPT:
                    info.delete_recipient(entry)
            yield from self._bounce_copy(request, info, entry=entry)
        bounce_log_remove(process, process.service, request.queue_id)
        return 0

    def one(self, request: FlushRequest) -> Wait[int]:
        """One recipient failed; there is no logfile (BOUNCE_CMD_ONE)."""
        assert request.recipient is not None and request.dsn is not None
        entry = BounceEntry(request.recipient, request.dsn)
        info = BounceInfo(self.process, request, self.templates.failure, "none")
        status = 0
        if self._is_double_bounce(request.sender):
            status = self._discarded(request)
        elif not request.sender:
            status = yield from self._double_bounce(info, entry=entry)
        else:
            if _wants_failures(entry.recipient):
                notice = self._non_delivery(request, request.sender, entry=entry)
                status = yield from self._post(info, notice)
            if status == 0:
                yield from self._bounce_copy(request, info, entry=entry)
        if status == 0 and request.flags & BOUNCE_FLAG_DELRCPT:
            info.delete_recipient(entry)
        return status

    #: By the kind of a FlushRequest.
    KINDS: dict[str, Callable[[Notifier, FlushRequest], Wait[int]]] = {
        "bounce": bounce,
        "warn": warn,
        "trace": trace,
        "verp": verp,
        "one": one,
    }

    # -- their parts

    @property
    def _notify_mask(self) -> int:
        """``notify_classes``; an unknown name is fatal."""
        process = self.process
        return class_mask(
            process, "notify_classes", MAIL_ERROR_MASKS, process.conf.notify_classes
        )

    def _tells_delays(self) -> bool:
        return bool(self._notify_mask & MAIL_ERROR_DELAY)

    def _info(self, request: FlushRequest, template: Template) -> BounceInfo:
        return BounceInfo(self.process, request, template, self.process.service)

    def _is_double_bounce(self, address: str) -> bool:
        process = self.process
        utf8 = bool(process.conf.smtputf8_enable)
        return same_text(address, mail_addr_double_bounce(process), utf8)

    def _discarded(self, request: FlushRequest) -> int:
        self.process.log.warning(
            f"{request.queue_id}: undeliverable postmaster notification discarded"
        )
        return 0

    def _copy_failed(self, request: FlushRequest, doing: str) -> None:
        self.process.log.warning(
            f"{request.queue_id}: postmaster notice failed while {doing} {request.sender}"
        )

    def _to_postmaster(
        self, recipient: str, kind: str, *, notify: int = 0, entry: BounceEntry | None = None
    ) -> Notice:
        sender = mail_addr_double_bounce(self.process)
        return Notice(sender, recipient, f"postmaster {kind}", True, notify, entry)

    def _non_delivery(
        self,
        request: FlushRequest,
        recipient: str,
        *,
        notify: int = 0,
        entry: BounceEntry | None = None,
    ) -> Notice:
        """What the sender of a message hears."""
        dsn_ret = request.dsn_ret or DSN_RET_FULL
        return Notice(
            NULL_SENDER, recipient, "sender non-delivery", False, notify, entry, dsn_ret
        )

    def _double_bounce(
        self, info: BounceInfo, *, notify: int = 0, entry: BounceEntry | None = None
    ) -> Wait[int]:
        """Mail without a sender is undeliverable: the postmaster may hear of it."""
        if not self._notify_mask & (MAIL_ERROR_BOUNCE | MAIL_ERROR_2BOUNCE):
            return 0
        recipient = self.process.conf._2bounce_notice_recipient
        notice = self._to_postmaster(recipient, "non-delivery", notify=notify, entry=entry)
        notice.dsn_ret = DSN_RET_FULL
        return (yield from self._post(info, notice))

    def _bounce_copy(
        self,
        request: FlushRequest,
        info: BounceInfo,
        *,
        notify: int = 0,
        entry: BounceEntry | None = None,
    ) -> Wait[None]:
        """The postmaster may hear of undeliverable mail too."""
        if self._notify_mask & MAIL_ERROR_BOUNCE:
            recipient = self.process.conf.bounce_notice_recipient
            notice = self._to_postmaster(recipient, "non-delivery", notify=notify, entry=entry)
            if (yield from self._post(info, notice)):
                self._copy_failed(request, "bouncing to")

    def _post(self, info: BounceInfo, notice: Notice) -> Wait[int]:
        """Sends a notice: 0, or what is wrong.  Where it turns out that no recipient is to be
        reported it is given up, which is a success.
        """
        process = self.process
        try:
            mail = yield from post_mail_open(
                process, notice.sender, notice.recipient, "bounce", smtputf8=info.smtputf8
            )
        except Gone:
            return _FAILED
        try:
            found = self._write(info, notice, mail)
        except Fatal:
            # Nothing has left our buffer yet.
            mail.message.records.clear()
            yield from self._give_up(mail)
            raise
        if not found:
            yield from self._give_up(mail)
            return 0
        try:
            reply = yield from mail.finish()
        except Gone:
            return CLEANUP_STAT_WRITE
        if reply.status == 0:
            process.log.info(f"{info.queue_id}: {notice.kind} notification: {mail.queue_id}")
        return reply.status

    def _write(self, info: BounceInfo, notice: Notice, mail: PostMail) -> bool:
        """Writes the text; False where there is no recipient to report."""
        info.header(mail, notice.recipient, notice.copy)
        if not notice.copy:
            info.boilerplate(mail)
        if notice.entry is not None:
            info.recipient_log(mail, notice.entry)
            info.header_dsn(mail)
            info.recipient_dsn(mail, notice.entry)
        else:
            if not info.diagnostic_log(mail, notice.notify):
                return False
            info.header_dsn(mail)
            info.diagnostic_dsn(mail, notice.notify)
        info.original_message(mail, notice.dsn_ret)
        return True

    def _give_up(self, mail: PostMail) -> Wait[None]:
        """A message without an end: cleanup(8) drops it."""
        try:
            yield from cleanup_finish(self.process, mail.message)
        except Gone:
            pass


def _wants_failures(recipient: Recipient) -> bool:
    """Whether the sender wants to hear that mail for a recipient failed (NOTIFY of RFC 3461)."""
    return recipient.dsn_notify == 0 or bool(recipient.dsn_notify & DSN_NOTIFY_FAILURE)
