"""NTLM, version 1, as a client (MS-NLMP): one of the two old responses, in the server's domain."""

from __future__ import annotations

import struct

from mta.sasl.mechanism import Credentials
from mta.sasl.status import SASL_BADPROT, SaslError

_SIGNATURE = b"NTLMSSP\0"
_USE_UNICODE = 0x0001
_USE_ASCII = 0x0002
_ASK_TARGET = 0x0004
_AUTH_NTLM = 0x0200
_CHALLENGE_SIZE = 32
_RESPONSE_HEADER = 64
_LM_TEXT = b"KGS!@#$%"

#: The first message: what we can do, and empty domain and workstation names.
_REQUEST = _SIGNATURE + struct.pack(
    "<II8s8s",
    1,
    _USE_UNICODE | _USE_ASCII | _ASK_TARGET | _AUTH_NTLM,
    struct.pack("<HHI", 0, 0, 0x20),
    struct.pack("<HHI", 0, 0, 0x20),
)


class Ntlm:
    """The client."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self.done = False

    def start(self) -> bytes:
        """What we can do."""
        self.credentials.note("NTLM client step 1")
        return _REQUEST

    def step(self, challenge: bytes) -> bytes:
        """Name and response, and that is all."""
        note = self.credentials.note
        note("NTLM client step 2")
        if (
            len(challenge) < _CHALLENGE_SIZE
            or challenge[:8] != _SIGNATURE
            or struct.unpack_from("<I", challenge, 8)[0] != 2
        ):
            raise SaslError(SASL_BADPROT, "server didn't issue valid NTLM challenge")
        name = self.credentials.name
        flags: int = struct.unpack_from("<I", challenge, 20)[0] & 0xFFFF
        note(f"server flags: {flags | 0xFFFF0000 if flags & 0x8000 else flags:x}")
        size, _, offset = struct.unpack_from("<HHI", challenge, 12)
        if size and offset + size > len(challenge):
            raise SaslError(SASL_BADPROT)
        domain = challenge[offset : offset + size]
        if flags & _USE_UNICODE:
            domain = _narrow(domain)
        domain = domain.partition(b"\0")[0]
        note(f"server domain: {domain.decode('utf-8', 'surrogateescape') if size else '(null)'}")
        note(f"calculating {'NT' if flags & _AUTH_NTLM else 'LM'} response")
        self.done = True
        return _response(flags, challenge[24:32], domain.upper(), name, self.credentials.password)


def _response(flags: int, nonce: bytes, domain: bytes, name: bytes, password: bytes) -> bytes:
    """The third message."""
    if flags & _AUTH_NTLM:
        answers = b"", _encrypt(md4(_wide(password)), nonce)
    else:
        answers = _encrypt(_lm_hash(password), nonce), b""
    form = _wide if flags & _USE_UNICODE else bytes
    fields = (*answers, form(domain), form(name), b"", b"")
    head = _SIGNATURE + struct.pack("<I", 3)
    at = _RESPONSE_HEADER
    for content in fields:
        head += struct.pack("<HHI", len(content), len(content), at)
        at += len(content)
    return head + struct.pack("<I", flags) + b"".join(fields)


def _wide(text: bytes) -> bytes:
    """Each byte as a 16-bit character."""
    return b"".join(bytes((byte, 0)) for byte in text)


def _narrow(text: bytes) -> bytes:
    """The lower half of each 16-bit character."""
    return text[0::2][: len(text) // 2]


# -- the old cryptography -------------------------------------------------------------------------


def _des(key: bytes, block: bytes) -> bytes:
    """One block under a key of 56 bits (7 bytes)."""
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

    bits = int.from_bytes(key, "big")
    spread = bytes((bits >> (49 - 7 * place) & 0x7F) << 1 for place in range(8))
    encryptor = Cipher(TripleDES(spread * 3), modes.ECB()).encryptor()
    return encryptor.update(block) + encryptor.finalize()


def _encrypt(key: bytes, nonce: bytes) -> bytes:
    """The nonce under the three parts of a key."""
    key = key.ljust(21, b"\0")
    return b"".join(_des(key[at : at + 7], nonce) for at in (0, 7, 14))


def _lm_hash(password: bytes) -> bytes:
    key = password.upper()[:14].ljust(14, b"\0")
    return _des(key[:7], _LM_TEXT) + _des(key[7:], _LM_TEXT)


_MASK = 0xFFFFFFFF
#: The three rounds of MD4: the constant, the order of words, the shifts.
_ROUNDS = (
    (0, tuple(range(16)), (3, 7, 11, 19)),
    (0x5A827999, (0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), (3, 5, 9, 13)),
    (0x6ED9EBA1, (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15), (3, 9, 11, 15)),
)


def _mix(number: int, x: int, y: int, z: int) -> int:
    """The function of a round."""
    if number == 0:
        return (x & y) | (~x & z)
    if number == 1:
        return (x & y) | (x & z) | (y & z)
    return x ^ y ^ z


def md4(data: bytes) -> bytes:
    """The MD4 digest (RFC 1320); the libraries of today have it no more."""
    padded = data + b"\x80" + bytes(-(len(data) + 9) % 64) + struct.pack("<Q", len(data) * 8)
    state = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476]
    for at in range(0, len(padded), 64):
        words = struct.unpack_from("<16I", padded, at)
        a, b, c, d = state
        for number, (constant, order, shifts) in enumerate(_ROUNDS):
            for turn, index in enumerate(order):
                total = (a + _mix(number, b, c, d) + words[index] + constant) & _MASK
                shift = shifts[turn % 4]
                total = (total << shift | total >> (32 - shift)) & _MASK
                a, b, c, d = d, total, b, c
        state = [(old + new) & _MASK for old, new in zip(state, (a, b, c, d), strict=True)]
    return struct.pack("<4I", *state)
