"""DANE: TLSA records, who may be believed, and what they match (RFC 6698, RFC 7672)."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sim.certs import Authority
from sim.clock import START
from sim.peers.tls import TlsSpec
from tests.tls.client_site import SOUND, Site

AUTHORITY = Authority(lambda: START)
DANE = "smtp_dns_support_level = dnssec\nsmtp_tls_security_level = dane\n"
ONLY = "smtp_dns_support_level = dnssec\nsmtp_tls_security_level = dane-only\n"
HOST = "d.sec.test"

CERTIFICATES = {
    "own": AUTHORITY.issue("valid", [HOST]).leaf,
    "self-signed": AUTHORITY.issue("self-signed", [HOST]).leaf,
    "expired": AUTHORITY.issue("expired", [HOST]).leaf,
    "middle": AUTHORITY.issue("intermediate", [HOST]).leaf,
    "root": x509.load_pem_x509_certificate(AUTHORITY.root),
    "intermediate": x509.load_pem_x509_certificate(AUTHORITY.intermediate),
    "other": x509.load_pem_x509_certificate(AUTHORITY.other_root),
}


def record(usage: int, selector: int, mtype: int, who: str, name: str = HOST) -> str:
    """A TLSA record of a certificate, for port 25 of a host; ``!`` spoils it, ``-`` cuts it."""
    certificate = CERTIFICATES[who.rstrip("!-")]
    data = (
        certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if selector
        else certificate.public_bytes(Encoding.DER)
    )
    if mtype in (1, 2):
        data = hashlib.new("sha256" if mtype == 1 else "sha512", data).digest()
    if who.endswith("!"):
        data = bytes([data[0] ^ 1]) + data[1:]
    if who.endswith("-"):
        data = data[:-1]
    return f"_25._tcp.{name}. IN TLSA {usage} {selector} {mtype} {data.hex()}"


def site(main_cf: str, *records: str, tls: TlsSpec | None = SOUND, **dns: Any) -> Site:
    """A mail system, and one server in a domain that is signed, with records."""
    world = Site(main_cf).peer(HOST, tls)
    world.lab.dns("\n".join(records), signed=["sec.test."], **dns)
    return world


def outcome(world: Site, recipient: str = f"u@{HOST}") -> str:
    """The word of trust where the message went encrypted, ``plain``, or why it did not go."""
    world.send(recipient)
    words = [line.split()[0] for line in world.log("established")]
    return world.reason(recipient) or (words[-1] if words else "plain")


NOT_TRUSTED = "4.7.5 Server certificate not trusted"
NOT_VERIFIED = "4.7.5 Server certificate not verified"

USABLE = [
    ((3, 1, 1, "own"), TlsSpec(), "Verified"),
    ((3, 1, 2, "own"), TlsSpec(), "Verified"),
    ((3, 1, 0, "own"), TlsSpec(), "Verified"),
    ((3, 0, 1, "own"), TlsSpec(), "Verified"),
    ((3, 0, 2, "own"), TlsSpec(), "Verified"),
    ((3, 0, 0, "own"), TlsSpec(), "Verified"),
    ((1, 0, 1, "own"), TlsSpec(), "Verified"),  # as 3
    ((3, 0, 1, "self-signed"), TlsSpec(cert="self-signed"), "Verified"),
    ((3, 0, 1, "expired"), TlsSpec(cert="expired"), "Verified"),
    ((3, 1, 1, "own"), TlsSpec(cert="wrong-name"), "Verified"),
    ((3, 1, 1, "own!"), TlsSpec(), NOT_VERIFIED),
    ((3, 1, 1, "own!"), TlsSpec(cert="self-signed"), NOT_TRUSTED),
    ((2, 0, 0, "root"), TlsSpec(), "Verified"),  # which is not shown
    ((2, 0, 0, "root"), TlsSpec(cert="intermediate"), "Verified"),
    ((2, 0, 0, "root"), TlsSpec(cert="missing-intermediate"), NOT_TRUSTED),
    ((2, 0, 0, "intermediate"), TlsSpec(cert="missing-intermediate"), "Verified"),
    ((2, 0, 1, "intermediate"), TlsSpec(cert="intermediate"), "Verified"),
    ((2, 0, 1, "root"), TlsSpec(cert="intermediate"), NOT_TRUSTED),  # not shown, and not known
    ((2, 0, 1, "other"), TlsSpec(cert="untrusted"), "Verified"),
    ((2, 0, 1, "self-signed"), TlsSpec(cert="self-signed"), "Verified"),
    ((2, 0, 0, "root"), TlsSpec(cert="wrong-name"), NOT_VERIFIED),
    ((2, 0, 0, "root"), TlsSpec(cert="expired"), NOT_TRUSTED),
    ((2, 1, 1, "intermediate"), TlsSpec(cert="intermediate"), NOT_TRUSTED),  # a bare key
    ((2, 1, 0, "root"), TlsSpec(), NOT_TRUSTED),
]


@pytest.mark.parametrize(("row", "tls", "expected"), USABLE)
@pytest.mark.parametrize("level", [DANE, ONLY], ids=["dane", "dane-only"])
def test_records_and_what_they_match(
    row: tuple[int, int, int, str], tls: TlsSpec, expected: str, level: str
) -> None:
    assert outcome(site(level, record(*row), tls=tls)) == expected


UNUSABLE = [
    ((0, 0, 1, "own"), "unsupported certificate usage 0 in RR: {} IN TLSA 0 ..."),
    ((4, 0, 1, "own"), "unsupported certificate usage 4 in RR: {} IN TLSA 4 ..."),
    ((3, 2, 1, "own"), "unsupported selector 2 in RR: {} IN TLSA 3 2 ..."),
    ((3, 1, 3, "own"), "unsupported matching type 3 in RR: {} IN TLSA 3 1 3 ..."),
    ((3, 1, 1, "own-"), "malformed sha256 digest, length 31, in RR: {} IN TLSA 3 1 1 ..."),
    ((3, 0, 0, "own-"), "malformed certificate in RR: {} IN TLSA 3 0 0 ..."),
    ((3, 1, 0, "own!"), "malformed public key in RR: {} IN TLSA 3 1 0 ..."),
]


@pytest.mark.parametrize(("row", "text"), UNUSABLE)
def test_records_that_cannot_be_used_make_dane_encrypt(
    row: tuple[int, int, int, str], text: str
) -> None:
    world = site(DANE, record(*row), tls=TlsSpec(cert="self-signed"))
    assert outcome(world) == "Untrusted"
    assert world.log("warning")[0] == "warning: " + text.format(f"_25._tcp.{HOST}")
    world = site(DANE, record(*row), tls=None)
    assert outcome(world).startswith("4.7.4 TLS is required")
    assert outcome(site(ONLY, record(*row))) == "4.7.5 TLSA records unusable"


def test_some_records_that_can_be_used_are_enough() -> None:
    assert outcome(site(DANE, record(0, 0, 1, "own"), record(3, 1, 1, "own"))) == "Verified"
    assert outcome(site(DANE, record(3, 1, 1, "own!"), record(3, 1, 1, "own"))) == "Verified"


AGILITY = [
    ("on", ["3 1 2 own!", "3 1 1 own"], NOT_VERIFIED),
    ("off", ["3 1 2 own!", "3 1 1 own"], "Verified"),
    ("maybe", ["3 1 2 own!", "3 1 1 own"], NOT_VERIFIED),
    ("maybe", ["3 1 2 own!", "3 1 1 own", "3 1 1 root"], "Verified"),  # not the same number
    ("on", ["3 1 2 own!", "3 0 1 own"], "Verified"),  # another selector
    ("on", ["3 1 0 own", "3 1 2 own!"], "Verified"),  # a full value counts always
]


@pytest.mark.parametrize(("agility", "records", "expected"), AGILITY)
def test_of_several_digests_the_best_may_be_the_only_one(
    agility: str, records: list[str], expected: str
) -> None:
    rows = []
    for text in records:
        usage, selector, mtype, who = text.split()
        rows.append(record(int(usage), int(selector), int(mtype), who))
    assert outcome(site(f"{DANE}tls_dane_digest_agility = {agility}", *rows)) == expected


DIGESTS = [
    ("sha256", (3, 1, 2, "own"), "Trusted"),  # sha512 is unknown then: encrypt
    ("sha512 sha256", (3, 1, 2, "own"), "Verified"),
    ("sha256 bogus=7", (3, 1, 1, "own"), "Trusted"),  # no DANE at all: may
]


@pytest.mark.parametrize(("digests", "row", "expected"), DIGESTS)
def test_which_digests_are_known(
    digests: str, row: tuple[int, int, int, str], expected: str
) -> None:
    assert outcome(site(f"{DANE}tls_dane_digests = {digests}", record(*row))) == expected


BAD_DIGESTS = [
    ("sha256=2", "Non-standard value in tls_dane_digests: sha256=2"),
    ("md5=1", "Non-standard algorithm in tls_dane_digests: md5=1"),
    ("md5=300", "Invalid matching type number in tls_dane_digests: md5=300"),
    ("foo", "Unknown incompletely specified element in tls_dane_digests: foo"),
    ("sha256 SHA256", "Duplicate element in tls_dane_digests: SHA256"),
    ("foo=9", "Unimplemented digest algorithm in tls_dane_digests: foo=9"),
]


@pytest.mark.parametrize(("digests", "text"), BAD_DIGESTS)
def test_digests_that_make_no_sense(digests: str, text: str) -> None:
    world = site(f"{ONLY}tls_dane_digests = {digests}", record(3, 1, 1, "own"))
    assert outcome(world) == "4.7.5 client TLS configuration problem"
    assert world.log("warning")[:3] == [
        f"warning: {text}",
        "warning: digest algorithm initializaton failed, no DANE support",
        f"warning: {HOST}: dane-only configured, but no requisite library support",
    ]


def test_digests_of_trust_anchors_can_be_switched_off() -> None:
    cf = f"{DANE}tls_dane_trust_anchor_digest_enable = no"
    world = site(cf, record(2, 0, 1, "intermediate"), tls=TlsSpec(cert="intermediate"))
    assert outcome(world) == "Trusted"
    assert world.log("warning") == [
        f"warning: trust-anchor digests disabled, ignoring RR: _25._tcp.{HOST} IN TLSA 2 0 1 ..."
    ]


# --- who may be believed --------------------------------------------------------------------------

ZONE = f"""
s.sec.test.       IN MX 10 {HOST}.
i.plain.test.     IN MX 10 {HOST}.
m.sec.test.       IN MX 10 out.plain.test.
out.plain.test.   IN A 203.0.113.10
al.sec.test.      IN CNAME {HOST}.
away.sec.test.    IN CNAME out.plain.test.
back.plain.test.  IN CNAME {HOST}.
own.sec.test.     IN CNAME out.plain.test.
far.sec.test.     IN A 203.0.113.10
_25._tcp.far.sec.test.  IN CNAME _25._tcp.{HOST}.
far2.sec.test.    IN A 203.0.113.10
_25._tcp.far2.sec.test. IN CNAME _25._tcp.out.plain.test.
""" + "\n".join(
    (
        record(3, 1, 1, "own"),
        record(3, 1, 1, "own", "out.plain.test"),
        record(3, 1, 1, "own", "own.sec.test"),
    )
)
BELIEVED = [
    (HOST, "Verified"),
    ("s.sec.test", "Verified"),
    ("i.plain.test", "non DNSSEC destination"),  # the MX record is not signed
    ("m.sec.test", "no TLSA records found"),  # the host's address is not
    ("al.sec.test", "Verified"),
    ("away.sec.test", "no TLSA records found"),
    ("back.plain.test", "no TLSA records found"),
    ("own.sec.test", "Verified"),  # records under the alias, which is signed
    ("far.sec.test", "Verified"),
    ("far2.sec.test", "no TLSA records found"),
]


@pytest.mark.parametrize(("domain", "expected"), BELIEVED)
def test_only_what_is_signed_is_believed(domain: str, expected: str) -> None:
    good = expected == "Verified"
    assert outcome(site(ONLY, ZONE), f"u@{domain}") == (expected if good else f"4.7.5 {expected}")
    assert outcome(site(DANE, ZONE), f"u@{domain}") == (expected if good else "Trusted")


def test_hosts_in_zones_that_are_not_signed_can_be_asked_for() -> None:
    cf = f"{ONLY}smtp_tls_force_insecure_host_tlsa_lookup = yes"
    world = site(cf, ZONE, record(3, 1, 1, "own", "out.plain.test"))
    assert outcome(world, "u@m.sec.test") == "4.7.5 no TLSA records found"
    assert outcome(site(cf, ZONE), f"u@{HOST}") == "Verified"


def test_names_that_a_trust_anchor_may_vouch_for() -> None:
    """The host, and the next hop: also the name that its alias leads to."""
    zone = f"s.sec.test. IN MX 10 {HOST}.\nc.sec.test. IN CNAME s.sec.test.\n" + record(
        2, 0, 0, "root"
    )
    for names, domain, good in (
        ((HOST,), "s.sec.test", True),
        (("s.sec.test",), "s.sec.test", True),
        (("s.sec.test",), "c.sec.test", True),
        (("c.sec.test",), "c.sec.test", True),
        (("mail.s.sec.test",), "s.sec.test", False),
        (("*.sec.test",), "s.sec.test", True),
    ):
        world = site(DANE, zone, tls=TlsSpec(names=names))
        assert (outcome(world, f"u@{domain}") == "Verified") == good, (names, domain)


FAILING = ["servfail", "refused", "timeout", "bogus"]


@pytest.mark.parametrize("fault", FAILING)
@pytest.mark.parametrize("level", [DANE, ONLY], ids=["dane", "dane-only"])
def test_a_lookup_that_fails_defers_the_mail(fault: str, level: str) -> None:
    world = site(level, record(3, 1, 1, "own"))
    tap = world.tap
    world.lab.stage.dns.set_fault(f"_25._tcp.{HOST}. TLSA", fault)
    assert outcome(world) == f"4.7.5 TLSA lookup error for {HOST}:25"
    assert not tap.in_clear(b"EHLO", to="203.0.113.10")
    assert world.log("warning")[-1] == (
        f"warning: TLS policy lookup for {HOST}/{HOST}: TLSA lookup error for {HOST}:25"
    )


def test_the_second_server_is_tried_where_records_cannot_be_found_out() -> None:
    world = site(
        DANE,
        f"s.sec.test. IN MX 10 {HOST}.\ns.sec.test. IN MX 20 e.sec.test.",
        record(3, 1, 1, "own", "e.sec.test"),
        faults={f"_25._tcp.{HOST}. TLSA": "servfail"},
    )
    world.peer("e.sec.test")
    assert outcome(world, "u@s.sec.test") == "Verified"
    assert world.lab.fate("u@s.sec.test").relay == "e.sec.test[203.0.113.11]:25"


PROBLEMS = [
    ("smtp_dns_support_level = enabled", "configured with dnssec lookups disabled"),
    ("smtp_host_lookup = native", "configured with dnssec lookups disabled"),
    ("ignore_mx_lookup_error = yes", "configured with MX lookup errors ignored"),
]


@pytest.mark.parametrize(("main_cf", "text"), PROBLEMS)
def test_our_own_configuration_can_be_against_it(main_cf: str, text: str) -> None:
    cf = {line.partition("=")[0]: line for line in (DANE + main_cf).split("\n") if line}
    world = site("\n".join(cf.values()), record(3, 1, 1, "own!"))
    assert outcome(world) == "Trusted"
    assert world.log("warning") == [f"warning: {HOST}: dane {text}"]


def test_no_tls_at_all_is_no_dane_either() -> None:
    """STARTTLS that was stripped is no way around the records."""
    assert outcome(site(DANE, record(3, 1, 1, "own"), tls=None)) == (
        f"4.7.4 TLS is required, but was not offered by host {HOST}[203.0.113.10]"
    )
    assert outcome(site(DANE, tls=None)) == "plain"


def test_the_server_hears_which_host_is_wanted_and_only_then() -> None:
    for cf, told in ((DANE, True), ("smtp_tls_security_level = may\n", False)):
        world = site(cf, record(3, 1, 1, "own"))
        tap = world.tap
        outcome(world)
        assert bool(tap.in_clear(bytes([0, len(HOST)]) + HOST.encode())) == told


def test_records_are_remembered_for_their_time() -> None:
    asked: list[str] = []
    world = site(DANE, record(3, 1, 1, "own").replace(" IN ", " 60 IN "))
    world.lab.stage.dns.listener = lambda name, *_: asked.append(name)
    found = []
    for seconds in (0, 10, 70, 200):
        world.lab.advance(seconds)
        world.send(f"u@{HOST}")
        found.append(len([name for name in asked if name.startswith("_25._tcp")]))
    assert found == [1, 1, 2, 3]


def test_without_a_port_there_is_no_dane() -> None:
    cf = f"lmtp_{DANE[5:]}lmtp_tls_security_level = dane\n".replace(
        "smtp_tls_security_level = dane\n", ""
    )
    world = Site(cf + "transport_maps = inline:{x.test=lmtp:unix:/run/store}").send("u@x.test")
    assert world.log("warning")[0] == (
        'warning: /run/store: the "dane" security level is invalid for delivery via unix-domain '
        "sockets"
    )


def test_log_of_what_matched() -> None:
    world = site(DANE + "smtp_tls_loglevel = certmatch", record(2, 0, 1, "intermediate"),
                 tls=TlsSpec(cert="intermediate"))  # fmt: skip
    world.send(f"u@{HOST}")
    host = f"{HOST}[203.0.113.10]:25"
    digest = CERTIFICATES["intermediate"].fingerprint(
        CERTIFICATES["intermediate"].signature_hash_algorithm  # type: ignore[arg-type]
    )
    assert world.log()[:4] == [
        f"{host}: depth=1 matched trust anchor certificate sha256 digest "
        + digest.hex(":").upper(),
        f"{host}: depth=0 trust-anchor certificate",
        f"{host}: Matched subjectAltName: {HOST}",
        f"{host} CommonName {HOST}",
    ]
