"""The mechanisms of a server that need a secret of the user; they end where none is found."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from mta.sasl.digest_md5 import NUMBER, pairs
from mta.sasl.server import ServerLogin
from mta.sasl.status import SASL_BADAUTH, SASL_BADPROT, SASL_FAIL, SaslError, encode64
from mta.system import Wait

_CRAM_LIMIT = 1024
_SCRAM_LIMIT = 2048
_SCRAM_LEAST = 10
_NONCE_SIZE = 32
_MAXBUF_LEAST, _MAXBUF_MOST = 16, (1 << 24) - 1
_HEX = re.compile(rb"[0-9A-Fa-f]*")
_ENCODED_NAME = re.compile(rb"(?:[^=]|=2C|=3D)*", re.DOTALL)
_NOT_FOUND = "unable to canonify user and get auxprops"

#: What a digest response must have, in the order in which it is missed.
_REQUIRED = (
    (b"username", "username"),
    (b"nonce", "nonce"),
    (b"nc", "noncecount"),
    (b"cnonce", "cnonce"),
    (b"digest-uri", "digesturi"),
    (b"response", "response"),
)
#: What must not come twice in it, and the result of that.
_ONCE = {b"realm": SASL_FAIL, b"qop": SASL_FAIL, b"digest-uri": SASL_FAIL, b"maxbuf": SASL_BADAUTH}


def _not_found(login: ServerLogin, name: bytes) -> None:
    """The user is not found, which is logged.  Raises SaslError."""
    try:
        login.look_up(name)
    except SaslError as error:
        if error.detail:
            login.complain(error.detail)
        raise SaslError(error.result, _NOT_FOUND) from None


class CramMd5Server:
    """CRAM-MD5."""

    def __init__(self, login: ServerLogin) -> None:
        self.login = login

    def step(self, said: bytes | None) -> Wait[bytes | None]:
        """A challenge, then name and hash."""
        login = self.login
        if said is None:
            number = int.from_bytes(login.random(4), "big")
            return b"<%d.%d@%s>" % (number, login.now, login.host)
        if len(said) > _CRAM_LIMIT:
            raise SaslError(SASL_BADPROT, "CRAM-MD5 input longer than 1024 bytes")
        name, _, _ = said.rpartition(b" ")
        if not name:
            raise SaslError(SASL_BADPROT, "need authentication name")
        login.look_up(name)
        return None
        yield None


class DigestMd5Server:
    """DIGEST-MD5."""

    def __init__(self, login: ServerLogin) -> None:
        self.login = login
        self._nonce = b""

    def step(self, said: bytes | None) -> Wait[bytes | None]:
        """A challenge, then the response to it."""
        login = self.login
        if not self._nonce:
            self._nonce = encode64(login.random(_NONCE_SIZE))
            realm = login.realm or login.host
            return b'nonce="%s",realm="%s",qop="auth",charset=utf-8,algorithm=md5-sess' % (
                self._nonce,
                realm,
            )
        if not said:
            raise SaslError(SASL_BADAUTH, "input expected in DIGEST-MD5, step 2")
        told = self._parse(said)
        for key, title in _REQUIRED:
            if key not in told or (key == b"nc" and not int(told[key] or b"0", 16)):
                raise SaslError(SASL_BADAUTH, f"required parameters missing: {title}")
        if told[b"nonce"] != self._nonce:
            raise SaslError(SASL_BADAUTH, "nonce changed: authentication aborted")
        name, realm = told[b"username"], told.get(b"realm", b"")
        if realm and realm != (login.realm or login.host):
            name += b"@" + realm
        _not_found(login, name)
        return None
        yield None

    def _parse(self, said: bytes) -> dict[bytes, bytes]:
        told: dict[bytes, bytes] = {}
        for name, value in pairs(said):
            key = name.lower()
            if key in told and key in _ONCE:
                text = f"duplicate {key.decode('ascii')}: authentication aborted"
                raise SaslError(_ONCE[key], text)
            told[key] = value
            self._check(key, value)
        return told

    def _check(self, key: bytes, value: bytes) -> None:
        if key == b"nc" and not _HEX.fullmatch(value):
            raise SaslError(SASL_BADAUTH, "error converting hex to int")
        if key == b"digest-uri":
            service = self.login.service + b"/"
            if not value.lower().startswith(service.lower()):
                raise SaslError(SASL_BADAUTH, "bad digest-uri: doesn't match service")
        if key == b"charset" and value.lower() != b"utf-8":
            raise SaslError(SASL_FAIL, "client doesn't support UTF-8")
        if key == b"maxbuf":
            number = NUMBER.fullmatch(value)
            if number is None:
                raise SaslError(SASL_BADAUTH, "invalid maxbuf parameter")
            if int(number[1]) <= _MAXBUF_LEAST:
                raise SaslError(SASL_BADAUTH, "maxbuf parameter too small")
            if int(number[1]) > _MAXBUF_MOST:
                raise SaslError(SASL_BADAUTH, "maxbuf parameter too big")


class ScramServer:
    """SCRAM, with one of the hash functions."""

    def __init__(self, title: str, login: ServerLogin) -> None:
        self.title = title
        self.login = login

    def step(self, said: bytes | None) -> Wait[bytes | None]:
        """The client's first message."""
        if said is None:
            return b""
        _not_found(self.login, self._name(said))
        return None
        yield None

    def _wrong(self, text: str) -> SaslError:
        return SaslError(SASL_BADPROT, text.format(self.title))

    def _name(self, said: bytes) -> bytes:
        """The name in a first message.  Raises SaslError."""
        if not said:
            raise self._wrong("{} input expected")
        if len(said) > _SCRAM_LIMIT:
            raise self._wrong("{} input longer than (MAX_CLIENTIN_LEN) bytes")
        if len(said) < _SCRAM_LEAST:
            raise self._wrong("Invalid {} input")
        if b"\0" in said:
            raise self._wrong("NULs found in {} input")
        binding, comma, rest = said.partition(b",")
        if binding[:1] == b"p":
            if binding[1:2] != b"=":
                raise self._wrong("The initial 'p' needs to be followed by '=' in {} input")
            if not comma:
                raise self._wrong("Channel binding name must be terminated by a comma in {} input")
        elif binding[:1] not in (b"y", b"n"):
            raise self._wrong("The initial {} client response needs to start with 'y', 'n' or 'p'")
        elif len(binding) > 1:
            raise self._wrong("',' expected in {} input")
        author, comma, rest = rest.partition(b",")
        if author.startswith(b"a="):
            if not comma:
                raise self._wrong("At least nonce is expected in {} input")
            self._decoded(author[2:], "Invalid authorization identity encoding in {} input")
        elif author or not comma:
            raise self._wrong("',' expected in {} input")
        if rest[1:2] != b"=":
            raise self._wrong("Invalid {} input")
        if rest.startswith(b"m="):
            raise self._wrong("Unsupported mandatory extension to {}")
        if not rest.startswith(b"n="):
            raise self._wrong("Username (n=) expected in {} input")
        text, comma, rest = rest[2:].partition(b",")
        if not comma:
            raise self._wrong("Nonce expected after the username in {} input")
        name = self._decoded(text, "Invalid username encoding in {} input")
        if not rest.startswith(b"r="):
            raise self._wrong("Nonce expected after the username in {} input")
        return name

    def _decoded(self, text: bytes, complaint: str) -> bytes:
        if not _ENCODED_NAME.fullmatch(text):
            raise self._wrong(complaint)
        return text.replace(b"=2C", b",").replace(b"=3D", b"=")


