"""namadr_list(3), addr_match_list(3) - match a host's name and address against a list."""

from __future__ import annotations

from mta.dict.process import TableProcess
from mta.lib.match_parent_style import match_parent_style
from mta.system import Wait
from mta.util.match_list import Matcher, MatchList
from mta.util.match_ops import match_hostaddr, match_hostname, search_hostaddr, search_hostname

_NAME = Matcher(match_hostname, search_hostname)
_ADDRESS = Matcher(match_hostaddr, search_hostaddr)


class NamadrList(MatchList):
    """A list such as ``mynetworks``: names, domains, addresses, ``net/mask``, ``[ipv6]/mask``,
    files and tables.  ``parent`` as for :class:`mta.lib.domain_list.DomainList`.
    """

    __slots__ = ()

    def __init__(
        self,
        process: TableProcess,
        name: str,
        patterns: str,
        parent: bool | None = None,
        *,
        fatal: bool = False,
    ) -> None:
        if parent is None:
            parent = match_parent_style(process, name)
        super().__init__(process, name, patterns, (_NAME, _ADDRESS), parent, fatal)

    def match(self, name: str, address: str) -> Wait[bool]:
        """Whether the host of that name and address is in the list.  Raises TableError."""
        return self.match_all(name, address)


class AddrMatchList(MatchList):
    """A list of addresses alone, such as ``postscreen_whitelist_interfaces``."""

    __slots__ = ()

    def __init__(
        self, process: TableProcess, name: str, patterns: str, *, fatal: bool = False
    ) -> None:
        super().__init__(process, name, patterns, (_ADDRESS,), fatal=fatal)

    def match(self, address: str) -> Wait[bool]:
        """Whether the address is in the list.  Raises TableError."""
        return self.match_all(address)
