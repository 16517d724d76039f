"""The line that says what became of a recipient (log_adhoc(3))."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from mta.lib.recipient import MsgStats, Recipient
from mta.wire.dsn import Dsn

if TYPE_CHECKING:
    from mta.master.server import Process


def log_adhoc(
    process: Process,
    queue_id: str,
    stats: MsgStats,
    recipient: Recipient,
    relay: str,
    dsn: Dsn,
    status: str,
) -> None:
    """Logs ``QUEUEID: to=<...>, relay=..., delay=..., delays=a/b/c/d, dsn=..., status=...``."""
    orig = recipient.orig_addr
    address = recipient.address
    orig_to = (
        f", orig_to=<{orig}>"
        if orig and orig != address and orig.casefold() != address.casefold()
        else ""
    )
    conn_use = f", conn_use={stats.reuse_count + 1}" if stats.reuse_count > 0 else ""
    process.log.info(
        f"{queue_id}: to=<{address}>{orig_to}, relay={relay}{conn_use}, "
        f"{_delays(process, stats)}, dsn={dsn.status}, status={status} ({dsn.reason})"
    )


def _delays(process: Process, stats: MsgStats) -> str:
    """``delay=total, delays=before queue manager/in it/connection set-up/transmission``."""
    now = stats.deliver_done or process.now()
    resolution = process.conf.delay_logging_resolution_limit
    before = inside = setup = transmission = 0
    if not stats.active_arrival:
        before = now - stats.incoming_arrival
    else:
        before = stats.active_arrival - stats.incoming_arrival
        if not stats.agent_handoff:
            inside = now - stats.active_arrival
        else:
            inside = stats.agent_handoff - stats.active_arrival
            if stats.conn_setup_done:
                setup = stats.conn_setup_done - stats.agent_handoff
                transmission = now - stats.conn_setup_done
            else:
                transmission = now - stats.agent_handoff
    return (
        f"delay={format_tv(now - stats.incoming_arrival, resolution)}, "
        f"delays={format_tv(before, resolution)}/{format_tv(inside, resolution)}/"
        f"{format_tv(setup, resolution)}/{format_tv(transmission, resolution)}"
    )


@lru_cache(maxsize=4096)
def format_tv(duration: int, max_digits: int, significant: int = 2) -> str:
    """A duration in microseconds as seconds with few digits (format_tv(3)).

    Small values keep ``significant`` digits, at most ``max_digits`` after the point; trailing
    zeros are dropped; negative durations count as zero.
    """
    seconds, micros = divmod(max(duration, 0), 1_000_000)
    digits = max_digits
    if seconds >= 10 ** (significant - 1):
        digits = max(0, significant - len(str(seconds)))
    elif seconds > 0:
        digits = significant - 1
    else:
        leading = 6 - len(str(micros)) if micros else 6
        digits = leading + significant
    digits = min(digits, max_digits)
    unit: int = 10 ** (6 - digits)
    rounded = (seconds * 1_000_000 + micros + unit // 2) // unit * unit
    seconds, micros = divmod(rounded, 1_000_000)
    fraction = f"{micros:06d}"[:digits].rstrip("0")
    return f"{seconds}.{fraction}" if fraction else str(seconds)
