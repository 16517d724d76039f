"""Security levels and log levels of TLS (tls_level, tls_misc); nothing here needs OpenSSL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.util.name_mask import Unknown, name_mask

if TYPE_CHECKING:
    from mta.lib.log import Log
    from mta.master.server import Process

# -- security levels (tls_level.c) -----------------------------------------------------------------

TLS_LEV_INVALID = -2
TLS_LEV_NOTFOUND = -1  #: no policy says anything
TLS_LEV_NONE = 0
TLS_LEV_MAY = 1
TLS_LEV_ENCRYPT = 2
TLS_LEV_FPRINT = 3
TLS_LEV_DANE = 4
TLS_LEV_DANE_ONLY = 5
TLS_LEV_VERIFY = 6
TLS_LEV_SECURE = 7

TLS_LEVELS = {
    "none": TLS_LEV_NONE,
    "may": TLS_LEV_MAY,
    "encrypt": TLS_LEV_ENCRYPT,
    "fingerprint": TLS_LEV_FPRINT,
    "dane": TLS_LEV_DANE,
    "dane-only": TLS_LEV_DANE_ONLY,
    "verify": TLS_LEV_VERIFY,
    "secure": TLS_LEV_SECURE,
}


def tls_level(name: str) -> int:
    """The level of a name, in any case; TLS_LEV_INVALID where there is none such."""
    return TLS_LEVELS.get(name.lower(), TLS_LEV_INVALID)


def str_tls_level(level: int) -> str:
    """The name of a level."""
    return next((name for name, number in TLS_LEVELS.items() if number == level), "unknown")


def must_trust(level: int) -> bool:
    """Whether the other side's certificate must be trusted."""
    return level >= TLS_LEV_DANE


def must_match(level: int) -> bool:
    """Whether the other side's certificate must be the one that is expected."""
    return level > TLS_LEV_ENCRYPT


def dane_based(level: int) -> bool:
    """Whether the level is that of DANE."""
    return level in (TLS_LEV_DANE, TLS_LEV_DANE_ONLY)


def server_level(process: Process, parameter: str) -> tuple[bool, bool]:
    """Whether TLS is used and whether it is required, by ``smtpd_tls_security_level`` and the like,
    which must not be empty.  Fatal where it makes no sense.
    """
    text: str = getattr(process.conf, parameter)
    level = tls_level(text)
    if level in (TLS_LEV_SECURE, TLS_LEV_VERIFY, TLS_LEV_FPRINT):
        process.log.warning(f'{parameter}: unsupported TLS level "{text}", using "encrypt"')
        level = TLS_LEV_ENCRYPT
    if level not in (TLS_LEV_NONE, TLS_LEV_MAY, TLS_LEV_ENCRYPT):
        process.log.fatal(f'Invalid TLS level "{text}"')
    return level != TLS_LEV_NONE, level == TLS_LEV_ENCRYPT


# -- log levels ------------------------------------------------------------------------------------

TLS_LOG_NONE = 1 << 0
TLS_LOG_SUMMARY = 1 << 1
TLS_LOG_UNTRUSTED = 1 << 2
TLS_LOG_PEERCERT = 1 << 3
TLS_LOG_CERTMATCH = 1 << 4
TLS_LOG_VERBOSE = 1 << 5
TLS_LOG_CACHE = 1 << 6
TLS_LOG_DEBUG = 1 << 7
TLS_LOG_TLSPKTS = 1 << 8
TLS_LOG_ALLPKTS = 1 << 9

_LOG_1 = TLS_LOG_SUMMARY
_LOG_2 = _LOG_1 | TLS_LOG_VERBOSE | TLS_LOG_CACHE | TLS_LOG_DEBUG
_LOG_3 = _LOG_2 | TLS_LOG_TLSPKTS
_LOG_4 = _LOG_3 | TLS_LOG_ALLPKTS

_LOG_LEVELS = {
    "0": TLS_LOG_NONE,
    "none": TLS_LOG_NONE,
    "1": _LOG_1,
    "routine": _LOG_1,
    "2": _LOG_2,
    "debug": _LOG_2,
    "3": _LOG_3,
    "ssl-expert": _LOG_3,
    "4": _LOG_4,
    "ssl-developer": _LOG_4,
    "5": _LOG_4,
    "6": _LOG_4,
    "7": _LOG_4,
    "8": _LOG_4,
    "9": _LOG_4,
    "summary": TLS_LOG_SUMMARY,
    "untrusted": TLS_LOG_UNTRUSTED,
    "peercert": TLS_LOG_PEERCERT,
    "certmatch": TLS_LOG_CERTMATCH,
    "verbose": TLS_LOG_VERBOSE,
    "cache": TLS_LOG_CACHE,
    "ssl-debug": TLS_LOG_DEBUG,
    "ssl-handshake-packet-dump": TLS_LOG_TLSPKTS,
    "ssl-session-packet-dump": TLS_LOG_TLSPKTS | TLS_LOG_ALLPKTS,
}


def tls_log_mask(log: Log, parameter: str, level: str) -> int:
    """What to log (TLS_LOG_*), from ``smtpd_tls_loglevel`` and the like."""
    mask = name_mask(
        parameter, _LOG_LEVELS, level, any_case=True, unknown=Unknown.RETURN, warn=log.warning
    )
    if mask & (TLS_LOG_TLSPKTS | TLS_LOG_ALLPKTS):
        log.warning(f"packet dumps are not implemented: {parameter} = {level}")
    return mask
