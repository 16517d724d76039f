"""postlock(1) - runs a command while a mailbox file is locked.

DESCRIPTION
    ``postlock FILE COMMAND...`` locks the file as local(8) does (``mailbox_delivery_lock``, or
    ``-l``), makes it where there is none, runs the command without a shell, and unlocks.

DIAGNOSTICS
    The exit status is the command's; 75 where the file cannot be locked.

CONFIGURATION PARAMETERS
    config_directory, mailbox_delivery_lock, deliver_lock_attempts, deliver_lock_delay,
    stale_lock_time
"""

from __future__ import annotations

from mta.commands.command import EX_TEMPFAIL, Command, command
from mta.lib.mbox import MboxError, mbox_lock_mask, mbox_open, mbox_release
from mta.lib.user_files import UserFiles
from mta.system import Fatal, Wait

_USAGE = "usage: postlock [-c config_dir] [-l lock_style] [-v] folder command..."


@command("postlock")
def postlock(cmd: Command) -> Wait[int]:
    """Locks, runs, unlocks."""
    process = cmd.process
    style = ""
    for letter, argument in cmd.options("c:l:v", _USAGE, EX_TEMPFAIL):
        if letter == "l":
            style = argument
    if len(cmd.args) < 2:
        cmd.fatal(EX_TEMPFAIL, _USAGE)
    folder, *argv = cmd.args
    names = style or process.conf.mailbox_delivery_lock
    user = UserFiles(process.system.files, cmd.user.uid, cmd.user.gid)
    try:
        mask = mbox_lock_mask(process, "mailbox_delivery_lock", names)
        mbox = yield from mbox_open(process, user, folder, mask, "5.2.0")
    except MboxError as error:
        cmd.fatal(EX_TEMPFAIL, f"open file {folder}: {error.dsn.reason}")
    except Fatal:
        return EX_TEMPFAIL
    try:
        result = yield from cmd.run_program(argv)
    finally:
        mbox_release(process, mbox)
    if result is None:
        cmd.fatal(1, f"execvp {argv[0]}: No such file or directory")
    cmd.write(result.output)
    return result.exit
