"""smtp(8) and TLS: levels, policies, names, failures, sessions, and what the log says."""

from __future__ import annotations

from typing import Any

import pytest

from sim.certs import Authority
from sim.clock import START
from sim.peers.tls import Sabotage, TlsSpec
from tests.tls.client_site import SECRET, Site

TLS12 = TlsSpec(max="TLSv1.2")
SELF = TlsSpec(cert="self-signed")


# --- the log --------------------------------------------------------------------------------------

TRUST = [
    ("may", TlsSpec(), "Trusted"),
    ("may", SELF, "Untrusted"),
    ("may", TlsSpec(cert="none"), "Anonymous"),
    ("secure", TlsSpec(), "Verified"),
]


@pytest.mark.parametrize(("level", "tls", "word"), TRUST)
def test_a_line_of_log_level_1_tells_how_far_the_server_is_trusted(
    level: str, tls: TlsSpec, word: str
) -> None:
    site = Site(f"smtp_tls_security_level = {level}").peer("d.test", tls).send("u@d.test")
    version = "TLSv1.2" if tls.cert == "none" else "TLSv1.3"
    line = site.log("TLS connection established")[0]
    assert line.startswith(
        f"{word} TLS connection established to d.test[203.0.113.10]:25: {version} with cipher "
    )
    assert site.reason("u@d.test") == ""


def test_log_level_0_tells_nothing() -> None:
    site = Site("smtp_tls_security_level = may\nsmtp_tls_loglevel = 0").peer("d.test")
    assert len(site.send("u@d.test").log()) == 1


def test_log_level_2_tells_of_each_step() -> None:
    site = Site("smtp_tls_security_level = verify\nsmtp_tls_loglevel = 2").peer("d.test", TLS12)
    host = "d.test[203.0.113.10]:25"
    log = site.send("u@d.test").log()
    fingerprints = log.pop(next(i for i, line in enumerate(log) if "fingerprint=" in line))
    assert fingerprints.startswith(f"{host}: subject_CN=d.test, issuer_CN=Test Root, fingerprint=")
    assert log[:-2] == [
        "initializing the client-side TLS engine",
        f"setting up TLS connection to {host}",
        f'{host}: TLS cipher list "aNULL:-aNULL:ALL:!EXPORT:!LOW:+RC4:@STRENGTH:!aNULL"',
        "SSL_connect:before SSL initialization",
        "SSL_connect:SSLv3/TLS write client hello",
        "SSL_connect:SSLv3/TLS write client hello",
        "SSL_connect:SSLv3/TLS read server hello",
        f"{host}: depth=1 verify=1 subject=/CN=Test Root",
        f"{host}: depth=0 verify=1 subject=/CN=d.test",
        "SSL_connect:SSLv3/TLS read server certificate",
        "SSL_connect:SSLv3/TLS read server key exchange",
        "SSL_connect:SSLv3/TLS read server done",
        "SSL_connect:SSLv3/TLS write client key exchange",
        "SSL_connect:SSLv3/TLS write change cipher spec",
        "SSL_connect:SSLv3/TLS write finished",
        "SSL_connect:SSLv3/TLS write finished",
        "SSL_connect:SSLv3/TLS read server session ticket",
        "SSL_connect:SSLv3/TLS read change cipher spec",
        "SSL_connect:SSLv3/TLS read finished",
        f"{host}: Matched subjectAltName: d.test",
        f"{host} CommonName d.test",
    ]


WHY = [
    (SELF, "certificate verification failed for {}: self-signed certificate"),
    (TlsSpec(cert="untrusted"),
     "certificate verification failed for {}: untrusted issuer /CN=Other Root"),
    (TlsSpec(cert="missing-intermediate"),
     "certificate verification failed for {}: untrusted issuer /CN=Test Intermediate"),
    (TlsSpec(cert="expired"),
     "server certificate verification failed for {}: certificate has expired"),
    (TlsSpec(cert="not-yet-valid"),
     "server certificate verification failed for {}: certificate not yet valid"),
]  # fmt: skip


@pytest.mark.parametrize(("tls", "text"), WHY)
def test_why_a_certificate_is_not_trusted(tls: TlsSpec, text: str) -> None:
    site = Site("smtp_tls_security_level = verify").peer("d.test", tls).send("u@d.test")
    assert site.log("verification")[0] == text.format("d.test[203.0.113.10]:25")
    assert site.reason("u@d.test") == "4.7.5 Server certificate not trusted"
    site = Site("smtp_tls_security_level = may").peer("d.test", tls).send("u@d.test")
    assert not site.log("verification")  # unless it matters


