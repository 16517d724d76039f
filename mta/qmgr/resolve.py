"""Where each recipient of a message goes, and which delivery it joins
(qmgr_message_sort, _resolve, _assign).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mta.lib.clients import resolve, rewrite
from mta.lib.deliver_completed import deliver_completed
from mta.lib.delivery_status import defer_append, sent
from mta.lib.recipient import Recipient
from mta.lib.requests import (
    DEL_REQ_FLAG_MTA_VRFY,
    DEL_REQ_TRACE_ONLY_MASK,
    RESOLVE_CLASS_LOCAL,
    RESOLVE_FLAG_ERROR,
    RESOLVE_FLAG_FAIL,
    REWRITE_LOCAL,
    ResolveReply,
)
from mta.lib.split_addr import split_addr
from mta.qmgr.job import Entry, Job, Peer
from mta.qmgr.transport import Queue, Transport
from mta.system import Wait
from mta.wire.dsn import Dsn
from mta.wire.quote import quote_822_local, unquote_822_local
from mta.wire.text import to_bytes

if TYPE_CHECKING:
    from mta.qmgr.message import Message
    from mta.qmgr.qmgr import QueueManager

FLUSH_EACH = 1 << 4  #: this message opens dead destinations again
FLUSH_DFXP = 1 << 3  #: ignore ``defer_transports`` this once
ERROR, RETRY = "error", "retry"


def sort_recipients(message: Message) -> None:
    """By transport and destination (those without come last), then by domain and address."""
    if len(message.recipients) > 1:
        message.recipients.sort(key=_sort_key)


def _sort_key(recipient: Recipient) -> tuple[bool, bytes, bytes, bool, bytes, bytes]:
    queue: Queue | None = recipient.queue
    address = recipient.address
    at = address.rfind("@")
    domain = to_bytes(address[at:].casefold()) if at >= 0 else b""
    if queue is None:
        return (True, b"", b"", at < 0, domain, to_bytes(address))
    name = to_bytes(queue.transport.name)
    return (False, name, to_bytes(queue.name), at < 0, domain, to_bytes(address))


def resolve_recipients(qmgr: QueueManager, message: Message) -> Wait[None]:
    """Gives each recipient its destination's queue, or None where it was dealt with at once."""
    redirect = message.redirect_addr
    for index, recipient in enumerate(message.recipients):
        if redirect and index:
            recipient.queue = None
            continue
        reply = yield from _destination(qmgr, message, recipient)
        if not recipient.address:
            reply = ResolveReply(ERROR, "5.1.3 null recipient address", "", 0)
        if reply.flags & RESOLVE_CLASS_LOCAL and _is_double_bounce(qmgr, reply.recipient):
            yield from _discard(qmgr, message, recipient)
            continue
        if reply.transport in qmgr.defer_transports and not message.qflags & FLUSH_DFXP:
            reply = ResolveReply(RETRY, "4.3.2 deferred transport", reply.recipient, 0)
        yield from _bind(qmgr, message, recipient, reply)


def _destination(qmgr: QueueManager, message: Message, recipient: Recipient) -> Wait[ResolveReply]:
    process = qmgr.process
    if message.redirect_addr:
        message.rcpt_offset = message.rcpt_unread = 0
        external = yield from rewrite(
            process, REWRITE_LOCAL, quote_822_local(message.redirect_addr)
        )
        recipient.address = unquote_822_local(external)
    elif message.filter_xport and not message.tflags & DEL_REQ_TRACE_ONLY_MASK:
        transport, _, nexthop = message.filter_xport.partition(":")
        nexthop = (
            nexthop
            or process.conf.default_filter_nexthop
            or recipient.address.rpartition("@")[2] * ("@" in recipient.address)
            or process.conf.myhostname
        )
        return ResolveReply(transport, nexthop, recipient.address, 0)
    verify = bool(message.tflags & DEL_REQ_FLAG_MTA_VRFY)
    reply = yield from resolve(process, message.sender or "", recipient.address, verify)
    if reply.flags & RESOLVE_FLAG_FAIL:
        reply = ResolveReply(RETRY, "4.3.0 address resolver failure", reply.recipient, 0)
    elif reply.flags & RESOLVE_FLAG_ERROR:
        reply = ResolveReply(ERROR, "5.1.3 bad address syntax", reply.recipient, 0)
    recipient.address = reply.recipient
    return reply


