"""The disk of a machine: a tree of directories and inodes in memory.

Every file has an inode with a number of its own, which stays the same through renames.  Content is
a ``bytearray`` that an open file's holder may change in place.

**Crash.**  Directory entries are durable at once, as with a journal.  Content is durable up to the
size that the file had when it was last synced: :meth:`Disk.crash` cuts each file there, and one
that was never synced is empty afterwards.
"""

from __future__ import annotations

import errno
import os
import posixpath
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeAlias

from mta.system import File, Stat
from sim.clock import micros
from sim.engine import DONE, Call, Engine, Failed, Wake
from sim.faults import DiskError, DiskFault, FaultPlan, SlowDisk
from sim.trace import Trace, digest

#: Bytes that are free unless told otherwise: 16 GiB.
FREE = 16 << 30


class Inode:
    """A file; a :class:`mta.system.File`."""

    __slots__ = ("data", "gid", "inode", "mode", "mtime", "nlink", "path", "synced", "uid")

    def __init__(self, inode: int, mode: int, uid: int, gid: int, mtime: int, path: str) -> None:
        self.inode = inode
        self.data = bytearray()
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime = mtime
        self.nlink = 1
        self.synced = 0  #: how many bytes survive a crash
        self.path = path  #: where it is, or was last

    def __repr__(self) -> str:
        return f"<file {self.inode} {self.path} {len(self.data)} bytes>"


class Directory:
    """A directory: its entries by name, and their names in order."""

    __slots__ = ("_sorted", "entries", "gid", "inode", "mode", "mtime", "uid", "watchers")

    def __init__(self, inode: int, mode: int, uid: int, gid: int, mtime: int) -> None:
        self.inode = inode
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime = mtime
        self.entries: dict[str, Entry] = {}
        self._sorted: list[str] | None = []
        #: Who waits for a new name here; one list for a watched directory and all below it.
        self.watchers: list[Callable[[str], None]] | None = None

    def names(self) -> list[str]:
        """The names, sorted; a list of the caller's own."""
        if self._sorted is None:
            self._sorted = sorted(self.entries)
        return self._sorted.copy()

    def newest(self) -> list[str]:
        """The names, what was put here last comes first."""
        return list(reversed(self.entries))

    def put(self, name: str, entry: Entry) -> None:
        """Adds or replaces an entry."""
        if name in self.entries:
            del self.entries[name]  # the new one is the last
        elif self._sorted is not None:
            insort(self._sorted, name)
        self.entries[name] = entry
        if self.watchers:
            waiting = self.watchers.copy()
            self.watchers.clear()
            for action in waiting:
                action(name)

    def drop(self, name: str) -> None:
        """Removes an entry."""
        del self.entries[name]
        if self._sorted is not None:
            del self._sorted[bisect_left(self._sorted, name)]


Entry: TypeAlias = "Inode | Directory"


_strerror = cache(os.strerror)


def failure(code: int, path: str) -> OSError:
    """The OSError of an errno."""
    return OSError(code, _strerror(code), path)


def _is_plain(path: str) -> bool:
    """Whether a path is absolute and surely as :func:`_normal` makes it."""
    return path[:1] == "/" and "//" not in path and "/." not in path and path[-1] != "/"


def _normal(path: str) -> str:
    """The path without superfluous slashes and dots."""
    plain = posixpath.normpath(path)
    return plain[1:] if plain.startswith("//") else plain


