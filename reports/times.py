"""Moments (microseconds since the epoch) and durations (seconds) for people."""

from __future__ import annotations

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def _civil(days: int) -> tuple[int, int, int]:
    """Year, month (0 to 11) and day of the month of a day since the epoch (Gregorian)."""
    era, day = divmod(days + 719468, 146097)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    of_year = day - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    return (
        year + era * 400 + (1 if month >= 10 else 0),
        (month + 2) % 12,
        of_year - (153 * month + 2) // 5 + 1,
    )


def date(moment: int) -> str:
    """A moment as in a mail log, in UTC: ``Nov 22 10:09:03``."""
    seconds = moment // 1_000_000
    days, rest = divmod(seconds, 86400)
    _, month, day = _civil(days)
    hours, minutes = divmod(rest // 60, 60)
    return f"{_MONTHS[month]} {day:2} {hours:02}:{minutes:02}:{rest % 60:02}"


def duration(seconds: float) -> str:
    """A duration in two units at most: ``3 d 4 h``, ``5 min``, ``1.3 s``."""
    whole = round(seconds)
    for unit, size, smaller, step in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            many, rest = divmod(whole, size)
            rest //= step
            return f"{many} {unit} {rest} {smaller}" if rest else f"{many} {unit}"
    return f"{seconds:.1f} s"


def since(moment: int, start: int) -> str:
    """How long after the start: ``+4 h 10 min``; nothing where the moment is unknown."""
    if not moment:
        return ""
    return "+" + duration(max(0, moment - start) / 1e6)
