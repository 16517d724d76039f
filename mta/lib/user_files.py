"""The disk as a user may use it: what set_eugid(3), open_as(3) and stat_as(3) are for.

A process that delivers mail takes the rights of a user for a while.  The disk of
:class:`mta.system.Files` knows of no rights; this view of it looks at owners and modes, and raises
PermissionError where the kernel would.  Root may do anything.
"""

from __future__ import annotations

import errno
import posixpath

from mta.system import File, Files, Stat

_READ, _WRITE, _SEARCH = 4, 2, 1

#: The device that swallows everything: the one file of the world that is not a regular one.
_NULL_DEVICE = "/dev/null"


def is_null_device(path: str) -> bool:
    """Whether a path leads to the device that swallows everything."""
    return path.endswith("null") and posixpath.normpath(path) == _NULL_DEVICE


class UserFiles:
    """The disk with the rights of one user and one group."""

    __slots__ = ("files", "gid", "uid")

    def __init__(self, files: Files, uid: int, gid: int) -> None:
        self.files = files
        self.uid = uid
        self.gid = gid

    def stat(self, path: str) -> Stat:
        """Size, mode, owner and time.  Raises OSError."""
        self._search(path)
        return self.files.stat(path)

    def read(self, path: str) -> bytes:
        """The content of a file.  Raises OSError."""
        self._need(path, self.stat(path), _READ)
        return self.files.read(path)

    def open_to_write(self, path: str) -> File:
        """An existing file, to be written to.  Raises OSError."""
        stat = self.stat(path)
        if not stat.is_dir:
            self._need(path, stat, _WRITE)
        return self.files.open(path)

    def create(self, path: str, mode: int) -> File:
        """A new file of the user's own.  Raises OSError: FileExistsError where there is one."""
        self._search(path)
        if not self.files.exists(path):
            self._writable_directory(path)
        return self.files.create(path, mode, self.uid, self.gid)

    def remove(self, path: str) -> None:
        """unlink(2).  Raises OSError."""
        self._search(path)
        if self.files.exists(path):
            self._writable_directory(path)
        self.files.remove(path)

    def link(self, old: str, new: str) -> None:
        """Gives a file another name, which must be free (sane_link(3)); the old one is gone then.
        Raises OSError.
        """
        self._search(new)
        if self.files.exists(new):
            raise FileExistsError(errno.EEXIST, "File exists", new)
        self._writable_directory(new)
        self.files.rename(old, new)

    def make_dirs(self, path: str, mode: int) -> None:
        """A directory and its missing parents, of the user's own (make_dirs(3)).
        Raises OSError.
        """
        made = ""
        for name in path.strip("/").split("/"):
            made = f"{made}/{name}"
            if self.files.exists(made):
                continue
            self._search(made)
            self._writable_directory(made)
            self.files.mkdir(made, mode, self.uid, self.gid)

    # -- rights -------------------------------------------------------------------------------

    def _need(self, path: str, stat: Stat, want: int) -> None:
        if self.uid == 0:
            return
        if stat.uid == self.uid:
            shift = 6
        elif stat.gid == self.gid:
            shift = 3
        else:
            shift = 0
        if not stat.mode >> shift & want:
            raise PermissionError(errno.EACCES, "Permission denied", path)

    def _search(self, path: str) -> None:
        """All directories on the way must let the user through."""
        if self.uid == 0:
            return
        end = path.find("/", 1)
        while end > 0:
            directory = path[:end]
            if not self.files.exists(directory):
                return  # whatever comes next fails by itself
            stat = self.files.stat(directory)
            if stat.is_dir:
                self._need(path, stat, _SEARCH)
            end = path.find("/", end + 1)

    def _writable_directory(self, path: str) -> None:
        directory = path.rstrip("/").rpartition("/")[0] or "/"
        if self.uid and self.files.exists(directory):
            self._need(path, self.files.stat(directory), _WRITE)