def test_a_chain_that_is_too_long() -> None:
    cf = "smtp_tls_security_level = verify\nsmtp_tls_scert_verifydepth = 1"
    site = Site(cf).peer("d.test", TlsSpec(cert="intermediate")).send("u@d.test")
    assert site.log("verification") == [
        "certificate verification failed for d.test[203.0.113.10]:25: "
        "certificate chain longer than limit(1)"
    ]


def test_the_day_on_which_a_certificate_expires() -> None:
    pem = Authority(lambda: START).issue("valid", ["d.test"]).pem
    site = Site("smtp_tls_security_level = secure").peer("d.test", TlsSpec(pem=pem))
    assert site.send("u@d.test").reason("u@d.test") == ""
    site.lab.advance("365d")
    assert site.send("w@d.test").reason("w@d.test") == ""
    site.lab.advance("1d")
    assert site.send("v@d.test").reason("v@d.test") == "4.7.5 Server certificate not trusted"
    assert site.log("expired") == [
        "server certificate verification failed for d.test[203.0.113.10]:25: "
        "certificate has expired"
    ]


def test_a_server_that_gets_a_new_certificate_takes_the_mail_then() -> None:
    rotation: Any = ((START + 1_000_000_000, "valid"),)
    site = Site("smtp_tls_security_level = secure")
    site.peer("d.test", TlsSpec(cert="expired", rotation=rotation)).send("u@d.test")
    assert site.reason("u@d.test") == "4.7.5 Server certificate not trusted"
    site.lab.run("2h")
    assert site.reason("u@d.test") == ""


# --- which policy ---------------------------------------------------------------------------------

LEVELS = [
    ("smtp_tls_security_level = encrypt", "encrypt"),
    ("smtp_use_tls = yes", "may"),
    ("smtp_enforce_tls = yes", "verify"),
    ("smtp_enforce_tls = yes\nsmtp_tls_enforce_peername = no", "encrypt"),
    ("smtp_enforce_tls = yes\nsmtp_tls_security_level = may", "may"),
    ("smtp_use_tls = yes\nsmtp_tls_security_level = none", "none"),
    ("smtp_tls_policy_maps = inline:{d.test=encrypt}", "encrypt"),
    ("smtp_tls_policy_maps = inline:{.test=encrypt}", "encrypt"),
    ("smtp_tls_policy_maps = inline:{x.test=encrypt}\nsmtp_tls_security_level = may", "may"),
    ("smtp_tls_policy_maps = inline:{d.test=none}\nsmtp_tls_security_level = encrypt", "none"),
    ("smtp_tls_per_site = inline:{d.test=MUST}", "verify"),
    ("smtp_tls_per_site = inline:{mx.d.test=MUST_NOPEERMATCH}", "encrypt"),
    ("smtp_tls_per_site = inline:{d.test=NONE, mx.d.test=MAY}", "none"),
    ("smtp_tls_per_site = inline:{d.test=NONE, mx.d.test=MUST}", "verify"),
    ("smtp_tls_per_site = inline:{d.test=MAY}\nsmtp_tls_security_level = encrypt", "encrypt"),
    ("smtp_tls_per_site = inline:{d.test=NONE}\nsmtp_tls_security_level = encrypt", "none"),
]


@pytest.mark.parametrize(("main_cf", "level"), LEVELS)
def test_which_level_counts(main_cf: str, level: str) -> None:
    site = Site(main_cf).peer("mx.d.test", TlsSpec(names=("other.test",)), mx_for=["d.test"])
    chosen: list[str] = []

    def listen(kind: str, facts: Any) -> None:
        if kind == "tls policy":
            chosen.append(facts["level"])

    site.lab.stage.mta.decisions = listen
    site.send("u@d.test")
    assert chosen in ([level], []) and bool(chosen) == (level != "none" or "policy" in main_cf
                                                        or "site =" in main_cf)  # fmt: skip
    words = {"none": [], "may": ["Trusted"], "encrypt": ["Trusted"], "verify": ["Trusted"]}
    assert [line.split()[0] for line in site.log("established")] == words[level]
    refused = "4.7.5 Server certificate not verified" if level == "verify" else ""
    assert site.reason("u@d.test") == refused


