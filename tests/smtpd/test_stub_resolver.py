"""The stub resolver asks like resolver(3): rounds, timeouts, TCP fallback, outcomes."""

from __future__ import annotations

import struct
from collections.abc import Generator
from typing import Any

import pytest
from dnslib import QTYPE, RR, DNSHeader, DNSRecord

from mta.lib.stub_resolver import (
    NO_RECOVERY,
    NODATA,
    NXDOMAIN,
    OK,
    TRY_AGAIN,
    Resolver,
    encode_question,
)
from mta.system import ConnectError, Inet, TimedOut


class Net:
    """A network whose answers to datagrams are given one after the other."""

    def __init__(self, *script: Any, tcp: bytes = b"") -> None:
        self.script = list(script)
        self.tcp = tcp
        self.asked: list[tuple[str, float]] = []

    def exchange(self, server: Inet, packet: bytes, timeout: float) -> Any:
        self.asked.append((server.host, timeout))
        what = self.script.pop(0)
        if isinstance(what, Exception):
            return what
        return what(packet) if callable(what) else what

    def connect(self, server: Inet, timeout: float) -> Any:
        self.asked.append(("tcp " + server.host, timeout))
        return TcpStream(self.tcp)


class TcpStream:
    """Answers the first question with a prepared packet."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.data = b""

    def write(self, data: bytes) -> None:
        reply = data[2:4] + self.answer[2:]
        self.data = struct.pack("!H", len(reply)) + reply

    def flush(self, timeout: float) -> Any:
        return None

    def read(self, limit: int, timeout: float) -> Any:
        data, self.data = self.data[:limit], self.data[limit:]
        return data

    def close(self) -> None:
        pass


class Files:
    def __init__(self, text: str | None) -> None:
        self.text = text

    def read(self, path: str) -> bytes:
        if self.text is None:
            raise FileNotFoundError(2, "No such file or directory")
        return self.text.encode()


class Machine:
    def __init__(self, net: Net, servers: int = 1, resolv_conf: str | None = None) -> None:
        self.network = net
        self.files = Files(resolv_conf)
        self.nameservers = [Inet(f"192.0.2.{i}", 53) for i in range(1, servers + 1)]
        self.slept = 0.0

    def now(self) -> int:
        return 0

    def sleep(self, seconds: float) -> Any:
        self.slept += seconds


def run(task: Generator[Any, Any, Any]) -> Any:
    value: Any = None
    try:
        while True:
            leaf = task.throw(value) if isinstance(value, Exception) else task.send(value)
            value = leaf
    except StopIteration as stop:
        return stop.value


def reply(zone: str = "", rcode: int = 0, *, ad: int = 0, tc: int = 0, soa: bool = False) -> Any:
    """An answer to whatever is asked, with the records of the zone text."""

    def answer(packet: bytes) -> bytes:
        query = DNSRecord.parse(packet)
        header = DNSHeader(id=query.header.id, qr=1, ra=1, rd=1, ad=ad, tc=tc, rcode=rcode)
        record = DNSRecord(header, q=query.q)
        for rr in RR.fromZone(zone):
            record.add_answer(rr)
        if soa:
            record.add_auth(*RR.fromZone(". 60 IN SOA a. b. 1 1 1 1 60"))
        return bytes(record.pack())

    return answer


def ask(machine: Machine, name: str = "a.test", dnssec: bool = False) -> Any:
    return run(Resolver(machine).query(name, QTYPE.A, dnssec))  # type: ignore[arg-type]


def test_an_answer_is_given_with_its_records_in_order() -> None:
    zone = "a.test. 60 IN CNAME b.test.\nb.test. 60 IN A 192.0.2.7\n"
    got = ask(Machine(Net(reply(zone))))
    assert got.status == OK
    assert [str(rr.rdata) for rr in got.answers] == ["b.test.", "192.0.2.7"]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (reply(rcode=3, soa=True), NXDOMAIN),
        (reply(soa=True), NODATA),
        (reply(rcode=1), NO_RECOVERY),
        (reply(rcode=9), NO_RECOVERY),
    ],
)
def test_final_answers_end_the_search(answer: Any, status: str) -> None:
    net = Net(answer)
    assert ask(Machine(net, servers=2)).status == status
    assert len(net.asked) == 1


@pytest.mark.parametrize(
    "failure",
    [TimedOut(), ConnectError("Connection refused"), reply(rcode=2), reply(rcode=5)],
)
def test_what_fails_is_asked_of_the_next_server_and_once_more(failure: Any) -> None:
    net = Net(failure, failure, failure, reply("a.test. IN A 192.0.2.7"))
    assert ask(Machine(net, servers=2)).status == OK
    assert net.asked == [("192.0.2.1", 5), ("192.0.2.2", 5), ("192.0.2.1", 5), ("192.0.2.2", 5)]


def test_after_two_rounds_without_an_answer_one_may_try_again() -> None:
    net = Net(TimedOut(), TimedOut())
    assert ask(Machine(net)).status == TRY_AGAIN
    assert net.asked == [("192.0.2.1", 5)] * 2


def test_options_of_resolv_conf_set_time_and_rounds() -> None:
    net = Net(TimedOut())
    ask(Machine(net, resolv_conf="nameserver 192.0.2.1\noptions timeout:1 attempts:1\n"))
    assert net.asked == [("192.0.2.1", 1)]


def test_a_truncated_answer_is_fetched_over_tcp() -> None:
    packet = bytes(DNSRecord.question("a.test").pack())
    net = Net(reply(tc=1), tcp=reply("a.test. 60 IN A 192.0.2.9")(packet))
    got = ask(Machine(net))
    assert [str(rr.rdata) for rr in got.answers] == ["192.0.2.9"]
    assert net.asked[1][0] == "tcp 192.0.2.1"


def test_a_packet_that_answers_another_question_is_waited_out() -> None:
    stray = bytes(DNSRecord(DNSHeader(id=4711, qr=1), q=DNSRecord.question("x.test").q).pack())
    machine = Machine(Net(stray, reply("a.test. 60 IN A 192.0.2.7")))
    assert ask(machine).status == OK
    assert machine.slept == 5


def test_authentic_data_counts_only_where_it_was_asked_for() -> None:
    zone = "a.test. 60 IN A 192.0.2.7"
    assert not ask(Machine(Net(reply(zone, ad=1)))).ad
    assert ask(Machine(Net(reply(zone, ad=1))), dnssec=True).ad


@pytest.mark.parametrize("name", ["a..test", "x" * 64 + ".test", ".".join(["x" * 60] * 5)])
def test_what_is_no_domain_name_is_not_asked(name: str) -> None:
    assert encode_question(name, QTYPE.A) is None
    assert ask(Machine(Net()), name).status == NO_RECOVERY
