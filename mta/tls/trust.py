"""Certificate chains that end at a trust anchor of a policy or of TLSA records, not at an authority
of ``CAfile`` or ``CApath`` (dane_cb of tls_dane).

The chain that a server shows is searched for an anchor; what OpenSSL then gets is that anchor as
the only thing to trust.  A bare public key becomes a certificate that nobody signed.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.bindings.openssl.binding import Binding
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from OpenSSL import crypto

from mta.tls.dane import MATCHED_CERT, Dane
from mta.tls.levels import TLS_LOG_CERTMATCH, TLS_LOG_VERBOSE
from mta.tls.verify import (
    X509_V_ERR_CERT_CHAIN_TOO_LONG,
    X509_V_ERR_CERT_HAS_EXPIRED,
    X509_V_ERR_CERT_NOT_YET_VALID,
    X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
    X509_V_OK,
    name_oneline,
)

if TYPE_CHECKING:
    from mta.tls.session import TlsSession

_LIB: Any = Binding().lib
_MONTH = datetime.timedelta(days=30)
#: Signs what stands for a bare key; nobody looks at the signature.
_SIGNER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def verify_by_anchors(
    session: TlsSession, dane: Dane, shown: Sequence[x509.Certificate], now: int, legacy: bool
) -> int:
    """Judges the chain that a server has shown, leaf first, by the trust anchors of ``dane``, at a
    moment (microseconds since the epoch).  Leaves the error in the session, and returns it.
    """
    moment = _EPOCH + datetime.timedelta(microseconds=now)
    search = _Search(session, dane, moment, legacy)
    search.run(list(shown))
    return _verify(session, shown[0], search, moment)


class _Search:
    """The way from a leaf to a trust anchor (set_trust)."""

    def __init__(
        self, session: TlsSession, dane: Dane, moment: datetime.datetime, legacy: bool
    ) -> None:
        self.trusted: list[x509.Certificate] = []
        self.untrusted: list[x509.Certificate] = []
        self._session = session
        self._dane = dane
        self._moment = moment
        self._legacy = legacy
        self._verbose = bool(session.log_mask & (TLS_LOG_VERBOSE | TLS_LOG_CERTMATCH))

    def run(self, chain: list[x509.Certificate]) -> None:
        """Fills ``trusted`` and ``untrusted``."""
        session, leaf = self._session, chain[0]
        if _has_issued(leaf, leaf):
            if self._dane.match(session, False, leaf, 0, self._legacy):
                session.tadepth = 0
                self.trusted.append(leaf)
            return
        certificate = leaf
        depth = 0
        while True:
            issuer = next((c for c in chain if _has_issued(c, certificate)), None)
            if issuer is None:
                break
            chain.remove(issuer)
            match = self._dane.match(session, False, issuer, depth + 1, self._legacy)
            if match == MATCHED_CERT:
                self._anchor(issuer, depth)
                return
            if match:
                self._bare_key(issuer.public_key(), certificate, depth)
                return
            self.untrusted.append(issuer)
            if _has_issued(issuer, issuer):
                return
            certificate = issuer
            depth += 1
        self._signed_by_anchor(certificate, depth)

    def _signed_by_anchor(self, certificate: x509.Certificate, depth: int) -> None:
        """An anchor that the server has not shown, but that we have (ta_signed)."""
        for anchor in self._dane.certs:
            if _has_issued(anchor, certificate) and _has_signed(anchor.public_key(), certificate):
                self._anchor(anchor, depth)
                return
        for key in self._dane.pkeys:
            if _has_signed(key, certificate):
                self._bare_key(key, certificate, depth)
                return

    def _anchor(self, certificate: x509.Certificate, depth: int) -> None:
        session = self._session
        if session.tadepth < 0:
            session.tadepth = depth + 1
        if self._verbose:
            session.log.info(f"{session.namaddr}: depth={depth} trust-anchor certificate")
        self.trusted.append(certificate)

    def _bare_key(self, key: Any, subject: x509.Certificate, depth: int) -> None:
        session = self._session
        if session.tadepth < 0:
            session.tadepth = depth + 1
            if self._verbose:
                session.log.info(f"{session.namaddr}: depth={depth} chain is trust-anchor signed")
        self.trusted.append(_wrapped(key, subject, self._moment))


def _wrapped(key: Any, subject: x509.Certificate, moment: datetime.datetime) -> x509.Certificate:
    """A certificate for a bare key, such that it has issued ``subject``."""
    akid = _extension(subject, x509.AuthorityKeyIdentifier)
    key_id = akid.key_identifier if akid is not None else None
    serial = akid.authority_cert_serial_number if akid is not None else None
    names = (akid.authority_cert_issuer or []) if akid is not None else []
    issuer = next((n.value for n in names if isinstance(n, x509.DirectoryName)), subject.issuer)
    skid = (
        x509.SubjectKeyIdentifier(key_id)
        if key_id is not None
        else x509.SubjectKeyIdentifier.from_public_key(key)
    )
    own = b"\1" if key_id == b"\0" else b"\0"
    return (
        x509.CertificateBuilder()
        .subject_name(subject.issuer)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial or subject.serial_number + 1)
        .not_valid_before(moment - _MONTH)
        .not_valid_after(moment + _MONTH)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(own, None, None), critical=False)
        .add_extension(skid, critical=False)
        .sign(_SIGNER, None)
    )


# -- OpenSSL's verdict -----------------------------------------------------------------------------


def _verify(
    session: TlsSession, leaf: x509.Certificate, search: _Search, moment: datetime.datetime
) -> int:
    store = crypto.X509Store()
    for certificate in search.trusted:
        store.add_cert(crypto.X509.from_cryptography(certificate))
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    store.set_time(moment)
    _LIB.X509_STORE_set_purpose(store._store, _LIB.X509_PURPOSE_SSL_SERVER)
    untrusted = [crypto.X509.from_cryptography(c) for c in search.untrusted]
    context = crypto.X509StoreContext(store, crypto.X509.from_cryptography(leaf), untrusted)
    try:
        verified = [c.to_cryptography() for c in context.get_verified_chain()]
    except crypto.X509StoreContextError as error:
        code, depth, _ = error.errors
        return _refused(session, [leaf, *search.untrusted], error, int(code), int(depth), moment)
    limit = session.verify_depth
    if 0 <= limit < len(verified) - 1:
        session.note_error(limit + 1, verified[limit + 1], X509_V_ERR_CERT_CHAIN_TOO_LONG)
        return X509_V_ERR_CERT_CHAIN_TOO_LONG
    if session.log_mask & TLS_LOG_VERBOSE:
        for depth in range(len(verified) - 1, -1, -1):
            if not 0 < session.tadepth < depth:
                _tell(session, depth, 1, verified[depth])
    return X509_V_OK


def _refused(
    session: TlsSession,
    chain: Sequence[x509.Certificate],
    error: crypto.X509StoreContextError,
    code: int,
    depth: int,
    moment: datetime.datetime,
) -> int:
    """Notes an error, and one nearer to the leaf if there is one: a time that is over."""
    certificate = error.certificate.to_cryptography()
    session.note_error(depth, certificate, code)
    if session.log_mask & TLS_LOG_VERBOSE:
        _tell(session, depth, 0, certificate)
    start = depth if code == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT else depth - 1
    for nearer in range(min(start, len(chain) - 1), -1, -1):
        late = moment > chain[nearer].not_valid_after_utc
        early = moment < chain[nearer].not_valid_before_utc
        if late or early:
            code = X509_V_ERR_CERT_HAS_EXPIRED if late else X509_V_ERR_CERT_NOT_YET_VALID
            session.note_error(nearer, chain[nearer], code)
        if session.log_mask & TLS_LOG_VERBOSE:
            _tell(session, nearer, 0 if late or early else 1, chain[nearer])
    return code


def _tell(session: TlsSession, depth: int, good: int, certificate: x509.Certificate) -> None:
    subject = name_oneline(certificate.subject)
    session.log.info(f"{session.namaddr}: depth={depth} verify={good} subject={subject}")


# -- who has issued what ---------------------------------------------------------------------------


def _extension(certificate: x509.Certificate, kind: Any) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):
        return None


def _has_issued(issuer: x509.Certificate, subject: x509.Certificate) -> bool:
    """Whether a certificate looks like the issuer of another one (X509_check_issued)."""
    if issuer.subject != subject.issuer:
        return False
    akid = _extension(subject, x509.AuthorityKeyIdentifier)
    if akid is not None:
        skid = _extension(issuer, x509.SubjectKeyIdentifier)
        if akid.key_identifier and skid is not None and skid.digest != akid.key_identifier:
            return False
        serial = akid.authority_cert_serial_number
        if serial is not None and serial != issuer.serial_number:
            return False
    usage = _extension(issuer, x509.KeyUsage)
    return usage is None or bool(usage.key_cert_sign)


def _has_signed(key: Any, certificate: x509.Certificate) -> bool:
    """Whether a certificate is signed by a key (X509_verify)."""
    signature, text = certificate.signature, certificate.tbs_certificate_bytes
    try:
        parameters: Any = certificate.signature_algorithm_parameters
        algorithm = certificate.signature_hash_algorithm
        if isinstance(key, rsa.RSAPublicKey):
            assert algorithm is not None
            key.verify(signature, text, parameters, algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, text, parameters)
        elif isinstance(key, dsa.DSAPublicKey):
            assert algorithm is not None
            key.verify(signature, text, algorithm)
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, text)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError, AssertionError):
        return False
    return True
