"""The TLS engine of peers: SMTP servers and clients elsewhere, sound, broken or evil.

It fills the hook of :mod:`sim.peers.tls`.  Contexts are made once for each way of doing TLS, in one
world; OpenSSL's session caches live in them, so that sessions can be resumed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.bindings.openssl.binding import Binding
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from mta.system import Gone, Stream, TimedOut, Wait
from mta.wire.tls import HandshakeFailed, TlsConnection
from mta.wire.tls_hello import client_hello
from sim.certs import Authority
from sim.engine import Call
from sim.peers.tls import Sabotage, TlsSpec
from sim.streams import SimStream

#: How long a peer gives a handshake, in seconds.
PATIENCE = 10.0

VERSIONS = {
    "TLSv1": SSL.TLS1_VERSION,
    "TLSv1.1": SSL.TLS1_1_VERSION,
    "TLSv1.2": SSL.TLS1_2_VERSION,
    "TLSv1.3": SSL.TLS1_3_VERSION,
}

#: The groups that OpenSSL 3.0 offers unless told otherwise.
GROUPS = b"X25519:P-256:X448:P-521:P-384"
_CIPHERS = (
    b"@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:DHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"
)
_OLD_CIPHERS = b"ALL:!aNULL:!eNULL:@SECLEVEL=0"
_ANONYMOUS = b"aNULL:@SECLEVEL=0"

_LIB: Any = Binding().lib


class PeerTls:
    """Does the handshakes of all peers of a world; a :class:`sim.peers.tls.TlsWrap`."""

    def __init__(self, authority: Authority, now: Callable[[], int]) -> None:
        """``now`` tells the world's time in microseconds since the epoch."""
        self.authority = authority
        self._now = now
        self._contexts: dict[tuple[TlsSpec, bool, bytes], SSL.Context] = {}
        self._last: dict[TlsSpec, TlsConnection] = {}  #: of clients that resume sessions

    def __call__(
        self, stream: Stream, spec: TlsSpec, server: bool, name: str, server_name: str
    ) -> Wait[tuple[Stream, str] | None]:
        """The handshake; the stream, which from then on is plain text, and the protocol; None
        where it fails, and then the stream is closed.
        """
        connection = SSL.Connection(self._context(spec, server, name), None)
        if server:
            connection.set_accept_state()
        else:
            connection.set_connect_state()
            if server_name:
                connection.set_tlsext_host_name(server_name.encode("utf-8", "surrogateescape"))
        tls = TlsConnection(connection, self._now if spec.trusts else None, ragged=True)
        if spec.resume and not server:
            self._resume(spec, connection)
        saboteur = None
        if spec.sabotage is not None and isinstance(stream, SimStream):
            saboteur = Saboteur(spec.sabotage, stream, name, tls)
            if spec.sabotage.phase == "handshake":
                tls.tamper = saboteur.tamper
        try:
            newest = server and spec.max == "TLSv1.3" and bool(self._identity(spec, True, name))
            yield from self._handshake(tls, stream, newest)
        except (HandshakeFailed, Gone, TimedOut):
            stream.close()
            return None
        if spec.resume and not server:
            self._last[spec] = tls
        tls.tamper = saboteur.tamper if saboteur is not None and not saboteur.done else None
        stream.cover(tls)
        return stream, tls.protocol

    def _resume(self, spec: TlsSpec, connection: SSL.Connection) -> None:
        """Offers the session of the connection before."""
        last = self._last.get(spec)
        session = last.connection.get_session() if last is not None else None
        if session is not None:
            connection.set_session(session)

    def resumed(self, spec: TlsSpec) -> bool:
        """Whether the last session of clients with that spec was an earlier one, resumed."""
        last = self._last.get(spec)
        return last is not None and last.reused

    def _handshake(self, tls: TlsConnection, stream: Stream, newest: bool) -> Wait[None]:
        """As :meth:`TlsConnection.handshake`, with a time limit for the whole of it.

        ``newest`` says that this is a server that can do TLS 1.3.
        """
        limit = self._now() + round(PATIENCE * 1_000_000)
        wire, done = b"", False
        stream.unveil()
        hello: bytes | None = b"" if newest else None
        while not done:
            if hello is not None:
                hello = _without_tickets(tls, hello + wire)
            try:
                done = tls.step(wire)
            finally:
                stream.write_sealed(tls.reply())
                yield stream.flush(PATIENCE)
            if not done:
                left = (limit - self._now()) / 1_000_000
                if left <= 0:
                    raise TimedOut
                wire = yield stream.read(65536, left)
                if not wire:
                    tls.connection.bio_shutdown()

    # -- contexts -----------------------------------------------------------------------------

    def _identity(self, spec: TlsSpec, server: bool, name: str) -> bytes:
        """Key and certificates that a side shows now, empty for none."""
        pem, kind = spec.pem, spec.certificate(server, self._now())
        if not pem and kind != "none":
            pem = self.authority.issue(kind, spec.names or (name,), key=spec.key).pem
        return pem

    def _context(self, spec: TlsSpec, server: bool, name: str) -> SSL.Context:
        """The context for one way of doing TLS."""
        pem = self._identity(spec, server, name)
        key = (spec, server, pem)
        context = self._contexts.get(key)
        if context is None:
            context = self._contexts[key] = _new_context(spec, server, pem)
        return context


