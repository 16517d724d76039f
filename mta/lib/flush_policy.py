"""Which destinations the fast flush service knows (``fast_flush_domains``, flush_clnt(3))."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mta.lib.domain_list import DomainList
from mta.system import Wait

if TYPE_CHECKING:
    from mta.master.server import Process


def flush_domains(process: Process) -> DomainList:
    """The list, opened once per process."""
    domains = process.cache.get("fast_flush_domains")
    if domains is None:
        domains = DomainList(process, "fast_flush_domains", process.conf.fast_flush_domains)
        process.cache["fast_flush_domains"] = domains
    return cast(DomainList, domains)


def flush_site_allowed(process: Process, site: str) -> Wait[bool]:
    """Whether the site is in ``fast_flush_domains``.  Raises TableError."""
    return (yield from flush_domains(process).match(site))
