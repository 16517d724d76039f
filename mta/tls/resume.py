"""Which sessions a server resumes: tickets, and the cache of tlsmgr(8) (tls_server, tls_scache).

A context of OpenSSL's decrypts its own tickets and knows the sessions that it issued.  So each key
of session tickets has contexts of its own, and the cache of tlsmgr(8) tells of a session which
context knows it.  Time is the world's: a key or an entry of the cache that has expired is not used.

Session ids are chance.  The log shows others in their place, drawn from the machine's dice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

from mta.system import Stream, Wait
from mta.tls.levels import TLS_LOG_CACHE, TLS_LOG_DEBUG
from mta.tls.mgr import (
    TLS_MGR_SCACHE_SMTPD,
    TicketKey,
    tls_mgr_keys,
    tls_mgr_lookup,
    tls_mgr_policy,
    tls_mgr_update,
)
from mta.wire.tls_hello import ClientHello, client_hello, session_fields

if TYPE_CHECKING:
    from mta.master.server import Process
    from mta.tls.session import TlsSession

_LIB: Any = Binding().lib
_FFI: Any = Binding().ffi

_READ_HELLO = "SSLv3/TLS read client hello"
_WRITE_TICKET = "SSLv3/TLS write session ticket"

_NAME_SIZE = 16  #: of the name of a key, at the beginning of its tickets
_ID_SIZE = 32
#: What OpenSSL 3.0 tells as its number.
_OPENSSL = 805306720


class Builder(Protocol):
    """Who makes contexts for the handshake at hand."""

    key: Any  #: what a context is known by

    def context(self) -> SSL.Context:
        """The process's own context."""

    def fresh(self) -> SSL.Context:
        """A new one in its place, which knows no sessions."""


class Resumption:
    """How one server process resumes sessions."""

    def __init__(
        self, process: Process, *, cachable: bool, ticketable: bool, remembered: bool
    ) -> None:
        """``remembered``: OpenSSL's own cache is on, which has room for one session."""
        self.process = process
        self.cachable = cachable
        self.ticketable = ticketable
        self.remembered = remembered
        self._asked = False
        self._keys: list[TicketKey] = []
        self._last = ""  #: the id of the session in OpenSSL's own cache, which has room for one
        self._bound: TicketKey | None = None  #: whose tickets the process's own context issues
        self._saved: list[str] = []  #: what the log called the sessions of this handshake
        self._issued: dict[str, None] = {}  #: ids that the process's own context knows

    def choose(
        self, stream: Stream, timeout: float, build: Builder, mask: int, namaddr: str, serverid: str
    ) -> Wait[tuple[bytes, SSL.Context, TicketKey | None]]:
        """What the client has sent so far, the context for it, and the key for tickets.

        Raises TimedOut, Gone.
        """
        if not self._asked:
            self._asked = True
            yield from tls_mgr_policy(self.process, TLS_MGR_SCACHE_SMTPD)
        if self.ticketable:
            return (yield from self._by_ticket(stream, timeout, build))
        if self.cachable or self.remembered:
            hello, offer = yield from read_hello(stream, timeout)
            context = yield from self._by_id(offer, build, mask, namaddr, serverid)
            return hello, context, None
        return b"", build.context(), None

    # -- tickets ------------------------------------------------------------------------------

    def _by_ticket(
        self, stream: Stream, timeout: float, build: Builder
    ) -> Wait[tuple[bytes, SSL.Context, TicketKey | None]]:
        key = yield from self._current_key()
        if key is None:
            return b"", build.context(), None
        context = key.contexts.get(build.key)
        if context is None:
            context = build.context() if self._bound in (None, key) else build.fresh()
            key.contexts[build.key] = context
            self._bound = key
        others = self._older_keys(build.key)
        if not others:
            return b"", context, key
        hello, offer = yield from read_hello(stream, timeout)
        name = (offer.identity or offer.ticket)[:_NAME_SIZE]
        for older in others:
            if name and ticket_name(older.contexts[build.key]) == name:
                return hello, older.contexts[build.key], older
        return hello, context, key

    def _current_key(self) -> Wait[TicketKey | None]:
        now = self.process.now() // 1_000_000
        if not self._keys or self._keys[0].expires <= now:
            self._keys = yield from tls_mgr_keys(self.process)
        return self._keys[0] if self._keys else None

    def _older_keys(self, name: Any) -> list[TicketKey]:
        """The older keys whose tickets are still good."""
        now = self.process.now() // 1_000_000
        return [key for key in self._keys[1:] if key.good_until > now and name in key.contexts]

    # -- the cache ----------------------------------------------------------------------------

    def _by_id(
        self, offer: ClientHello, build: Builder, mask: int, namaddr: str, serverid: str
    ) -> Wait[SSL.Context]:
        """The context that knows the session which the client would resume."""
        offered = offer.identity or (b"" if offer.tls13 and not offer.ticket else offer.session_id)
        session_id = offered.hex() if len(offered) == _ID_SIZE else ""
        if not session_id or session_id == self._last:
            return build.context()
        if not self.cachable:
            return self._without(session_id, build)
        shown = self.shown_id(serverid)
        found = yield from tls_mgr_lookup(
            self.process, TLS_MGR_SCACHE_SMTPD, session_id + serverid, shown
        )
        if mask & TLS_LOG_CACHE:
            shown = found.shown if found is not None else shown
            where = f"{TLS_MGR_SCACHE_SMTPD} cache"
            log = self.process.log
            log.info(f"{namaddr.lower()}: looking up session {shown} in {where}")
            if found is not None:
                log.info(f"{namaddr.lower()}: reloaded session {shown} from {where}")
        if found is not None:
            context: SSL.Context = found.session
            return context
        return self._without(session_id, build)

    def _without(self, session_id: str, build: Builder) -> SSL.Context:
        """A context that does not know the session."""
        if session_id in self._issued:
            self._issued.clear()
            return build.fresh()
        return build.context()

    def watch(self, session: TlsSession, key: TicketKey | None) -> None:
        """Logs what happens to sessions and tickets in the handshake that begins now."""
        self._saved = []
        if key is not None:
            session.ticket_expires = key.expires
        if session.log_mask & (TLS_LOG_CACHE | TLS_LOG_DEBUG):
            session.on_step = self._step

    def _step(self, session: TlsSession, state: str) -> bool:
        """OpenSSL makes a step; whether Postfix's OpenSSL would have made it too.

        Ours issues two tickets, and a new one for each that it takes; Postfix's issues one.
        """
        ticket = f"session ticket, key expiration: {session.ticket_expires}"
        reused = session.tls.reused
        told = bool(session.log_mask & TLS_LOG_CACHE)
        if state == _READ_HELLO and session.ticket_expires and reused and told:
            session.log.info(f"{session.namaddr}: Decrypting {ticket}")
        if state != _WRITE_TICKET:
            return True
        if session.ticket_expires:
            if reused or session.ticketed:
                return False
            session.ticketed = True
            if told:
                session.log.info(f"{session.namaddr}: Issuing {ticket}")
        if told and self.cachable and session.tls.protocol == "TLSv1.3":
            self._tell_saved(session)
        return True

    def _tell_saved(self, session: TlsSession) -> None:
        shown = self.shown_id(session.serverid)
        self._saved.append(shown)
        session.log.info(f"{session.namaddr}: save session {shown} to {TLS_MGR_SCACHE_SMTPD} cache")

    def keep(self, session: TlsSession, context: SSL.Context) -> Wait[None]:
        """Tells tlsmgr(8) of a session, after the handshake."""
        tls13 = session.tls.protocol == "TLSv1.3"
        if self.ticketable:
            session.ticketed = True
        if self.ticketable and not (self.cachable and tls13):
            return
        if session.tls.reused and (self.ticketable or not tls13):
            return
        session_id = current_id(session.tls.connection)
        if not session_id:
            return
        self._last = session_id
        self._issued[session_id] = None
        if not self.cachable:
            return
        if not self._saved:
            if session.log_mask & TLS_LOG_CACHE:
                self._tell_saved(session)
            else:
                self._saved.append(self.shown_id(session.serverid))
        *others, last = self._saved
        for shown in others:  # issued to the client before; nobody knows its id
            yield from tls_mgr_update(self.process, TLS_MGR_SCACHE_SMTPD, shown, None, shown)
        yield from tls_mgr_update(
            self.process, TLS_MGR_SCACHE_SMTPD, session_id + session.serverid, context, last
        )

    def shown_id(self, serverid: str) -> str:
        """A session's name for the log."""
        dice = self.process.system.dice("tls session ids")
        digits = "".join(f"{dice.randrange(256):02X}" for _ in range(_ID_SIZE))
        return f"{digits}&s={serverid}&l={_OPENSSL}"


