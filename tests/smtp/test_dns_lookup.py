"""Resource records: aliases, types, names that are none, the reply filter, search lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from smtp_site import Site

from mta.dns_lookup import (
    DNS_FAIL,
    DNS_INVAL,
    DNS_NOTFOUND,
    DNS_NULLMX,
    DNS_OK,
    DNS_POLICY,
    DNS_REQ_FLAG_STOP_OK,
    DNS_RETRY,
    RES_DEFNAMES,
    RES_DNSRCH,
    RES_USE_DNSSEC,
    DnsResult,
    dns_lookup,
    dns_lookup_v,
    set_dns_rr_filter,
)
from mta.master.server import Process
from mta.system import Inet, Wait
from sim.dns import DnsServer

Make = Callable[..., Site]

ZONE = """\
a.test. 300 IN A 203.0.113.1
a.test. 300 IN TXT "v=spf1 -all" "more"
six.test. IN AAAA 2001:db8::1
mx.test. IN MX 20 b.test.
mx.test. IN MX 10 a.test.
null.test. IN MX 0 .
numeric.test. IN MX 0 192.0.2.1.
odd.test. IN MX 0 -odd.test.
both.test. IN MX 0 -odd.test.
both.test. IN MX 5 a.test.
alias.test. IN CNAME alias2.test.
alias2.test. IN CNAME a.test.
dangling.test. IN CNAME missing.test.
ns.test. IN NS ns1.test.
local.example.org. IN A 203.0.113.7
far.search.test. IN A 203.0.113.8
tlsa.test. IN TLSA 3 1 1 abcd
"""

FAULTS = {"slow.test. A": "servfail", "no.test. A": "refused", "form.test. A": "formerr"}


class Asker:
    """Asks in the name of one process."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.process: Process = site.postfix.process("smtp")

    def run(self, task: Wait[Any]) -> Any:
        """Runs a task to its end."""
        result: list[Any] = []

        def whole() -> Wait[None]:
            result.append((yield from task))

        self.site.world.start_task(whole(), "ask")
        self.site.world.settle()
        return result[0]

    def __call__(self, name: str, *types: str, **more: Any) -> DnsResult:
        if len(types) == 1:
            found: DnsResult = self.run(dns_lookup(self.process, name, types[0], **more))
        else:
            found = self.run(dns_lookup_v(self.process, name, types, **more))
        return found

    @property
    def warnings(self) -> list[str]:
        """What the process has logged."""
        return [line.text for line in self.site.machine.log if line.pid == self.process.pid]


@pytest.fixture
def ask(make_site: Make) -> Asker:
    return Asker(make_site(zone=ZONE, faults=FAULTS))


NOT_FOUND = "Host or domain name not found. Name service error for name={} type={}: {}"

#: Name, type, status, why.
FAILURES = [
    ("missing.test", "A", DNS_NOTFOUND, "Host not found"),
    ("a.test", "MX", DNS_NOTFOUND, "Host found but no data record of requested type"),
    ("slow.test", "A", DNS_RETRY, "Host not found, try again"),
    ("no.test", "A", DNS_RETRY, "Host not found, try again"),
    ("form.test", "A", DNS_FAIL, "Non-recoverable error"),
]


@pytest.mark.parametrize(("name", "rrtype", "status", "text"), FAILURES)
def test_failures_have_postfix_words(
    ask: Asker, name: str, rrtype: str, status: int, text: str
) -> None:
    result = ask(name, rrtype)
    assert (result.status, result.records) == (status, [])
    assert result.why == NOT_FOUND.format(name, rrtype, text)


@pytest.mark.parametrize("name", ["192.0.2.1", "2001:db8::1", "a..test", "-x.test", "a b.test"])
def test_what_is_no_host_name_is_not_asked_for(ask: Asker, name: str) -> None:
    result = ask(name, "A")
    assert result.status == DNS_NOTFOUND
    assert result.why == f"Name service error for {name}: invalid host or domain name"


@pytest.mark.parametrize(
    ("name", "rrtype", "texts"),
    [
        ("a.test", "A", ["a.test. 300 IN A 203.0.113.1"]),
        ("a.test", "TXT", ["a.test. 300 IN TXT v=spf1 -all"]),
        ("mx.test", "MX", ["mx.test. 3600 IN MX 20 b.test.", "mx.test. 3600 IN MX 10 a.test."]),
        ("ns.test", "NS", ["ns.test. 3600 IN NS ns1.test."]),
        ("alias.test", "CNAME", ["alias.test. 3600 IN CNAME alias2.test."]),
        ("tlsa.test", "TLSA", ["tlsa.test. 3600 IN TLSA 3 1 1 abcd"]),
        ("six.test", "AAAA", ["six.test. 3600 IN AAAA 2001:db8::1"]),
    ],
)
def test_records_of_all_types(ask: Asker, name: str, rrtype: str, texts: list[str]) -> None:
    result = ask(name, rrtype)
    assert result.status == DNS_OK
    assert [str(rr) for rr in result.records] == texts


