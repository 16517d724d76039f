"""mail_queue(3): queue ids, and where queue files lie.

A short queue id is the microseconds of the file's time in five hexadecimal digits and the inode
number in hexadecimal.  A long one (enable_long_queue_ids) is seconds and microseconds in base 52 of
an alphabet without vowels, ``z``, and the inode number in base 51, so that no ``z`` is in it.

CONFIGURATION PARAMETERS
    queue_directory, hash_queue_names, hash_queue_depth
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from mta.system import File, Files, Panic

MAIL_QUEUE_MAILDROP = "maildrop"
MAIL_QUEUE_HOLD = "hold"
MAIL_QUEUE_INCOMING = "incoming"
MAIL_QUEUE_ACTIVE = "active"
MAIL_QUEUE_DEFERRED = "deferred"
MAIL_QUEUE_TRACE = "trace"
MAIL_QUEUE_DEFER = "defer"
MAIL_QUEUE_BOUNCE = "bounce"
MAIL_QUEUE_CORRUPT = "corrupt"
MAIL_QUEUE_FLUSH = "flush"
MAIL_QUEUE_SAVED = "saved"

#: File modes: complete; damaged; with r for the group, "deliver in spite of a throttled queue".
MAIL_QUEUE_STAT_READY = 0o700
MAIL_QUEUE_STAT_CORRUPT = 0o400
MAIL_QUEUE_STAT_UNTHROTTLE = 0o040

_ALPHABET = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
_VALUES = {char: value for value, char in enumerate(_ALPHABET)}
_TIME_BASE = 52
_INODE_BASE = 51
_SECONDS_WIDTH = 6
_MICROSECONDS_WIDTH = 4
_TIME_WIDTH = _SECONDS_WIDTH + _MICROSECONDS_WIDTH
_SEPARATOR = "z"
_SHORT_WIDTH = 5
_ULONG_MAX = (1 << 64) - 1

_is_queue_name = re.compile(r"[0-9A-Za-z]{1,100}").fullmatch
_is_queue_id = re.compile(r"[0-9A-Za-z_]{1,255}").fullmatch
_HEX = re.compile(r"[ \t\n\v\f\r]*[+-]?(?:0[xX])?([0-9A-Fa-f]+)")


def safe_ultostr(number: int, base: int, width: int = 0) -> str:
    """A number in a base up to 52, without vowels, padded with zeros (safe_ultostr(3)).
    0 without padding is the empty text.
    """
    digits = ""
    while number:
        number, rest = divmod(number, base)
        digits = _ALPHABET[rest] + digits
    return digits.rjust(width, "0")


def safe_strtoul(text: str, base: int) -> int | None:
    """The number that such a text stands for; None for other characters or too large a number."""
    number = 0
    for char in text:
        value = _VALUES.get(char, base)
        if value >= base:
            return None
        number = number * base + value
    return number if text and number <= _ULONG_MAX else None


def mail_queue_id(now: int, inode: int, long_ids: bool = False) -> str:
    """The queue id of a file made at a moment (microseconds since the epoch) with an inode."""
    seconds, microseconds = divmod(now, 1_000_000)
    if not long_ids:
        return f"{microseconds:05X}{inode:X}"
    return (
        safe_ultostr(seconds, _TIME_BASE, _SECONDS_WIDTH)
        + safe_ultostr(microseconds, _TIME_BASE, _MICROSECONDS_WIDTH)
        + _SEPARATOR
        + safe_ultostr(inode, _INODE_BASE)
    )


def mail_queue_name_ok(name: str) -> bool:
    """Whether a queue name has nothing but letters and digits, and not more than 100."""
    return _is_queue_name(name) is not None


def mail_queue_id_ok(queue_id: str) -> bool:
    """Whether a queue id (or a flush logfile's name) has no nasty characters."""
    return _is_queue_id(queue_id) is not None


def queue_id_inode(queue_id: str) -> int | None:
    """The inode number in a queue id; None where there is none (MQID_GET_INUM)."""
    at = _long_separator(queue_id)
    if at >= 0:
        return safe_strtoul(queue_id[at + 1 :], _INODE_BASE)
    match = _HEX.fullmatch(queue_id[_SHORT_WIDTH:])
    return int(match[1], 16) if match else None


def is_long_queue_id(queue_id: str) -> bool:
    """Whether the id has the form that enable_long_queue_ids makes."""
    return _long_separator(queue_id) >= 0


def _long_separator(queue_id: str) -> int:
    at = queue_id.rfind(_SEPARATOR)
    return at if at >= _TIME_WIDTH else -1


def dir_forest(name: str, depth: int) -> str:
    """The subdirectories for a name: ``abcd`` at depth 2 gives ``a/b/`` (dir_forest(3))."""
    if depth == 1 and name:
        return name[0] + "/"
    return "".join([char + "/" for char in name[:depth].ljust(depth, "_")])


@lru_cache(maxsize=4096)
def _hash_directories(queue_id: str, depth: int) -> str:
    """The subdirectories of a queue in which a file lies.  Raises Panic for a malformed id."""
    if not mail_queue_id_ok(queue_id):
        raise Panic(f"mail_queue_dir: bad queue id: {queue_id}")
    at = _long_separator(queue_id)
    if at >= 0:
        microseconds = safe_strtoul(queue_id[at - _MICROSECONDS_WIDTH : at], _TIME_BASE)
        queue_id = f"{microseconds or 0:05X}"
    return dir_forest(queue_id, depth)


class MailQueue:
    """Where queue files lie."""

    __slots__ = ("_depths", "depth", "directory", "hashed")

    def __init__(
        self, directory: str, hash_queue_names: str = "deferred, defer", hash_queue_depth: int = 1
    ) -> None:
        """``directory`` is the queue directory's absolute path."""
        self.directory = directory
        self.hashed = frozenset(re.split(r"[,\s]+", hash_queue_names.lower())) - {""}
        self.depth = hash_queue_depth
        #: The queues that were asked for, and how deep their subdirectories are.
        self._depths: dict[str, int] = {}

    @classmethod
    def from_conf(cls, conf: Any) -> MailQueue:
        """With the parameters of a process."""
        return _mail_queue(conf.queue_directory, conf.hash_queue_names, conf.hash_queue_depth)

    def dir(self, queue: str, queue_id: str) -> str:
        """The directory of a queue file, relative to the queue directory, with ``/`` at its end.
        Raises Panic for a malformed name (mail_queue_dir).
        """
        depth = self._depths.get(queue)
        if depth is None:
            if not mail_queue_name_ok(queue):
                raise Panic(f"mail_queue_dir: bad queue name: {queue}")
            depth = self._depths[queue] = self.depth if queue.lower() in self.hashed else 0
        return f"{queue}/{_hash_directories(queue_id, depth)}"

    def name(self, queue: str, queue_id: str) -> str:
        """The path of a queue file relative to the queue directory, as messages show it."""
        return self.dir(queue, queue_id) + queue_id

    def path(self, queue: str, queue_id: str) -> str:
        """The absolute path of a queue file (mail_queue_path)."""
        return f"{self.directory}/{self.dir(queue, queue_id)}{queue_id}"

    def enter(
        self, files: Files, queue: str, queue_id: str, mode: int = 0o600, uid: int = 0, gid: int = 0
    ) -> File:
        """Makes a new queue file, with its directories.  Raises OSError (mail_queue_enter)."""
        path = self.path(queue, queue_id)
        try:
            return files.create(path, mode, uid, gid)
        except FileNotFoundError:
            self.mkdirs(files, path, uid, gid)
            return files.create(path, mode, uid, gid)

    def open(self, files: Files, queue: str, queue_id: str) -> File:
        """An existing queue file.  Raises OSError (mail_queue_open)."""
        return files.open(self.path(queue, queue_id))

    def rename(
        self, files: Files, queue_id: str, old: str, new: str, uid: int = 0, gid: int = 0
    ) -> None:
        """Moves a queue file to another queue.  Raises OSError (mail_queue_rename)."""
        old_path = self.path(old, queue_id)
        new_path = self.path(new, queue_id)
        try:
            files.rename(old_path, new_path)
        except FileNotFoundError:
            self.mkdirs(files, new_path, uid, gid)
            files.rename(old_path, new_path)

    def remove(self, files: Files, queue: str, queue_id: str) -> None:
        """Removes a queue file.  Raises OSError (mail_queue_remove)."""
        files.remove(self.path(queue, queue_id))

    @staticmethod
    def mkdirs(files: Files, path: str, uid: int = 0, gid: int = 0) -> None:
        """Makes the directories for a file (mail_queue_mkdirs)."""
        files.mkdir(path.rpartition("/")[0], 0o700, uid, gid)

    def ids(self, files: Files, queue: str) -> list[str]:
        """The queue ids in a queue, in the order of the directories: newest first (scan_dir)."""
        found: list[str] = []
        _collect(files, f"{self.directory}/{queue}", found)
        return found


def _collect(files: Files, directory: str, found: list[str]) -> None:
    """Adds the queue ids in a directory, and in those below it."""
    try:
        names = files.scan(directory)
    except FileNotFoundError:
        return
    for name in names:
        if len(name) == 1 and files.stat(path := f"{directory}/{name}").is_dir:
            _collect(files, path, found)
        elif _is_queue_id(name):
            found.append(name)


#: There are few layouts, and many processes that ask for them.
_mail_queue = lru_cache(maxsize=64)(MailQueue)
