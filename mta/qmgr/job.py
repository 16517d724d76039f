"""The delivery scheduler: jobs, peers, entries, and preemption (qmgr_job, qmgr_peer, qmgr_entry;
SCHEDULER_README).

A *job* is a message on one transport, a *peer* the part of it for one destination, an *entry* the
recipients of one delivery.  A job that has earned enough slots lets a small job overtake it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from mta.lib.recipient import Recipient
from mta.qmgr.clog import warn_clogged
from mta.qmgr.transport import Queue, Transport
from mta.system import Wait
from mta.util.linked import Node

if TYPE_CHECKING:
    from mta.qmgr.message import Message
    from mta.qmgr.qmgr import QueueManager


class Entry:
    """Recipients that go in one delivery request."""

    __slots__ = ("message", "peer", "queue", "recipients")

    def __init__(self, peer: Peer, message: Message) -> None:
        self.peer = peer
        self.message = message
        self.queue = peer.queue
        self.recipients: list[Recipient] = []


class Peer:
    """A job's entries for one destination."""

    __slots__ = ("entries", "job", "queue", "refcount")

    def __init__(self, job: Job, queue: Queue) -> None:
        self.job = job
        self.queue = queue
        self.refcount = 0
        self.entries: deque[Entry] = deque()


class Job:
    """A message's share of one transport."""

    def __init__(self, message: Message, transport: Transport) -> None:
        self.message = message
        self.transport = transport
        self.node: Node[Job] = Node(self)
        self.time_node: Node[Job] = Node(self)
        self.stack_parent: Job | None = None
        self.stack_children: dict[Job, None] = {}
        self.stack_level = -1  #: -1: not on the job lists
        self.blocker_tag = 0
        self.peers: dict[str, Peer] = {}
        self.peer_list: deque[Peer] = deque()
        self.slots_used = 0
        self.slots_available = 0
        self.selected_entries = 0
        self.read_entries = 0
        self.rcpt_count = 0
        self.rcpt_limit = 0

    @property
    def has_entries(self) -> bool:
        """Whether entries wait to be selected."""
        return self.selected_entries < self.read_entries

    @property
    def max_entries(self) -> int:
        """All entries that the job may still have, recipients in the file included."""
        return self.read_entries + self.message.rcpt_unread

    @property
    def is_blocker(self) -> bool:
        """Whether its destinations are all busy just now."""
        return self.blocker_tag == self.transport.blocker_tag

    def peer_for(self, queue: Queue) -> Peer:
        """The peer for a destination."""
        peer = self.peers.get(queue.name)
        if peer is None:
            peer = self.peers[queue.name] = Peer(self, queue)
            self.peer_list.append(peer)
        return peer

    def select_peer(self) -> Peer | None:
        """The next destination that can take a delivery; it goes to the end of the list."""
        for index, peer in enumerate(self.peer_list):
            if peer.entries and peer.queue.window > len(peer.queue.busy):
                self.peer_list.rotate(-(index + 1))
                return peer
        return None


