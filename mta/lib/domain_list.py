"""domain_list(3) - match a host or domain name against a list: domains, files, tables."""

from __future__ import annotations

from mta.dict.process import TableProcess
from mta.lib.match_parent_style import match_parent_style
from mta.system import Wait
from mta.util.match_list import Matcher, MatchList
from mta.util.match_ops import match_hostname, search_hostname

_DOMAIN = (Matcher(match_hostname, search_hostname),)


class DomainList(MatchList):
    """A list such as ``relay_domains``.  ``parent``: a domain matches its subdomains too; where it
    is not given, ``parent_domain_matches_subdomains`` decides by the list's name.
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
        super().__init__(process, name, patterns, _DOMAIN, parent, fatal)

    def match(self, name: str) -> Wait[bool]:
        """Whether the name is in the list.  Raises TableError."""
        return self.match_all(name)
