"""Zones and the name server."""

import pytest
from dnslib import QTYPE, RCODE, DNSRecord

from mta.system import Inet, Stream, Wait
from sim.dns import DnsFault, DnsServer
from sim.world import World
from sim.zone import ZoneError, labels_of, name_key, name_text, parse_records, parse_zone

ZONE = """\
; two zones in one text
dest.test.          IN MX 10 mx.dest.test.
dest.test.          IN MX 20 mx2.dest.test.
mx.dest.test.       IN A  203.0.113.10
                    IN AAAA 2001:db8::10
mx2.dest.test. 60      A  203.0.113.11
10.113.0.203.in-addr.arpa. IN PTR mx.dest.test.
www.dest.test.  IN CNAME web.other.test.
web.other.test. IN A 203.0.113.20
astray.test.    IN CNAME nowhere.test.
ring.test.      IN CNAME gnir.test.
gnir.test.      IN CNAME ring.test.
*.wild.test.    IN MX 5 mx.dest.test.
own.wild.test.  IN A 203.0.113.30
null.test.      IN MX 0 .
text.test.      IN TXT "v=spf1 -all" "a \\"quoted\\" \\065"
_25._tcp.mx.dest.test. IN TLSA 3 1 1 0123abcd
_submission._tcp.dest.test. IN SRV 0 1 587 mx.dest.test.
soa.test.       IN SOA ns.soa.test. root.soa.test. ( 1 2h
                    3 4   ; a comment inside
                    5 )
soa.test.       IN NS ns.soa.test.
big.test.       IN TXT "%s" "%s" "%s"
""" % (("x" * 250,) * 3)


def ask(server: DnsServer, name: str, kind: str, limit: int = 512) -> DNSRecord:
    reply = server.answer(DNSRecord.question(name, kind).pack(), limit)
    assert reply is not None
    return DNSRecord.parse(reply)


def told(record: DNSRecord) -> tuple[str, list[str]]:
    rows = [f"{rr.rname} {QTYPE[rr.rtype]} {rr.rdata}" for rr in record.rr]
    return RCODE[record.header.rcode], rows


ANSWERS = [
    ("dest.test", "MX", "NOERROR", ["MX 10 mx.dest.test.", "MX 20 mx2.dest.test."]),
    ("DEST.Test", "MX", "NOERROR", ["MX 10 mx.dest.test.", "MX 20 mx2.dest.test."]),
    ("mx.dest.test", "A", "NOERROR", ["A 203.0.113.10"]),
    ("mx.dest.test", "AAAA", "NOERROR", ["AAAA 2001:db8::10"]),
    ("mx.dest.test", "MX", "NOERROR", []),
    ("test", "A", "NOERROR", []),
    ("no.test", "A", "NXDOMAIN", []),
    ("www.dest.test", "A", "NOERROR", ["CNAME web.other.test.", "A 203.0.113.20"]),
    ("www.dest.test", "MX", "NOERROR", ["CNAME web.other.test."]),
    ("www.dest.test", "CNAME", "NOERROR", ["CNAME web.other.test."]),
    ("astray.test", "A", "NXDOMAIN", ["CNAME nowhere.test."]),
    ("ring.test", "A", "SERVFAIL", []),
    ("any.thing.wild.test", "MX", "NOERROR", ["MX 5 mx.dest.test."]),
    ("any.wild.test", "A", "NOERROR", []),
    ("own.wild.test", "MX", "NOERROR", []),
    ("below.own.wild.test", "MX", "NXDOMAIN", []),
    ("wild.test", "MX", "NOERROR", []),
    ("null.test", "MX", "NOERROR", ["MX 0 ."]),
    ("10.113.0.203.in-addr.arpa", "PTR", "NOERROR", ["PTR mx.dest.test."]),
    ("text.test", "TXT", "NOERROR", ['TXT "v=spf1 -all","a "quoted" A"']),
    ("_25._tcp.mx.dest.test", "TLSA", "NOERROR", ["TLSA 3 1 1 0123ABCD"]),
    ("_submission._tcp.dest.test", "SRV", "NOERROR", ["SRV 0 1 587 mx.dest.test."]),
    ("soa.test", "NS", "NOERROR", ["NS ns.soa.test."]),
    ("soa.test", "SOA", "NOERROR", ["SOA ns.soa.test. root.soa.test. 1 7200 3 4 5"]),
    ("soa.test", "ANY", "NOERROR", ["SOA ns.soa.test. root.soa.test. 1 7200 3 4 5",
                                    "NS ns.soa.test."]),
    (".", "MX", "NXDOMAIN", []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "rcode", "rows"), ANSWERS)
