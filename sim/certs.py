"""The certificate authority of the world: chains good and bad, the same bytes in every run.

Serial numbers and keys are derived from what a certificate says, and its times are whole days of
the world's clock, so that neither another certificate nor another run changes anything.

======================  ==========================================================================
kind                    what is shown
======================  ==========================================================================
valid                   a leaf signed by the root, for 365 days
expired                 as valid, but its last day was yesterday
not-yet-valid           as valid, but its first day is tomorrow
self-signed             a leaf that signed itself
wrong-name              as valid, for ``wrong.name.test``
wildcard                as valid, for ``*`` and the parent of each name
intermediate            a leaf signed by an intermediate authority, and that one's certificate
missing-intermediate    the same leaf alone
untrusted               a leaf signed by another root, and that root
weak-key                as valid, with an RSA key of 1024 bits
======================  ==========================================================================
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Literal, get_args

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID

from sim.cert_keys import PrivateKey, private_key

CertificateKind = Literal[
    "valid", "expired", "not-yet-valid", "self-signed", "wrong-name", "wildcard", "intermediate",
    "missing-intermediate", "untrusted", "weak-key",
]  # fmt: skip
CERTIFICATE_KINDS: tuple[str, ...] = get_args(CertificateKind)

ROOT = "Test Root"
OTHER_ROOT = "Other Root"
INTERMEDIATE = "Test Intermediate"
WRONG_NAME = "wrong.name.test"

#: The key that a leaf has unless told otherwise.
DEFAULT_KEY = "one"

#: When certificates begin and end, in days from the day on which they are made.
BEGIN, END = -30, 365
#: How long the authorities themselves are valid, in days from the world's first.
CA_END = 20 * 365

_DAY = 86_400_000_000
_EPOCH = datetime.date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Identity:
    """A key and the certificates that are shown with it, the leaf first; PEM."""

    key: bytes
    certificates: tuple[bytes, ...]

    @property
    def pem(self) -> bytes:
        """Key and certificates in one file, as Postfix takes them."""
        return self.key + b"".join(self.certificates)

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate itself."""
        return x509.load_pem_x509_certificate(self.certificates[0])


class Authority:
    """Issues certificates; one in a world.  Making one costs nothing until it is asked."""

    def __init__(self, now: Callable[[], int]) -> None:
        """``now`` tells the world's time in microseconds since the epoch."""
        self._now = now
        self._first_day = now() // _DAY

    @property
    def root(self) -> bytes:
        """The certificate of the root, PEM: what clients and servers trust."""
        return _pem(_authority(ROOT, self._first_day))

    @property
    def other_root(self) -> bytes:
        """The certificate of a root that nobody trusts unless told to, PEM."""
        return _pem(_authority(OTHER_ROOT, self._first_day))

    @property
    def intermediate(self) -> bytes:
        """The certificate of the intermediate authority, PEM."""
        return _pem(_authority(INTERMEDIATE, self._first_day))

    def issue(
        self,
        kind: str,
        names: Iterable[str],
        *,
        key: str = "",
        begin: int | None = None,
        end: int | None = None,
    ) -> Identity:
        """A certificate of a kind for host names and addresses, the first of them its CN.

        ``key`` names a key of :mod:`sim.cert_keys`; ``begin`` and ``end`` are the first and the
        last day in days from now (the last one counts to its end).  Raises ValueError.
        """
        if kind not in CERTIFICATE_KINDS:
            raise ValueError(f"no certificates are {kind!r}, only {', '.join(CERTIFICATE_KINDS)}")
        names = tuple(names)
        if not names:
            raise ValueError("a certificate needs a name")
        day = self._now() // _DAY
        span = _SPANS.get(kind, (BEGIN, END))
        first = day + (span[0] if begin is None else begin)
        last = day + (span[1] if end is None else end)
        return _issue(kind, names, key, self._first_day, first, last)


#: First and last day of the kinds that differ, in days from now.
_SPANS = {"expired": (BEGIN, -1), "not-yet-valid": (1, END)}

#: Who signs, and which certificates are shown behind the leaf.
_SIGNERS = {
    "intermediate": (INTERMEDIATE, True),
    "missing-intermediate": (INTERMEDIATE, False),
    "untrusted": (OTHER_ROOT, True),
}

#: The keys of the authorities, and who signs them.
_AUTHORITIES = {
    ROOT: ("root", ROOT),
    OTHER_ROOT: ("other root", OTHER_ROOT),
    INTERMEDIATE: ("intermediate", ROOT),
}


@lru_cache(maxsize=1024)
def _issue(
    kind: str, names: tuple[str, ...], key: str, first_day: int, first: int, last: int
) -> Identity:
    if kind == "wrong-name":
        names = (WRONG_NAME,)
    elif kind == "wildcard":
        names = tuple(f"*.{name.partition('.')[2] or name}" for name in names)
    own = private_key(key or ("weak" if kind == "weak-key" else DEFAULT_KEY))
    if kind == "self-signed":
        leaf = _sign(names[0], names, own, names[0], own, first, last)
        return Identity(key_pem(own), (_pem(leaf),))
    signer, shown = _SIGNERS.get(kind, (ROOT, False))
    leaf = _sign(names[0], names, own, signer, private_key(_AUTHORITIES[signer][0]), first, last)
    chain = [_pem(leaf)]
    if shown:
        chain.append(_pem(_authority(signer, first_day)))
    return Identity(key_pem(own), tuple(chain))


@lru_cache(maxsize=64)
def _authority(name: str, first_day: int) -> x509.Certificate:
    own, issuer = _AUTHORITIES[name]
    signer = private_key(_AUTHORITIES[issuer][0])
    return _sign(
        name, (), private_key(own), issuer, signer, first_day + BEGIN, first_day + CA_END, ca=True
    )


def _sign(
    name: str,
    names: tuple[str, ...],
    key: PrivateKey,
    issuer: str,
    signer: PrivateKey,
    first: int,
    last: int,
    *,
    ca: bool = False,
) -> x509.Certificate:
    """A certificate from the first moment of a day to the last second of another."""
    begin, end = _midnight(first), _midnight(last + 1) - datetime.timedelta(seconds=1)
    public = key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(public)
        .serial_number(_serial(name, names, issuer, first, last, public_der(key)))
        .not_valid_before(begin)
        .not_valid_after(max(begin, end))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([_alternative(item) for item in names])
        builder = builder.add_extension(alternatives, critical=False)
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(signer, algorithm)


def _midnight(day: int) -> datetime.datetime:
    return datetime.datetime.combine(_EPOCH + datetime.timedelta(days=day), datetime.time())


def _serial(*facts: object) -> int:
    """A positive number of 64 bits, always of the same size."""
    return int.from_bytes(sha256(repr(facts).encode()).digest()[:8], "big") >> 2 | 1 << 61


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text, _validate=False)])


def _alternative(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@lru_cache(maxsize=64)
def key_pem(key: PrivateKey) -> bytes:
    """A private key, PEM (PKCS 8)."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_der(key: PrivateKey) -> bytes:
    """The public half of a key, DER (SubjectPublicKeyInfo)."""
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
