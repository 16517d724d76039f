"""What a delivery agent says of a recipient: sent, bounced, deferred (bounce(3), trace(3)).

Each function writes the log line, tells bounce(8), defer(8), trace(8) or verify(8), and returns
whether the recipient is finished (True) or stays in the queue (False).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mta.lib.clients import flush_site, verify_update
from mta.lib.dsn_filter import dsn_filter
from mta.lib.log_adhoc import log_adhoc
from mta.lib.mail_connect import call_wait
from mta.lib.recipient import DSN_NOTIFY_DELAY, DSN_NOTIFY_SUCCESS, MsgStats, Recipient
from mta.lib.requests import (
    BOUNCE_FLAG_CLEAN,
    DEL_REQ_FLAG_MTA_VRFY,
    DEL_REQ_FLAG_REC_DLY_SENT,
    DEL_REQ_FLAG_RECORD,
    DEL_REQ_FLAG_USR_VRFY,
    FLUSH_STAT_DENY,
    FLUSH_STAT_OK,
    RCPT_BOUNCE,
    RCPT_DEFER,
    RCPT_OK,
    VRFY_STAT_OK,
    AppendRequest,
    FlushRequest,
)
from mta.system import Gone, Wait
from mta.wire.dsn import Dsn, dsn_valid

if TYPE_CHECKING:
    from mta.master.server import Process

NO_RELAY_AGENT = "none"

_Tell = Callable[["Process", str, AppendRequest | FlushRequest], Wait[bool]]


@dataclass(slots=True)
class _Report:
    """One thing to say of one recipient."""

    process: Process
    flags: int
    queue_id: str
    stats: MsgStats
    recipient: Recipient
    relay: str
    dsn: Dsn

    def check(self, who: str, first: str) -> None:
        """Replaces a status code that is not of that class by X.0.0, with a warning."""
        if self.dsn.status[:1] != first or not dsn_valid(self.dsn.status):
            self.process.log.warning(f'{who}: ignoring dsn code "{self.dsn.status}"')
            self.dsn = self.dsn._replace(status=f"{first}.0.0")

    def filter(self) -> Wait[None]:
        """Lets the delivery status filter have its say."""
        self.dsn = (yield from dsn_filter(self.process, self.dsn)) or self.dsn

    def act(self, action: str) -> None:
        """Sets the action of the DSN."""
        self.dsn = self.dsn._replace(action=action)

    def log(self, status: str) -> None:
        """The line of the mail log."""
        log_adhoc(
            self.process, self.queue_id, self.stats, self.recipient, self.relay, self.dsn, status
        )

    def warn_failed(self, service: str) -> None:
        """Warns that an internal service failed."""
        self.process.log.warning(f"{self.queue_id}: {service} service failure")

    def append(self, service: str, dsn: Dsn) -> Wait[bool]:
        """Adds an entry to the logfile of bounce, defer or trace; whether that was done."""
        request = AppendRequest(self.flags, self.queue_id, self.recipient, self.relay, dsn)
        return (yield from _tell(self.process, service, request))

    def recorded(self) -> Wait[bool]:
        """Adds to the trace logfile where the sender wants a record; False where that failed."""
        return not self.flags & DEL_REQ_FLAG_RECORD or (yield from self.trace())

    def trace(self) -> Wait[bool]:
        """Adds to the trace logfile; sendmail -bv deliveries are logged here too."""
        dsn = self.dsn
        if self.relay != NO_RELAY_AGENT:
            dsn = dsn._replace(reason=f"delivery via {self.relay}: {dsn.reason}")
        service = self.process.conf.trace_service_name
        if not (yield from self.append(service, dsn)):
            self.warn_failed(service)
            return False
        if self.flags & DEL_REQ_FLAG_USR_VRFY:
            self.log(self.dsn.action)
        return True

    def probe(self, action: str, rcpt_status: int) -> Wait[bool | None]:
        """The outcome of an address verification probe; None where the delivery is a real one."""
        if self.flags & DEL_REQ_FLAG_MTA_VRFY:
            self.act(action)
            return (yield from self.verify(rcpt_status))
        if self.flags & DEL_REQ_FLAG_USR_VRFY:
            self.act(action)
            return (yield from self.trace())
        return None

    def verify(self, rcpt_status: int) -> Wait[bool]:
        """Tells verify(8) the outcome of its probe, for the address before and after aliases."""
        process, reason = self.process, self.dsn.reason
        action, status = self.dsn.action, VRFY_STAT_OK
        if process.conf.address_verify_negative_cache or rcpt_status == RCPT_OK:
            orig, address = self.recipient.orig_addr, self.recipient.address
            status = yield from verify_update(process, orig, rcpt_status, reason)
            if status == VRFY_STAT_OK and address.casefold() != orig.casefold():
                status = yield from verify_update(process, address, rcpt_status, reason)
        else:
            action = "undeliverable-but-not-cached"
        if status != VRFY_STAT_OK:
            self.warn_failed(process.conf.address_verify_service_name)
            return False
        self.log(action)
        return True

    def bounce(self) -> Wait[bool]:
        """The recipient failed: an entry in the bounce logfile (with ``soft_bounce``: defer)."""
        done = yield from self.probe("undeliverable", RCPT_BOUNCE)
        if done is not None:
            return done
        conf = self.process.conf
        if conf.soft_bounce:
            if self.flags & BOUNCE_FLAG_CLEAN:
                return False
            self.dsn = self.dsn._replace(status="4" + self.dsn.status[1:], action="delayed")
            service, status = conf.defer_service_name, "SOFTBOUNCE"
        else:
            self.act("failed")
            service, status = conf.bounce_service_name, "bounced"
        if (yield from self.append(service, self.dsn)) and (yield from self.recorded()):
            self.log(status)
            return not conf.soft_bounce
        return (yield from self.bounce_failed())

    def bounce_now(self, notice: FlushRequest) -> Wait[bool]:
        """The recipient failed, and its sender is told at once (bounce_one_intern)."""
        done = yield from self.probe("undeliverable", RCPT_BOUNCE)
        if done is not None:
            return done
        if self.process.conf.soft_bounce:
            return (yield from self.bounce())
        self.act("failed")
        request = notice._replace(
            kind="one",
            flags=self.flags,
            recipient=self.recipient,
            relay=self.relay,
            dsn=self.dsn,
        )
        service = self.process.conf.bounce_service_name
        if (yield from _tell(self.process, service, request)) and (yield from self.recorded()):
            self.log("bounced")
            return True
        return (yield from self.bounce_failed())

    def bounce_failed(self) -> Wait[bool]:
        """bounce(8) or trace(8) failed: the recipient stays in the queue."""
        if self.flags & BOUNCE_FLAG_CLEAN:
            return False
        conf = self.process.conf
        reason = f"{conf.bounce_service_name} or {conf.trace_service_name} service failure"
        self.dsn = self.dsn._replace(status="4.3.0", reason=reason)
        return (yield from self.defer())

    def defer(self) -> Wait[bool]:
        """The recipient has to wait: an entry in the defer logfile, and for fast flush."""
        done = yield from self.probe("undeliverable", RCPT_DEFER)
        if done is not None:
            return done
        conf = self.process.conf
        self.act("delayed")
        if not (yield from self.append(conf.defer_service_name, self.dsn)):
            self.warn_failed(conf.defer_service_name)
        self.log("deferred")
        if not (yield from self.recorded()):
            self.warn_failed(conf.trace_service_name)
        _, at, domain = self.recipient.address.rpartition("@")
        if at and domain:
            status = yield from flush_site(self.process, "add", domain, self.queue_id)
            if status not in (FLUSH_STAT_OK, FLUSH_STAT_DENY):
                self.warn_failed(conf.flush_service_name)
        return False


def sent(
    process: Process,
    flags: int,
    queue_id: str,
    stats: MsgStats,
    recipient: Recipient,
    relay: str,
    dsn: Dsn,
) -> Wait[bool]:
    """The recipient got the message: logs ``status=sent``; may write a trace record."""
    report = _Report(process, flags, queue_id, stats, recipient, relay, dsn)
    report.check("sent", "2")
    yield from report.filter()
    done = yield from report.probe("deliverable", RCPT_OK)
    if done is not None:
        return done
    if not report.dsn.action:
        report.act("delivered")
    notify = recipient.dsn_notify
    delayed = flags & DEL_REQ_FLAG_REC_DLY_SENT and (not notify or notify & DSN_NOTIFY_DELAY)
    for wanted in (flags & DEL_REQ_FLAG_RECORD or delayed, notify & DSN_NOTIFY_SUCCESS):
        if wanted and not (yield from report.trace()):
            reason = f"{queue_id}: {process.conf.trace_service_name} service failed"
            failed = report.dsn._replace(status="4.3.0", reason=reason)
            return (
                yield from defer_append(process, flags, queue_id, stats, recipient, relay, failed)
            )
    report.log("sent")
    return True


def bounce_append(
    process: Process,
    flags: int,
    queue_id: str,
    stats: MsgStats,
    recipient: Recipient,
    relay: str,
    dsn: Dsn,
) -> Wait[bool]:
    """The recipient failed for good: logs ``status=bounced`` and adds to the bounce logfile."""
    report = _Report(process, flags, queue_id, stats, recipient, relay, dsn)
    report.check("bounce_append", "5")
    yield from report.filter()
    return (yield from report.defer() if report.dsn.status[0] == "4" else report.bounce())


def defer_append(
    process: Process,
    flags: int,
    queue_id: str,
    stats: MsgStats,
    recipient: Recipient,
    relay: str,
    dsn: Dsn,
) -> Wait[bool]:
    """The recipient has to wait: logs ``status=deferred`` and adds to the defer logfile."""
    report = _Report(process, flags, queue_id, stats, recipient, relay, dsn)
    report.check("defer_append", "4")
    yield from report.filter()
    return (yield from report.bounce() if report.dsn.status[0] == "5" else report.defer())


def bounce_one(
    process: Process,
    flags: int,
    notice: FlushRequest,
    stats: MsgStats,
    recipient: Recipient,
    relay: str,
    dsn: Dsn,
) -> Wait[bool]:
    """One recipient failed and its sender is told at once, without a logfile (bounce_one(3)).
    ``notice`` holds the message's facts; recipient, relay and dsn are filled in here.
    """
    report = _Report(process, flags, notice.queue_id, stats, recipient, relay, dsn)
    report.check("bounce_one", "5")
    yield from report.filter()
    if report.dsn.status[0] == "4":
        return (yield from report.defer())
    return (yield from report.bounce_now(notice))


def defer_one(
    process: Process,
    flags: int,
    notice: FlushRequest,
    stats: MsgStats,
    recipient: Recipient,
    relay: str,
    dsn: Dsn,
) -> Wait[bool]:
    """One recipient has to wait; should a filter decide otherwise, ``notice`` is for the sender's
    notification (defer_one(3)).
    """
    report = _Report(process, flags, notice.queue_id, stats, recipient, relay, dsn)
    report.check("defer_one", "4")
    yield from report.filter()
    if report.dsn.status[0] == "5":
        return (yield from report.bounce_now(notice))
    return (yield from report.defer())


def bounce_flush(process: Process, request: FlushRequest) -> Wait[bool]:
    """Sends the bounce of a message and drops its logfile; False where that failed or where
    ``soft_bounce`` forbids it (bounce_flush, bounce_flush_verp).
    """
    if process.conf.soft_bounce:
        return False
    return (yield from _flushed(process, request, _tell))


def abounce_flush(process: Process, request: FlushRequest) -> Wait[bool]:
    """The same in the queue manager, which does not ask for ``soft_bounce``: there is a logfile
    only where a delivery agent has decided to bounce (abounce_flush(3)).
    """
    return (yield from _flushed(process, request, _tell_patiently))


def _flushed(process: Process, request: FlushRequest, tell: _Tell) -> Wait[bool]:
    if (yield from tell(process, process.conf.bounce_service_name, request)):
        return True
    if not request.flags & BOUNCE_FLAG_CLEAN:
        process.log.info(f"{request.queue_id}: status=deferred (bounce failed)")
    return False


def defer_flush(process: Process, request: FlushRequest) -> Wait[bool]:
    """Sends a bounce from the defer logfile: the message is too old (defer_flush(3))."""
    return (yield from _tell_patiently(process, process.conf.defer_service_name, request))


def defer_warn(process: Process, request: FlushRequest) -> Wait[bool]:
    """Sends a delay warning; the defer logfile stays (defer_warn(3))."""
    return (yield from _tell_patiently(process, process.conf.defer_service_name, request))


def trace_append(
    process: Process,
    flags: int,
    queue_id: str,
    stats: MsgStats,
    recipient: Recipient,
    relay: str,
    dsn: Dsn,
) -> Wait[bool]:
    """Adds an entry to the trace logfile: what becomes of a recipient (trace_append(3))."""
    report = _Report(process, flags, queue_id, stats, recipient, relay, dsn)
    return (yield from report.trace())


def trace_flush(process: Process, request: FlushRequest) -> Wait[bool]:
    """Sends the delivery report and drops the trace logfile (trace_flush(3))."""
    if (yield from _tell_patiently(process, process.conf.trace_service_name, request)):
        return True
    if not request.flags & BOUNCE_FLAG_CLEAN:
        process.log.info(f"{request.queue_id}: status=deferred (trace failed)")
    return False


def _tell(process: Process, service: str, request: AppendRequest | FlushRequest) -> Wait[bool]:
    """One request to bounce(8) under one of its names; whether it was done."""
    try:
        return bool((yield from process.call(service, request)))
    except Gone:
        return False


def _tell_patiently(
    process: Process, service: str, request: AppendRequest | FlushRequest
) -> Wait[bool]:
    """The same where a service that is not there is waited for (abounce(3))."""
    try:
        return bool((yield from call_wait(process, service, request)))
    except Gone:
        return False
