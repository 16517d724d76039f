"""Certificates of smtpd(8)'s clients, and its own."""

from __future__ import annotations

from typing import Any

import pytest

from mta.tls.fprint import tls_cert_fprint
from postlab.lab import Lab
from sim.certs import CERTIFICATE_KINDS, Authority
from sim.clock import START
from sim.peers.tls import TlsSpec
from tests.tls.test_smtpd_tls import CERT, MAIL, TLS, lab, log_of, session

# --- client certificates --------------------------------------------------------------------------

GOOD = ("valid", "wrong-name", "wildcard", "intermediate")
CCERT = "smtpd_tls_ask_ccert = yes\nsmtpd_tls_loglevel = 1, untrusted\nsmtpd_tls_received_header = yes\n"

REASONS = {
    "expired": "client certificate verification failed for X: certificate has expired",
    "not-yet-valid": "client certificate verification failed for X: certificate not yet valid",
    "self-signed": "certificate verification failed for X: self-signed certificate",
    "missing-intermediate":
        "certificate verification failed for X: untrusted issuer /CN=Test Intermediate",
    "untrusted": "certificate verification failed for X: untrusted issuer /CN=Other Root",
}  # fmt: skip


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("kind", [kind for kind in CERTIFICATE_KINDS if kind != "weak-key"])
def test_certificates_of_clients_are_judged(kind: Any, version: Any) -> None:
    world = lab(CCERT)
    session(world, TlsSpec(cert=kind, names=("client.test",), max=version), *MAIL)
    lines = log_of(world)[1:]
    trust = "Trusted" if kind in GOOD else "Untrusted"
    if kind not in GOOD:
        assert lines.pop(0) == REASONS[kind].replace("X", "unknown[198.51.100.7]")
    assert lines[0].startswith(f"{trust} TLS connection established from unknown[198.51.100.7]: ")
    (mail,) = world.run().outcome.delivered
    verdict = "verified OK" if kind in GOOD else "not verified"
    assert "\t(Client CN " in mail.message and f"({verdict}))\n" in mail.message


def test_a_client_without_a_certificate_is_anonymous() -> None:
    world = lab(CCERT)
    session(world, TLS, *MAIL)
    assert log_of(world)[1].startswith("Anonymous TLS connection established")
    assert "\t(Client did not present a certificate)\n" in world.run().outcome.delivered[0].message


REQUIRED = [
    (TLS, "No client certificate presented"),
    (TlsSpec(cert="expired", names=("client.test",)), "Client certificate not trusted"),
]


@pytest.mark.parametrize(("tls", "why"), REQUIRED)
def test_where_a_certificate_is_required_others_are_sent_away(tls: TlsSpec, why: str) -> None:
    world = lab("smtpd_tls_security_level = encrypt\nsmtpd_tls_req_ccert = yes")
    said = session(world, tls)
    assert said[-4:-2] == ["C: EHLO client.test", f"S: 421 4.7.1 mx.example.org Error: {why}"]
    assert f"NOQUEUE: abort: TLS from unknown[198.51.100.7]: {why}" in log_of(world)
    assert any("250 2.1.5" in line for line in session(world, CERT, *MAIL))


def test_the_chain_may_be_too_long() -> None:
    world = lab(CCERT + "smtpd_tls_ccert_verifydepth = 0")
    session(world, CERT)
    assert log_of(world)[1] == (
        "certificate verification failed for unknown[198.51.100.7]: "
        "certificate chain longer than limit(0)"
    )


RELAY = "RCPT TO:<b@elsewhere.test>"


@pytest.mark.parametrize(
    ("restriction", "kind", "permitted"),
    [
        ("permit_tls_all_clientcerts", "valid", True),
        ("permit_tls_all_clientcerts", "expired", False),
        ("permit_tls_all_clientcerts", "none", False),
        ("permit_tls_clientcerts", "valid", True),
        ("permit_tls_clientcerts", "self-signed", False),
        ("check_ccert_access hash:/etc/postfix/certs", "valid", True),
        ("check_ccert_access hash:/etc/postfix/certs", "self-signed", False),
    ],
)
def test_certificates_permit_to_relay(restriction: str, kind: Any, permitted: bool) -> None:
    world = lab(
        "smtpd_tls_ask_ccert = yes\nrelay_clientcerts = hash:/etc/postfix/certs\n"
        f"smtpd_tls_fingerprint_digest = sha1\nsmtpd_relay_restrictions = {restriction}, reject",
        files={"certs": "none OK\n"},
    )
    leaf = world.stage.tls.authority.issue("valid", ["client.test"]).leaf
    world.write_file("certs", f"{tls_cert_fprint(leaf, 'sha1')} OK\n")
    world.command("postmap /etc/postfix/certs")
    said = session(world, TlsSpec(cert=kind, names=("client.test",)), MAIL[0], RELAY)
    assert ("S: 250 2.1.5 Ok" in said) is permitted, said


