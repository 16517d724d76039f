"""Keys of the world's certificates, derived from their names: nothing secret, always the same.

An RSA prime is a number drawn from the key's name and the first fitting prime after it; how far
away that is was searched once and is written down here, so that a key is made in no time.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import shake_256
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

PrivateKey = CertificateIssuerPrivateKeyTypes

EXPONENT = 65537

#: The order of the group of P-256.
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Recipe(NamedTuple):
    """An RSA key: its bits, and how far after their first numbers its two primes lie."""

    bits: int
    p: int
    q: int


#: The RSA keys that there are.
RSA_KEYS = {
    "root": Recipe(2048, 4, 2),
    "intermediate": Recipe(2048, 1714, 1156),
    "other root": Recipe(2048, 786, 1070),
    "one": Recipe(2048, 236, 572),
    "two": Recipe(2048, 1378, 44),
    "three": Recipe(2048, 158, 634),
    "weak": Recipe(1024, 182, 212),
}


@lru_cache(maxsize=256)
def private_key(name: str) -> PrivateKey:
    """The key of a name: one of :data:`RSA_KEYS`, or ``ed25519 LABEL`` or ``p256 LABEL`` with any
    label.  Raises KeyError.

    Signatures with a P-256 key have no fixed size, so the wire is not the same in every run.
    """
    kind, _, label = name.partition(" ")
    if label and kind == "ed25519":
        return ed25519.Ed25519PrivateKey.from_private_bytes(_draw(name, 32))
    if label and kind == "p256":
        number = int.from_bytes(_draw(name, 48), "big") % (_P256_ORDER - 1) + 1
        return ec.derive_private_key(number, ec.SECP256R1())
    return _rsa_key(name, RSA_KEYS[name])


def _rsa_key(name: str, recipe: Recipe) -> rsa.RSAPrivateKey:
    half = recipe.bits // 2
    p = _first(f"{name} p", half) + recipe.p
    q = _first(f"{name} q", half) + recipe.q
    d = rsa.rsa_recover_private_exponent(EXPONENT, p, q)
    public = rsa.RSAPublicNumbers(EXPONENT, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def _first(label: str, bits: int) -> int:
    """An odd number of so many bits, its two highest set."""
    return int.from_bytes(_draw(label, bits // 8), "big") | 3 << (bits - 2) | 1


def _draw(label: str, size: int) -> bytes:
    return shake_256(f"postlab certificate key {label}".encode()).digest(size)
