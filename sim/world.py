"""The world: machines on a network, a clock, chance, faults, and a trace of all that happens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mta.system import Dice, Inet, Wait
from sim import clock
from sim.accounts import AccountTable
from sim.chance import Chance
from sim.disk import Disk
from sim.engine import Alarm, Engine, Task, WorldError
from sim.faults import Fault, FaultPlan
from sim.kernel import Machine
from sim.network import Network
from sim.programs import ProgramTable
from sim.trace import Decision, Trace

__all__ = ["World", "WorldError"]

#: How long `settle` waits for the world to become idle, in seconds: ten days.
PATIENCE = 10 * 86400.0


class World:
    """A simulated world.

    ``seed`` decides all chance; ``start`` is the first moment (microseconds since the epoch);
    ``keep_trace`` keeps the events of the trace and not only their hash.
    """

    def __init__(self, seed: int = 0, start: int = clock.START, keep_trace: bool = False) -> None:
        self.seed = seed
        self.engine = Engine(start)
        self.trace = Trace(keep_trace)
        self.chance = Chance(seed)
        self.faults = FaultPlan(self.trace, lambda: self.engine.now)
        self.network = Network(self.engine, self.trace, self.faults)
        self.machines: dict[str, Machine] = {}
        self.decisions: list[Decision] = []

    @property
    def now(self) -> int:
        """The moment: microseconds since the epoch."""
        return self.engine.now

    def machine(
        self,
        name: str,
        addresses: Sequence[str] = (),
        *,
        users: Iterable[str] = (),
        accounts: AccountTable | None = None,
        nameservers: Sequence[Inet] = (),
        hostname: str = "",
        timezone: int = 0,
    ) -> Machine:
        """A new machine.  ``hostname`` is its name unless told otherwise."""
        machine = Machine(
            self.engine,
            self.trace,
            self.chance,
            self.network.host(name, addresses),
            Disk(self.engine, self.trace, self.faults, name),
            ProgramTable(self.engine, self.trace, name),
            accounts=AccountTable(users) if accounts is None else accounts,
            nameservers=tuple(nameservers),
            hostname=hostname or name,
            timezone=timezone,
        )
        self.machines[name] = machine
        return machine

    def dice(self, name: str) -> Dice:
        """A stream of chance of the world's own."""
        return self.chance(name)

    # -- running ------------------------------------------------------------------------------

    def start_task(self, task: Wait[Any], name: str) -> Task:
        """Starts a foreground task; its ``value`` is there when it is ``done``."""
        return self.engine.start(task, name)

    def at(self, when: int, action: Callable[[], None]) -> Alarm:
        """Calls a plain function at a moment; it does not keep the world from being idle."""
        return Alarm(self.engine, max(0, when - self.now), action)

    def settle(self, limit_s: float = PATIENCE) -> bool:
        """Runs until the world is idle: no foreground task is left, nothing is on its way to a
        listener, and nothing is left to do at this moment.

        Returns whether it is.  It is not when the limit (seconds of virtual time) has passed, or
        when tasks wait for what can never come; see :meth:`under_way`.  Raises WorldError.
        """
        return self.engine.run_to(self.now + clock.micros(limit_s), until_idle=True)

    def run(self, until: int) -> bool:
        """Runs to a moment, that moment included.  Returns whether the world is idle then.

        Raises WorldError.
        """
        return self.engine.run_to(until, until_idle=False)

    def run_for(self, seconds: float) -> bool:
        """Runs for a time; see :meth:`run`."""
        return self.run(self.now + clock.micros(seconds))

    @property
    def next_event(self) -> int | None:
        """When the next thing happens; None when nothing ever will."""
        when = self.engine.peek()
        return None if when == float("inf") else int(when)

    def under_way(self) -> list[str]:
        """The tasks that have not ended, and where each of them waits."""
        return [f"{task.name}: {task.where()}" for task in self.engine.tasks]

    # -- looking ------------------------------------------------------------------------------

    def unused_faults(self) -> list[Fault]:
        """The faults that never fired."""
        return self.faults.unused()

    def watch_decisions(self, machine: Machine) -> None:
        """Collects the decisions of the mail system of a machine in ``decisions``."""

        def note(kind: str, facts: Mapping[str, Any]) -> None:
            self.decisions.append(Decision(self.now, kind, facts))

        machine.decisions = note
