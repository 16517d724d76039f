"""``postlab check --relay``: is this mail system an open relay?

The configuration runs in a world in which every name exists and all mail for elsewhere arrives.  A
stranger tries to send mail through it to others: the classical relay tests, a family of forms of
addresses, and all that the configuration's own tables suggest.  An accepted recipient is no proof;
a message that arrives is.  What relays is made as small as it can be.
"""

from __future__ import annotations

from pathlib import Path

from postlab.folder import ConfigFolder
from postlab.relay.probes import Probe, family
from postlab.relay.report import Relayed, RelayReport
from postlab.relay.smaller import smallest
from postlab.relay.targets import Targets
from postlab.relay.world import Laboratory

__all__ = ["Probe", "RelayReport", "Relayed", "prove"]


def prove(folder: ConfigFolder | str | Path, *, seed: int = 0) -> RelayReport:
    """Tries to relay mail through the mail system of a folder.  The same folder and seed give the
    same report.

    Raises FolderError, Unsupported, RunError.
    """
    if not isinstance(folder, ConfigFolder):
        folder = ConfigFolder.load(folder)
    targets = Targets.of(folder)
    laboratory = Laboratory(folder, targets, seed)
    report = RelayReport(folder.shown, assumed=laboratory.assumed)
    if laboratory.start():
        report.ports = laboratory.open_ports()
        probes = [probe for port in report.ports for probe in family(targets, port)]
        report.found = laboratory.relaying(probes)
        if report.found:
            report.smallest = smallest(report.found, laboratory)
    report.not_started, report.dead = laboratory.not_started, laboratory.dead
    report.tried, report.refused = laboratory.tried, laboratory.refused
    report.kept = laboratory.kept()
    report.doubts = laboratory.doubts()
    return report