ENTRIES = [
    ("bogus", 'invalid security level "bogus"'),
    (",", "invalid empty policy"),
    ("encrypt ciphers=", 'attribute "ciphers" has empty value'),
    ("encrypt ciphers=high ciphers=low", 'attribute "ciphers" is specified multiple times'),
    ("encrypt protocols=a protocols=b", 'attribute "protocols" is specified multiple times'),
    ("encrypt exclude=a exclude=b", 'attribute "exclude" is specified multiple times'),
    ("encrypt match=x", 'attribute "match" invalid at security level "encrypt"'),
    ("verify match=", 'attribute "match" has empty value'),
    ("encrypt tafile=/x", 'attribute "tafile" invalid at security level "encrypt"'),
    ("secure tafile=", 'attribute "tafile" has empty value'),
    ("encrypt foo=bar", 'invalid attribute name: "foo"'),
    ("encrypt foo", "malformed attribute/value pair \"foo\": missing '=' after attribute name"),
]


@pytest.mark.parametrize(("entry", "text"), ENTRIES)
def test_a_policy_that_makes_no_sense_stops_the_mail(entry: str, text: str) -> None:
    site = Site(
        "smtp_tls_policy_maps = texthash:$config_directory/policy",
        files={"policy": f"d.test {entry}\n"},
    )
    site.peer("d.test").send("u@d.test")
    assert site.log("warning") == [
        f'warning: smtp_tls_policy_maps, next-hop destination "d.test": {text}',
        "warning: TLS policy lookup for d.test/d.test: client TLS configuration problem",
    ]
    assert site.reason("u@d.test") == "4.7.5 client TLS configuration problem"
    assert site.said("d.test") == []


def test_a_policy_is_looked_up_anew_for_each_delivery() -> None:
    site = Site("smtp_tls_policy_maps = static:bogus").peer("d.test")
    site.send("u@d.test").send("v@d.test")
    assert len([line for line in site.log("warning") if "invalid security level" in line]) == 2


def test_attributes_of_no_tls_are_ignored() -> None:
    site = Site("smtp_tls_policy_maps = inline:{{d.test = none ciphers=high}}").peer("d.test")
    assert site.send("u@d.test").log("warning") == [
        'warning: smtp_tls_policy_maps, next-hop destination "d.test": '
        'ignoring attribute "ciphers=high" with TLS disabled'
    ]
    assert site.reason("u@d.test") == ""


ATTRIBUTES = [
    ("encrypt protocols=TLSv1.2", "TLSv1.2 with cipher ECDHE-RSA-AES256-GCM-SHA384"),
    ("encrypt protocols=!TLSv1.3 exclude=AES256", "TLSv1.2 with cipher ECDHE-RSA-AES128-GCM-SHA256"),
    ("encrypt protocols=TLSv1.2 ciphers=bogus", ""),
    ("encrypt protocols=bogus", ""),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "used"), ATTRIBUTES)
def test_protocols_and_ciphers_of_a_policy(entry: str, used: str) -> None:
    site = Site(f"smtp_tls_policy_maps = inline:{{{{d.test = {entry}}}}}").peer("d.test")
    log = site.send("u@d.test").log("established", "aborting")
    if used:
        assert used in log[0]
    else:
        assert "aborting TLS session" in log[0]
        assert site.reason("u@d.test") == "4.7.5 Cannot start TLS: handshake failure"


def test_fingerprints_of_a_policy() -> None:
    site = Site("smtp_tls_security_level = may\nsmtp_tls_loglevel = summary,peercert")
    site.peer("d.test").send("u@d.test")
    line = site.log("pkey_fingerprint")[0]
    for prints in (line.rpartition("=")[2], line.partition("fingerprint=")[2].partition(",")[0]):
        other = Site(
            "smtp_tls_policy_maps = inline:{{d.test = fingerprint "
            f"match=00:11|{prints} match=22}}}}"
        )
        other.peer("d.test").send("u@d.test")
        assert other.log("established")[0].startswith("Verified")
        wrong = Site(
            "smtp_tls_security_level = fingerprint\n"
            f"smtp_tls_fingerprint_cert_match = {prints[:-2]}00"
        )
        wrong.peer("d.test").send("u@d.test")
        assert wrong.reason("u@d.test") == "4.7.5 Server certificate not verified"


def test_no_fingerprints_to_match() -> None:
    site = Site("smtp_tls_security_level = fingerprint").peer("d.test").send("u@d.test")
    assert site.log("warning")[0] == (
        "warning: nexthop domain d.test: configured at fingerprint security level, "
        "but with no fingerprints to match."
    )
    assert site.reason("u@d.test") == "4.7.5 client TLS configuration problem"


