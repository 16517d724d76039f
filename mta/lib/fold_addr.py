"""fold_addr(3) - case-fold parts of an address."""

from __future__ import annotations

from mta.util.casefold import casefold

FOLD_ADDR_USER = 1 << 0
FOLD_ADDR_HOST = 1 << 1
FOLD_ADDR_ALL = FOLD_ADDR_USER | FOLD_ADDR_HOST


def fold_addr(address: str, flags: int, utf8: bool = True) -> str:
    """The address with its localpart, its domain or both folded.  An address without ``@`` is all
    localpart.  ``utf8`` is the parameter smtputf8_enable.
    """
    localpart, ratsign, domain = address.rpartition("@")
    if not ratsign:
        localpart, domain = address, ""
    if flags & FOLD_ADDR_USER:
        localpart = casefold(localpart, utf8)
    if flags & FOLD_ADDR_HOST:
        domain = casefold(domain, utf8)
    return localpart + ratsign + domain
