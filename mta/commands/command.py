"""What the administrator's and users' commands have in common: arguments, output, exit status.

A command is a function registered with :func:`command`; it gets a :class:`Command`, which is the
process together with its standard input and output.  Messages go to the mail log and, with the
command's name in front, to the output (msg_vstream and msg_syslog).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from mta.commands.result import CommandResult
from mta.lib.log import Log, printable
from mta.master.server import Process
from mta.system import Account, Fatal, System, Wait

EX_OK = 0
EX_USAGE = 64
EX_DATAERR = 65
EX_NOUSER = 67
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_OSERR = 71
EX_TEMPFAIL = 75
EX_NOPERM = 77


class Exit(Exception):
    """The command ends with the status ``args[0]``."""


class CommandLog(Log):
    """A log that also writes to the command's output.  ``quiet`` leaves the mail log out."""

    __slots__ = ("name", "output", "quiet")

    def __init__(
        self, system: System, tag: str, pid: int, name: str, output: list[str], quiet: bool
    ) -> None:
        super().__init__(system, tag, pid)
        self.name = name
        self.output = output
        self.quiet = quiet

    def info(self, text: str) -> None:
        """A line to the mail log and to the output."""
        self.output.append(f"{self.name}: {printable(text)}\n")
        if not self.quiet:
            super().info(text)


@dataclass(slots=True)
class Command:
    """A running command."""

    process: Process
    name: str  #: as it was called: ``mailq``
    args: Sequence[str]
    user: Account
    stdin: bytes
    output: list[str] = field(default_factory=list)
    env: Mapping[str, str] = field(default_factory=dict)

    def write(self, text: str) -> None:
        """Text for the standard output (and error output, which are one here)."""
        self.output.append(text)

    def fatal(self, status: int, text: str) -> NoReturn:
        """``NAME: fatal: TEXT``, then exit with a status (msg_fatal_status)."""
        self.process.log.info(f"fatal: {text}")
        raise Exit(status)

    def options(self, letters: str, usage: str, status: int = 1) -> Iterator[tuple[str, str]]:
        """getopt(3): the options with their arguments; what is left becomes ``args``.  A bad one is
        fatal with the usage text, as Postfix's commands have it.
        """
        words = list(self.args)
        while words and words[0].startswith("-") and len(words[0]) > 1:
            word = words.pop(0)
            if word == "--":
                break
            rest = word[1:]
            while rest:
                letter, rest = rest[0], rest[1:]
                at = letters.find(letter)
                if at < 0 or letter == ":":
                    self.write(f"{self.name}: invalid option -- '{letter}'\n")
                    self.fatal(status, usage)
                if letters[at + 1 : at + 2] != ":":
                    yield letter, ""
                    continue
                if not rest and not words:
                    self.write(f"{self.name}: option requires an argument -- '{letter}'\n")
                    self.fatal(status, usage)
                yield letter, rest or words.pop(0)
                rest = ""
        self.args = words


def main_cf_read(process: Process) -> None:
    """The warnings of the process that reads ``main.cf`` (mail_conf_read)."""
    for warning in process.conf.main.warnings:
        process.log.warning(warning)


Run = Callable[[Command], Wait[int]]
COMMANDS: dict[str, Run] = {}


def command(*names: str) -> Callable[[Run], Run]:
    """Registers a command under its names."""

    def register(run: Run) -> Run:
        for name in names:
            COMMANDS[name] = run
        return run

    return register


def run_command(cmd: Command) -> Wait[CommandResult]:
    """Runs a registered command to its end."""
    run = COMMANDS[cmd.name]
    try:
        status = yield from run(cmd)
    except Exit as end:
        status = int(end.args[0])
    except Fatal:
        status = 1
    return CommandResult(status, "".join(cmd.output))
