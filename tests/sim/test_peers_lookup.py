"""Servers that answer lookups."""

from __future__ import annotations

from typing import Any

import pytest

from mta.system import Inet, Stream, Wait
from sim.peers.lookup import LookupServer, LookupSpec
from sim.world import World

ENDPOINT = Inet("127.0.0.1", 999)


def talk(spec: LookupSpec, request: bytes) -> tuple[bytes, LookupServer]:
    """All that the server says to a request."""
    world = World()
    machine = world.machine("mx.example.org", ["192.0.2.25"])
    server = LookupServer(spec, machine, ENDPOINT)
    server.start()
    got: list[bytes] = []

    def ask() -> Wait[None]:
        stream: Stream = yield machine.network.connect(ENDPOINT, 5)
        stream.write(request)
        yield stream.flush(5)
        yield machine.sleep(30)
        got.append((yield stream.read(4096, 1)))

    world.start_task(ask(), "caller")
    assert world.settle(20_000)
    return got[0], server


VALUES = {"a": "b c", "m k": "one", "k": "two", "é": "%"}


@pytest.mark.parametrize(
    ("protocol", "request_", "reply"),
    [
        ("tcp", b"get a\nget x\n", b"200 b%20c\n500 not%20found\n"),
        ("tcp", b"get %C3%A9\n", b"200 %25\n"),
        ("tcp", b"put a\n", b"400 unknown%20command\n"),
        ("tcp", b"get %zz\n", b""),
        ("socketmap", b"3:m k,3:n k,3:n x,", b"6:OK one,6:OK two,9:NOTFOUND ,"),
        ("socketmap", b"x:", b""),
        ("memcache", b"get a\r\nget x\r\n", b"VALUE a 0 3\r\nb c\r\nEND\r\nEND\r\n"),
        ("memcache", b"set x 0 9 2\r\nhi\r\nget x\r\n", b"STORED\r\nVALUE x 0 2\r\nhi\r\nEND\r\n"),
        ("memcache", b"delete a\r\ndelete a\r\n", b"DELETED\r\nNOT_FOUND\r\n"),
        ("memcache", b"stats\r\n", b"ERROR\r\n"),
    ],
)
def test_a_server_speaks_its_protocol(protocol: Any, request_: bytes, reply: bytes) -> None:
    assert talk(LookupSpec(protocol, VALUES), request_)[0] == reply


@pytest.mark.parametrize(
    ("protocol", "request_", "reply"),
    [
        ("tcp", b"get a\nget a\n", b"400 no%20way\n200 b%20c\n"),
        ("socketmap", b"3:m k,3:m k,", b"11:TEMP no way,6:OK one,"),
        ("memcache", b"get x\r\nget x\r\n", b"SERVER_ERROR no way\r\nEND\r\n"),
    ],
)
def test_a_problem_comes_as_often_as_it_should(
    protocol: Any, request_: bytes, reply: bytes
) -> None:
    spec = LookupSpec(protocol, VALUES, fails="no way", times=1)
    said, server = talk(spec, request_)
    assert said == reply
    assert len(server.requests) == 2


def test_a_slow_server_waits_before_each_answer() -> None:
    assert talk(LookupSpec("tcp", VALUES, delay=20), b"get a\nget a\n")[0] == b"200 b%20c\n"
