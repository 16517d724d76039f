"""A world of two machines for the tests of this directory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mta.system import Gone, Inet, Stream, Wait
from sim.kernel import Machine
from sim.world import World

HERE = "192.0.2.25"
THERE = "203.0.113.10"
SERVER = Inet(THERE, 25)

#: One-way latency between hosts, in microseconds.
LATENCY = 200


class TwoHosts:
    """``here`` connects to ``there``; all moments count from the beginning, in microseconds."""

    def __init__(self, **options: Any) -> None:
        self.world = World(**options)
        self.here: Machine = self.world.machine("here", [HERE])
        self.there: Machine = self.world.machine("there", [THERE])
        self._start = self.world.now

    @property
    def elapsed(self) -> int:
        return self.world.now - self._start

    @property
    def start(self) -> int:
        return self._start

    def serve(self, handler: Callable[[Stream], Wait[None]], **options: Any) -> None:
        self.there.network.listen(SERVER, handler, **options)

    def sends(self, *segments: bytes, gap: float = 0.001) -> Callable[[Stream], Wait[None]]:
        """A handler that sends segments with a gap after each, and closes."""

        def handler(stream: Stream) -> Wait[None]:
            with suppress(Gone):
                for segment in segments:
                    stream.write(segment)
                    yield stream.flush(10)
                    yield self.there.sleep(gap)
            stream.close()

        return handler

    def connect(self, timeout: float = 30) -> Any:
        return self.here.network.connect(SERVER, timeout)

    def run(self, *tasks: Wait[Any]) -> list[Any]:
        """Runs tasks side by side until the world is idle; their values."""
        started = [self.world.start_task(task, f"task {n}") for n, task in enumerate(tasks)]
        assert self.world.settle(), self.world.under_way()
        return [task.value for task in started]

    def outcome(self, leaf: Callable[[], Any]) -> tuple[Any, int]:
        """What waiting for a leaf gives, or the exception, and how long it took."""

        def task() -> Wait[tuple[Any, int]]:
            began = self.world.now
            try:
                value = yield leaf()
            except Exception as error:
                value = error
            return value, self.world.now - began

        return self.run(task())[0]