def test_a_question_gets_what_the_zone_says(
    name: str, kind: str, rcode: str, rows: list[str]
) -> None:
    code, found = told(ask(DnsServer(ZONE), name, kind))
    assert (code, [row.partition(" ")[2] for row in found]) == (rcode, rows)


def test_the_same_answer_fits_every_id_and_every_way_to_write_the_name() -> None:
    server = DnsServer(ZONE)
    for name in ("mx.dest.test", "MX.dest.TEST"):
        for ident in (1, 0xFFFE):
            query = DNSRecord.question(name, "A")
            query.header.id = ident
            reply = DNSRecord.parse(server.answer(query.pack()) or b"")
            assert reply.header.id == ident
            assert str(reply.q.qname) == name + "."
            assert told(reply) == ("NOERROR", ["mx.dest.test. A 203.0.113.10"])
            assert reply.header.ra and reply.header.qr and reply.header.rd


def test_an_answer_without_data_has_the_soa_of_its_zone() -> None:
    server = DnsServer(ZONE)
    assert [str(rr.rname) for rr in ask(server, "x.soa.test", "A").auth] == ["soa.test."]
    assert [str(rr.rname) for rr in ask(server, "x.no.test", "A").auth] == ["."]
    assert ask(server, "soa.test", "NS").auth == []


def test_a_record_has_the_ttl_of_its_line_of_the_directive_or_the_default() -> None:
    records = parse_records("a. 1h30m IN A 192.0.2.1\nb. A 192.0.2.1\n$TTL 5\nc. IN 7 A 192.0.2.1\n"
                            "d. A 192.0.2.1")  # fmt: skip
    assert [record.ttl for record in records] == [5400, 3600, 7, 5]


def test_names_below_an_origin_may_be_relative() -> None:
    zone = parse_zone("$ORIGIN o.test.\n@ MX 1 mx\nmx A 192.0.2.1\n")
    assert zone.names() == ["o.test.", "mx.o.test."]
    assert told(ask(DnsServer(zone), "o.test", "MX"))[1] == ["o.test. MX 1 mx.o.test."]


def test_the_same_text_is_read_once() -> None:
    assert parse_zone(ZONE) is parse_zone(ZONE)


BAD = [
    ("a.test IN MX 10 b.", 1, "end 'a.test' with a dot"),
    ("\na.test. IN MX 10 b", 2, "end 'b' with a dot"),
    ("a. IN XM 1 b.", 1, "did you mean MX"),
    ("a. IN A 192.0.2", 1, "bad A data"),
    ("a. IN A", 1, "A takes 1 value, not 0"),
    ("a. IN MX 70000 b.", 1, "not a number up to 65535"),
    ("a. IN MX b.", 1, "MX takes 2 values, not 1"),
    ("a. IN", 1, "the record type is missing"),
    ("a. CH A 192.0.2.1", 1, "class CH"),
    ('a. A 192.0.2.1\n\nb. TXT "no end', 3, "has no end"),
    ("a. SOA b. c. (\n1 2 3 4 5", 1, "never closed"),
    ("a. TXT x )", 1, "do not match"),
    ("  A 192.0.2.1", 1, "the first record needs a name"),
    ("a..b. A 192.0.2.1", 1, "not a domain name"),
    ("$INCLUDE x", 1, "only $ORIGIN"),
    ("a. TLSA 3 1 x", 1, "bad TLSA data"),
    ("a. RRSIG", 1, "no data of a RRSIG record"),
]