def scram_server(title: str) -> Callable[[ServerLogin], ScramServer]:
    """The mechanism with a name."""

    def begin(login: ServerLogin) -> ScramServer:
        return ScramServer(title, login)

    return begin


_NTLM_SIGNATURE = b"NTLMSSP\0"
_USE_UNICODE, _USE_ASCII, _ASK_TARGET, _IS_SERVER = 1, 2, 4, 0x20000
_REQUEST_SIZE, _RESPONSE_SIZE = 16, 52


class NtlmServer:
    """NTLM, version 1."""

    def __init__(self, login: ServerLogin) -> None:
        self.login = login
        self._flags: int | None = None

    def step(self, said: bytes | None) -> Wait[bytes | None]:
        """The client's request, a challenge, and the response to it."""
        login = self.login
        if said is None:
            return b""
        if self._flags is None:
            login.note("NTLM server step 1")
            return self._challenge(said)
        login.note("NTLM server step 2")
        name = self._name(said, self._flags)
        login.look_up(name)
        return None
        yield None

    def _challenge(self, said: bytes) -> bytes:
        if not _is_message(said, 1, _REQUEST_SIZE):
            raise SaslError(SASL_BADPROT, "client didn't issue valid NTLM request")
        asked: int = struct.unpack_from("<I", said, 12)[0]
        shown = asked & 0xFFFF  # read as a short with a sign
        self.login.note(f"client flags: {shown | 0xFFFF0000 if shown & 0x8000 else shown:x}")
        flags = asked & 0xFFFF
        if flags & _USE_UNICODE:
            flags &= ~_USE_ASCII
        target = b""
        if asked & _ASK_TARGET:
            flags |= _IS_SERVER
            target = self.login.host.upper()
            if flags & _USE_UNICODE:
                target = b"".join(bytes((byte, 0)) for byte in target)
        self._flags = flags
        return (
            _NTLM_SIGNATURE
            + struct.pack("<IHHII", 2, len(target), len(target), 48, flags)
            + self.login.random(8)
            + bytes(16)
            + target
        )

    def _name(self, said: bytes, flags: int) -> bytes:
        if not _is_message(said, 3, _RESPONSE_SIZE):
            raise SaslError(SASL_BADPROT, "client didn't issue valid NTLM response")
        fields = []
        for at in (12, 20, 28, 36):
            size, _, offset = struct.unpack_from("<HHI", said, at)
            if size and offset + size > len(said):
                raise SaslError(SASL_BADPROT)
            fields.append(said[offset : offset + size])
        if not fields[3] or not (fields[0] or fields[1]):
            raise SaslError(SASL_BADPROT, "client issued incorrect/nonexistent responses")
        return fields[3][0::2] if flags & _USE_UNICODE else fields[3]


def _is_message(said: bytes, kind: int, least: int) -> bool:
    return (
        len(said) >= least
        and said[:8] == _NTLM_SIGNATURE
        and struct.unpack_from("<I", said, 8)[0] == kind
    )
