"""Tasks, time, signals and timers of a machine; what is idle and what is a defect."""

from __future__ import annotations

from typing import Any

import pytest
import simpy

from mta.system import Fatal, Panic, System, TimedOut, Wait
from sim.engine import SWEEP, Engine
from sim.kernel import Machine
from sim.world import World, WorldError


@pytest.fixture
def world() -> World:
    return World(start=0)


@pytest.fixture
def machine(world: World) -> Machine:
    return world.machine("mx", ["192.0.2.25"])


def run(world: World, task: Wait[Any]) -> Any:
    started = world.start_task(task, "test")
    assert world.settle()
    return started.value


def test_a_machine_is_a_system(machine: Machine) -> None:
    system: System = machine
    assert system.hostname == "mx"
    assert system.timezone == 0
    assert system.decisions is None


def test_the_engine_is_an_environment_of_simpy(world: World) -> None:
    engine: simpy.Environment = world.engine

    def process() -> Wait[None]:
        yield engine.timeout(5)
        yield engine.timeout(1) | engine.timeout(100)

    done = engine.process(process())
    world.run(50)
    assert done.processed
    assert world.now == 50


def test_sleeping_takes_exactly_as_long_as_asked(world: World, machine: Machine) -> None:
    def task() -> Wait[list[int]]:
        moments = []
        for seconds in (0, 1, 0.0003, 432000):
            yield machine.sleep(seconds)
            moments.append(machine.now())
        return moments

    assert run(world, task()) == [0, 1_000_000, 1_000_300, 432_001_000_300]


def test_a_task_may_wait_for_any_event_of_simpy(world: World) -> None:
    def task() -> Wait[Any]:
        got = yield world.engine.timeout(7, "value")
        return got, world.now

    assert run(world, task()) == ("value", 7)


def test_tasks_start_in_order_after_what_is_running(world: World, machine: Machine) -> None:
    order: list[str] = []

    def child(name: str) -> Wait[None]:
        order.append(name)
        return
        yield

    def parent() -> Wait[None]:
        machine.spawn(child("one"), "one")
        machine.spawn(child("two"), "two")
        order.append("parent")
        yield machine.sleep(0)
        order.append("parent again")

    run(world, parent())
    assert order == ["parent", "one", "two", "parent again"]


class TestSignal:
    def test_it_wakes_all_who_wait_with_its_value(self, world: World, machine: Machine) -> None:
        signal = machine.signal()
        got: list[tuple[Any, int]] = []

        def waiter() -> Wait[None]:
            value = yield signal.wait()
            got.append((value, machine.now()))

        machine.spawn(waiter(), "one")
        machine.spawn(waiter(), "two")
        machine.after(2, lambda: signal.set("news"))
        world.run_for(1)
        assert not signal.is_set
        assert world.settle()
        assert signal.is_set
        assert got == [("news", 2_000_000)] * 2

    def test_who_comes_late_does_not_wait(self, world: World, machine: Machine) -> None:
        signal = machine.signal()
        signal.set(1)

        def task() -> Wait[Any]:
            return (yield signal.wait(10)), (yield signal.wait()), machine.now()

        assert run(world, task()) == (1, 1, 0)

    def test_a_limit_of_time_is_exact(self, world: World, machine: Machine) -> None:
        signal = machine.signal()

        def task() -> Wait[int]:
            with pytest.raises(TimedOut):
                yield signal.wait(1.5)
            return machine.now()

        assert run(world, task()) == 1_500_000
        signal.set()

    def test_before_the_limit_it_comes_at_once(self, world: World, machine: Machine) -> None:
        signal = machine.signal()

        def task() -> Wait[Any]:
            return (yield signal.wait(10)), machine.now()

        machine.after(1, lambda: signal.set("x"))
        assert run(world, task()) == ("x", 1_000_000)
        assert world.next_event is None or world.now < 10_000_000

    def test_setting_it_twice_is_an_error(self, machine: Machine) -> None:
        signal = machine.signal()
        signal.set()
        with pytest.raises(RuntimeError):
            signal.set()


