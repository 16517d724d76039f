"""Postfix's commands on a folder of the real machine: ``postlab postconf``, ``postlab postmap``.

They print what postconf(1) and postmap(1) of Postfix 3.0 would.  The folder is read into a
simulated machine; nothing is written or run outside of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, cast

from mta.bounce.templates import Templates
from mta.commands import postmap as _postmap
from mta.commands.command import Command, run_command
from mta.conf.conf import Conf
from mta.conf.errors import ConfError
from mta.conf.host import Host
from mta.conf.main_cf import MainCf, parse_main_cf
from mta.conf.postconf import postconf
from mta.conf.postconf.terminal import Terminal
from mta.daemons.proxymap import ProxyMap
from mta.dict.indexed import build_table
from mta.dict.process import WORKING_DIRECTORY, absolute_path
from mta.dict.proxy import ProxyRequest
from mta.dict.registry import dict_mapnames
from mta.lib.log import Log
from mta.master.server import Process
from mta.system import Fatal, Gone, System, Wait
from mta.wire.text import printable, to_bytes
from postlab import configuration
from postlab.facts import Facts
from postlab.folder import CONFIG_DIRECTORY, ConfigFolder, FolderError
from sim.world import World

assert _postmap is not None

_OLD = 3600 * 1_000_000
#: The types of tables that postmap(1) builds, and what their files end with.
INDEXED = {
    "hash": ".db",
    "btree": ".db",
    "cdb": ".cdb",
    "lmdb": ".lmdb",
    "dbm": ".pag",
    "sdbm": ".pag",
}

#: Writes to standard output (1) or standard error output (2).
Write = Callable[[int, bytes], None]


def write_out(stream: int, data: bytes) -> None:
    """Writes to the streams of this process, in order."""
    for other in (sys.stdout, sys.stderr):
        other.flush()
    target = sys.stdout if stream == 1 else sys.stderr
    target.buffer.write(data)
    target.buffer.flush()


class ToolLog(Log):
    """The log of a command: standard error output, with the name of the command."""

    __slots__ = ("name", "write")

    def __init__(self, system: System, name: str, write: Write) -> None:
        super().__init__(system, name, 1)
        self.name = name
        self.write = write

    def info(self, text: str) -> None:
        """A line."""
        utf8 = self.conf is None or self.conf.smtputf8_enable
        self.write(2, to_bytes(f"{self.name}: {printable(text, '?', utf8)}\n"))


class _Services:
    """Stands for master(8): only proxymap(8) answers."""

    def __init__(self, machine: ToolMachine) -> None:
        self.machine = machine
        self.system = machine.system
        self.running = False
        self.control = self

    def reconfigure(self, process: Process, config_dir: str) -> None:
        """Does nothing: there is one folder, and it is what ``-c`` says."""

    def call(self, service: str, request: Any) -> Wait[Any]:
        """Serves one request.  Raises Gone where nobody would."""
        if not isinstance(request, ProxyRequest):
            raise Gone("No such file or directory")
        process = self.machine.process("proxymap", service=service)
        return (yield from ProxyMap(process).serve(request))


class ToolMachine:
    """A simulated machine with a folder as its ``/etc/postfix``."""

    def __init__(self, folder: ConfigFolder, write: Write, users: Iterable[str] = ()) -> None:
        self.folder = folder
        self.write = write
        self.world = World()
        facts = Facts.of(folder, users)
        self.machine = self.world.machine(
            facts.hostname, facts.addresses, accounts=facts.accounts()
        )
        self.machine.databases = {}
        self.system = cast(System, self.machine)
        self.host = Host.of(self.system)
        disk = self.machine.files
        for path, data in folder.mounts():
            disk.mkdir(path.rpartition("/")[0])
            disk.write(path, data)
        self.main_path = f"{CONFIG_DIRECTORY}/main.cf"
        self.main = parse_main_cf(folder.text("main.cf"), f"{folder.shown}/main.cf")
        self._services = _Services(self)

    def mount_named(self, words: Iterable[str]) -> str:
        """Puts the files that tables on a command line are made of on the disk.  Returns the
        directory where relative names start: the present one.
        """
        disk = self.machine.files
        present = Path.cwd()
        for word in words:
            name = word.partition(":")[2] if ":" in word else word
            real = present / name
            path = real.as_posix()
            if disk.exists(path):
                continue
            if real.is_file():
                data = real.read_bytes()
            elif name in self.folder.files:
                data = self.folder.files[name]
            else:
                continue
            disk.mkdir(path.rpartition("/")[0])
            disk.write(path, data)
        return present.as_posix()

    def conf(self, program: str, overrides: Mapping[str, str] | None = None) -> Conf:
        """The view of a process."""
        return Conf(
            self.main,
            program=program,
            host=self.host,
            overrides=dict(overrides or {}),
            config_directory=CONFIG_DIRECTORY,
        )

    def process(
        self,
        program: str,
        overrides: Mapping[str, str] | None = None,
        *,
        name: str = "",
        service: str = "",
        silent: bool = False,
    ) -> Process:
        """A process that says what it has to say on standard error output, unless ``silent``."""
        conf = self.conf(program, overrides)
        master: Any = self._services
        process = Process(master, program, service or program, 1, conf, program)
        write = (lambda stream, data: None) if silent else self.write
        log = ToolLog(self.system, name or program, write)
        log.conf = None
        process.log = log
        conf.warn = log.warning
        process.cache[WORKING_DIRECTORY] = CONFIG_DIRECTORY
        return process

    def run(self, task: Wait[Any]) -> Any:
        """Runs a task to its end.  Raises what it raises."""
        done: list[tuple[bool, Any]] = []

        def keep() -> Wait[None]:
            try:
                done.append((True, (yield from task)))
            except Exception as error:
                done.append((False, error))

        self.world.start_task(keep(), "command")
        self.world.settle()
        if not done:
            raise RuntimeError("; ".join(self.world.under_way()))
        good, value = done[0]
        if good:
            return value
        raise value


# -- postconf


class _ReadOnly:
    """The files of a folder, for postconf(1).  They can be read."""

    def __init__(self, folder: ConfigFolder) -> None:
        self.folder = folder

    def read(self, path: str) -> str:
        """The text of a file.  Raises OSError."""
        name = path.rpartition("/")[2]
        if name not in self.folder.files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return self.folder.text(name)

    def write(self, path: str, text: str) -> None:
        """Raises OSError."""
        raise OSError(30, "Read-only file system", path)


class _Terminal(Terminal):
    """Two streams."""

    def __init__(self, write: Write) -> None:
        super().__init__("postconf")
        self.out = write

    def emit(self, stream: int, data: bytes) -> None:
        """Writes."""
        self.out(stream, data)


def stock_folder() -> ConfigFolder:
    """An empty ``main.cf`` and the stock ``master.cf``."""
    folder = ConfigFolder(Path(CONFIG_DIRECTORY), CONFIG_DIRECTORY)
    folder.files = {"main.cf": b"", "master.cf": configuration.stock_master_cf().encode()}
    return folder


def run_postconf(arguments: Sequence[str], write: Write = write_out) -> int:
    """``postlab postconf``: the exit status.  Without ``-c`` the configuration is the stock one."""
    directory = parse_arguments(arguments, "cCo").options.get("c")
    try:
        folder = stock_folder() if not directory else ConfigFolder.load(directory)
    except FolderError:
        # Whatever needs the file says that it is not there.
        folder = ConfigFolder(Path(CONFIG_DIRECTORY), CONFIG_DIRECTORY)
    machine = ToolMachine(folder, write)

    def templates(expand: bool, main: MainCf, overrides: dict[str, str]) -> tuple[int, str]:
        """What bounce(8) shows."""
        process = machine.process("bounce", overrides, name="bounce")
        process.conf = process.conf.for_process("bounce", main, overrides)
        try:
            process.conf.check_set()
            found = Templates(process)
            lines = found.expanded() if expand else found.dump()
        except ConfError as error:
            process.log.info(f"fatal: {error.text}")
            return 1, ""
        except Fatal:
            return 1, ""
        return 0, "".join(f"{line}\n" for line in lines)

    result = postconf(
        arguments,
        _ReadOnly(folder),
        machine.host,
        process_id=1,
        map_types=dict_mapnames(),
        templates=templates,
        terminal=_Terminal(write),
    )
    return result.status


class Arguments(NamedTuple):
    """The words of a command line for getopt(3)."""

    options: dict[str, str]  #: the last value of each letter, empty for a mere letter
    operands: list[str]


def parse_arguments(arguments: Sequence[str], with_value: str) -> Arguments:
    """Tells options and operands apart; ``with_value`` are the letters that take a value."""
    options: dict[str, str] = {}
    words = list(arguments)
    while words and len(words[0]) > 1 and words[0].startswith("-"):
        word = words.pop(0)
        if word == "--":
            break
        for place, char in enumerate(word[1:], 1):
            if char not in with_value:
                options[char] = ""
                continue
            options[char] = word[place + 1 :] or (words.pop(0) if words else "")
            break
    return Arguments(options, words)


# -- postmap


class _Output(list[str]):
    """Standard output as a list of texts."""

    def __init__(self, write: Write) -> None:
        super().__init__()
        self.out = write

    def append(self, text: str) -> None:
        """A text more."""
        self.out(1, to_bytes(text))


def run_postmap(
    arguments: Sequence[str], name: str = "postmap", stdin: bytes = b"", write: Write = write_out
) -> int:
    """``postlab postmap`` (and ``postalias``): the exit status.

    Without ``-q`` and ``-s`` a table is only built in the simulated machine, with all warnings.
    Without ``-c`` the configuration is that of the present folder, or else the stock one.
    """
    options, operands = parse_arguments(arguments, "cdq")
    directory = options.get("c")
    try:
        if directory is None and not Path("main.cf").exists():
            folder = stock_folder()
        else:
            folder = ConfigFolder.load("." if directory is None else directory)
    except FolderError:
        write(2, to_bytes(f"{name}: fatal: open {directory}/main.cf: No such file or directory\n"))
        return 1
    machine = ToolMachine(folder, write)
    process = machine.process(name)
    process.cache[WORKING_DIRECTORY] = machine.mount_named(operands)
    conf = process.conf
    # The command itself says what is odd in the text of main.cf.
    conf.warn = lambda text: None if text in conf.main.warnings else process.log.warning(text)
    try:
        conf.check_set()
    except ConfError as error:
        process.log.info(f"fatal: {error.text}")
        return 1
    account = machine.machine.accounts.by_name("root")
    assert account is not None
    command = Command(process, name, list(arguments), account, stdin, _Output(write))
    if "q" in options or "s" in options:
        _build_named(machine, process, operands)
    return int(machine.run(run_command(command)).exit)


def _build_named(machine: ToolMachine, process: Process, words: Iterable[str]) -> None:
    """Builds the indexed tables on a command line from their texts, as postmap(1) would have."""
    disk = machine.machine.files
    for word in words:
        spec = word if ":" in word else f"{process.conf.default_database_type}:{word}"
        kind, _, name = spec.partition(":")
        suffix = INDEXED.get(kind)
        path = absolute_path(process, name)
        if suffix is None or not disk.exists(path) or disk.exists(path + suffix):
            continue
        quiet = machine.process("postmap", silent=True)
        quiet.cache[WORKING_DIRECTORY] = process.cache[WORKING_DIRECTORY]
        aliases = True if process.program == "postalias" else None
        with suppress(Fatal):
            machine.run(build_table(quiet, spec, aliases))
        disk.touch(disk.open(path), machine.world.now - _OLD)


def stdin_bytes(arguments: Sequence[str]) -> bytes:
    """Standard input, where the arguments ask for it (``-q -``, ``-i``)."""
    options = parse_arguments(arguments, "cdq").options
    wanted = "i" in options or "-" in (options.get("q"), options.get("d"))
    return sys.stdin.buffer.read() if wanted else b""
