"""What a delivery agent says of a recipient: sent, bounced, deferred (bounce(3), trace(3)).

Each function writes the log line, tells bounce(8), defer(8), trace(8) or verify(8), and returns
whether the recipient is finished (True) or stays in the queue (False).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mta.lib.clients import flush_site, verify_update
from mta.lib.dsn_filter import dsn_filter
from mta.lib.log_adhoc import log_adhoc
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
    dsn = _checked(process, "sent", "2", dsn)
    dsn = (yield from dsn_filter(process, dsn)) or dsn
    if flags & DEL_REQ_FLAG_MTA_VRFY:
        dsn = replace(dsn, action="deliverable")
        return (yield from _verify(process, queue_id, stats, recipient, relay, dsn, RCPT_OK))
    if flags & DEL_REQ_FLAG_USR_VRFY:
        dsn = replace(dsn, action="deliverable")
        return (yield from _trace(process, flags, queue_id, stats, recipient, relay, dsn))
    if not dsn.action:
        dsn = replace(dsn, action="delivered")
    notify = recipient.dsn_notify
    delayed = flags & DEL_REQ_FLAG_REC_DLY_SENT and (not notify or notify & DSN_NOTIFY_DELAY)
    for wanted in (flags & DEL_REQ_FLAG_RECORD or delayed, notify & DSN_NOTIFY_SUCCESS):
        if wanted and not (
            yield from _trace(process, flags, queue_id, stats, recipient, relay, dsn)
        ):
            service = process.conf.trace_service_name
            failed = replace(dsn, status="4.3.0", reason=f"{queue_id}: {service} service failed")
            return (
                yield from defer_append(process, flags, queue_id, stats, recipient, relay, failed)
            )
    log_adhoc(process, queue_id, stats, recipient, relay, dsn, "sent")
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
    dsn = _checked(process, "bounce_append", "5", dsn)
    filtered = yield from dsn_filter(process, dsn)
    if filtered is not None and filtered.status[0] == "4":
        return (yield from _defer(process, flags, queue_id, stats, recipient, relay, filtered))
    return (yield from _bounce(process, flags, queue_id, stats, recipient, relay, filtered or dsn))


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
    dsn = _checked(process, "defer_append", "4", dsn)
    filtered = yield from dsn_filter(process, dsn)
    if filtered is not None and filtered.status[0] == "5":
        return (yield from _bounce(process, flags, queue_id, stats, recipient, relay, filtered))
    return (yield from _defer(process, flags, queue_id, stats, recipient, relay, filtered or dsn))


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
    dsn = _checked(process, "bounce_one", "5", dsn)
    dsn = (yield from dsn_filter(process, dsn)) or dsn
    return (yield from _report_one(process, flags, notice, stats, recipient, relay, dsn))


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
    dsn = _checked(process, "defer_one", "4", dsn)
    dsn = (yield from dsn_filter(process, dsn)) or dsn
    return (yield from _report_one(process, flags, notice, stats, recipient, relay, dsn))


def _report_one(
    process: Process,
    flags: int,
    notice: FlushRequest,
    stats: MsgStats,
    recipient: Recipient,
    relay: str,
    dsn: Dsn,
) -> Wait[bool]:
    """Defers or bounces one recipient, after the filter."""
    queue_id = notice.queue_id
    if dsn.status[0] == "4":
        return (yield from _defer(process, flags, queue_id, stats, recipient, relay, dsn))
    done = yield from _probe(process, flags, queue_id, stats, recipient, relay, dsn, RCPT_BOUNCE)
    if done is not None:
        return done
    if process.conf.soft_bounce:
        return (yield from _bounce(process, flags, queue_id, stats, recipient, relay, dsn))
    dsn = replace(dsn, action="failed")
    request = notice._replace(kind="one", flags=flags, recipient=recipient, relay=relay, dsn=dsn)
    if (yield from _tell(process, process.conf.bounce_service_name, request)) and (
        not flags & DEL_REQ_FLAG_RECORD
        or (yield from _trace(process, flags, queue_id, stats, recipient, relay, dsn))
    ):
        log_adhoc(process, queue_id, stats, recipient, relay, dsn, "bounced")
        return True
    return (yield from _bounce_failed(process, flags, queue_id, stats, recipient, relay, dsn))


def bounce_flush(process: Process, request: FlushRequest) -> Wait[bool]:
    """Sends the bounce of a message and drops its logfile; False where that failed or where
    ``soft_bounce`` forbids it (bounce_flush, bounce_flush_verp).
    """
    if process.conf.soft_bounce:
        return False
    return (yield from abounce_flush(process, request))


def abounce_flush(process: Process, request: FlushRequest) -> Wait[bool]:
    """The same in the queue manager, which does not ask for ``soft_bounce``: there is a logfile
    only where a delivery agent has decided to bounce (abounce_flush(3)).
    """
    if (yield from _tell(process, process.conf.bounce_service_name, request)):
        return True
    if not request.flags & BOUNCE_FLAG_CLEAN:
        process.log.info(f"{request.queue_id}: status=deferred (bounce failed)")
    return False


def defer_flush(process: Process, request: FlushRequest) -> Wait[bool]:
    """Sends a bounce from the defer logfile: the message is too old (defer_flush(3))."""
    return (yield from _tell(process, process.conf.defer_service_name, request))


def defer_warn(process: Process, request: FlushRequest) -> Wait[bool]:
    """Sends a delay warning; the defer logfile stays (defer_warn(3))."""
    return (yield from _tell(process, process.conf.defer_service_name, request))


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
    return (yield from _trace(process, flags, queue_id, stats, recipient, relay, dsn))


def trace_flush(process: Process, request: FlushRequest) -> Wait[bool]:
    """Sends the delivery report and drops the trace logfile (trace_flush(3))."""
    if (yield from _tell(process, process.conf.trace_service_name, request)):
        return True
    if not request.flags & BOUNCE_FLAG_CLEAN:
        process.log.info(f"{request.queue_id}: status=deferred (trace failed)")
    return False


def _checked(process: Process, who: str, first: str, dsn: Dsn) -> Dsn:
    """The DSN, its status replaced by X.0.0 (with a warning) where it is not of that class."""
    if dsn.status[:1] != first or not dsn_valid(dsn.status):
        process.log.warning(f'{who}: ignoring dsn code "{dsn.status}"')
        return replace(dsn, status=f"{first}.0.0")
    return dsn


def _tell(process: Process, service: str, request: AppendRequest | FlushRequest) -> Wait[bool]:
    """One request to bounce(8) under one of its names; whether it was done."""
    try:
        return bool((yield from process.call(service, request)))
    except Gone:
        return False


def _probe(
    process: Process,
    flags: int,
    queue_id: str,
    stats: MsgStats,
    recipient: Recipient,
    relay: str,
    dsn: Dsn,
    rcpt_status: int,
) -> Wait[bool | None]:
    """The outcome of an address verification probe; None where the delivery is a real one."""
    dsn = replace(dsn, action="undeliverable")
    if flags & DEL_REQ_FLAG_MTA_VRFY:
        return (yield from _verify(process, queue_id, stats, recipient, relay, dsn, rcpt_status))
    if flags & DEL_REQ_FLAG_USR_VRFY:
        return (yield from _trace(process, flags, queue_id, stats, recipient, relay, dsn))
    return None


def _bounce(
    process: Process,
    flags: int,
    queue_id: str,
    stats: MsgStats,
    recipient: Recipient,
    relay: str,
    dsn: Dsn,
) -> Wait[bool]:
    done = yield from _probe(process, flags, queue_id, stats, recipient, relay, dsn, RCPT_BOUNCE)
    if done is not None:
        return done
    soft = process.conf.soft_bounce
    if soft and flags & BOUNCE_FLAG_CLEAN:
        return False
    if soft:
        service = process.conf.defer_service_name
        dsn = replace(dsn, status="4" + dsn.status[1:], action="delayed")
    else:
        service = process.conf.bounce_service_name
        dsn = replace(dsn, action="failed")
    request = AppendRequest(flags, queue_id, recipient, relay, dsn)
    if (yield from _tell(process, service, request)) and (
        not flags & DEL_REQ_FLAG_RECORD
        or (yield from _trace(process, flags, queue_id, stats, recipient, relay, dsn))
    ):
        status = "SOFTBOUNCE" if soft else "bounced"
        log_adhoc(process, queue_id, stats, recipient, relay, dsn, status)
        return not soft
    return (yield from _bounce_failed(process, flags, queue_id, stats, recipient, relay, dsn))


def _bounce_failed(
    process: Process,
    flags: int,
    queue_id: str,
    stats: MsgStats,
    recipient: Recipient,
    relay: str,
    dsn: Dsn,
) -> Wait[bool]:
    """bounce(8) or trace(8) failed: the recipient stays in the queue."""
    if flags & BOUNCE_FLAG_CLEAN:
        return False
    conf = process.conf
    reason = f"{conf.bounce_service_name} or {conf.trace_service_name} service failure"
    dsn = replace(dsn, status="4.3.0", reason=reason)
    return (yield from _defer(process, flags, queue_id, stats, recipient, relay, dsn))


def _defer(
    process: Process,
    flags: int,
    queue_id: str,
    stats: MsgStats,
    recipient: Recipient,
    relay: str,
    dsn: Dsn,
) -> Wait[bool]:
    done = yield from _probe(process, flags, queue_id, stats, recipient, relay, dsn, RCPT_DEFER)
    if done is not None:
        return done
    conf, warn = process.conf, process.log.warning
    dsn = replace(dsn, action="delayed")
    request = AppendRequest(flags, queue_id, recipient, relay, dsn)
    if not (yield from _tell(process, conf.defer_service_name, request)):
        warn(f"{queue_id}: {conf.defer_service_name} service failure")
    log_adhoc(process, queue_id, stats, recipient, relay, dsn, "deferred")
    if flags & DEL_REQ_FLAG_RECORD and not (
        yield from _trace(process, flags, queue_id, stats, recipient, relay, dsn)
    ):
        warn(f"{queue_id}: {conf.trace_service_name} service failure")
    domain = recipient.address.rpartition("@")[2] if "@" in recipient.address else ""
    if domain:
        status = yield from flush_site(process, "add", domain, queue_id)
        if status not in (FLUSH_STAT_OK, FLUSH_STAT_DENY):
            warn(f"{queue_id}: {conf.flush_service_name} service failure")
    return False


def _trace(
    process: Process,
    flags: int,
    queue_id: str,
    stats: MsgStats,
    recipient: Recipient,
    relay: str,
    dsn: Dsn,
) -> Wait[bool]:
    """Adds to the trace logfile; sendmail -bv deliveries are logged here too (trace_append(3))."""
    reason = dsn.reason if relay == NO_RELAY_AGENT else f"delivery via {relay}: {dsn.reason}"
    request = AppendRequest(flags, queue_id, recipient, relay, replace(dsn, reason=reason))
    if not (yield from _tell(process, process.conf.trace_service_name, request)):
        process.log.warning(f"{queue_id}: {process.conf.trace_service_name} service failure")
        return False
    if flags & DEL_REQ_FLAG_USR_VRFY:
        log_adhoc(process, queue_id, stats, recipient, relay, dsn, dsn.action)
    return True


def _verify(
    process: Process,
    queue_id: str,
    stats: MsgStats,
    recipient: Recipient,
    relay: str,
    dsn: Dsn,
    rcpt_status: int,
) -> Wait[bool]:
    """Tells verify(8) the outcome of its probe, for the address before and after aliases."""
    action = dsn.action
    status = VRFY_STAT_OK
    if process.conf.address_verify_negative_cache or rcpt_status == RCPT_OK:
        orig, address = recipient.orig_addr, recipient.address
        status = yield from verify_update(process, orig, rcpt_status, dsn.reason)
        if status == VRFY_STAT_OK and address.casefold() != orig.casefold():
            status = yield from verify_update(process, address, rcpt_status, dsn.reason)
    else:
        action = "undeliverable-but-not-cached"
    if status != VRFY_STAT_OK:
        service = process.conf.address_verify_service_name
        process.log.warning(f"{queue_id}: {service} service failure")
        return False
    log_adhoc(process, queue_id, stats, recipient, relay, dsn, action)
    return True