def test_aliases_are_followed(ask: Asker) -> None:
    result = ask("alias.test", "A")
    (record,) = result.records
    assert (record.qname, record.rname, record.data) == ("alias.test", "a.test", "203.0.113.1")
    assert result.fqdn == "a.test"


def test_an_alias_to_nothing_is_asked_for_again(ask: Asker) -> None:
    result = ask("dangling.test", "A")
    assert result.status == DNS_NOTFOUND
    assert "missing.test" in result.why or "dangling.test" in result.why


def test_a_domain_that_takes_no_mail(ask: Asker) -> None:
    result = ask("null.test", "MX")
    assert result.status == DNS_NULLMX
    assert result.why == "Domain null.test does not accept mail (nullMX)"
    assert ask("null.test", "MX", want_records=False).status == DNS_OK


def test_a_numeric_exchanger_is_warned_of_and_used(ask: Asker) -> None:
    assert ask("numeric.test", "MX").records[0].data == "192.0.2.1"
    assert ask.warnings == [
        "warning: numeric domain name in resource data of MX record for numeric.test: 192.0.2.1"
    ]


def test_a_malformed_exchanger_is_warned_of_and_left_out(ask: Asker) -> None:
    result = ask("odd.test", "MX")
    assert result.status == DNS_INVAL
    assert result.why == (
        "Name service error for name=odd.test type=MX: Malformed or unexpected name server reply"
    )
    assert ask.warnings == [
        "warning: valid_hostname: misplaced hyphen: -odd.test",
        "warning: malformed domain name in resource data of MX record for odd.test: -odd.test",
    ]
    assert [rr.data for rr in ask("both.test", "MX").records] == ["a.test"]


#: Of several types the best outcome counts, the last among equals.
@pytest.mark.parametrize(
    ("name", "types", "status", "why"),
    [
        ("a.test", ("A", "AAAA"), DNS_OK, "type=AAAA"),
        ("six.test", ("A", "AAAA"), DNS_OK, "type=A:"),
        ("missing.test", ("A", "AAAA"), DNS_NOTFOUND, "type=AAAA"),
        ("slow.test", ("A", "AAAA"), DNS_RETRY, "type=A:"),
    ],
)
def test_several_types_at_once(
    ask: Asker, name: str, types: tuple[str, ...], status: int, why: str
) -> None:
    result = ask(name, *types)
    assert result.status == status
    assert why in result.why


def test_a_lookup_can_stop_at_success(ask: Asker) -> None:
    assert len(ask("a.test", "A", "TXT").records) == 2
    assert len(ask("a.test", "A", "TXT", stop=DNS_REQ_FLAG_STOP_OK).records) == 1


@pytest.mark.parametrize(
    ("table", "status", "data", "log"),
    [
        ("/^a\\.test\\. .* IN A / IGNORE it", DNS_POLICY, [],
         ["ignoring DNS RR: a.test. 300 IN A 203.0.113.1"]),
        ("/b.test/ IGNORE", DNS_OK, ["203.0.113.1"], []),
        ("/a.test/ DROP", DNS_RETRY, [],
         ['warning: smtp_dns_reply_filter: unknown DNS filter action: "DROP"']),
    ],
)  # fmt: skip
def test_the_reply_filter(
    ask: Asker, table: str, status: int, data: list[str], log: list[str]
) -> None:
    ask.site.machine.files.write("/etc/postfix/filter", table.encode() + b"\n")
    set_dns_rr_filter(ask.process, "smtp_dns_reply_filter", "regexp:/etc/postfix/filter")
    result = ask("a.test", "A")
    assert result.status == status
    assert [rr.data for rr in result.records] == data
    assert ask.warnings == log
    if status == DNS_POLICY:
        assert result.why == (
            "Error looking up name=a.test type=A: DNS reply filter drops all results"
        )


@pytest.mark.parametrize(
    ("name", "flags", "found"),
    [
        ("local", 0, False),
        ("local", RES_DEFNAMES, True),
        ("far.search", RES_DEFNAMES, False),
        ("far.search", RES_DNSRCH, True),
    ],
)
def test_names_are_completed_on_request(
    ask: Asker, name: str, flags: int, found: bool
) -> None:
    if flags == RES_DNSRCH:
        ask.site.machine.files.write("/etc/resolv.conf", b"search nowhere.test test\n")
    assert (ask(name, "A", flags=flags).status == DNS_OK) is found


def test_validated_answers_are_marked(make_site: Make) -> None:
    site = make_site(zone="")
    site.dns = DnsServer(ZONE, secure=["a.test"])
    site.dns.install(site.machine.network, "127.0.0.2")
    site.machine.nameservers = (Inet("127.0.0.2", 53),)
    ask = Asker(site)
    assert ask("a.test", "A", flags=RES_USE_DNSSEC).records[0].dnssec_valid
    assert not ask("a.test", "A").records[0].dnssec_valid
    # The first step of the way is not validated, so what it leads to does not count.
    assert not ask("alias.test", "A", flags=RES_USE_DNSSEC).records[0].dnssec_valid
