"""postlog(1) - a line for the mail log, from a script.

DESCRIPTION
    Logs its arguments as one line, or each line of standard input, under ``-t TAG`` and with the
    severity of ``-p``: ``info`` (default), ``warn``, ``error``, ``fatal``, ``panic``.

DIAGNOSTICS
    What is wrong with the command line is logged, too; standard error is used on a terminal alone.

CONFIGURATION PARAMETERS
    config_directory, syslog_name
"""

from __future__ import annotations

from mta.commands.command import Command, command
from mta.lib.log import Log
from mta.system import Wait
from mta.wire.text import to_text

_LETTERS = "c:ip:t:v"
_USAGE = "usage: {} [-c config_dir] [-i] [-p priority] [-t tag] [-v] [text]"
#: What a line begins with, by the name of its severity.
_LEVELS = {
    "info": "",
    "warn": "warning: ",
    "warning": "warning: ",
    "error": "error: ",
    "err": "error: ",
    "fatal": "fatal: ",
    "crit": "fatal: ",
    "panic": "panic: ",
}


@command("postlog")
def postlog(cmd: Command) -> Wait[int]:
    """Logs what it is given."""
    process = cmd.process
    level = ""
    for letter, argument in cmd.options(_LETTERS, _USAGE.format(process.log.tag)):
        if letter == "p":
            found = _LEVELS.get(argument.lower())
            if found is None:
                cmd.fatal(1, f'bad severity: "{argument}"')
            level = found
        elif letter == "t":
            process.log.tag = argument
    log = Log(process.system, process.log.tag, process.pid)
    log.conf = process.conf
    if cmd.args:
        log.info(level + " ".join(cmd.args))
    else:
        for line in to_text(cmd.stdin).splitlines():
            log.info(level + line)
    return 0
    yield
