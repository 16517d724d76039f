"""postsuper(1) - maintenance of the queue by the superuser.

DESCRIPTION
    ``-d`` deletes, ``-h`` puts on hold, ``-H`` releases from hold, ``-r`` requeues one message or
    ``ALL``; ``-`` reads queue ids from standard input.  ``-p`` removes old temporary files, ``-s``
    puts files at their right places; both are done when nothing else is asked for.

DIAGNOSTICS
    ``ID: removed``, ``placed on hold``, ``released from hold``, ``requeued``, and their counts.

CONFIGURATION PARAMETERS
    hash_queue_names, hash_queue_depth
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mta.commands.command import Command, command
from mta.lib.mail_owner import mail_owner
from mta.lib.mail_queue import (
    MAIL_QUEUE_ACTIVE,
    MAIL_QUEUE_BOUNCE,
    MAIL_QUEUE_DEFER,
    MAIL_QUEUE_DEFERRED,
    MAIL_QUEUE_FLUSH,
    MAIL_QUEUE_HOLD,
    MAIL_QUEUE_INCOMING,
    MAIL_QUEUE_MAILDROP,
    MAIL_QUEUE_STAT_READY,
    MAIL_QUEUE_TRACE,
    MailQueue,
    mail_queue_id_ok,
)
from mta.system import Wait

_LOGS = (MAIL_QUEUE_DEFER, MAIL_QUEUE_BOUNCE, MAIL_QUEUE_TRACE)
_MESSAGES = (
    MAIL_QUEUE_MAILDROP,
    MAIL_QUEUE_INCOMING,
    MAIL_QUEUE_ACTIVE,
    MAIL_QUEUE_DEFERRED,
    MAIL_QUEUE_HOLD,
)
_ALL = (MAIL_QUEUE_DEFER, MAIL_QUEUE_BOUNCE, *_MESSAGES, MAIL_QUEUE_FLUSH)
_HOLD = (MAIL_QUEUE_INCOMING, MAIL_QUEUE_ACTIVE, MAIL_QUEUE_DEFERRED)
_KNOWN = (*_ALL, MAIL_QUEUE_TRACE, "corrupt", "saved")
_MAX_TEMP_AGE = 7 * 86400 * 1_000_000

#: option: where to, what the log says of one message, how the count is announced
_ACTIONS = {
    "r": (MAIL_QUEUE_MAILDROP, "requeued", "Requeued"),
    "d": ("", "removed", "Deleted"),
    "h": (MAIL_QUEUE_HOLD, "placed on hold", "Placed on hold"),
    "H": (MAIL_QUEUE_DEFERRED, "released from hold", "Released from hold"),
}
_USAGE = (
    "usage: postsuper [-c config_dir] [-d queue_id (delete)] [-h queue_id (hold)] "
    "[-H queue_id (un-hold)] [-p (purge temporary files)] [-r queue_id (requeue)] "
    "[-s (structure fix)] [-S (redundant structure fix)][-v (verbose)] [queue...]"
)


@command("postsuper")
def postsuper(cmd: Command) -> Wait[int]:
    """Parses the command line and works through what it asks for."""
    log = cmd.process.log
    if cmd.user.uid:
        log.fatal("use of this command is reserved for the superuser")
    wanted: dict[str, list[str]] = {}
    structure = purge = False
    for letter, argument in cmd.options("c:d:h:H:pr:sSv", _USAGE):
        if letter in _ACTIONS:
            wanted.setdefault(letter, []).append(argument)
        structure |= letter in "sS"
        purge |= letter == "p"
    for name in cmd.args:
        if name not in _KNOWN:
            log.fatal(f"invalid directory name: {name}")
    for letter in wanted:
        if "ALL" in wanted[letter] and len(wanted[letter]) > 1:
            log.warning(f'option "-{letter} ALL" will ignore other command line queue IDs')
            wanted[letter] = ["ALL"]
    work = _Work(cmd)
    if purge or structure or not wanted:
        work.sweep(tuple(cmd.args) or _ALL, purge or not wanted, structure or not wanted)
    everything = [letter for letter in wanted if wanted[letter] == ["ALL"]]
    for letter in everything:
        work.all(letter, _queues(cmd.args, everything))
    for letter in "drhH":
        for queue_id in wanted.get(letter, ()):
            if queue_id != "ALL":
                work.some(letter, queue_id, tuple(cmd.args) or _default(letter))
    work.report()
    return 0
    yield


def check_structure(cmd: Command, queues: tuple[str, ...]) -> None:
    """What postsuper(1) does when nothing is asked for: purge, and put files at their places; in
    all queues, or in some.
    """
    _Work(cmd).sweep(queues or _ALL, True, True)


def _default(letter: str) -> tuple[str, ...]:
    return {"h": _HOLD, "H": (MAIL_QUEUE_HOLD,)}.get(letter, _ALL)


def _queues(args: Sequence[str], letters: list[str]) -> tuple[str, ...]:
    """The queues for an action on everything."""
    if args:
        return tuple(args)
    return _default(letters[0]) if len(letters) == 1 and letters[0] in "hH" else _ALL


class _Work:
    """The files and the counts."""

    def __init__(self, cmd: Command) -> None:
        self.cmd = cmd
        self.files = cmd.process.system.files
        self.queue = MailQueue.from_conf(cmd.process.conf)
        self.owner = mail_owner(cmd.process)
        self.counts: dict[str, int] = {}

    def _count(self, letter: str) -> None:
        self.counts[letter] = self.counts.get(letter, 0) + 1

    def _tell(self, queue: str) -> None:
        if self.cmd.verbose:
            self.cmd.process.log.info(f"queue: {queue}")

    def _is_ready(self, queue: str, queue_id: str) -> bool:
        path = self.queue.path(queue, queue_id)
        if not self.files.exists(path):
            return False
        return self.files.stat(path).mode & 0o700 == MAIL_QUEUE_STAT_READY

    def _move(self, queue_id: str, old: str, new: str) -> None:
        owner = self.owner
        self.queue.rename(self.files, queue_id, old, new, owner.uid, owner.gid)

    def _may(self, letter: str, queue: str) -> bool:
        """Whether an action applies to the messages of a queue."""
        if queue not in _MESSAGES:
            return False
        if letter == "H":
            return queue == MAIL_QUEUE_HOLD
        if letter == "h":
            return queue not in (MAIL_QUEUE_MAILDROP, MAIL_QUEUE_HOLD)
        return letter == "d" or queue != MAIL_QUEUE_MAILDROP

    def all(self, letter: str, queues: tuple[str, ...]) -> None:
        """An action on every message of the queues (and with -d, on logfiles too)."""
        target = _ACTIONS[letter][0]
        for queue in queues:
            self._tell(queue)
            for queue_id in self.queue.ids(self.files, queue):
                if letter == "d":
                    ready = queue in _MESSAGES and self._is_ready(queue, queue_id)
                    self.queue.remove(self.files, queue, queue_id)
                    if ready:
                        self._count(letter)
                elif self._may(letter, queue):
                    self._move(queue_id, queue, target)
                    self._count(letter)

    def some(self, letter: str, queue_id: str, queues: tuple[str, ...]) -> None:
        """An action on one message, or on those that standard input names."""
        if queue_id == "-":
            for line in self.cmd.stdin.decode("utf-8", "surrogateescape").splitlines():
                self._one(letter, line, queues)
        else:
            self._one(letter, queue_id, queues)

    def _one(self, letter: str, queue_id: str, queues: tuple[str, ...]) -> None:
        log = self.cmd.process.log
        if not mail_queue_id_ok(queue_id):
            log.warning(f"invalid mail queue id: {queue_id}")
            return
        target, text, _ = _ACTIONS[letter]
        for queue in queues:
            if not self._may(letter, queue) or not self._is_ready(queue, queue_id):
                continue
            if letter == "d":
                self._remove_logs(queue_id)
                self.queue.remove(self.files, queue, queue_id)
            else:
                self._move(queue_id, queue, target)
                if letter == "r":
                    file = self.queue.open(self.files, target, queue_id)
                    self.files.touch(file, self.cmd.process.now())
            log.info(f"{queue_id}: {text}")
            self._count(letter)
            return

    def _remove_logs(self, queue_id: str) -> None:
        for queue in _LOGS:
            if self.files.exists(self.queue.path(queue, queue_id)):
                self.queue.remove(self.files, queue, queue_id)

    def sweep(self, queues: tuple[str, ...], purge: bool, structure: bool) -> None:
        """Removes old temporary files; moves files to where they belong."""
        old = self.cmd.process.now() - _MAX_TEMP_AGE
        warn: Callable[[str], None] = self.cmd.process.log.warning
        for queue in queues:
            self._tell(queue)
            for directory, name in self._walk(f"{self.queue.directory}/{queue}"):
                path = f"{directory}/{name}"
                stat = self.files.stat(path)
                ready = stat.mode & 0o700 == MAIL_QUEUE_STAT_READY
                if purge and queue in _MESSAGES and not ready and stat.mtime < old:
                    self.files.remove(path)
                elif not mail_queue_id_ok(name):
                    warn(f"bogus file name: {path.removeprefix(self.queue.directory + '/')}")
                elif structure and path != self.queue.path(queue, name):
                    right = self.queue.path(queue, name)
                    self.queue.mkdirs(self.files, right, self.owner.uid, self.owner.gid)
                    self.files.rename(path, right)

    def _walk(self, directory: str) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        if not self.files.exists(directory):
            return found
        for name in self.files.list(directory):
            path = f"{directory}/{name}"
            if self.files.stat(path).is_dir:
                found += self._walk(path)
            else:
                found.append((directory, name))
        return found

    def report(self) -> None:
        """The counts."""
        for letter, (_, _, text) in _ACTIONS.items():
            count = self.counts.get(letter, 0)
            if count:
                plural = "s" if count > 1 else ""
                self.cmd.process.log.info(f"{text}: {count} message{plural}")
