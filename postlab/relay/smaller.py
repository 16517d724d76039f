"""The smallest dialogue that relays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from postlab.relay.probes import Probe
from postlab.relay.report import Relayed

_ROUNDS = 8


class Tries(Protocol):
    """Whoever can make attempts."""

    def relaying(self, probes: Sequence[Probe]) -> list[Relayed]:
        """The attempts whose mail arrived."""


def smallest(found: Sequence[Relayed], laboratory: Tries) -> Relayed:
    """Starts with the smallest that was found and leaves out what it can do without."""
    best = min(found, key=lambda relayed: relayed.rank)
    for _ in range(_ROUNDS):
        probes = [p for p in _smaller(best.probe) if p.size < best.probe.size]
        better = [relayed for relayed in laboratory.relaying(probes) if relayed.how == best.how]
        if not better:
            break
        best = min(better, key=lambda relayed: relayed.rank)
    return best


def _smaller(probe: Probe) -> Iterator[Probe]:
    """The same with less, in one place or in several."""
    users = [probe]
    if len(probe.user) > 1 and probe.form != f"recipient {probe.user}@{probe.domain}":
        short = probe.recipient.replace(probe.user, "a", 1)
        users.append(replace(probe, recipient=short, user="a"))
    for one in users:
        for sender in (one.sender, "<>", "<a>"):
            for helo in dict.fromkeys((one.helo, "", "a", "a.test")):
                for name in dict.fromkeys((one.name, "")):
                    yield replace(one, sender=sender, helo=helo, name=name)