@pytest.mark.parametrize("how", ["smtp_tls_trust_anchor_file", "tafile"])
def test_trust_anchors_take_the_place_of_authorities(how: str) -> None:
    site = Site(
        "smtp_tls_security_level = verify\nsmtp_tls_trust_anchor_file = /etc/postfix/ca.pem"
        if how != "tafile"
        else "smtp_tls_policy_maps = inline:{{d.test = secure tafile=/etc/postfix/ca.pem} "
        "{o.test = verify tafile=/etc/postfix/ca.pem}}"
    )
    site.peer("d.test").peer("o.test", TlsSpec(cert="untrusted"))
    site.send("u@d.test").send("u@o.test")
    assert site.reason("u@d.test") == ""
    assert site.reason("u@o.test") == "4.7.5 Server certificate not trusted"


# --- where TLS cannot be ---------------------------------------------------------------------------


def test_starttls_that_is_not_used_may_be_noted() -> None:
    site = Site("smtp_tls_note_starttls_offer = yes").peer("d.test").send("u@d.test")
    assert site.log()[0] == "Host offered STARTTLS: [d.test]"


def test_an_offer_that_is_discarded_is_none() -> None:
    cf = "smtp_tls_security_level = encrypt\nsmtp_discard_ehlo_keywords = starttls"
    site = Site(cf).peer("d.test").send("u@d.test")
    assert site.reason("u@d.test") == (
        "4.7.4 TLS is required, but was not offered by host d.test[203.0.113.10]"
    )


ENGINES = [
    ("smtp_tls_CAfile = /nonexistent",
     'cannot load Certification Authority data, CAfile="/nonexistent": disabling TLS support'),
    ("smtp_tls_cert_file = /nonexistent",
     'warning: cannot get RSA certificate from file "/nonexistent": disabling TLS support'),
    ("smtp_tls_fingerprint_digest = bogus", 'warning: Digest algorithm "bogus" not found'),
]  # fmt: skip


@pytest.mark.parametrize(("main_cf", "text"), ENGINES)
def test_an_engine_that_does_not_work(main_cf: str, text: str) -> None:
    site = Site(f"smtp_tls_security_level = encrypt\n{main_cf}").peer("d.test").send("u@d.test")
    assert site.log()[0] == text
    assert site.reason("u@d.test") == ("4.7.5 TLS is required, but our TLS engine is unavailable")
    site = Site(f"smtp_tls_security_level = may\n{main_cf}").peer("d.test").send("u@d.test")
    assert site.reason("u@d.test") == ""


def test_wrapper_mode() -> None:
    cf = "smtp_tls_wrappermode = yes\nrelayhost = [d.test]:465\nsmtp_tls_security_level = "
    wrapped = TlsSpec(wrapper=True)
    site = Site(cf + "encrypt").peer("d.test", wrapped, port=465).send("u@x.test")
    assert site.reason("u@x.test") == ""
    assert site.said("d.test")[0][0] == "EHLO mx.example.org"
    site = Site(cf + "may").peer("d.test", wrapped, port=465).send("u@x.test")
    assert site.log("warning") == [
        'warning: smtp_tls_wrappermode requires "smtp_tls_security_level = encrypt" (or stronger)'
    ]
    assert site.reason("u@x.test") == "4.3.0 server unavailable or unable to receive mail"


def test_a_port_of_wrapper_mode_without_it() -> None:
    cf = "relayhost = [d.test]:465\nsmtp_tls_security_level = encrypt\nsmtp_helo_timeout = 5"
    site = Site(cf).peer("d.test", TlsSpec(wrapper=True), port=465).send("u@x.test")
    assert site.log()[0] == (
        'SMTPS wrappermode (TCP port 465) requires setting "smtp_tls_wrappermode = yes", '
        'and "smtp_tls_security_level = encrypt" (or stronger)'
    )


def test_opportunistic_tls_makes_no_sense_on_a_local_socket() -> None:
    cf = "lmtp_tls_security_level = may\ntransport_maps = inline:{x.test=lmtp:unix:/run/store}"
    site = Site(cf)
    stage = site.lab.stage

    def serve(stream: Any) -> Any:
        stream.close()
        return
        yield

    from mta.system import Unix

    stage.mta.network.listen(Unix("/run/store"), serve)
    site.send("u@x.test")
    assert site.log("warning") == [
        "warning: smtp_connect_local: opportunistic TLS encryption is not appropriate "
        "for unix-domain destinations."
    ]


# --- after a failure -------------------------------------------------------------------------------

