"""ehlo_mask(3): EHLO keywords as bits, for smtpd_discard_ehlo_keywords and its like."""

from __future__ import annotations

from functools import lru_cache

from mta.util.name_mask import Unknown, name_mask, str_name_mask

EHLO_MASK_8BITMIME = 1 << 0
EHLO_MASK_PIPELINING = 1 << 1
EHLO_MASK_SIZE = 1 << 2
EHLO_MASK_VRFY = 1 << 3
EHLO_MASK_ETRN = 1 << 4
EHLO_MASK_AUTH = 1 << 5
EHLO_MASK_VERP = 1 << 6
EHLO_MASK_STARTTLS = 1 << 7
EHLO_MASK_XCLIENT = 1 << 8
EHLO_MASK_XFORWARD = 1 << 9
EHLO_MASK_ENHANCEDSTATUSCODES = 1 << 10
EHLO_MASK_DSN = 1 << 11
EHLO_MASK_SMTPUTF8 = 1 << 12
EHLO_MASK_SILENT = 1 << 15  #: do not log that keywords are discarded

EHLO_MASK_TABLE = {
    "8BITMIME": EHLO_MASK_8BITMIME,
    "AUTH": EHLO_MASK_AUTH,
    "ETRN": EHLO_MASK_ETRN,
    "PIPELINING": EHLO_MASK_PIPELINING,
    "SIZE": EHLO_MASK_SIZE,
    "VERP": EHLO_MASK_VERP,
    "VRFY": EHLO_MASK_VRFY,
    "XCLIENT": EHLO_MASK_XCLIENT,
    "XFORWARD": EHLO_MASK_XFORWARD,
    "STARTTLS": EHLO_MASK_STARTTLS,
    "ENHANCEDSTATUSCODES": EHLO_MASK_ENHANCEDSTATUSCODES,
    "DSN": EHLO_MASK_DSN,
    "EHLO_MASK_SMTPUTF8": EHLO_MASK_SMTPUTF8,
    "SMTPUTF8": EHLO_MASK_SMTPUTF8,
    "SILENT-DISCARD": EHLO_MASK_SILENT,
}


@lru_cache(maxsize=256)
def ehlo_mask(names: str) -> int:
    """The bits of a list of keywords in any case; unknown ones do not matter."""
    return name_mask(
        "ehlo string mask", EHLO_MASK_TABLE, names, unknown=Unknown.IGNORE, any_case=True
    )


def str_ehlo_mask(mask: int) -> str:
    """The keywords of bits, separated by blanks.  Raises NameMaskError for unknown bits."""
    return str_name_mask("ehlo bitmask", EHLO_MASK_TABLE, mask) or ""
