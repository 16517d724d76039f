"""The kernel of a machine: :class:`mta.system.System` over SimPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mta.system import DecisionSink, Dice, File, Inet, Stream, System, Timer, Wait
from sim.accounts import AccountTable
from sim.chance import Chance
from sim.disk import Disk, Inode
from sim.engine import Alarm, Engine, Pause, Signal
from sim.network import HostNetwork
from sim.programs import ProgramTable
from sim.streams import SimStream
from sim.trace import Trace


class LogLine(NamedTuple):
    """A line of the mail log; ``at`` in microseconds since the epoch.  Without a ``pid`` (0) no
    process is named.
    """

    at: int
    tag: str
    pid: int
    text: str

    def __str__(self) -> str:
        return f"{self.tag}[{self.pid}]: {self.text}" if self.pid else f"{self.tag}: {self.text}"


class Machine:
    """A machine of the world; a :class:`mta.system.System`."""

    decisions: DecisionSink | None

    def __init__(
        self,
        engine: Engine,
        trace: Trace,
        chance: Chance,
        network: HostNetwork,
        files: Disk,
        programs: ProgramTable,
        *,
        accounts: AccountTable,
        nameservers: Sequence[Inet],
        hostname: str,
        timezone: int,
    ) -> None:
        self.name = network.name
        self.network = network
        self.files = files
        self.programs = programs
        self.accounts = accounts
        self.nameservers = nameservers
        self.hostname = hostname
        self.timezone = timezone
        self.decisions = None
        #: Servers of databases, by address; None where no client library for them is installed.
        self.databases: dict[str, Any] | None = None
        self.log: list[LogLine] = []  #: the mail log
        self.on_log: Callable[[LogLine], None] | None = None  #: who reads the log as it grows
        self._engine = engine
        self.trace = trace
        self._chance = chance

    def now(self) -> int:
        """Microseconds since the epoch."""
        return self._engine._now

    def dice(self, name: str) -> Dice:
        """The stream of chance of that name, which is this machine's own."""
        return self._chance(f"{self.name}/{name}")

    def sleep(self, seconds: float) -> Any:
        """Leaf: waits.  After 0 seconds, all that is due at this moment has had its turn."""
        return Pause(self._engine, round(seconds * 1_000_000))

    def signal(self) -> Signal:
        """A new one-shot event."""
        return Signal(self._engine)

    def spawn(self, task: Wait[Any], name: str) -> None:
        """Starts a foreground task at this moment, after what is running now."""
        self._engine.start(task, name)

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Calls a plain function later.  It does not keep the world from being idle."""
        return Alarm(self._engine, round(seconds * 1_000_000), action)

    def syslog(self, tag: str, pid: int, text: str) -> None:
        """One line of the mail log."""
        now = self._engine._now
        line = LogLine(now, tag, pid, text)
        self.log.append(line)
        self.trace.add(now, "log", self.name, tag, pid, text)
        if self.on_log is not None:
            self.on_log(line)

    def __repr__(self) -> str:
        return f"<machine {self.name}>"


if TYPE_CHECKING:  # what the type checker holds the world to

    def _the_door(machine: Machine, file: Inode, stream: SimStream) -> tuple[System, File, Stream]:
        return machine, file, stream
