"""flush(8) - which deferred mail is for which destination.

DESCRIPTION
    Keeps for each destination of ``fast_flush_domains`` a logfile ``flush/DOMAIN`` of the queue ids
    that were deferred for it, so that ETRN and ``postqueue -s`` can have that mail
    delivered at once.  A wake-up refreshes logfiles that nobody has asked for in
    ``fast_flush_refresh_time`` and removes those that were empty for ``fast_flush_purge_time``.

CONFIGURATION PARAMETERS
    fast_flush_domains, fast_flush_refresh_time, fast_flush_purge_time,
    parent_domain_matches_subdomains, queue_service_name
"""

from __future__ import annotations

from mta.dict.errors import TableError
from mta.lib.domain_list import DomainList
from mta.lib.mail_owner import mail_owner
from mta.lib.mail_queue import (
    MAIL_QUEUE_DEFERRED,
    MAIL_QUEUE_FLUSH,
    MAIL_QUEUE_INCOMING,
    MAIL_QUEUE_STAT_READY,
    MAIL_QUEUE_STAT_UNTHROTTLE,
    MailQueue,
    mail_queue_id_ok,
)
from mta.lib.midna_warn import midna_warn
from mta.lib.requests import (
    FLUSH_STAT_BAD,
    FLUSH_STAT_DENY,
    FLUSH_STAT_FAIL,
    FLUSH_STAT_OK,
    FlushServiceRequest,
    Trigger,
)
from mta.master.server import Process, Program, program
from mta.system import Wait
from mta.util.midna_domain import midna_domain_to_ascii


@program("flush")
class Flush(Program):
    """One process of flush(8)."""

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        self.domains = DomainList(process, "fast_flush_domains", process.conf.fast_flush_domains)
        self.queue = MailQueue.from_conf(process.conf)

    def serve(self, request: FlushServiceRequest | Trigger) -> Wait[int]:
        """Answers a request with FLUSH_STAT_*."""
        if isinstance(request, Trigger):
            return self._refresh(self.process.conf.fast_flush_refresh_time)
        if request.kind == "add":
            return (yield from self._add(request.site, request.queue_id))
        if request.kind == "send_site":
            return (yield from self._send_site(request.site))
        if request.kind == "send_file":
            return self._send_file(request.queue_id)
        if request.kind in ("refresh", "purge"):
            age = self.process.conf.fast_flush_refresh_time if request.kind == "refresh" else 0
            return self._refresh(age)
        return FLUSH_STAT_BAD

    def _path(self, site: str) -> Wait[str | int]:
        """The logfile of a destination, or FLUSH_STAT_* where it has none."""
        try:
            if not (yield from self.domains.match(site)):
                return FLUSH_STAT_DENY
        except TableError:
            return FLUSH_STAT_FAIL
        name = midna_domain_to_ascii(site, midna_warn(self.process))
        if name is None:
            return FLUSH_STAT_DENY
        return "".join(c.lower() if c.isascii() and c.isalnum() else "_" for c in name)

    def _add(self, site: str, queue_id: str) -> Wait[int]:
        if not mail_queue_id_ok(queue_id):
            return FLUSH_STAT_BAD
        name = yield from self._path(site)
        if isinstance(name, int):
            return name
        if not mail_queue_id_ok(name):
            return FLUSH_STAT_BAD
        files, path = self.process.system.files, self.queue.path(MAIL_QUEUE_FLUSH, name)
        owner = mail_owner(self.process)
        self.queue.mkdirs(files, path, owner.uid, owner.gid)
        files.append(path, f"{queue_id}\n".encode(), 0o600, owner.uid, owner.gid)
        return FLUSH_STAT_OK

    def _send_site(self, site: str) -> Wait[int]:
        name = yield from self._path(site)
        if isinstance(name, int):
            return name
        return self._send_path(name, before=True)

    def _send_path(self, name: str, before: bool) -> int:
        """Has all mail of a logfile delivered; ``before``: dead destinations get a chance first."""
        if not mail_queue_id_ok(name):
            return FLUSH_STAT_BAD
        process = self.process
        files, path = process.system.files, self.queue.path(MAIL_QUEUE_FLUSH, name)
        if not files.exists(path):
            return FLUSH_STAT_OK
        if before:
            process.trigger(process.conf.queue_service_name, b"F")
        file = files.open(path)
        count = 0
        for line in dict.fromkeys(bytes(file.data).decode("latin-1").splitlines()):
            if not mail_queue_id_ok(line):
                process.log.warning(f"bad queue id {line[:30]}... in fast flush logfile {name}")
                continue
            count += self._one_file(line, unthrottle=False)
        if count:
            file.data.clear()
        files.touch(file, process.now())
        if count:
            process.trigger(process.conf.queue_service_name, b"I")
        return FLUSH_STAT_OK

    def _send_file(self, queue_id: str) -> int:
        if not mail_queue_id_ok(queue_id):
            return FLUSH_STAT_BAD
        if self._one_file(queue_id, unthrottle=True):
            self.process.trigger(self.process.conf.queue_service_name, b"I")
        return FLUSH_STAT_OK

    def _one_file(self, queue_id: str, unthrottle: bool) -> int:
        """Makes a deferred message due now; 1 where there is such a message."""
        process = self.process
        files = process.system.files
        for queue in (MAIL_QUEUE_DEFERRED, MAIL_QUEUE_INCOMING):
            path = self.queue.path(queue, queue_id)
            if not files.exists(path):
                continue
            file = files.open(path)
            files.touch(file, process.now() // 1_000_000 * 1_000_000)
            if unthrottle:
                if file.mode & MAIL_QUEUE_STAT_READY != MAIL_QUEUE_STAT_READY:
                    return 0
                file.mode |= MAIL_QUEUE_STAT_UNTHROTTLE
            if queue != MAIL_QUEUE_INCOMING:
                owner = mail_owner(process)
                self.queue.rename(files, queue_id, queue, MAIL_QUEUE_INCOMING, owner.uid, owner.gid)
            return 1
        return 0

    def _refresh(self, max_age: int) -> int:
        process = self.process
        files, now = process.system.files, process.now()
        for name in self.queue.ids(files, MAIL_QUEUE_FLUSH):
            path = self.queue.path(MAIL_QUEUE_FLUSH, name)
            stat = files.stat(path)
            if not stat.size:
                purge = process.conf.fast_flush_purge_time * 1_000_000
                if stat.mtime + purge < now:
                    files.remove(path)
            elif stat.mtime + max_age * 1_000_000 < now:
                self._send_path(name, before=False)
        return FLUSH_STAT_OK
