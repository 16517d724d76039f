"""Names and addresses of hosts as getnameinfo(3) and getaddrinfo(3) give them (myaddrinfo(3)).

Sources are ``/etc/hosts`` and then the DNS, as in ``hosts: files dns``.  Failures are the ``EAI_*``
of the GNU library, by name; :data:`GAI_STRERROR` has their texts.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from dnslib import QTYPE

from mta.lib.stub_resolver import (
    NO_RECOVERY,
    NODATA,
    OK,
    TRY_AGAIN,
    DnsReply,
    encode_question,
    stub_resolver,
)
from mta.system import System, Wait
from mta.util.valid_hostname import valid_hostaddr, valid_hostname

EAI_NONAME = "EAI_NONAME"
EAI_AGAIN = "EAI_AGAIN"
EAI_FAIL = "EAI_FAIL"
EAI_NODATA = "EAI_NODATA"

#: gai_strerror(3).
GAI_STRERROR = {
    EAI_NONAME: "Name or service not known",
    EAI_AGAIN: "Temporary failure in name resolution",
    EAI_FAIL: "Non-recoverable failure in name resolution",
    EAI_NODATA: "No address associated with hostname",
}

IPV4 = 4
IPV6 = 6

#: What the library takes for a host name in an answer (res_hnok); others are as good as none.
_HOST_NAME_OK = re.compile(rb"(?!-)[A-Za-z0-9_.-]+")

#: What may be an IPv4 address in an odd form.
_ODD_ADDRESS = re.compile(r"(?:0[xX][0-9A-Fa-f]*|[0-9]+)(?:\.(?:0[xX][0-9A-Fa-f]*|[0-9]+)){0,3}")

_MAX_CHAIN = 16

#: What a machine without /etc/hosts knows.
_DEFAULT_HOSTS = b"127.0.0.1 localhost\n::1 localhost\n"


class LookupLog(Protocol):
    """Where complaints about names go."""

    def warning(self, text: str) -> None:
        """``warning: ...``."""


class LookupProcess(Protocol):
    """What lookups need of a process."""

    system: System
    cache: dict[Any, Any]

    @property
    def log(self) -> LookupLog:
        """The log of the process."""


class ReverseName(NamedTuple):
    """The name of an address, or why there is none (EAI_*)."""

    name: str
    error: str = ""


class Addresses(NamedTuple):
    """The addresses of a name, or why there are none (EAI_*)."""

    addresses: list[str]
    error: str = ""


def reverse_name(process: LookupProcess, addr: str) -> Wait[ReverseName]:
    """The name of a numeric address (getnameinfo(3) with NI_NAMEREQD, sockaddr_to_hostname(3)).

    Names that are no host names are as good as none; the log says so.
    """
    name = _hosts_name(process.system, addr)
    if name is None:
        name, error = yield from _dns_name(process, addr)
        if error:
            return ReverseName("", error)
    if valid_hostaddr(name):
        process.log.warning(f"numeric hostname: {name}")
        return ReverseName("", EAI_NONAME)
    verdict = valid_hostname(name)
    if not verdict:
        process.log.warning(verdict.reason)
        return ReverseName("", EAI_NONAME)
    return ReverseName(name)


def forward_addresses(process: LookupProcess, name: str, family: int = 0) -> Wait[Addresses]:
    """The addresses of a name (getaddrinfo(3)), IPv6 before IPv4 where ``family`` is 0.

    ``family`` is IPV4, IPV6 or 0 for both.  A numeric name is its own address.
    """
    if valid_hostaddr(name):
        wanted = IPV6 if ":" in name else IPV4
        return Addresses([name]) if family in (0, wanted) else Addresses([], EAI_NONAME)
    odd = _inet_aton(name)
    if odd is not None:
        return Addresses([odd]) if family in (0, IPV4) else Addresses([], EAI_NONAME)
    found = _hosts_addresses(process.system, name, family)
    if found:
        return Addresses(found)
    if encode_question(name, QTYPE.A) is None:
        return Addresses([], EAI_NONAME)
    failures: list[str] = []
    for kind, rrtype in ((IPV6, QTYPE.AAAA), (IPV4, QTYPE.A)):
        if family in (0, kind):
            reply = yield from stub_resolver(process).query(name, rrtype)
            if reply.status == OK:
                found += [str(rr.rdata) for rr in _answers(reply, name, rrtype)]
            status = NODATA if reply.status == OK and not found else reply.status
            failures.append(status)
    return Addresses(found) if found else Addresses([], _eai(failures))


def _inet_aton(text: str) -> str | None:
    """An IPv4 address in one of its odd forms (``127.1``, ``0x7f000001``), inet_aton(3)."""
    if not _ODD_ADDRESS.fullmatch(text):
        return None
    parts = text.split(".")
    number = 0
    for place, part in enumerate(parts):
        base = 16 if part[:2].lower() == "0x" else 8 if part[0] == "0" else 10
        try:
            value = int(part, base) if part[:2].lower() != "0x" or len(part) > 2 else 0
        except ValueError:
            return None
        last = place + 1 == len(parts)
        limit = 1 << (8 * (4 - place)) if last else 256
        if value >= limit:
            return None
        number += value if last else value << (24 - 8 * place)
    return str(ipaddress.IPv4Address(number))


def _eai(failures: list[str]) -> str:
    """The one error for the failures of all families."""
    if all(failure == TRY_AGAIN for failure in failures):
        return EAI_AGAIN
    if all(failure in (TRY_AGAIN, NODATA) for failure in failures):
        return EAI_NODATA
    return EAI_FAIL if all(failure == NO_RECOVERY for failure in failures) else EAI_NONAME


def _dns_name(process: LookupProcess, addr: str) -> Wait[tuple[str, str]]:
    pointer = _pointer(addr)
    reply = yield from stub_resolver(process).query(pointer, QTYPE.PTR)
    if reply.status == TRY_AGAIN:
        return "", EAI_AGAIN
    if reply.status == OK:
        for rr in _answers(reply, pointer, QTYPE.PTR):
            labels: tuple[bytes, ...] = rr.rdata.label.label
            if _HOST_NAME_OK.fullmatch(b".".join(labels)):
                return b".".join(labels).decode("ascii"), ""
    return "", EAI_NONAME


def _answers(reply: DnsReply, name: str, rrtype: int) -> Iterator[Any]:
    """The records of a type for a name, through CNAMEs."""
    wanted = name.rstrip(".").lower()
    for _ in range(_MAX_CHAIN):
        alias = ""
        for rr in reply.answers:
            if str(rr.rname).rstrip(".").lower() == wanted:
                if rr.rtype == rrtype:
                    yield rr
                elif rr.rtype == QTYPE.CNAME:
                    alias = str(rr.rdata.label).rstrip(".").lower()
        if not alias:
            return
        wanted = alias


# -- /etc/hosts -----------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _pointer(addr: str) -> str:
    """The name under which the DNS knows the address."""
    return ipaddress.ip_address(addr).reverse_pointer


@lru_cache(maxsize=1024)
def _parsed(addr: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address, or None for what is none."""
    try:
        return ipaddress.ip_address(addr)
    except ValueError:
        return None


def same_address(left: str, right: str) -> bool:
    """Whether two numeric addresses are the same, however they are written."""
    return left == right or _parsed(left) == _parsed(right) is not None


def _hosts(system: System) -> list[list[str]]:
    """The entries of /etc/hosts: an address and its names."""
    try:
        data = system.files.read("/etc/hosts")
    except OSError:
        data = _DEFAULT_HOSTS
    return _parse_hosts(bytes(data))


@lru_cache(maxsize=16)
def _parse_hosts(data: bytes) -> list[list[str]]:
    lines = data.decode("utf-8", "surrogateescape").splitlines()
    entries = [line.partition("#")[0].split() for line in lines]
    return [words for words in entries if len(words) > 1]


def _hosts_name(system: System, addr: str) -> str | None:
    wanted = _parsed(addr)
    for entry, name, *_ in _hosts(system):
        if _parsed(entry) == wanted:
            return name
    return None


def _hosts_addresses(system: System, name: str, family: int) -> list[str]:
    wanted = name.lower()
    found: dict[str, None] = {}
    for entry, *names in _hosts(system):
        if wanted in (word.lower() for word in names):
            kind = IPV6 if ":" in entry else IPV4
            if family in (0, kind):
                found[entry] = None
    return list(found)
