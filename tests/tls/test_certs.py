"""The world's certificate authority."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import crypto

from sim.cert_keys import RSA_KEYS, private_key
from sim.certs import CERTIFICATE_KINDS, Authority, Identity
from sim.clock import START, moment

DAY = 86_400_000_000


def verdict(authority: Authority, identity: Identity, at: int) -> str:
    """What OpenSSL says of a chain at a moment, or nothing where it is sound."""
    store = crypto.X509Store()
    root = crypto.load_certificate(crypto.FILETYPE_PEM, authority.root)
    store.add_cert(root)
    store.set_time(datetime.fromtimestamp(at / 1_000_000, UTC))
    leaf, *rest = (
        crypto.load_certificate(crypto.FILETYPE_PEM, pem) for pem in identity.certificates
    )
    try:
        crypto.X509StoreContext(store, leaf, rest).verify_certificate()
    except crypto.X509StoreContextError as error:
        return str(error).replace(" or the system clock is incorrect", "")  # as OpenSSL 4 says
    return ""


VERDICTS = [
    ("valid", ""),
    ("expired", "certificate has expired"),
    ("not-yet-valid", "certificate is not yet valid"),
    ("self-signed", "self-signed certificate"),
    ("wrong-name", ""),
    ("wildcard", ""),
    ("intermediate", ""),
    ("missing-intermediate", "unable to get local issuer certificate"),
    ("untrusted", "self-signed certificate in certificate chain"),
    ("weak-key", ""),
]


def test_there_is_a_verdict_for_each_kind() -> None:
    assert [kind for kind, _ in VERDICTS] == list(CERTIFICATE_KINDS)


@pytest.mark.parametrize(("kind", "text"), VERDICTS)
def test_each_kind_is_good_or_bad_as_its_name_says(kind: str, text: str) -> None:
    authority = Authority(lambda: START)
    assert verdict(authority, authority.issue(kind, ["mx.dest.test"]), START) == text


@pytest.mark.parametrize(
    ("days", "text"), [(0, ""), (365, ""), (366, "certificate has expired"), (-30, ""),
                       (-31, "certificate is not yet valid")]
)  # fmt: skip
def test_a_valid_certificate_lasts_from_30_days_ago_for_365_days(days: int, text: str) -> None:
    authority = Authority(lambda: START)
    identity = authority.issue("valid", ["mx.dest.test"])
    assert verdict(authority, identity, START + days * DAY) == text


NAMES = [
    ("valid", "mx.dest.test", ["mx.dest.test", "192.0.2.1"]),
    ("wrong-name", "wrong.name.test", ["wrong.name.test"]),
    ("wildcard", "*.dest.test", ["*.dest.test"]),
]


@pytest.mark.parametrize(("kind", "cn", "alternatives"), NAMES)
def test_names_go_into_the_subject_and_its_alternatives(
    kind: str, cn: str, alternatives: list[str]
) -> None:
    asked = ["mx.dest.test", "192.0.2.1"] if kind == "valid" else ["mx.dest.test"]
    leaf = Authority(lambda: START).issue(kind, asked).leaf
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert leaf.subject.rfc4514_string() == f"CN={cn}"
    assert [str(name.value) for name in found] == alternatives


def test_a_weak_key_has_1024_bits_and_the_others_2048() -> None:
    authority = Authority(lambda: START)
    bits = [
        authority.issue(k, ["a.test"]).leaf.public_key().key_size for k in ("weak-key", "valid")
    ]  # type: ignore[union-attr]
    assert bits == [1024, 2048]


@pytest.mark.parametrize("name", [*RSA_KEYS, "ed25519 a", "p256 a"])
def test_keys_sign(name: str) -> None:
    leaf = Authority(lambda: START).issue("self-signed", ["a.test"], key=name).leaf
    leaf.verify_directly_issued_by(leaf)
    loaded = serialization.load_pem_private_key(
        Authority(lambda: START).issue("valid", ["a.test"], key=name).key, None
    )
    assert loaded.public_key() == private_key(name).public_key()


def test_the_hour_makes_no_difference_and_the_day_does() -> None:
    night, noon, tomorrow = (
        Authority(lambda at=at: moment(at)).issue("valid", ["a.test"]).pem  # type: ignore[misc]
        for at in ("2026-03-01 00:00:01", "2026-03-01 12:00", "2026-03-02 00:00")
    )
    assert night == noon != tomorrow


def test_the_root_stays_the_same_while_time_goes_on() -> None:
    now = [START]
    authority = Authority(lambda: now[0])
    before = authority.root
    now[0] += 400 * DAY
    fresh = authority.issue("valid", ["a.test"])
    assert authority.root == before
    assert verdict(authority, fresh, now[0]) == ""


def test_what_there_is_not_is_refused() -> None:
    authority = Authority(lambda: START)
    with pytest.raises(ValueError, match="no certificates are 'stale'"):
        authority.issue("stale", ["a.test"])
    with pytest.raises(ValueError, match="needs a name"):
        authority.issue("valid", [])


PRINT_ALL = """
from hashlib import sha256
from sim.certs import CERTIFICATE_KINDS, Authority
from sim.clock import START
authority = Authority(lambda: START)
pems = [authority.issue(kind, ["a.test"]).pem for kind in CERTIFICATE_KINDS]
print(sha256(b"".join([authority.root, *pems])).hexdigest())
"""


def test_other_processes_make_the_same_bytes() -> None:
    hashes = {
        subprocess.run(
            [sys.executable, "-c", PRINT_ALL], check=True, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    }
    assert len(hashes) == 1
