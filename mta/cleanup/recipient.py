"""Recipients: virtual aliases, duplicates, records (cleanup_map1n, cleanup_out_recipient)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.dict.errors import TableError
from mta.lib.been_here import BeenHere
from mta.lib.delivery_status import trace_append
from mta.lib.mail_addr_map import mail_addr_map
from mta.lib.maps import Maps
from mta.lib.recipient import DSN_NOTIFY_NEVER, DSN_NOTIFY_SUCCESS, Recipient
from mta.lib.requests import (
    BOUNCE_FLAG_CLEAN,
    CLEANUP_FLAG_MAP_OK,
    CLEANUP_STAT_DEFER,
    CLEANUP_STAT_WRITE,
)
from mta.system import Wait
from mta.util.casefold import same_text
from mta.wire.dsn import Dsn
from mta.wire.quote import quote_822_local, unquote_822_local
from mta.wire.record import REC_TYPE_ATTR, REC_TYPE_ORCP, REC_TYPE_RCPT
from mta.wire.text import to_bytes

if TYPE_CHECKING:
    from mta.cleanup.state import State

_REASON = "4.6.0 Alias expansion error"


class _Unreasonable(Exception):
    """An expansion is given up: the warning, and the CLEANUP_STAT_* that it means."""


def map1n_internal(state: State, address: str, maps: Maps) -> Wait[list[str]]:
    """All that an address stands for, recursively (``virtual_alias_maps``).

    An address that expands into itself, among others, is kept as it is.  When a limit is exceeded
    or a table fails, the message is not accepted, and the address stands for itself.
    """
    try:
        return (yield from _expand(state, address, maps))
    except _Unreasonable as problem:
        what, status = problem.args
        state.warn(f"{what} -- message not accepted, try again later")
        state.errs |= status
        state.reason = _REASON
        return [address]


def _expand(state: State, address: str, maps: Maps) -> Wait[list[str]]:
    conf = state.process.conf
    utf8 = state.tables.utf8
    propagate = state.tables.propagate_virtual
    found = [address]
    been_here = BeenHere(0, utf8)
    place = 0
    while place < len(found):
        if len(found) > conf.virtual_alias_expansion_limit:
            raise _Unreasonable(
                f"unreasonable {maps.title} map expansion size for {address}", CLEANUP_STAT_DEFER
            )
        count = 0
        while found[place] not in been_here:
            if count >= conf.virtual_alias_recursion_limit:
                raise _Unreasonable(
                    f"unreasonable {maps.title} map nesting for {address}", CLEANUP_STAT_DEFER
                )
            before = found[place]
            try:
                results = yield from mail_addr_map(
                    state.process, maps, quote_822_local(before), propagate
                )
            except TableError:
                raise _Unreasonable(
                    f"{maps.title} map lookup problem for {address}", CLEANUP_STAT_WRITE
                ) from None
            if results is None:
                break
            for index, result in enumerate(results):
                if len(to_bytes(result)) > conf.virtual_alias_address_length_limit:
                    raise _Unreasonable(
                        f"unreasonable {maps.title} result {result[:300]}...", CLEANUP_STAT_DEFER
                    )
                internal = unquote_822_local(result)
                if index == 0:
                    found[place] = internal
                else:
                    found.append(internal)
                if same_text(before, internal, utf8):
                    been_here.add(before)
            count += 1
        place += 1
    return found


def out_recipient(
    state: State, dsn_orcpt: str, dsn_notify: int, orcpt: str, recipient: str
) -> Wait[None]:
    """Writes a recipient, or what virtual aliases make of it, without those that are there already.

    A sender who wanted to know of success hears of the expansion, and of nothing more.
    """
    tables = state.tables
    if not tables.enable_original_recipient:
        orcpt = ""
    maps = tables.virt_alias_maps
    if maps is None or not state.flags & CLEANUP_FLAG_MAP_OK:
        _write(state, dsn_orcpt, dsn_notify, orcpt, recipient)
        return
    expansion = yield from map1n_internal(state, recipient, maps)
    if dsn_notify & DSN_NOTIFY_SUCCESS and (len(expansion) > 1 or expansion[0] != recipient):
        yield from _trace(state, Recipient(recipient, orcpt, dsn_orcpt, dsn_notify))
        dsn_notify = dsn_notify & ~DSN_NOTIFY_SUCCESS or DSN_NOTIFY_NEVER
    for address in expansion:
        _write(state, dsn_orcpt, dsn_notify, orcpt, address)


def _write(state: State, dsn_orcpt: str, dsn_notify: int, orcpt: str, recipient: str) -> None:
    """One recipient's records."""
    if state.tables.enable_original_recipient:
        key = f"{dsn_orcpt}\n{dsn_notify}\n{orcpt}\n{recipient}"
    else:
        key = recipient
    if state.dups.add(key):
        return
    if dsn_notify:
        state.put(REC_TYPE_ATTR, b"notify_flags=%d" % dsn_notify)
    if dsn_orcpt:
        state.put_text(REC_TYPE_ATTR, f"dsn_orig_rcpt={dsn_orcpt}")
    state.put_text(REC_TYPE_ORCP, orcpt)
    state.put_text(REC_TYPE_RCPT, recipient)
    state.rcpt_count += 1


def _trace(state: State, recipient: Recipient) -> Wait[None]:
    """``Action: expanded`` for the trace logfile."""
    state.traced = True
    dsn = Dsn("2.0.0", "alias expanded", "expanded")
    if not (
        yield from trace_append(
            state.process, BOUNCE_FLAG_CLEAN, state.queue_id, state.stats, recipient, "none", dsn
        )
    ):
        state.warn("trace logfile update error")
        state.errs |= CLEANUP_STAT_WRITE
