"""The request that dnsblog(8) answers."""

from __future__ import annotations

from typing import NamedTuple


class DnsblogRequest(NamedTuple):
    """Whether a list (a domain) has an address.  The reply is a list of what it answers."""

    domain: str
    address: str
