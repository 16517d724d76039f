"""External commands: a table of what stands for them.  Nothing is ever run on the real machine.

``/bin/sh -c SCRIPT`` runs what :mod:`sim.shell` makes of the script.  ``/bin/true`` and the few
others of :func:`sim.shell.usual_program` are there, too; their runs are not noted.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mta.system import ProgramResult, TimedOut
from sim.clock import micros
from sim.engine import Call, Engine, Failed, Ready, Wake
from sim.shell import Outcome, Shell, usual_program
from sim.trace import Trace

SHELLS = ("sh", "/bin/sh", "/bin/bash", "/bin/dash", "/usr/bin/sh")


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a command is given.  ``now``: the moment, in microseconds since the epoch."""

    argv: tuple[str, ...]
    stdin: bytes
    env: Mapping[str, str]
    cwd: str
    uid: int
    gid: int
    now: int
    note: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The command itself; that which a shell is asked to run."""
        return self.argv[0]


@dataclass(frozen=True, slots=True)
class Run:
    """A run that happened: what it was given, and what came of it (None: it was cut short)."""

    invocation: Invocation
    result: ProgramResult | None


#: What stands for a command: its result each time, or a function that makes it.
Behaviour = Callable[[Invocation], ProgramResult]


@dataclass(slots=True)
class Program:
    """A command of the table; ``seconds`` is how long each run takes."""

    behaviour: Behaviour
    seconds: float = 0.0


class ProgramTable:
    """The commands of a machine; a :class:`mta.system.Programs`."""

    def __init__(self, engine: Engine, trace: Trace, machine: str) -> None:
        self.runs: list[Run] = []  #: in the order in which they began
        self._engine = engine
        self._trace = trace
        self._machine = machine
        self._programs: dict[str, Program] = {}

    def add(
        self,
        path: str,
        behaviour: Behaviour | None = None,
        *,
        status: int = 0,
        output: bytes = b"",
        seconds: float = 0.0,
    ) -> None:
        """Puts a command in the table, with a function or else a fixed result."""
        fixed = ProgramResult(status, output)
        self._programs[path] = Program(behaviour or (lambda _: fixed), seconds)

    def exists(self, path: str) -> bool:
        """Whether there is an executable of that absolute path."""
        return (
            path in self._programs or path in SHELLS or usual_program((path,), b"") is not None
        )

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes,
        env: Mapping[str, str],
        cwd: str,
        uid: int,
        gid: int,
        timeout: float,
        note: Mapping[str, Any] | None = None,
    ) -> Any:
        """Leaf: a ProgramResult.  A timeout of 0 stands for no limit.

        Raises TimedOut; OSError where the program does not exist.
        """
        words = tuple(argv)
        given = Invocation(
            words, stdin, dict(env), cwd, uid, gid, self._engine.now, dict(note or {})
        )
        if words[0] in self._programs:
            return self._start(self._programs[words[0]], given, timeout)
        if words[0] in SHELLS:
            return self._script(given, timeout)
        usual = usual_program(words, stdin) if "/" in words[0] else None
        if usual is not None:
            return Ready(ProgramResult(*usual))
        return Failed(OSError(errno.ENOENT, os.strerror(errno.ENOENT), words[0]))

    def _script(self, given: Invocation, timeout: float) -> Any:
        """``sh -c SCRIPT``, or ``sh FILE`` for a file of the table."""
        _, *words = given.argv
        seconds = 0.0

        def command(argv: tuple[str, ...], stdin: bytes, env: Mapping[str, str]) -> Outcome | None:
            nonlocal seconds
            path = self._found(argv[0], env)
            program = self._programs.get(path)
            if program is None:
                return None
            seconds += program.seconds
            started = replace(given, argv=(path, *argv[1:]), stdin=stdin, env=dict(env))
            result = self._behave(program, started, 0 < timeout < seconds)
            return Outcome(0, b"") if result is None else Outcome(result.status, result.output)

        shell = Shell(given.argv[0], command, dict(given.env), given.stdin)
        if words[:1] == ["-c"] and len(words) > 1:
            outcome = shell.execute(words[1])
        elif words:
            ran = command(tuple(words), given.stdin, given.env)
            said = f"{given.argv[0]}: 0: cannot open {words[0]}: No such file\n"
            outcome = ran or Outcome(2, said.encode())
        else:
            outcome = shell.execute(given.stdin.decode("utf-8", "surrogateescape"))
        result = None if 0 < timeout < seconds else ProgramResult(*outcome)
        return self._ends(result, seconds, timeout)

    def _found(self, name: str, env: Mapping[str, str]) -> str:
        """A name without a directory is looked for in PATH."""
        if "/" not in name:
            for directory in env.get("PATH", "").split(":"):
                if f"{directory}/{name}" in self._programs:
                    return f"{directory}/{name}"
        return name

    def _behave(self, program: Program, given: Invocation, too_long: bool) -> ProgramResult | None:
        result = None if too_long else program.behaviour(given)
        self.runs.append(Run(given, result))
        status = "timeout" if result is None else result.status
        self._trace.add(given.now, "run", self._machine, given.path, status)
        return result

    def _start(self, program: Program, given: Invocation, timeout: float) -> Any:
        result = self._behave(program, given, 0 < timeout < program.seconds)
        return self._ends(result, program.seconds, timeout)

    def _ends(self, result: ProgramResult | None, seconds: float, timeout: float) -> Any:
        """What to wait for; None: it took too long."""
        if not seconds:
            return Ready(result)
        wake = Wake(self._engine)
        if result is None:
            Call(self._engine, micros(timeout), lambda _: wake.fire_error(TimedOut()))
        else:
            Call(self._engine, micros(seconds), lambda _: wake.fire(result))
        return wake
