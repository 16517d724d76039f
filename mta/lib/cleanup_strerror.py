"""What the CLEANUP_STAT_* of a message mean: codes and text (cleanup_strerror(3))."""

from __future__ import annotations

from typing import NamedTuple

from mta.lib.requests import (
    CLEANUP_STAT_BAD,
    CLEANUP_STAT_CONT,
    CLEANUP_STAT_DEFER,
    CLEANUP_STAT_HOPS,
    CLEANUP_STAT_OK,
    CLEANUP_STAT_PROXY,
    CLEANUP_STAT_RCPT,
    CLEANUP_STAT_SIZE,
    CLEANUP_STAT_WRITE,
)


class CleanupDetail(NamedTuple):
    """One kind of trouble: its bit, SMTP reply code, enhanced status code and text."""

    status: int
    smtp: int
    dsn: str
    text: str


_SUCCESS = CleanupDetail(CLEANUP_STAT_OK, 250, "2.0.0", "Success")

#: The gravest first: of several, only one can be reported.
_DETAILS = (
    CleanupDetail(CLEANUP_STAT_DEFER, 451, "4.7.1", "service unavailable"),
    CleanupDetail(CLEANUP_STAT_PROXY, 451, "4.3.0", "queue file write error"),
    CleanupDetail(CLEANUP_STAT_BAD, 451, "4.3.0", "internal protocol error"),
    CleanupDetail(CLEANUP_STAT_RCPT, 550, "5.1.0", "no recipients specified"),
    CleanupDetail(CLEANUP_STAT_HOPS, 554, "5.4.0", "too many hops"),
    CleanupDetail(CLEANUP_STAT_SIZE, 552, "5.3.4", "message file too big"),
    CleanupDetail(CLEANUP_STAT_CONT, 550, "5.7.1", "message content rejected"),
    CleanupDetail(CLEANUP_STAT_WRITE, 451, "4.3.0", "queue file write error"),
)


def cleanup_stat_detail(status: int) -> CleanupDetail:
    """The gravest of the troubles in a mask.  Raises ValueError for unknown bits."""
    if status == CLEANUP_STAT_OK:
        return _SUCCESS
    for detail in _DETAILS:
        if detail.status & status:
            return detail
    raise ValueError(f"cleanup_stat_detail: unknown status {status}")


def cleanup_strerror(status: int) -> str:
    """Its text."""
    return cleanup_stat_detail(status).text
