"""What the attempts showed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from postlab.relay.probes import Probe

_HOW = {
    "direct": "the message arrived",
    "routed": "the message went to the next host, which is told in the local part to hand it on",
}
_FEW = 12


@dataclass(frozen=True, slots=True)
class Relayed:
    """An attempt that succeeded."""

    probe: Probe
    transcript: list[str]
    arrived: str  #: the recipients, as the server elsewhere saw them
    how: str  #: ``direct``, or ``routed``: another host is asked to hand it on

    @property
    def rank(self) -> tuple[bool, tuple[int, int, int]]:
        """Small is best; what arrives is better than what another must hand on."""
        return self.how != "direct", self.probe.size

    def as_data(self) -> dict[str, Any]:
        """For programs."""
        return {
            "form": self.probe.form,
            "port": self.probe.port,
            "client_name": self.probe.name,
            "commands": self.probe.commands,
            "arrived": self.arrived,
            "how": self.how,
            "transcript": self.transcript,
        }


@dataclass
class RelayReport:
    """The result of :func:`postlab.relay.prove`."""

    folder: str
    tried: int = 0
    refused: int = 0  #: attempts whose message was not accepted
    ports: list[int] = field(default_factory=list)
    found: list[Relayed] = field(default_factory=list)
    smallest: Relayed | None = None
    kept: list[str] = field(default_factory=list)  #: accepted for elsewhere, and still in the queue
    assumed: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    dead: dict[int, str] = field(default_factory=dict)  #: ports where no server starts, and why
    not_started: list[str] = field(default_factory=list)  #: why the mail system does not run

    @property
    def relays(self) -> bool:
        """Whether mail of a stranger got through."""
        return bool(self.found)

    @property
    def proven(self) -> bool:
        """Whether the attempts say anything: the mail system runs, and somebody can talk to it."""
        return not self.not_started and self.tried > 0

    def as_data(self) -> dict[str, Any]:
        """For programs."""
        return {
            "folder": self.folder,
            "relays": self.relays,
            "proven": self.proven,
            "tried": self.tried,
            "refused": self.refused,
            "ports": self.ports,
            "smallest": None if self.smallest is None else self.smallest.as_data(),
            "found": [relayed.as_data() for relayed in self.found],
            "kept": self.kept,
            "assumed": self.assumed,
            "doubts": self.doubts,
            "dead": {str(port): why for port, why in self.dead.items()},
            "not_started": self.not_started,
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        if self.not_started:
            yield f"{self.folder}: the mail system does not start, so nothing could be tried:"
            yield from (f"  {line}" for line in self.not_started)
            return
        ports = ", ".join(map(str, self.ports)) or "no port"
        if not self.tried:
            yield f"{self.folder}: nothing was tried: no SMTP server listens for strangers"
        elif self.smallest is None:
            yield f"{self.folder}: no relay: none of {self.tried} attempts got through ({ports})"
        else:
            yield (
                f"{self.folder}: OPEN RELAY: {len(self.found)} of {self.tried} attempts got"
                f" through ({ports})"
            )
            yield from self._found(self.smallest)
        yield from (f"  accepted, and kept in the queue: {line}" for line in self.kept)
        for port, why in self.dead.items():
            yield f"  port {port} was not tried: no server starts there: {why}"
        yield from (f"  assumed: {line}" for line in self.assumed)
        yield from (f"  do not trust this: {line}" for line in self.doubts)

    def _found(self, smallest: Relayed) -> Iterator[str]:
        called = smallest.probe.name
        port = smallest.probe.port
        yield f"The smallest dialogue that relays (port {port}): {smallest.probe.form}"
        if called:
            yield f"  (the stranger's address is called {called} in the DNS)"
        yield from (f"  {line}" for line in smallest.transcript)
        yield f"  {_HOW[smallest.how]}: {smallest.arrived}"
        forms = list(dict.fromkeys(relayed.probe.form for relayed in self.found))
        yield f"What got through: {'; '.join(forms[:_FEW])}" + (
            f"; and {len(forms) - _FEW} more" if len(forms) > _FEW else ""
        )
