"""Users' mailboxes, and the transports and commands that may stand for them."""

from __future__ import annotations

from mta.dict.errors import TableError
from mta.lib.deliver_pass import deliver_pass
from mta.lib.mail_copy import (
    MAIL_COPY_MBOX,
    CorruptError,
    check_file_limit,
)
from mta.lib.mbox import Mbox, MboxError, mbox_append, mbox_open, mbox_release, prepend
from mta.lib.user_files import UserFiles
from mta.local import command
from mta.local.file import deliver_maildir
from mta.local.state import DELIVER_HDR_FILE, State, UserAttr
from mta.system import Wait
from mta.wire.dsn import Dsn

_GROUP_WRITABLE, _WORLD_WRITABLE = 0o020, 0o002


def deliver_mailbox(state: State, user: UserAttr) -> Wait[bool | None]:
    """Delivers to the mailbox of ``state.user``, or to what stands for it; None: no such user."""
    state = state.deeper()
    if state.been_here(f"mailbox {state.local}"):
        return True
    done = yield from deliver_transport(state, "mailbox_transport")
    if done is not None:
        return done
    conf = state.process.conf
    account = state.process.system.accounts.by_name(state.user)
    if account is None:
        return None
    user = UserAttr.of(account)
    maps = state.agent.command_maps()
    if maps is not None:
        try:
            found = yield from maps.find(state.user)
        except TableError:
            return (yield from state.defer("4.3.0", "table lookup failure"))
        if found is not None:
            return (yield from command.deliver_command(state, user, found))
    if conf.mailbox_command:
        return (yield from command.deliver_command(state, user, conf.mailbox_command))
    if conf.home_mailbox.endswith("/"):
        return (yield from deliver_maildir(state, user, f"{user.home}/{conf.home_mailbox}"))
    spool = conf.mail_spool_directory
    if not conf.home_mailbox and spool.endswith("/"):
        return (yield from deliver_maildir(state, user, f"{spool}{state.user}/"))
    return (yield from _deliver_file(state, user))


def deliver_transport(state: State, parameter: str) -> Wait[bool | None]:
    """Passes the recipient to another agent where a parameter says so (``mailbox_transport``,
    ``fallback_transport`` and the tables of the same name with ``_maps``); None where it does not.
    """
    maps = state.agent.transport_maps(f"{parameter}_maps")
    transport: str | None = None
    if maps is not None:
        try:
            transport = yield from maps.find(state.user)
        except TableError:
            return (yield from state.defer("4.3.0", "table lookup failure"))
    if transport is None:
        transport = getattr(state.process.conf, parameter)
    if not transport:
        return None
    return (yield from deliver_pass(state.process, transport, state.request, state.rcpt))


def _deliver_file(state: State, user: UserAttr) -> Wait[bool]:
    """A mailbox file."""
    state = state.deeper()
    if state.trace_only:
        return (yield from state.sent("2.0.0", "delivers to mailbox"))
    conf = state.process.conf
    if not conf.frozen_delivered_to:
        state.delivered = state.rcpt.address
    if conf.home_mailbox:
        path = f"{user.home}/{conf.home_mailbox}"
    else:
        path = f"{conf.mail_spool_directory}/{state.user}"
    try:
        failure = yield from _write(state, user, path)
    except CorruptError:
        return False
    if failure is not None:
        text = f"cannot update mailbox {path} for user {state.user}. "
        return (yield from state.fail(prepend(text, failure)))
    return (yield from state.sent("2.0.0", "delivered to mailbox"))


def _write(state: State, user: UserAttr, path: str) -> Wait[Dsn | None]:
    """Why the mailbox file could not be written, or None.  Raises CorruptError."""
    process, agent = state.process, state.agent
    uid, gid = _spool_rights(state, user)
    owner = None if uid == user.uid else (user.uid, user.gid)
    opener = UserFiles(process.system.files, uid, gid)
    try:
        mbox = yield from mbox_open(process, opener, path, agent.lock_mask, "5.2.0", owner)
    except MboxError as error:
        return error.dsn
    try:
        failure = _unfit(state, user, mbox)
        if failure is not None:
            return failure
        limit = process.conf.mailbox_size_limit
        check_file_limit(process, state.request, limit)
        data = state.copy(MAIL_COPY_MBOX, DELIVER_HDR_FILE)
        return (yield from mbox_append(process, mbox, data, limit))
    finally:
        mbox_release(process, mbox)


def _unfit(state: State, user: UserAttr, mbox: Mbox) -> Dsn | None:
    """Why mail must not go into a file, or None."""
    if not mbox.regular:
        return Dsn("5.2.0", f"destination {mbox.path} is not a regular file")
    if state.process.conf.strict_mailbox_ownership and mbox.file.uid != user.uid:
        state.process.log.warning(
            'specify "strict_mailbox_ownership = no" to ignore mailbox ownership mismatch'
        )
        return Dsn("4.2.0", f"destination {mbox.path} is not owned by recipient")
    return None


def _spool_rights(state: State, user: UserAttr) -> tuple[int, int]:
    """With whose rights the mailbox and its lock are made: the user's, unless only root or the
    directory's group may write to the mail spool.
    """
    conf = state.process.conf
    if conf.home_mailbox:
        return user.uid, user.gid
    try:
        stat = state.process.system.files.stat(conf.mail_spool_directory)
    except OSError:
        return user.uid, user.gid
    if stat.mode & _WORLD_WRITABLE:
        return user.uid, user.gid
    if stat.mode & _GROUP_WRITABLE:
        return user.uid, stat.gid
    return 0, 0
