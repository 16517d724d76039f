"""Certificate chains that end at a trust anchor of a policy or of TLSA records, not at an authority
of ``CAfile`` or ``CApath`` (dane_cb of tls_dane).

The chain that a server shows is searched for an anchor; what OpenSSL then gets is that anchor as
the only thing to trust.

BUGS
    For an anchor of which only the public key counts (TLSA selector 1, or a key in a file) Postfix
    makes a certificate around the key.  It does not sign it, and OpenSSL 3 does not take what is
    not signed: such anchors are found, but nothing is trusted for their sake.
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
    X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
    X509_V_OK,
    name_oneline,
)

if TYPE_CHECKING:
    from mta.tls.session import TlsSession

_LIB: Any = Binding().lib
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def verify_by_anchors(
    session: TlsSession, dane: Dane, shown: Sequence[x509.Certificate], now: int, legacy: bool
) -> int:
    """Judges the chain that a server has shown, leaf first, by the trust anchors of ``dane``, at a
    moment (microseconds since the epoch).  Leaves the error in the session, and returns it.
    """
    moment = _EPOCH + datetime.timedelta(microseconds=now)
    search = _Search(session, dane, legacy)
    search.run(list(shown))
    return _verify(session, shown[0], search, moment)


class _Search:
    """The way from a leaf to a trust anchor (set_trust)."""

    def __init__(self, session: TlsSession, dane: Dane, legacy: bool) -> None:
        self.trusted: list[x509.Certificate] = []
        self.untrusted: list[x509.Certificate] = []
        self._session = session
        self._dane = dane
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
                self._bare_key(depth)
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
                self._bare_key(depth)
                return

    def _anchor(self, certificate: x509.Certificate, depth: int) -> None:
        session = self._session
        if session.tadepth < 0:
            session.tadepth = depth + 1
        if self._verbose:
            session.log.info(f"{session.namaddr}: depth={depth} trust-anchor certificate")
        self.trusted.append(certificate)

    def _bare_key(self, depth: int) -> None:
        session = self._session
        if session.tadepth < 0:
            session.tadepth = depth + 1
            if self._verbose:
                session.log.info(f"{session.namaddr}: depth={depth} chain is trust-anchor signed")


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
    code, depth = X509_V_OK, 0
    try:
        context.verify_certificate()
    except crypto.X509StoreContextError as error:
        code, depth = int(error.errors[0]), int(error.errors[1])
    trusted = [c for c in search.trusted if c != leaf]
    return _steps(session, [leaf, *search.untrusted, *trusted], code, depth, moment)


def _steps(
    session: TlsSession,
    chain: Sequence[x509.Certificate],
    code: int,
    depth: int,
    moment: datetime.datetime,
) -> int:
    """Notes the error of a chain, and those that OpenSSL would find after it; tells of each step
    where that is wanted.  The verdict.
    """
    verbose = bool(session.log_mask & TLS_LOG_VERBOSE)

    def tell(at: int, good: int) -> None:
        if verbose:
            _tell(session, at, good, chain[at])

    if code not in (X509_V_OK, *_TIMES):
        depth = min(depth, len(chain) - 1)
        _note(session, depth, chain[depth], code)
        tell(depth, 0)
        if code == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY and depth == 0:
            tell(0, 0)
    for at in range(len(chain) - 1, -1, -1):
        wrong = _wrong_time(chain[at], moment)
        if 0 <= session.verify_depth < at:
            wrong = X509_V_ERR_CERT_CHAIN_TOO_LONG
        if wrong != X509_V_OK:
            code = wrong
            _note(session, at, chain[at], wrong)
            tell(at, 0)
            if wrong == X509_V_ERR_CERT_CHAIN_TOO_LONG:
                continue
        if not 0 < session.tadepth < at:
            tell(at, 1)
    return code


_TIMES = (X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_CERT_NOT_YET_VALID)


def _wrong_time(certificate: x509.Certificate, moment: datetime.datetime) -> int:
    """Whether a certificate is too old or too young."""
    if moment > certificate.not_valid_after_utc:
        return X509_V_ERR_CERT_HAS_EXPIRED
    return X509_V_ERR_CERT_NOT_YET_VALID if moment < certificate.not_valid_before_utc else X509_V_OK


def _note(session: TlsSession, depth: int, certificate: x509.Certificate, code: int) -> None:
    session.note_error(depth, crypto.X509.from_cryptography(certificate), code)


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
