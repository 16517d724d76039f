"""From a next hop to a server: MX records, addresses, fall-backs, our own host among them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from smtp_site import ZONE, Site

from mta.system import Gone

Make = Callable[..., Site]

MORE = ZONE + """\
mx.example.org. IN A 192.0.2.25
loop.test. IN MX 10 mx.example.org.
loop.test. IN MX 20 one.test.
backup.test. IN MX 10 two.test.
backup.test. IN MX 20 mx.example.org.
backup.test. IN MX 30 one.test.
lost.test. IN MX 10 missing.test.
lost.test. IN MX 20 mx.example.org.
null.test. IN MX 0 .
host.test. IN A 203.0.113.1
alias.test. IN CNAME host.test.
nothing.test. IN MX 10 missing.test.
text.test. IN TXT "hello"
soft.test. IN MX 10 soft.test.
"""

#: Next hop, DSN, and the reason of the failure.
LOOKUPS = [
    ("missing.test", "5.4.4", "Host or domain name not found. Name service error for "
     "name=missing.test type=A: Host not found"),
    ("text.test", "5.4.4", "Host or domain name not found. Name service error for "
     "name=text.test type=A: Host found but no data record of requested type"),
    ("nothing.test", "5.4.4", "Host or domain name not found. Name service error for "
     "name=missing.test type=A: Host not found"),
    ("soft.test", "4.4.3", "Host or domain name not found. Name service error for "
     "name=soft.test type=A: Host not found, try again"),
    ("slow.test", "4.4.3", "Host or domain name not found. Name service error for "
     "name=slow.test type=MX: Host not found, try again"),
    ("null.test", "5.1.0", "Domain null.test does not accept mail (nullMX)"),
    ("loop.test", "5.4.6", "mail for loop.test loops back to myself"),
    ("lost.test", "4.4.4", "unable to find primary relay for lost.test"),
    ("[mx.example.org]", "5.4.6", "mail for mx.example.org loops back to myself"),
    ("[192.0.2.25]", "5.4.6", "mail for 192.0.2.25 loops back to myself"),
    ("backup.test", "4.4.1", "connect to two.test[203.0.113.2]:25: Connection refused"),
    ("[two.test]:2525", "4.4.1", "connect to two.test[203.0.113.2]:2525: Connection refused"),
    ("[192.0.2.25]:26", "4.4.1", "connect to 192.0.2.25[192.0.2.25]:26: Connection refused"),
]  # fmt: skip


@pytest.mark.parametrize(("nexthop", "dsn", "reason"), LOOKUPS, ids=[row[0] for row in LOOKUPS])
def test_next_hops_that_lead_nowhere(
    make_site: Make, nexthop: str, dsn: str, reason: str
) -> None:
    site = make_site(
        zone=MORE,
        faults={"slow.test. MX": "servfail", "soft.test. A": "servfail"},
        peers={"one.test": [], "two.test": None},
    )
    site.send("b@x.test", nexthop=nexthop)
    status = "deferred" if dsn[0] == "4" else "bounced"
    assert site.log()[-1] == f"QID: to=<b@x.test>, relay=none, dsn={dsn}, status={status} ({reason})"
    assert site.peers == []


@pytest.mark.parametrize(
    ("nexthop", "relay"),
    [
        ("dest.test", "one.test[203.0.113.1]:25"),
        ("[one.test]", "one.test[203.0.113.1]:25"),
        ("one.test:25", "one.test[203.0.113.1]:25"),
        ("[one.test]:smtp", "one.test[203.0.113.1]:25"),
        ("[203.0.113.1]", "203.0.113.1[203.0.113.1]:25"),
        ("alias.test", "alias.test[203.0.113.1]:25"),
        ("host.test", "host.test[203.0.113.1]:25"),
    ],
)
def test_next_hops_that_lead_to_a_server(make_site: Make, nexthop: str, relay: str) -> None:
    site = make_site(zone=MORE)
    site.send("b@x.test", nexthop=nexthop)
    assert site.log() == [
        f"QID: to=<b@x.test>, relay={relay}, dsn=2.0.0, status=sent (250 2.0.0 Ok)"
    ]


@pytest.mark.parametrize(
    ("nexthop", "text"),
    [
        ("[one.test", 'missing "]" in server description: [one.test'),
        ("[one.test]x", 'garbage after "]" in server description: [one.test]x'),
        ("one.test:0", "bad network port in destination: one.test:0"),
        ("one.test:99999", "bad network port in destination: one.test:99999"),
        ("one.test:nosuch", "unknown service: nosuch/tcp"),
        ("one..test", "valid hostname or network address required in server description: one..test"),
    ],
)
def test_next_hops_that_make_no_sense_are_fatal(make_site: Make, nexthop: str, text: str) -> None:
    site = make_site()
    with pytest.raises(Gone):
        site.send("b@x.test", nexthop=nexthop)
    assert site.log() == [f"fatal: {text}"]


def test_the_name_of_a_cname_may_be_shown_instead(make_site: Make) -> None:
    site = make_site(zone=MORE, main_cf="smtp_cname_overrides_servername = yes")
    site.send("b@x.test", nexthop="alias.test")
    assert "relay=host.test[203.0.113.1]:25" in site.log()[0]


def test_a_dead_server_is_logged_and_passed_over(make_site: Make) -> None:
    site = make_site(peers={"one.test": None, "two.test": []})
    assert not site.send("b@dest.test").deferred
    assert site.log() == [
        "connect to one.test[203.0.113.1]:25: Connection refused",
        "QID: to=<b@dest.test>, relay=two.test[203.0.113.2]:25, dsn=2.0.0, status=sent "
        "(250 2.0.0 Ok)",
    ]


@pytest.mark.parametrize(
    ("main_cf", "peers"),
    [
        ("", ["one.test", "two.test"]),
        ("smtp_mx_session_limit = 1", ["one.test"]),
        ("smtp_mx_address_limit = 1", ["one.test"]),
        ("smtp_mx_session_limit = 0", ["one.test", "two.test", "three.test"]),
        ("smtp_mx_session_limit = 0\nsmtp_mx_address_limit = 2", ["one.test", "two.test"]),
    ],
)
def test_sessions_and_addresses_are_limited(
    make_site: Make, main_cf: str, peers: list[str]
) -> None:
    busy = [{"on": "MAIL", "reply": "451 4.3.0 busy"}]
    site = make_site(
        zone=ZONE + "dest.test. IN MX 30 three.test.\n",
        peers={"one.test": busy, "two.test": busy, "three.test": busy},
        main_cf=main_cf,
    )
    assert site.send("b@dest.test").deferred
    assert site.peers == peers


def test_a_fall_back_relay_is_the_last_resort(make_site: Make) -> None:
    site = make_site(
        peers={"one.test": None, "two.test": None, "three.test": []},
        main_cf="smtp_fallback_relay = [three.test]",
    )
    site.send("b@dest.test")
    site.send("b@missing.test", nexthop="missing.test")
    assert site.peers == ["three.test"] * 2
    assert len(site.delivered) == 2


def test_a_fall_back_relay_that_does_not_exist_does_not_bounce(make_site: Make) -> None:
    site = make_site(main_cf="smtp_fallback_relay = [missing.test]")
    site.send("b@x.test", nexthop="missing2.test")
    assert site.log()[0] == "warning: smtp_fallback_relay configuration problem"
    assert "dsn=4.3.5, status=deferred" in site.log()[1]


def test_a_relay_host_that_does_not_exist_does_not_bounce(make_site: Make) -> None:
    site = make_site(main_cf="relayhost = [missing.test]")
    site.send("b@x.test", nexthop="[missing.test]")
    assert site.log()[0] == "warning: relayhost configuration problem"
    assert "dsn=4.3.5, status=deferred" in site.log()[1]


def test_mail_that_loops_can_go_to_another_transport(make_site: Make) -> None:
    site = make_site(zone=MORE, main_cf="best_mx_transport = discard:silently")
    assert not site.send("b@loop.test", nexthop="loop.test").deferred
    assert site.log("discard") == [
        "QID: to=<b@loop.test>, relay=none, dsn=2.0.0, status=sent (silently)"
    ]


def test_without_a_dns_there_is_no_mx(make_site: Make) -> None:
    site = make_site(main_cf="smtp_dns_support_level = disabled")
    site.machine.files.write("/etc/hosts", b"203.0.113.1 dest.test\n")
    site.send("b@dest.test")
    site.send("b@other.test", nexthop="other.test")
    assert "relay=dest.test[203.0.113.1]:25" in site.log()[0]
    assert site.log()[1].endswith(
        "(unable to look up host other.test: Name or service not known)"
    )


#: Wrong settings are fatal before the first delivery.
@pytest.mark.parametrize(
    ("main_cf", "text"),
    [
        ("smtp_host_lookup = nis", 'unknown smtp_host_lookup value "nis" in "nis"'),
        ("smtp_dns_support_level = some", 'invalid smtp_dns_support_level: "some"'),
        ("smtp_address_preference = ipx", "bad smtp_address_preference value: ipx"),
        ("smtp_tls_security_level = much", 'Invalid TLS level "much"'),
        (
            "smtp_address_verify_target = quit",
            'bad protocol stage: "smtp_address_verify_target = quit"',
        ),
    ],
)
def test_wrong_settings_are_fatal(make_site: Make, main_cf: str, text: str) -> None:
    site = make_site(main_cf=main_cf)
    assert site.postfix.master is not None
    site.world.start_task(site.postfix.master.connect("smtp"), "connect")
    site.world.run_for(1)
    assert site.log() == [f"fatal: {text}"]


def test_addresses_of_equal_preference_are_tried_in_any_order(make_site: Make) -> None:
    zone = "".join(f"many.test. IN A 203.0.113.{n}\n" for n in range(1, 6))
    names = {f"p{n}.test": [] for n in range(1, 6)}
    site = make_site(zone=zone, peers=names, main_cf="smtp_randomize_addresses = yes")
    for _ in range(30):
        site.send("b@many.test", nexthop="many.test")
    assert sorted(dict.fromkeys(site.peers)) == sorted(names)