class Disk:
    """All files of one machine; a :class:`mta.system.Files`."""

    def __init__(self, engine: Engine, trace: Trace, faults: FaultPlan, machine: str) -> None:
        self.free = FREE
        self._engine = engine
        self._trace = trace
        self._faults = faults
        self._machine = machine
        self._next_inode = 2
        root = Directory(self._inode(), 0o755, 0, 0, engine.now)
        self._directories: dict[str, Directory] = {"/": root, "": root}

    def _inode(self) -> int:
        self._next_inode += 1
        return self._next_inode - 1

    # -- paths --------------------------------------------------------------------------------

    def _parent(self, path: str) -> tuple[Directory, str]:
        """The directory that a path is in, and the name there."""
        cut = path.rfind("/")
        parent = self._directories.get(path[:cut]) if cut >= 0 else None
        name = path[cut + 1 :]
        if parent is None or not name or name == "." or name == "..":
            return self._parent_the_long_way(path)
        return parent, name

    def _parent_the_long_way(self, path: str) -> tuple[Directory, str]:
        if not path.startswith("/"):
            raise ValueError(f"not an absolute path: {path!r}")
        plain = path if _is_plain(path) else _normal(path)
        if plain == "/":
            raise failure(errno.EISDIR, path)
        head, _, name = plain.rpartition("/")
        parent = self._directories.get(head)
        if parent is None:
            raise failure(self._why_not(head), path)
        return parent, name

    def _why_not(self, directory: str) -> int:
        """ENOTDIR where a file stands in the way of a directory that does not exist, or ENOENT."""
        while directory:
            head, _, name = directory.rpartition("/")
            parent = self._directories.get(head)
            if parent is not None:
                return errno.ENOTDIR if name in parent.entries else errno.ENOENT
            directory = head
        return errno.ENOENT

    def _directory(self, path: str) -> Directory | None:
        found = self._directories.get(path)
        if found is None and not _is_plain(path):
            found = self._directories.get(_normal(path))
        return found

    def _entry(self, path: str) -> Entry | None:
        cut = path.rfind("/")
        parent = self._directories.get(path[:cut]) if cut >= 0 else None
        if parent is not None and (entry := parent.entries.get(path[cut + 1 :])) is not None:
            return entry
        if _is_plain(path):
            return None
        directory = self._directory(path)
        if directory is not None:
            return directory
        try:
            parent, name = self._parent(path)
        except OSError:
            return None
        return parent.entries.get(name)

    def _file(self, path: str) -> Inode:
        parent, name = self._parent(path)
        entry = parent.entries.get(name)
        if isinstance(entry, Inode):
            return entry
        raise failure(errno.ENOENT if entry is None else errno.EISDIR, path)

    # -- files --------------------------------------------------------------------------------

    def open(self, path: str) -> Inode:
        """An existing file."""
        if self._faults.rows:
            self._strike(path, "read")
        return self._file(path)

    def create(self, path: str, mode: int = 0o644, uid: int = 0, gid: int = 0) -> Inode:
        """A new empty file; FileExistsError where there is one."""
        if self._faults.rows:
            self._strike(path, "create")
        parent, name = self._parent(path)
        if name in parent.entries:
            raise failure(errno.EEXIST, path)
        return self._make(parent, name, path, mode, uid, gid)

    def _make(
        self, parent: Directory, name: str, path: str, mode: int, uid: int, gid: int
    ) -> Inode:
        now = self._engine.now
        file = Inode(self._inode(), mode, uid, gid, now, path)
        parent.put(name, file)
        parent.mtime = now
        self._trace.add(now, "create", self._machine, path)
        return file

    def read(self, path: str) -> bytes:
        """The content of a file."""
        return bytes(self.open(path).data)

    def write(self, path: str, data: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
        """Replaces or makes a file."""
        if self._faults.rows:
            self._strike(path, "write")
        file = self._open_or_make(path, mode, uid, gid)
        file.data[:] = data
        file.synced = 0
        self._changed(file, path, data)

    def append(self, path: str, data: bytes, mode: int = 0o600, uid: int = 0, gid: int = 0) -> None:
        """Appends to a file, which is made where there is none."""
        if self._faults.rows:
            self._strike(path, "append")
        file = self._open_or_make(path, mode, uid, gid)
        file.data += data
        self._changed(file, path, data)

    def _changed(self, file: Inode, path: str, data: bytes) -> None:
        file.mtime = now = self._engine.now
        self._trace.add(now, "write", self._machine, path, len(data), digest(data))

    def _open_or_make(self, path: str, mode: int, uid: int, gid: int) -> Inode:
        parent, name = self._parent(path)
        entry = parent.entries.get(name)
        if entry is None:
            return self._make(parent, name, path, mode, uid, gid)
        if isinstance(entry, Directory):
            raise failure(errno.EISDIR, path)
        return entry

    def touch(self, file: File, mtime: int) -> None:
        """Sets the modification time (microseconds since the epoch)."""
        file.mtime = mtime

    def rename(self, old: str, new: str) -> None:
        """Gives a file or directory another name, replacing ``new``."""
        if self._faults.rows:
            self._strike(old, "rename")
        source, name = self._parent(old)
        entry = source.entries.get(name)
        if entry is None:
            raise failure(errno.ENOENT, old)
        target, new_name = self._parent(new)
        there = target.entries.get(new_name)
        if there is entry:
            return
        if isinstance(entry, Directory):
            self._may_replace(entry, there, old, new)
        elif isinstance(there, Directory):
            raise failure(errno.EISDIR, new)
        elif there is not None:
            there.nlink -= 1
        source.drop(name)
        target.put(new_name, entry)
        now = self._engine.now
        source.mtime = target.mtime = now
        if isinstance(entry, Inode):
            entry.path = new
        else:
            self._move_tree(posixpath.normpath(old), posixpath.normpath(new))
        self._trace.add(now, "rename", self._machine, old, new)

    def _may_replace(self, moved: Directory, there: Entry | None, old: str, new: str) -> None:
        if posixpath.normpath(new).startswith(posixpath.normpath(old) + "/"):
            raise failure(errno.EINVAL, new)
        if isinstance(there, Inode):
            raise failure(errno.ENOTDIR, new)
        if there is not None and there.entries:
            raise failure(errno.ENOTEMPTY, new)

    def _move_tree(self, old: str, new: str) -> None:
        moved = [p for p in self._directories if p == old or p.startswith(old + "/")]
        for path in moved:
            directory = self._directories.pop(path)
            self._directories[new + path[len(old) :]] = directory
            for name, entry in directory.entries.items():
                if isinstance(entry, Inode):
                    entry.path = f"{new}{path[len(old) :]}/{name}"

    def remove(self, path: str) -> None:
        """unlink(2)."""
        if self._faults.rows:
            self._strike(path, "remove")
        parent, name = self._parent(path)
        entry = parent.entries.get(name)
        if not isinstance(entry, Inode):
            raise failure(errno.ENOENT if entry is None else errno.EISDIR, path)
        parent.drop(name)
        entry.nlink -= 1
        parent.mtime = self._engine.now
        self._trace.add(parent.mtime, "remove", self._machine, path)

    def exists(self, path: str) -> bool:
        """Whether there is a file or directory."""
        return self._entry(path) is not None

    def stat(self, path: str) -> Stat:
        """Size, mode, owner and time of a file or directory."""
        entry = self._entry(path)
        if entry is None:
            self._parent(path)
            raise failure(errno.ENOENT, path)
        is_dir = isinstance(entry, Directory)
        size = 4096 if isinstance(entry, Directory) else len(entry.data)
        return Stat(size, entry.mode, entry.uid, entry.gid, entry.mtime, is_dir)

    def set_attributes(
        self, path: str, *, mode: int | None = None, uid: int | None = None, gid: int | None = None
    ) -> None:
        """chmod(2) and chown(2)."""
        entry = self._entry(path)
        if entry is None:
            raise failure(errno.ENOENT, path)
        entry.mode = entry.mode if mode is None else mode
        entry.uid = entry.uid if uid is None else uid
        entry.gid = entry.gid if gid is None else gid

    # -- directories --------------------------------------------------------------------------

    def scan(self, path: str) -> list[str]:
        """The names in a directory, the newest first."""
        directory = self._directory(path)
        if directory is None:
            raise failure(errno.ENOTDIR if self.exists(path) else errno.ENOENT, path)
        return directory.newest()

    def list(self, path: str) -> list[str]:
        """The names in a directory, sorted."""
        directory = self._directory(path)
        if directory is None:
            raise failure(errno.ENOTDIR if self.exists(path) else errno.ENOENT, path)
        return directory.names()

    def mkdir(self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        """Makes a directory with its parents; quiet where it exists.  Parents are root's."""
        if self._faults.rows:
            self._strike(path, "mkdir")
        if self._directory(path) is not None:
            return
        if not path.startswith("/"):
            raise ValueError(f"not an absolute path: {path!r}")
        path = posixpath.normpath(path)
        head, _, name = path.rpartition("/")
        parent = self._directory(head)
        if parent is None:
            self.mkdir(head)
            parent = self._directories[head]
        if name in parent.entries:
            raise failure(errno.EEXIST, path)
        directory = Directory(self._inode(), mode, uid, gid, self._engine.now)
        directory.watchers = parent.watchers
        self._directories[path] = directory
        parent.put(name, directory)

    def watch(self, path: str, action: Callable[[str], None]) -> None:
        """Calls an action once, with the next name that appears in a directory or below it."""
        directory = self._directory(path)
        if directory is None:
            raise failure(errno.ENOENT, path)
        if directory.watchers is None:
            directory.watchers = []
            below = posixpath.normpath(path) + "/"
            for name, other in self._directories.items():
                if name.startswith(below):
                    other.watchers = directory.watchers
        directory.watchers.append(action)

    def remove_directory(self, path: str) -> None:
        """rmdir(2)."""
        parent, name = self._parent(path)
        entry = parent.entries.get(name)
        if not isinstance(entry, Directory):
            raise failure(errno.ENOENT if entry is None else errno.ENOTDIR, path)
        if entry.entries:
            raise failure(errno.ENOTEMPTY, path)
        parent.drop(name)
        del self._directories[posixpath.normpath(path)]

    def walk(self, path: str = "/") -> Iterator[tuple[str, Inode]]:
        """All files below a directory and their paths, sorted by directory and name."""
        head = "" if path == "/" else path
        for name in self.list(path):
            below = f"{head}/{name}"
            entry = self._entry(below)
            if isinstance(entry, Directory):
                yield from self.walk(below)
            elif entry is not None:
                yield below, entry

    # -- durability ---------------------------------------------------------------------------

    def sync(self, file: File) -> Any:
        """Leaf: fsync(2).  Raises OSError (ENOSPC, EIO)."""
        assert isinstance(file, Inode)
        if self._faults.rows:
            try:
                delay = self._strike(file.path, "sync")
            except OSError as error:
                return Failed(error)
            if delay:
                wake = Wake(self._engine)
                Call(self._engine, delay, lambda _: self._synced(file, wake))
                return wake
        file.synced = len(file.data)
        return DONE

    def _synced(self, file: Inode, wake: Wake) -> None:
        file.synced = len(file.data)
        wake.fire(None)

    def sync_all(self) -> None:
        """sync(2): all that is there now survives a crash."""
        for _, file in self.walk():
            file.synced = len(file.data)

    def crash(self) -> None:
        """Power fails: content that was not synced is lost."""
        for _, file in self.walk():
            del file.data[file.synced :]

    def free_space(self) -> int:
        """Bytes that are free, as far as anybody is told."""
        return self.free

    # -- faults -------------------------------------------------------------------------------

    def _strike(self, path: str, operation: str) -> int:
        """Raises what a fault says; else how long the operation takes, in microseconds."""
        delay = 0
        for fault in self._faults.of(DiskFault):
            if fault.concerns(self._machine, path, operation):
                self._faults.fire(fault, f"{self._machine} {operation} {path}")
                if isinstance(fault, DiskError):
                    raise fault.error(path)
                if isinstance(fault, SlowDisk):
                    delay += micros(fault.seconds)
        return delay
