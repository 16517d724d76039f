"""canon_addr(3) - addresses in standard form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.lib import clients
from mta.lib.requests import REWRITE_LOCAL
from mta.system import Wait
from mta.wire.quote import quote_822_local, unquote_822_local

if TYPE_CHECKING:
    from mta.master.server import Process


def canon_addr_external(process: Process, address: str) -> Wait[str]:
    """An address in external (quoted) form, rewritten in the local context."""
    return clients.rewrite(process, REWRITE_LOCAL, address)


def canon_addr_internal(process: Process, address: str) -> Wait[str]:
    """The same for an address in internal form."""
    canonical = yield from clients.rewrite(process, REWRITE_LOCAL, quote_822_local(address))
    return unquote_822_local(canonical)
