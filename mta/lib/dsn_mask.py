"""dsn_mask(3) - NOTIFY and RET of RFC 3461 as bits, from text and from queue file records."""

from __future__ import annotations

from mta.lib.recipient import (
    DSN_NOTIFY_DELAY,
    DSN_NOTIFY_FAILURE,
    DSN_NOTIFY_NEVER,
    DSN_NOTIFY_SUCCESS,
    DSN_RET_FULL,
    DSN_RET_HDRS,
)
from mta.util.name_mask import MaskLog, name_mask_or_none
from mta.util.scalars import all_digits

DSN_NOTIFY_ANY = DSN_NOTIFY_SUCCESS | DSN_NOTIFY_FAILURE | DSN_NOTIFY_DELAY
#: Notify whatever the sender asked for.
DSN_NOTIFY_OVERRIDE = DSN_NOTIFY_ANY | DSN_NOTIFY_NEVER

_NOTIFY = {
    "never": DSN_NOTIFY_NEVER,
    "success": DSN_NOTIFY_SUCCESS,
    "failure": DSN_NOTIFY_FAILURE,
    "delay": DSN_NOTIFY_DELAY,
}
_RET = {"FULL": DSN_RET_FULL, "HDRS": DSN_RET_HDRS}


def dsn_notify_ok(mask: int) -> bool:
    """Whether a NOTIFY mask makes sense: NEVER stands alone."""
    return mask == DSN_NOTIFY_NEVER or mask & DSN_NOTIFY_ANY == mask


def dsn_notify_mask(log: MaskLog, text: str) -> int:
    """The bits of ``success,failure`` and the like; 0 where the text is wrong (unknown names are
    warned of).
    """
    mask = name_mask_or_none(log, "DSN NOTIFY command", _NOTIFY, text) or 0
    return mask if dsn_notify_ok(mask) else 0


def dsn_ret_code(text: str) -> int:
    """DSN_RET_* of ``full`` or ``hdrs`` in any case; 0 for anything else."""
    return _RET.get(text.upper(), 0)


def dsn_notify_value(text: str) -> int:
    """The NOTIFY mask of a queue file record; 0 where it is malformed."""
    mask = int(text) if all_digits(text) else 0
    return mask if dsn_notify_ok(mask) else 0


def dsn_ret_value(text: str) -> int:
    """The RET code of a queue file record; 0 where it is malformed."""
    code = int(text) if all_digits(text) else 0
    return code if code in (DSN_RET_FULL, DSN_RET_HDRS) else 0
