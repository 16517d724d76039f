"""input_transp(3) - what ``receive_override_options`` turns off for mail that comes in."""

from __future__ import annotations

from mta.lib.requests import (
    CLEANUP_FLAG_BCC_OK,
    CLEANUP_FLAG_FILTER,
    CLEANUP_FLAG_MAP_OK,
    CLEANUP_FLAG_MILTER,
)
from mta.util.name_mask import name_mask

INPUT_TRANSP_UNKNOWN_RCPT = 1 << 0  #: unknown recipients are not rejected
INPUT_TRANSP_ADDRESS_MAPPING = 1 << 1  #: no canonical, virtual, masquerading, automatic BCC
INPUT_TRANSP_HEADER_BODY = 1 << 2  #: no header and body checks
INPUT_TRANSP_MILTER = 1 << 3  #: no milters

_NAMES = {
    "no_unknown_recipient_checks": INPUT_TRANSP_UNKNOWN_RCPT,
    "no_address_mappings": INPUT_TRANSP_ADDRESS_MAPPING,
    "no_header_body_checks": INPUT_TRANSP_HEADER_BODY,
    "no_milters": INPUT_TRANSP_MILTER,
}


def input_transp_mask(parameter: str, value: str) -> int:
    """The INPUT_TRANSP_* of a parameter's value.  Raises NameMaskError with the fatal text."""
    return name_mask(parameter, _NAMES, value)


def input_transp_cleanup(flags: int, mask: int) -> int:
    """The CLEANUP_FLAG_* that a mask of INPUT_TRANSP_* leaves."""
    if mask & INPUT_TRANSP_ADDRESS_MAPPING:
        flags &= ~(CLEANUP_FLAG_BCC_OK | CLEANUP_FLAG_MAP_OK)
    if mask & INPUT_TRANSP_HEADER_BODY:
        flags &= ~CLEANUP_FLAG_FILTER
    if mask & INPUT_TRANSP_MILTER:
        flags &= ~CLEANUP_FLAG_MILTER
    return flags