def _without_tickets(tls: TlsConnection, wire: bytes) -> bytes | None:
    """Sends no tickets to a client that can do TLS 1.3: their size is chance.  ``wire`` is what
    came from the client; returned while its first message is not whole.
    """
    hello = client_hello(wire)
    if hello is None:
        return wire
    if hello.tls13:
        _LIB.SSL_set_options(tls.connection._ssl, SSL.OP_NO_TICKET)
    return None


def _new_context(spec: TlsSpec, server: bool, pem: bytes) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD if server else SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(VERSIONS[spec.min])
    context.set_max_proto_version(VERSIONS[spec.max])
    _LIB.SSL_CTX_set1_curves_list(context._context, GROUPS)
    old = "TLSv1.1" in (spec.min, spec.max) or "TLSv1" in (spec.min, spec.max)
    ciphers = _OLD_CIPHERS if old else _CIPHERS
    if spec.cert == "weak-key":
        ciphers = _OLD_CIPHERS
    if server and not pem:
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        ciphers = _ANONYMOUS
    context.set_cipher_list(spec.ciphers.encode() if spec.ciphers else ciphers)
    if server:
        context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE)
        context.set_session_id(b"peer")
    if pem:
        key, leaf, *chain = _loaded(pem)
        context.use_certificate(leaf)
        for certificate in chain:
            context.add_extra_chain_cert(certificate)
        context.use_privatekey(key)
    if spec.trusts or spec.ask:
        _verify(context, spec)
    return context


def _verify(context: SSL.Context, spec: TlsSpec) -> None:
    """The other side's certificate is asked for and, with roots to trust, must be good."""
    store = context.get_cert_store()
    assert store is not None
    if spec.trusts:
        for root in x509.load_pem_x509_certificates(spec.trusts):
            store.add_cert(crypto.X509.from_cryptography(root))
    if spec.trusts:
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    else:
        context.set_verify(SSL.VERIFY_PEER, lambda *_: True)


@lru_cache(maxsize=256)
def _loaded(pem: bytes) -> tuple[Any, ...]:
    """The key and the certificates of a file that holds them all."""
    key = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    return (key, *x509.load_pem_x509_certificates(pem))


class Saboteur:
    """Meddles with the bytes that a side sends (see :class:`sim.peers.tls.Sabotage`)."""

    def __init__(
        self, plan: Sabotage, stream: SimStream, whom: str, tls: TlsConnection
    ) -> None:
        self.plan = plan
        self.done = False  #: it struck, and does nothing more
        self._stream = stream
        self._whom = whom
        self._tls = tls
        self._sent = 0
        self._silent = False
        self._held: list[bytes] = []

    def tamper(self, data: bytes) -> bytes:
        """What goes to the wire in place of some bytes."""
        if self._silent:
            self._held.append(data)
            return b""
        if self.done:
            return data
        room = self.plan.at - self._sent
        self._sent += len(data)
        if room >= len(data):
            return data
        self.done = True
        engine = self._stream.link.engine
        self._stream.link.trace.add(engine.now, "fault", f"tls {self.plan.deed}", self._whom)
        return data[:room] + self._strike(data[room:])

    def _strike(self, rest: bytes) -> bytes:
        """What goes to the wire in place of the rest."""
        engine, stream = self._stream.link.engine, self._stream
        deed = self.plan.deed
        if deed == "corrupt":
            return bytes([rest[0] ^ 0xFF]) + rest[1:]
        if deed == "flood":
            return b"\xa5" * self.plan.size + rest
        if deed == "renegotiate":
            return rest + self._renegotiate()
        self._silent = True
        if deed == "stall":
            self._held.append(rest)
            if self.plan.seconds is not None:
                engine.alarm(self.plan.seconds, self._go_on)
        elif deed == "reset":
            Call(engine, 0, lambda _: stream.abort())
        else:
            Call(engine, 0, lambda _: stream.close())
            if deed == "alert":
                return b"\x15\x03\x03\x00\x02\x02" + bytes([self.plan.alert])
        return b""

    def _renegotiate(self) -> bytes:
        """The beginning of another handshake."""
        connection = self._tls.connection
        connection.renegotiate()
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            pass
        return connection.bio_read(65536)

    def _go_on(self) -> None:
        """A stall is over."""
        self._silent = False
        self._stream.write_sealed(b"".join(self._held))
        self._held.clear()
        self._stream.flush(0)
