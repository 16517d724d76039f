"""Failures of an alias itself, which its owner is told rather than the sender."""

from __future__ import annotations

from mta.dict.errors import TableError
from mta.lib.canon_addr import canon_addr_internal
from mta.lib.delivery_status import bounce_one, defer_one
from mta.lib.requests import FlushRequest
from mta.lib.strip_addr import strip_addr
from mta.local.state import State
from mta.system import Wait
from mta.wire.dsn import Dsn


def bounce_workaround(state: State, dsn: Dsn) -> Wait[bool]:
    """Reports a failure: to the owner of the alias that the recipient is where there is one
    (``owner-NAME``), else to the sender.
    """
    conf = state.process.conf
    owner = None
    if conf.owner_request_special:
        try:
            owner = yield from _owner(state)
        except TableError:
            return (yield from state.defer("4.3.0", "alias database unavailable"))
    if owner is None:
        return (yield from state.fail(dsn))
    request = state.request
    notice = FlushRequest(
        "one",
        state.trace_flags,
        request.queue_name,
        request.queue_id,
        request.encoding,
        request.smtputf8,
        owner,
        state.dsn_envid,
        state.dsn_ret,
    )
    report = defer_one if dsn.status.startswith("4") else bounce_one
    return (
        yield from report(
            state.process, state.trace_flags, notice, request.stats, state.rcpt, state.relay, dsn
        )
    )


def _owner(state: State) -> Wait[str | None]:
    """The address of the owner of the alias.  Raises TableError."""
    process, address = state.process, state.rcpt.address
    name, target = yield from _find(state, address)
    if target is None:
        stripped = strip_addr(process, address, process.conf.recipient_delimiter)
        if stripped is not None:
            name, target = yield from _find(state, stripped.address)
    if target is None:
        return None
    return (
        yield from canon_addr_internal(process, target if process.conf.expand_owner_alias else name)
    )


def _find(state: State, address: str) -> Wait[tuple[str, str | None]]:
    localpart, ratsign, _ = address.rpartition("@")
    name = f"owner-{localpart if ratsign else address}"
    return name, (yield from state.agent.alias_maps.find(name))
