"""haproxy_srvr(3) - the line with which an haproxy begins a connection (version 1)."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from mta.lib.inet_proto import IPV4, IPV6
from mta.util.scalars import split
from mta.util.valid_hostname import valid_hostport, valid_ipv4_hostaddr, valid_ipv6_hostaddr

#: How long the line may be.
HAPROXY_MAX_LEN = 256 + 2
_MAX_ADDRESS = 45
_MAX_PORT = 5
_MAPPED = "::ffff:"


class HaproxyError(ValueError):
    """A line that is not understood; ``args[0]`` says what is wrong with it."""


class HaproxyEndpoints(NamedTuple):
    """The endpoints of the connection that the proxy has got."""

    client_address: str
    client_port: str
    server_address: str
    server_port: str


def haproxy_srvr_parse(line: str, families: Collection[int]) -> HaproxyEndpoints:
    """The endpoints in ``PROXY TCP4 client server port port``.  ``families`` are those of
    ``inet_protocols``.  Raises HaproxyError.
    """
    words = split(line, " \r\n")
    words += [""] * (6 - len(words))
    if words[0] != "PROXY":
        raise HaproxyError("unexpected protocol header")
    family = {"TCP4": IPV4, "TCP6": IPV6}.get(words[1].upper(), 0)
    if family not in families:
        raise HaproxyError("unsupported protocol type")
    client = _address(words[2], family, families)
    if client is None:
        raise HaproxyError("unexpected client address syntax")
    server = _address(words[3], family, families)
    if server is None:
        raise HaproxyError("unexpected server address syntax")
    for port, who in ((words[4], "client"), (words[5], "server")):
        if len(port) > _MAX_PORT or not valid_hostport(port):
            raise HaproxyError(f"unexpected {who} port syntax")
    return HaproxyEndpoints(client, words[4], server, words[5])


def _address(text: str, family: int, families: Collection[int]) -> str | None:
    if not text or len(text) > _MAX_ADDRESS:
        return None
    if family == IPV4:
        return text if valid_ipv4_hostaddr(text) else None
    if not valid_ipv6_hostaddr(text):
        return None
    if text.lower().startswith(_MAPPED) and IPV4 in families:
        return text[len(_MAPPED) :]
    return text
