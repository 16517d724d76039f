"""What the administrator's and users' commands have in common: arguments, output, exit status.

A command is a function registered with :func:`command`; it gets a :class:`Command`, which is the
process together with its standard input and output.  Messages go to the mail log and, with the
command's name in front, to the output (msg_vstream and msg_syslog).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, Protocol, cast

from mta.commands.result import CommandResult
from mta.conf.errors import ConfError
from mta.lib.log import Log
from mta.master.server import Process
from mta.system import Account, Fatal, System, Wait
from mta.wire.text import printable, to_text

EX_OK = 0
EX_USAGE = 64
EX_DATAERR = 65
EX_NOUSER = 67
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_OSERR = 71
EX_TEMPFAIL = 75
EX_NOPERM = 77


#: Where commands are looked for.
_PATH = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")


class Control(Protocol):
    """The mail system as a whole (:class:`mta.postfix.Postfix`)."""

    running: bool

    def start(self) -> bool:
        """Starts it; False where it cannot."""

    def stop(self) -> None:
        """Stops it."""

    def reload(self) -> bool:
        """Has it read its configuration again."""

    def instance(self, config_dir: str) -> Control:
        """The mail system whose configuration lies in another directory."""

    def reconfigure(self, process: Process, config_dir: str) -> None:
        """Gives a command's process the configuration of another mail system.  Raises OSError,
        ConfError.
        """

    def command(
        self, argv: Sequence[str], user: str = "root", stdin: bytes = b""
    ) -> Wait[CommandResult]:
        """Runs a command of Postfix's as a user."""


class Exit(Exception):
    """The command ends with the status ``args[0]``."""


class CommandLog(Log):
    """A log that also writes to the command's output.  ``quiet`` leaves the mail log out,
    ``silent`` the output, which some commands use only where it is a terminal.
    """

    __slots__ = ("name", "output", "quiet", "silent")

    def __init__(
        self,
        system: System,
        tag: str,
        pid: int,
        name: str,
        output: list[str],
        quiet: bool,
        silent: bool = False,
    ) -> None:
        super().__init__(system, tag, pid)
        self.name = name
        self.output = output
        self.quiet = quiet
        self.silent = silent

    def info(self, text: str) -> None:
        """A line to the mail log and to the output."""
        if not self.silent:
            utf8 = self.conf is None or bool(self.conf.smtputf8_enable)
            self.output.append(f"{self.name}: {printable(text, '?', utf8)}\n")
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
    verbose: int = 0  #: how often ``-v`` was given

    def write(self, text: str) -> None:
        """Text for the standard output (and error output, which are one here)."""
        self.output.append(text)

    def fatal(self, status: int, text: str) -> NoReturn:
        """``NAME: fatal: TEXT``, then exit with a status (msg_fatal_status)."""
        self.process.log.info(f"fatal: {text}")
        raise Exit(status)

    def options(self, letters: str, usage: str, status: int = 1) -> Iterator[tuple[str, str]]:
        """getopt(3): the options with their arguments; what is left becomes ``args``.  A bad one is
        fatal with the usage text, as Postfix's commands have it.  After the last one ``main.cf`` is
        read: that of ``-c``, if there was one.
        """
        words = list(self.args)
        directory = ""
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
                    self.verbose += letter == "v"
                    yield letter, ""
                    continue
                if not rest and not words:
                    self.write(f"{self.name}: option requires an argument -- '{letter}'\n")
                    self.fatal(status, usage)
                argument, rest = rest or words.pop(0), ""
                if letter == "c" and "c:" in letters:
                    directory = argument
                yield letter, argument
        self.args = words
        self.read_main_cf(directory, status)

    def read_main_cf(self, directory: str = "", status: int = 1) -> None:
        """Reads ``main.cf`` of a directory (of the mail system's own, when empty); a file that is
        not there is fatal.  With ``-v`` some of what follows from it is told.
        """
        process = self.process
        if directory:
            try:
                self.control.reconfigure(process, directory.rstrip("/") or "/")
            except ConfError as error:
                self.fatal(status, error.args[0])
            except OSError as error:
                self.fatal(status, f"open {error.filename}: {error.strerror}")
        if self.name != "postfix":
            main_cf_read(process)
        if self.verbose:
            self._tell(process)

    @staticmethod
    def _tell(process: Process) -> None:
        for name in process.conf.inet_protocols.replace(",", " ").split():
            process.log.info(f"name_mask: {name}")
        own = [interface.address for interface in process.conf.own_interfaces]
        for kind, count in (
            ("IPv4", sum(":" not in address for address in own)),
            ("IPv6", sum(":" in address for address in own)),
        ):
            if count:
                process.log.info(f"inet_addr_local: configured {count} {kind} addresses")

    @property
    def control(self) -> Control:
        """The mail system as a whole."""
        return cast(Control, self.process.master.control)

    def run_program(self, argv: Sequence[str]) -> Wait[CommandResult | None]:
        """Runs another command, one of Postfix's or any that the machine has, as the same user;
        None where there is no such command (execvp).
        """
        name = argv[0].rpartition("/")[2]
        if name in COMMANDS:
            return (yield from self.control.command(argv, self.user.name, b""))
        programs = self.process.system.programs
        paths = [argv[0]] if "/" in argv[0] else [f"{where}/{name}" for where in _PATH]
        path = next((path for path in paths if programs.exists(path)), None)
        if path is None:
            return None
        result = yield programs.run(
            [path, *argv[1:]],
            stdin=b"",
            env=dict(self.env),
            cwd="/",
            uid=self.user.uid,
            gid=self.user.gid,
            timeout=0,
        )
        return CommandResult(result.status, to_text(result.output))


def main_cf_read(process: Process) -> None:
    """The warnings of the process that reads ``main.cf`` (mail_conf_read)."""
    for warning in process.conf.main.warnings:
        process.log.warning(warning)


#: With what commands end where something is fatal, other than 1 (msg_cleanup(3)).
FATAL_STATUS = {
    "mailq": EX_TEMPFAIL,
    "newaliases": EX_TEMPFAIL,
    "postlock": EX_TEMPFAIL,
    "postqueue": EX_UNAVAILABLE,
    "sendmail": EX_TEMPFAIL,
}

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
        status = FATAL_STATUS.get(cmd.name, 1)
    return CommandResult(status, "".join(cmd.output))
