"""Faults of the network: what they do, when, and whether they were used."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from two_hosts import LATENCY, THERE, TwoHosts

from mta.system import ConnectError, Gone, Inet, Stream, TimedOut, Wait
from sim.faults import (
    Delay,
    Drop,
    HalfClose,
    Merge,
    NetworkFault,
    Partition,
    Refuse,
    Reset,
    Split,
    Stall,
    Unreachable,
)

Arrivals = list[tuple[int, Any]]


@pytest.fixture
def hosts() -> TwoHosts:
    return TwoHosts()


def arrivals(hosts: TwoHosts, *faults: NetworkFault, limit: float = 100) -> Arrivals:
    """What a client reads, and when, of a server that sends 4 bytes at 0, 1 and 2 seconds."""
    hosts.serve(hosts.sends(b"aaaa", b"bbbb", b"cccc", gap=1.0))
    hosts.world.faults.add(*faults)

    def client() -> Wait[Arrivals]:
        stream = yield hosts.connect()
        got: Arrivals = []
        while not got or (isinstance(got[-1][1], bytes) and got[-1][1]):
            try:
                data: Any = yield stream.read(100, limit)
            except (Gone, TimedOut) as error:
                data = type(error)
            got.append((hosts.elapsed - 2 * LATENCY, data))
        stream.close()
        return got

    return hosts.run(client())[0]


S = 1_000_000


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ([], [(0, b"aaaa"), (S, b"bbbb"), (2 * S, b"cccc"), (3 * S, b"")]),
        ([Reset(after=4)], [(0, b"aaaa"), (S, Gone)]),
        ([Reset(after=6)], [(0, b"aaaa"), (S, b"bb"), (S, Gone)]),
        ([Reset(after=0)], [(0, Gone)]),
        ([Reset(after=12)], [(0, b"aaaa"), (S, b"bbbb"), (2 * S, b"cccc"), (3 * S, Gone)]),
        ([HalfClose(after=6)], [(0, b"aaaa"), (S, b"bb"), (S, b"")]),
        ([Stall(after=6)], [(0, b"aaaa"), (S, b"bb"), (101 * S, TimedOut)]),
        (
            [Stall(after=6, seconds=5)],
            [(0, b"aaaa"), (S, b"bb"), (6 * S, b"bb"), (6 * S, b"cccc"), (6 * S, b"")],
        ),
        (
            [Stall(after=4, seconds=1.5)],
            [(0, b"aaaa"), (2.5 * S, b"bbbb"), (2.5 * S, b"cccc"), (3 * S, b"")],
        ),
        ([Delay(seconds=2)], [(2 * S, b"aaaa"), (3 * S, b"bbbb"), (4 * S, b"cccc"), (5 * S, b"")]),
        (
            [Split(size=3, gap=0.25)],
            [
                (0, b"aaa"), (S / 4, b"a"), (S, b"bbb"), (1.25 * S, b"b"),
                (2 * S, b"ccc"), (2.25 * S, b"c"), (3 * S, b""),
            ],
        ),
        ([Split(size=2, gap=2)], [
            (0, b"aa"), (2 * S, b"aa"), (2 * S, b"bb"), (4 * S, b"bb"), (4 * S, b"cc"),
            (6 * S, b"cc"), (6 * S, b""),
        ]),
        ([Merge(seconds=1.5)], [(1.5 * S, b"aaaabbbb"), (3.5 * S, b"cccc"), (4.5 * S, b"")]),
        ([Merge(seconds=1.5), Reset(after=6)], [(1.5 * S, b"aaaabb"), (1.5 * S, Gone)]),
    ],
)  # fmt: skip
def test_what_becomes_of_three_segments(
    hosts: TwoHosts, faults: list[NetworkFault], expected: Arrivals
) -> None:
    assert arrivals(hosts, *faults) == expected
    assert [fault.fired for fault in faults] == [1] * len(faults)


def test_the_sender_notices_a_reset_on_the_way(hosts: TwoHosts) -> None:
    seen: list[Any] = []

    def server(stream: Stream) -> Wait[None]:
        stream.write(b"220 hello\r\n")
        yield stream.flush(5)
        try:
            yield stream.read(10, 50)
        except Gone:
            seen.append(hosts.elapsed)

    hosts.serve(server)
    hosts.world.faults.add(Reset(after=3))

    def client() -> Wait[bytes]:
        stream = yield hosts.connect()
        return (yield stream.read_line(100, 10))

    assert hosts.run(client()) == [b"220"]
    assert seen == [2 * LATENCY]


def test_the_other_direction_of_a_half_closed_connection_works(hosts: TwoHosts) -> None:
    lines = []

    def server(stream: Stream) -> Wait[None]:
        lines.append((yield stream.read_line(100, 5)))
        stream.write(b"lost")
        yield stream.flush(5)
        lines.append((yield stream.read_line(100, 5)))
        stream.close()

    hosts.serve(server)
    hosts.world.faults.add(HalfClose(after=0))

    def client() -> Wait[bytes]:
        stream = yield hosts.connect()
        stream.write(b"one\n")
        yield stream.flush(5)
        end = yield stream.read(100, 5)
        stream.write(b"two\n")
        yield stream.flush(5)
        stream.close()
        return end

    assert hosts.run(client()) == [b""]
    assert lines == [b"one\n", b"two\n"]


def test_a_fault_concerns_the_bytes_of_one_side(hosts: TwoHosts) -> None:
    assert arrivals(hosts, Reset(after=0, sender="client"))[0] == (0, b"aaaa")
    assert len(hosts.world.unused_faults()) == 0  # the end of the client's stream met it


@pytest.mark.parametrize(
    ("fault", "strikes"),
    [
        (Delay(host="there", seconds=1), True),
        (Delay(host=THERE, port=25, source="here", seconds=1), True),
        (Delay(host=THERE, port=26, seconds=1), False),
        (Delay(host="here", seconds=1), False),
        (Delay(source="there", seconds=1), False),
        (Delay(times=0, seconds=1), False),
        (Delay(end=1, seconds=1), False),
    ],
)
def test_whom_a_fault_concerns(hosts: TwoHosts, fault: Delay, strikes: bool) -> None:
    assert arrivals(hosts, fault)[0] == (S if strikes else 0, b"aaaa")
    assert hosts.world.unused_faults() == ([] if strikes else [fault])


class TestConnecting:
    @pytest.mark.parametrize(
        ("fault", "error", "took"),
        [
            (Refuse(host=THERE), ConnectError("Connection refused"), 2 * LATENCY),
            (Drop(host=THERE), TimedOut(), 30 * S),
            (Unreachable(host=THERE), ConnectError("No route to host"), LATENCY),
            (
                Unreachable(host=THERE, why="Network is unreachable"),
                ConnectError("Network is unreachable"),
                LATENCY,
            ),
            (Partition(source="here", host="there"), TimedOut(), 30 * S),
            (Partition(source="there", host="here"), TimedOut(), 30 * S),
        ],
    )
    def test_it_fails(
        self, hosts: TwoHosts, fault: NetworkFault, error: Exception, took: int
    ) -> None:
        hosts.serve(hosts.sends(b"x"))
        hosts.world.faults.add(fault)
        got, elapsed = hosts.outcome(hosts.connect)
        assert (type(got), got.args, elapsed) == (type(error), error.args, took)
        assert fault.fired == 1

    def test_a_fault_strikes_as_often_as_it_says(self, hosts: TwoHosts) -> None:
        hosts.serve(hosts.sends(b"x"))
        hosts.world.faults.add(Refuse(host=THERE, times=2))
        kinds = [type(hosts.outcome(hosts.connect)[0]).__name__ for _ in range(3)]
        assert kinds == ["ConnectError", "ConnectError", "SimStream"]

    def test_a_fault_has_its_time(self, hosts: TwoHosts) -> None:
        hosts.serve(hosts.sends(b"x"))
        hosts.world.faults.add(Refuse(start=hosts.start + S, end=hosts.start + 2 * S))
        refused = []
        for _ in range(4):
            refused.append(isinstance(hosts.outcome(hosts.connect)[0], ConnectError))
            hosts.world.run(hosts.start + (len(refused)) * S)
        assert refused == [False, True, False, False]

    def test_addresses_without_a_machine_may_be_refused_too(self, hosts: TwoHosts) -> None:
        hosts.world.faults.add(Refuse(host="198.51.100.99"))
        got, _ = hosts.outcome(lambda: hosts.here.network.connect(Inet("198.51.100.99", 25), 9))
        assert isinstance(got, ConnectError)


class TestOnStandingConnections:
    def test_a_partition_holds_what_is_sent_until_it_is_over(self, hosts: TwoHosts) -> None:
        fault = Partition(
            source="there", host="here", start=hosts.start + S // 2, end=hosts.start + 10 * S
        )
        got = arrivals(hosts, fault)
        healed = 10 * S - LATENCY  # it ends between the machines, and counts from the connection
        assert got == [(0, b"aaaa"), (healed, b"bbbb"), (healed, b"cccc"), (healed, b"")]

    def test_a_fault_may_come_later_and_be_healed(self, hosts: TwoHosts) -> None:
        stall = Stall(after=0)
        hosts.world.at(hosts.start + S // 2, lambda: hosts.world.faults.add(stall))
        hosts.world.at(hosts.start + 7 * S, lambda: hosts.world.faults.heal(stall))
        got = arrivals(hosts)
        healed = 7 * S - LATENCY
        assert got == [(0, b"aaaa"), (healed, b"bbbb"), (healed, b"cccc"), (healed, b"")]

    def test_the_sender_runs_into_the_window_of_a_stalled_connection(self, hosts: TwoHosts) -> None:
        def server(stream: Stream) -> Wait[None]:
            with suppress(TimedOut):
                while (yield stream.read(100_000, 1000)):
                    pass

        hosts.serve(server)
        hosts.world.faults.add(Stall(after=1000, sender="client"))

        def client() -> Wait[int]:
            stream = yield hosts.connect()
            stream.write(b"x" * 1_000_000)
            with pytest.raises(TimedOut):
                yield stream.flush(180)
            stream.abort()
            return hosts.elapsed

        progress = 4 * LATENCY  # the first 1000 bytes were read, and made room
        assert hosts.run(client()) == [180 * S + progress]

    def test_a_reset_does_not_cross_a_partition(self, hosts: TwoHosts) -> None:
        hosts.world.faults.add(Partition(source="here", host="there", start=hosts.start + S // 2))
        ends: list[str] = []

        def server(stream: Stream) -> Wait[None]:
            try:
                yield stream.read(10, 50)
            except Exception as error:
                ends.append(type(error).__name__)

        hosts.serve(server)

        def client() -> Wait[None]:
            stream = yield hosts.connect()
            yield hosts.here.sleep(1)
            stream.abort()

        hosts.run(client())
        assert ends == ["TimedOut"]


def test_faults_are_in_the_trace() -> None:
    hosts = TwoHosts(keep_trace=True)
    hosts.world.faults.add(Refuse(host=THERE))
    hosts.outcome(hosts.connect)
    (event,) = hosts.world.trace.events("fault")
    assert event.facts == ("Refuse", f"192.0.2.25 to {THERE}:25")
    (failure,) = hosts.world.trace.events("no-connect")
    assert failure.fact("why") == "Connection refused"
