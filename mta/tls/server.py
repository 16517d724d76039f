"""The server side of TLS (tls_server): smtpd(8), tlsproxy(8).

:func:`tls_server_init` makes the engine of a process, :meth:`TlsServerEngine.start` shakes hands
with one client.  Which sessions are resumed is up to :mod:`mta.tls.resume`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL

from mta.conf.errors import ConfError
from mta.system import Gone, Stream, TimedOut, Wait
from mta.tls import certkey
from mta.tls.fprint import tls_validate_digest
from mta.tls.levels import (
    TLS_LOG_CACHE,
    TLS_LOG_DEBUG,
    TLS_LOG_PEERCERT,
    TLS_LOG_SUMMARY,
    TLS_LOG_UNTRUSTED,
    TLS_LOG_VERBOSE,
    tls_log_mask,
)
from mta.tls.mgr import has_manager, server_cache_policy
from mta.tls.misc import (
    BadCiphers,
    is_ticket_cipher,
    protocol_options,
    tls_bug_bits,
    tls_cipher_list,
    tls_protocol_mask,
)
from mta.tls.resume import Resumption
from mta.tls.session import (
    TLS_CERT_FLAG_PRESENT,
    TLS_CERT_FLAG_TRUSTED,
    TlsSession,
    info_callback,
    tls_print_errors,
)
from mta.tls.verify import X509_V_OK, name_oneline, set_verify, tls_log_verify_error, verify_result
from mta.wire.text import printable
from mta.wire.tls import HandshakeFailed, TlsConnection
from mta.wire.tls_errors import library_errors

if TYPE_CHECKING:
    from mta.master.server import Process

#: Sessions of other servers are not ours.
_SESSION_ID_CONTEXT = b"Postfix/TLS\0"
#: OpenSSL's own idea of time does not count here: its sessions last for a year.
_FOR_EVER = 365 * 86400


@dataclass(frozen=True, slots=True)
class TlsServerProps:
    """What a program wants of the engine (TLS_SERVER_INIT_PROPS)."""

    log_param: str  #: the name of the parameter that ``log_level`` is of
    log_level: str
    verifydepth: int
    set_sessid: bool
    cert_file: str
    key_file: str
    dcert_file: str
    dkey_file: str
    eccert_file: str
    eckey_file: str
    CAfile: str
    CApath: str
    dh1024_param_file: str
    dh512_param_file: str
    eecdh_grade: str
    protocols: str
    ask_ccert: bool
    mdalg: str  #: digest of fingerprints

    @classmethod
    def of(cls, process: Process, prefix: str, **more: Any) -> TlsServerProps:
        """From the parameters ``<prefix>_tls_*`` and what the program has worked out of them."""
        values = {
            "log_param": f"{prefix}_tls_loglevel",
            "log_level": _parameter(process, prefix, "loglevel"),
            "verifydepth": _parameter(process, prefix, "ccert_verifydepth"),
            "set_sessid": _parameter(process, prefix, "always_issue_session_ids"),
            "mdalg": _parameter(process, prefix, "fingerprint_digest"),
        }
        for name in (
            "cert_file", "key_file", "dcert_file", "dkey_file", "eccert_file", "eckey_file",
            "CAfile", "CApath", "dh1024_param_file", "dh512_param_file", "eecdh_grade",
        ):  # fmt: skip
            values[name] = _parameter(process, prefix, name)
        values.update(more)
        return cls(**values)


def _parameter(process: Process, prefix: str, name: str) -> Any:
    return getattr(process.conf, f"{prefix}_tls_{name}")


def tls_server_init(process: Process, props: TlsServerProps) -> TlsServerEngine | None:
    """The engine of a process; None, after warnings, where TLS cannot be done."""
    log, conf = process.log, process.conf
    log_mask = tls_log_mask(log, props.log_param, props.log_level)
    if log_mask & TLS_LOG_VERBOSE:
        log.info("initializing the server-side TLS engine")
    try:
        conf.check_set("tls")
    except ConfError as error:
        log.fatal(error.args[0])
    protocols = tls_protocol_mask(props.protocols)
    if protocols is None:
        log.warning(f'Invalid TLS protocol list "{props.protocols}": disabling TLS support')
        return None
    if not tls_validate_digest(log, props.mdalg):
        log.warning("disabling TLS support")
        return None
    if not has_manager(process):
        log.warning("no entropy for TLS key generation: disabling TLS support")
        return None
    try:
        return TlsServerEngine(process, props, log_mask, protocols)
    except certkey.Unusable:
        return None


class TlsServerEngine:
    """The TLS engine of a server process."""

    def __init__(
        self, process: Process, props: TlsServerProps, log_mask: int, protocols: int
    ) -> None:
        """Reads certificates and keys.  Raises certkey.Unusable, which has been logged."""
        self.process = process
        self.props = props
        self.log_mask = log_mask
        conf = process.conf
        self._bits = tls_bug_bits(process.log, conf)
        policy = server_cache_policy(process)
        self._resumption = Resumption(
            process,
            cachable=policy.cachable,
            ticketable=self._ticketable(policy.timeout),
            remembered=bool(policy.timeout and (policy.cachable or props.set_sessid)),
        )
        self._options = self._bits | protocol_options(protocols)
        if not self._resumption.ticketable:
            self._options |= SSL.OP_NO_TICKET
        if conf.tls_preempt_cipherlist:
            self._options |= SSL.OP_CIPHER_SERVER_PREFERENCE
        self._contexts: dict[str, SSL.Context] = {}
        self._first: SSL.Context | None = self._new_context(True)
        self._identity = self._files()

    def _ticketable(self, timeout: int) -> bool:
        """Whether session tickets are issued (``tls_session_ticket_cipher``)."""
        cipher = self.process.conf.tls_session_ticket_cipher
        if not cipher or timeout <= 0 or self._bits & SSL.OP_NO_TICKET:
            return False
        if not is_ticket_cipher(cipher):
            self.process.log.warning(
                f"tls_session_ticket_cipher: invalid value: {cipher}; session tickets disabled"
            )
            return False
        return True

    def _files(self) -> bytes:
        """A digest of the files that a context is made of."""
        props = self.props
        paths = [
            *(props.cert_file and (props.cert_file, props.key_file)),
            *(props.dcert_file and (props.dcert_file, props.dkey_file)),
            *(props.eccert_file and (props.eccert_file, props.eckey_file)),
            *(props.CAfile and (props.CAfile,)),
        ]
        digest = sha256()
        for path in paths:
            digest.update(certkey.read_file(self.process, path))
        return digest.digest()

    # -- contexts -----------------------------------------------------------------------------

    def _new_context(self, loud: bool) -> SSL.Context:
        """A context without a cipher list; ``loud`` once, for warnings.  Raises Unusable."""
        process, props = self.process, self.props
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
        context.set_verify_depth(props.verifydepth + 1)
        context.set_options(self._options)
        if self.log_mask & (TLS_LOG_DEBUG | TLS_LOG_CACHE):
            context.set_info_callback(info_callback)
        certkey.set_authorities(process, context, props.CAfile, props.CApath)
        certkey.set_certificates(
            process,
            context,
            ("RSA", props.cert_file, props.key_file),
            ("DSA", props.dcert_file, props.dkey_file),
            ("ECDSA", props.eccert_file, props.eckey_file),
        )
        warn = process.log.warning if loud else _unheard
        certkey.set_dh(process, context, props.dh1024_param_file, warn)
        if loud:
            certkey.check_dh512(process, props.dh512_param_file)
        certkey.set_eecdh(process, context, props.eecdh_grade, warn)
        if props.ask_ccert:
            set_verify(context, SSL.VERIFY_PEER | SSL.VERIFY_CLIENT_ONCE)
        if props.CAfile:
            certkey.set_client_authorities(process, context, props.CAfile)
        resumption = self._resumption
        if resumption.cachable or resumption.ticketable or props.set_sessid:
            context.set_session_id(_SESSION_ID_CONTEXT)
            mode = SSL.SESS_CACHE_SERVER | SSL.SESS_CACHE_NO_AUTO_CLEAR
            if not (resumption.remembered or resumption.ticketable):
                mode |= SSL.SESS_CACHE_NO_INTERNAL
            context.set_session_cache_mode(mode)
            context.set_timeout(_FOR_EVER)
        else:
            context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        return context

    def _context(self, ciphers: str, level: int) -> SSL.Context:
        """A fresh context with a cipher list and a security level.  Raises SSL.Error, Unusable."""
        context, self._first = self._first or self._new_context(False), None
        context.set_cipher_list(f"{ciphers}:@SECLEVEL={level}".encode("utf-8", "surrogateescape"))
        return context

    # -- one client ---------------------------------------------------------------------------

    def start(
        self,
        stream: Stream,
        *,
        namaddr: str,
        timeout: float,
        requirecert: bool,
        serverid: str,
        cipher_grade: str,
        cipher_exclusions: str,
        deadline: bool = False,
        failed: Callable[[HandshakeFailed], None] | None = None,
    ) -> Wait[TlsSession | None]:
        """The handshake with a client, whose stream is covered afterwards; None, after a line in
        the log or ``failed``, where it fails.  With ``deadline`` the time limit is for all of it.
        """
        log, mask = self.process.log, self.log_mask
        if requirecert:
            mask |= TLS_LOG_UNTRUSTED
        if mask & TLS_LOG_VERBOSE:
            log.info(f"setting up TLS connection from {namaddr}")
        try:
            ciphers = tls_cipher_list(self.process.conf, "TLS", cipher_grade, cipher_exclusions)
            level = 1 if requirecert else 0
            build = _Builder(self, ciphers, level, (self._identity, ciphers, level, serverid))
            build.context()
        except BadCiphers as error:
            log.warning(f"{namaddr}: {error.args[0]}: aborting TLS session")
            return None
        except SSL.Error as error:
            tls_print_errors(log, library_errors(error.args[0] if error.args else []))
            log.warning(f'{namaddr}: invalid TLS cipher list: "{ciphers}": aborting TLS session')
            return None
        except certkey.Unusable:
            return None
        if mask & TLS_LOG_VERBOSE:
            log.info(f'{namaddr}: TLS cipher list "{ciphers}"')
        try:
            return (
                yield from self._accept(
                    stream, mask, namaddr, timeout, serverid, build, deadline=deadline
                )
            )
        except HandshakeFailed as failure:
            (failed or self._log_failure(namaddr))(failure)
            return None

    def _log_failure(self, namaddr: str) -> Callable[[HandshakeFailed], None]:
        def log_it(failure: HandshakeFailed) -> None:
            log = self.process.log
            if failure.errors:
                log.info(f"SSL_accept error from {namaddr}: -1")
                tls_print_errors(log, failure.errors)
            else:
                log.info(f"SSL_accept error from {namaddr}: {failure.reason}")

        return log_it

    def _accept(
        self,
        stream: Stream,
        mask: int,
        namaddr: str,
        timeout: float,
        serverid: str,
        build: _Builder,
        *,
        deadline: bool,
    ) -> Wait[TlsSession]:
        """The handshake itself.  Raises HandshakeFailed."""
        process, resumption = self.process, self._resumption
        stream.unveil()
        try:
            hello, context, key = yield from resumption.choose(
                stream, timeout, build, mask, namaddr, serverid
            )
        except TimedOut:
            raise HandshakeFailed("Connection timed out", []) from None
        except Gone as gone:
            raise HandshakeFailed(str(gone), []) from None
        connection = SSL.Connection(context, None)
        connection.set_accept_state()
        tls = TlsConnection(connection, process.now if self.props.ask_ccert else None)
        session = TlsSession(process.log, mask, namaddr, tls, am_server=True)
        session.verify_depth = self.props.verifydepth
        session.serverid = serverid
        resumption.watch(session, key)
        clock = process.now if deadline else None
        yield from tls.handshake(stream, timeout, clock=clock, wire=hello)
        stream.cover(tls)
        yield from resumption.keep(session, context)
        self._post_accept(session)
        return session

    def _post_accept(self, session: TlsSession) -> None:
        """Collects what the handshake came to, and logs it."""
        log, mask = self.process.log, session.log_mask
        session.session_reused = session.tls.reused
        if mask & TLS_LOG_CACHE and session.session_reused:
            how = " (RFC 5077 session ticket)" if session.ticketed else ""
            log.info(f"{session.namaddr}: Reusing old session{how}")
        certificate = session.peer_certificate()
        if certificate is not None:
            session.peer_status |= TLS_CERT_FLAG_PRESENT
            if verify_result(session.tls.connection) == X509_V_OK:
                session.peer_status |= TLS_CERT_FLAG_TRUSTED
            if mask & TLS_LOG_VERBOSE:
                log.info(f"subject={printable(name_oneline(certificate.subject))}")
                log.info(f"issuer={printable(name_oneline(certificate.issuer))}")
            legacy = self.process.conf.tls_legacy_public_key_fingerprints
            session.read_names(certificate, self.props.mdalg, legacy)
            if mask & (TLS_LOG_VERBOSE | TLS_LOG_PEERCERT):
                log.info(
                    f"{session.namaddr}: subject_CN={session.peer_CN}, "
                    f"issuer={session.issuer_CN}, fingerprint={session.peer_cert_fprint}, "
                    f"pkey_fingerprint={session.peer_pkey_fprint}"
                )
            if not session.is_trusted and mask & TLS_LOG_UNTRUSTED:
                if not session.session_reused:
                    tls_log_verify_error(session)
                else:
                    log.info(
                        f"{session.namaddr}: re-using session with untrusted certificate, "
                        "look for details earlier in the log"
                    )
        session.read_parameters()
        session.read_signatures()
        if mask & TLS_LOG_SUMMARY:
            log.info(session.summary())
        self._decide(session)

    def _decide(self, session: TlsSession) -> None:
        if self.process.system.decisions is not None:
            self.process.decide(
                "tls",
                role="server",
                peer=session.namaddr,
                protocol=session.protocol,
                cipher=session.cipher_name,
                present=session.is_present,
                trusted=session.is_trusted,
                reused=session.session_reused,
            )


class _Builder:
    """Makes contexts for one cipher list; the first one that it was asked for is at hand."""

    __slots__ = ("_ciphers", "_engine", "_level", "key")

    def __init__(self, engine: TlsServerEngine, ciphers: str, level: int, key: Any) -> None:
        self._engine = engine
        self._ciphers = ciphers
        self._level = level
        self.key = key  #: what a context is known by

    def context(self) -> SSL.Context:
        """The process's own context, which is made when it is needed first."""
        engine = self._engine
        name = f"{self._level} {self._ciphers}"
        context = engine._contexts.get(name)
        if context is None:
            context = engine._contexts[name] = engine._context(self._ciphers, self._level)
        return context

    def fresh(self) -> SSL.Context:
        """A context that knows no sessions, the process's own from now on."""
        engine = self._engine
        engine._contexts.pop(f"{self._level} {self._ciphers}", None)
        return self.context()


def _unheard(text: str) -> None:
    """Takes a warning that was given before."""