def read_hello(stream: Stream, timeout: float) -> Wait[tuple[bytes, ClientHello]]:
    """The bytes up to a whole ClientHello, and what it offers.  Raises TimedOut, Gone."""
    data = b""
    while (hello := client_hello(data)) is None:
        more = yield stream.read(65536, timeout)
        if not more:
            return data, ClientHello()
        data += more
    return data, hello


def current_id(connection: SSL.Connection) -> str:
    """The id of the session that a connection has, in hexadecimal; empty where it has none."""
    return _fields(connection)[0].hex()


def _fields(connection: SSL.Connection) -> tuple[bytes, bytes]:
    session = connection.get_session()
    if session is None:
        return b"", b""
    size = _LIB.i2d_SSL_SESSION(session._session, _FFI.NULL)
    if size <= 0:
        return b"", b""
    buffer = _FFI.new("unsigned char[]", size)
    _LIB.i2d_SSL_SESSION(session._session, _FFI.new("unsigned char **", buffer))
    return session_fields(bytes(_FFI.buffer(buffer, size)))


def ticket_name(context: SSL.Context) -> bytes:
    """The name of the key with which a context encrypts tickets, learnt from one that it issues."""
    server, client = SSL.Connection(context, None), SSL.Connection(_LOOP, None)
    server.set_accept_state()
    client.set_connect_state()
    for _ in range(5):
        for one, other in ((client, server), (server, client)):
            _move(one, other)
    return _fields(client)[1][:_NAME_SIZE]


def _move(one: SSL.Connection, other: SSL.Connection) -> None:
    """One side of a loop does what it can, and its bytes go to the other."""
    try:
        one.do_handshake()
        one.recv(1)
    except SSL.Error:
        pass
    try:
        other.bio_write(one.bio_read(65536))
    except SSL.Error:
        pass


_LOOP = SSL.Context(SSL.TLS_CLIENT_METHOD)
