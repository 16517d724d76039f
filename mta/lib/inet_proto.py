"""inet_proto(3) - the address families that ``inet_protocols`` allows."""

from __future__ import annotations

from functools import lru_cache

from mta.util.scalars import split_at_commas

IPV4 = 4
IPV6 = 6
_FAMILIES = {"ipv4": (IPV4,), "ipv6": (IPV6,), "all": (IPV6, IPV4)}


@lru_cache(maxsize=16)
def inet_families(protocols: str) -> tuple[int, ...]:
    """The families of a value of ``inet_protocols``, IPv6 first.  Unknown words count for nothing
    here (they are fatal elsewhere).
    """
    found = {family for word in split_at_commas(protocols) for family in _FAMILIES.get(word, ())}
    return tuple(family for family in (IPV6, IPV4) if family in found)
