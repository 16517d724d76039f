"""One address to one address: standard form, canonical tables, masquerading
(cleanup_rewrite, cleanup_map11, cleanup_masquerade).

The functions for the envelope take and give addresses in internal form, those for headers in
external form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mta.cleanup.tables import ENV_FROM, ENV_RCPT
from mta.dict.errors import TableError
from mta.lib.clients import rewrite
from mta.lib.mail_addr_map import mail_addr_map
from mta.lib.maps import Maps
from mta.lib.requests import CLEANUP_FLAG_MAP_OK, CLEANUP_STAT_WRITE, REWRITE_LOCAL
from mta.system import Wait
from mta.util.casefold import casefold, same_text
from mta.wire.quote import quote_822_local, unquote_822_local

if TYPE_CHECKING:
    from mta.cleanup.state import State

_MAX_RECURSION = 10


class Rewritten(NamedTuple):
    """An address, and whether anything happened to it."""

    address: str
    changed: bool


def rewrite_external(state: State, context: str, address: str) -> Wait[str]:
    """The address in standard form (trivial-rewrite(8)).  Frequent ones are remembered, unless
    somebody listens to decisions.
    """
    tables = state.tables
    key = (context, address)
    found = tables.rewritten.get(key)
    if found is None or state.process.system.decisions is not None:
        found = yield from rewrite(state.process, context, address)
        tables.remember(key, found)
    return found


def rewrite_internal(state: State, address: str) -> Wait[str]:
    """An envelope address in standard form.  Incomplete ones are completed as local ones."""
    external = yield from rewrite_external(state, REWRITE_LOCAL, quote_822_local(address))
    return unquote_822_local(external)


def map11_external(state: State, address: str, maps: Maps, propagate: bool) -> Wait[Rewritten]:
    """Looks an address up again and again, until it stays as it is."""
    changed = False
    for _ in range(_MAX_RECURSION):
        try:
            found = yield from mail_addr_map(state.process, maps, address, propagate)
        except TableError:
            state.warn(
                f"{maps.title} map lookup problem for {address} -- "
                "message not accepted, try again later"
            )
            state.errs |= CLEANUP_STAT_WRITE
            return Rewritten(address, changed)
        if found is None:
            return Rewritten(address, changed)
        if len(found) > 1:
            state.warn(f"multi-valued {maps.title} entry for {address}")
        before, address = address, found[0]
        changed |= address != before
        if same_text(before, address, state.tables.utf8):
            return Rewritten(address, changed)
    state.warn(
        f"unreasonable {maps.title} map nesting for {address} -- "
        "message not accepted, try again later"
    )
    return Rewritten(address, changed)


def masquerade_external(state: State, address: str) -> Wait[Rewritten]:
    """Hides a subdomain behind its parent (``masquerade_domains``)."""
    name, at, domain = address.rpartition("@")
    if not at:
        return Rewritten(address, False)
    tables = state.tables
    domain = casefold(domain, tables.utf8)
    if tables.masq_exceptions is not None:
        try:
            if (yield from tables.masq_exceptions.match(name)):
                return Rewritten(address, False)
        except TableError:
            state.process.log.info(
                f"{state.queue_id}: masquerade_exceptions map lookup problem -- "
                "message not accepted, try again later"
            )
            state.errs |= CLEANUP_STAT_WRITE
    for parent, hides in tables.masq_domains:
        if not parent:
            continue
        if domain == parent:
            break
        if domain.endswith(f".{parent}"):
            if hides:
                return Rewritten(f"{name}@{parent}", True)
            break
    return Rewritten(address, False)


def canonical_sender(state: State, address: str) -> Wait[str]:
    """What the tables make of an envelope sender."""
    tables = state.tables
    own = tables.send_canon_maps, tables.send_canon_flags
    return (yield from _canonical(state, address, own, ENV_FROM))


def canonical_recipient(state: State, address: str) -> Wait[str]:
    """What the tables make of an envelope recipient."""
    tables = state.tables
    own = tables.rcpt_canon_maps, tables.rcpt_canon_flags
    return (yield from _canonical(state, address, own, ENV_RCPT))


def _canonical(
    state: State, address: str, own: tuple[Maps | None, int], flag: int
) -> Wait[str]:
    if not state.flags & CLEANUP_FLAG_MAP_OK:
        return address
    tables = state.tables
    for maps, flags in (own, (tables.comm_canon_maps, tables.comm_canon_flags)):
        if maps is not None and flags & flag:
            external = quote_822_local(address)
            mapped = yield from map11_external(state, external, maps, tables.propagate_canonical)
            address = unquote_822_local(mapped.address)
    if tables.masq_domains and tables.masq_flags & flag:
        masked = yield from masquerade_external(state, quote_822_local(address))
        address = unquote_822_local(masked.address)
    return address
