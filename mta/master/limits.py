"""How many processes of a program there may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mta.conf.master_cf import MasterEntry
    from mta.master.server import Process

#: Programs of which there is one, and those of which there must be no limit (0).
PROCESS_LIMITS = {
    "anvil": 1,
    "bounce": 0,
    "cleanup": 0,
    "dnsblog": 0,
    "flush": 0,
    "pickup": 1,
    "postscreen": 1,
    "qmgr": 1,
    "scache": 1,
    "tlsmgr": 1,
    "verify": 1,
}


def check_limit(process: Process, entry: MasterEntry) -> None:
    """Whether the process limit of an entry of master.cf suits its program.  Raises Fatal."""
    wanted = PROCESS_LIMITS.get(entry.program)
    if wanted is not None and entry.max_proc != wanted:
        process.log.fatal(f"service {entry.name} requires a process limit of {wanted}")
