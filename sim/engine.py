"""The engine: SimPy's environment, and the few events that a mail system needs of it.

SimPy keeps the heap of events and the time; all that happens is the callback of a SimPy event, and
a task may wait for any SimPy event.  What is here is what makes the common cases cheap:

* :class:`Task` drives a generator.  Unlike ``simpy.Process`` it is no event itself, since nobody
  waits for a task; that saves two trips through the heap for each.
* :class:`Ready` and :class:`Failed` are results that are there already.  They look like processed
  events, so a task goes on without a trip through the heap.
* :class:`Wake` is waited for by one task and can be fired from within another event's callback.
* :class:`Alarm` is a timer that can be cancelled, and then does not fill the heap.

**Idle.**  ``Engine.busy`` counts what is under way in the foreground: tasks, and segments on the
wire to a passive reader (see :mod:`sim.streams`).  The world is idle when the count is zero and no
event of the current instant is left.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from heapq import heapify, heappop, heappush
from types import GeneratorType
from typing import Any

import simpy
from simpy.events import NORMAL, PENDING, Event

from mta.system import Fatal, Panic, TimedOut

#: Cancelled alarms are swept out of the heap when there are more than this and more than half of
#: the heap is made of them.
SWEEP = 1000


class WorldError(Exception):
    """A defect: an exception left a task or an action.  ``__cause__`` is the original."""


class Ready:
    """A value that is there already, in the shape of a processed event."""

    __slots__ = ("_value",)
    callbacks = None
    _ok = True

    def __init__(self, value: Any) -> None:
        self._value = value


class Failed:
    """An exception to be raised at once, in the shape of a processed event."""

    __slots__ = ("_defused", "_value")
    callbacks = None
    _ok = False

    def __init__(self, error: Exception) -> None:
        self._value = error


#: The result of leaves that have none.
DONE = Ready(None)


class Call(Event):
    """A callback at a moment; it gets this event, whose ``_value`` is what it was made with."""

    _ok = True

    def __init__(
        self, engine: Engine, delay: int, callback: Callable[[Any], None], value: Any = None
    ) -> None:
        self.callbacks = [callback]
        self._value = value
        heappush(engine._queue, (engine._now + delay, NORMAL, next(engine._eid), self))


class Pause(Event):
    """Nothing but time; a light ``simpy.Timeout``."""

    _ok = True
    _value = None

    def __init__(self, engine: Engine, delay: int) -> None:
        if delay < 0:
            raise ValueError(f"a pause of {delay} microseconds")
        self.callbacks = []
        heappush(engine._queue, (engine._now + delay, NORMAL, next(engine._eid), self))


class Wake(Event):
    """What one task waits for and something else in the world fires."""

    def __init__(self, engine: Engine) -> None:
        self.env = engine
        self.callbacks = []

    def fire(self, value: Any) -> None:
        """Resumes the task at once.  Only for callbacks of events, never for running tasks."""
        callbacks, self.callbacks = self.callbacks, None  # type: ignore[assignment]
        self._ok = True
        self._value = value
        for callback in callbacks:
            callback(self)

    def fire_error(self, error: Exception) -> None:
        """Raises in the task at once.  Only for callbacks of events, never for running tasks."""
        callbacks, self.callbacks = self.callbacks, None  # type: ignore[assignment]
        self._ok = False
        self._value = error
        for callback in callbacks:
            callback(self)

    def fail_soon(self, error: Exception) -> None:
        """Raises in the task at this moment, after what is running now."""
        self._defused = True
        self.fail(error)


class Alarm(Event):
    """A plain call in the future that can be taken back; a :class:`mta.system.Timer`."""

    _ok = True
    _value = None

    def __init__(self, engine: Engine, delay: int, action: Callable[[], None]) -> None:
        self.env: Engine = engine
        self.callbacks = [self._ring]
        self.action: Callable[[], None] | None = action
        self.at = engine._now + delay
        heappush(engine._queue, (self.at, NORMAL, next(engine._eid), self))

    def _ring(self, _: Event) -> None:
        action, self.action = self.action, None
        if action is not None:
            action()

    def cancel(self) -> None:
        """Takes it back; quiet when it has happened."""
        if self.action is not None:
            self.action = None
            self.callbacks = []
            self.env.one_was_cancelled()


class Signal(Event):
    """A one-shot event between tasks; a :class:`mta.system.Signal`."""

    def __init__(self, engine: Engine) -> None:
        self.env: Engine = engine
        self.callbacks = []

    @property
    def is_set(self) -> bool:
        """Whether it was set."""
        return self._value is not PENDING

    def _busy_again(self, _: Event) -> None:
        self.env.busy += 1

    def set(self, value: Any = None) -> None:
        """Wakes all who wait, at this moment but after what is running now.  Once only."""
        if self._value is not PENDING:
            raise RuntimeError("the signal was set before")
        self._ok = True
        self._value = value
        if self.callbacks:
            self.env.schedule(self)
        else:
            self.callbacks = None  # type: ignore[assignment]

    def wait(self, timeout: float | None = None, idle: bool = False) -> Event:
        """Leaf: the value that was set.  Raises TimedOut.  An ``idle`` wait does not keep the world
        from being idle.
        """
        if self._value is not PENDING:
            return self
        if idle:
            self.env.busy -= 1
            self.callbacks.insert(0, self._busy_again)
        if timeout is None:
            return self
        wake = Wake(self.env)

        def expire() -> None:
            if idle:
                self.callbacks.remove(self._busy_again)
                self.env.busy += 1
            self.callbacks.remove(came)
            wake.fire_error(TimedOut())

        def came(_: Event) -> None:
            alarm.cancel()
            wake.fire(self._value)

        alarm = Alarm(self.env, round(timeout * 1_000_000), expire)
        self.callbacks.append(came)
        return wake


class Task:
    """A generator of the mail system or of the world around it, and the life of its own."""

    __slots__ = ("_engine", "_generator", "_send", "done", "name", "value")

    def __init__(self, engine: Engine, generator: Generator[Any, Any, Any], name: str) -> None:
        self._engine = engine
        self._generator = generator
        self._send = generator.send
        self.name = name
        self.done = False
        self.value: Any = None  #: what the generator returned, once it is done
        engine.tasks[self] = None
        engine.busy += 1

    def resume(self, event: Any) -> None:
        """Runs the generator until it waits for something: the callback of what it waited for."""
        while True:
            try:
                if event._ok:
                    event = self._send(event._value)
                else:
                    event._defused = True
                    event = self._generator.throw(event._value)
            except StopIteration as stop:
                self._end(stop.value)
                return
            except (Fatal, Panic):
                self._end(None)
                return
            except WorldError:
                raise
            except Exception as error:
                self._end(None)
                text = f"task {self.name}: {type(error).__name__}: {error}"
                raise WorldError(text) from error
            try:
                callbacks = event.callbacks
            except AttributeError:
                raise self._misuse(event) from None
            if callbacks is not None:
                callbacks.append(self.resume)
                return

    def _end(self, value: Any) -> None:
        self.value = value
        self.done = True
        engine = self._engine
        del engine.tasks[self]
        engine.busy -= 1

    def _misuse(self, event: object) -> WorldError:
        hint = "; use 'yield from'" if isinstance(event, GeneratorType) else ""
        text = f"task {self.name} yielded {event!r}, which cannot be waited for{hint}"
        return WorldError(f"{text}: {self.where()}")

    def where(self) -> str:
        """Where the task waits: file, line and function from the outermost to the innermost."""
        places: list[str] = []
        inner: Any = self._generator
        while isinstance(inner, GeneratorType) and inner.gi_frame is not None:
            code = inner.gi_frame.f_code
            file = "/".join(code.co_filename.rsplit("/", 2)[-2:])
            places.append(f"{file}:{inner.gi_frame.f_lineno} {code.co_name}")
            inner = inner.gi_yieldfrom
        return " > ".join(places)


class Engine(simpy.Environment):
    """SimPy's environment with a count of what is under way in the foreground."""

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self._now: int = start
        self.busy = 0
        self.tasks: dict[Task, None] = {}  #: the tasks that have not ended, oldest first
        self._cancelled = 0

    @property
    def now(self) -> int:
        """The moment: microseconds since the epoch."""
        return self._now

    def start(self, generator: Generator[Any, Any, Any], name: str) -> Task:
        """Starts a task at this moment, after what is running now."""
        task = Task(self, generator, name)
        Call(self, 0, task.resume)
        return task

    def start_now(self, generator: Generator[Any, Any, Any], name: str) -> None:
        """Starts a task at once.  Only for callbacks of events, never for running tasks."""
        Task(self, generator, name).resume(DONE)

    def alarm(self, seconds: float, action: Callable[[], None]) -> Alarm:
        """Calls a plain function later."""
        return Alarm(self, round(seconds * 1_000_000), action)

    def one_was_cancelled(self) -> None:
        """Notes that an alarm in the heap is dead, and sweeps when there are many."""
        self._cancelled += 1
        if self._cancelled > SWEEP and self._cancelled * 2 > len(self._queue):
            self._cancelled = 0
            self._queue[:] = [entry for entry in self._queue if not _is_dead(entry[3])]
            heapify(self._queue)

    def run_to(self, limit: int, *, until_idle: bool) -> bool:
        """Runs until nothing is under way (if that is asked for), or to the moment ``limit``.

        Events of the limit itself are run.  Returns whether the world is idle.  Raises WorldError.
        """
        queue = self._queue
        while True:
            if until_idle and not self.busy and not (queue and queue[0][0] == self._now):
                return True
            if not queue or queue[0][0] > limit:
                break
            self._now, _, _, event = heappop(queue)  # type: ignore[assignment]
            callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]
            try:
                for callback in callbacks:
                    callback(event)
            except WorldError:
                raise
            except Exception as error:
                raise WorldError(f"{type(error).__name__}: {error}") from error
            if not event._ok and not hasattr(event, "_defused"):
                raise WorldError(f"nobody took the failure of {event!r}") from event._value
        if not until_idle or queue:
            self._now = max(self._now, limit)
        return not self.busy


def _is_dead(event: Event) -> bool:
    return isinstance(event, Alarm) and event.action is None
