"""International domain names (midna_domain(3), UTS 46 with the idna library)."""

from __future__ import annotations

from functools import lru_cache

import idna

from mta.util.valid_hostname import valid_hostname


@lru_cache(maxsize=1000)
def midna_domain_to_ascii(name: str) -> str | None:
    """The domain in ASCII (``xn--``), in lower case where it was not ASCII; None where it has no
    such form.  ASCII names are returned as they are.
    """
    if name.isascii():
        return name
    try:
        ascii_name = idna.encode(name, uts46=True, std3_rules=False, transitional=False).decode()
    except (idna.IDNAError, UnicodeError):
        return None
    return ascii_name if valid_hostname(ascii_name) else None


@lru_cache(maxsize=1000)
def midna_domain_to_utf8(name: str) -> str | None:
    """The domain with its ``xn--`` labels decoded; None where one of them cannot be."""
    if "xn--" not in name.lower():
        return name
    try:
        return idna.decode(name, uts46=True)
    except (idna.IDNAError, UnicodeError):
        return None


def valid_utf8_hostname(enable: bool, name: str) -> bool:
    """Whether it is a valid host name; with SMTPUTF8 enabled, also one that is not ASCII."""
    if enable and not name.isascii():
        ascii_name = midna_domain_to_ascii(name)
        return ascii_name is not None and bool(valid_hostname(ascii_name))
    return bool(valid_hostname(name))
