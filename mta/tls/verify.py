"""Certificates of the other side: the verification callback and its log, names (tls_verify)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from cryptography import x509
from cryptography.hazmat.bindings.openssl.binding import Binding
from cryptography.x509.oid import NameOID, ObjectIdentifier
from OpenSSL import SSL, crypto

from mta.tls.levels import TLS_LOG_VERBOSE
from mta.wire.text import printable

if TYPE_CHECKING:
    from mta.tls.session import TlsSession

_LIB: Any = Binding().lib
_FFI: Any = Binding().ffi

X509_V_OK = 0
X509_V_ERR_CERT_NOT_YET_VALID = 9
X509_V_ERR_CERT_HAS_EXPIRED = 10
X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD = 13
X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD = 14
X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT = 18
X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN = 19
X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY = 20
X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE = 21
X509_V_ERR_CERT_CHAIN_TOO_LONG = 22
X509_V_ERR_INVALID_CA = 24
X509_V_ERR_INVALID_PURPOSE = 26
X509_V_ERR_CERT_UNTRUSTED = 27
X509_V_ERR_CERT_REJECTED = 28

#: What OpenSSL 3.0 says of other errors (those that can be met here).
_ERRORS = {
    2: "unable to get issuer certificate",
    4: "unable to decrypt certificate's signature",
    6: "unable to decode issuer public key",
    7: "certificate signature failure",
    21: "unable to verify the first certificate",
    23: "certificate revoked",
    24: "invalid CA certificate",
    25: "path length constraint exceeded",
    28: "certificate rejected",
    29: "subject issuer mismatch",
    32: "key usage does not include certificate signing",
    34: "unhandled critical extension",
    37: "invalid non-CA certificate (has CA markings)",
    39: "key usage does not include digital signature",
    47: "permitted subtree violation",
    48: "excluded subtree violation",
    66: "EE certificate key too weak",
    67: "CA certificate key too weak",
    68: "CA signature digest algorithm too weak",
    79: "invalid CA certificate",
}

#: The longest text of a name, and of a part of it.
CCERT_BUFSIZ = 256


def name_oneline(name: x509.Name) -> str:
    """A name as ``/C=DE/O=Example/CN=a.test`` (X509_NAME_oneline), for the log."""
    parts = []
    for attribute in name:
        label = _LABELS.get(attribute.oid.dotted_string, attribute.oid.dotted_string)
        value = attribute.value if isinstance(attribute.value, str) else attribute.value.hex()
        shown = "".join(
            c if " " <= c <= "~" else "".join(f"\\x{byte:02X}" for byte in c.encode())
            for c in value
        )
        parts.append(f"/{label}={shown}")
    return "".join(parts)[: CCERT_BUFSIZ - 1]


#: OpenSSL's short names of what a name is made of.
_LABELS = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "street",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.42": "GN",
    "1.2.840.113549.1.9.1": "emailAddress",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}


#: The sessions whose handshakes are under way, by the address of OpenSSL's object.
_SESSIONS: WeakValueDictionary[int, TlsSession] = WeakValueDictionary()


def register(session: TlsSession) -> None:
    """Tells the callback whose connection this is."""
    _SESSIONS[_address(session.tls.connection._ssl)] = session


def _address(pointer: Any) -> int:
    return int(_FFI.cast("intptr_t", pointer))


def set_verify(context: SSL.Context, mode: int) -> None:
    """Has certificates of the other side judged by :func:`verify_certificate`.

    Not by pyOpenSSL's own ``set_verify``: that one forgets errors which are let pass, and the
    sessions that are resumed later must remember them.
    """
    _LIB.SSL_CTX_set_verify(context._context, mode, _CALLBACK)


@_FFI.callback("int(int, X509_STORE_CTX *)")  # type: ignore[untyped-decorator]
def _CALLBACK(good: int, store: Any) -> int:
    index = _LIB.SSL_get_ex_data_X509_STORE_CTX_idx()
    ssl = _LIB.X509_STORE_CTX_get_ex_data(store, index)
    session = _SESSIONS.get(_address(ssl))
    if session is not None:
        session.verify(good, store)
    return 1


def verify_certificate(session: TlsSession, good: int, store: Any) -> None:
    """Notes what OpenSSL thinks of a certificate of the chain, and lets the handshake go on."""
    error = _LIB.X509_STORE_CTX_get_error(store)
    depth = _LIB.X509_STORE_CTX_get_error_depth(store)
    if good and 0 < session.tadepth < depth:
        return
    if 0 <= session.verify_depth < depth:
        error, good = X509_V_ERR_CERT_CHAIN_TOO_LONG, 0
        _LIB.X509_STORE_CTX_set_error(store, error)
    if good and not session.log_mask & TLS_LOG_VERBOSE:
        return
    certificate = current_certificate(store)
    if not good:
        session.note_error(depth, certificate, error)
    if session.log_mask & TLS_LOG_VERBOSE:
        subject = subject_oneline(certificate)
        session.log.info(f"{session.namaddr}: depth={depth} verify={good} subject={subject}")


def current_certificate(store: Any) -> crypto.X509 | None:
    """The certificate that OpenSSL is looking at.  It may be damaged: nothing was compared yet."""
    pointer = _LIB.X509_STORE_CTX_get_current_cert(store)
    if pointer == _FFI.NULL:
        return None
    _LIB.X509_up_ref(pointer)
    return crypto.X509._from_raw_x509_ptr(pointer)


def subject_oneline(certificate: crypto.X509 | None) -> str:
    """The subject of a certificate, for the log."""
    return _oneline(certificate, _LIB.X509_get_subject_name)


def issuer_oneline(certificate: crypto.X509 | None) -> str:
    """The issuer of a certificate, for the log."""
    return _oneline(certificate, _LIB.X509_get_issuer_name)


def _oneline(certificate: crypto.X509 | None, name: Callable[[Any], Any]) -> str:
    if certificate is None:
        return "<unknown>"
    text = _FFI.new("char[]", CCERT_BUFSIZ)
    _LIB.X509_NAME_oneline(name(certificate._x509), text, CCERT_BUFSIZ)
    return printable(_FFI.string(text).decode("utf-8", "surrogateescape"))


def verify_result(connection: SSL.Connection) -> int:
    """X509_V_OK, or what was wrong with the other side's certificate; also of resumed sessions."""
    return int(_LIB.SSL_get_verify_result(connection._ssl))