@pytest.mark.parametrize(("text", "line", "hint"), BAD)
def test_a_text_that_cannot_be_read_names_the_line(text: str, line: int, hint: str) -> None:
    with pytest.raises(ZoneError) as caught:
        parse_zone(text)
    error = caught.value
    assert error.line_number == line
    assert error.text == text.split("\n")[line - 1]
    assert hint in error.hint
    assert str(error).startswith(f"zone line {line}: ")
    assert type(error)(*error.args).args == error.args


def test_names_are_read_with_their_escapes() -> None:
    assert labels_of(r"a\.b.\200c.test.") == (b"a.b", b"\xc8c", b"test")
    assert labels_of("b\u00fccher.test") == (b"xn--bcher-kva", b"test")
    assert name_text(name_key("A.Test")) == "a.test."


def test_an_answer_too_long_for_a_datagram_is_truncated() -> None:
    server = DnsServer(ZONE)
    short = ask(server, "big.test", "TXT")
    assert short.header.tc and not short.rr
    whole = ask(server, "big.test", "TXT", limit=65535)
    assert not whole.header.tc and len(whole.rr) == 1


def edns_query(name: str, kind: str, size: int, *, do: bool = False) -> bytes:
    data = bytearray(DNSRecord.question(name, kind).pack())
    data[11] = 1
    return bytes(data) + b"\0\0\x29" + size.to_bytes(2) + b"\0\0" + bytes((0x80 * do, 0, 0, 0))


def test_edns_makes_room_for_long_answers() -> None:
    server = DnsServer(ZONE)
    reply = DNSRecord.parse(server.answer(edns_query("big.test", "TXT", 4096)) or b"")
    assert not reply.header.tc and len(reply.rr) == 1
    assert [rr.rtype for rr in reply.ar] == [QTYPE.OPT]
    reply = DNSRecord.parse(server.answer(edns_query("big.test", "TXT", 600)) or b"")
    assert reply.header.tc


@pytest.mark.parametrize(
    ("name", "do", "ad"),
    [
        ("mx.dest.test", True, 1),
        ("mx.dest.test", False, 0),
        ("nothere.dest.test", True, 1),
        ("www.dest.test", True, 0),  # leads to a name that nobody vouches for
        ("web.other.test", True, 0),
    ],
)
def test_secure_domains_are_vouched_for_when_asked(name: str, do: bool, ad: int) -> None:
    server = DnsServer(ZONE, secure=["dest.test"])
    reply = DNSRecord.parse(server.answer(edns_query(name, "A", 1200, do=do)) or b"")
    assert reply.header.ad == ad


FAULTS = [
    ("servfail", "SERVFAIL"),
    ("refused", "REFUSED"),
    ("formerr", "FORMERR"),
    ("notimp", "NOTIMP"),
    ("nxdomain", "NXDOMAIN"),
    ("nodata", "NOERROR"),
    ("bogus", "SERVFAIL"),
]


@pytest.mark.parametrize(("kind", "rcode"), FAULTS)
def test_a_fault_changes_the_result_of_its_name_and_type(kind: str, rcode: str) -> None:
    server = DnsServer(ZONE, {"MX.dest.test. A": kind})
    assert told(ask(server, "mx.dest.test", "A")) == (rcode, [])
    assert told(ask(server, "mx.dest.test", "AAAA"))[0] == "NOERROR"
    assert told(ask(server, "mx2.dest.test", "A"))[0] == "NOERROR"


def test_a_timeout_is_silence_for_all_types_when_none_is_named() -> None:
    server = DnsServer(ZONE, {"mx.dest.test": "timeout"})
    for kind in ("A", "AAAA"):
        assert server.answer(DNSRecord.question("mx.dest.test", kind).pack()) is None


def test_a_fault_with_a_count_heals() -> None:
    fault = DnsFault("servfail", times=2)
    server = DnsServer(ZONE, {"dest.test. MX": fault})
    codes = [told(ask(server, "dest.test", "MX"))[0] for _ in range(4)]
    assert codes == ["SERVFAIL", "SERVFAIL", "NOERROR", "NOERROR"]
    assert fault.fired == 2


def test_faults_that_nobody_met_are_told() -> None:
    server = DnsServer(ZONE, {"dest.test. MX": "servfail", "other.test. A": "timeout"})
    ask(server, "dest.test", "MX")
    assert server.unused_faults() == ["other.test. A"]
    server.clear_fault("other.test. A")
    assert server.unused_faults() == []


