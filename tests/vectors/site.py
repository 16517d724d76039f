"""The machine on which a test's programs run: its disk, its name service, its processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from mta.conf.conf import Conf
from mta.conf.host import Host
from mta.conf.main_cf import parse_main_cf
from mta.dict.process import ALLOW_SURROGATE, WORKING_DIRECTORY
from mta.dict.simple import ENVIRONMENT
from mta.lib.log import Log
from mta.lib.requests import ResolveRequest, RewriteRequest
from mta.master.server import Process
from mta.system import Inet, System, Wait
from mta.trivial_rewrite.trivial_rewrite import TrivialRewrite
from mta.wire.text import printable
from sim.dns import DnsServer
from sim.world import World
from tests.vectors.shell import DIRECTORY, Folder, Io

#: The user who runs the programs, and owns the files.
USER = "tester"
_OLD = 3600 * 1_000_000


class IoLog(Log):
    """A log on standard error output (msg_vstream(3))."""

    __slots__ = ("io", "name", "utf8")

    def __init__(self, system: System, io: Io, name: str, utf8: bool) -> None:
        super().__init__(system, name, 1)
        self.io = io
        self.name = name
        self.utf8 = utf8

    def info(self, text: str) -> None:
        """A line with the program's name in front."""
        self.io.message(printable(text, "?", self.utf8), self.name)


class _Services:
    """Stands for master(8): only trivial-rewrite(8) is there."""

    def __init__(self, site: Site, system: System) -> None:
        self.site = site
        self.system = system
        self.running = False
        self.rewrite: TrivialRewrite | None = None

    def call(self, service: str, request: Any) -> Wait[Any]:
        """Serves one request."""
        assert isinstance(request, RewriteRequest | ResolveRequest)
        if self.rewrite is None:
            self.rewrite = TrivialRewrite(self.site.bare_process("trivial-rewrite"))
        return (yield from self.rewrite.serve(request))


class Site:
    """A world with one machine, which has the files of a test in :data:`DIRECTORY`."""

    def __init__(
        self, files: Mapping[str, bytes], zone: str = "", settings: Mapping[str, str] | None = None
    ) -> None:
        """``settings`` are there where the test's ``main.cf`` says nothing else."""
        self.world = World(1)
        self.machine = self.world.machine(
            "mta",
            ["192.0.2.25"],
            users=[USER],
            nameservers=[Inet("127.0.0.1", 53)],
            hostname="host.example",
        )
        self.system = cast(System, self.machine)
        self.dns = DnsServer(zone)
        self.dns.install(self.machine.network, "127.0.0.1", 53)
        self.zone = zone
        self.settings = dict(settings or {})
        account = self.machine.accounts.by_name(USER)
        assert account is not None
        self.user = account
        disk = self.machine.files
        disk.mkdir(DIRECTORY)
        disk.mkdir("/etc/postfix")
        disk.mkdir("/tmp", 0o1777)
        self.folder = Folder(disk, self._store)
        for name, data in files.items():
            self._store(f"{DIRECTORY}/{name}", data)
        self.services = _Services(self, self.system)

    def _store(self, path: str, data: bytes) -> None:
        disk = self.machine.files
        disk.write(path, data, 0o644, self.user.uid, self.user.gid)
        disk.touch(disk.open(path), self.world.now - _OLD)

    def main_cf(self) -> str:
        """The text of the test's ``main.cf``, if it has one."""
        return self.folder.text("main.cf") if self.folder.exists("main.cf") else ""

    def conf(self, program: str, settings: Mapping[str, str] | None = None) -> Conf:
        """The view of a process, with some settings more."""
        main = parse_main_cf(self.main_cf(), f"{DIRECTORY}/main.cf")
        more = {k: v for k, v in self.settings.items() if k not in main.values}
        return Conf(
            main,
            program=program,
            host=Host.of(self.system),
            overrides={**more, **(settings or {})},
            process_id=7,
        )

    def bare_process(self, program: str, settings: Mapping[str, str] | None = None) -> Process:
        """A process that logs to the machine's log."""
        conf = self.conf(program, settings)
        process = Process(cast(Any, self.services), program, program, 7, conf, program)
        process.cache[WORKING_DIRECTORY] = DIRECTORY
        return process

    def process(
        self,
        io: Io,
        settings: Mapping[str, str] | None = None,
        *,
        name: str = "",
        utf8: bool = True,
        program: str = "driver",
    ) -> Process:
        """A driver's process, which says what it has to say on ``io``, under a name."""
        settings = {"smtputf8_enable": "yes" if utf8 else "no", **(settings or {})}
        process = self.bare_process(program, settings)
        process.log = IoLog(self.system, io, name or io.name, utf8)
        process.cache[ALLOW_SURROGATE] = True
        process.cache[ENVIRONMENT] = dict(io.env)
        return process

    def run(self, task: Wait[Any]) -> Any:
        """Runs a task to its end.  Raises what it raises."""
        done: list[Any] = []

        def keep() -> Wait[None]:
            try:
                done.append((True, (yield from task)))
            except Exception as error:
                done.append((False, error))

        self.world.start_task(keep(), "driver")
        assert self.world.settle(), self.world.under_way()
        ((good, value),) = done
        if good:
            return value
        raise value


def site_of(io: Io) -> Site:
    """The machine of a program."""
    site: Site = io.shell.context
    return site
