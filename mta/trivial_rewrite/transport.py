"""Lookups in ``transport_maps`` (transport.c, transport(5))."""

from __future__ import annotations

from typing import NamedTuple

from mta.dict.errors import TableError
from mta.dict.flags import ADDRESS_FLAGS, DICT_FLAG_NO_REGSUB
from mta.lib.maps import Maps
from mta.lib.match_parent_style import match_parent_style
from mta.lib.strip_addr import strip_addr
from mta.master.server import Process
from mta.system import Wait

#: How long the wild-card entry is remembered, in microseconds.
_WILDCARD_TTL = 30 * 1_000_000


class Route(NamedTuple):
    """A transport and a next hop."""

    channel: str
    nexthop: str


class TransportMaps:
    """The tables, and what their ``*`` entry says."""

    def __init__(self, process: Process, title: str, spec: str) -> None:
        self.process = process
        self.title = title
        self.maps = Maps(process, title, spec, ADDRESS_FLAGS | DICT_FLAG_NO_REGSUB)
        self._parent = match_parent_style(process, "transport_maps")
        self._wildcard: tuple[str, str] | None = None
        self._expire = -1

    def prime(self) -> Wait[None]:
        """Asks for the wild-card entry, as a process does when it starts.
        A failure has been logged.
        """
        try:
            yield from self._wild()
        except TableError:
            pass

    def lookup(self, address: str, domain: str, route: Route) -> Wait[Route | None]:
        """The route for an address after the tables, or None where they say nothing.
        Raises TableError.
        """
        found = yield from self._entry(address, False)
        if found is None:
            stripped = strip_addr(self.process, address, self.process.conf.recipient_delimiter)
            if stripped is not None:
                found = yield from self._entry(stripped.address, True)
        if found is None:
            found = yield from self._by_domain(address.rpartition("@")[2])
        if found is None:
            found = yield from self._wild()
        return None if found is None else _update(route, found, domain)

    def _entry(self, key: str, partial: bool) -> Wait[tuple[str, str] | None]:
        value = yield from self.maps.find(key, partial=partial)
        if value is None:
            return None
        channel, _, nexthop = value.partition(":")
        return channel, nexthop

    def _by_domain(self, domain: str) -> Wait[tuple[str, str] | None]:
        name = domain
        while name:
            found = yield from self._entry(name, True)
            if found is not None:
                return found
            dot = name.find(".", 1)
            if dot < 0:
                return None
            name = name[dot + 1 :] if self._parent else name[dot:]
        return None

    def _wild(self) -> Wait[tuple[str, str] | None]:
        now = self.process.now()
        if now > self._expire:
            self._wildcard = None
            self._expire = -1
            self._wildcard = yield from self._entry("*", False)
            self._expire = now + _WILDCARD_TTL
        return self._wildcard


def _update(route: Route, found: tuple[str, str], domain: str) -> Route:
    """``:nexthop`` keeps the channel; ``channel:`` resets the next hop to the domain."""
    channel, nexthop = found
    if not channel:
        return Route(route.channel, nexthop or route.nexthop)
    if nexthop:
        return Route(channel, nexthop)
    if channel in ("error", "retry"):
        return Route(channel, "Address is undeliverable")
    return Route(channel, domain)