def _is_double_bounce(qmgr: QueueManager, address: str) -> bool:
    user = address.rpartition("@")[0] if "@" in address else address
    return user.casefold() == qmgr.process.conf.double_bounce_sender.casefold()


def _discard(qmgr: QueueManager, message: Message, recipient: Recipient) -> Wait[None]:
    dsn = Dsn("2.0.0", "undeliverable postmaster notification discarded")
    done = yield from sent(
        qmgr.process, message.tflags, message.queue_id, message.stats(), recipient, "none", dsn
    )
    if done and message.file is not None:
        deliver_completed(message.file, recipient.offset)
    else:
        message.flags |= 1


def _bind(
    qmgr: QueueManager, message: Message, recipient: Recipient, reply: ResolveReply
) -> Wait[None]:
    """Finds the queue for a transport and next hop; dead ones are turned to retry(8)."""
    transport, nexthop = qmgr.transport(reply.transport), reply.nexthop
    each = message.qflags & FLUSH_EACH
    if each and transport.dead:
        transport.unthrottle()
    if transport.dsn is not None:
        reason = transport.dsn
        retry = qmgr.error_transport(RETRY)
        if retry is None:
            yield from defer_recipient(qmgr, message, recipient, reason)
            return
        transport, nexthop = retry, error_nexthop(reason)
    queue = transport.queue_for(_queue_name(qmgr, transport, reply.recipient, nexthop), nexthop)
    if each and queue.is_throttled:
        queue.unthrottle()
    if queue.dsn is not None:
        reason = queue.dsn
        retry_queue = qmgr.error_queue(RETRY, reason)
        if retry_queue is None:
            yield from defer_recipient(qmgr, message, recipient, reason)
            return
        queue = retry_queue
    recipient.queue = queue


def _queue_name(qmgr: QueueManager, transport: Transport, recipient: str, nexthop: str) -> str:
    """The next hop; for transports with one recipient per delivery, one queue a recipient."""
    name = nexthop
    if transport.name not in (ERROR, RETRY) and transport.recipient_limit == 1:
        user = recipient.rpartition("@")[0] if "@" in recipient else recipient
        delimiters = qmgr.process.conf.recipient_delimiter
        if delimiters:
            user = split_addr(qmgr.process, user, delimiters)[0]
        name = f"{user}@{nexthop}"
    return name.translate(_LOWER)


_LOWER = {code: code + 32 for code in range(65, 91)}


def error_nexthop(dsn: Dsn) -> str:
    """What error(8) and retry get as their next hop."""
    return f"{dsn.status} {dsn.reason}"


def defer_recipient(
    qmgr: QueueManager, message: Message, recipient: Recipient, dsn: Dsn
) -> Wait[None]:
    """Defers one recipient in the queue manager's own name."""
    yield from defer_append(
        qmgr.process, message.tflags, message.queue_id, message.stats(), recipient, "none", dsn
    )
    message.flags |= 1


def assign_recipients(qmgr: QueueManager, message: Message) -> None:
    """Puts the recipients into deliveries, as many in one as the transport allows."""
    job: Job | None = None
    peer: Peer | None = None
    scheduler = qmgr.scheduler
    for recipient in message.recipients:
        queue: Queue | None = recipient.queue
        if queue is None:
            continue
        if job is None or queue.transport is not job.transport:
            job, peer = scheduler.obtain(message, queue.transport), None
        if peer is None or queue is not peer.queue:
            peer = job.peer_for(queue)
        entry: Entry | None = peer.entries[-1] if peer.entries else None
        limit = queue.transport.recipient_limit
        if message.single_rcpt or entry is None or 0 < limit <= len(entry.recipients):
            entry = scheduler.new_entry(peer, message)
        scheduler.add(entry, recipient)
    message.recipients = []
    for job in message.jobs:
        if job.has_entries and not job.is_blocker:
            job.transport.candidate_cache_current = None


def split_words(text: str) -> tuple[str, ...]:
    """Words between commas and white space."""
    return tuple(word for word in re.split(r"[,\s]+", text) if word)
