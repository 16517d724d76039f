"""What happens when all deliveries of a message have ended (qmgr_active).

In this order: the bounce; more recipients from the file; the delivery report; then, where
recipients are left, the return of a message that is too old, or a delay warning; at last the file
is removed or deferred.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mta.lib.delivery_status import abounce_flush, defer_flush, defer_warn, trace_flush
from mta.lib.mail_queue import MAIL_QUEUE_ACTIVE, MAIL_QUEUE_BOUNCE, MAIL_QUEUE_DEFERRED
from mta.lib.requests import (
    BOUNCE_FLAG_DELRCPT,
    BOUNCE_FLAG_KEEP,
    DEL_REQ_FLAG_REC_DLY_SENT,
    DEL_REQ_FLAG_RECORD,
    DEL_REQ_FLAG_USR_VRFY,
    FlushRequest,
)
from mta.qmgr.message import READ_FLAG_NOTIFY_SUCCESS
from mta.system import Wait

if TYPE_CHECKING:
    from mta.qmgr.message import Message
    from mta.qmgr.qmgr import QueueManager

_TRACED = DEL_REQ_FLAG_USR_VRFY | DEL_REQ_FLAG_RECORD | DEL_REQ_FLAG_REC_DLY_SENT


def done(qmgr: QueueManager, message: Message) -> Wait[None]:
    """Finishes a message, or goes on with the recipients that are still in the file."""
    yield from _bounce(qmgr, message)
    if message.flags and not _is_there(qmgr, message):
        qmgr.corrupt(message.queue_id)
        qmgr.release(message)
        return
    if message.rcpt_offset > 0:
        if not (yield from qmgr.refill(message)):
            qmgr.corrupt(message.queue_id)
            qmgr.release(message)
        elif message.refcount == 0:
            yield from done(qmgr, message)
        else:
            qmgr.drain()
        return
    yield from _trace(qmgr, message)
    if message.flags:
        yield from _delayed(qmgr, message)
    _finish(qmgr, message)
    qmgr.release(message)


def _request(message: Message, kind: str, flags: int = BOUNCE_FLAG_KEEP) -> FlushRequest:
    return FlushRequest(
        kind,
        flags,
        message.queue_name,
        message.queue_id,
        message.encoding,
        message.smtputf8,
        message.sender or "",
        message.dsn_envid,
        message.dsn_ret,
        verp=message.verp_delims,
    )


def _kind(qmgr: QueueManager, message: Message) -> str:
    verp = message.verp_delims and not qmgr.process.conf.disable_verp_bounces
    return "verp" if verp else "bounce"


def _bounce(qmgr: QueueManager, message: Message) -> Wait[None]:
    files, queue = qmgr.process.system.files, qmgr.mail_queue
    try:
        size = files.stat(queue.path(MAIL_QUEUE_BOUNCE, message.queue_id)).size
    except FileNotFoundError:
        return
    if not size:
        qmgr.remove_quietly(MAIL_QUEUE_BOUNCE, message.queue_id)
        return
    request = _request(message, _kind(qmgr, message))
    if not (yield from abounce_flush(qmgr.process, request)):
        message.flags |= 1


def _is_there(qmgr: QueueManager, message: Message) -> bool:
    path = qmgr.mail_queue.path(MAIL_QUEUE_ACTIVE, message.queue_id)
    return qmgr.process.system.files.exists(path)


def _trace(qmgr: QueueManager, message: Message) -> Wait[None]:
    if message.tflags & _TRACED or message.rflags & READ_FLAG_NOTIFY_SUCCESS:
        request = _request(message, "trace", message.tflags)
        if (yield from trace_flush(qmgr.process, request)):
            if message.tflags_offset:
                message.kill_record(message.tflags_offset)
        else:
            message.flags |= 1


def _delayed(qmgr: QueueManager, message: Message) -> Wait[None]:
    process, now = qmgr.process, qmgr.seconds()
    lifetime = process.conf.maximal_queue_lifetime if message.sender else qmgr.bounce_lifetime
    if now >= message.create_time + lifetime:
        process.log.info(
            f"{message.queue_id}: from=<{message.sender}>, status=expired, returned to sender"
        )
        request = _request(message, _kind(qmgr, message), BOUNCE_FLAG_KEEP | BOUNCE_FLAG_DELRCPT)
        message.flags = 0 if (yield from defer_flush(process, request)) else 1
    elif message.warn_time > 0 and now >= message.warn_time - 1:
        request = _request(message, "warn")
        if (yield from defer_warn(process, request)):
            message.update_warn()


def _finish(qmgr: QueueManager, message: Message) -> None:
    process, queue_id = qmgr.process, message.queue_id
    if message.flags:
        conf = process.conf
        delay = conf.minimal_backoff_time
        if message.create_time > 0:
            age = qmgr.seconds() - message.create_time
            delay = max(min(age, conf.maximal_backoff_time), conf.minimal_backoff_time)
        process.decide("backoff", queue_id=queue_id, delay=delay)
        _defer(qmgr, message, delay)
    elif qmgr.remove_quietly(message.queue_name, queue_id):
        process.log.info(f"{queue_id}: removed")
    else:
        process.log.warning(
            f"qmgr_active_done_3_generic: remove {queue_id} from {message.queue_name}: "
            "No such file or directory"
        )


def _defer(qmgr: QueueManager, message: Message, delay: int) -> None:
    """To the deferred queue, with the time of the next attempt (qmgr_active_defer)."""
    files, queue, queue_id = qmgr.process.system.files, qmgr.mail_queue, message.queue_id
    try:
        file = queue.open(files, message.queue_name, queue_id)
        files.touch(file, (qmgr.seconds() + delay) * 1_000_000)
        queue.rename(files, queue_id, message.queue_name, MAIL_QUEUE_DEFERRED)
    except OSError as error:
        text = (
            f"qmgr_active_defer: rename {queue_id} from {message.queue_name} to "
            f"{MAIL_QUEUE_DEFERRED}: {error.strerror}"
        )
        if error.errno != errno.ENOENT:
            qmgr.process.log.fatal(text)
        qmgr.process.log.warning(text)
