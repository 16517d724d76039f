"""Whether a domain is delivered here (resolve_local(3), ``mydestination``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mta.lib.own_inet_addr import is_own_address
from mta.lib.string_list import StringList
from mta.system import Wait
from mta.util.valid_hostname import valid_mailhost_addr

if TYPE_CHECKING:
    from mta.master.server import Process


def own_domains(process: Process) -> StringList:
    """The list ``mydestination``, opened once per process."""
    names = process.cache.get("mydestination")
    if names is None:
        names = StringList(process, "mydestination", process.conf.mydestination)
        process.cache["mydestination"] = names
    return cast(StringList, names)


def resolve_local(process: Process, domain: str) -> Wait[bool]:
    """Whether the domain is in ``mydestination``, or an address literal of ours.
    Raises TableError.
    """
    if domain.endswith("."):
        domain = domain[:-1]
    if not domain or domain.endswith("."):
        return False
    if (yield from own_domains(process).match(domain)):
        return True
    if domain[0] == "[" and domain[-1] == "]":
        address, verdict = valid_mailhost_addr(domain[1:-1])
        if not verdict:
            process.log.warning(verdict.reason)
        return address is not None and is_own_address(process, address)
    return False
