"""The client side of TLS (tls_client): smtp(8), lmtp(8), posttls-finger(1).

:func:`tls_client_init` makes the engine of a process, :meth:`TlsClientEngine.start` shakes hands
with one server.  The handshake itself never fails over a certificate that is not good: whether it
is, the session tells afterwards.

Sessions are kept by the server and by what would make their certificates be judged otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

from mta.conf.errors import ConfError
from mta.lib.crash import Crash
from mta.lib.midna_warn import midna_warn
from mta.system import Stream, Wait
from mta.tls import certkey
from mta.tls.dane import Dane
from mta.tls.fprint import tls_cert_fprint, tls_pkey_fprint, tls_validate_digest
from mta.tls.levels import (
    TLS_LOG_CACHE,
    TLS_LOG_CERTMATCH,
    TLS_LOG_DEBUG,
    TLS_LOG_PEERCERT,
    TLS_LOG_SUMMARY,
    TLS_LOG_UNTRUSTED,
    TLS_LOG_VERBOSE,
    dane_based,
    must_match,
    must_trust,
    tls_log_mask,
)
from mta.tls.match import NameMatcher, match_names
from mta.tls.mgr import has_manager
from mta.tls.misc import (
    BadCiphers,
    protocol_options,
    tls_bug_bits,
    tls_cipher_list,
    tls_protocol_mask,
)
from mta.tls.scache import ClientCache, KeptSession, TlsmgrCache
from mta.tls.session import (
    TLS_CERT_FLAG_MATCHED,
    TLS_CERT_FLAG_PRESENT,
    TLS_CERT_FLAG_TRUSTED,
    TlsSession,
    info_callback,
    tls_print_errors,
)
from mta.tls.trust import verify_by_anchors
from mta.tls.verify import (
    X509_V_OK,
    set_verify,
    tls_issuer_CN,
    tls_log_verify_error,
    tls_peer_CN,
    verify_result,
)
from mta.wire.tls import HandshakeFailed, TlsConnection
from mta.wire.tls_errors import library_errors

if TYPE_CHECKING:
    from mta.master.server import Process

_LIB: Any = Binding().lib

#: What OpenSSL 3.0.22 tells as its number.
_OPENSSL = 0x30000160
_LONGEST_SNI = 255


@dataclass(frozen=True, slots=True)
class TlsClientProps:
    """What a program wants of the engine (TLS_CLIENT_INIT_PROPS)."""

    log_param: str  #: the name of the parameter that ``log_level`` is of
    log_level: str
    verifydepth: int
    cert_file: str
    key_file: str
    dcert_file: str
    dkey_file: str
    eccert_file: str
    eckey_file: str
    CAfile: str
    CApath: str
    mdalg: str  #: digest of fingerprints


@dataclass(frozen=True, slots=True)
class TlsClientStart:
    """What is wanted of one handshake (TLS_CLIENT_START_PROPS)."""

    timeout: float
    level: int  #: TLS_LEV_*
    nexthop: str
    host: str
    namaddr: str
    serverid: str  #: under which sessions are kept
    helo: str
    protocols: str
    cipher_grade: str
    cipher_exclusions: str
    match: Sequence[str] | None
    mdalg: str
    dane: Dane | None = None
    deadline: bool = False  #: the time limit is for all of the handshake


def tls_client_init(
    process: Process, props: TlsClientProps, cache: ClientCache | None = None
) -> TlsClientEngine | None:
    """The engine of a process; None, after warnings, where TLS cannot be done.  Without a ``cache``
    of its own tlsmgr(8) keeps the sessions.
    """
    log = process.log
    log_mask = tls_log_mask(log, props.log_param, props.log_level)
    if log_mask & TLS_LOG_VERBOSE:
        log.info("initializing the client-side TLS engine")
    try:
        process.conf.check_set("tls")
    except ConfError as error:
        log.fatal(error.args[0])
    if not tls_validate_digest(log, props.mdalg):
        log.warning("disabling TLS support")
        return None
    if cache is None:
        if not has_manager(process):
            log.warning("no entropy for TLS key generation: disabling TLS support")
            return None
        cache = TlsmgrCache(process, process.program)
    try:
        return TlsClientEngine(process, props, log_mask, cache)
    except certkey.Unusable:
        return None


class TlsClientEngine:
    """The TLS engine of a client process."""

    def __init__(
        self, process: Process, props: TlsClientProps, log_mask: int, cache: ClientCache
    ) -> None:
        """Reads certificates and keys.  Raises certkey.Unusable, which has been logged."""
        self.process = process
        self.props = props
        self.log_mask = log_mask
        self.cache = cache
        self._ciphers = ""
        self._legacy = bool(process.conf.tls_legacy_public_key_fingerprints)
        self._multi = bool(process.conf.tls_wildcard_matches_multiple_labels)
        context = self._context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
        context.set_verify_depth(props.verifydepth + 1)
        context.set_options(tls_bug_bits(process.log, process.conf))
        _LIB.SSL_CTX_set1_curves_list(context._context, certkey.DEFAULT_GROUPS)
        context.set_info_callback(info_callback)
        certkey.set_authorities(process, context, props.CAfile, props.CApath)
        certkey.set_certificates(
            process,
            context,
            ("RSA", props.cert_file, props.key_file),
            ("DSA", props.dcert_file, props.dkey_file),
            ("ECDSA", props.eccert_file, props.eckey_file),
        )
        set_verify(context, SSL.VERIFY_NONE)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)

    # -- one server ---------------------------------------------------------------------------

    def start(self, stream: Stream, want: TlsClientStart) -> Wait[TlsSession | None]:
        """The handshake with a server, whose stream is covered afterwards; None, after lines in the
        log, where it fails.
        """
        yield from self.cache.open()
        log, mask = self.process.log, self.log_mask
        dane = want.dane
        if must_trust(want.level) and (
            not dane_based(want.level) or (dane is not None and dane.ta)
        ):
            mask |= TLS_LOG_UNTRUSTED
        if mask & TLS_LOG_VERBOSE:
            log.info(f"setting up TLS connection to {want.namaddr}")
        protocols = tls_protocol_mask(want.protocols)
        if protocols is None:
            log.warning(
                f'{want.namaddr}: Invalid TLS protocol list "{want.protocols}": '
                "aborting TLS session"
            )
            return None
        ciphers = self._set_ciphers(want)
        if ciphers is None:
            return None
        if mask & TLS_LOG_VERBOSE:
            log.info(f'{want.namaddr}: TLS cipher list "{ciphers}"')
        session = self._new_session(want, mask, protocols)
        session.serverid = f"{want.serverid}&{_serverid_digest(want, protocols, ciphers)}"
        kept = yield from self._resume(session)
        self._server_name(session, want)
        session.tls.connection.set_connect_state()
        clock = self.process.now if want.deadline else None
        try:
            yield from session.tls.handshake(stream, want.timeout, clock=clock)
        except HandshakeFailed as failure:
            yield from self._failed(session, want, failure)
            return None
        yield from self._post_connect(session, want, kept)
        stream.cover(session.tls)
        return session

    def _set_ciphers(self, want: TlsClientStart) -> str | None:
        """Sets the cipher list; None, after a warning, where there is none such."""
        log = self.process.log
        try:
            ciphers = tls_cipher_list(
                self.process.conf, "TLS", want.cipher_grade, want.cipher_exclusions
            )
        except BadCiphers as error:
            log.warning(f"{want.namaddr}: {error.args[0]}: aborting TLS session")
            return None
        complete = f"{ciphers}:@SECLEVEL={1 if must_match(want.level) else 0}"
        if complete == self._ciphers:
            return ciphers
        encoded = complete.encode("utf-8", "surrogateescape")
        try:
            SSL.Context(SSL.TLS_CLIENT_METHOD).set_cipher_list(encoded)
        except SSL.Error as error:
            tls_print_errors(log, library_errors(error.args[0] if error.args else []))
            log.warning(
                f'{want.namaddr}: invalid TLS cipher list: "{ciphers}": aborting TLS session'
            )
            return None
        # pyOpenSSL lets nobody change a context that has connections; theirs are over.
        _LIB.SSL_CTX_set_cipher_list(self._context._context, encoded)
        self._ciphers = complete
        return ciphers

    def _new_session(self, want: TlsClientStart, mask: int, protocols: int) -> TlsSession:
        process = self.process
        connection = SSL.Connection(self._context, None)
        _LIB.SSL_set_options(connection._ssl, protocol_options(protocols))
        tls = TlsConnection(connection, process.now)
        session = TlsSession(process.log, mask, want.namaddr, tls, am_server=False)
        session.verify_depth = self.props.verifydepth
        session.anchored = want.dane is not None and bool(want.dane.ta)
        return session

    def _server_name(self, session: TlsSession, want: TlsClientStart) -> None:
        """With DANE the server hears which host we want (SNI)."""
        name = want.host.encode("utf-8", "surrogateescape")
        if not dane_based(want.level) or len(name) > _LONGEST_SNI:
            return
        session.tls.connection.set_tlsext_host_name(name)
        if session.log_mask & TLS_LOG_DEBUG:
            self.process.log.info(f"{want.namaddr}: SNI hostname: {want.host}")

    # -- sessions that are resumed --------------------------------------------------------------

    def _resume(self, session: TlsSession) -> Wait[KeptSession | None]:
        """Offers the session that is kept for the server, if there is one."""
        cache = self.cache
        if not cache.enabled:
            return None
        session.cache_type = cache.name
        log = self.process.log if session.log_mask & TLS_LOG_CACHE else None
        if log is not None:
            log.info(f"looking for session {session.serverid} in {cache.name} cache")
        kept = yield from cache.lookup(session.serverid)
        if kept is not None:
            if log is not None:
                log.info(f"reloaded session {session.serverid} from {cache.name} cache")
            kept.offer(session.tls.connection)
        cache.watch(session)
        return kept

    def _failed(
        self, session: TlsSession, want: TlsClientStart, failure: HandshakeFailed
    ) -> Wait[None]:
        log = self.process.log
        if failure.errors:
            log.info(f"SSL_connect error to {want.namaddr}: -1")
            tls_print_errors(log, failure.errors)
        else:
            log.info(f"SSL_connect error to {want.namaddr}: {failure.reason}")
        if session.cache_type:
            if session.log_mask & TLS_LOG_CACHE:
                log.info(f"remove session {session.serverid} from client cache")
            yield from self.cache.delete(session.serverid)

    # -- what came of it ------------------------------------------------------------------------

    def _post_connect(
        self, session: TlsSession, want: TlsClientStart, kept: KeptSession | None
    ) -> Wait[None]:
        """Judges the certificate, collects the rest, and logs it."""
        log, mask = self.process.log, session.log_mask
        session.session_reused = session.tls.reused
        session.verified = self._verified(session, want, kept)
        if session.cache_type:
            yield from self.cache.keep(session)
        if mask & TLS_LOG_CACHE and session.session_reused:
            log.info(f"{session.namaddr}: Reusing old session")
        certificate = session.peer_certificate()
        if certificate is not None:
            session.peer_status |= TLS_CERT_FLAG_PRESENT
            self._check_fingerprint(session, want, certificate)
            self._check_name(session, want, certificate)
            if mask & (TLS_LOG_CERTMATCH | TLS_LOG_VERBOSE | TLS_LOG_PEERCERT):
                log.info(
                    f"{want.namaddr}: subject_CN={session.peer_CN}, "
                    f"issuer_CN={session.issuer_CN}, fingerprint={session.peer_cert_fprint}, "
                    f"pkey_fingerprint={session.peer_pkey_fprint}"
                )
        session.read_parameters()
        session.read_signatures()
        if mask & TLS_LOG_SUMMARY:
            log.info(session.summary())
        if self.process.system.decisions is not None:
            self.process.decide(
                "tls",
                role="client",
                peer=session.namaddr,
                protocol=session.protocol,
                cipher=session.cipher_name,
                present=session.is_present,
                trusted=session.is_trusted,
                matched=session.is_matched,
                reused=session.session_reused,
            )

    def _verified(self, session: TlsSession, want: TlsClientStart, kept: KeptSession | None) -> int:
        """X509_V_OK, or what is wrong with the server's chain of certificates."""
        if not session.anchored:
            return verify_result(session.tls.connection)
        if session.session_reused and kept is not None:
            return kept.verified
        chain = session.tls.connection.get_peer_cert_chain(as_cryptography=True)
        if not chain:
            return X509_V_OK
        assert want.dane is not None
        return verify_by_anchors(session, want.dane, chain, self.process.now(), self._legacy)

    def _check_fingerprint(
        self, session: TlsSession, want: TlsClientStart, certificate: x509.Certificate
    ) -> None:
        """Whether the certificate itself is one that we were told of (verify_extract_print)."""
        session.peer_cert_fprint = tls_cert_fprint(certificate, want.mdalg)
        session.peer_pkey_fprint = tls_pkey_fprint(certificate, want.mdalg, self._legacy)
        dane = want.dane
        if dane is not None and dane.ee and dane.match(session, True, certificate, 0, self._legacy):
            session.peer_status |= TLS_CERT_FLAG_TRUSTED | TLS_CERT_FLAG_MATCHED

    def _check_name(
        self, session: TlsSession, want: TlsClientStart, certificate: x509.Certificate
    ) -> None:
        """Whether the certificate is trusted, and has the right name (verify_extract_name)."""
        session.issuer_CN = tls_issuer_CN(session, certificate)
        if session.verified == X509_V_OK:
            session.peer_status |= TLS_CERT_FLAG_TRUSTED
        wanted = not session.is_matched and session.is_trusted and must_trust(want.level)
        if wanted or session.log_mask & TLS_LOG_CERTMATCH:
            matcher = None
            if want.match is not None:
                warn = midna_warn(self.process)
                matcher = NameMatcher(want.match, want.nexthop, want.host, self._multi, warn)
            match_names(session, certificate, matcher, want.namaddr, wanted)
        else:
            session.peer_CN = tls_peer_CN(session, certificate)
        if not session.is_trusted and session.log_mask & TLS_LOG_UNTRUSTED:
            if session.session_reused:
                self.process.log.info(
                    f"{want.namaddr}: re-using session with untrusted certificate, "
                    "look for details earlier in the log"
                )
            else:
                tls_log_verify_error(session)


def no_engine() -> None:
    """The program uses an engine that could not be made.  Raises Crash."""
    raise Crash("tls_client_start: no TLS engine")


def _serverid_digest(want: TlsClientStart, protocols: int, ciphers: str) -> str:
    """What else the judgement of a kept session depends on (tls_serverid_digest)."""
    digest = sha256()
    digest.update(_text(want.helo))
    digest.update(_OPENSSL.to_bytes(8, "little"))
    digest.update(protocols.to_bytes(8, "little"))
    digest.update(_text(ciphers))
    if want.dane is not None:
        digest.update(want.dane.ta_key())
        digest.update(_text(want.host if dane_based(want.level) else ""))
    return digest.hexdigest().upper()


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape") + b"\0"
