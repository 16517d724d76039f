"""The first message of a TLS handshake, as far as it tells which session a client would resume.

RFC 5246 section 7.4.1.2, RFC 5077, RFC 8446 section 4.1.2 and 4.2.11.
"""

from __future__ import annotations

from dataclasses import dataclass

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SESSION_TICKET = 35
_PRE_SHARED_KEY = 41
_SUPPORTED_VERSIONS = 43
_TLS_1_3 = b"\x03\x04"
#: Longer than any sensible ClientHello.
_LONGEST = 1 << 16


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client offers to resume: a session id, a ticket, or (TLS 1.3) an identity."""

    session_id: bytes = b""
    ticket: bytes = b""
    identity: bytes = b""
    tls13: bool = False  #: whether the client can do TLS 1.3


def client_hello(data: bytes) -> ClientHello | None:
    """Reads a ClientHello from the beginning of what a client sent; None where it is not whole.

    What is no ClientHello at all gives an empty one.
    """
    message = b""
    at = 0
    while at + 5 <= len(data) and data[at] == _HANDSHAKE and len(message) < _LONGEST:
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        message += data[at + 5 : at + 5 + size]
        at += 5 + size
        if len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4], "big"):
            return _parse(message)
    if (data and data[0] != _HANDSHAKE) or len(message) >= _LONGEST:
        return ClientHello()
    return None


def _parse(message: bytes) -> ClientHello:
    try:
        return _parts(message)
    except IndexError:
        return ClientHello()


def _parts(message: bytes) -> ClientHello:
    if message[0] != _CLIENT_HELLO:
        return ClientHello()
    at = 4 + 2 + 32
    session_id = message[at + 1 : at + 1 + message[at]]
    at += 1 + message[at]
    at += 2 + int.from_bytes(message[at : at + 2], "big")
    at += 1 + message[at]
    end = at + 2 + int.from_bytes(message[at : at + 2], "big")
    at += 2
    ticket = identity = b""
    tls13 = False
    while at + 4 <= min(end, len(message)):
        kind = int.from_bytes(message[at : at + 2], "big")
        size = int.from_bytes(message[at + 2 : at + 4], "big")
        body = message[at + 4 : at + 4 + size]
        if kind == _SESSION_TICKET:
            ticket = body
        elif kind == _PRE_SHARED_KEY:
            length = int.from_bytes(body[2:4], "big")
            identity = body[4 : 4 + length]
        elif kind == _SUPPORTED_VERSIONS:
            tls13 = any(body[i : i + 2] == _TLS_1_3 for i in range(1, len(body), 2))
        at += 4 + size
    return ClientHello(session_id, ticket, identity, tls13)


def session_fields(der: bytes) -> tuple[bytes, bytes]:
    """The id and the ticket in a session as OpenSSL writes it (SSL_SESSION_ASN1)."""
    _, at, end = _element(der, 0)
    session_id = ticket = b""
    number = 0
    while at < end:
        tag, begin, after = _element(der, at)
        if number == 3:
            session_id = der[begin:after]
        elif tag == 0xAA:  # [10]
            _, begin, after_inner = _element(der, begin)
            ticket = der[begin:after_inner]
        number += 1
        at = after
    return session_id, ticket


def _element(data: bytes, at: int) -> tuple[int, int, int]:
    """Tag, begin and end of the content of a DER element."""
    size = data[at + 1]
    begin = at + 2
    if size & 0x80:
        count = size & 0x7F
        size = int.from_bytes(data[begin : begin + count], "big")
        begin += count
    return data[at], begin, begin + size
