"""Addresses, connecting and listening."""

from __future__ import annotations

from typing import Any

import pytest
from two_hosts import LATENCY, THERE, TwoHosts

from mta.system import ConnectError, Inet, Interface, Network, Stream, TimedOut, Unix, Wait
from sim.network import canonical
from sim.world import World


@pytest.fixture
def hosts() -> TwoHosts:
    return TwoHosts()


def quiet(_: Stream) -> Wait[None]:
    return
    yield


def test_a_machine_has_its_addresses_and_the_loopback_ones() -> None:
    machine = World().machine("mx", ["192.0.2.25", "2001:DB8:0::25", "192.0.2.26"])
    network: Network = machine.network
    assert list(network.interfaces()) == [
        Interface("127.0.0.1", 8),
        Interface("192.0.2.25", 24),
        Interface("192.0.2.26", 24),
        Interface("::1", 128),
        Interface("2001:db8::25", 64),
    ]


@pytest.mark.parametrize(
    ("name", "addresses", "why"),
    [
        ("here", [], "there is a machine here"),
        ("new", [THERE], "is taken"),
        ("new", ["127.0.0.1"], "is taken"),
        ("new", ["192.0.2.256"], "192.0.2.256"),
    ],
)
def test_names_and_addresses_belong_to_one_machine(
    hosts: TwoHosts, name: str, addresses: list[str], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        hosts.world.machine(name, addresses)


@pytest.mark.parametrize(
    ("remote", "timeout", "source", "error", "took"),
    [
        (Inet(THERE, 26), 30, "", ConnectError("Connection refused"), 2 * LATENCY),
        (Inet("127.0.0.1", 25), 30, "", ConnectError("Connection refused"), 40),
        (Inet("192.0.2.25", 25), 30, "", ConnectError("Connection refused"), 40),
        (Inet("::1", 25), 30, "", ConnectError("Connection refused"), 40),
        (Inet("198.51.100.99", 25), 30, "", TimedOut(), 30_000_000),
        (Inet("198.51.100.99", 25), 0, "", ConnectError("Connection timed out"), 127_000_000),
        (Inet("198.51.100.99", 25), 200, "", ConnectError("Connection timed out"), 127_000_000),
        (Inet("2001:db8::1", 25), 30, "", ConnectError("Network is unreachable"), 0),
        (Inet(THERE, 25), 30, "192.0.2.1", ConnectError("Cannot assign requested address"), 0),
        (Inet(THERE, 25), 30, "::1", ConnectError("Cannot assign requested address"), 0),
        (Inet(THERE, 25), 0.0003, "", TimedOut(), 300),
        (Unix("/none"), 30, "", ConnectError("No such file or directory"), 0),
    ],
)
def test_connections_that_cannot_be_made(
    hosts: TwoHosts, remote: Any, timeout: float, source: str, error: Exception, took: int
) -> None:
    hosts.serve(quiet)
    got = hosts.outcome(lambda: hosts.here.network.connect(remote, timeout, source))
    assert (type(got[0]), got[0].args, got[1]) == (type(error), error.args, took)


def test_an_attempt_that_was_given_up_ends_when_the_answer_comes(hosts: TwoHosts) -> None:
    ends = []

    def server(stream: Stream) -> Wait[None]:
        try:
            yield stream.read(10, 10)
        except Exception as error:
            ends.append(str(error))

    hosts.serve(server)
    hosts.outcome(lambda: hosts.connect(0.0002))
    hosts.world.settle()
    assert ends == ["Connection reset by peer"]


@pytest.mark.parametrize(
    ("addresses", "remote", "source", "local"),
    [
        (["192.0.2.1", "203.0.113.7"], THERE, "", "203.0.113.7"),
        (["192.0.2.1", "192.0.2.2"], THERE, "", "192.0.2.1"),
        (["192.0.2.1", "192.0.2.2"], THERE, "192.0.2.2", "192.0.2.2"),
        (["192.0.2.1"], "192.0.2.1", "", "192.0.2.1"),
        (["192.0.2.1"], "127.0.0.1", "", "127.0.0.1"),
        (["192.0.2.1"], "127.0.0.1", "192.0.2.1", "192.0.2.1"),
        (["192.0.2.1", "2001:db8::1"], "2001:db8:0:0::99", "", "2001:db8::1"),
        (["2001:db8:5::1", "2001:db8::1"], "2001:db8::99", "", "2001:db8::1"),
    ],
)
def test_the_local_address_is_the_nearest_or_the_one_that_is_asked_for(
    addresses: list[str], remote: str, source: str, local: str
) -> None:
    world = World()
    machine = world.machine("client", addresses)
    peer = world.machine("peer", [THERE, "2001:db8::99"])
    for each in (machine, peer):
        each.network.listen(Inet("", 25), quiet)

    def client() -> Wait[Any]:
        stream = yield machine.network.connect(Inet(remote, 25), 30, source)
        return stream.local.host

    task = world.start_task(client(), "client")
    world.settle()
    assert task.value == local


def test_ports_are_counted_from_40000(hosts: TwoHosts) -> None:
    hosts.serve(quiet)

    def client() -> Wait[int]:
        stream = yield hosts.connect()
        return stream.local.port

    assert [hosts.run(client())[0] for _ in range(3)] == [40000, 40001, 40002]


class TestListening:
    @pytest.mark.parametrize(
        ("first", "second", "free"),
        [
            (Inet("", 25), Inet("", 25), False),
            (Inet("", 25), Inet("127.0.0.1", 25), False),
            (Inet("127.0.0.1", 25), Inet("", 25), False),
            (Inet("127.0.0.1", 25), Inet("127.0.0.1", 25), False),
            (Inet("127.0.0.1", 25), Inet("192.0.2.25", 25), True),
            (Inet("", 25), Inet("", 26), True),
            (Inet("0.0.0.0", 25), Inet("", 25), False),
            (Inet("0.0.0.0", 25), Inet("127.0.0.1", 25), False),
            (Inet("0.0.0.0", 25), Inet("::1", 25), True),
            (Inet("0.0.0.0", 25), Inet("::", 25), True),
            (Unix("/a"), Unix("/a"), False),
            (Unix("/a"), Unix("/b"), True),
        ],
    )
    def test_an_endpoint_is_served_once(
        self, hosts: TwoHosts, first: Any, second: Any, free: bool
    ) -> None:
        leave = hosts.here.network.listen(first, quiet)
        if not free:
            with pytest.raises(OSError, match="Address already in use"):
                hosts.here.network.listen(second, quiet)
            leave()
        hosts.here.network.listen(second, quiet)

    def test_the_address_must_be_ours(self, hosts: TwoHosts) -> None:
        with pytest.raises(OSError, match="Cannot assign requested address"):
            hosts.here.network.listen(Inet(THERE, 25), quiet)

    def test_one_address_alone_is_served(self, hosts: TwoHosts) -> None:
        hosts.here.network.listen(Inet("127.0.0.1", 25), quiet)
        error, _ = hosts.outcome(lambda: hosts.here.network.connect(Inet("192.0.2.25", 25), 5))
        assert isinstance(error, ConnectError)
        stream, _ = hosts.outcome(lambda: hosts.here.network.connect(Inet("127.0.0.1", 25), 5))
        assert stream.remote == Inet("127.0.0.1", 25)

    @pytest.mark.parametrize(
        ("host", "served"),
        [("", ["127.0.0.1", "::1"]), ("0.0.0.0", ["127.0.0.1"]), ("::", ["::1"])],
    )
    def test_all_addresses_or_all_of_a_family(
        self, hosts: TwoHosts, host: str, served: list[str]
    ) -> None:
        hosts.here.network.listen(Inet(host, 25), quiet)
        reached = []
        for address in ("127.0.0.1", "::1"):
            endpoint = Inet(address, 25)
            got, _ = hosts.outcome(lambda: hosts.here.network.connect(endpoint, 5))  # noqa: B023
            if not isinstance(got, ConnectError):
                reached.append(address)
        assert reached == served

    def test_who_leaves_refuses_and_keeps_what_stands(self, hosts: TwoHosts) -> None:
        lines = []

        def server(stream: Stream) -> Wait[None]:
            lines.append((yield stream.read_line(100, 10)))

        leave = hosts.there.network.listen(Inet("", 25), server)

        def client() -> Wait[None]:
            stream = yield hosts.connect()
            leave()
            leave()
            with pytest.raises(ConnectError, match="refused"):
                yield hosts.connect()
            stream.write(b"still here\n")
            yield stream.flush(5)

        hosts.run(client())
        assert lines == [b"still here\n"]

    def test_each_connection_has_a_task_of_its_own(self, hosts: TwoHosts) -> None:
        busy: list[int] = []

        def server(stream: Stream) -> Wait[None]:
            busy.append(1)
            yield hosts.there.sleep(5)
            stream.write(b"done\n")
            stream.close()

        hosts.serve(server)

        def client() -> Wait[int]:
            stream = yield hosts.connect()
            yield stream.read_line(100, 10)
            return hosts.elapsed

        assert hosts.run(client(), client(), client()) == [5_000_000 + 2 * LATENCY] * 3


def test_latency_between_two_machines_can_be_set(hosts: TwoHosts) -> None:
    hosts.serve(quiet)
    hosts.world.network.set_latency("there", "here", 0.05)
    assert hosts.outcome(hosts.connect)[1] == 100_000


@pytest.mark.parametrize(
    ("text", "usual"),
    [("192.0.2.1", "192.0.2.1"), ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"), ("::1", "::1")],
)
def test_addresses_have_a_usual_text(text: str, usual: str) -> None:
    assert canonical(text) == usual
