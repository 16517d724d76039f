"""One TLS connection of ours as Postfix sees it: TLS_SESS_STATE, with its log (tls_misc,
tls_session).

What a program may read is what :class:`mta.smtpd.state.TlsContext` names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.bindings.openssl.binding import Binding
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from OpenSSL import SSL, crypto

from mta.system import Gone, Stream, TimedOut, Wait
from mta.tls.fprint import tls_cert_fprint, tls_pkey_fprint
from mta.tls.levels import TLS_LOG_DEBUG
from mta.tls.verify import (
    X509_V_OK,
    register,
    tls_issuer_CN,
    tls_peer_CN,
    verify_certificate,
)
from mta.wire.tls import TlsConnection

if TYPE_CHECKING:
    from mta.lib.log import Log
    from mta.wire.tls_errors import LibraryError

_LIB: Any = Binding().lib
_FFI: Any = Binding().ffi

TLS_CERT_FLAG_PRESENT = 1 << 0
TLS_CERT_FLAG_ALTNAME = 1 << 1
TLS_CERT_FLAG_TRUSTED = 1 << 2
TLS_CERT_FLAG_MATCHED = 1 << 3


def tls_print_errors(log: Log, errors: Iterable[LibraryError]) -> None:
    """Logs what the library complained about."""
    for error in errors:
        log.warning(f"TLS library problem: {error}")


class Signature:
    """How one side of a TLS 1.3 handshake signed."""

    __slots__ = ("bits", "curve", "digest", "name")

    def __init__(self) -> None:
        self.name = ""
        self.curve = ""
        self.bits = 0
        self.digest = ""

    def text(self, side: str) -> str:
        """As in the log: ``server-signature RSA-PSS (2048 bits) server-digest SHA256``."""
        if not self.name:
            return ""
        found = f"{side}-signature {self.name}{_detail(self.curve, self.bits)}"
        return f"{found} {side}-digest {self.digest}" if self.digest else found


def _detail(curve: str, bits: int) -> str:
    return f" ({curve})" if curve else f" ({bits} bits)" if bits > 0 else ""


class TlsSession:
    """A TLS connection: who is on the other side, and how we talk."""

    __slots__ = (
        "__weakref__",
        "am_server",
        "anchored",
        "cache_type",
        "cipher_algbits",
        "cipher_name",
        "cipher_usebits",
        "client_sig",
        "errorcert",
        "errorcode",
        "errordepth",
        "issuer_CN",
        "kex_bits",
        "kex_curve",
        "kex_name",
        "log",
        "log_mask",
        "namaddr",
        "on_step",
        "peer_CN",
        "peer_cert_fprint",
        "peer_pkey_fprint",
        "peer_status",
        "protocol",
        "server_sig",
        "serverid",
        "session_reused",
        "signed",
        "tadepth",
        "ticket_expires",
        "ticketed",
        "tls",
        "verified",
        "verify_depth",
    )  # fmt: skip

    def __init__(
        self, log: Log, log_mask: int, namaddr: str, tls: TlsConnection, *, am_server: bool
    ) -> None:
        """``namaddr`` names the other side in the log; ``tls`` has not shaken hands yet."""
        self.log = log
        self.log_mask = log_mask  #: TLS_LOG_*
        self.namaddr = namaddr.lower()
        self.tls = tls
        self.am_server = am_server
        self.verify_depth = -1  #: the longest chain of authorities; -1: any
        self.peer_CN = ""
        self.issuer_CN = ""
        self.peer_cert_fprint = ""
        self.peer_pkey_fprint = ""
        self.peer_status = 0  #: TLS_CERT_FLAG_*
        self.protocol = ""
        self.cipher_name = ""
        self.cipher_usebits = 0
        self.cipher_algbits = 0
        self.kex_name = ""
        self.kex_curve = ""
        self.kex_bits = 0
        self.server_sig = Signature()
        self.client_sig = Signature()
        self.session_reused = False
        self.ticketed = False  #: a session ticket was issued or taken
        self.cache_type = ""  #: of tlsmgr(8); empty: no cache
        self.serverid = ""
        self.errordepth = -1
        self.errorcode = X509_V_OK  #: the error nearest to the leaf
        self.errorcert: crypto.X509 | None = None
        #: The certificate is judged by trust anchors of a policy, not by OpenSSL in the handshake.
        self.anchored = False
        self.tadepth = -1  #: where such a trust anchor was found
        self.verified = X509_V_OK  #: what was found of the chain of certificates (clients)
        self.signed = False  #: we, a client, have signed with the key of our certificate
        self.ticket_expires = 0  #: of the key that issues tickets now; 0: none are issued
        #: Hears of each step of OpenSSL; whether it is to be logged.
        self.on_step: Callable[[TlsSession, str], bool] | None = None
        tls.connection.set_app_data(self)
        register(self)
        tls.on_failure = self._read_failed

    # -- certificates -------------------------------------------------------------------------

    @property
    def is_present(self) -> bool:
        """Whether the other side showed a certificate."""
        return bool(self.peer_status & TLS_CERT_FLAG_PRESENT)

    @property
    def is_trusted(self) -> bool:
        """Whether its certificate is good."""
        return bool(self.peer_status & TLS_CERT_FLAG_TRUSTED)

    @property
    def is_matched(self) -> bool:
        """Whether its certificate is that of whom we wanted."""
        return bool(self.peer_status & TLS_CERT_FLAG_MATCHED)

    def verify(self, good: int, store: Any) -> None:
        """OpenSSL has looked at a certificate of the other side's chain."""
        if not self.anchored:
            verify_certificate(self, good, store)

    def note_error(self, depth: int, certificate: crypto.X509 | None, code: int) -> None:
        """A certificate is not good; the error nearest to the leaf is kept."""
        if 0 <= self.errordepth <= depth:
            return
        self.errordepth, self.errorcert, self.errorcode = depth, certificate, code

    def peer_certificate(self) -> x509.Certificate | None:
        """The certificate of the other side."""
        return self.tls.connection.get_peer_certificate(as_cryptography=True)

    def read_names(self, certificate: x509.Certificate, digest: str, legacy: bool) -> None:
        """Takes names and fingerprints from a certificate."""
        self.peer_CN = tls_peer_CN(self, certificate)
        self.issuer_CN = tls_issuer_CN(self, certificate)
        self.peer_cert_fprint = tls_cert_fprint(certificate, digest)
        self.peer_pkey_fprint = tls_pkey_fprint(certificate, digest, legacy)

    # -- protocol and ciphers -----------------------------------------------------------------

    def read_parameters(self) -> None:
        """Takes protocol and cipher from the connection."""
        connection = self.tls.connection
        self.protocol = self.tls.protocol
        cipher = _LIB.SSL_get_current_cipher(connection._ssl)
        bits = _FFI.new("int *")
        self.cipher_name = connection.get_cipher_name() or ""
        self.cipher_usebits = _LIB.SSL_CIPHER_get_bits(cipher, bits)
        self.cipher_algbits = bits[0]

    def read_signatures(self) -> None:
        """Takes the details of a TLS 1.3 handshake (tls_get_signature_params)."""
        if self.protocol != "TLSv1.3":
            return
        connection = self.tls.connection
        group = (connection.get_group_name() or "").lower()
        self.kex_name, self.kex_curve, self.kex_bits = _GROUPS.get(group, (group.upper(), "", 0))
        own, peer = connection.get_certificate(as_cryptography=True), self.peer_certificate()
        mine, theirs = self.server_sig, self.client_sig
        if not self.am_server:
            mine, theirs = theirs, mine
            if not self.signed:
                own = None
        for certificate, signature in ((own, mine), (peer, theirs)):
            if certificate is not None:
                _describe(certificate, signature)
                if self.session_reused:
                    signature.digest = ""

    def summary(self, used: bool = False) -> str:
        """The line of log level 1; ``used``: the connection itself is used once more."""
        trust = (
            "Anonymous"
            if not self.is_present
            else "Verified"
            if self.is_matched
            else "Trusted"
            if self.is_trusted
            else "Untrusted"
        )
        text = (
            f"{trust} TLS connection {'reused' if used else 'established'} "
            f"{'from' if self.am_server else 'to'} {self.namaddr}: {self.protocol} with cipher "
            f"{self.cipher_name} ({self.cipher_usebits}/{self.cipher_algbits} bits)"
        )
        parts = (text, self._kex(), self.server_sig.text("server"), self.client_sig.text("client"))
        return " ".join(part for part in parts if part)

    def _kex(self) -> str:
        if not self.kex_name:
            return ""
        return f"key-exchange {self.kex_name}{_detail(self.kex_curve, self.kex_bits)}"

    def details(self) -> list[str]:
        """Lines of the Received header after the first; each begins with a tab."""
        first = " ".join(part for part in (self._kex(), self.server_sig.text("server")) if part)
        return [f"\t {line}" for line in (first, self.client_sig.text("client")) if line]

    # -- reading, and the end -----------------------------------------------------------------

    def _read_failed(self, tls: TlsConnection) -> None:
        """Something that makes no sense was read."""
        tls_print_errors(self.log, tls.errors)

    def stop(self, stream: Stream, timeout: float, failure: bool) -> Wait[None]:
        """Ends TLS on a stream: says so, and waits until the other side has said so too, unless
        there was a failure (tls_session_stop).
        """
        tls = self.tls
        tls.on_failure = None
        if not failure and not tls.broken:
            stream.write_sealed(tls.farewell())
            try:
                yield stream.flush(timeout)
                if not tls.ended:
                    yield stream.read(1, timeout)
            except (TimedOut, Gone):
                pass


