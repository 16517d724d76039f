"""Datagrams: one out, one back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from two_hosts import LATENCY, THERE, TwoHosts

from mta.system import ConnectError, Inet, TimedOut
from sim.faults import Drop, Partition, Refuse, Unreachable

DNS = Inet(THERE, 53)


@pytest.fixture
def hosts() -> TwoHosts:
    return TwoHosts()


def echo(packet: bytes, _: Inet, reply: Callable[[bytes], None]) -> None:
    reply(b"re: " + packet)


def ask(hosts: TwoHosts, server: Inet = DNS, timeout: float = 5) -> tuple[object, int]:
    return hosts.outcome(lambda: hosts.here.network.exchange(server, b"question", timeout))


def test_an_answer_comes_after_a_round_trip(hosts: TwoHosts) -> None:
    hosts.there.network.listen_datagrams(DNS, echo)
    assert ask(hosts) == (b"re: question", 2 * LATENCY)


def test_the_server_knows_who_asks_and_may_answer_later(hosts: TwoHosts) -> None:
    seen = []

    def slow(packet: bytes, client: Inet, reply: Callable[[bytes], None]) -> None:
        seen.append((packet, client))
        hosts.there.after(2, lambda: reply(b"late"))

    hosts.there.network.listen_datagrams(Inet("", 53), slow)
    assert ask(hosts) == (b"late", 2_000_000 + 2 * LATENCY)
    assert seen == [(b"question", Inet("192.0.2.25", 40000))]


def test_an_answer_that_comes_too_late_is_lost(hosts: TwoHosts) -> None:
    def slow(_: bytes, __: Inet, reply: Callable[[bytes], None]) -> None:
        hosts.there.after(5, lambda: reply(b"late"))

    hosts.there.network.listen_datagrams(DNS, slow)
    error, took = ask(hosts)
    assert isinstance(error, TimedOut)
    assert took == 5_000_000
    hosts.world.run_for(10)


def test_the_second_answer_is_lost(hosts: TwoHosts) -> None:
    def twice(_: bytes, __: Inet, reply: Callable[[bytes], None]) -> None:
        reply(b"one")
        reply(b"two")

    hosts.there.network.listen_datagrams(DNS, twice)
    assert ask(hosts)[0] == b"one"
    hosts.world.run_for(1)


def test_a_port_that_nobody_serves_is_refused(hosts: TwoHosts) -> None:
    error, took = ask(hosts)
    assert isinstance(error, ConnectError)
    assert (str(error), took) == ("Connection refused", 2 * LATENCY)


def test_who_stops_serving_refuses(hosts: TwoHosts) -> None:
    hosts.there.network.listen_datagrams(DNS, echo)()
    assert str(ask(hosts)[0]) == "Connection refused"


@pytest.mark.parametrize(
    ("server", "error", "took"),
    [
        (Inet("198.51.100.99", 53), TimedOut(), 5_000_000),
        (Inet("2001:db8::1", 53), ConnectError("Network is unreachable"), 0),
    ],
)
def test_nobody_is_there(hosts: TwoHosts, server: Inet, error: Exception, took: int) -> None:
    got, elapsed = ask(hosts, server)
    assert isinstance(got, type(error))
    assert (got.args, elapsed) == (error.args, took)


@pytest.mark.parametrize(
    ("fault", "why", "took"),
    [
        (Drop(host=THERE), "", 5_000_000),
        (Drop(host="there", port=53), "", 5_000_000),
        (Partition(source="here", host="there"), "", 5_000_000),
        (Partition(source="there", host="here"), "", 5_000_000),
        (Refuse(host="there"), "Connection refused", 2 * LATENCY),
        (Unreachable(host="there"), "No route to host", 2 * LATENCY),
    ],
)
def test_faults_strike_datagrams(hosts: TwoHosts, fault: Drop, why: str, took: int) -> None:
    hosts.there.network.listen_datagrams(DNS, echo)
    hosts.world.faults.add(fault)
    error, elapsed = ask(hosts)
    assert (str(error), elapsed) == (why, took)
    assert hosts.world.unused_faults() == []


def test_a_fault_may_strike_once(hosts: TwoHosts) -> None:
    hosts.there.network.listen_datagrams(DNS, echo)
    hosts.world.faults.add(Drop(host=THERE, times=1))
    assert isinstance(ask(hosts)[0], TimedOut)
    assert ask(hosts)[0] == b"re: question"


def test_a_machine_may_ask_itself(hosts: TwoHosts) -> None:
    hosts.here.network.listen_datagrams(Inet("127.0.0.1", 53), echo)
    assert ask(hosts, Inet("127.0.0.1", 53)) == (b"re: question", 40)
