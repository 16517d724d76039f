"""A server of the SASL library: the mechanisms, and one login (sasl_server_*(3)).

There is no database of secrets (sasldb): mechanisms that need one find no user.  Passwords that
come as they are go to a verifier (``pwcheck_method``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from mta.sasl.mechanism import (
    SASL_SEC_MUTUAL_AUTH,
    SASL_SEC_NOACTIVE,
    SASL_SEC_NOANONYMOUS,
    SASL_SEC_NOPLAINTEXT,
    canon_user,
)
from mta.sasl.status import (
    SASL_BADAUTH,
    SASL_BADPROT,
    SASL_BUFOVER,
    SASL_ENCRYPT,
    SASL_NOMECH,
    SASL_NOUSER,
    SASL_OK,
    SaslError,
)
from mta.system import Wait

_LIMIT = 1024


@dataclass(slots=True)
class ServerLogin:
    """One login, as its mechanism sees it.

    ``host`` is our own name, ``realm`` that of the users, perhaps none.  ``verify`` tells the
    result for a name and password.  ``random`` gives random bytes, ``now`` is in seconds since the
    epoch.
    ``complain`` logs a failure, ``note`` what a mechanism logs by itself.
    """

    service: bytes
    host: bytes
    realm: bytes
    verify: Callable[[bytes, bytes], Wait[int]]
    random: Callable[[int], bytes]
    now: int
    complain: Callable[[str], None]
    note: Callable[[str], None]
    username: bytes | None = None

    def canonical(self, name: bytes) -> bytes:
        """A name in its usual form, in our realm where it has none.  Raises SaslError."""
        name = canon_user(name)
        if self.realm and b"@" not in name:
            name += b"@" + self.realm
        if len(name) > _LIMIT:
            raise SaslError(SASL_BUFOVER)
        return name

    def check(self, name: bytes, password: bytes) -> Wait[int]:
        """The result for a name, which is canonical, and a password (sasl_checkpass)."""
        try:
            canon_user(name)
        except SaslError as error:
            if error.detail:
                self.complain(error.detail)
            return error.result
        return (yield from self.verify(name, password))

    def look_up(self, name: bytes) -> None:
        """Looks for a secret: there are none.  Raises SaslError."""
        self.canonical(name)
        raise SaslError(SASL_NOUSER)


class ServerMechanism(Protocol):
    """A mechanism at work."""

    def step(self, said: bytes | None) -> Wait[bytes | None]:
        """The challenge that follows upon what the client said (None at the start, where it has
        said nothing); None when it is logged in.  Raises SaslError.
        """


class ServerType(NamedTuple):
    """A mechanism: its properties, how it begins, and whether the server must speak first."""

    properties: int
    begin: Callable[[ServerLogin], ServerMechanism]
    speaks_first: bool = False


class PlainServer:
    """PLAIN."""

    def __init__(self, login: ServerLogin) -> None:
        self.login = login

    def step(self, said: bytes | None) -> Wait[bytes | None]:
        """Whom to act for, name, password."""
        login = self.login
        if said is None:
            return b""
        author, *rest = said.split(b"\0")
        if not rest:
            raise SaslError(SASL_BADPROT, "Can only find author (no password)")
        if len(rest) < 2:
            raise SaslError(SASL_BADPROT, "Can only find author/en (no password)")
        if len(rest) > 2:
            text = "Got more data than we were expecting in the PLAIN plugin\n"
            raise SaslError(SASL_BADPROT, text)
        name = login.canonical(rest[0])
        result = yield from login.check(name, rest[1])
        if result != SASL_OK:
            raise SaslError(result, "Password verification failed")
        if author and login.canonical(author) != name:
            raise SaslError(SASL_BADAUTH, "Requested identity not authenticated identity")
        login.username = name
        return None


class LoginServer:
    """LOGIN."""

    def __init__(self, login: ServerLogin) -> None:
        self.login = login
        self._name: bytes | None = None

    def step(self, said: bytes | None) -> Wait[bytes | None]:
        """Name, then password."""
        login = self.login
        if said is None:
            return b"Username:"
        if self._name is None:
            if len(said) > _LIMIT:
                raise SaslError(SASL_BADPROT, "username too long (>1024 characters)")
            self._name = said
            return b"Password:"
        if len(said) > _LIMIT:
            text = "clientinlen is > 1024 characters in LOGIN plugin"
            raise SaslError(SASL_BADPROT, text)
        name = login.canonical(self._name.partition(b"\0")[0])
        result = yield from login.check(name, said.partition(b"\0")[0])
        if result != SASL_OK:
            raise SaslError(result)
        login.username = name
        return None


class AnonymousServer:
    """ANONYMOUS."""

    def __init__(self, login: ServerLogin) -> None:
        self.login = login

    def step(self, said: bytes | None) -> Wait[bytes | None]:
        """Anything will do."""
        if said is None:
            return b""
        self.login.username = self.login.canonical(b"anonymous")
        return None
        yield None


class ExternalServer:
    """EXTERNAL: it was settled nowhere who the client is."""

    def __init__(self, login: ServerLogin) -> None:
        pass

    def step(self, said: bytes | None) -> Wait[bytes | None]:
        """It does not work."""
        raise SaslError(SASL_NOMECH)
        yield None


_HASHED = SASL_SEC_NOPLAINTEXT | SASL_SEC_NOANONYMOUS
_SCRAM = _HASHED | SASL_SEC_NOACTIVE | SASL_SEC_MUTUAL_AUTH


def server_types() -> dict[str, ServerType]:
    """The mechanisms, the best one first."""
    from mta.sasl.server_hash import CramMd5Server, DigestMd5Server, NtlmServer, scram_server

    types = {
        name: ServerType(_SCRAM, scram_server(name))
        for name in (
            "SCRAM-SHA-512",
            "SCRAM-SHA-384",
            "SCRAM-SHA-256",
            "SCRAM-SHA-224",
            "SCRAM-SHA-1",
        )
    }
    types["DIGEST-MD5"] = ServerType(_HASHED | SASL_SEC_MUTUAL_AUTH, DigestMd5Server)
    types["CRAM-MD5"] = ServerType(_HASHED, CramMd5Server, speaks_first=True)
    types["NTLM"] = ServerType(_HASHED, NtlmServer)
    types["PLAIN"] = ServerType(SASL_SEC_NOANONYMOUS, PlainServer)
    types["LOGIN"] = ServerType(SASL_SEC_NOANONYMOUS, LoginServer)
    types["ANONYMOUS"] = ServerType(SASL_SEC_NOPLAINTEXT, AnonymousServer)
    return types


def begin_server(
    types: dict[str, ServerType], method: str, wanted: int, login: ServerLogin, early: bool
) -> ServerMechanism:
    """The mechanism that a client asks for, which must have the ``wanted`` properties (SASL_SEC_*);
    ``early`` when the client has spoken already.  Raises SaslError.
    """
    if method.upper() == "EXTERNAL":
        return ExternalServer(login)
    found = types.get(method.upper())
    if found is None:
        raise SaslError(SASL_NOMECH, f"Couldn't find mech {method}")
    lacks = wanted & ~found.properties
    if lacks:
        raise SaslError(SASL_ENCRYPT if lacks & SASL_SEC_NOPLAINTEXT else SASL_NOMECH)
    if early and found.speaks_first:
        raise SaslError(SASL_BADPROT, "Remote sent first but mech does not allow it.")
    return found.begin(login)