class TestTimer:
    def test_it_rings_once_at_its_moment(self, world: World, machine: Machine) -> None:
        rung: list[int] = []
        machine.after(3, lambda: rung.append(machine.now()))
        world.run_for(10)
        assert rung == [3_000_000]

    def test_a_cancelled_one_stays_silent(self, world: World, machine: Machine) -> None:
        rung: list[int] = []
        timer = machine.after(3, lambda: rung.append(1))
        timer.cancel()
        timer.cancel()
        world.run_for(10)
        assert rung == []

    def test_cancelling_after_it_rang_is_quiet(self, world: World, machine: Machine) -> None:
        timer = machine.after(0, lambda: None)
        world.run_for(1)
        timer.cancel()

    def test_cancelled_ones_do_not_fill_the_heap(self, world: World, machine: Machine) -> None:
        rung: list[int] = []
        for number in range(10 * SWEEP):
            machine.after(100 + number % 7, lambda: None).cancel()
        machine.after(50, lambda: rung.append(machine.now()))
        assert len(world.engine._queue) < 3 * SWEEP
        world.run_for(60)
        assert rung == [50_000_000]

    def test_it_does_not_keep_the_world_from_being_idle(
        self, world: World, machine: Machine
    ) -> None:
        machine.after(300, lambda: None)
        assert world.settle()
        assert world.now == 0

    def test_a_negative_pause_is_an_error(self, machine: Machine) -> None:
        with pytest.raises(ValueError, match="-1000000"):
            machine.sleep(-1)


class TestDefects:
    def test_an_exception_that_leaves_a_task_stops_the_run(
        self, world: World, machine: Machine
    ) -> None:
        def broken() -> Wait[None]:
            yield machine.sleep(1)
            raise KeyError("no such thing")

        machine.spawn(broken(), "smtpd")
        with pytest.raises(WorldError, match="task smtpd: KeyError: 'no such thing'") as caught:
            world.settle()
        assert isinstance(caught.value.__cause__, KeyError)
        functions = []
        traceback = caught.value.__cause__.__traceback__
        while traceback is not None:
            functions.append(traceback.tb_frame.f_code.co_name)
            traceback = traceback.tb_next
        assert functions[-1] == "broken"

    @pytest.mark.parametrize("kind", [Fatal, Panic])
    def test_fatal_and_panic_end_only_their_task(
        self, world: World, machine: Machine, kind: type[Exception]
    ) -> None:
        def dying() -> Wait[None]:
            yield machine.sleep(1)
            raise kind("bad")

        def other() -> Wait[int]:
            yield machine.sleep(2)
            return machine.now()

        machine.spawn(dying(), "dying")
        assert run(world, other()) == 2_000_000

    def test_an_exception_in_a_timer_stops_the_run(self, world: World, machine: Machine) -> None:
        machine.after(1, lambda: {}["key"])
        with pytest.raises(WorldError, match="KeyError"):
            world.run_for(2)

    def test_a_generator_that_is_yielded_is_told_from_a_leaf(
        self, world: World, machine: Machine
    ) -> None:
        def inner() -> Wait[None]:
            yield machine.sleep(1)

        def outer() -> Wait[None]:
            yield inner()

        machine.spawn(outer(), "careless")
        with pytest.raises(WorldError, match=r"careless yielded .*use 'yield from'"):
            world.settle()

    def test_a_failure_is_raised_where_the_task_waits(self, world: World) -> None:
        event = world.engine.event()

        def task() -> Wait[str]:
            try:
                yield event
            except OSError as error:
                return str(error)
            return ""

        world.at(5, lambda: event.fail(OSError("disk")) and None)
        assert run(world, task()) == "disk"

    def test_a_failure_that_nobody_takes_stops_the_run(self, world: World) -> None:
        world.engine.event().fail(OSError("disk"))
        with pytest.raises(WorldError, match="nobody took"):
            world.settle()


def test_log_lines_are_kept_with_their_moment(world: World, machine: Machine) -> None:
    seen: list[str] = []
    machine.on_log = lambda line: seen.append(str(line))
    world.run_for(1)
    machine.syslog("postfix/smtpd", 101, "connect from client.test[198.51.100.7]")
    (line,) = machine.log
    assert line.at == 1_000_000
    assert seen == ["postfix/smtpd[101]: connect from client.test[198.51.100.7]"]


def test_where_tasks_wait_can_be_seen(world: World, machine: Machine) -> None:
    def inner() -> Wait[None]:
        yield machine.signal().wait()

    def outer() -> Wait[None]:
        yield from inner()

    machine.spawn(outer(), "qmgr")
    assert not world.settle()
    (text,) = world.under_way()
    assert text.startswith("qmgr: ")
    assert " outer > " in text
    assert text.endswith(" inner")


def test_time_does_not_run_backwards() -> None:
    engine = Engine(100)
    engine.run_to(50, until_idle=False)
    assert engine.now == 100