@pytest.mark.parametrize(
    ("key", "what", "text"),
    [
        ("a.test. MX", "timeuot", "timeout"),
        ("a.test. XM", "timeout", "MX"),
        ("a test MX", "timeout", "NAME TYPE"),
    ],
)
def test_a_fault_that_cannot_be_names_the_nearest(key: str, what: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        DnsServer(ZONE, {key: what})


def test_truncated_answers_are_whole_over_tcp() -> None:
    server = DnsServer(ZONE, {"dest.test. MX": "truncated"})
    assert ask(server, "dest.test", "MX").header.tc
    assert len(ask(server, "dest.test", "MX", limit=65535).rr) == 2


def test_bogus_data_is_there_for_who_does_not_check() -> None:
    server = DnsServer(ZONE, {"dest.test. MX": "bogus"})
    query = DNSRecord.question("dest.test", "MX")
    query.header.cd = 1
    assert len(DNSRecord.parse(server.answer(query.pack()) or b"").rr) == 2


def test_garbage_has_the_right_id_and_cannot_be_parsed() -> None:
    server = DnsServer(ZONE, {"dest.test. MX": "garbage"})
    query = DNSRecord.question("dest.test", "MX").pack()
    reply = server.answer(query)
    assert reply is not None and reply[:2] == query[:2]
    with pytest.raises(Exception, match=r".*"):
        DNSRecord.parse(reply)


def test_a_mismatch_has_another_id() -> None:
    server = DnsServer(ZONE, {"dest.test. MX": "mismatch"})
    query = DNSRecord.question("dest.test", "MX").pack()
    reply = server.answer(query)
    assert reply is not None and reply[:2] != query[:2]


@pytest.mark.parametrize(
    ("packet", "reply"),
    [
        (b"short", None),
        (b"\1\2\x81\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1", None),  # a reply
        (b"\1\2\1\0\0\0\0\0\0\0\0\0\1a\0\0\1\0\1", b"\1\2\x80\x81" + bytes(8)),  # no question
        (b"\1\2\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", b"\1\2\x80\x81" + bytes(8)),  # a pointer
        (b"\1\2\1\0\0\1\0\0\0\0\0\0\x05a", b"\1\2\x80\x81" + bytes(8)),  # cut
    ],
)
def test_what_is_no_query_gets_an_error_or_nothing(packet: bytes, reply: bytes | None) -> None:
    assert DnsServer(ZONE).answer(packet) == reply


def test_the_listener_hears_of_every_question() -> None:
    server = DnsServer(ZONE)
    heard: list[tuple[str, int]] = []
    server.listener = lambda name, kind, reply: heard.append((name, kind))
    ask(server, "Dest.test", "MX")
    ask(server, "no.test", "A")
    assert heard == [("dest.test.", 15), ("no.test.", 1)]


def test_the_server_answers_over_the_network_by_udp_and_tcp() -> None:
    world = World()
    machine = world.machine("mx.example.org", ["192.0.2.25"])
    server = DnsServer(ZONE)
    server.install(machine.network)
    replies: list[bytes] = []

    def resolver() -> Wait[None]:
        query = DNSRecord.question("big.test", "TXT").pack()
        replies.append((yield machine.network.exchange(Inet("127.0.0.1", 53), query, 5)))
        stream: Stream = yield machine.network.connect(Inet("127.0.0.1", 53), 5)
        data = len(query).to_bytes(2) + query
        stream.write(data[:5])
        yield stream.flush(5)
        stream.write(data[5:] + data)
        yield stream.flush(5)
        got = b""
        while len(got) < 2 * (2 + 791):
            got += yield stream.read(65536, 5)
        replies.append(got)
        # the connection stays: a server that waits does not keep the world busy

    world.start_task(resolver(), "resolver")
    assert world.settle(60)
    assert DNSRecord.parse(replies[0]).header.tc
    size = int.from_bytes(replies[1][:2])
    for part in (replies[1][: 2 + size], replies[1][2 + size :]):
        assert len(DNSRecord.parse(part[2:]).rr) == 1
