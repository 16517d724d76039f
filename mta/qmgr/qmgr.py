"""qmgr(8) - the queue manager.

DESCRIPTION
    Awaits messages in the incoming queue, moves them into the active queue, and has the delivery
    agents deliver them.  What cannot be delivered waits in the deferred queue, whose files carry
    the time of the next attempt as their modification time: its age, between
    ``minimal_backoff_time`` and ``maximal_backoff_time``.  Messages older than
    ``maximal_queue_lifetime`` (``bounce_queue_lifetime`` for bounces) go back to the sender.

    Triggers: ``D`` scan the deferred queue, ``I`` or ``W`` scan the incoming queue, ``F`` give dead
    destinations a chance, ``A`` ignore the time stamps of deferred files.

DIAGNOSTICS
    ``from=<>, size=, nrcpt= (queue active)``, ``removed``, ``status=expired, returned to sender``;
    damaged files go to the corrupt queue with a warning.

CONFIGURATION PARAMETERS
    minimal_backoff_time, maximal_backoff_time, maximal_queue_lifetime, bounce_queue_lifetime,
    queue_run_delay, transport_retry_time, in_flow_delay, default_process_limit,
    qmgr_message_active_limit, qmgr_message_recipient_limit, qmgr_message_recipient_minimum,
    defer_transports, destination_concurrency_feedback_debug,
    helpful_warnings, qmgr_clog_warn_time, confirm_delay_cleared, delay_logging_resolution_limit,
    disable_verp_bounces, verp_delimiter_filter, default_filter_nexthop, recipient_delimiter,
    double_bounce_sender, myhostname, queue_directory, smtputf8_enable
    Each for all transports, and with the name of a transport in place of ``default_``:
    default_destination_concurrency_limit, initial_destination_concurrency,
    default_destination_concurrency_failed_cohort_limit,
    default_destination_concurrency_negative_feedback,
    default_destination_concurrency_positive_feedback, default_destination_rate_delay,
    default_destination_recipient_limit, local_destination_concurrency_limit,
    local_destination_recipient_limit, default_recipient_limit, default_extra_recipient_limit,
    default_recipient_refill_limit, default_recipient_refill_delay, default_delivery_slot_cost,
    default_delivery_slot_discount, default_delivery_slot_loan, default_minimum_delivery_slots
"""

from __future__ import annotations

import errno
from typing import ClassVar, Literal

from mta.conf.conf import Conf
from mta.lib.mail_queue import (
    MAIL_QUEUE_ACTIVE,
    MAIL_QUEUE_CORRUPT,
    MAIL_QUEUE_DEFER,
    MAIL_QUEUE_DEFERRED,
    MAIL_QUEUE_INCOMING,
    MAIL_QUEUE_STAT_READY,
    MAIL_QUEUE_STAT_UNTHROTTLE,
    MailQueue,
    mail_queue_id_ok,
)
from mta.lib.requests import Trigger
from mta.master.server import Process, Program, program
from mta.qmgr import active, deliver
from mta.qmgr.job import Scheduler
from mta.qmgr.message import Message
from mta.qmgr.resolve import (
    FLUSH_DFXP,
    FLUSH_EACH,
    assign_recipients,
    error_nexthop,
    resolve_recipients,
    sort_recipients,
    split_words,
)
from mta.qmgr.transport import Queue, Transport
from mta.system import Timer, Wait
from mta.wire.dsn import Dsn

SCAN_START = 1 << 0
SCAN_ALL = 1 << 1
FLUSH_ONCE = 1 << 2


class Scan:
    """A pass over a queue directory, with requests for the next one (qmgr_scan)."""

    def __init__(self, qmgr: QueueManager, queue: str) -> None:
        self.qmgr = qmgr
        self.queue = queue
        self.flags = 0
        self.next_flags = 0
        self.ids: list[str] | None = None  #: left to look at, last first; None: no scan under way

    def request(self, flags: int) -> None:
        """Asks for a scan, or adds to the one under way."""
        if flags & FLUSH_ONCE:
            self.qmgr.enable_all()
        if self.ids is not None:
            self.flags |= flags & (SCAN_ALL | FLUSH_DFXP)
        self.next_flags |= flags
        if self.ids is None and flags & SCAN_START:
            self.next_flags &= ~SCAN_START
            self._start()

    def _start(self) -> None:
        self.flags, self.next_flags = self.next_flags, 0
        qmgr = self.qmgr
        self.ids = qmgr.mail_queue.ids(qmgr.process.system.files, self.queue)
        self.ids.reverse()

    @property
    def is_open(self) -> bool:
        """Whether a scan is under way, or another is to follow."""
        return bool(self.ids) or (self.ids is not None and bool(self.next_flags & SCAN_START))

    def next(self) -> str | None:
        """The next queue id, or None at the end."""
        if self.ids is None:
            return None
        if self.ids:
            return self.ids.pop()
        self.ids = None
        if self.next_flags & SCAN_START:
            self._start()
            return self.ids.pop() if self.ids else None
        self.qmgr.scan_ended(self)
        return None


