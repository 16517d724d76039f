"""Whether a certificate is that of the server we want: the names in it (tls_client, tls_verify)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cryptography import x509

from mta.tls.levels import TLS_LOG_CERTMATCH, TLS_LOG_VERBOSE
from mta.tls.session import TLS_CERT_FLAG_ALTNAME, TLS_CERT_FLAG_MATCHED
from mta.tls.verify import tls_peer_CN
from mta.util.midna_domain import midna_domain_to_ascii
from mta.wire.text import cut, printable

if TYPE_CHECKING:
    from mta.tls.session import TlsSession

#: Dots that international domain names may begin with in place of a full stop.
_OTHER_DOTS = ("\u3002", "\uff0e", "\uff61")

Warn = Callable[[str], object]


class NameMatcher:
    """Matches names in a certificate with what is expected (match_servername)."""

    __slots__ = ("_multi", "_wanted")

    def __init__(
        self, patterns: Sequence[str], nexthop: str, hostname: str, multi: bool, warn: Warn
    ) -> None:
        """``patterns`` are ``nexthop``, ``dot-nexthop``, ``hostname``, names, and ``.name`` for the
        names below one.  ``multi`` as in ``tls_wildcard_matches_multiple_labels``.
        """
        self._multi = multi
        nexthop = _ascii(nexthop, warn)
        self._wanted: list[tuple[str, bool]] = []  #: names, and whether those below are meant
        for pattern in patterns:
            word = pattern.lower()
            if word == "nexthop":
                name, below = nexthop, False
            elif word == "hostname":
                name, below = hostname, False
            elif word == "dot-nexthop":
                name, below = nexthop, True
            else:
                below = len(pattern) > 1 and (pattern[0] == "." or pattern[0] in _OTHER_DOTS)
                name = _ascii(pattern[1:] if below else pattern, warn)
            self._wanted.append((name.lower(), below))

    def __call__(self, name: str) -> bool:
        """Whether a name is one that is expected."""
        if not name.isascii():
            return False
        name = name.lower()
        return any(
            _is_below(name, wanted) if below else self._is(name, wanted)
            for wanted, below in self._wanted
        )

    def _is(self, name: str, wanted: str) -> bool:
        if name == wanted:
            return True
        if not name.startswith("*.") or len(name) < 3:
            return False
        _, dot, rest = wanted.partition(".")
        parent = dot + rest
        return bool(dot) and (parent.endswith(name[1:]) if self._multi else parent == name[1:])


def _is_below(name: str, domain: str) -> bool:
    return name.endswith("." + domain) and len(name) > len(domain) + 1


def _ascii(name: str, warn: Warn) -> str:
    if name.isascii():
        return name
    return midna_domain_to_ascii(name, warn) or name


def match_names(
    session: TlsSession,
    certificate: x509.Certificate,
    matcher: NameMatcher | None,
    namaddr: str,
    wanted: bool,
) -> None:
    """Looks for the name in a certificate, and marks the session where it is there and ``wanted``.
    Sets ``peer_CN`` (verify_extract_name).
    """
    log_match = bool(session.log_mask & TLS_LOG_CERTMATCH)
    verbose = log_match or bool(session.log_mask & TLS_LOG_VERBOSE)
    matches: Callable[[str], bool] = matcher if matcher is not None else _nothing
    shown: str | None = None
    matched = 0
    for name in _alternative_names(certificate):
        session.peer_status |= TLS_CERT_FLAG_ALTNAME
        good = _checked(session, name)
        if good:
            found = matches(good)
            matched += found
            if shown == "" or (found and matched == 1):
                shown = None
            if verbose:
                matched_word = "Matched " if found else ""
                session.log.info(f"{namaddr}: {matched_word}subjectAltName: {good}")
        if shown is None:
            shown = good or ""
        if matched and not log_match:
            break
    common_name = tls_peer_CN(session, certificate) if shown is None or verbose else ""
    if shown is None:
        shown = common_name
        matched = bool(common_name) and matches(common_name)
        if verbose:
            matched_word = "Matched " if matched else ""
            session.log.info(f"{namaddr} {matched_word}CommonName {common_name}")
    elif verbose:
        session.log.info(f"{session.namaddr} CommonName {common_name}")
    session.peer_CN = shown
    if wanted and matched:
        session.peer_status |= TLS_CERT_FLAG_MATCHED


def _nothing(_: str) -> bool:
    return False


def _alternative_names(certificate: x509.Certificate) -> list[str]:
    """The DNS names in the subjectAltName extension."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return []
    return extension.value.get_values_for_type(x509.DNSName)


def _checked(session: TlsSession, name: str) -> str | None:
    """A name, if it is safe to use (tls_dns_name)."""
    name = name.rstrip("\0")
    if "\0" in name:
        session.log.warning(f"tls_dns_name: {session.namaddr}: internal NUL in subjectAltName")
        return None
    if any(not " " <= c <= "~" for c in name):
        session.log.warning(
            f"tls_dns_name: {session.namaddr}: non-printable characters in subjectAltName: "
            f"{cut(printable(name), 100)}"
        )
        return None
    return name
