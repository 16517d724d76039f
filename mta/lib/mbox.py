"""Mailbox files: their locks, and how mail is appended to them (mbox_open, mbox_conf, safe_open,
dot_lockfile, deliver_flock(3)).
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mta.lib.class_mask import class_mask
from mta.lib.sys_exits import EX_IOERR, sys_exits_detail
from mta.lib.user_files import UserFiles, is_null_device
from mta.system import File, Stat, Wait
from mta.wire.dsn import Dsn

if TYPE_CHECKING:
    from mta.master.server import Process

MBOX_FLOCK_LOCK = 1 << 0
MBOX_FCNTL_LOCK = 1 << 1
MBOX_DOT_LOCK = 1 << 2
MBOX_DOT_LOCK_MAY_FAIL = 1 << 3  #: go on where a lock file cannot be made

_LOCKS = {"flock": MBOX_FLOCK_LOCK, "fcntl": MBOX_FCNTL_LOCK, "dotlock": MBOX_DOT_LOCK}
_MICROSECONDS = 1_000_000

_STATUS_BY_ERROR = {
    errno.EAGAIN: "4.2.0",
    errno.ESTALE: "4.2.0",
    errno.ENOSPC: "4.3.0",
    errno.EDQUOT: "5.2.2",
    errno.EFBIG: "5.2.2",
}


class MboxError(Exception):
    """A mailbox cannot be opened.  ``args[0]`` is the :class:`Dsn` that says why."""

    @property
    def dsn(self) -> Dsn:
        """Why."""
        dsn: Dsn = self.args[0]
        return dsn


def mbox_lock_mask(process: Process, parameter: str, names: str) -> int:
    """The bits of ``mailbox_delivery_lock`` or ``virtual_mailbox_lock``."""
    return class_mask(process, parameter, _LOCKS, names)


def mbox_dsn(code: int, default: str) -> str:
    """The enhanced status code for an errno."""
    return _STATUS_BY_ERROR.get(code, default)


@dataclass(slots=True)
class Mbox:
    """A mailbox file that is open and locked."""

    path: str
    file: File
    stat: Stat
    regular: bool
    locked: int
    user: UserFiles
    default_dsn: str


def mbox_open(
    process: Process,
    user: UserFiles,
    path: str,
    lock_style: int,
    default_dsn: str,
    owner: tuple[int, int] | None = None,
) -> Wait[Mbox]:
    """Opens a mailbox file with the rights of ``user``, and locks it; makes it (for its owner, else
    for the user) where there is none.  Raises MboxError.
    """
    locked = 0
    if lock_style & MBOX_DOT_LOCK and _is_regular_or_missing(user, path):
        failure = yield from _dot_lock(process, user, path)
        if failure is None:
            locked = MBOX_DOT_LOCK
        elif not lock_style & MBOX_DOT_LOCK_MAY_FAIL or failure.errno == errno.EEXIST:
            code = errno.EAGAIN if failure.errno == errno.EEXIST else failure.errno or 0
            raise MboxError(Dsn(mbox_dsn(code, default_dsn), _lock_text(path, failure)))
        else:
            process.log.warning(_lock_text(path, failure))
    mbox = None
    try:
        mbox = _safe_open(user, path, default_dsn, owner)
        mbox.locked = locked
        if mbox.regular and lock_style & (MBOX_FLOCK_LOCK | MBOX_FCNTL_LOCK):
            yield from _lock(process, mbox)
            if mbox.file.nlink != 1:
                process.log.warning(f"{path}: file status changed unexpectedly")
                raise _error(errno.EAGAIN, default_dsn, "target file status changed unexpectedly")
    except MboxError:
        if mbox is not None:
            mbox_release(process, mbox)
        elif locked:
            _dot_unlock(user, path)
        raise
    return mbox


def mbox_release(process: Process, mbox: Mbox) -> None:
    """Unlocks a mailbox file."""
    if mbox.locked & MBOX_DOT_LOCK:
        _dot_unlock(mbox.user, mbox.path)
    _locks(process).pop(mbox.file.inode, None)


def mbox_append(process: Process, mbox: Mbox, data: bytes, limit: int) -> Wait[Dsn | None]:
    """Writes a message to the end of a mailbox file.  Where that fails the file is as it was
    before, and the result says why.  A file may not grow beyond ``limit`` bytes (0: no limit).
    """
    if not mbox.regular:
        return None
    size = len(mbox.file.data)
    try:
        if 0 < limit < size + len(data):
            raise OSError(errno.EFBIG, "File too large")
        mbox.user.files.append(mbox.path, data)
        yield mbox.user.files.sync(mbox.file)
    except OSError as error:
        del mbox.file.data[size:]
        return write_failure(error)
    return None


def write_failure(error: OSError) -> Dsn:
    """What to say of an error when a message is written (mail_copy(3))."""
    return Dsn(
        mbox_dsn(error.errno or 0, "5.3.0"),
        f"error writing message: {error.strerror}",
        dtype="x-unix",
        dtext=sys_exits_detail(EX_IOERR).text,
    )


def prepend(text: str, dsn: Dsn) -> Dsn:
    """The same with a text before its reason."""
    return dsn._replace(reason=text + dsn.reason)


# -- opening --------------------------------------------------------------------------------------


def _error(code: int, default_dsn: str, text: str) -> MboxError:
    return MboxError(Dsn(mbox_dsn(code, default_dsn), text))


def _safe_open(user: UserFiles, path: str, default_dsn: str, owner: tuple[int, int] | None) -> Mbox:
    """An existing file, or a new one (safe_open(3)).  Raises MboxError."""
    try:
        file = user.open_to_write(path)
    except FileNotFoundError:
        try:
            file = user.create(path, 0o600)
        except OSError as error:
            text = f"cannot create file exclusively: {error.strerror}"
            raise _error(error.errno or 0, default_dsn, text) from error
        stat = user.files.stat(path)
        if owner is not None:
            file.uid, file.gid = owner
        return Mbox(path, file, stat, True, 0, user, default_dsn)
    except OSError as error:
        text = f"cannot open file: {error.strerror}"
        raise _error(error.errno or 0, default_dsn, text) from error
    if file.nlink != 1:
        raise _error(errno.EPERM, default_dsn, f"file has {file.nlink} hard links")
    return Mbox(path, file, user.files.stat(path), not is_null_device(path), 0, user, default_dsn)


def _is_regular_or_missing(user: UserFiles, path: str) -> bool:
    if is_null_device(path):
        return False
    try:
        return not user.stat(path).is_dir
    except OSError:
        return True


# -- locks ----------------------------------------------------------------------------------------


def _lock_text(path: str, error: OSError) -> str:
    return f"unable to create lock file {path}.lock: {error.strerror}"


def _rand_sleep(process: Process) -> Wait[None]:
    """deliver_lock_delay, give or take a quarter."""
    delay = process.conf.deliver_lock_delay
    yield process.system.sleep(delay * (0.75 + process.system.dice("deliver_lock").random() / 2))


def _dot_lock(process: Process, user: UserFiles, path: str) -> Wait[OSError | None]:
    """Makes ``path.lock``; the error where that does not work (dot_lockfile(3))."""
    lock, conf = f"{path}.lock", process.conf
    count = 1
    while True:
        try:
            user.create(lock, 0)
            return None
        except OSError as error:
            if count >= conf.deliver_lock_attempts or error.errno != errno.EEXIST:
                return error
        try:
            age = process.now() - user.stat(lock).mtime
            if age // _MICROSECONDS > conf.stale_lock_time:
                user.remove(lock)
        except FileNotFoundError:
            pass
        except OSError as error:
            return error
        yield from _rand_sleep(process)
        count += 1


def _dot_unlock(user: UserFiles, path: str) -> None:
    try:
        user.remove(f"{path}.lock")
    except OSError:
        pass


def _locks(process: Process) -> dict[int, int]:
    """The kernel's locks on files, by inode: process numbers."""
    locks: dict[int, int] = process.master.persistent("locks").setdefault("files", {})
    return locks


def _lock(process: Process, mbox: Mbox) -> Wait[None]:
    """An exclusive lock of the kernel's (deliver_flock(3)).  Raises MboxError."""
    locks, inode = _locks(process), mbox.file.inode
    for count in range(1, process.conf.deliver_lock_attempts + 1):
        if inode not in locks:
            locks[inode] = process.pid
            return
        if count < process.conf.deliver_lock_attempts:
            yield from _rand_sleep(process)
    text = "unable to lock for exclusive access: Resource temporarily unavailable"
    raise _error(errno.EAGAIN, mbox.default_dsn, text)
