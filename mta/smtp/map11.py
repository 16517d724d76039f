"""smtp_map11(3): addresses through ``smtp_generic_maps``, one for one."""

from __future__ import annotations

from mta.dict.errors import TableError
from mta.lib.mail_addr_map import mail_addr_map
from mta.smtp.client import Client
from mta.system import Wait
from mta.wire.quote import quote_822_local, unquote_822_local


def map11_external(client: Client, address: str) -> Wait[str | None]:
    """What the tables make of an address in external form; None where they do not know it.  A
    table that fails is fatal.
    """
    maps = client.generic_maps
    assert maps is not None
    try:
        found = yield from mail_addr_map(client.process, maps, address, client.propagate)
    except TableError:
        client.log.fatal(f"{maps.title} map lookup problem for {address}")
    if found is None:
        return None
    if len(found) > 1:
        client.log.warning(f"multi-valued {maps.title} result for {address}")
    return found[0]


def map11_internal(client: Client, address: str) -> Wait[str]:
    """The same for an address in internal form, which comes back as it was when it is unknown."""
    if not address:
        return address
    found = yield from map11_external(client, quote_822_local(address))
    return address if found is None else unquote_822_local(found)
