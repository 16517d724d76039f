"""Who listens to all wires of a world: what went where, in the clear and under encryption.

A law such as "no word of a message goes in the clear to those hosts" is checked with it:

    tap = Wiretap(world.network)
    ...
    assert not tap.in_clear(b"secret", to="203.0.113.10")

The bytes of a direction of a connection are searched as one text, so that it does not matter how
they were cut into segments.  It listens to connections that are made after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mta.system import Endpoint, Inet
from sim.network import Network, show
from sim.streams import SimStream


@dataclass(slots=True, eq=False)
class Flow:
    """One direction of a connection: who sent it to whom, and what was sent."""

    source: Endpoint
    target: Endpoint
    clear: list[bytes] = field(default_factory=list)  #: bytes that went as they are
    sealed: list[bytes] = field(default_factory=list)  #: text that went encrypted
    cipher: list[bytes] = field(default_factory=list)  #: handshakes and encrypted bytes

    def holds(self, kind: str, text: bytes) -> bool:
        """Whether a text is among the bytes of a kind: ``clear``, ``sealed``, ``cipher``."""
        parts: list[bytes] = getattr(self, kind)
        return text in b"".join(parts)

    def __str__(self) -> str:
        return f"{show(self.source)} to {show(self.target)}"


class Wiretap:
    """All flows of a world, in the order of their first bytes."""

    def __init__(self, network: Network) -> None:
        self.flows: list[Flow] = []
        self._by_side: dict[tuple[int, int], Flow] = {}
        network.tap = self._hear

    def _hear(self, stream: SimStream, kind: str, data: bytes) -> None:
        key = (stream.link.ident, stream.side)
        flow = self._by_side.get(key)
        if flow is None:
            flow = self._by_side[key] = Flow(stream.local, stream.remote)
            self.flows.append(flow)
        getattr(flow, kind).append(data)

    def _find(self, kind: str, text: bytes, to: str) -> Iterator[Flow]:
        for flow in self.flows:
            if (not to or _host(flow.target) == to) and flow.holds(kind, text):
                yield flow

    def in_clear(self, text: bytes, to: str = "") -> list[Flow]:
        """The flows (to a host's address, or to any) on whose wire a text can be read."""
        return [*self._find("clear", text, to), *self._find("cipher", text, to)]

    def sealed(self, text: bytes, to: str = "") -> list[Flow]:
        """The flows in which a text went encrypted."""
        return list(self._find("sealed", text, to))


def _host(endpoint: Endpoint) -> str:
    return endpoint.host if isinstance(endpoint, Inet) else endpoint.path
