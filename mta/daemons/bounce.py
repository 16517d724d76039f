"""bounce(8) - keeps the logfiles of failed, delayed and traced mail, and tells the senders.

DESCRIPTION
    One program under three names in master.cf, each with a directory of logfiles of its own:
    ``bounce`` (mail that came back), ``defer`` (mail that waits), ``trace`` (what happened).
    Delivery agents append a recipient to the message's logfile (AppendRequest).  The queue manager
    asks for the notification (FlushRequest): non-delivery, with VERP one for each recipient; a
    delay warning; a report of success, of ``sendmail -v`` or ``-bv``.  An agent that acts for
    another sender than the message's asks for a notification of a single recipient.

    Notifications are RFC 3464 reports with three parts: text from a template (bounce(5)), the
    status of the message and its recipients, and the message or its headers.

DIAGNOSTICS
    ``QUEUEID: sender non-delivery notification: NEWID``, likewise ``sender delay``, ``sender
    delivery status``, ``postmaster non-delivery`` and ``postmaster delay``.  A request that fails
    stays with the client, which tries again later.

CONFIGURATION PARAMETERS
    2bounce_notice_recipient, backwards_bounce_logfile_compatibility, bounce_notice_recipient,
    bounce_size_limit, bounce_template_file, delay_notice_recipient, delay_warning_time,
    double_bounce_sender, internal_mail_filter_classes, mail_name, maximal_queue_lifetime,
    myhostname, notify_classes, smtputf8_autodetect_classes, smtputf8_enable
"""

from __future__ import annotations

from typing import Any

from mta.bounce.notify import Notifier
from mta.bounce.templates import Templates
from mta.lib.bounce_log import bounce_log_append, bounce_log_path
from mta.lib.mail_queue import mail_queue_id_ok, mail_queue_name_ok
from mta.lib.recipient import Recipient
from mta.lib.requests import BOUNCE_FLAG_CLEAN, AppendRequest, FlushRequest
from mta.master.server import Process, Program, program
from mta.system import Fatal, Wait
from mta.wire.dsn import Dsn
from mta.wire.text import printable


@program("bounce")
class Bounce(Program):
    """The program behind the services bounce, defer and trace.  Replies True when it is done."""

    def __init__(self, process: Process) -> None:
        """Loads the templates."""
        super().__init__(process)
        if not mail_queue_name_ok(process.service):
            process.log.fatal(f"malformed service name: {process.service}")
        self.notifier = Notifier(process, Templates(process))

    def serve(self, request: Any) -> Wait[bool]:
        """Serves an AppendRequest or a FlushRequest."""
        trapped = request.flags & BOUNCE_FLAG_CLEAN and not (
            isinstance(request, FlushRequest) and request.kind in ("one", "trace")
        )
        try:
            if isinstance(request, AppendRequest):
                done = yield from self._append(request)
            elif isinstance(request, FlushRequest):
                done = (yield from self._notify(request)) == 0
            else:
                self.process.log.warning("malformed request")
                return False
        except Fatal:
            if trapped:
                self._remove_log(request.queue_id)
            raise
        if trapped and not done:
            self._remove_log(request.queue_id)
        return done

    def _append(self, request: AppendRequest) -> Wait[bool]:
        if not self._queue_id_ok(request.queue_id):
            return False
        recipient = self._neuter_recipient(request.recipient)
        dsn = self._neuter_dsn(request.dsn)
        yield from bounce_log_append(
            self.process, self.process.service, request.queue_id, recipient, dsn
        )
        return True

    def _notify(self, request: FlushRequest) -> Wait[int]:
        log = self.process.log
        if request.kind == "one" and self.process.service != "bounce":
            log.warning(
                f'wrong service name "{self.process.service}" for one-recipient bouncing'
            )
            return -1
        if not mail_queue_name_ok(request.queue_name):
            log.warning(f"malformed queue name: {request.queue_name}")
            return -1
        if not self._queue_id_ok(request.queue_id):
            return -1
        neuter = self._neuter
        request = request._replace(
            encoding=neuter(request.encoding),
            sender=neuter(request.sender),
            dsn_envid=neuter(request.dsn_envid),
            verp=neuter(request.verp),
        )
        if request.recipient is not None:
            request = request._replace(recipient=self._neuter_recipient(request.recipient))
        if request.dsn is not None:
            request = request._replace(dsn=self._neuter_dsn(request.dsn))
        if request.kind == "verp" and len(request.verp) != 2:
            log.warning(f"malformed verp delimiter string: {request.verp}")
            return -1
        handler = Notifier.KINDS.get(request.kind)
        if handler is None:
            log.warning(f"unknown command: {request.kind}")
            return -1
        return (yield from handler(self.notifier, request))

    def _queue_id_ok(self, queue_id: str) -> bool:
        if mail_queue_id_ok(queue_id):
            return True
        self.process.log.warning(f"malformed queue id: {queue_id}")
        return False

    def _remove_log(self, queue_id: str) -> None:
        """The client wants no half-done logfile (BOUNCE_FLAG_CLEAN)."""
        if mail_queue_id_ok(queue_id):
            try:
                self.process.system.files.remove(
                    bounce_log_path(self.process, self.process.service, queue_id)
                )
            except OSError:
                pass

    # -- control characters must not get into logfiles and notifications

    def _neuter(self, text: str) -> str:
        return printable(text, utf8=bool(self.process.conf.smtputf8_enable))

    def _neuter_recipient(self, recipient: Recipient) -> Recipient:
        neuter = self._neuter
        return Recipient(
            neuter(recipient.address),
            neuter(recipient.orig_addr),
            neuter(recipient.dsn_orcpt),
            recipient.dsn_notify,
            recipient.offset,
        )

    def _neuter_dsn(self, dsn: Dsn) -> Dsn:
        return Dsn(*map(self._neuter, dsn))
