"""Advice when one destination fills the active queue (``qmgr_clog_warn_time``, qmgr_entry)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mta.qmgr.qmgr import QueueManager
    from mta.qmgr.transport import Queue


def warn_clogged(qmgr: QueueManager, queue: Queue) -> None:
    """Warns when a destination has more than a fifth of the active queue's places, at most once
    per ``qmgr_clog_warn_time``, and says which parameter may help.
    """
    length = len(queue.todo) + len(queue.busy)
    if length <= qmgr.active_limit // 5:
        return
    conf = qmgr.process.conf
    interval, now = conf.qmgr_clog_warn_time, qmgr.seconds()
    if not conf.helpful_warnings or interval <= 0 or now < queue.clog_time_to_warn:
        return
    warn = qmgr.process.log.warning
    total = qmgr.message_count
    warn(f"mail for {queue.nexthop} is using up {length} of {total} active queue entries")
    share = length / total
    if share < 0.9:
        warn("this may slow down other mail deliveries")
    for text in _advice(qmgr, queue, share):
        warn(text)
    warn("please avoid flushing the whole queue when you have")
    warn("lots of deferred mail, that is bad for performance")
    warn("to turn off these warnings specify: qmgr_clog_warn_time = 0")
    queue.clog_time_to_warn = now + interval


def _advice(qmgr: QueueManager, queue: Queue, share: float) -> Iterator[str]:
    transport = queue.transport
    limit = transport.dest_concurrency_limit
    if 0 < limit <= len(queue.busy) + 1:
        name = f"{transport.name}_destination_concurrency_limit"
        yield f"you may need to increase the main.cf {name} from {limit}"
    elif queue.window > qmgr.active_limit * share:
        yield (
            "you may need to increase the main.cf qmgr_message_active_limit from "
            f"{qmgr.active_limit}"
        )
    elif len(transport.queues) > 1:
        yield f"you may need a separate master.cf transport for {queue.nexthop}"
    else:
        yield f"you may need to reduce {transport.name} connect and helo timeouts"
        yield "so that Postfix quickly skips unavailable hosts"
        yield "you may need to increase the main.cf minimal_backoff_time and maximal_backoff_time"
        yield "so that Postfix wastes less time on undeliverable mail"
        yield f"you may need to increase the master.cf {transport.name} process limit"