def tls_log_verify_error(session: TlsSession) -> None:
    """Logs why the certificate of the other side is not trusted."""
    error, depth = session.errorcode, session.errordepth
    if error == X509_V_OK:
        return
    purpose = "CA" if depth > 0 else "client" if session.am_server else "server"
    failed = f"certificate verification failed for {session.namaddr}"
    if error == X509_V_ERR_CERT_UNTRUSTED:
        text = f"{failed}: not trusted by local or TLSA policy"
    elif error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        text = f"{failed}: self-signed certificate"
    elif error in (
        X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
        X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
    ):
        text = f"{failed}: untrusted issuer {issuer_oneline(session.errorcert)}"
    elif error in (X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD):
        text = f"{purpose} {failed}: certificate not yet valid"
    elif error in (X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD):
        text = f"{purpose} {failed}: certificate has expired"
    elif error == X509_V_ERR_INVALID_PURPOSE:
        text = f"{failed}: not designated for use as a {purpose} certificate"
    elif error == X509_V_ERR_CERT_CHAIN_TOO_LONG:
        text = f"{failed}: certificate chain longer than limit({depth - 1})"
    else:
        reason = _ERRORS.get(error, f"error number {error}")
        text = f"{purpose} {failed}: num={error}:{reason}"
    session.log.info(text)


# -- names -----------------------------------------------------------------------------------------


def tls_peer_CN(session: TlsSession, certificate: x509.Certificate) -> str:
    """The common name of the subject, or empty."""
    return _text_name(session, certificate.subject, NameOID.COMMON_NAME, "subject CN") or ""


def tls_issuer_CN(session: TlsSession, certificate: x509.Certificate) -> str:
    """The common name of the issuer, else its organization, or empty."""
    issuer = certificate.issuer
    found = _text_name(session, issuer, NameOID.COMMON_NAME, "issuer CN")
    if found is None:
        oid = NameOID.ORGANIZATION_NAME
        found = _text_name(session, issuer, oid, "issuer Organization")
    return found or ""


def _text_name(
    session: TlsSession, name: x509.Name, oid: ObjectIdentifier, label: str
) -> str | None:
    """The first part of a name of that kind, if it is safe to use."""
    found = name.get_attributes_for_oid(oid)
    if not found:
        return None
    value: Any = found[0].value
    text: str = value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
    text = text.rstrip("\0")
    trouble = ""
    if (size := len(text.encode("utf-8", "surrogateescape"))) >= CCERT_BUFSIZ:
        trouble = f"peer {label} too long: {size}"
    elif "\0" in text:
        trouble = f"NULL character in peer {label}"
    elif any(c < " " or c == "\x7f" for c in text):
        trouble = f"non-printable content in peer {label}"
    if trouble:
        session.log.warning(f"tls_text_name: {session.namaddr}: {trouble}")
        return None
    return text
