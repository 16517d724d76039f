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


class Server:
    """Something that listens at an endpoint of a machine, and can stop and start again."""

    #: Whether a session that waits for input lets the world be idle.
    passive = False

    def __init__(self, machine: PeerMachine, endpoint: Endpoint) -> None:
        self.machine = machine
        self.endpoint = endpoint
        self._stop: Callable[[], None] | None = None

    def start(self) -> None:
        """Listens, unless it does so already.  Raises OSError."""
        if self._stop is None:
            self._stop = self.machine.network.listen(
                self.endpoint, self.serve, passive=self.passive
            )

    def stop(self) -> None:
        """Listens no more; sessions go on."""
        if self._stop is not None:
            self._stop()
            self._stop = None

    def serve(self, stream: Stream) -> Wait[None]:
        """One connection."""
        raise NotImplementedError


class Uses:
    """How often something can still be used, and how often it was."""

    __slots__ = ("left", "used")

    def __init__(self, times: int | None) -> None:
        """``times``: None is always."""
        self.left = times
        self.used = 0

    def take(self) -> bool:
        """Whether it is not used up; counts."""
        if self.left is not None:
            if self.left <= 0:
                return False
            self.left -= 1
        self.used += 1
        return True


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
