"""``postlab check``: every problem of a configuration at once, each with its file and line.

The folder is read as it is.  Nothing of it is run, and nothing is written: the daemons that are
tried out are those of a simulated machine.
"""

from __future__ import annotations

from collections.abc import Callable

from postlab.check.access_rules import check_access
from postlab.check.context import Context
from postlab.check.domain_rules import check_compatibility, check_domains, check_recipients
from postlab.check.findings import Finding, Findings
from postlab.check.main_rules import check_form, check_names, check_values
from postlab.check.master_rules import check_master
from postlab.check.start_rules import check_start
from postlab.check.table_rules import check_tables
from postlab.folder import ConfigFolder

__all__ = ["Finding", "Findings", "check_folder"]

#: The checks, in the order in which they run; the first to tell of a thing has the word.
_CHECKS: tuple[Callable[[Context], None], ...] = (
    check_form,
    check_names,
    check_values,
    check_master,
    check_tables,
    check_access,
    check_domains,
    check_recipients,
    check_compatibility,
    check_start,
)


def check_folder(folder: ConfigFolder) -> Findings:
    """Everything that is wrong in a folder, or worth knowing."""
    found = Findings(folder.shown)
    context = Context(folder, found)
    # What is opened and started is so with what can be read of the configuration.
    context.machine.main = context.sound_main
    for name, why in folder.unreadable.items():
        file = name if name.startswith("/") else f"{folder.shown}/{name}"
        found.add("warning", "unreadable-file", f"cannot be read: {why}", file=file, name=name)
    for check in _CHECKS:
        check(context)
    return found
