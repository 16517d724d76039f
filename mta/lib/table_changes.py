"""A process ends when a table that it has read has changed on disk, and a new one begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.dict.registry import dict_changed_name

if TYPE_CHECKING:
    from mta.master.server import Process


def must_begin_anew(process: Process) -> bool:
    """Whether a table has changed.  Says so in the log, and forgets what the process has opened;
    the caller makes anew what it keeps itself.
    """
    changed = dict_changed_name(process)
    if changed is None:
        return False
    process.log.info(f"table {changed} has changed -- restarting")
    process.cache.clear()
    return True
