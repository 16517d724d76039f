"""Files and maildirs as destinations of local(8)."""

from __future__ import annotations

from mta.lib.mail_copy import (
    MAIL_COPY_DELIVERED,
    MAIL_COPY_MBOX,
    MAIL_COPY_ORIG_RCPT,
    MAIL_COPY_RETURN_PATH,
    MAIL_COPY_TOFILE,
    CorruptError,
    check_file_limit,
)
from mta.lib.maildir import maildir_deliver
from mta.lib.mbox import (
    MBOX_DOT_LOCK_MAY_FAIL,
    MboxError,
    mbox_append,
    mbox_open,
    mbox_release,
    prepend,
)
from mta.lib.user_files import UserFiles
from mta.local.bounce_workaround import bounce_workaround
from mta.local.state import DELIVER_HDR_FILE, State, UserAttr
from mta.system import Wait
from mta.wire.dsn import Dsn

_EXECUTABLE = 0o111


def deliver_file(state: State, user: UserAttr, path: str) -> Wait[bool]:
    """Delivers to a file, or to a maildir where the path ends in ``/``."""
    state = state.deeper()
    if state.been_here(f"file {user.uid} {path}"):
        return True
    if not state.agent.file_mask & state.exp_type:
        return (yield from bounce_workaround(state, Dsn("5.7.1", "mail to file is restricted")))
    if state.trace_only:
        return (yield from state.sent("2.0.0", f"delivers to file: {path}"))
    user = state.agent.default_rights(user)
    if path.endswith("/"):
        return (yield from deliver_maildir(state, user, path))
    try:
        failure = yield from _append(state, user, path)
    except CorruptError:
        return False
    if failure is not None:
        failure = prepend(f"cannot append message to file {path}: ", failure)
        return (yield from bounce_workaround(state, failure))
    return (yield from state.sent("2.0.0", f"delivered to file: {path}"))


def _append(state: State, user: UserAttr, path: str) -> Wait[Dsn | None]:
    """Why the file could not be written, or None.  Raises CorruptError."""
    process = state.process
    files = UserFiles(process.system.files, user.uid, user.gid)
    style = state.agent.lock_mask | MBOX_DOT_LOCK_MAY_FAIL
    try:
        mbox = yield from mbox_open(process, files, path, style, "5.2.0")
    except MboxError as error:
        return error.dsn
    try:
        if mbox.regular and mbox.stat.mode & _EXECUTABLE:
            return Dsn("5.7.1", "file is executable")
        limit = process.conf.mailbox_size_limit
        check_file_limit(process, state.request, limit)
        data = state.copy(MAIL_COPY_MBOX, DELIVER_HDR_FILE)
        return (yield from mbox_append(process, mbox, data, limit))
    finally:
        mbox_release(process, mbox)


def deliver_maildir(state: State, user: UserAttr, path: str) -> Wait[bool]:
    """Delivers to a maildir."""
    state = state.deeper()
    if state.trace_only:
        return (yield from state.sent("2.0.0", "delivers to maildir"))
    process = state.process
    if not process.conf.frozen_delivered_to:
        state.delivered = state.rcpt.address
    limit = process.conf.mailbox_size_limit
    check_file_limit(process, state.request, limit)
    flags = MAIL_COPY_TOFILE | MAIL_COPY_RETURN_PATH | MAIL_COPY_ORIG_RCPT | MAIL_COPY_DELIVERED
    files = UserFiles(process.system.files, user.uid, user.gid)
    try:
        data = state.copy(flags, DELIVER_HDR_FILE)
        failure = yield from maildir_deliver(process, files, path, data, limit, "5.2.0")
    except CorruptError:
        return False
    if failure is not None:
        return (yield from state.fail(failure))
    return (yield from state.sent("2.0.0", "delivered to maildir"))
