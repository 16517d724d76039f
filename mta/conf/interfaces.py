"""Addresses of this host: ``inet_protocols``, ``inet_interfaces``, ``mynetworks`` (own_inet_addr,
inet_proto, mynetworks).
"""

from __future__ import annotations

from ipaddress import IPv4Address, ip_network
from typing import TYPE_CHECKING

from mta.conf.errors import ConfError
from mta.conf.host import is_loopback
from mta.system import Interface
from mta.util.name_mask import NameMaskError, name_mask
from mta.util.scalars import split
from mta.util.valid_hostname import valid_hostaddr

if TYPE_CHECKING:
    from mta.conf.conf import Conf

_PROTOCOLS = {"all": 3, "ipv6": 2, "ipv4": 1}
_STYLES = {"class": 1, "subnet": 2, "host": 4}
_LIST = " \t,"


def protocols(conf: Conf) -> tuple[int, ...]:
    """The IP versions of ``inet_protocols``."""
    try:
        mask = name_mask("inet_protocols", _PROTOCOLS, conf.inet_protocols)
    except NameMaskError as error:
        raise ConfError(error.args[0]) from None
    return tuple(version for version, bit in ((4, 1), (6, 2)) if mask & bit)


def version_of(address: str) -> int:
    """The IP version of a numeric address."""
    return 6 if ":" in address else 4


def local_interfaces(conf: Conf) -> tuple[Interface, ...]:
    """All interfaces of the host with the IP versions in use, IPv4 first."""
    return tuple(
        interface
        for version in conf.protocols
        for interface in conf.host.interfaces
        if version_of(interface.address) == version
    )


def addresses_of(conf: Conf, name: str) -> list[str]:
    """The addresses of a host, or of a numeric address, perhaps in brackets."""
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    found = [name] if valid_hostaddr(name) else conf.host.addresses(name)
    return [address for address in found if version_of(address) in conf.protocols]


def own_interfaces(conf: Conf) -> tuple[Interface, ...]:
    """The addresses of ``inet_interfaces`` with their prefix lengths."""
    if not conf.protocols:
        return ()
    wanted = conf.inet_interfaces
    local = local_interfaces(conf)
    if wanted in ("all", "loopback-only") and not local:
        raise ConfError("could not find any active network interfaces")
    if wanted == "all":
        return local
    if wanted == "loopback-only":
        return tuple(i for i in local if is_loopback(i.address))
    found = {}
    for host in split(wanted, _LIST):
        addresses = addresses_of(conf, host)
        if not addresses:
            raise ConfError(f"config variable inet_interfaces: host not found: {host}")
        found.update(dict.fromkeys(addresses))
    known = {i.address: i for i in reversed(local)}
    for address in found:
        if address not in known:
            raise ConfError(f"parameter inet_interfaces: no local interface found for {address}")
    return tuple(known[address] for address in found)


def proxy_addresses(conf: Conf) -> tuple[str, ...]:
    """The addresses of ``proxy_interfaces``."""
    found = {}
    for host in split(conf.proxy_interfaces, _LIST):
        addresses = addresses_of(conf, host)
        if not addresses:
            raise ConfError(f"config variable proxy_interfaces: host not found: {host}")
        found.update(dict.fromkeys(addresses))
    return tuple(found)


def mynetworks(conf: Conf, style: str) -> str:
    """The networks of this host, by a ``mynetworks_style``."""
    if not conf.protocols:
        return ""
    try:
        mask = name_mask("mynetworks mask style", _STYLES, style)
    except NameMaskError as error:
        raise ConfError(error.args[0]) from None
    if mask.bit_count() != 1:
        raise ConfError(f"bad mynetworks_style value: {style}; specify exactly one value")
    networks = dict.fromkeys(_network(interface, mask) for interface in conf.own_interfaces)
    return "".join(network + " " for network in networks)


def _network(interface: Interface, style: int) -> str:
    """The network of an interface."""
    address, prefix = interface
    if version_of(address) == 6:
        bits = 128 if style == 4 else prefix
        network = ip_network(f"{address}/{bits}", strict=False)
        return f"[{network.network_address}]/{bits}"
    bits = 32 if style == 4 else prefix
    if style == 1:
        bits = _class_bits(address)
    return str(ip_network(f"{address}/{bits}", strict=False))


def _class_bits(address: str) -> int:
    """The natural network mask of an address."""
    first = int(IPv4Address(address)) >> 24
    for limit, bits in ((128, 8), (192, 16), (224, 24), (240, 4)):
        if first < limit:
            return bits
    raise ConfError(f"mynetworks_core: unknown address class: {address}")
