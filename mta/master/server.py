"""What every process of the mail system is made of (master/*_server.c, mail_task, mail_params).

A *program* is a class registered with :func:`program`; an instance of it lives in one
:class:`Process` and serves requests one after the other (``single``) or side by side (``multi``).
A request is a typed value of :mod:`mta.lib.requests`, or a :class:`mta.system.Stream` for services
that speak to the outside (``smtpd``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, TypeVar
from weakref import ReferenceType

from mta.conf.conf import Conf
from mta.conf.errors import ConfError, ConfPanic
from mta.lib.log import Log
from mta.system import Fatal, Stream, System, Wait

if TYPE_CHECKING:
    from mta.master.master import Connection, Master

_FEW = 16


class Process:
    """One process: its configuration, its log, and its way to the other services.

    ``program`` is the name of the executable (``smtpd``), ``service`` the name of the master.cf
    entry (``submission``), ``cache`` a place for what libraries keep per process (open tables).
    """

    __slots__ = (
        "_streams", "args", "cache", "conf", "log", "master", "now", "pid", "program", "service",
        "system",
    )  # fmt: skip

    def __init__(
        self, master: Master, program: str, service: str, pid: int, conf: Conf, tag: str
    ) -> None:
        self.master = master
        #: The arguments of the master.cf entry that are not options (pipe(8), spawn(8)).
        self.args: list[str] = []
        self.system: System = master.system
        #: Microseconds since the epoch.
        self.now: Callable[[], int] = master.system.now
        self.program = program
        self.service = service
        self.pid = pid
        self.conf = conf
        self.log = Log(master.system, tag, pid)
        self.log.conf = conf
        conf.die = self._die
        self.cache: dict[Any, Any] = {}
        self._streams: list[ReferenceType[Stream]] = []

    def _die(self, error: ConfError) -> NoReturn:
        """A value of the configuration makes no sense."""
        if isinstance(error, ConfPanic):
            self.log.panic(error.text)
        self.log.fatal(error.text)

    def call(self, service: str, request: Any) -> Wait[Any]:
        """Asks an internal service (by its name in master.cf) and waits for its reply.

        Raises Gone where there is no such service, or when its process dies over the request.
        """
        return self.master.call(service, request)

    def connect(self, service: str) -> Wait[Connection]:
        """Gets hold of a process of a service and makes its request later (the queue manager
        chooses what to deliver only when an agent is free).  Raises Gone: no such service.
        """
        return self.master.connect(service)

    def trigger(self, service: str, data: bytes) -> bool:
        """Wakes a public service (qmgr, pickup, flush) with trigger bytes and does not wait for it;
        whether anybody listens.  A service that does not exist is warned of.
        """
        if service not in self.master.services:
            self.log.warning(f"unable to look up public/{service}: No such file or directory")
            return False
        self.master.trigger(service, data)
        return self.master.running

    def keep(self, stream: Stream) -> None:
        """Notes a connection that ends when the process does."""
        if len(self._streams) >= _FEW:
            self._streams = [ref for ref in self._streams if ref() is not None]
        self._streams.append(ReferenceType(stream))

    def ended(self) -> None:
        """The process has died: so do its connections, to cleanup(8) too."""
        from mta.lib.cleanup_client import hang_up

        hang_up(self)
        for ref in self._streams:
            stream = ref()
            if stream is not None:
                stream.close()

    def decide(self, kind: str, /, **facts: Any) -> None:
        """A decision, for whoever listens.  In hot places ask ``system.decisions`` first."""
        if self.system.decisions is not None:
            self.system.decisions(kind, {"process": self.program, "service": self.service, **facts})


class Program:
    """Base of all programs.  ``__init__`` is what a daemon does before its first client: it may
    raise Fatal (through ``process.log.fatal``), and master then throttles the service.
    """

    #: ``single``: one client at a time; ``multi``: one process serves any number.
    kind: ClassVar[Literal["single", "multi"]] = "single"
    #: Whether master hears that a client was taken before it has been served (event_server): then
    #: a process that dies over a client was no bad start.
    events: ClassVar[bool] = False
    #: Whether the service's clients are streams from outside, not typed requests.
    streams: ClassVar[bool] = False
    #: Whether its entry in master.cf may have arguments that are not options.
    arguments: ClassVar[bool] = False

    def __init__(self, process: Process) -> None:
        self.process = process
        #: Whether the process goes on for ever, whatever ``max_idle`` and ``max_use`` say.
        self.stays = False

    def serve(self, request: Any) -> Wait[Any]:
        """Serves one client."""
        raise NotImplementedError

    def check_arguments(self) -> None:
        """Before a client is served: most programs die over arguments.  Raises Fatal."""
        if not self.arguments:
            first = self.process.args[0]
            self.process.log.fatal(f"unexpected command-line argument: {first}")

    @classmethod
    def input_directory(cls, conf: Conf) -> str:
        """The directory whose files are all that a wake-up by the clock is about, so that master
        need not wake the program while it is empty; ``""`` for none.
        """
        return ""

    def retire(self) -> None:
        """The process ends in good order (idle for ``max_idle``, ``max_use`` reached, reload)."""


PROGRAMS: dict[str, type[Program]] = {}
P = TypeVar("P", bound=type[Program])


def program(*names: str) -> Callable[[P], P]:
    """Registers a program under the names of its executables (``smtp``, ``lmtp``)."""

    def register(cls: P) -> P:
        for name in names:
            PROGRAMS[name] = cls
        return cls

    return register


def quiet(task: Wait[Any]) -> Wait[Any]:
    """Runs a task whose process may die: Fatal ends it without noise (it has been logged)."""
    try:
        return (yield from task)
    except Fatal:
        return None