#: OpenSSL's groups: the name of the key exchange, its curve, its bits.
_GROUPS = {
    "x25519": ("X25519", "", 0),
    "x448": ("X448", "", 0),
    "secp256r1": ("ECDHE", "P-256", 0),
    "prime256v1": ("ECDHE", "P-256", 0),
    "p-256": ("ECDHE", "P-256", 0),
    "secp384r1": ("ECDHE", "P-384", 0),
    "secp521r1": ("ECDHE", "P-521", 0),
    "ffdhe2048": ("DHE", "", 2048),
    "ffdhe3072": ("DHE", "", 3072),
    "ffdhe4096": ("DHE", "", 4096),
}

#: Curves: their names, and the digests that go with them.
_CURVES = {
    "secp256r1": ("P-256", "SHA256"),
    "secp384r1": ("P-384", "SHA384"),
    "secp521r1": ("P-521", "SHA512"),
}


def _describe(certificate: x509.Certificate, signature: Signature) -> None:
    """What a signature with the key of a certificate looks like in TLS 1.3."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        signature.name, signature.bits, signature.digest = "RSA-PSS", key.key_size, "SHA256"
    elif isinstance(key, ec.EllipticCurvePublicKey):
        signature.name = "ECDSA"
        signature.curve, signature.digest = _CURVES.get(key.curve.name, (key.curve.name, ""))
    elif isinstance(key, ed25519.Ed25519PublicKey):
        signature.name = "ED25519"
    elif isinstance(key, ed448.Ed448PublicKey):
        signature.name = "ED448"


# -- the log of OpenSSL's steps --------------------------------------------------------------------

_ALERT_KINDS = {1: "warning", 2: "fatal"}
_ALERTS = {
    0: "close notify",
    10: "unexpected_message",
    20: "bad record mac",
    21: "decryption failed",
    22: "record overflow",
    30: "decompression failure",
    40: "handshake failure",
    41: "no certificate",
    42: "bad certificate",
    43: "unsupported certificate",
    44: "certificate revoked",
    45: "certificate expired",
    46: "certificate unknown",
    47: "illegal parameter",
    48: "unknown CA",
    49: "access denied",
    50: "decode error",
    51: "decrypt error",
    60: "export restriction",
    70: "protocol version",
    71: "insufficient security",
    80: "internal error",
    90: "user canceled",
    100: "no renegotiation",
    110: "unsupported extension",
    111: "certificate unobtainable",
    112: "unrecognized name",
    113: "bad certificate status response",
    114: "bad certificate hash value",
    115: "unknown PSK identity",
    120: "no application protocol",
}


_SIGNED = "SSLv3/TLS write certificate verify"


def info_callback(connection: SSL.Connection, where: int, result: int) -> None:
    """Logs each step of OpenSSL (tls_info_callback); level 2 of the log."""
    session: TlsSession | None = connection.get_app_data()
    if session is None:
        return
    log = session.log
    if where & SSL.SSL_CB_ALERT:
        if result & 0xFF and session.log_mask & TLS_LOG_DEBUG:
            way = "read" if where & SSL.SSL_CB_READ else "write"
            kind = _ALERT_KINDS.get(result >> 8, "unknown")
            log.info(f"SSL3 alert {way}:{kind}:{_ALERTS.get(result & 0xFF, 'unknown')}")
        return
    step = "unknown"
    if where & SSL.SSL_ST_CONNECT:
        step = "SSL_connect"
    elif where & SSL.SSL_ST_ACCEPT:
        step = "SSL_accept"
    state = _LIB.SSL_state_string_long(connection._ssl)
    text = _FFI.string(state).decode("ascii", "replace")
    if where & SSL.SSL_CB_LOOP:
        if text == _SIGNED:
            session.signed = True
        shown = session.on_step is None or session.on_step(session, text)
        if shown and session.log_mask & TLS_LOG_DEBUG:
            log.info(f"{step}:{text}")
    elif not session.log_mask & TLS_LOG_DEBUG:
        pass
    elif where & SSL.SSL_CB_EXIT:
        if result == 0:
            log.info(f"{step}:failed in {text}")
        elif result < 0 and _LIB.SSL_get_error(connection._ssl, result) not in (
            _LIB.SSL_ERROR_WANT_READ,
            _LIB.SSL_ERROR_WANT_WRITE,
        ):
            log.info(f"{step}:error in {text}")
