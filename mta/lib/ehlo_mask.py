"""ehlo_mask(3) - sets of EHLO keywords, for ``smtpd_discard_ehlo_keywords`` and the like."""

from __future__ import annotations

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
EHLO_MASK_SILENT = 1 << 15  #: discard without a word in the log

_NAMES = {
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


def ehlo_mask(names: str) -> int:
    """The EHLO_MASK_* of keywords in any case; what does not exist is ignored."""
    return name_mask("ehlo string mask", _NAMES, names, any_case=True, unknown=Unknown.IGNORE)


def str_ehlo_mask(mask: int) -> str:
    """The keywords of a mask, for the log.  Raises NameMaskError for unknown bits."""
    return str_name_mask("ehlo bitmask", _NAMES, mask) or ""
