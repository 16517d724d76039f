"""mail_addr_map(3) - map an address to a list of addresses with address tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.dict.errors import TableError
from mta.lib.mail_addr_crunch import mail_addr_crunch
from mta.lib.mail_addr_find import AddressMatch, mail_addr_find
from mta.lib.maps import Maps
from mta.system import Wait

if TYPE_CHECKING:
    from mta.master.server import Process


def mail_addr_map(
    process: Process, maps: Maps, address: str, propagate: bool
) -> Wait[list[str] | None]:
    """The addresses (external form) that the tables give for one (internal form); None where they
    know nothing of it.  ``@domain`` as a result keeps the localpart, without its extension where
    that was no part of the key.  With ``propagate`` such an extension is added to each result.

    Raises TableError, also for a result that is no address.
    """
    found = yield from mail_addr_find(process, maps, address)
    if found is None:
        return None
    text = _with_localpart(address, found) if found.value.startswith("@") else found.value
    addresses = yield from mail_addr_crunch(process, text, found.extension if propagate else "")
    if not addresses:
        process.log.warning(f'{maps.title} lookup of {address} returns non-address result "{text}"')
        raise TableError(maps.title)
    return addresses


def _with_localpart(address: str, found: AddressMatch) -> str:
    place = address.rfind("@")
    localpart = address if place < 0 else address[:place]
    if found.extension:
        localpart = localpart[: -len(found.extension)]
    return localpart + found.value