def test_policy_servers_learn_of_the_encryption() -> None:
    world = lab(
        "smtpd_tls_ask_ccert = yes\n"
        "smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:10031\n"
    ).policy("inet:127.0.0.1:10031", "DUNNO")
    session(world, TlsSpec(cert="valid", names=("client.test",)), *MAIL[:2])
    (request,) = world.run().outcome.policy["inet:127.0.0.1:10031"]
    assert {k: v for k, v in request.items() if k.startswith(("ccert_s", "ccert_i", "encr"))} == {
        "ccert_subject": "client.test",
        "ccert_issuer": "Test+20Root",
        "encryption_protocol": "TLSv1.3",
        "encryption_cipher": "TLS_AES_256_GCM_SHA384",
        "encryption_keysize": "256",
    }


def test_certificates_of_clients_expire_in_the_time_of_the_world() -> None:
    world = lab(CCERT)
    pem = world.stage.tls.authority.issue("valid", ["client.test"]).pem
    tls = TlsSpec(pem=pem)
    session(world, tls)
    world.advance("366d")
    session(world, tls)
    found = [line.partition(" from ")[0] for line in log_of(world) if " TLS connection " in line]
    assert found == ["Trusted TLS connection established", "Untrusted TLS connection established"]


# --- certificates of the server -----------------------------------------------------------------

AUTHORITY = Authority(lambda: START)


def served(main_cf: str, tls: TlsSpec | None = None, **files: bytes) -> tuple[list[str], Lab]:
    """A server with PEM files of its own; what a client sees that trusts the root."""
    names = {name.replace("_", "."): data.decode() for name, data in files.items()}
    world = lab(main_cf, files=names)
    return session(world, tls or TlsSpec(trusts=AUTHORITY.root)), world


def own(kind: str = "valid", key: str = "") -> bytes:
    return AUTHORITY.issue(kind, ["mx.example.org"], key=key).pem


CHAIN = [("intermediate", True), ("missing-intermediate", False), ("expired", False),
         ("self-signed", False), ("untrusted", False), ("valid", True)]  # fmt: skip


@pytest.mark.parametrize(("kind", "good"), CHAIN)
def test_a_server_shows_the_chain_of_its_file(kind: str, good: bool) -> None:
    said, _ = served("smtpd_tls_cert_file = /etc/postfix/own.pem", own_pem=own(kind))
    assert ("* tls TLSv1.3" in said) is good


KEYS = [
    ("smtpd_tls_eccert_file = /etc/postfix/ec.pem\nsmtpd_tls_cert_file =", "p256 a",
     "server-signature ECDSA (P-256) server-digest SHA256"),
    ("smtpd_tls_cert_file = /etc/postfix/ec.pem", "ed25519 a", "server-signature ED25519"),
    ("smtpd_tls_cert_file = /etc/postfix/ec.pem", "two",
     "server-signature RSA-PSS (2048 bits) server-digest SHA256"),
    ("smtpd_tls_eccert_file = /etc/postfix/ec.pem", "p256 a",
     "server-signature ECDSA (P-256) server-digest SHA256"),
]  # fmt: skip


@pytest.mark.parametrize(("main_cf", "key", "details"), KEYS)
def test_keys_of_all_kinds_will_do(main_cf: str, key: str, details: str) -> None:
    said, world = served(main_cf, ec_pem=own(key=key))
    assert "* tls TLSv1.3" in said
    assert log_of(world)[1].endswith(details)


def test_both_kinds_of_certificate_are_there_for_those_who_want_them() -> None:
    pem = own(key="p256 a")
    for ciphers in ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"):
        _, world = served(
            "smtpd_tls_eccert_file = /etc/postfix/ec.pem",
            TlsSpec(max="TLSv1.2", ciphers=ciphers),
            ec_pem=pem,
        )
        assert f"TLSv1.2 with cipher {ciphers} " in log_of(world)[1]


def test_a_key_must_fit_its_certificate() -> None:
    wrong = own(key="two")
    _, world = served(
        "smtpd_tls_key_file = /etc/postfix/key.pem", key_pem=wrong[: wrong.index(b"-----BEGIN C")]
    )
    assert log_of(world)[:2] == [
        'warning: cannot get RSA private key from file "/etc/postfix/key.pem": '
        "disabling TLS support",
        "warning: TLS library problem: error:05800074:x509 certificate routines::key values "
        "mismatch:../crypto/x509/x509_cmp.c:405:",
    ]


def test_authorities_come_from_a_directory_too() -> None:
    world = lab(
        "smtpd_tls_CAfile =\nsmtpd_tls_CApath = /etc/postfix/certs\nsmtpd_tls_ask_ccert = yes",
        files={"certs/0a1b2c3d.0": AUTHORITY.root.decode(), "certs/notes": "nothing"},
    )
    session(world, CERT)
    assert log_of(world)[1].startswith("Trusted TLS connection")


def test_a_new_certificate_is_shown_by_new_processes() -> None:
    world = lab(
        "smtpd_tls_cert_file = /etc/postfix/own.pem", files={"own.pem": own("expired").decode()}
    )
    strict = TlsSpec(trusts=AUTHORITY.root)
    assert "* tls failed" in session(world, strict)
    world.write_file("own.pem", own().decode())
    assert "* tls failed" in session(world, strict)  # the same process
    world.advance("150s")
    assert "* tls TLSv1.3" in session(world, strict)
