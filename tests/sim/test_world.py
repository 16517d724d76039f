"""The world as a whole: when it is idle, how it runs, and that it is the same each time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from two_hosts import LATENCY, SERVER, THERE, TwoHosts

from mta.system import Gone, Inet, Stream, TimedOut, Wait
from sim.engine import WorldError
from sim.faults import Split, Stall
from sim.world import World


@pytest.fixture
def hosts() -> TwoHosts:
    return TwoHosts()


class TestIdle:
    def test_an_empty_world_is(self) -> None:
        world = World()
        assert world.settle()
        assert world.next_event is None

    def test_it_is_not_while_a_task_is_left(self, hosts: TwoHosts) -> None:
        def task() -> Wait[None]:
            yield hosts.here.sleep(86400)

        hosts.world.start_task(task(), "sleeper")
        assert not hosts.world.settle(limit_s=3600)
        assert hosts.elapsed == 3600 * 1_000_000
        assert hosts.world.settle()
        assert hosts.elapsed == 86400 * 1_000_000

    def test_a_connection_whose_handler_has_not_begun_counts(self, hosts: TwoHosts) -> None:
        served: list[int] = []

        def server(_: Stream) -> Wait[None]:
            served.append(hosts.elapsed)
            return
            yield

        hosts.serve(server)

        def client() -> Wait[None]:
            hosts.connect()
            return
            yield

        hosts.world.start_task(client(), "client that does not wait")
        hosts.world.settle()
        assert served == [LATENCY]

    def test_what_is_due_at_this_moment_is_done_first(self, hosts: TwoHosts) -> None:
        done: list[str] = []

        def task() -> Wait[None]:
            yield hosts.here.sleep(1)
            done.append("task")

        hosts.here.after(0, lambda: hosts.here.spawn(task(), "task"))
        assert hosts.world.settle()
        assert done == ["task"]

    def test_timers_after_this_moment_are_left(self, hosts: TwoHosts) -> None:
        rung: list[int] = []
        hosts.here.after(0.000001, lambda: rung.append(1))
        assert hosts.world.settle()
        assert rung == []
        assert hosts.world.next_event == hosts.start + 1

    def test_tasks_that_wait_for_what_cannot_come_are_told(self, hosts: TwoHosts) -> None:
        def stuck() -> Wait[None]:
            yield hosts.here.signal().wait()

        hosts.world.start_task(stuck(), "stuck")
        assert not hosts.world.settle()
        assert hosts.elapsed == 0
        assert hosts.world.under_way()[0].startswith("stuck: ")

    def test_a_defect_is_told_from_all_else(self, hosts: TwoHosts) -> None:
        def broken() -> Wait[None]:
            yield hosts.here.sleep(1)
            raise TimedOut

        hosts.world.start_task(broken(), "broken")
        with pytest.raises(WorldError):
            hosts.world.settle()


class TestPassivePeers:
    """A peer that only answers keeps the world busy only while there is something to answer."""

    def answers(self, hosts: TwoHosts, log: list[tuple[int, bytes]]) -> Any:
        def server(stream: Stream) -> Wait[None]:
            while line := (yield stream.read_line(100, 3600)):
                log.append((hosts.elapsed, line))
                yield hosts.there.sleep(2)
                stream.write(b"ok\n")
                with suppress(Gone):
                    yield stream.flush(10)
            log.append((hosts.elapsed, b"end"))
            stream.close()

        return server

    def test_while_it_waits_the_world_is_idle(self, hosts: TwoHosts) -> None:
        log: list[tuple[int, bytes]] = []
        hosts.serve(self.answers(hosts, log), passive=True)

        def client() -> Wait[Stream]:
            stream: Stream = yield hosts.connect()
            stream.write(b"request\n")
            yield stream.flush(10)
            yield stream.read_line(100, 10)
            return stream

        (stream,) = hosts.run(client())
        answered = 2_000_000 + 4 * LATENCY
        assert hosts.elapsed == answered
        assert log == [(3 * LATENCY, b"request\n")]
        stream.close()
        assert hosts.world.settle()
        assert log[1:] == [(answered + LATENCY, b"end")]
        assert hosts.world.under_way() == []

    def test_what_is_on_its_way_to_it_counts(self, hosts: TwoHosts) -> None:
        """The client does not wait for the answer, and yet the peer gets all and answers."""
        log: list[tuple[int, bytes]] = []
        hosts.serve(self.answers(hosts, log), passive=True)

        def client() -> Wait[None]:
            stream = yield hosts.connect()
            stream.write(b"one\ntwo\n")
            yield stream.flush(10)
            stream.write(b"three\n")
            stream.close()

        hosts.run(client())
        assert [line for _, line in log] == [b"one\n", b"two\n", b"three\n", b"end"]
        assert hosts.world.under_way() == []

    def test_resets_count_too(self, hosts: TwoHosts) -> None:
        ends: list[int] = []

        def server(stream: Stream) -> Wait[None]:
            try:
                yield stream.read(10, 3600)
            except Exception:
                ends.append(hosts.elapsed)

        hosts.serve(server, passive=True)

        def client() -> Wait[None]:
            stream = yield hosts.connect()
            stream.abort()

        hosts.run(client())
        assert ends == [3 * LATENCY]

    def test_its_time_limit_does_not_count_but_rings(self, hosts: TwoHosts) -> None:
        ends: list[int] = []

        def server(stream: Stream) -> Wait[None]:
            try:
                yield stream.read(10, 60)
            except TimedOut:
                yield hosts.there.sleep(1)
                ends.append(hosts.elapsed)

        hosts.serve(server, passive=True)
        hosts.outcome(hosts.connect)
        assert hosts.elapsed == 2 * LATENCY
        assert not hosts.world.run_for(60)
        assert hosts.world.settle()
        assert ends == [61_000_000 + LATENCY]

    def test_what_a_fault_holds_does_not_count(self, hosts: TwoHosts) -> None:
        log: list[tuple[int, bytes]] = []
        hosts.serve(self.answers(hosts, log), passive=True)
        hosts.world.faults.add(Stall(sender="client"))

        def client() -> Wait[None]:
            stream = yield hosts.connect()
            stream.write(b"one\n")
            yield stream.flush(10)

        hosts.run(client())
        assert log == []


class TestRunning:
    def test_running_to_a_moment_includes_it(self, hosts: TwoHosts) -> None:
        rung: list[int] = []
        for seconds in (1, 2, 3):
            hosts.here.after(seconds, lambda: rung.append(hosts.elapsed))
        hosts.world.run(hosts.start + 2_000_000)
        assert rung == [1_000_000, 2_000_000]
        assert hosts.elapsed == 2_000_000

    def test_an_empty_world_runs_too(self) -> None:
        world = World(start=0)
        assert world.run_for(5)
        assert world.now == 5_000_000

    def test_five_days_of_timers_are_cheap(self, hosts: TwoHosts) -> None:
        count = 0

        def again() -> None:
            nonlocal count
            count += 1
            hosts.here.after(300, again)

        again()
        hosts.world.run_for(5 * 86400)
        assert count == 5 * 288 + 1

    def test_decisions_are_collected_on_request_and_do_not_change_the_hash(self) -> None:
        hashes = []
        for watch in (False, True):
            world = World()
            machine = world.machine("mx")
            if watch:
                world.watch_decisions(machine)
            if machine.decisions is not None:
                machine.decisions("table", {"table": "hash:/x"})
            hashes.append(world.trace.hash())
            assert [d.kind for d in world.decisions] == (["table"] if watch else [])
        assert hashes[0] == hashes[1]


def small_world(seed: int, talk: Callable[[bytes], bytes] = bytes.upper) -> World:
    """Three clients, a server, datagrams, files, chance and a fault."""
    world = World(seed=seed, keep_trace=True)
    here = world.machine("here", ["192.0.2.25"])
    there = world.machine("there", [THERE])
    world.faults.add(Split(size=5))

    def server(stream: Stream) -> Wait[None]:
        while line := (yield stream.read_line(100, 10)):
            stream.write(talk(line))
            yield stream.flush(10)
        stream.close()

    there.network.listen(SERVER, server)
    there.network.listen_datagrams(Inet("", 53), lambda packet, _, reply: reply(packet))

    def client(number: int) -> Wait[None]:
        yield here.sleep(here.dice("clients").random())
        stream = yield here.network.connect(SERVER, 30)
        for word in ("alpha", "beta"):
            stream.write(f"{word} {number}\n".encode())
            yield stream.flush(10)
            line = yield stream.read_line(100, 10)
            here.files.append("/log", line)
            here.syslog("test", number, line.decode())
        yield here.network.exchange(Inet(THERE, 53), b"?", 5)
        stream.close()

    for number in range(3):
        world.start_task(client(number), f"client {number}")
    assert world.settle()
    return world


def test_the_same_seed_gives_the_same_world() -> None:
    one, other = small_world(1), small_world(1)
    assert one.trace.first_difference(other.trace) is None
    assert one.trace.hash() == other.trace.hash()
    assert one.trace.count == 43


def test_another_seed_gives_another_world() -> None:
    one, other = small_world(1), small_world(2)
    assert one.trace.hash() != other.trace.hash()


def test_the_first_byte_that_differs_is_found() -> None:
    one = small_world(1)
    other = small_world(1, lambda line: line.upper().replace(b"BETA 1", b"BETA 2"))
    difference = one.trace.first_difference(other.trace)
    assert difference is not None
    assert difference.ours is not None
    assert difference.ours.kind == "send"
    assert difference.ours.fact("size") == len(b"BETA 1\n")


def test_two_processes_with_different_hash_seeds_give_the_same_trace() -> None:
    script = "import test_world; print(test_world.small_world(3).trace.hash())"
    here = Path(__file__).parent
    hashes = set()
    for hash_seed in ("1", "2"):
        env = os.environ | {
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": os.pathsep.join([str(here), str(here.parent.parent)]),
        }
        done = subprocess.run(
            [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
        )
        hashes.add(done.stdout.strip())
    assert hashes == {small_world(3).trace.hash()}
