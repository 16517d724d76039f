"""postconf(1) - shows and changes the configuration.

DESCRIPTION
    See :mod:`mta.conf.postconf`, which does the work.  Here it meets the machine: the files of the
    configuration, and bounce(8), whose templates ``-b`` and ``-t`` show.

DIAGNOSTICS
    Messages go to the output alone; those of bounce(8) also to the mail log.  Fatal errors end the
    command with status 1.

CONFIGURATION PARAMETERS
    all; config_directory is where it looks
"""

from __future__ import annotations

from mta.bounce.templates import Templates
from mta.commands.command import Command, CommandLog, command
from mta.conf.errors import ConfError
from mta.conf.main_cf import MainCf
from mta.conf.postconf import postconf
from mta.conf.postconf.session import CONFIG_DIRECTORY
from mta.dict.process import absolute_path
from mta.dict.registry import built_in_mapnames
from mta.system import Fatal, Wait
from mta.wire.text import to_bytes, to_text


class _Files:
    """The configuration on the machine's disk."""

    def __init__(self, cmd: Command) -> None:
        self.process = cmd.process
        self.files = cmd.process.system.files

    def read(self, path: str) -> str:
        """The text of a file.  Raises OSError."""
        return to_text(self.files.read(absolute_path(self.process, path)))

    def write(self, path: str, text: str) -> None:
        """Replaces a file, which keeps its owner and mode.  Raises OSError."""
        name = absolute_path(self.process, path)
        old = self.files.stat(name)
        self.files.write(name, to_bytes(text), old.mode, old.uid, old.gid)


@command("postconf")
def run_postconf(cmd: Command) -> Wait[int]:
    """Runs the command."""

    def templates(expand: bool, main: MainCf, overrides: dict[str, str]) -> tuple[int, str]:
        """What bounce(8) shows when it is run in the place of postconf(1)."""
        process = cmd.process.master.new_process("bounce")
        shown: list[str] = []
        tag = process.log.tag
        log = CommandLog(process.system, tag, process.pid, tag, shown, False)
        process.log = log
        conf = process.conf.for_process("bounce", main, overrides, warn=log.warning)
        process.conf = conf
        try:
            conf.check_set()
            found = Templates(process)
            lines = found.expanded() if expand else found.dump()
        except ConfError as error:
            log.info(f"fatal: {error.text}")
            return 1, "".join(shown)
        except Fatal:
            return 1, "".join(shown)
        return 0, "".join([*shown, *(line + "\n" for line in lines)])

    conf = cmd.process.conf
    args = list(cmd.args)
    if conf.config_directory != CONFIG_DIRECTORY:  # as MAIL_CONFIG has it
        args = ["-c", conf.config_directory, *args]
    result = postconf(
        args,
        _Files(cmd),
        conf.host,
        program=cmd.name,
        process_id=cmd.process.pid,
        map_types=built_in_mapnames(cmd.process),
        templates=templates,
    )
    cmd.write(to_text(result.output))
    return result.status
    yield
