"""Names and addresses of hosts, and lists of them."""

from __future__ import annotations

import ipaddress
import re

from mta.dict.errors import TableError
from mta.lib.host_lookup import GAI_STRERROR, IPV4, IPV6, forward_addresses, reverse_name
from mta.lib.namadr_list import NamadrList
from mta.lib.resolve_local import resolve_local
from mta.master.server import Process
from mta.system import Fatal
from mta.util.host_port import HostPortError, host_port
from mta.util.ip_match import IpMatchError, IpPattern, ip_match_parse
from mta.util.valid_hostname import valid_hostaddr, valid_hostname
from tests.vectors.drivers.config import NOBODY, warning
from tests.vectors.shell import Exit, Io, program
from tests.vectors.site import Site, site_of

#: The numbers of the families on the reference machine.
_FAMILY = {4: 2, 6: 10}


@program("valid_hostname")
def run_valid_hostname(io: Io) -> None:
    """What the checks for a name and for an address complain of."""
    log = site_of(io).process(io, utf8=False).log
    for line in io.lines():
        log.info(f'testing: "{line}"')
        for verdict in (valid_hostname(line), valid_hostaddr(line)):
            if not verdict:
                log.warning(verdict.reason)


@program("host_port")
def run_host_port(io: Io) -> None:
    """Host and port."""
    for line in io.lines():
        io.line(f">> {line}")
        if line.startswith("#"):
            continue
        try:
            host, port = host_port(line, None, "default-service")
        except HostPortError as error:
            warning(io, f"{error} in {line}")
        else:
            io.line(f"host {host} port {port}")


@program("ip_match")
def run_ip_match(io: Io) -> None:
    """A pattern, and addresses."""
    pattern: IpPattern | None = None
    for line in io.lines():
        io.line(f"> {line}")
        if line.startswith("#"):
            continue
        words = re.split(r"[ \t]+", line.strip(" \t"))
        if not words[0]:
            continue
        try:
            pattern = ip_match_parse(words[0])
            io.line(f"Code: {pattern}")
        except IpMatchError as error:
            io.line(f"Error: {error.args[0]}")
        for word in words[1:]:
            try:
                ipaddress.IPv4Address(word)
            except ValueError:
                io.line(f"bad address syntax: {word}")
            else:
                found = pattern is not None and pattern.matches(word)
                io.line(f"Match {word}: {'yes' if found else 'no'}")


def addresses(site: Site, process: Process, name: str) -> tuple[list[str], str]:
    """The addresses of a name, IPv4 first, and why there are none."""
    found = site.run(forward_addresses(process, name))
    ordered = sorted(found.addresses, key=lambda address: ":" in address)
    return ordered, GAI_STRERROR[found.error] if found.error else ""


@program("inet_addr_list")
def run_inet_addr_list(io: Io) -> None:
    """Addresses, and without doubles in order."""
    site = site_of(io)
    process = site.process(io, name=NOBODY)
    listed: list[str] = []
    for name in io.args:
        found, why = addresses(site, process, name)
        if why:
            io.message(f"fatal: host not found: {name}", NOBODY)
            raise Exit(1)
        listed += found
    process.log.info("list before sort/uniq")
    for address in listed:
        process.log.info(address)
    process.log.info("list after sort/uniq")
    unique = {ipaddress.ip_address(address) for address in listed}
    for one in sorted(unique, key=lambda a: (a.version, a.packed)):
        process.log.info(str(one))


@program("myaddrinfo")
def run_myaddrinfo(io: Io) -> None:
    """A name to addresses to names, an address to a name."""
    site = site_of(io)
    process = site.process(io)
    log = process.log
    protocols, name, address = io.args
    log.info(f"=== hostname {name} ===")
    wanted = [number for number in (4, 6) if protocols in ("all", f"ipv{number}")]
    family = 0 if len(wanted) == 2 else {4: IPV4, 6: IPV6}[wanted[0]]
    found = site.run(forward_addresses(process, name, family))
    if found.error:
        log.info(f"hostname_to_sockaddr({name}): {GAI_STRERROR[found.error]}")
    for one in sorted(found.addresses, key=lambda a: ":" in a):
        _back(site, process, name, one)
    log.info(f"=== host address {address} ===")
    if valid_hostaddr(address):
        _back(site, process, address, address)
    else:
        log.info(f"hostaddr_to_sockaddr({address}): Name or service not known")


def _back(site: Site, process: Process, name: str, address: str) -> None:
    family = _FAMILY[6 if ":" in address else 4]
    process.log.info(f"{name} -> family={family} sock=1 proto=6 {address}")
    found = site.run(reverse_name(process, address))
    if found.error:
        process.log.info(f"sockaddr_to_hostname: {GAI_STRERROR[found.error]}")
    else:
        process.log.info(f"{address} -> {found.name}")


@program("namadr_list")
def run_namadr_list(io: Io) -> None:
    """Whether a host is in a list."""
    site = site_of(io)
    patterns, name, address = io.args
    process = site.process(io)
    try:
        found = site.run(NamadrList(process, "command line", patterns, True).match(name, address))
        answer = "YES" if found else "NO"
    except TableError:
        answer = "ERROR"
    except Fatal:
        raise Exit(1) from None
    io.line(f"{name}/{address}: {answer}")


@program("resolve_local")
def run_resolve_local(io: Io) -> None:
    """Whether a domain is local."""
    site = site_of(io)
    destinations, domain = io.args
    process = site.process(io, {"mydestination": destinations}, name=NOBODY, utf8=False)
    try:
        found = site.run(resolve_local(process, domain))
        answer = "YES" if found else "NO"
    except TableError:
        answer = "ERROR"
    io.line(f"mydestination={destinations} destination={domain} {answer}")
