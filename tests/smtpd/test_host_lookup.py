"""Names and addresses of hosts as the C library gives them, and what smtpd makes of them."""

from __future__ import annotations

from typing import Any

import pytest
from dnslib import QTYPE, RR, DNSHeader, DNSRecord
from smtpd_world import Process, run, talk

from mta.lib.host_lookup import (
    EAI_AGAIN,
    EAI_FAIL,
    EAI_NODATA,
    EAI_NONAME,
    IPV4,
    IPV6,
    forward_addresses,
    reverse_name,
)
from mta.system import TimedOut

ZONE = """
7.100.51.198.in-addr.arpa. 60 IN PTR good.test.
8.100.51.198.in-addr.arpa. 60 IN PTR other.test.
9.100.51.198.in-addr.arpa. 60 IN PTR nowhere.test.
10.100.51.198.in-addr.arpa. 60 IN PTR 198.51.100.10.
11.100.51.198.in-addr.arpa. 60 IN PTR bad!name.test.
12.100.51.198.in-addr.arpa. 60 IN PTR foo-.test.
13.100.51.198.in-addr.arpa. 60 IN CNAME 13.0-63.100.51.198.in-addr.arpa.
13.0-63.100.51.198.in-addr.arpa. 60 IN PTR classless.test.
9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. 60 IN PTR six.test.
good.test. 60 IN A 198.51.100.7
other.test. 60 IN A 198.51.100.99
alias.test. 60 IN CNAME good.test.
six.test. 60 IN AAAA 2001:db8::9
both.test. 60 IN A 198.51.100.1
both.test. 60 IN AAAA 2001:db8::1
"""
RECORDS = RR.fromZone(ZONE)
SILENT = ("silent.test", "14.100.51.198.in-addr.arpa")


def exchange(server: object, packet: bytes, timeout: float) -> Any:
    query = DNSRecord.parse(packet)
    name, kind = str(query.q.qname).rstrip(".").lower(), query.q.qtype
    if name in SILENT:
        return TimedOut()
    reply = DNSRecord(DNSHeader(id=query.header.id, qr=1, ra=1), q=query.q)
    seen = False
    while True:
        found = [rr for rr in RECORDS if str(rr.rname).rstrip(".").lower() == name]
        seen = seen or bool(found)
        for rr in found:
            if rr.rtype in (kind, QTYPE.CNAME):
                reply.add_answer(rr)
        alias = [rr for rr in found if rr.rtype == QTYPE.CNAME]
        if not alias:
            break
        name = str(alias[0].rdata.label).rstrip(".").lower()
    if not reply.rr:
        reply.header.rcode = 1 if name == "broken.test" else 0 if seen else 3
        reply.add_auth(*RR.fromZone(". 60 IN SOA a. b. 1 1 1 1 60"))
    return bytes(reply.pack())


def process(**settings: str) -> Process:
    made = Process(**settings)
    made.system.network.exchange = exchange  # type: ignore[method-assign,assignment]
    return made


REVERSE = [
    ("198.51.100.7", "good.test", ""),
    ("198.51.100.13", "classless.test", ""),
    ("2001:db8::9", "six.test", ""),
    ("127.0.0.1", "localhost", ""),
    ("203.0.113.1", "", EAI_NONAME),
    ("198.51.100.10", "", EAI_NONAME),
    ("198.51.100.11", "", EAI_NONAME),
    ("198.51.100.12", "", EAI_NONAME),
    ("198.51.100.14", "", EAI_AGAIN),
]


@pytest.mark.parametrize(("address", "name", "error"), REVERSE)
def test_the_name_of_an_address(address: str, name: str, error: str) -> None:
    assert run(reverse_name(process(), address)) == (name, error)


def test_names_that_are_none_are_warned_of() -> None:
    world = process()
    run(reverse_name(world, "198.51.100.10"))
    run(reverse_name(world, "198.51.100.12"))
    assert world.system.lines == [
        "warning: numeric hostname: 198.51.100.10",
        "warning: valid_hostname: misplaced hyphen: foo-.test",
    ]


FORWARD = [
    ("good.test", IPV4, ["198.51.100.7"], ""),
    ("alias.test", IPV4, ["198.51.100.7"], ""),
    ("both.test", 0, ["2001:db8::1", "198.51.100.1"], ""),
    ("good.test", IPV6, [], EAI_NODATA),
    ("nowhere.test", IPV4, [], EAI_NONAME),
    ("nowhere.test", 0, [], EAI_NONAME),
    ("silent.test", IPV4, [], EAI_AGAIN),
    ("broken.test", IPV4, [], EAI_FAIL),
    ("localhost", IPV4, ["127.0.0.1"], ""),
    ("192.0.2.9", 0, ["192.0.2.9"], ""),
    ("192.0.2.9", IPV6, [], EAI_NONAME),
]


@pytest.mark.parametrize(("name", "family", "addresses", "error"), FORWARD)
def test_the_addresses_of_a_name(name: str, family: int, addresses: list[str], error: str) -> None:
    assert run(forward_addresses(process(), name, family)) == (addresses, error)


def test_the_hosts_file_comes_first() -> None:
    world = process()
    world.system.files.content["/etc/hosts"] = b"# hosts\n192.0.2.77 good.test g # x\n"
    assert run(forward_addresses(world, "G", IPV4)).addresses == ["192.0.2.77"]
    assert run(reverse_name(world, "192.0.2.77")).name == "good.test"
    assert run(reverse_name(world, "127.0.0.1")).error == EAI_NONAME


CLIENTS = [
    ("198.51.100.7", "good.test[198.51.100.7]", ""),
    (
        "198.51.100.8",
        "unknown[198.51.100.8]",
        "hostname other.test does not resolve to address 198.51.100.8",
    ),
    (
        "198.51.100.9",
        "unknown[198.51.100.9]",
        "hostname nowhere.test does not resolve to address 198.51.100.9: Name or service not known",
    ),
    ("203.0.113.1", "unknown[203.0.113.1]", ""),
    ("::ffff:198.51.100.7", "good.test[198.51.100.7]", ""),
    ("2001:db8::9", "six.test[2001:db8::9]", ""),
]


@pytest.mark.parametrize(("address", "shown", "warning"), CLIENTS)
def test_a_client_has_the_name_that_leads_back_to_it(
    address: str, shown: str, warning: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from smtpd_world import Client

    from mta.system import Inet

    original = Client.__init__

    def here(self: Client, *arguments: Any) -> None:
        original(self, *arguments)
        self.remote = Inet(address, 1)

    monkeypatch.setattr(Client, "__init__", here)
    world = process(smtpd_peername_lookup="yes", inet_protocols="all")
    talk(world, "QUIT\r\n")
    warnings = [f"warning: {warning}"] if warning else []
    assert world.system.lines[: len(warnings) + 1] == [*warnings, f"connect from {shown}"]