@program("qmgr", "nqmgr")
class QueueManager(Program):
    """The queue manager's process."""

    kind: ClassVar[Literal["single", "multi"]] = "multi"

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        self.stays = True
        conf = process.conf
        warn = process.log.warning
        self.mail_queue = MailQueue.from_conf(conf)
        self.active_limit = conf.qmgr_message_active_limit
        self.rcpt_limit = conf.qmgr_message_recipient_limit
        if self.rcpt_limit < self.active_limit:
            warn(
                "qmgr_message_recipient_limit is smaller than qmgr_message_active_limit - "
                "adjusting qmgr_message_recipient_limit"
            )
            self.rcpt_limit = self.active_limit
        self.bounce_lifetime = conf.bounce_queue_lifetime
        if self.bounce_lifetime > conf.maximal_queue_lifetime:
            warn(
                "bounce_queue_lifetime is larger than maximal_queue_lifetime - adjusting "
                "bounce_queue_lifetime"
            )
            self.bounce_lifetime = conf.maximal_queue_lifetime
        self.defer_transports = split_words(conf.defer_transports)
        self.transports: dict[str, Transport] = {}
        self._order: list[Transport] = []  #: the one whose turn is next comes first
        self.recipient_count = 0
        self.message_count = 0
        self.scheduler = Scheduler(self)
        self.incoming = Scan(self, MAIL_QUEUE_INCOMING)
        self.deferred = Scan(self, MAIL_QUEUE_DEFERRED)
        self.running = False
        self._first = 0
        self._began = process.now()
        self._next_run: Timer | None = None
        self._due: int | None = None  #: the moment that the next run is planned for
        self._retired = False
        self._recover()
        self.incoming.request(SCAN_START)
        self._watch_deferred()
        due = self._earliest()
        if due is not None and due <= process.now():
            self._deferred_run()
        else:
            self._plan_run(due)

    def seconds(self) -> int:
        """The time in whole seconds."""
        return self.process.now() // 1_000_000

    # -- triggers and scans -------------------------------------------------------------------

    def serve(self, request: Trigger) -> Wait[None]:
        """A trigger: looks at the queues and feeds the active queue until nothing is left."""
        incoming = deferred = 0
        for byte in request.data.decode("latin-1"):
            if byte in "WI":
                incoming |= SCAN_START
            elif byte == "D":
                deferred |= SCAN_START
            elif byte == "F":
                incoming |= FLUSH_ONCE | FLUSH_DFXP
                deferred |= FLUSH_ONCE | FLUSH_DFXP
            elif byte == "A":
                incoming |= SCAN_ALL
                deferred |= SCAN_ALL
        if incoming:
            self.incoming.request(incoming)
        if deferred:
            self.deferred.request(deferred)
        yield from self.loop()

    def retire(self) -> None:
        """The process ends; the one after it looks at the queues when it starts."""
        self._retired = True
        self._plan_run(None)

    @classmethod
    def input_directory(cls, conf: Conf) -> str:
        """The incoming queue."""
        return f"{conf.queue_directory}/{MAIL_QUEUE_INCOMING}"

    def _recover(self) -> None:
        """What a queue manager before us left in the active queue begins anew."""
        files, queue = self.process.system.files, self.mail_queue
        for queue_id in queue.ids(files, MAIL_QUEUE_ACTIVE):
            files.touch(queue.open(files, MAIL_QUEUE_ACTIVE, queue_id), self.process.now())
            queue.rename(files, queue_id, MAIL_QUEUE_ACTIVE, MAIL_QUEUE_INCOMING)

    # The deferred queue is looked at every ``queue_run_delay``.  A run that would find nothing is
    # left out: the alarm is set for the first one that has something to do.

    def _deferred_run(self) -> None:
        """Looks at the deferred queue."""
        self.deferred.request(SCAN_START)
        self.process.system.spawn(self.loop(), "qmgr deferred run")
        self._plan_run(self.process.now())

    def scan_ended(self, scan: Scan) -> None:
        """A pass over a queue is over: when will there be something to do in the next?"""
        if scan is self.deferred and not self._retired:
            self._plan_run(self._earliest())

    def _plan_run(self, due: int | None) -> None:
        """Sets the alarm for the first run at or after a moment; None: there is no need of any."""
        if self._next_run is not None:
            self._next_run.cancel()
            self._next_run = None
        self._due = due
        if due is not None:
            delay = self.process.conf.queue_run_delay * 1_000_000
            now = self.process.now()
            since = max(due, now + 1) - self._began
            at = self._began + (since + delay - 1) // delay * delay
            self._next_run = self.process.system.after((at - now) / 1_000_000, self._deferred_run)

    def _watch_deferred(self) -> None:
        path = f"{self.mail_queue.directory}/{MAIL_QUEUE_DEFERRED}"
        self.process.system.files.watch(path, self._one_more_deferred)

    def _one_more_deferred(self, queue_id: str) -> None:
        """A file has come into the deferred queue."""
        if self._retired:
            return
        self._watch_deferred()
        due = self._due_time(queue_id) if mail_queue_id_ok(queue_id) else None
        if due is not None and (self._due is None or due < self._due):
            self._plan_run(due)

    def _due_time(self, queue_id: str) -> int | None:
        """When a scan takes a deferred file: up to a second before its time; None: it is gone."""
        path = self.mail_queue.path(MAIL_QUEUE_DEFERRED, queue_id)
        try:
            mtime = self.process.system.files.stat(path).mtime
        except FileNotFoundError:
            return None
        return mtime // 1_000_000 * 1_000_000 - 1_000_000

    def _earliest(self) -> int | None:
        """When the first deferred file is due, None where there is none."""
        ids = self.mail_queue.ids(self.process.system.files, MAIL_QUEUE_DEFERRED)
        times = [due for queue_id in ids if (due := self._due_time(queue_id)) is not None]
        return min(times, default=None)

    def loop(self) -> Wait[None]:
        """Feeds the active queue, one file from each scan in turn, until the scans are done."""
        if self.running:
            return
        self.running = True
        try:
            self.drain()
            scans = (self.incoming, self.deferred)
            while self.message_count < self.active_limit:
                found = fed = False
                for step in range(2):
                    index = (self._first + step) % 2
                    queue_id = scans[index].next()
                    if queue_id is None:
                        continue
                    found = True
                    fed = yield from self._feed(scans[index], queue_id)
                    if fed:
                        self._first = (index + 1) % 2
                        break
                self._let_flow(fed and scans[index] is self.incoming)
                self.drain()
                if not found:
                    break
                if fed:
                    yield self.process.system.sleep(0)  # what has happened meanwhile comes first
        finally:
            self.running = False

    def _let_flow(self, incoming: bool) -> None:
        """Gives cleanup(8) a token for a message that came from the incoming queue, and all of them
        while that is not looked at; there are never more than ``default_process_limit``.
        """
        conf, master = self.process.conf, self.process.master
        limit = conf.default_process_limit
        if not conf.in_flow_delay:
            return
        if incoming and master.flow_tokens < limit:
            master.flow_tokens += 1
        elif not self.incoming.ids:
            master.flow_tokens = limit
        else:
            master.flow_tokens = min(master.flow_tokens, limit)

    def _feed(self, scan: Scan, queue_id: str) -> Wait[bool]:
        """Moves a file into the active queue and starts its deliveries (qmgr_active_feed)."""
        files, queue = self.process.system.files, self.mail_queue
        path = queue.path(scan.queue, queue_id)
        if not mail_queue_id_ok(queue_id):
            return False
        try:
            stat = files.stat(path)
        except FileNotFoundError:
            return False
        if stat.mode & 0o700 != MAIL_QUEUE_STAT_READY:
            return False
        if not scan.flags & SCAN_ALL and stat.mtime // 1_000_000 > self.seconds() + 1:
            return False
        try:
            queue.rename(files, queue_id, scan.queue, MAIL_QUEUE_ACTIVE)
        except OSError as error:
            where = f"from {scan.queue} to {MAIL_QUEUE_ACTIVE}: {error.strerror}"
            if error.errno != errno.ENOENT:
                self.process.log.fatal(f"qmgr_active_feed: {queue_id}: rename {where}")
            self.process.log.warning(f"qmgr_active_feed: {queue_id}: rename {where}")
            return False
        flags = scan.flags
        if stat.mode & MAIL_QUEUE_STAT_UNTHROTTLE:
            flags |= FLUSH_EACH | FLUSH_DFXP
        message = Message(self, MAIL_QUEUE_ACTIVE, queue_id, flags)
        self.message_count += 1
        if not (yield from self._take_up(message, stat.mode)):
            self.corrupt(queue_id)
            self.message_count -= 1
            return False
        if message.refcount == 0:
            yield from self.active_done(message)
        return True

    def _take_up(self, message: Message, mode: int) -> Wait[bool]:
        files = self.process.system.files
        message.file = self.mail_queue.open(files, MAIL_QUEUE_ACTIVE, message.queue_id)
        if not message.read():
            return False
        message.file.mode = mode & ~MAIL_QUEUE_STAT_UNTHROTTLE
        self.remove_quietly(MAIL_QUEUE_DEFER, message.queue_id)
        yield from self._schedule(message)
        return True

    def _schedule(self, message: Message) -> Wait[None]:
        sort_recipients(message)
        yield from resolve_recipients(self, message)
        sort_recipients(message)
        assign_recipients(self, message)
        if not message.rcpt_offset:
            for job in message.jobs:
                self.scheduler.move_limits(job)

    def refill(self, message: Message) -> Wait[bool]:
        """Reads more recipients of a large message (qmgr_message_realloc)."""
        if not message.read():
            return False
        yield from self._schedule(message)
        return True

    # -- transports ---------------------------------------------------------------------------

    def transport(self, name: str) -> Transport:
        """The transport of that name, made where there is none."""
        found = self.transports.get(name)
        if found is None:
            found = self.transports[name] = Transport(self, name)
            self._order.insert(0, found)
        return found

    def error_transport(self, name: str) -> Transport | None:
        """Error or retry, unless that is dead too."""
        transport = self.transport(name)
        return None if transport.dead else transport

    def error_queue(self, name: str, dsn: Dsn) -> Queue | None:
        """The queue of error or retry for a reason, unless it is dead."""
        transport = self.error_transport(name)
        if transport is None:
            return None
        nexthop = error_nexthop(dsn)
        queue = transport.queue_for(nexthop, nexthop)
        return None if queue.is_throttled else queue

    def enable_all(self) -> None:
        """Gives all dead transports and destinations another chance (a flush)."""
        for transport in self.transports.values():
            transport.unthrottle()
            for queue in list(transport.queues.values()):
                if queue.is_throttled:
                    queue.unthrottle()
                if queue.is_ready and not queue.todo and not queue.busy:
                    queue.done()

    def drain(self) -> None:
        """Connects to agents while there is something to deliver (qmgr_active_drain)."""
        while (transport := self._next_transport()) is not None:
            deliver.allocate(self, transport)

    def _next_transport(self) -> Transport | None:
        """The transport whose turn it is of those that have something to do; it goes to the end."""
        for index, transport in enumerate(self._order):
            if transport.ready and transport.wants_agent():
                self._order = self._order[index + 1 :] + self._order[: index + 1]
                return transport
        return None

    # -- the end of a message -----------------------------------------------------------------

    def active_done(self, message: Message) -> Wait[None]:
        """All deliveries that are under way for a message have ended."""
        yield from active.done(self, message)

    def release(self, message: Message) -> None:
        """Forgets a message, and feeds the next one."""
        for job in message.jobs:
            self.scheduler.free(job)
        message.jobs = []
        self.message_count -= 1
        if not self.running and (self.incoming.is_open or self.deferred.is_open):
            self.process.system.spawn(self.loop(), "qmgr")

    def corrupt(self, queue_id: str) -> None:
        """Puts a damaged file aside."""
        files = self.process.system.files
        try:
            self.mail_queue.rename(files, queue_id, MAIL_QUEUE_ACTIVE, MAIL_QUEUE_CORRUPT)
        except FileNotFoundError:
            return
        self.process.log.warning(
            f'saving corrupt file "{queue_id}" from queue "{MAIL_QUEUE_ACTIVE}" to queue '
            f'"{MAIL_QUEUE_CORRUPT}"'
        )

    def remove_quietly(self, queue: str, queue_id: str) -> bool:
        """Removes a file of a queue; False where there is none."""
        try:
            self.mail_queue.remove(self.process.system.files, queue, queue_id)
        except FileNotFoundError:
            return False
        return True
