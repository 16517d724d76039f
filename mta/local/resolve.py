"""Addresses in aliases and forward files: rewritten, resolved, delivered here or passed on."""

from __future__ import annotations

from mta.lib.clients import resolve, rewrite
from mta.lib.requests import RESOLVE_FLAG_ERROR, RESOLVE_FLAG_FAIL, REWRITE_LOCAL
from mta.local import indirect, recipient
from mta.local.state import State, UserAttr
from mta.system import Wait
from mta.wire.tok822 import (
    Token,
    tok822_externalize,
    tok822_internalize,
    tok822_scan,
    tok822_scan_addr,
)


def deliver_resolve_addr(state: State, user: UserAttr, address: str) -> Wait[bool]:
    """Delivers to an address in external form."""
    return (yield from deliver_resolve_tree(state, user, tok822_scan_addr(address)))


def deliver_resolve_tree(state: State, user: UserAttr, token: Token) -> Wait[bool]:
    """Delivers to an address: here where its transport is this agent, else by a new message.  An
    extension that nothing has matched yet is added to it.
    """
    state = state.deeper()
    process = state.process
    canonical = yield from rewrite(process, REWRITE_LOCAL, tok822_externalize(token.children))
    reply = yield from resolve(process, "", tok822_internalize(tok822_scan(canonical)))
    if reply.flags & RESOLVE_FLAG_FAIL:
        return (yield from state.defer("4.3.0", "address resolver failure"))
    if reply.flags & RESOLVE_FLAG_ERROR:
        reason = f"bad recipient address syntax: {reply.recipient}"
        return (yield from state.bounce("5.1.3", reason))
    address = reply.recipient
    if state.unmatched is not None:
        address = _with_extension(address, state.local[len(state.user) :][:1] + state.unmatched)
    state.set_rcpt(address)
    if reply.transport == state.relay:
        return (yield from recipient.deliver_recipient(state, user))
    return (yield from indirect.deliver_indirect(state))


def _with_extension(address: str, extension: str) -> str:
    localpart, ratsign, domain = address.rpartition("@")
    if not ratsign:
        return address + extension
    return f"{localpart}{extension}@{domain}"