class Scheduler:
    """What chooses the next delivery of a transport."""

    def __init__(self, qmgr: QueueManager) -> None:
        self.qmgr = qmgr
        self.now = qmgr.seconds

    # -- jobs ---------------------------------------------------------------------------------

    def obtain(self, message: Message, transport: Transport) -> Job:
        """The job of a message on a transport, on the job lists."""
        job = transport.jobs_by_id.get(message.queue_id)
        if job is None:
            job = transport.jobs_by_id[message.queue_id] = Job(message, transport)
            message.jobs.append(job)
        if job.stack_level < 0:
            self._link(job)
        transport.candidate_cache_current = None
        if job.is_blocker:
            job.blocker_tag = 0
            first = transport.job_list.first
            transport.job_current = first.value if first else None
        return job

    def _link(self, job: Job) -> None:
        transport, message = job.transport, job.message
        current = transport.job_current
        prev = transport.job_list.last
        while prev is not None:
            other = prev.value
            if other.stack_parent is None and message.queued_time >= other.message.queued_time:
                break
            if current is other:
                current = None
            prev = prev.prev
        unread = transport.job_next_unread
        earlier = transport.job_bytime.last
        while earlier is not None and message.queued_time < earlier.value.message.queued_time:
            if unread is earlier.value:
                unread = None
            earlier = earlier.prev
        job.stack_level = 0
        transport.job_list.insert_after(prev, job.node)
        transport.job_bytime.insert_after(earlier, job.time_node)
        if current is None:
            transport.job_current = job
        if unread is None:
            unread = transport.job_next_unread
            transport.job_next_unread = job
            if unread is not None:
                self.move_limits(unread)
        if transport.rcpt_unused > 0:
            job.rcpt_limit += transport.rcpt_unused
            message.rcpt_limit += transport.rcpt_unused
            transport.rcpt_unused = 0

    def move_limits(self, job: Job) -> None:
        """Gives recipient slots that a job does not need to the next one with unread recipients."""
        transport, message = job.transport, job.message
        following = transport.job_next_unread
        if job is following:
            node = following.time_node.next
            while node is not None and not node.value.message.rcpt_offset:
                node = node.next
            following = transport.job_next_unread = node.value if node else None
        unused = min(job.rcpt_limit - job.rcpt_count, message.rcpt_limit - message.rcpt_count)
        if unused > 0:
            job.rcpt_limit -= unused
            message.rcpt_limit -= unused
            transport.rcpt_unused += unused
            if following is not None and transport.rcpt_unused > 0:
                following.rcpt_limit += transport.rcpt_unused
                following.message.rcpt_limit += transport.rcpt_unused
                transport.rcpt_unused = 0

    def _orphan(self, job: Job, parent: Job | None) -> None:
        for child in job.stack_children:
            if parent is not None:
                parent.stack_children[child] = None
            child.stack_parent = parent
        job.stack_children = {}

    def _unlink(self, job: Job) -> None:
        transport = job.transport
        self._orphan(job, None)
        if transport.job_current is job:
            node = job.node.next
            transport.job_current = node.value if node else None
        if job in (transport.candidate_cache, transport.candidate_cache_current):
            transport.candidate_cache_current = None
        transport.job_list.unlink(job.node)
        transport.job_bytime.unlink(job.time_node)
        job.stack_level = -1

    def _retire(self, job: Job) -> None:
        if job.stack_level > 0:
            self._pop(job)
        self.move_limits(job)
        self._unlink(job)

    def free(self, job: Job) -> None:
        """The message is done on this transport."""
        if job.stack_level > 0:
            self._pop(job)
        self.move_limits(job)
        if job.stack_level >= 0:
            self._unlink(job)
        job.transport.jobs_by_id.pop(job.message.queue_id, None)

    # -- preemption ---------------------------------------------------------------------------

    def _candidate(self, current: Job) -> Job | None:
        transport, now = current.transport, self.now()
        if transport.candidate_cache_current is current and (
            transport.candidate_cache_time == now or transport.candidate_cache is None
        ):
            return transport.candidate_cache
        best, best_score = None, 0.0
        waiting = current.read_entries - current.selected_entries
        max_slots = (waiting + current.slots_available) // transport.slot_cost
        node = current.node.next if max_slots > 0 else None
        while node is not None:
            job = node.value
            node = node.next
            if job.stack_children or job.is_blocker:
                continue
            total = job.max_entries
            needed = total - job.selected_entries
            delay = now - job.message.queued_time + 1
            if 0 < needed <= max_slots and delay / total > best_score:
                best, best_score = job, delay / total
            if delay <= best_score and job.stack_level == 0:
                break
        transport.candidate_cache = best
        transport.candidate_cache_current = current
        transport.candidate_cache_time = now
        return best

    def _preempt(self, current: Job) -> Job:
        transport = current.transport
        if (
            current.slots_available <= 0
            or current.max_entries < transport.min_slots * transport.slot_cost
        ):
            return current
        job = self._candidate(current)
        if job is None:
            return current
        expected = job.max_entries - job.selected_entries
        earned = current.slots_available // transport.slot_cost + transport.slot_loan
        if earned < expected * transport.slot_loan_factor / 100.0:
            return current
        if job.stack_level > 0:
            self._pop(job)
        transport.job_list.unlink(job.node)
        transport.job_list.insert_after(current.node.prev, job.node)
        job.stack_parent = current
        current.stack_children[job] = None
        job.stack_level = current.stack_level + 1
        transport.job_current = job
        transport.candidate_cache_current = None
        current.slots_available -= expected * transport.slot_cost
        job.slots_used = -expected
        if job.message.rcpt_offset:
            slots = (transport.rcpt_per_stack + transport.rcpt_unused + 1) // 2
            job.rcpt_limit += slots
            job.message.rcpt_limit += slots
            transport.rcpt_unused -= slots
        return job

    def _pop(self, job: Job) -> None:
        parent = job.stack_parent
        if parent is not None:
            if job.stack_level == parent.stack_level + 1:
                parent.slots_available -= job.slots_used * job.transport.slot_cost
            parent.stack_children.pop(job, None)
            job.stack_parent = None
        self._orphan(job, parent)
        job.stack_level = 0
        job.transport.candidate_cache_current = None

    # -- entries ------------------------------------------------------------------------------

    def select(self, transport: Transport) -> Wait[Entry | None]:
        """The next delivery of a transport, or None; it counts as busy from now on."""
        job = transport.job_current
        if job is None:
            return None
        if transport.slot_cost >= 2:
            job = self._preempt(job)
        while job is not None:
            node = job.node.next
            following = node.value if node else None
            if not job.is_blocker:
                peer = yield from self._select_peer(job)
                if peer is not None:
                    return self._take(transport, job, peer)
                if job.has_entries:
                    self._block(transport, job)
                else:
                    self._retire(job)
            job = following
        transport.job_current = None
        return None

    def _take(self, transport: Transport, job: Job, peer: Peer) -> Entry:
        entry = peer.entries.popleft()
        queue = peer.queue
        del queue.todo[entry]
        queue.busy[entry] = None
        queue.update()
        job.selected_entries += 1
        queue.allow_cache(self.now())
        job.slots_available += 1
        job.slots_used += 1
        if job is not transport.candidate_cache_current:
            transport.candidate_cache_current = None
        transport.job_current = job
        if not job.has_entries and not job.message.rcpt_offset:
            self._retire(job)
        return entry

    def _block(self, transport: Transport, job: Job) -> None:
        job.blocker_tag = transport.blocker_tag
        for peer in job.peer_list:
            if peer.entries:
                peer.queue.blocker_tag = transport.blocker_tag

    def _select_peer(self, job: Job) -> Wait[Peer | None]:
        message, transport = job.message, job.transport
        free = message.rcpt_limit - message.rcpt_count
        if (
            message.rcpt_offset
            and message.refcount > 0
            and (
                free >= transport.refill_limit
                or (free > 0 and self.now() - message.refill_time >= transport.refill_delay)
            )
        ):
            yield from self.qmgr.refill(message)
        if job.has_entries:
            peer = job.select_peer()
            if peer is not None:
                return peer
        if message.rcpt_offset and message.refcount > 0 and free > 0:
            yield from self.qmgr.refill(message)
            if job.has_entries:
                return job.select_peer()
        return None

    def unselect(self, entry: Entry) -> None:
        """The delivery did not begin after all: back to where it was."""
        queue, peer = entry.queue, entry.peer
        queue.busy.pop(entry, None)
        queue.todo[entry] = None
        peer.entries.appendleft(entry)
        peer.job.selected_entries -= 1
        queue.update()

    def new_entry(self, peer: Peer, message: Message) -> Entry:
        """An empty entry at the end of a peer's list."""
        entry = Entry(peer, message)
        message.refcount += 1
        peer.entries.append(entry)
        peer.refcount += 1
        peer.queue.todo[entry] = None
        peer.queue.update()
        peer.job.read_entries += 1
        warn_clogged(self.qmgr, peer.queue)
        return entry

    def add(self, entry: Entry, recipient: Recipient) -> None:
        """One more recipient for a delivery."""
        entry.recipients.append(recipient)
        entry.peer.job.rcpt_count += 1
        entry.message.rcpt_count += 1
        self.qmgr.recipient_count += 1

    def move_todo(self, queue: Queue, entry: Entry) -> Wait[None]:
        """Moves a waiting entry to another destination (retry, for a dead one)."""
        message = entry.message
        job = self.obtain(message, queue.transport)
        fresh = self.new_entry(job.peer_for(queue), message)
        fresh.recipients, entry.recipients = entry.recipients, fresh.recipients
        count = len(fresh.recipients)
        entry.peer.job.rcpt_count -= count
        job.rcpt_count += count
        yield from self.entry_done(entry, busy=False)

    def entry_done(self, entry: Entry, busy: bool) -> Wait[None]:
        """A delivery ended (``busy``) or a waiting one was given up."""
        queue, message, peer = entry.queue, entry.message, entry.peer
        job = peer.job
        transport = job.transport
        if busy:
            queue.busy.pop(entry, None)
        else:
            peer.entries.remove(entry)
            job.selected_entries += 1
            queue.todo.pop(entry, None)
        queue.update()
        count = len(entry.recipients)
        job.rcpt_count -= count
        message.rcpt_count -= count
        self.qmgr.recipient_count -= count
        for sponsor in message.jobs:
            if sponsor.rcpt_count >= sponsor.rcpt_limit or sponsor is job:
                continue
            if sponsor.stack_level < 0 or not message.rcpt_offset:
                self.move_limits(sponsor)
        if not message.rcpt_offset:
            self.move_limits(job)
        if busy and transport.rate_delay > 0:
            if queue.is_throttled:
                queue.unthrottle()
            if queue.is_ready:
                queue.suspend(transport.rate_delay)
        if queue.window != -1 and queue.blocker_tag == transport.blocker_tag:
            self.blocker_update(queue)
        peer.refcount -= 1
        if peer.refcount == 0:
            job.peers.pop(queue.name, None)
            job.peer_list.remove(peer)
        if busy:
            queue.last_done = self.now()
        if not queue.todo and not queue.busy and queue.is_ready:
            queue.done()
        message.refcount -= 1
        if message.refcount == 0:
            yield from self.qmgr.active_done(message)

    def blocker_update(self, queue: Queue) -> None:
        """A destination that blocked jobs may be free again."""
        transport = queue.transport
        if queue.blocker_tag != transport.blocker_tag:
            return
        if queue.window > len(queue.busy) and queue.todo:
            transport.blocker_tag += 2
            first = transport.job_list.first
            transport.job_current = first.value if first else None
            transport.candidate_cache_current = None
        if queue.window > len(queue.busy) or queue.is_throttled:
            queue.blocker_tag = 0
