"""Certificates and keys of our own, and the authorities that we trust (tls_certkey, tls_dh).

All files are PEM, read from the machine's disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.bindings.openssl.binding import Binding
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

if TYPE_CHECKING:
    from mta.master.server import Process

_LIB: Any = Binding().lib
_FFI: Any = Binding().ffi

#: Where OpenSSL looks for authorities unless told (``tls_append_default_CA``).
_DEFAULT_CA_FILE = "/usr/lib/ssl/cert.pem"
_DEFAULT_CA_PATH = "/usr/lib/ssl/certs"
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")

#: The groups that OpenSSL 3.0 offers unless told otherwise.
DEFAULT_GROUPS = b"X25519:P-256:X448:P-521:P-384"

_PROBLEM = "TLS library problem: error:"

#: Who takes a warning.
Warn = Callable[[str], None]


class Unusable(Exception):
    """Certificates or keys that cannot be used; it has been logged."""


def read_file(process: Process, path: str) -> bytes:
    """A file; relative names are in the queue directory, where daemons live.  Raises OSError."""
    if not path.startswith("/"):
        path = f"{process.conf.queue_directory}/{path}"
    return process.system.files.read(path)


# -- authorities -----------------------------------------------------------------------------------


def set_authorities(process: Process, context: SSL.Context, ca_file: str, ca_path: str) -> None:
    """Trusts the authorities of a file and of a directory (``*_tls_CAfile``, ``*_tls_CApath``).

    Raises Unusable.
    """
    if not ca_file and not ca_path:
        return
    store = context.get_cert_store()
    assert store is not None
    for certificate in _authorities(process, ca_file, ca_path):
        store.add_cert(certificate)


def _authorities(process: Process, ca_file: str, ca_path: str) -> list[crypto.X509]:
    found: list[crypto.X509] = []
    if ca_file:
        try:
            pem = read_file(process, ca_file)
        except OSError as error:
            _no_authorities(process, ca_file, ca_path, _no_file(error, ca_file))
        try:
            found += parse_certificates(pem)
        except ValueError:
            _no_authorities(process, ca_file, ca_path, _NO_CERTIFICATES)
    if ca_path:
        found += _in_directory(process, ca_path)
    if process.conf.tls_append_default_CA:
        try:
            found += parse_certificates(read_file(process, _DEFAULT_CA_FILE))
        except (OSError, ValueError):
            pass
        found += _in_directory(process, _DEFAULT_CA_PATH)
    return found


def _no_authorities(process: Process, ca_file: str, ca_path: str, problems: list[str]) -> Any:
    where = ", ".join(
        f'{name}="{value}"' for name, value in (("CAfile", ca_file), ("CApath", ca_path)) if value
    )
    process.log.info(f"cannot load Certification Authority data, {where}: disabling TLS support")
    for problem in problems:
        process.log.warning(_PROBLEM + problem)
    raise Unusable


_NO_CERTIFICATES = [
    "05880088:x509 certificate routines::no certificate or crl found:../crypto/x509/by_file.c:263:"
]


def _no_file(error: OSError, path: str) -> list[str]:
    number = error.errno or 2
    return [
        f"8000{number:04X}:system library::{error.strerror}:../crypto/bio/bss_file.c:67:"
        f"calling fopen({path}, r):",
        "10000080:BIO routines::no such file:../crypto/bio/bss_file.c:75:",
        "05880002:x509 certificate routines::system lib:../crypto/x509/by_file.c:229:",
    ]


def _in_directory(process: Process, path: str) -> list[crypto.X509]:
    """The authorities of a directory whose files are named by hashes."""
    found: list[crypto.X509] = []
    try:
        names = process.system.files.list(path)
    except OSError:
        return found
    for name in names:
        if _HASHED.fullmatch(name):
            try:
                found += parse_certificates(read_file(process, f"{path}/{name}"))
            except (OSError, ValueError):
                continue
    return found


@lru_cache(maxsize=256)
def parse_certificates(pem: bytes) -> tuple[crypto.X509, ...]:
    """The certificates of a PEM file, in order.  Raises ValueError where there is none."""
    return tuple(map(crypto.X509.from_cryptography, x509.load_pem_x509_certificates(pem)))


def set_client_authorities(process: Process, context: SSL.Context, ca_file: str) -> None:
    """Tells clients which authorities we take certificates of."""
    for certificate in x509.load_pem_x509_certificates(read_file(process, ca_file)):
        context.add_client_ca(certificate)


# -- our own ---------------------------------------------------------------------------------------


def set_certificates(process: Process, context: SSL.Context, *pairs: tuple[str, str, str]) -> None:
    """Loads (kind, certificate file, key file) of each kind whose certificate file is named.

    Raises Unusable.
    """
    for kind, certificate, key in pairs:
        if certificate:
            _set_certificate(process, context, kind, certificate, key)


def _set_certificate(
    process: Process, context: SSL.Context, kind: str, cert_file: str, key_file: str
) -> None:
    problems = _load_chain(process, context, cert_file)
    if problems:
        text = f'cannot get {kind} certificate from file "{cert_file}": disabling TLS support'
        _give_up(process, text, problems)
    problems = _load_key(process, context, key_file)
    if problems:
        text = f'cannot get {kind} private key from file "{key_file}": disabling TLS support'
        _give_up(process, text, problems)


def _give_up(process: Process, text: str, problems: list[str]) -> None:
    process.log.warning(text)
    for problem in problems:
        process.log.warning(_PROBLEM + problem)
    raise Unusable


def _load_chain(process: Process, context: SSL.Context, path: str) -> list[str]:
    """Loads a certificate and what follows it; the problems, where there are any."""
    try:
        pem = read_file(process, path)
    except OSError as error:
        return _no_own_file(error, path, 450)
    try:
        leaf, *chain = x509.load_pem_x509_certificates(pem)
    except ValueError:
        return [
            "0480006C:PEM routines::no start line:../crypto/pem/pem_lib.c:763:Expecting: "
            "CERTIFICATE:",
            "0A080009:SSL routines::PEM lib:../ssl/ssl_rsa.c:474:",
        ]
    try:
        context.use_certificate(leaf)
    except SSL.Error as error:
        return [str(entry)[6:] for entry in _errors(error)]
    for certificate in chain:
        context.add_extra_chain_cert(certificate)
    return []


_MISMATCH = "05800074:x509 certificate routines::key values mismatch:../crypto/x509/x509_cmp.c:405:"


def _load_key(process: Process, context: SSL.Context, path: str) -> list[str]:
    """Loads a key; the problems, where there are any."""
    try:
        pem = read_file(process, path)
    except OSError as error:
        return _no_own_file(error, path, 367)
    try:
        key = _private_key(pem)
    except (ValueError, TypeError):
        return [
            "1E08010C:DECODER routines::unsupported:../crypto/encode_decode/decoder_lib.c:103:"
            "No supported data to decode. Input type: PEM:",
            "0A080009:SSL routines::PEM lib:../ssl/ssl_rsa.c:385:",
        ]
    try:
        context.use_privatekey(key)
    except SSL.Error as error:
        if any("mismatch" in entry.reason for entry in _errors(error)):
            return [_MISMATCH]
        return [str(entry)[6:] for entry in _errors(error)]
    return []


@lru_cache(maxsize=64)
def _private_key(pem: bytes) -> Any:
    """A key; whether its numbers fit together is not checked, which would take long.

    Raises ValueError, TypeError.
    """
    return load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)


def _errors(error: SSL.Error) -> Any:
    from mta.wire.tls_errors import library_errors

    return library_errors(error.args[0]) if error.args else []


def _no_own_file(error: OSError, path: str, line: int) -> list[str]:
    number = error.errno or 2
    return [
        f"8000{number:04X}:system library::{error.strerror}:../crypto/bio/bss_file.c:308:"
        f"calling fopen({path}, r):",
        "10080002:BIO routines::system lib:../crypto/bio/bss_file.c:311:",
        f"0A080002:SSL routines::system lib:../ssl/ssl_rsa.c:{line}:",
    ]


# -- key exchange ----------------------------------------------------------------------------------


def set_dh(process: Process, context: SSL.Context, path: str, warn: Warn) -> None:
    """The parameters for ephemeral Diffie-Hellman: those of a file, or else ours, of 2048 bits."""
    if path:
        reason = ""
        try:
            if _use_dh(context, read_file(process, path)):
                return
        except OSError as error:
            reason = f": {error.strerror}"
        warn(
            f"cannot load 1024-bit DH parameters from file {path}{reason} "
            "-- using compiled-in defaults"
        )
        if not reason:
            warn(
                _PROBLEM + "0480006C:PEM routines::no start line:../crypto/pem/pem_lib.c:763:"
                "Expecting: DH PARAMETERS:"
            )
    _use_dh(context, _DH_2048)


def check_dh512(process: Process, path: str) -> None:
    """The parameters for export ciphers, which are no more: only complaints are left."""
    if not path:
        return
    try:
        good = _dh_parameters(read_file(process, path)) is not None
        reason = ""
    except OSError as error:
        good, reason = False, f": {error.strerror}"
    if not good:
        process.log.warning(
            f"cannot load 512-bit DH parameters from file {path}{reason} "
            "-- using compiled-in defaults"
        )


def _dh_parameters(pem: bytes) -> Any:
    bio = _FFI.gc(_LIB.BIO_new_mem_buf(pem, len(pem)), _LIB.BIO_free)
    found = _LIB.PEM_read_bio_DHparams(bio, _FFI.NULL, _FFI.NULL, _FFI.NULL)
    if found == _FFI.NULL:
        _LIB.ERR_clear_error()
        return None
    return _FFI.gc(found, _LIB.DH_free)


def _use_dh(context: SSL.Context, pem: bytes) -> bool:
    found = _dh_parameters(pem)
    if found is None:
        return False
    if _LIB.SSL_CTX_set_tmp_dh(context._context, found) != 1:
        _LIB.ERR_clear_error()
    return True


def set_eecdh(process: Process, context: SSL.Context, grade: str, warn: Warn) -> None:
    """The curve for ephemeral elliptic-curve Diffie-Hellman (``smtpd_tls_eecdh_grade``)."""
    _LIB.SSL_CTX_set1_curves_list(context._context, DEFAULT_GROUPS)
    kind = grade.lower()
    if kind == "none":
        return
    if kind not in ("strong", "ultra"):
        warn(f'Invalid TLS eecdh grade "{grade}": EECDH disabled')
        return
    curve: str = getattr(process.conf, f"tls_eecdh_{kind}_curve")
    number = _LIB.OBJ_txt2nid(curve.encode("utf-8", "surrogateescape"))
    if number == _LIB.NID_undef:
        warn(f'unknown curve "{curve}": disabling EECDH support')
        return
    key = _LIB.EC_KEY_new_by_curve_name(number)
    if key == _FFI.NULL or _LIB.SSL_CTX_set_tmp_ecdh(context._context, key) != 1:
        warn(f'unable to use curve "{curve}": disabling EECDH support')
        warn(
            _PROBLEM + "08000081:elliptic curve routines::unknown group:"
            f"../crypto/ec/ec_curve.c:3346:name={curve}:"
        )
        _LIB.ERR_clear_error()
    if key != _FFI.NULL:
        _LIB.EC_KEY_free(key)


#: The group ffdhe2048 of RFC 7919.
_DH_2048 = b"""\
-----BEGIN X9.42 DH PARAMETERS-----
MIICDAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAgKCAQB//////////9b8KixRXaVN
V+4rEBOennjsXOLB5xabStTwmyCKMhn95knO5xJNn3y+l/GxsYY67HtA2QFXYjC9
ae+Paur+srCSGfqPr4M3aEKxsqqe9o152quJrz+r5JrMJ4Y4cHNFu/FTRO159/Q5
DvisUJtW85qYVmUnpB08vV4FWMFZkn2w6IRUpdlkcf3ctW1bsGv6NA6noVHvHKb6
Vyt287G5XYyFg9PkdwU2uE8BfnDm+/F2YBoCZpQaF7DIuX9OdMLB/8cniRl3eUDB
4f8djaY31rmd2v5eF2EQAuLHeMG+i0HZY3mlE2DZd/1ENaEcMJQuS///////////
-----END X9.42 DH PARAMETERS-----
"""
