"""Aliases of local(8): ``alias_maps``, aliases(5), and their owners."""

from __future__ import annotations

from mta.dict.errors import TableError
from mta.dict.flags import dict_flags_str
from mta.dict.registry import OWNER_TRUSTED, OWNER_UNKNOWN, Dict
from mta.lib.canon_addr import canon_addr_internal
from mta.lib.recipient import DSN_NOTIFY_SUCCESS
from mta.local import token
from mta.local.state import EXPAND_TYPE_ALIAS, State, UserAttr, without_success
from mta.system import Wait

_MAX_LEVEL = 100


def deliver_alias(state: State, user: UserAttr, name: str) -> Wait[bool | None]:
    """Delivers to what a name is an alias for; None where it is none."""
    if not state.agent.alias_maps and state.level < _MAX_LEVEL:
        return None
    state = state.deeper()
    if state.exp_from is not None and state.fold(state.exp_from) == state.fold(name):
        return None
    if state.level > _MAX_LEVEL:
        state.process.log.warning(f"alias database loop for {name}")
        return (yield from state.bounce("5.4.6", f"alias database loop for {name}"))
    state.exp_from = name
    for table in state.agent.alias_maps.tables:
        try:
            result = yield from table.lookup(name)
        except TableError:
            state.process.log.warning(f"{table.name}: lookup of '{name}' failed")
            return (yield from state.defer("4.3.0", "alias database unavailable"))
        if result is not None:
            return (yield from _found(state, user, table, name, result))
    return None


def _found(state: State, user: UserAttr, table: Dict, name: str, result: str) -> Wait[bool]:
    _decide(state, table, name, result)
    if state.verify_only:
        return (yield from state.sent("2.0.0", f"aliased to {result}"))
    state.exp_type = EXPAND_TYPE_ALIAS
    if table.owner.status == OWNER_TRUSTED:
        user = UserAttr()
    elif table.owner.status == OWNER_UNKNOWN:
        state.process.log.warning(
            f"deliver_alias: no owner UID for alias database {_handle(table)}"
        )
        return (yield from state.defer("4.3.0", "mail system configuration error"))
    else:
        account = state.process.system.accounts.by_uid(table.owner.uid)
        if account is None:
            state.process.log.warning(f"cannot find alias database owner for {_handle(table)}")
            return (yield from state.defer("4.3.0", "cannot find alias database owner"))
        user = UserAttr.of(account)
    try:
        has_owner = yield from _set_owner(state, name)
    except TableError:
        return (yield from state.defer("4.3.0", "alias database unavailable"))
    if not state.process.conf.frozen_delivered_to:
        state.delivered = state.rcpt.address
    return (yield from _expand(state, user, name, result, has_owner))


def _handle(table: Dict) -> str:
    """The name by which the process keeps the table."""
    return f"{table.name}(0,{dict_flags_str(table.flags)})"


def _decide(state: State, table: Dict, name: str, result: str) -> None:
    sink = state.process.system.decisions
    if sink is not None:
        facts = {"maps": "alias_maps", "table": table.name, "key": name, "result": result}
        sink("table", {**facts, "line": table.explain(name)})


def _set_owner(state: State, name: str) -> Wait[bool]:
    """Makes ``owner-NAME`` the sender where there is such an alias.  Raises TableError."""
    conf = state.process.conf
    owner = f"owner-{name}"
    target = None
    if conf.owner_request_special:
        target = yield from state.agent.alias_maps.find(owner)
    if target is None:
        if conf.reset_owner_alias:
            state.owner = None
        return False
    address = target if conf.expand_owner_alias else owner
    state.sender = state.owner = yield from canon_addr_internal(state.process, address)
    return True


def _expand(state: State, user: UserAttr, name: str, result: str, has_owner: bool) -> Wait[bool]:
    notify, orcpt = state.rcpt.dsn_notify, state.rcpt.dsn_orcpt
    envid, ret = state.dsn_envid, state.dsn_ret
    state.set_rcpt(dsn_notify=without_success(notify))
    if has_owner:
        # A list: what the sender asked for ends here.
        state.dsn_envid, state.dsn_ret = "", 0
        state.set_rcpt(dsn_orcpt="", orig_addr="")
    done, count = yield from token.deliver_token_string(state, user, result)
    if count < 1:
        state.process.log.warning(f"no recipient in alias lookup result for {name}")
        return (yield from state.defer("4.3.0", "alias database unavailable"))
    if notify & DSN_NOTIFY_SUCCESS:
        state.set_rcpt(dsn_notify=notify)
        if has_owner:
            state.dsn_envid, state.dsn_ret = envid, ret
            state.set_rcpt(dsn_orcpt=orcpt)
        yield from state.trace_expanded("delivered" if has_owner else "expanded")
    return done
