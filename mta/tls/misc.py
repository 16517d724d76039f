"""Settings of TLS as text, and what they mean (tls_misc).

Everything here is plain: lists of protocols, cipher grades, options of OpenSSL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from OpenSSL import SSL

from mta.util.name_mask import Unknown, name_mask
from mta.util.scalars import COMMA_SPACE, split

if TYPE_CHECKING:
    from mta.conf.conf import Conf
    from mta.lib.log import Log

# -- protocols -------------------------------------------------------------------------------------

TLS_PROTOCOLS = {
    "SSLv2": 0,  #: there is no such thing any more
    "SSLv3": 1 << 1,
    "TLSv1": 1 << 2,
    "TLSv1.1": 1 << 3,
    "TLSv1.2": 1 << 4,
    "TLSv1.3": 1 << 5,
}
_PROTOCOL_OPTIONS = {
    1 << 1: SSL.OP_NO_SSLv3,
    1 << 2: SSL.OP_NO_TLSv1,
    1 << 3: SSL.OP_NO_TLSv1_1,
    1 << 4: SSL.OP_NO_TLSv1_2,
    1 << 5: SSL.OP_NO_TLSv1_3,
}
_ALL_PROTOCOLS = (1 << 6) - 2
_PROTOCOL_NAMES = {name.lower(): bit for name, bit in TLS_PROTOCOLS.items()}


def tls_protocol_mask(text: str) -> int | None:
    """The protocols that a list excludes (``!SSLv3``, or all but those that it names), as bits of
    TLS_PROTOCOLS; None where it names one that does not exist.
    """
    exclude = include = 0
    for name in split(text, COMMA_SPACE + ":"):
        bit = _PROTOCOL_NAMES.get(name.removeprefix("!").lower())
        if bit is None:
            return None
        if name.startswith("!"):
            exclude |= bit
        else:
            include |= bit
    return exclude | (_ALL_PROTOCOLS & ~include) if include else exclude


def protocol_options(mask: int) -> int:
    """The options of OpenSSL that exclude the protocols of a mask."""
    bits = 0
    for bit, option in _PROTOCOL_OPTIONS.items():
        if mask & bit:
            bits |= option
    return bits


# -- ciphers ---------------------------------------------------------------------------------------

_GRADES = ("high", "medium", "low", "export", "null")


class BadCiphers(Exception):
    """A grade or an exclusion that makes no sense; ``args[0]`` says why."""


def tls_cipher_list(conf: Conf, context: str, grade: str, exclusions: str) -> str:
    """The cipher list of OpenSSL for a grade, less what is excluded.  ``context`` is what the
    ciphers are for (``TLS``).  Raises BadCiphers.
    """
    name = grade.lower()
    if name not in _GRADES:
        raise BadCiphers(f'invalid {context} cipher grade: "{grade}"')
    ciphers: str = getattr(conf, f"tls_{name}_cipherlist")
    for token in split(exclusions, COMMA_SPACE + ":"):
        if token[0] in "!+-@":
            raise BadCiphers(f"invalid unary '!+-@' in {context} cipher exclusion: \"{token}\"")
        ciphers += f":!{token}"
    return ciphers


# -- options of OpenSSL ----------------------------------------------------------------------------

_ALL: int = SSL.OP_ALL


def _options(*names: str, **others: str) -> dict[str, int]:
    """Options by their names; what OpenSSL has no more is 0."""
    table = {name: int(getattr(SSL, f"OP_{name}", 0)) for name in names}
    table.update({name: table[real] for name, real in others.items()})
    return table


_WORKAROUNDS = _options(
    "MICROSOFT_SESS_ID_BUG", "NETSCAPE_CHALLENGE_BUG", "LEGACY_SERVER_CONNECT",
    "NETSCAPE_REUSE_CIPHER_CHANGE_BUG", "SSLREF2_REUSE_CERT_TYPE_BUG",
    "MICROSOFT_BIG_SSLV3_BUFFER", "MSIE_SSLV2_RSA_PADDING", "SSLEAY_080_CLIENT_DH_BUG",
    "TLS_D5_BUG", "TLS_BLOCK_PADDING_BUG", "TLS_ROLLBACK_BUG", "DONT_INSERT_EMPTY_FRAGMENTS",
    "CRYPTOPRO_TLSEXT_BUG", "TLSEXT_PADDING",
    **{
        "CVE-2010-4180": "NETSCAPE_REUSE_CIPHER_CHANGE_BUG",
        "CVE-2005-2969": "MSIE_SSLV2_RSA_PADDING",
    },
)  # fmt: skip
_TWEAKS = _options(
    "LEGACY_SERVER_CONNECT", "NO_TICKET", "NO_COMPRESSION", "NO_RENEGOTIATION",
    "NO_SESSION_RESUMPTION_ON_RENEGOTIATION", "PRIORITIZE_CHACHA", "ENABLE_MIDDLEBOX_COMPAT",
)  # fmt: skip
_MANAGED: int = SSL.OP_CIPHER_SERVER_PREFERENCE | protocol_options(_ALL_PROTOCOLS)


def tls_bug_bits(log: Log, conf: Conf) -> int:
    """Options of OpenSSL: all work-arounds but those of ``tls_disable_workarounds``, and those of
    ``tls_ssl_options``.
    """
    bits = _ALL
    if conf.tls_disable_workarounds:
        bits &= ~_option_mask(
            log, "tls_disable_workarounds", _WORKAROUNDS, conf.tls_disable_workarounds
        )
    if conf.tls_ssl_options:
        wanted = _option_mask(log, "tls_ssl_options", _TWEAKS, conf.tls_ssl_options)
        bits |= wanted & ~(_ALL | _MANAGED)
    return bits | SSL.OP_SINGLE_ECDH_USE | SSL.OP_SINGLE_DH_USE


def _option_mask(log: Log, parameter: str, table: dict[str, int], names: str) -> int:
    return name_mask(
        parameter,
        table,
        names,
        any_case=True,
        numbers=True,
        unknown=Unknown.WARN,
        warn=log.warning,
    )


# -- session tickets -------------------------------------------------------------------------------

#: Ciphers of tickets: CBC mode, a vector of 16 bytes, a key of 16 to 32.
_TICKET_CIPHERS = frozenset(
    f"{name}-{bits}-cbc" for name in ("aes", "aria", "camellia") for bits in (128, 192, 256)
) | {"seed-cbc", "seed", "sm4-cbc", "sm4", "aes128", "aes192", "aes256"}


def is_ticket_cipher(name: str) -> bool:
    """Whether a cipher can encrypt session tickets (``tls_session_ticket_cipher``)."""
    return name.lower() in _TICKET_CIPHERS
