"""Users' forward files (``forward_path``)."""

from __future__ import annotations

from typing import NamedTuple

from mta.lib.ext_prop import EXT_PROP_FORWARD
from mta.lib.recipient import DSN_NOTIFY_SUCCESS
from mta.lib.user_files import UserFiles, is_null_device
from mta.local import token
from mta.local.expand import local_expand
from mta.local.state import EXPAND_TYPE_FWD, State, UserAttr, without_success
from mta.system import Stat, Wait
from mta.util.scalars import split

_WORLD_WRITABLE = 0o002


class _Found(NamedTuple):
    path: str
    stat: Stat
    has_extension: bool


def deliver_dotforward(state: State, user: UserAttr) -> Wait[bool | None]:
    """Delivers to what a user's forward file says; None where there is none for this recipient, or
    where it refers to itself.
    """
    process = state.process
    if not process.conf.forward_path:
        return None
    account = process.system.accounts.by_name(state.user)
    if account is None:
        return None
    state = state.deeper()
    if not process.conf.frozen_delivered_to:
        state.delivered = state.rcpt.address
    user = UserAttr.of(account)
    state.exp_type = EXPAND_TYPE_FWD
    state.owner = state.user
    found = _search(state, user)
    if found is None:
        return None
    if found.has_extension or not state.agent.ext_prop_mask & EXT_PROP_FORWARD:
        state.unmatched = None
    if state.verify_only:
        return (yield from state.sent("2.0.0", f"forward via file: {found.path}"))
    if state.been_here(f"forward {found.path}"):
        return True if f"forward-done {found.path}" in state.dup_filter else None
    state.exp_from = state.local
    data = _read(state, user, found)
    if data is None:
        return None
    return (yield from _deliver(state, user, found.path, data))


def _search(state: State, user: UserAttr) -> _Found | None:
    """The first file of the path that exists."""
    conf = state.process.conf
    files = UserFiles(state.process.system.files, user.uid, user.gid)
    for word in split(conf.forward_path):
        expansion = local_expand(state, user, word, conf.forward_expansion_filter)
        if expansion.error or expansion.undefined:
            continue
        try:
            stat = files.stat(expansion.text)
        except (OSError, ValueError):
            continue
        return _Found(expansion.text, stat, expansion.has_extension)
    return None


def _read(state: State, user: UserAttr, found: _Found) -> bytes | None:
    """The content of the file; None, with a warning, where it must not be used."""
    warn, path, stat = state.process.log.warning, found.path, found.stat
    if stat.is_dir or is_null_device(path):
        warn(f"file {path} is not a regular file")
    elif stat.uid not in (0, user.uid):
        warn(f"file {path} has bad owner uid {stat.uid}")
    elif stat.mode & _WORLD_WRITABLE:
        warn(f"file {path} is world writable")
    else:
        try:
            return UserFiles(state.process.system.files, user.uid, user.gid).read(path)
        except OSError as error:
            warn(f"cannot open file {path}: {error.strerror}")
    return None


def _deliver(state: State, user: UserAttr, path: str, data: bytes) -> Wait[bool | None]:
    notify = state.rcpt.dsn_notify
    state.set_rcpt(dsn_notify=without_success(notify))
    done, count = yield from token.deliver_token_stream(state, user, data)
    if count == 0:
        return None
    state.been_here(f"forward-done {path}")
    if done and notify & DSN_NOTIFY_SUCCESS:
        state.set_rcpt(dsn_notify=notify)
        yield from state.trace_expanded("expanded")
    return done
