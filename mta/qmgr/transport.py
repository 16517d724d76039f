"""Transports and their per-destination queues: limits, feedback, throttling
(qmgr_transport, qmgr_queue, qmgr_feedback, qmgr_enable).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mta.lib.requests import DEL_REQ_FLAG_CONN_LOAD, DEL_REQ_FLAG_CONN_STORE
from mta.util.linked import Linked
from mta.wire.dsn import Dsn

if TYPE_CHECKING:
    from mta.qmgr.job import Entry, Job
    from mta.qmgr.qmgr import QueueManager
    from mta.system import Timer

THROTTLED = 0  #: window of a dead destination
SUSPENDED = -1  #: window between deliveries of a rate-limited destination

_FEEDBACK = re.compile(r"\s*([0-9.eE+-]+)\s*(?:/\s*(\S+))?\s*$")


class Feedback:
    """How fast a concurrency window grows or shrinks (``1``, ``1/concurrency``, ``1/3``)."""

    __slots__ = ("base", "by_window")

    def __init__(self, qmgr: QueueManager, parameter: str, default_name: str, text: str) -> None:
        self.by_window = False
        base = -1.0
        match = _FEEDBACK.match(text)
        if match:
            try:
                number = float(match[1])
                if match[2] is None:
                    base = number
                elif match[2].lower() == "concurrency":
                    self.by_window, base = True, number
                elif match[2].lower() == "sqrt_concurrency":
                    base = -1.0
                else:
                    base = number / float(match[2])
            except (ValueError, ZeroDivisionError):
                base = -1.0
        if not 0 <= base <= 1:
            qmgr.process.log.warning(
                f"{parameter or default_name}: ignoring malformed or unreasonable feedback: {text}"
            )
            self.by_window, base = False, 1.0
        self.base = base

    def report(self, transport: Transport, name: str) -> None:
        """What it comes to, for the log (``destination_concurrency_feedback_debug``)."""
        process = transport.qmgr.process
        window = process.conf.initial_destination_concurrency
        process.log.info(
            f"{transport.name}: {name} feedback type {int(self.by_window)} value at {window}: "
            f"{self.value(window):g}"
        )

    def value(self, window: int) -> float:
        """The feedback of one delivery at a window."""
        return self.base / window if self.by_window else self.base


class Transport:
    """A transport of master.cf as the queue manager sees it, with its limits."""

    def __init__(self, qmgr: QueueManager, name: str) -> None:
        self.qmgr = qmgr
        self.name = name
        self.pending = 0  #: connections to agents under way
        self.dsn: Dsn | None = None  #: why it is dead, None while it is alive
        self.timer: Timer | None = None
        self.queues: dict[str, Queue] = {}
        self.ready: dict[Queue, None] = {}  #: those with something to do and a free place
        self.jobs_by_id: dict[str, Job] = {}
        self.job_list: Linked[Job] = Linked()
        self.job_bytime: Linked[Job] = Linked()
        self.job_current: Job | None = None
        self.job_next_unread: Job | None = None
        self.candidate_cache: Job | None = None
        self.candidate_cache_current: Job | None = None
        self.candidate_cache_time = 0
        self.blocker_tag = 1
        #: Whether what happens to its windows is logged.
        self.debug = qmgr.process.conf.destination_concurrency_feedback_debug and name not in (
            "error",
            "retry",
        )
        self._read_limits()

    def _read_limits(self) -> None:
        conf, name = self.qmgr.process.conf, self.name
        number = conf.service_int
        time = conf.service_time
        self.dest_concurrency_limit = number(
            name, "_destination_concurrency_limit", conf.default_destination_concurrency_limit
        )
        self.recipient_limit = number(
            name, "_destination_recipient_limit", conf.default_destination_recipient_limit
        )
        self.init_dest_concurrency = number(
            name, "_initial_destination_concurrency", conf.initial_destination_concurrency, min=1
        )
        self.rate_delay = time(name, "_destination_rate_delay", conf.default_destination_rate_delay)
        if self.rate_delay > 0:
            self.dest_concurrency_limit = 1
        limit = self.dest_concurrency_limit
        if limit and limit < self.init_dest_concurrency:
            self.init_dest_concurrency = limit
        self.slot_cost = number(name, "_delivery_slot_cost", conf.default_delivery_slot_cost)
        self.slot_loan = number(name, "_delivery_slot_loan", conf.default_delivery_slot_loan)
        self.slot_loan_factor = 100 - number(
            name, "_delivery_slot_discount", conf.default_delivery_slot_discount, max=100
        )
        self.min_slots = number(
            name, "_minimum_delivery_slots", conf.default_minimum_delivery_slots
        )
        self.rcpt_unused = number(name, "_recipient_limit", conf.default_recipient_limit)
        self.rcpt_per_stack = number(
            name, "_extra_recipient_limit", conf.default_extra_recipient_limit
        )
        self.refill_limit = number(
            name, "_recipient_refill_limit", conf.default_recipient_refill_limit, min=1
        )
        self.refill_delay = time(
            name, "_recipient_refill_delay", conf.default_recipient_refill_delay, min=1
        )
        self.fail_cohort_limit = number(
            name,
            "_destination_concurrency_failed_cohort_limit",
            conf.default_destination_concurrency_failed_cohort_limit,
        )
        self.positive = self._feedback("positive")
        self.negative = self._feedback("negative")

    def _feedback(self, sign: str) -> Feedback:
        conf = self.qmgr.process.conf
        suffix = f"_destination_concurrency_{sign}_feedback"
        default_name = f"default{suffix}"
        default = str(getattr(conf, default_name))
        text = conf.service_str(self.name, suffix, default)
        parameter = "" if text == default else f"{self.name}{suffix}"
        feedback = Feedback(self.qmgr, parameter, default_name, text)
        if conf.destination_concurrency_feedback_debug:
            feedback.report(self, parameter or default_name)
        return feedback

    @property
    def dead(self) -> bool:
        """Whether deliveries over this transport wait for ``transport_retry_time``."""
        return self.dsn is not None

    def throttle(self, dsn: Dsn) -> None:
        """The agent cannot be used: no deliveries for ``transport_retry_time``."""
        if self.dsn is None:
            self.dsn = dsn
            process = self.qmgr.process
            self.timer = process.system.after(process.conf.transport_retry_time, self._retry)

    def _retry(self) -> None:
        self.unthrottle()
        self.qmgr.drain()

    def unthrottle(self) -> None:
        """The agent may be tried again."""
        if self.dsn is not None:
            self.dsn = None
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None

    def queue_for(self, name: str, nexthop: str) -> Queue:
        """The queue of a destination, made where there is none."""
        queue = self.queues.get(name)
        if queue is None:
            queue = self.queues[name] = Queue(self, name, nexthop)
        return queue

    def wants_agent(self) -> bool:
        """Whether one more connection to an agent has something to deliver."""
        if self.dsn is not None or self.pending >= 2:
            return False
        need = self.pending + 1
        for queue in self.ready:
            need -= min(queue.window - len(queue.busy), len(queue.todo))
            if need <= 0:
                return True
        return False


class Queue:
    """The messages for one destination of a transport, and its concurrency window."""

    def __init__(self, transport: Transport, name: str, nexthop: str) -> None:
        self.transport = transport
        self.name = name
        self.nexthop = nexthop
        self.dflags = 0
        self.last_done = 0  #: seconds
        self.todo: dict[Entry, None] = {}
        self.busy: dict[Entry, None] = {}
        self.window = transport.init_dest_concurrency
        self.success = 0.0
        self.failure = 0.0
        self.fail_cohorts = 0.0
        self.dsn: Dsn | None = None
        self.timer: Timer | None = None
        self.blocker_tag = 0
        self.clog_time_to_warn = 0

    def update(self) -> None:
        """Keeps the transport's list of destinations that can take a delivery."""
        if self.todo and self.window > len(self.busy):
            self.transport.ready[self] = None
        else:
            self.transport.ready.pop(self, None)

    @property
    def is_ready(self) -> bool:
        """Whether it is neither dead nor suspended."""
        return self.window > 0

    @property
    def is_throttled(self) -> bool:
        """Whether the destination is dead for now."""
        return self.window == THROTTLED

    def suspend(self, delay: float) -> None:
        """No delivery for a while (``destination_rate_delay``)."""
        self.window = SUSPENDED
        self.update()
        self.timer = self.transport.qmgr.process.system.after(delay, self._resume)

    def _resume(self) -> None:
        self.window = 1
        self.update()
        if not self.todo and not self.busy:
            self.done()
        else:
            self.transport.qmgr.scheduler.blocker_update(self)
            self.transport.qmgr.drain()

    def throttle(self, dsn: Dsn) -> None:
        """A delivery failed for the destination as a whole: shrink the window; when enough
        cohorts have failed the destination is dead for ``minimal_backoff_time``.
        """
        transport = self.transport
        self.fail_cohorts += 1.0 / self.window
        if 0 < transport.fail_cohort_limit <= self.fail_cohorts:
            self.window = THROTTLED
        else:
            feedback = transport.negative.value(self.window)
            if transport.debug:
                self._log(f"qmgr_queue_throttle: feedback {feedback:g}")
            self.failure -= feedback
            while self.failure - feedback / 2 < 0:
                self.window -= 1
                self.success = 0.0
                self.failure += 1
            self.window = max(self.window, 1)
        if self.window == THROTTLED:
            self.dsn = dsn
            self.dflags = 0
            process = transport.qmgr.process
            self.timer = process.system.after(process.conf.minimal_backoff_time, self._retry)
        if transport.debug:
            self._log_window("throttle")
        self.update()

    def _log(self, text: str) -> None:
        self.transport.qmgr.process.log.info(text)

    def _log_window(self, event: str) -> None:
        """How the window has changed (``destination_concurrency_feedback_debug``)."""
        self._log(
            f"qmgr_queue_{event}: queue {self.name}: limit {self.transport.dest_concurrency_limit} "
            f"window {self.window} success {self.success:g} failure {self.failure:g} "
            f"fail_cohorts {self.fail_cohorts:g}"
        )

    def _retry(self) -> None:
        self.unthrottle()
        if self.is_ready and not self.todo and not self.busy:
            self.done()
        self.transport.qmgr.drain()

    def unthrottle(self) -> None:
        """A delivery was made, or a dead destination is given another chance."""
        transport = self.transport
        self.fail_cohorts = 0.0
        if self.window == THROTTLED:
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None
            self.dsn = None
            self.window = len(self.busy) or transport.init_dest_concurrency
            self.success = self.failure = 0.0
            if transport.debug:
                self._log_window("unthrottle")
            self.update()
            return
        limit = transport.dest_concurrency_limit
        if (limit == 0 or limit > self.window) and (
            self.window < len(self.busy) + transport.init_dest_concurrency
        ):
            feedback = transport.positive.value(self.window)
            if transport.debug:
                self._log(f"qmgr_queue_unthrottle: feedback {feedback:g}")
            self.success += feedback
            while feedback > 0 and self.success + feedback / 2 >= 1:
                self.window += 1
                self.success -= 1
                self.failure = 0.0
            if 0 < limit < self.window:
                self.window = limit
        if transport.debug:
            self._log_window("unthrottle")
        self.update()

    def allow_cache(self, now: int) -> None:
        """On-demand connection caching: on when deliveries come back to back, off when they
        no longer do (``smtp_connection_cache_on_demand``).  ``now`` in seconds.
        """
        back_to_back = self.last_done + 1 >= now
        if not self.dflags & DEL_REQ_FLAG_CONN_STORE:
            if back_to_back:
                self.dflags |= DEL_REQ_FLAG_CONN_LOAD | DEL_REQ_FLAG_CONN_STORE
        elif not (len(self.busy) > 1 or back_to_back):
            self.dflags &= ~DEL_REQ_FLAG_CONN_STORE

    def done(self) -> None:
        """Nothing is left to do: forget the destination."""
        self.transport.queues.pop(self.name, None)
        self.transport.ready.pop(self, None)
