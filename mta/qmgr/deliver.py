"""Deliveries: an agent is asked for, gets a request, and says how it went (qmgr_deliver)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.lib.requests import (
    DEL_REQ_FLAG_BOUNCE,
    DEL_REQ_FLAG_SUCCESS,
    SMTPUTF8_FLAG_RECIPIENT,
    SMTPUTF8_FLAG_SENDER,
    DeliverReply,
    DeliverRequest,
)
from mta.qmgr.job import Entry
from mta.qmgr.resolve import RETRY, defer_recipient
from mta.qmgr.transport import Queue, Transport
from mta.system import Gone, Wait
from mta.wire.dsn import Dsn, dsn_valid
from mta.wire.verp import verp_sender

if TYPE_CHECKING:
    from mta.qmgr.qmgr import QueueManager

UNAVAILABLE = Dsn("4.3.0", "mail transport unavailable")
UNKNOWN_ERROR = Dsn("4.3.0", "unknown mail transport error")
SUSPENDED = "delivery temporarily suspended: "


def allocate(qmgr: QueueManager, transport: Transport) -> None:
    """Starts a delivery over a transport as soon as one of its agents is free."""
    transport.pending += 1
    qmgr.process.system.spawn(_delivery(qmgr, transport), f"delivery over {transport.name}")


def _delivery(qmgr: QueueManager, transport: Transport) -> Wait[None]:
    process = qmgr.process
    try:
        agent = yield from process.connect(transport.name)
    except Gone as gone:
        transport.pending -= 1
        process.log.warning(f"connect to transport private/{transport.name}: {gone.args[0]}")
        transport.throttle(UNAVAILABLE)
        yield from defer_transport(qmgr, transport, UNAVAILABLE)
        qmgr.drain()
        return
    transport.pending -= 1
    entry = None
    if not transport.dead:
        entry = yield from qmgr.scheduler.select(transport)
    if entry is None:
        agent.close()
        return
    qmgr.drain()
    try:
        reply: DeliverReply | None = yield from agent.call(_request(entry))
    except Gone:
        reply = None
    yield from _update(qmgr, entry, reply)
    qmgr.drain()


def _request(entry: Entry) -> DeliverRequest:
    message, queue = entry.message, entry.queue
    process = message.qmgr.process
    assert message.file is not None
    smtputf8 = message.smtputf8
    if process.conf.smtputf8_enable:
        for recipient in entry.recipients:
            if not recipient.address.isascii() and _is_utf8(recipient.address):
                smtputf8 |= SMTPUTF8_FLAG_RECIPIENT
                if message.verp_delims:
                    smtputf8 |= SMTPUTF8_FLAG_SENDER
    sender = message.sender or ""
    if message.verp_delims:
        first = entry.recipients[0]
        sender = verp_sender(message.verp_delims, sender, first.orig_addr or first.address)
    stats = message.stats()
    stats.agent_handoff = process.now()
    attributes = message.attributes.get
    flags = (
        DEL_REQ_FLAG_BOUNCE
        if message.inspect_xport
        else (DEL_REQ_FLAG_SUCCESS | DEL_REQ_FLAG_BOUNCE)
    )
    return DeliverRequest(
        queue_name=message.queue_name,
        queue_id=message.queue_id,
        file=message.file,
        data_offset=message.data_offset,
        data_size=message.cont_length,
        nexthop=queue.nexthop,
        sender=sender,
        recipients=entry.recipients,
        stats=stats,
        flags=message.tflags | queue.dflags | flags,
        encoding=message.encoding,
        smtputf8=smtputf8,
        dsn_envid=message.dsn_envid,
        dsn_ret=message.dsn_ret,
        client_name=attributes("client_name", ""),
        client_addr=attributes("client_addr", ""),
        client_port=attributes("client_port", ""),
        client_proto=attributes("client_proto", ""),
        client_helo=attributes("client_helo", ""),
        sasl_method=attributes("sasl_method", ""),
        sasl_username=attributes("sasl_username", ""),
        sasl_sender=attributes("sasl_sender", ""),
        log_ident=attributes("log_ident", ""),
        rewrite_context=attributes("rewrite_context", "local"),
    )


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _update(qmgr: QueueManager, entry: Entry, reply: DeliverReply | None) -> Wait[None]:
    """The agent's last word, None when its process died (qmgr_deliver_update)."""
    queue, message = entry.queue, entry.message
    transport = queue.transport
    if reply is None:
        yield from _crashed(qmgr, entry)
        return
    reason = reply.dsn
    if reply.deferred:
        message.flags |= 1
        if reason is not None:
            status = reason.status if dsn_valid(reason.status) else "4.0.0"
            text = SUSPENDED + (reason.reason or "unknown error")
            reason = reason._replace(status=status, reason=text)
            if queue.is_ready:
                queue.throttle(reason)
                if queue.is_throttled:
                    qmgr.process.decide("destination dead", queue=queue.name, reason=text)
                    yield from defer_todo(qmgr, queue, reason)
    if reason is None:
        transport.unthrottle()
        if queue.is_ready or queue.is_throttled:
            queue.unthrottle()
    yield from qmgr.scheduler.entry_done(entry, busy=True)


def _crashed(qmgr: QueueManager, entry: Entry) -> Wait[None]:
    queue, message = entry.queue, entry.message
    transport, warn = queue.transport, qmgr.process.log.warning
    where = f"private/{transport.name} socket"
    warn(f"{where}: malformed response")
    message.flags |= 1
    transport.throttle(UNKNOWN_ERROR)
    warn(
        f"transport {transport.name} failure -- see a previous warning/fatal/panic logfile "
        "record for the problem description"
    )
    qmgr.scheduler.unselect(entry)
    yield from defer_transport(qmgr, transport, UNKNOWN_ERROR)


def defer_transport(qmgr: QueueManager, transport: Transport, dsn: Dsn) -> Wait[None]:
    """Gives up, for now, all that waits for a transport."""
    for queue in list(transport.queues.values()):
        yield from defer_todo(qmgr, queue, dsn)


def defer_todo(qmgr: QueueManager, queue: Queue, dsn: Dsn) -> Wait[None]:
    """Gives up, for now, all that waits for a destination: retry(8) defers it, or we do."""
    retry = qmgr.error_queue(RETRY, dsn)
    for entry in list(queue.todo):
        if retry is not None and retry is not queue:
            yield from qmgr.scheduler.move_todo(retry, entry)
            continue
        for recipient in entry.recipients:
            yield from defer_recipient(qmgr, entry.message, recipient, dsn)
        yield from qmgr.scheduler.entry_done(entry, busy=False)
