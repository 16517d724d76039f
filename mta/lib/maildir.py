"""Delivery to maildirs, as local(8) and virtual(8) do it (maildir.c)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mta.lib.mbox import mbox_dsn, prepend, write_failure
from mta.lib.user_files import UserFiles
from mta.system import File, Wait
from mta.wire.dsn import Dsn

if TYPE_CHECKING:
    from mta.master.server import Process

#: The device number in the names of messages: there is only one disk.
_DEVICE = 0x801


def maildir_deliver(
    process: Process, user: UserFiles, path: str, data: bytes, limit: int, default_dsn: str
) -> Wait[Dsn | None]:
    """Puts a message into a maildir (whose path ends in ``/``) with the rights of a user.  Missing
    directories are made.  Where it fails the result says why.  ``limit`` is the most bytes that the
    file may have (0: no limit).
    """
    seconds, micros = divmod(process.now(), 1_000_000)
    hostname = process.system.hostname
    temporary = f"{path}tmp/{seconds}.P{process.pid}.{hostname}"
    try:
        file = _create(user, f"{path}tmp", temporary)
    except OSError as error:
        return _failure(process, user, error, temporary, default_dsn)
    name = f"{seconds}.V{_DEVICE:x}I{file.inode:x}M{micros}.{hostname}"
    failure = yield from _write(user, temporary, file, data, limit)
    if failure is not None:
        _remove(process, user, temporary)
        return prepend("maildir delivery failed: ", failure)
    try:
        _link(user, temporary, path, name)
    except OSError as error:
        _remove(process, user, temporary)
        return _failure(process, user, error, f"{path}new/{name}", default_dsn)
    return None


def _create(user: UserFiles, directory: str, path: str) -> File:
    try:
        return user.create(path, 0o600)
    except FileNotFoundError:
        user.make_dirs(directory, 0o700)
        return user.create(path, 0o600)


def _write(user: UserFiles, path: str, file: File, data: bytes, limit: int) -> Wait[Dsn | None]:
    try:
        if 0 < limit < len(data):
            raise OSError(errno.EFBIG, "File too large")
        user.files.append(path, data)
        yield user.files.sync(file)
    except OSError as error:
        return write_failure(error)
    return None


def _link(user: UserFiles, temporary: str, path: str, name: str) -> None:
    try:
        user.link(temporary, f"{path}new/{name}")
    except FileNotFoundError:
        for directory in ("cur", "new"):
            user.make_dirs(path + directory, 0o700)
        user.link(temporary, f"{path}new/{name}")


def _remove(process: Process, user: UserFiles, path: str) -> None:
    try:
        user.remove(path)
    except OSError as error:
        process.log.warning(f"remove {path}: {error.strerror}")


def _failure(process: Process, user: UserFiles, error: OSError, path: str, default_dsn: str) -> Dsn:
    dsn = Dsn(
        mbox_dsn(error.errno or 0, default_dsn), f"create maildir file {path}: {error.strerror}"
    )
    if error.errno == errno.EACCES:
        process.log.warning(
            f"maildir access problem for UID/GID={user.uid}/{user.gid}: {dsn.reason}"
        )
        process.log.warning("perhaps you need to create the maildirs in advance")
    return prepend("maildir delivery failed: ", dsn)
