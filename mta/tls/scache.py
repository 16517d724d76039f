"""Where a client keeps the TLS sessions that servers gave it (tls_client, tls_session, tlsmgrmem).

A session is kept as OpenSSL writes it, together with what was found of the server's certificate:
one that is resumed shows none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

from mta.system import Wait
from mta.tls.levels import TLS_LOG_CACHE
from mta.tls.mgr import tls_mgr_delete, tls_mgr_lookup, tls_mgr_policy, tls_mgr_update

if TYPE_CHECKING:
    from mta.master.server import Process
    from mta.tls.session import TlsSession

_LIB: Any = Binding().lib
_FFI: Any = Binding().ffi

_READ_TICKET = "SSLv3/TLS read server session ticket"


class KeptSession(NamedTuple):
    """A session, and the verdict on the certificate that came with it (X509_V_*)."""

    data: bytes
    verified: int

    def offer(self, connection: SSL.Connection) -> None:
        """Lets a connection that has not begun resume the session."""
        place = _FFI.new("unsigned char[]", self.data)
        pointer = _FFI.new("const unsigned char **", place)
        session = _LIB.d2i_SSL_SESSION(_FFI.NULL, pointer, len(self.data))
        if session != _FFI.NULL:
            _LIB.SSL_set_session(connection._ssl, session)
            _LIB.SSL_SESSION_free(session)


def session_data(connection: SSL.Connection) -> bytes:
    """The session of a connection as OpenSSL writes it; empty where there is none."""
    session = connection.get_session()
    if session is None:
        return b""
    size = _LIB.i2d_SSL_SESSION(session._session, _FFI.NULL)
    if size <= 0:
        return b""
    place = _FFI.new("unsigned char[]", size)
    _LIB.i2d_SSL_SESSION(session._session, _FFI.new("unsigned char **", place))
    return bytes(_FFI.buffer(place, size))


class ClientCache(ABC):
    """A cache of client sessions; ``name`` is for the log."""

    def __init__(self, process: Process, name: str) -> None:
        self.process = process
        self.name = name
        self.enabled = False

    def open(self) -> Wait[None]:
        """Finds out whether it is ``enabled``, before it is used."""
        return
        yield None

    @abstractmethod
    def lookup(self, serverid: str) -> Wait[KeptSession | None]:
        """The session that is kept for a server."""

    @abstractmethod
    def update(self, serverid: str, kept: KeptSession) -> Wait[None]:
        """Keeps a session."""

    @abstractmethod
    def delete(self, serverid: str) -> Wait[None]:
        """Forgets one."""

    # -- new sessions -------------------------------------------------------------------------

    def watch(self, session: TlsSession) -> None:
        """Keeps the sessions that the server issues: with TLS 1.3 that is later than the
        handshake, once for each ticket.
        """
        session.on_step = self._step

    def _step(self, session: TlsSession, state: str) -> bool:
        if state == _READ_TICKET and session.tls.protocol == "TLSv1.3":
            kept = self._new(session)
            if kept is not None:
                self.process.system.spawn(self.update(session.serverid, kept), "tls session")
        return True

    def _new(self, session: TlsSession) -> KeptSession | None:
        data = session_data(session.tls.connection)
        if not data:
            return None
        if session.log_mask & TLS_LOG_CACHE:
            session.log.info(f"save session {session.serverid} to {self.name} cache")
        return KeptSession(data, session.verified)

    def keep(self, session: TlsSession) -> Wait[None]:
        """Keeps the session of a handshake that is done."""
        if session.tls.protocol != "TLSv1.3" and not session.tls.reused:
            kept = self._new(session)
            if kept is not None:
                yield from self.update(session.serverid, kept)


class TlsmgrCache(ClientCache):
    """The cache that tlsmgr(8) has for ``smtp`` or ``lmtp``."""

    def __init__(self, process: Process, name: str) -> None:
        super().__init__(process, name)
        self._asked = False

    def open(self) -> Wait[None]:
        """Asks tlsmgr(8) for the policy, once."""
        if not self._asked:
            self._asked = True
            policy = yield from tls_mgr_policy(self.process, self.name)
            self.enabled = policy.cachable and policy.timeout > 0

    def lookup(self, serverid: str) -> Wait[KeptSession | None]:
        """The session that is kept for a server."""
        found = yield from tls_mgr_lookup(self.process, self.name, serverid)
        return None if found is None else found.session

    def update(self, serverid: str, kept: KeptSession) -> Wait[None]:
        """Keeps a session."""
        yield from tls_mgr_update(self.process, self.name, serverid, kept)

    def delete(self, serverid: str) -> Wait[None]:
        """Forgets one."""
        yield from tls_mgr_delete(self.process, self.name, serverid)


class MemoryCache(ClientCache):
    """A cache of a program's own; it counts for posttls-finger(1)."""

    def __init__(self, process: Process, enabled: bool) -> None:
        super().__init__(process, "memory")
        self.enabled = enabled
        self.hits = 0
        self.entries: dict[str, KeptSession] = {}

    def lookup(self, serverid: str) -> Wait[KeptSession | None]:
        """The session that is kept for a server."""
        found = self.entries.get(serverid)
        self.hits += found is not None
        return found
        yield None

    def update(self, serverid: str, kept: KeptSession) -> Wait[None]:
        """Keeps a session."""
        self.entries[serverid] = kept
        return
        yield None

    def delete(self, serverid: str) -> Wait[None]:
        """Forgets one."""
        self.entries.pop(serverid, None)
        return
        yield None