FAILING = [
    TlsSpec(fault="close-in-handshake"),
    TlsSpec(fault="garbage"),
    TlsSpec(fault="close-after-handshake", max="TLSv1.2"),
    TlsSpec(sabotage=Sabotage("close", 40, phase="session")),
]


@pytest.mark.parametrize("tls", FAILING)
def test_plaintext_follows_only_for_a_message_that_has_waited(tls: TlsSpec) -> None:
    site = Site("smtp_tls_security_level = may").peer("d.test", tls)
    tap = site.tap
    site.send("u@d.test")
    assert site.reason("u@d.test").startswith(("4.7.5 Cannot start TLS", "4.4.2 lost connection"))
    assert not tap.in_clear(SECRET, to="203.0.113.10")
    site.lab.run("1h")
    assert site.lab.fate("u@d.test").attempts in (2, 3) and site.reason("u@d.test") == ""
    assert tap.in_clear(SECRET, to="203.0.113.10")


@pytest.mark.parametrize("level", ["encrypt", "verify"])
@pytest.mark.parametrize("tls", FAILING)
def test_plaintext_never_follows_where_tls_is_required(level: str, tls: TlsSpec) -> None:
    site = Site(f"smtp_tls_security_level = {level}").peer("d.test", tls)
    tap = site.tap
    site.send("u@d.test")
    site.lab.run("5h")
    assert site.reason("u@d.test")
    assert not tap.in_clear(SECRET) or not tap.in_clear(SECRET, to="203.0.113.10")


def test_plaintext_does_not_follow_for_who_would_log_in() -> None:
    cf = (
        "smtp_tls_security_level = may\nsmtp_sasl_auth_enable = yes\n"
        "smtp_sasl_password_maps = inline:{d.test=me:secret}"
    )
    site = Site(cf).peer("d.test", TlsSpec(fault="garbage")).send("u@d.test")
    site.lab.run("2h")
    assert site.lab.fate("u@d.test").attempts > 2
    assert site.reason("u@d.test") == "4.7.5 Cannot start TLS: handshake failure"


def test_the_second_server_is_sound() -> None:
    site = Site("smtp_tls_security_level = encrypt")
    site.peer("one.test", TlsSpec(fault="close-in-handshake")).peer("two.test")
    site.lab.dns("d.test. IN MX 10 one.test.\nd.test. IN MX 20 two.test.")
    site.send("u@d.test")
    fate = site.lab.fate("u@d.test")
    assert (fate.status, fate.relay, fate.attempts) == ("sent", "two.test[203.0.113.11]:25", 1)
    queue_id = site.lab.messages[0].queue_id
    assert f"{queue_id}: Cannot start TLS: handshake failure" in site.log()


def test_recipients_that_are_done_do_not_get_it_twice() -> None:
    site = Site("smtp_tls_security_level = may")
    site.peer(
        "d.test",
        replies=[{"on": "RCPT TO:<v", "reply": "450 4.2.1 busy", "then": "close", "times": 2}],
    )
    site.send("u@d.test", "v@d.test")
    site.lab.run("2h")
    delivered = [r for d in site.lab.delivered for r in d.recipients or () if "peer" in d.where]
    assert sorted(delivered) == ["u@d.test", "v@d.test"]


def test_soft_errors_of_tls_can_be_made_hard() -> None:
    """The example of the release notes of Postfix 3.0."""
    table = (
        "/^4(\\.\\d+\\.\\d+ TLS is required, but host \\S+ refused to start TLS: .+)/ 5$1\n"
        "/^4(\\.\\d+\\.\\d+ TLS is required, but was not offered by host .+)/ 5$1\n"
        "/^4(\\.7\\.5 Server certificate not (?:verified|trusted))/ 5$1\n"
    )
    cf = (
        "smtp_tls_security_level = verify\n"
        "smtp_delivery_status_filter = pcre:/etc/postfix/smtp_dsn_filter"
    )
    site = Site(cf, files={"smtp_dsn_filter": table})
    site.peer("plain.test", None).peer("refuses.test", TlsSpec(fault="refuse")).peer(
        "own.test", SELF
    )
    site.send("u@plain.test").send("u@refuses.test").send("u@own.test")
    reasons = [site.reason(f"u@{name}.test") for name in ("plain", "refuses", "own")]
    assert [reason[:6] for reason in reasons] == ["5.7.4 ", "5.7.0 ", "5.7.5 "]
    assert [site.lab.fate(f"u@{name}.test").status for name in ("plain", "refuses", "own")] == [
        "bounced"
    ] * 3


