"""DIGEST-MD5 (RFC 2831), without security layers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import md5

from mta.sasl.mechanism import Credentials
from mta.sasl.status import (
    SASL_BADAUTH,
    SASL_BADPROT,
    SASL_BADSERV,
    SASL_FAIL,
    SaslError,
    encode64,
)

_CHALLENGE_LIMIT = 2048
_NONCE_SIZE = 32
_MAXBUF_LEAST, _MAXBUF_MOST = 16, (1 << 24) - 1
_NONCE_COUNT = b"00000001"

_BLANKS = rb"[ \t\r\n]*"
_TOKEN = rb"[^\x00-\x20\x7f-\xff()<>@,;:\\/\[\]?={}]*"
_START = re.compile(rb"[ \t\r\n,]*")
#: A name; one character that cannot be part of it is passed over.
_NAME = re.compile(rb"(" + _TOKEN + rb")[^=]?" + _BLANKS, re.DOTALL)
_VALUE = re.compile(
    rb"=" + _BLANKS + rb'(?:"((?:[^"\\]|\\.)*)"|(?!")(' + _TOKEN + rb"))" + _BLANKS + rb"(?:,|\Z)",
    re.DOTALL,
)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_TO_ESCAPE = re.compile(rb'(["\\])')
#: The value of maxbuf.
NUMBER = re.compile(rb"[ \t\n\v\f\r]*([0-9]+)")


@dataclass(slots=True)
class _Challenge:
    """What a server says."""

    realms: list[bytes] = field(default_factory=list)
    nonce: bytes | None = None
    algorithms: int = 0
    qop: list[bytes] | None = None  #: None where it does not say
    maxbufs: int = 0


def pairs(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The directives of a message.  Raises SaslError where it makes no sense; a directive without a
    name ends it.
    """
    text = text.partition(b"\0")[0]
    at = 0
    while True:
        start = _START.match(text, at)
        name = _NAME.match(text, start.end() if start else at)
        if name is None or (name.end() == len(text) and not name[1]):
            return
        value = _VALUE.match(text, name.end())
        if value is None:
            raise SaslError(SASL_BADAUTH, "Parse error")
        if not name[1]:
            return
        if value[1] is not None:
            yield name[1], _ESCAPED.sub(rb"\1", value[1])
        else:
            yield name[1], value[2]
        at = value.end()


def _parse(text: bytes) -> _Challenge:
    told = _Challenge()
    for name, value in pairs(text):
        key = name.lower()
        if key == b"realm":
            told.realms.append(value)
        elif key == b"nonce":
            told.nonce = value
        elif key == b"qop":
            told.qop = (told.qop or []) + _qop(value)
        elif key == b"charset":
            if value.lower() != b"utf-8":
                raise SaslError(SASL_BADAUTH, "Charset must be UTF-8")
        elif key == b"maxbuf":
            told.maxbufs += 1
            _check_maxbuf(told.maxbufs, value)
        elif key == b"algorithm":
            if value.lower() != b"md5-sess":
                raise SaslError(SASL_FAIL, "'algorithm' isn't 'md5-sess'")
            told.algorithms += 1
            if told.algorithms > 1:
                raise SaslError(SASL_FAIL, "Must see 'algorithm' only once")
    if told.qop == []:
        raise SaslError(SASL_BADAUTH, "Server doesn't support any known qop level")
    if not told.algorithms:
        raise SaslError(SASL_FAIL, "Must see 'algorithm' once. Didn't see at all")
    if told.nonce is None:
        raise SaslError(SASL_FAIL, "Don't have nonce.")
    if told.qop is not None and b"auth" not in told.qop:
        raise SaslError(SASL_FAIL, 'Server doesn\'t support "no layer"')
    return told


def _qop(value: bytes) -> list[bytes]:
    words = (word.strip(b" \t\r\n").lower() for word in value.split(b","))
    return [word for word in words if word in (b"auth", b"auth-int", b"auth-conf")]


def _check_maxbuf(count: int, value: bytes) -> None:
    text = value.decode("utf-8", "surrogateescape")
    if count > 1:
        complaint = "At least two maxbuf directives found. Authentication aborted"
        raise SaslError(SASL_BADAUTH, complaint)
    number = NUMBER.fullmatch(value)
    complaint = "Invalid maxbuf parameter received from server ("
    if number is None or int(number[1]) >= 1 << 32:
        raise SaslError(SASL_BADAUTH, f"{complaint}{text})")
    if int(number[1]) <= _MAXBUF_LEAST:
        raise SaslError(SASL_BADAUTH, f"{complaint}too small: {text})")
    if int(number[1]) > _MAXBUF_MOST:
        raise SaslError(SASL_BADAUTH, f"{complaint}too big: {text})")


def _latin(text: bytes) -> bytes:
    """UTF-8 as ISO 8859-1 where that is possible."""
    try:
        return text.decode("utf-8").encode("iso-8859-1")
    except UnicodeError:
        return text


def _quoted(text: bytes) -> bytes:
    return b'"' + _TO_ESCAPE.sub(rb"\\\1", text) + b'"'


def _hex(data: bytes) -> bytes:
    return md5(data).hexdigest().encode("ascii")


class DigestMd5:
    """The client: answers one challenge, and checks that the server knows the password too."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self.done = False
        self._expected: bytes | None = None

    def start(self) -> None:
        """Nothing yet."""

    def step(self, challenge: bytes) -> bytes:
        """The response; after that, nothing, when the server has proved itself."""
        if self._expected is not None:
            return self._verify(challenge)
        if not challenge:
            raise SaslError(SASL_FAIL, "no server challenge")
        if len(challenge) > _CHALLENGE_LIMIT:
            raise SaslError(SASL_BADPROT)
        return self._respond(_parse(challenge))

    def _respond(self, told: _Challenge) -> bytes:
        credentials = self.credentials
        name = credentials.name
        realm = told.realms[0] if len(told.realms) == 1 else credentials.server
        nonce = told.nonce or b""
        cnonce = encode64(credentials.random(_NONCE_SIZE))
        uri = credentials.service + b"/" + credentials.server
        secret = b":".join(map(_latin, (name, realm, credentials.password)))
        session = _hex(b":".join((md5(secret).digest(), nonce, cnonce)))
        middle = b":".join((nonce, _NONCE_COUNT, cnonce, b"auth"))
        response = _hex(b":".join((session, middle, _hex(b"AUTHENTICATE:" + uri))))
        self._expected = _hex(b":".join((session, middle, _hex(b":" + uri))))
        return b",".join(
            (
                b"username=" + _quoted(name),
                b"realm=" + _quoted(realm),
                b"nonce=" + _quoted(nonce),
                b"cnonce=" + _quoted(cnonce),
                b"nc=" + _NONCE_COUNT,
                b"qop=auth",
                b"digest-uri=" + _quoted(uri),
                b"response=" + response,
            )
        )

    def _verify(self, proof: bytes) -> bytes:
        try:
            told = list(pairs(proof))
        except SaslError:
            raise SaslError(SASL_BADAUTH, "DIGEST-MD5 Received Garbage") from None
        for name, value in told:
            if name.lower() == b"rspauth":
                if value != self._expected:
                    raise SaslError(
                        SASL_BADSERV,
                        "DIGEST-MD5: This server wants us to believe that he knows shared secret",
                    )
                self.done = True
                return b""
        raise SaslError(SASL_FAIL)
