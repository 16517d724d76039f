"""mail_addr_find(3) - look an address up in address tables, most specific form first."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mta.lib.maps import Maps
from mta.lib.resolve_local import resolve_local
from mta.lib.strip_addr import strip_addr
from mta.system import Wait
from mta.util.casefold import same_text

if TYPE_CHECKING:
    from mta.master.server import Process


class AddressMatch(NamedTuple):
    """What a table says of an address, and the extension (with its delimiter) that the key lacked:
    ``""`` where it was part of the key.
    """

    value: str
    extension: str = ""


def mail_addr_find(process: Process, maps: Maps, address: str) -> Wait[AddressMatch | None]:
    """The first result for, in this order: ``user+ext@domain``, ``user@domain``; where the domain
    is ``$myorigin`` or local (``mydestination``, ``inet_interfaces``, ``proxy_interfaces``)
    ``user+ext`` and ``user``; ``@domain``.  The address is in internal form.

    Tables of patterns see only the first of these.  Raises TableError.
    """
    value = yield from maps.find(address)
    if value is not None:
        return AddressMatch(value)
    bare = strip_addr(process, address, process.conf.recipient_delimiter)
    if bare is not None:
        value = yield from maps.find(bare.address, partial=True)
        if value is not None:
            return AddressMatch(value, bare.extension)
    place = address.rfind("@")
    if place < 0:
        return None
    domain = address[place + 1 :]
    if (yield from _is_local(process, domain)):
        value = yield from maps.find(address[:place], partial=True)
        if value is not None:
            return AddressMatch(value)
        if bare is not None:
            value = yield from maps.find(bare.address[: bare.address.rindex("@")], partial=True)
            if value is not None:
                return AddressMatch(value, bare.extension)
    value = yield from maps.find(address[place:], partial=True)
    return None if value is None else AddressMatch(value)


def _is_local(process: Process, domain: str) -> Wait[bool]:
    conf = process.conf
    if same_text(domain, conf.myorigin, bool(conf.smtputf8_enable)):
        return True
    return (yield from resolve_local(process, domain))
