"""ANONYMOUS (RFC 4505), PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195), EXTERNAL (RFC 4422)."""

from __future__ import annotations

import hashlib
import hmac

from mta.sasl.mechanism import Credentials
from mta.sasl.status import SASL_BADPROT, SASL_NOMECH, SaslError

_CRAM_LIMIT = 1024


class Anonymous:
    """Leaves a trace: who we are."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self.done = False

    def start(self) -> bytes:
        """The trace, and that is all."""
        told = self.credentials
        self.done = True
        name = told.username if told.authzid and told.username else b"anonymous"
        return name + b"@" + told.client

    def step(self, challenge: bytes) -> bytes:
        """Never comes to pass."""
        raise SaslError(SASL_BADPROT)


class Plain:
    """Name and password in one message."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self.done = False

    def start(self) -> bytes:
        """The message, and that is all."""
        told = self.credentials
        self.done = True
        name = told.name
        return b"\0".join((name if told.authzid else b"", name, told.password))

    def step(self, challenge: bytes) -> bytes:
        """Never comes to pass."""
        raise SaslError(SASL_BADPROT)


class Login:
    """Name and password, one after the other, whatever the server asks."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self.done = False
        self._named = False

    def start(self) -> None:
        """Nothing yet."""

    def step(self, challenge: bytes) -> bytes:
        """The name, then the password."""
        if self._named:
            self.done = True
            return self.credentials.password
        self._named = True
        return self.credentials.name


class CramMd5:
    """Name, and a keyed hash of what the server says."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self.done = False

    def start(self) -> None:
        """Nothing yet."""

    def step(self, challenge: bytes) -> bytes:
        """Name and hash, and that is all."""
        if len(challenge) > _CRAM_LIMIT:
            raise SaslError(SASL_BADPROT, "CRAM-MD5 input longer than 1024 bytes")
        told = self.credentials
        self.done = True
        digest = hmac.new(told.password, challenge, hashlib.md5).hexdigest()
        return told.name + b" " + digest.encode("ascii")


class External:
    """Who we are was settled elsewhere; which it never is for a client of Postfix."""

    done = False

    def __init__(self, credentials: Credentials) -> None:
        pass

    def start(self) -> bytes:
        """There is no other place where it was settled."""
        raise SaslError(SASL_NOMECH)

    def step(self, challenge: bytes) -> bytes:
        """Never comes to pass."""
        raise SaslError(SASL_NOMECH)
