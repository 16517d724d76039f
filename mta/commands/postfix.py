"""postfix(1) - control of the mail system.

DESCRIPTION
    ``start``, ``stop``, ``abort``, ``reload``, ``flush``, ``check``, ``status``.  Most of what it
    says is said by postfix-script, in whose name it is logged.

DIAGNOSTICS
    ``starting``, ``stopping``, ``aborting``, ``refreshing the Postfix mail system``; ``fatal: the
    Postfix mail system is (not|already) running``.

CONFIGURATION PARAMETERS
    config_directory, queue_directory, syslog_name
"""

from __future__ import annotations

from collections.abc import Callable

from mta.commands.command import Command, CommandLog, Control, command, main_cf_read
from mta.commands.postqueue import flush_queue
from mta.commands.postsuper import check_structure
from mta.lib.log import Log
from mta.system import Wait

_USAGE = "usage: postfix [-c config_dir] [-Dv] command"
_DOWN = "the Postfix mail system is not running"


@command("postfix")
def postfix(cmd: Command) -> Wait[int]:
    """Does one thing to the mail system."""
    log = cmd.process.log
    for _ in cmd.options("c:Dv", _USAGE):
        pass
    if cmd.user.uid:
        log.fatal("the postfix command is reserved for the superuser")
    verb = cmd.args[0] if cmd.args else ""
    if verb == "flush":
        name, process = "postqueue", cmd.process
        cmd.name = name
        tag = f"{process.conf.syslog_name}/{name}"
        process.log = CommandLog(process.system, tag, process.pid, name, cmd.output, quiet=False)
        process.log.conf = process.conf
        main_cf_read(process)
        return (yield from flush_queue(cmd))
    action = _ACTIONS.get(verb)
    script = Log(
        cmd.process.system, f"{cmd.process.conf.syslog_name}/postfix-script", cmd.process.pid
    )
    if action is None:
        script.info(f"error: unknown command: '{verb}'")
        script.info(
            "fatal: usage: postfix start (or stop, reload, abort, flush, check, status, "
            "set-permissions, upgrade-configuration)"
        )
        return 1
    return action(cmd, cmd.control, script)


def _need(control: Control, script: Log) -> bool:
    if not control.running:
        script.info(f"fatal: {_DOWN}")
    return control.running


def _start(cmd: Command, control: Control, script: Log) -> int:
    if control.running:
        script.info("fatal: the Postfix mail system is already running")
        return 1
    script.info("starting the Postfix mail system")
    if control.start():
        return 0
    script.info("fatal: mail system startup failed")
    return 1


def _stop(cmd: Command, control: Control, script: Log) -> int:
    if not _need(control, script):
        return 1
    script.info("stopping the Postfix mail system")
    control.stop()
    return 0


def _abort(cmd: Command, control: Control, script: Log) -> int:
    if not _need(control, script):
        return 1
    script.info("aborting the Postfix mail system")
    control.stop()
    return 0


def _reload(cmd: Command, control: Control, script: Log) -> int:
    if not _need(control, script):
        return 1
    script.info("refreshing the Postfix mail system")
    check_structure(cmd, ("active",))
    control.reload()
    check_structure(cmd, ())
    return 0


def _check(cmd: Command, control: Control, script: Log) -> int:
    check_structure(cmd, ())
    return 0


def _status(cmd: Command, control: Control, script: Log) -> int:
    if not control.running:
        script.info(_DOWN)
        return 1
    script.info(f"the Postfix mail system is running: PID: {cmd.process.master.pid}")
    return 0


_ACTIONS: dict[str, Callable[[Command, Control, Log], int]] = {
    "start": _start,
    "stop": _stop,
    "abort": _abort,
    "reload": _reload,
    "check": _check,
    "status": _status,
}
