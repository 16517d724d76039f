"""What peers need of the machine that they run on, and where they listen.

The machine is one of :mod:`sim.world`; only what is here is used of it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from mta.system import Endpoint, Inet, Leaf, Stream, Unix, Wait

StreamHandler = Callable[[Stream], Wait[None]]

#: Gets the packet, who sent it, and a function that sends one back (at once or later).
DatagramHandler = Callable[[bytes, Inet, Callable[[bytes], None]], None]


class PeerNetwork(Protocol):
    """The network as a peer sees it."""

    def connect(self, remote: Endpoint, timeout: float, source: str = "") -> Leaf:
        """As in mta.system.Network."""

    def listen(
        self, endpoint: Endpoint, handler: StreamHandler, *, passive: bool = False
    ) -> Callable[[], None]:
        """As in mta.system.Network.  While a task of a passive listener waits for input, it does
        not keep the world from being idle.
        """

    def listen_datagrams(self, endpoint: Inet, handler: DatagramHandler) -> Callable[[], None]:
        """Serves each datagram to the endpoint; returns what ends this."""


class PeerMachine(Protocol):
    """A machine as a peer sees it."""

    @property
    def network(self) -> PeerNetwork:
        """Its network."""

    def now(self) -> int:
        """Microseconds since the epoch."""

    def sleep(self, seconds: float) -> Leaf:
        """Leaf: waits."""


def parse_endpoint(text: str, queue_directory: str = "/var/spool/postfix") -> Endpoint:
    """An endpoint as configurations write it: ``inet:host:port``, ``unix:path``.

    Paths are relative to the queue directory.  Raises ValueError.
    """
    kind, _, rest = text.partition(":")
    if kind in ("unix", "local") and rest:
        return Unix(rest if rest.startswith("/") else f"{queue_directory}/{rest}")
    host, colon, port = rest.rpartition(":")
    if kind != "inet" or not colon or not port.isdecimal():
        raise ValueError(f"{text!r} is neither inet:host:port nor unix:path")
    host = host.strip("[]")
    if host == "localhost":
        host = "127.0.0.1"
    elif host:
        host = str(ipaddress.ip_address(host))
    return Inet(host, int(port))


def matches(when: Mapping[str, str], facts: Mapping[str, Any]) -> bool:
    """Whether all conditions of a rule hold: each names a fact and its whole text."""
    return all(str(facts.get(key)) == str(value) for key, value in when.items())
