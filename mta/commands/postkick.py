"""postkick(1) - wakes a service of the mail system.

DESCRIPTION
    ``postkick CLASS SERVICE REQUEST`` sends request bytes to a service that takes triggers: qmgr(8)
    and pickup(8) (class ``public``).  What the bytes mean is up to the service.

DIAGNOSTICS
    Exit status 1 where there is no such service, or the mail system is down.

CONFIGURATION PARAMETERS
    config_directory, queue_directory, application_event_drain_time
"""

from __future__ import annotations

from mta.commands.command import Command, command
from mta.conf.master_cf import MasterEntry
from mta.system import Wait
from mta.wire.text import to_bytes

_USAGE = "usage: postkick [-c config_dir] [-v] class service request"
#: Programs that are woken by triggers; all others wait for requests of another form.
_TRIGGERED = frozenset({"qmgr", "nqmgr", "pickup"})


@command("postkick")
def postkick(cmd: Command) -> Wait[int]:
    """Sends the request and does not wait for what comes of it."""
    for _ in cmd.options("c:v", _USAGE):
        pass
    if len(cmd.args) != 3:
        cmd.fatal(1, _USAGE)
    where, name, request = cmd.args
    process = cmd.process
    service = process.master.services.get(name)
    entry = service.entry if service is not None else None
    if entry is None or _class(entry) != where:
        process.log.warning(f"unable to look up {where}/{name}: No such file or directory")
    elif process.master.running:
        if entry.program in _TRIGGERED:
            process.trigger(name, to_bytes(request))
        else:
            process.log.warning(f"not implemented: a trigger for {entry.program}(8)")
        return 0
    process.log.warning(
        f"Cannot contact class {where} service {name} - perhaps the mail system is down"
    )
    return 1
    yield


def _class(entry: MasterEntry) -> str:
    """The directory of a service's socket."""
    return "private" if entry.private else "public"
