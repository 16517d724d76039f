"""External commands: a table of what stands for them.  Nothing is ever run on the real machine.

``/bin/sh -c COMMAND`` runs the first word of the command, as far as that is a plain word.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mta.system import ProgramResult, TimedOut
from sim.clock import micros
from sim.engine import Call, Engine, Failed, Ready, Wake
from sim.shell_words import shell_words
from sim.trace import Trace

SHELLS = ("/bin/sh", "/bin/bash", "/bin/dash", "/usr/bin/sh")
NOT_FOUND = 127  #: what a shell exits with when there is no such command


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
        return path in self._programs or path in SHELLS

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
        by_shell = words[0] in SHELLS and words[0] not in self._programs
        if by_shell:
            words = self._unwrap(words, env)
        program = self._programs.get(words[0]) if words else None
        if program is None:
            if by_shell:
                said = f"{argv[0]}: 1: {words[0] if words else ''}: not found\n"
                return Ready(ProgramResult(NOT_FOUND, said.encode()))
            return Failed(OSError(errno.ENOENT, os.strerror(errno.ENOENT), words[0]))
        given = Invocation(
            words, stdin, dict(env), cwd, uid, gid, self._engine.now, dict(note or {})
        )
        return self._start(program, given, timeout)

    def _unwrap(self, argv: tuple[str, ...], env: Mapping[str, str]) -> tuple[str, ...]:
        """The words of the command in ``sh -c COMMAND``."""
        if len(argv) < 3 or argv[1] != "-c":
            return ()
        words = shell_words(argv[2], env)
        return words[1:] if words[:1] == ("exec",) else words

    def _start(self, program: Program, given: Invocation, timeout: float) -> Any:
        too_long = 0 < timeout < program.seconds
        result = None if too_long else program.behaviour(given)
        self.runs.append(Run(given, result))
        status = "timeout" if result is None else result.status
        self._trace.add(given.now, "run", self._machine, given.path, status)
        if not program.seconds:
            return Ready(result)
        wake = Wake(self._engine)
        if result is None:
            Call(self._engine, micros(timeout), lambda _: wake.fire_error(TimedOut()))
        else:
            Call(self._engine, micros(program.seconds), lambda _: wake.fire(result))
        return wake
