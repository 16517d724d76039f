"""``:include:`` files of local(8)."""

from __future__ import annotations

from mta.lib.ext_prop import EXT_PROP_INCLUDE
from mta.lib.user_files import UserFiles, is_null_device
from mta.local import token
from mta.local.state import EXPAND_TYPE_INCL, State, UserAttr
from mta.system import Wait

_MISCONFIGURED = "mail system configuration error"
_WORLD_WRITABLE = 0o002


def deliver_include(state: State, user: UserAttr, path: str) -> Wait[bool]:
    """Delivers to what a file lists.  Root's aliases give a file's owner their own rights."""
    state = state.deeper()
    if state.been_here(f"include {user.uid} {path}"):
        return True
    state.exp_from = state.local
    system, warn = state.process.system, state.process.log.warning
    files = UserFiles(system.files, user.uid, user.gid)
    owner = _checked(state, files, path)
    if owner is None:
        return (yield from state.bounce("5.3.5", _MISCONFIGURED))
    state.exp_type = EXPAND_TYPE_INCL
    rights = user
    if user.uid == 0:
        account = system.accounts.by_uid(owner)
        if account is None:
            warn(f"cannot find username for uid {owner}")
            warn(f"{path}: cannot find :include: file owner username")
            return (yield from state.defer("4.3.5", _MISCONFIGURED))
        if account.uid != 0:
            rights = UserAttr.of(account)
    if state.owner is None:
        state.owner = state.rcpt.address
    try:
        data = UserFiles(system.files, rights.uid, rights.gid).read(path)
    except OSError as error:
        warn(f"cannot open include file {path}: {error.strerror}")
        return (yield from state.bounce("5.3.5", _MISCONFIGURED))
    if not state.agent.ext_prop_mask & EXT_PROP_INCLUDE:
        state.unmatched = None
    done, _ = yield from token.deliver_token_stream(state, rights, data)
    return done


def _checked(state: State, files: UserFiles, path: str) -> int | None:
    """The owner of the file; None, with a warning, where it must not be read."""
    warn = state.process.log.warning
    if not path.startswith("/"):
        warn(f":include:{path} uses a relative path")
        return None
    try:
        stat = files.stat(path)
    except OSError as error:
        warn(f"unable to lookup :include: file {path}: {error.strerror}")
        return None
    if stat.is_dir or is_null_device(path):
        warn(f":include: file {path} is not a regular file")
        return None
    if stat.mode & _WORLD_WRITABLE:
        warn(f":include: file {path} is world writable")
        return None
    return stat.uid