# --- connections and sessions ----------------------------------------------------------------------


def test_encrypted_connections_are_not_used_again() -> None:
    cf = (
        "smtp_connection_cache_destinations = d.test, p.test, n.test\n"
        "smtp_tls_security_level = may\nsmtp_tls_policy_maps = inline:{n.test=none}"
    )
    site = Site(cf).peer("d.test").peer("p.test", None).peer("n.test")
    client = site.lab.client("198.51.100.7").say("EHLO c.test")
    for name in ("d", "p", "n") * 2:
        client.say("MAIL FROM:<a@c.test>", f"RCPT TO:<u@{name}.test>", "DATA", "x\n.\n").wait(0.3)
    client.say("QUIT")
    site.lab.settle()
    assert [len(site.said(f"{name}.test")) for name in ("d", "p", "n")] == [2, 1, 1]


CACHE = (
    "smtp_tls_security_level = verify\nsmtp_tls_loglevel = summary,cache\n"
    "smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache\n"
)


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize(
    ("seconds", "more", "resumed"),
    [(10, "", True), (3000, "", True), (4000, "", False), (10, "smtp_tls_session_cache_timeout=0",
                                                          False)],
)  # fmt: skip
def test_sessions_are_kept_by_tlsmgr(version: Any, seconds: int, more: str, resumed: bool) -> None:
    site = Site(CACHE + more).peer("d.test", TlsSpec(max=version)).send("u@d.test")
    site.lab.advance(seconds)
    site.send("u@d.test")
    assert [line.split()[0] for line in site.log("established")] == ["Verified", "Verified"]
    assert bool(site.log("Reusing old session")) == resumed


def test_what_was_found_of_a_certificate_is_kept_with_the_session() -> None:
    site = Site(CACHE).peer("d.test", TlsSpec(cert="untrusted"))
    site.send("u@d.test").send("v@d.test")
    assert site.reason("v@d.test") == "4.7.5 Server certificate not trusted"
    assert site.log("look for details") == [
        "d.test[203.0.113.10]:25: re-using session with untrusted certificate, "
        "look for details earlier in the log"
    ]


def test_a_session_is_not_resumed_under_another_policy() -> None:
    cf = CACHE + "transport_maps = inline:{x.test=relay:[d.test]}\nsmtp_tls_loglevel = cache"
    site = Site(cf.replace("smtp_tls_loglevel = summary,cache\n", ""),
                master_cf="relay unix - - n - - smtp\n  -o smtp_tls_ciphers=high")  # fmt: skip
    site.peer("d.test", TLS12).send("u@d.test").send("u@x.test")
    assert not site.log("Reusing old session")


def test_a_session_of_a_handshake_that_fails_is_forgotten() -> None:
    site = Site(CACHE).peer("d.test", TlsSpec(fault="garbage")).send("u@d.test")
    (line,) = site.log("remove session")
    assert line.startswith("remove session smtp&d.test&d.test&203.0.113.10&&")
    assert line.endswith(" from client cache")


def test_our_own_certificate_is_shown_to_who_asks() -> None:
    cf = "smtp_tls_security_level = encrypt\nsmtp_tls_cert_file = $config_directory/mx.pem"
    trusts = Authority(lambda: START).root
    site = Site(cf).peer("d.test", TlsSpec(trusts=trusts)).send("u@d.test")
    assert site.reason("u@d.test") == ""
    assert "client-signature RSA-PSS (2048 bits)" in site.log("established")[0]
    bare = Site("smtp_tls_security_level = encrypt").peer("d.test", TlsSpec(trusts=trusts))
    assert bare.send("u@d.test").reason("u@d.test")


def test_what_comes_in_the_clear_after_starttls_is_thrown_away() -> None:
    site = Site("smtp_tls_security_level = encrypt")
    site.peer("d.test", replies=[{"on": "STARTTLS", "reply": "220 2.0.0 go\n250 2.0.0 injected"}])
    site.send("u@d.test")
    assert site.reason("u@d.test") == ""


def test_a_server_has_its_own_order_of_ciphers() -> None:
    """Of what the client offers, AES comes before ChaCha20."""
    world = Site("smtp_tls_security_level = may\nsmtp_tls_exclude_ciphers = AES256\n")
    world.peer("d.test", TlsSpec(max="TLSv1.2")).send("u@d.test")
    assert "ECDHE-RSA-AES128-GCM-SHA256" in world.log("TLS connection established")[0]
