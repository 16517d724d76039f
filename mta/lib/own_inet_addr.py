"""The addresses that this mail system receives mail on (own_inet_addr(3), inet_interfaces)."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mta.master.server import Process


def is_own_address(process: Process, address: str) -> bool:
    """Whether a numeric address is ours or our proxy's (own_inet_addr, proxy_inet_addr)."""
    own: frozenset[str] | None = process.cache.get("own_inet_addr")
    if own is None:
        conf = process.conf
        own = frozenset(map(_canonical, (*conf.own_addresses, *conf.proxy_addresses)))
        process.cache["own_inet_addr"] = own
    try:
        return _canonical(address) in own
    except ValueError:
        return False


@lru_cache(maxsize=4096)
def _canonical(address: str) -> str:
    """The usual text of a numeric address.  Raises ValueError."""
    return str(ipaddress.ip_address(address))
