"""SCRAM (RFC 5802, RFC 7677), without channel binding."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from collections.abc import Callable

from mta.sasl.mechanism import Credentials
from mta.sasl.status import SASL_BADAUTH, SASL_BADPROT, SaslError, decode64, encode64

_INPUT_LIMIT = 2048
_NONCE_SIZE = 24
_ITERATIONS_MOST = 65536
_COUNT = re.compile(rb"[ \t\n\v\f\r]*([+-]?)([0-9]+)")
_LONG = 1 << 64


def _encoded(name: bytes) -> bytes:
    """A name with what has a meaning in a message made harmless."""
    return name.replace(b"=", b"=3D").replace(b",", b"=2C")


class Scram:
    """The client, with one of the hash functions.  ``title`` is the mechanism's name."""

    def __init__(self, title: str, digest: str, credentials: Credentials) -> None:
        self.title = title
        self.digest = digest
        self.credentials = credentials
        self.done = False
        self._nonce = b""
        self._header = b""
        self._bare = b""
        self._expected: bytes | None = None

    def start(self) -> bytes:
        """Name and nonce."""
        told = self.credentials
        name = told.name
        self._nonce = encode64(told.random(_NONCE_SIZE))
        self._header = b"n," + (b"a=" + _encoded(name) if told.authzid else b"") + b","
        self._bare = b"n=" + _encoded(name) + b",r=" + self._nonce
        return self._header + self._bare

    def step(self, challenge: bytes) -> bytes:
        """The proof; after that, nothing, when the server has proved itself."""
        if self._expected is not None:
            return self._verify(challenge)
        salt, count, nonce = self._parse(challenge)
        final = b"c=" + encode64(self._header) + b",r=" + nonce
        message = b",".join((self._bare, challenge, final))
        salted = self._salted(salt, count)
        key = self._mac(salted, b"Client Key")
        signature = self._mac(hashlib.new(self.digest, key).digest(), message)
        self._expected = self._mac(self._mac(salted, b"Server Key"), message)
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        return final + b",p=" + encode64(proof)

    def _mac(self, key: bytes, text: bytes) -> bytes:
        return hmac.digest(key, text, self.digest)

    def _salted(self, salt: bytes, count: int) -> bytes:
        """The salted password.  One round is made at least."""
        return hashlib.pbkdf2_hmac(self.digest, self.credentials.password, salt, max(count, 1))

    # -- what the server says -------------------------------------------------------------------

    def _wrong(self, text: str) -> SaslError:
        return SaslError(SASL_BADPROT, text.format(self.title))

    def _check_size(self, text: bytes) -> None:
        if len(text) > _INPUT_LIMIT:
            raise self._wrong("{} input longer than (MAX_SERVERIN_LEN) bytes")

    def _parse(self, text: bytes) -> tuple[bytes, int, bytes]:
        """Salt, iteration count and nonce of the server's first message.  Raises SaslError."""
        if not text:
            raise self._wrong("{} input expected")
        self._check_size(text)
        if len(text) < 2 or text[1:2] != b"=":
            raise self._wrong("Invalid {} input")
        first = text[:2]
        if first == b"m=":
            raise self._wrong("Unsupported mandatory extension to {}")
        if first != b"r=":
            raise self._wrong("Nonce (r=) expected in {} input")
        if b"\0" in text:
            raise self._wrong("NULs found in {} input")
        nonce, _, rest = text[2:].partition(b",")
        if rest[:2] != b"s=":
            raise self._wrong("Salt expected after the nonce in {} input")
        salt, _, rest = rest[2:].partition(b",")
        if rest[:2] != b"i=":
            raise self._wrong("iteration-count expected after the salt in {} input")
        count = self._count(rest[2:].partition(b",")[0])
        if len(nonce) <= len(self._nonce) or not nonce.startswith(self._nonce):
            raise self._wrong(
                "The nonce received from the server doesn't start from the nonce sent by the client"
            )
        return self._salt(salt), count, nonce

    def _salt(self, text: bytes) -> bytes:
        if not text:
            raise self._wrong("The salt can't be empty")
        if len(text) % 4:
            raise self._wrong("Invalid base64 encoding of the salt")
        try:
            return decode64(text)
        except SaslError:
            raise self._wrong("Invalid base64 encoding of the salt in {} input") from None

    def _count(self, text: bytes) -> int:
        number = _COUNT.fullmatch(text)
        if number is None or int(number[2]) >= _LONG:
            raise self._wrong("Invalid iteration-count in {} input")
        count = -int(number[2]) % _LONG if number[1] == b"-" else int(number[2])
        if count > _ITERATIONS_MOST:
            raise self._wrong("iteration-count is too big, refusing to compute")
        return count

    def _verify(self, text: bytes) -> bytes:
        """Whether the server knows the password too.  Raises SaslError."""
        expected = self._expected or b""
        size = len(expected)
        self._check_size(text)
        if len(text) < 3:
            raise self._wrong("Invalid {} input expected")
        if text[:2] != b"v=":
            raise self._wrong("ServerSignature expected in {} input")
        try:
            proof = binascii.a2b_base64(text[2:], strict_mode=True)
        except binascii.Error:
            proof = None
        if proof is None or len(proof) > size:
            raise self._wrong("Invalid base64 encoding of the server proof in {} input")
        if len(proof) < size:
            raise self._wrong("Invalid server proof (truncated) in {} input")
        if proof != expected:
            raise SaslError(SASL_BADAUTH, "ServerSignature mismatch")
        self.done = True
        return b""


def scram(title: str, digest: str) -> Callable[[Credentials], Scram]:
    """The mechanism with a name and a hash function."""

    def begin(credentials: Credentials) -> Scram:
        return Scram(title, digest, credentials)

    return begin
