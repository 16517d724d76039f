"""Fingerprints of certificates and keys (tls_fprint)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from mta.lib.log import Log

#: OpenSSL's names of digests, and those of hashlib.
_DIGESTS = {
    "md5": "md5",
    "ssl3-md5": "md5",
    "md5-sha1": "md5-sha1",
    "sha1": "sha1",
    "ssl3-sha1": "sha1",
    "sha224": "sha224",
    "sha256": "sha256",
    "sha384": "sha384",
    "sha512": "sha512",
    "sha512-224": "sha512_224",
    "sha512-256": "sha512_256",
    "sha3-224": "sha3_224",
    "sha3-256": "sha3_256",
    "sha3-384": "sha3_384",
    "sha3-512": "sha3_512",
    "ripemd": "ripemd160",
    "ripemd160": "ripemd160",
    "rmd160": "ripemd160",
    "sm3": "sm3",
    "blake2b512": "blake2b",
    "blake2s256": "blake2s",
}


def tls_validate_digest(log: Log, digest: str) -> bool:
    """Whether there is a digest of that name; logs a warning where there is not."""
    if digest.lower() in _DIGESTS:
        return True
    log.warning(f'Digest algorithm "{digest}" not found')
    return False


def tls_data_fprint(data: bytes, digest: str) -> str:
    """A digest as ``AB:CD:...``.  Raises KeyError for one that does not exist."""
    name = _DIGESTS[digest.lower()]
    if name == "md5-sha1":
        value = hashlib.md5(data).digest() + hashlib.sha1(data).digest()
    else:
        value = hashlib.new(name, data).digest()
    return value.hex(":").upper()


def digest_size(digest: str) -> int:
    """The size of a digest in bytes; 0 where there is none of that name."""
    try:
        return (len(tls_data_fprint(b"", digest)) + 1) // 3
    except KeyError:
        return 0


def tls_cert_fprint(certificate: x509.Certificate, digest: str) -> str:
    """The fingerprint of a whole certificate."""
    return tls_data_fprint(certificate.public_bytes(Encoding.DER), digest)


def tls_pkey_fprint(certificate: x509.Certificate, digest: str, legacy: bool = False) -> str:
    """The fingerprint of a certificate's public key; ``legacy``: of the bits of the key alone
    (``tls_legacy_public_key_fingerprints``).
    """
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return tls_data_fprint(_key_bits(key) if legacy else key, digest)


def _key_bits(info: bytes) -> bytes:
    """The content of the bit string in a SubjectPublicKeyInfo."""
    _, start, _ = _element(info, 0)
    _, _, after_algorithm = _element(info, start)
    _, begin, end = _element(info, after_algorithm)
    return info[begin + 1 : end]  # without the number of unused bits


def _element(data: bytes, at: int) -> tuple[int, int, int]:
    """Tag, begin and end of the content of a DER element."""
    size = data[at + 1]
    begin = at + 2
    if size & 0x80:
        count = size & 0x7F
        size = int.from_bytes(data[begin : begin + count], "big")
        begin += count
    return data[at], begin, begin + size
