"""One recipient of local(8): which of aliases, forward files and mailboxes concerns it."""

from __future__ import annotations

from mta.lib.ext_prop import EXT_PROP_ALIAS
from mta.lib.split_addr import split_addr
from mta.lib.user_files import UserFiles
from mta.local import alias, dotforward, indirect, mailbox, unknown
from mta.local.bounce_workaround import bounce_workaround
from mta.local.state import EXPAND_TYPE_INCL, State, UserAttr
from mta.system import Wait
from mta.wire.dsn import Dsn


def deliver_recipient(state: State, user: UserAttr) -> Wait[bool]:
    """Delivers to ``state.rcpt``, in whatever way; whether it is finished."""
    state = state.deeper()
    address = state.rcpt.address
    if state.been_here(f"recipient {state.level} {address}"):
        return True
    if address in state.loop_info:
        dsn = Dsn("5.4.6", f"mail forwarding loop for {address}")
        return (yield from bounce_workaround(state, dsn))
    if state.delivered is None:
        state.delivered = address
    _split(state, address)
    if not state.user:
        return (yield from state.bounce("5.1.3", f'null username in "{address}"'))
    return (yield from _switch(state, user))


def _split(state: State, address: str) -> None:
    """The parts of the address."""
    warn = state.process.log.warning
    folded = state.fold(address)
    local, ratsign, domain = folded.rpartition("@")
    if ratsign:
        state.local, state.domain = local, domain
    else:
        state.local, state.domain = folded, None
        warn(f"no @ in recipient address: {folded}")
    state.user, state.extension = state.local, None
    delimiters = state.process.conf.recipient_delimiter
    if delimiters:
        state.user, state.extension = split_addr(state.process, state.local, delimiters)
        if state.extension is not None and "/" in state.extension:
            warn(f"{state.request.queue_id}: address with illegal extension: {state.local}")
            state.extension = None
            state.local = state.user
    state.unmatched = state.extension


def _switch(state: State, user: UserAttr) -> Wait[bool]:
    state = state.deeper()
    if state.rcpt.address.startswith("\\"):
        state.set_rcpt(state.rcpt.address[1:])
        state.local, state.user = state.local[1:], state.user[1:]
        done = yield from mailbox.deliver_mailbox(state, user)
        return (yield from unknown.deliver_unknown(state, user)) if done is None else done
    done = yield from _aliases(state, user)
    if done is not None:
        return done
    if state.owner is not None and state.fold(state.owner) != state.user:
        return (yield from indirect.deliver_indirect(state))
    if state.exp_type == EXPAND_TYPE_INCL:
        return (yield from indirect.deliver_indirect(state))
    done = yield from _require_home(state)
    if done is not None:
        return done
    for deliver in (dotforward.deliver_dotforward, mailbox.deliver_mailbox):
        done = yield from deliver(state, user)
        if done is not None:
            return done
    return (yield from unknown.deliver_unknown(state, user))


def _aliases(state: State, user: UserAttr) -> Wait[bool | None]:
    """Aliases for the localpart with and without extension; None where there are none."""
    state.unmatched = None
    done = yield from alias.deliver_alias(state, user, state.local)
    if done is not None:
        return done
    if state.extension is not None:
        if state.agent.ext_prop_mask & EXT_PROP_ALIAS:
            state.unmatched = state.extension
        done = yield from alias.deliver_alias(state, user, state.user)
        if done is not None:
            return done
        state.unmatched = state.extension
    return None


def _require_home(state: State) -> Wait[bool | None]:
    """With ``require_home_directory`` mail waits while a user's home is not there."""
    if not state.process.conf.require_home_directory:
        return None
    system = state.process.system
    account = system.accounts.by_name(state.user)
    if account is None:
        return None
    try:
        UserFiles(system.files, account.uid, account.gid).stat(account.home)
    except OSError as error:
        reason = f"cannot access home directory {account.home}: {error.strerror}"
        return (yield from state.defer("4.3.0", reason))
    return None
