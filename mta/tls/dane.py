"""Which certificates a destination's owner vouches for: TLSA records, fingerprints, trust anchors
(tls_dane; RFC 6698, RFC 7672).

A :class:`Dane` holds digests of end-entity certificates (TLSA usages 3 and 1, or the fingerprints
of a policy) and of trust anchors (usage 2, or trust-anchor files), and the anchors themselves where
they are known in full.  Usage 0 is not supported.
"""

from __future__ import annotations

import base64
import errno
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from mta.dns_lookup import DNS_NOTFOUND, DNS_OK, RES_USE_DNSSEC, VERBOSE, DnsRR, dns_lookup
from mta.system import Wait
from mta.tls.certkey import read_file
from mta.tls.fprint import digest_size, tls_cert_fprint, tls_data_fprint, tls_pkey_fprint
from mta.tls.levels import TLS_LOG_CERTMATCH, TLS_LOG_VERBOSE
from mta.util.scalars import split

if TYPE_CHECKING:
    from mta.master.server import Process
    from mta.tls.session import TlsSession

#: Certificate usages of TLSA records.
USAGE_TA, USAGE_EE_CONSTRAINT, USAGE_EE = 2, 1, 3
_SELECTORS = {0: "certificate", 1: "public key"}

#: What a certificate was recognized by.
MATCHED_CERT = 1
MATCHED_PKEY = 2

_MAX_DIGESTS = 256
#: TLSA records are kept for so long, in seconds.
_TTL_MIN, _TTL_MAX = 1, 100
_CACHE_SIZE = 20
_IANA = (("", 0), ("sha256", 1), ("sha512", 2))
_AGILITY = ("off", "on", "maybe")
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n(.*?)-----END \1-----", re.DOTALL)
_CERTIFICATE_BLOCKS = (b"CERTIFICATE", b"X509 CERTIFICATE")


@dataclass(slots=True, eq=False)
class Digests:
    """The digests by one algorithm: of public keys and of certificates, as ``AB:CD:...``."""

    pkeys: list[str] = field(default_factory=list)
    certs: list[str] = field(default_factory=list)


class Dane:
    """What a destination's certificates are matched with."""

    __slots__ = ("base_domain", "certs", "ee", "expires", "failed", "missing", "pkeys", "ta",
                 "unusable")  # fmt: skip

    def __init__(self) -> None:
        self.ta: dict[str, Digests] = {}  #: of trust anchors, by the name of the algorithm
        self.ee: dict[str, Digests] = {}  #: of end entities
        self.certs: list[x509.Certificate] = []  #: trust anchors
        self.pkeys: list[Any] = []  #: keys of trust anchors
        self.base_domain = ""  #: the host that the records are for
        self.missing = False  #: there are no records (that we may trust)
        self.unusable = False  #: there are records, but none that we can use
        self.failed = False  #: the lookup failed
        self.expires = 0  #: seconds since the epoch

    def add(self, end_entity: bool, key: bool, algorithm: str, digest: str) -> None:
        """Adds the digest of a certificate or of its public key."""
        digests = (self.ee if end_entity else self.ta).setdefault(algorithm.lower(), Digests())
        (digests.pkeys if key else digests.certs).append(digest)

    def add_ee_digests(self, algorithm: str, text: str, separators: str) -> None:
        """Adds fingerprints from a configuration: each may be of a certificate or of its key."""
        for digest in split(text, separators) if separators else filter(None, [text]):
            self.add(True, True, algorithm, digest)
            self.add(True, False, algorithm, digest)

    def match(
        self,
        session: TlsSession,
        end_entity: bool,
        certificate: x509.Certificate,
        depth: int,
        legacy: bool,
    ) -> int:
        """MATCHED_CERT or MATCHED_PKEY where a certificate is among those sought, else 0
        (tls_dane_match).  ``legacy`` as for :func:`mta.tls.fprint.tls_pkey_fprint`.
        """
        verbose = session.log_mask & (TLS_LOG_VERBOSE | TLS_LOG_CERTMATCH)
        what = "end entity" if end_entity else "trust anchor"
        table = self.ee if end_entity else self.ta
        for algorithm in sorted(table):
            digests = table[algorithm]
            if digests.pkeys:
                own = tls_pkey_fprint(certificate, algorithm, legacy)
                if any(own == digest.upper() for digest in digests.pkeys):
                    if verbose:
                        session.log.info(
                            f"{session.namaddr}: depth={depth} matched {what} public-key "
                            f"{algorithm} digest={own}"
                        )
                    return MATCHED_PKEY
            if digests.certs:
                own = tls_cert_fprint(certificate, algorithm)
                if any(own == digest.upper() for digest in digests.certs):
                    if verbose:
                        session.log.info(
                            f"{session.namaddr}: depth={depth} matched {what} certificate "
                            f"{algorithm} digest {own}"
                        )
                    return MATCHED_CERT
        return 0

    def ta_key(self) -> bytes:
        """What sessions that were verified by other trust anchors differ in (digest_dane)."""
        if not self.ta:
            return b""
        parts = ["ta"]
        for algorithm in sorted(self.ta):
            digests = self.ta[algorithm]
            parts.append(algorithm)
            if digests.pkeys:
                parts += ["pkeys", *digests.pkeys]
            if digests.certs:
                parts += ["certs", *digests.certs]
        return "".join(f"{part}\0" for part in parts).encode("utf-8", "surrogateescape")


# -- the digests of TLSA records -------------------------------------------------------------------


class Digest(NamedTuple):
    """A matching type of TLSA records: number, algorithm, size in bytes, order of preference."""

    number: int
    algorithm: str
    size: int
    preference: int


class DaneSupport:
    """What one process knows of DANE: ``tls_dane_digests``, and answers that are still good."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.digests: dict[int, Digest] = {}
        self.verbose = False  #: records that are used are logged
        self.signalg = ""  #: the best algorithm, which full values are compared by
        self._cache: OrderedDict[str, Dane] = OrderedDict()
        conf, warning = process.conf, process.log.warning
        self.agility: str = conf.tls_dane_digest_agility.lower()
        if self.agility not in _AGILITY:
            warning(
                f"Invalid tls_dane_digest_agility syntax: {conf.tls_dane_digest_agility}. "
                "DANE support disabled."
            )
        elif self._add("=0", 0):
            self._add_all(split(conf.tls_dane_digests))
        #: Whether TLSA records can be used at all (tls_dane_avail).
        self.available = bool(self.signalg)
        if not self.available:
            warning("digest algorithm initializaton failed, no DANE support")

    def _add_all(self, words: Sequence[str]) -> None:
        for preference, word in enumerate(words, 1):
            digest = self._add(word, preference)
            if digest is None:
                self.signalg = ""
                break
            if preference == 1:
                self.signalg = digest.algorithm

    def _add(self, word: str, preference: int) -> Digest | None:
        """One member of ``tls_dane_digests``: an algorithm, or algorithm=number."""
        name, equals, value = word.partition("=")
        shown = f"{name}={value}" if equals else name

        def refuse(text: str) -> Digest | None:
            self.process.log.warning(f"{text} tls_dane_digests: {shown}")
            return None

        number = -1
        if value:
            if not re.fullmatch(r"[ \t]*\+?\d+", value) or int(value) >= _MAX_DIGESTS:
                return refuse("Invalid matching type number in")
            number = int(value)
        algorithm = name
        for known, known_number in _IANA:
            if name and known == name.lower():
                if number >= 0 and number != known_number:
                    return refuse("Non-standard value in")
                number = known_number
            elif known_number == number:
                if name:
                    return refuse("Non-standard algorithm in")
                algorithm = known
        if number < 0 or (number > 0 and not algorithm):
            return refuse("Unknown incompletely specified element in")
        for digest in self.digests.values():
            if digest.algorithm.lower() == algorithm.lower() or digest.number == number:
                return refuse("Duplicate element in")
        size = digest_size(algorithm) if algorithm else 0
        if algorithm and not size:
            return refuse("Unimplemented digest algorithm in")
        digest = self.digests[number] = Digest(number, algorithm, size, preference)
        return digest

    # -- lookups ------------------------------------------------------------------------------

    def resolve(self, port: int, host: DnsRR, force: bool) -> Wait[Dane | None]:
        """What the TLSA records of a server say, whose address record is at hand; None where that
        cannot be found out now (tls_dane_resolve).

        Without ``force`` (``smtp_tls_force_insecure_host_tlsa_lookup``) hosts in zones that are not
        signed are not asked for.
        """
        alias = host.rname.lower() != host.qname.lower()
        valid = True
        if not force and not host.dnssec_valid:
            secure = (yield from self._is_secure(host.qname)) if alias else False
            if secure is None:
                return None
            valid = secure
        if not valid:
            nothing = Dane()
            nothing.missing = True
            return nothing
        dane = None
        if host.dnssec_valid:
            dane = yield from self._host(host.rname, port)
            if dane.missing and alias:
                dane = None
        if dane is None:
            dane = yield from self._host(host.qname, port)
        return None if dane.failed else dane

    def _is_secure(self, qname: str) -> Wait[bool | None]:
        """Whether a name that is an alias is in a signed zone; None: there is no telling."""
        result = yield from dns_lookup(self.process, qname, "CNAME", RES_USE_DNSSEC)
        if result.status == DNS_OK:
            return result.records[0].dnssec_valid
        why = "no longer a CNAME" if result.status == DNS_NOTFOUND else result.why
        self.process.log.warning(f"DNSSEC status lookup error for {qname}: {why}")
        return None

    def _host(self, host: str, port: int) -> Wait[Dane]:
        name = f"_{port}._tcp.{host}"
        dane = self._cache.get(name)
        known = "leave existing" if next(reversed(self._cache), "") == name else "move existing"
        if dane is None:
            known = "install"
            dane = self._cache[name] = yield from self._lookup(name)
        if VERBOSE in self.process.cache:
            self.process.log.info(f"ctable_locate: {known} entry key {name}")
        if self.process.now() // 1_000_000 > dane.expires:  # a lookup that failed is repeated
            dane = self._cache[name] = yield from self._lookup(name)
        dane.base_domain = host
        self._cache.move_to_end(name)
        if len(self._cache) > _CACHE_SIZE:
            self._cache.popitem(last=False)
        return dane

    def _lookup(self, name: str) -> Wait[Dane]:
        dane = Dane()
        result = yield from dns_lookup(self.process, name, "TLSA", RES_USE_DNSSEC)
        now = self.process.now() // 1_000_000
        if result.status == DNS_OK:
            first = result.records[0]
            dane.expires = 1 + now + min(max(first.ttl, _TTL_MIN), _TTL_MAX)
            if first.dnssec_valid:
                _Reader(self, dane).read(result.records)
            else:
                dane.missing = True
        elif result.status == DNS_NOTFOUND:
            dane.missing = True
            dane.expires = 1 + now + _TTL_MIN
        else:
            self.process.log.warning(f"DANE TLSA lookup problem: {result.why}")
            dane.failed = True
        return dane


def dane_support(process: Process) -> DaneSupport:
    """What a process knows of DANE, found out when it is first needed."""
    support: DaneSupport | None = process.cache.get(DaneSupport)
    if support is None:
        support = process.cache[DaneSupport] = DaneSupport(process)
    return support


# -- records ---------------------------------------------------------------------------------------


class _Tlsa(NamedTuple):
    """The fields of a record."""

    usage: int
    selector: int
    mtype: int
    data: bytes
    where: str  #: the name, for warnings

    @property
    def shown(self) -> str:
        """Usage, selector and matching type, for warnings."""
        return f"{self.where} IN TLSA {self.usage} {self.selector} {self.mtype}"

    @property
    def group(self) -> tuple[int, int]:
        """Among whose records digests may replace each other."""
        return self.usage, self.selector


class _Reader:
    """Reads a set of records, with digest agility (``tls_dane_digest_agility``): of the digests for
    one usage and selector, those of the best algorithm alone.
    """

    def __init__(self, support: DaneSupport, dane: Dane) -> None:
        self._support = support
        self._dane = dane
        self._log = support.process.log
        self._anchor_digests = bool(support.process.conf.tls_dane_trust_anchor_digest_enable)
        self._agile = True  #: agility may be applied, as far as was seen
        self._count = 0
        self._target = 0

    def read(self, records: Sequence[DnsRR]) -> None:
        """Takes all records that can be used."""
        rows = sorted(map(_tlsa, records), key=self._order)
        agility = self._support.agility
        if agility == "maybe":
            rows = self._filter(rows, check=True)
            self._count = 0
            self._filter(rows, apply=self._agile, parse=True)
        else:
            self._filter(rows, apply=agility == "on", parse=True)
        self._dane.unusable = not self._dane.ta and not self._dane.ee

    def _order(self, row: _Tlsa) -> tuple[int, int, int, int, bytes]:
        digest = self._support.digests.get(row.mtype)
        preference = digest.preference if digest else _MAX_DIGESTS + row.mtype
        return row.usage, row.selector, preference, len(row.data), row.data

    def _filter(
        self, rows: list[_Tlsa], *, check: bool = False, apply: bool = False, parse: bool = False
    ) -> list[_Tlsa]:
        kept = []
        for index, row in enumerate(rows):
            following = rows[index + 1] if index + 1 < len(rows) else None
            if self._keep(row, following, check, apply, parse):
                kept.append(row)
        return kept

    def _keep(
        self, row: _Tlsa, following: _Tlsa | None, check: bool, apply: bool, parse: bool
    ) -> bool:
        """Whether a record can be used."""
        new_group = following is None or following.group != row.group
        change = new_group or (following is not None and following.mtype != row.mtype)
        if row.mtype:
            if apply and self._count:
                if new_group:
                    self._count = 0
                return False
            if check and self._agile:
                self._compare_counts(change, new_group)
        if row.usage not in (USAGE_EE_CONSTRAINT, USAGE_TA, USAGE_EE):
            self._log.warning(
                f"unsupported certificate usage {row.usage} in RR: "
                f"{row.where} IN TLSA {row.usage} ..."
            )
            return False
        if row.selector not in _SELECTORS:
            self._log.warning(
                f"unsupported selector {row.selector} in RR: "
                f"{row.where} IN TLSA {row.usage} {row.selector} ..."
            )
            return False
        if not row.mtype:
            return self._full_value(row, parse)
        return self._digest(row, change and not new_group and apply, parse)

    def _compare_counts(self, change: bool, new_group: bool) -> None:
        """Agility is off where one algorithm has more digests than another."""
        self._count += 1
        if not change:
            return
        if self._target and self._target != self._count:
            self._agile = False
        else:
            self._target = 0 if new_group else self._count
        self._count = 0

    def _digest(self, row: _Tlsa, drops_others: bool, parse: bool) -> bool:
        digest = self._support.digests.get(row.mtype)
        if digest is None:
            self._log.warning(f"unsupported matching type {row.mtype} in RR: {row.shown} ...")
            return False
        if len(row.data) != digest.size:
            self._log.warning(
                f"malformed {digest.algorithm} digest, length {len(row.data)}, in RR: "
                f"{row.shown} ..."
            )
            self._agile = False
            return False
        if row.usage == USAGE_TA and not self._anchor_digests:
            self._log.warning(f"trust-anchor digests disabled, ignoring RR: {row.shown} ...")
            return False
        if drops_others:
            self._count += 1
        if parse:
            text = row.data.hex(":").upper()
            self._dane.add(row.usage != USAGE_TA, row.selector == 1, digest.algorithm, text)
            if self._support.verbose:
                self._log.info(f"using DANE RR: {row.shown} {text}")
        return True

    def _full_value(self, row: _Tlsa, parse: bool) -> bool:
        """A whole certificate or public key."""
        value: Any
        try:
            if row.selector == 0:
                value = x509.load_der_x509_certificate(row.data)
            else:
                value = _public_key(row.data)
        except (ValueError, UnsupportedAlgorithm):
            self._log.warning(f"malformed {_SELECTORS[row.selector]} in RR: {row.shown} ...")
            return False
        if row.selector == 0:
            try:
                value.public_key()
            except (ValueError, UnsupportedAlgorithm):
                self._log.warning(
                    f"malformed or unsupported certificate public key in RR: {row.shown} ..."
                )
                return False
        if not parse:
            return True
        if row.usage == USAGE_TA:
            (self._dane.certs if row.selector == 0 else self._dane.pkeys).append(value)
        algorithm = self._support.signalg
        digest = tls_data_fprint(row.data, algorithm)
        self._dane.add(row.usage != USAGE_TA, row.selector == 1, algorithm, digest)
        if self._support.verbose:
            what = _SELECTORS[row.selector]
            self._log.info(f"using DANE RR: {row.shown} <{what}>; {algorithm} digest {digest}")
        return True


def _tlsa(rr: DnsRR) -> _Tlsa:
    usage, selector, mtype, *data = rr.data.split(" ")
    where = rr.rname if rr.rname.lower() == rr.qname.lower() else f"{rr.qname} -> {rr.rname}"
    return _Tlsa(int(usage), int(selector), int(mtype), bytes.fromhex("".join(data)), where)


def _public_key(der: bytes) -> Any:
    """A SubjectPublicKeyInfo.  Raises ValueError, UnsupportedAlgorithm."""
    key = load_der_public_key(der)
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != der:
        raise ValueError
    return key


# -- trust-anchor files ----------------------------------------------------------------------------


def load_trustfile(process: Process, dane: Dane, path: str, root: bool = False) -> bool:
    """Adds the certificates and public keys of a PEM file; False, after a warning, where that
    cannot be (tls_dane_load_trustfile).  ``root``: the program has not given up its privileges.
    """
    if not path:
        return True
    algorithm = dane_support(process).signalg or "sha1"
    try:
        pem = read_file(process, path) if root else _read_unprivileged(process, path)
    except OSError as error:
        process.log.warning(f"error opening trust anchor file: {path}: {error.strerror}")
        return False
    blocks = _PEM.findall(pem)
    for label, text in blocks:
        what = "certificate" if label in _CERTIFICATE_BLOCKS else "public key"
        if what == "public key" and label != b"PUBLIC KEY":
            continue
        try:
            der = base64.b64decode(b"".join(text.split()), validate=True)
        except ValueError:
            process.log.warning(
                "TLS library problem: error:04800064:PEM routines::bad base64 decode:"
                "../crypto/pem/pem_lib.c:949:"
            )
            return False
        try:
            if what == "certificate":
                dane.certs.append(x509.load_der_x509_certificate(der))
            else:
                dane.pkeys.append(_public_key(der))
        except (ValueError, UnsupportedAlgorithm):
            for problem in _MALFORMED:
                process.log.warning(problem)
            process.log.warning(f"error reading: {path}: malformed trust-anchor {what}")
            return False
        digest = tls_data_fprint(der, algorithm)
        dane.add(False, what == "public key", algorithm, digest)
    return bool(blocks)


_MALFORMED = (
    "TLS library problem: error:068000A8:asn1 encoding routines::wrong tag:"
    "../crypto/asn1/tasn_dec.c:1225:",
    "TLS library problem: error:0688010A:asn1 encoding routines::nested asn1 error:"
    "../crypto/asn1/tasn_dec.c:375:Type=X509:",
)


def _read_unprivileged(process: Process, path: str) -> bytes:
    """A file, which the mail owner may read: the daemon is not root any more.  Raises OSError."""
    data = read_file(process, path)
    full = path if path.startswith("/") else f"{process.conf.queue_directory}/{path}"
    stat = process.system.files.stat(full)
    owner = process.system.accounts.by_name(process.conf.mail_owner)
    if owner is None:
        return data
    shift = 6 if stat.uid == owner.uid else 3 if stat.gid == owner.gid else 0
    if not stat.mode >> shift & 4:
        raise OSError(errno.EACCES, "Permission denied", path)
    return data
