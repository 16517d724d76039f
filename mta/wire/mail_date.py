"""mail_date(3): dates as mail shows them.

Moments are integer microseconds since the epoch; the time zone is minutes east of UTC, and has no
daylight saving.  Dates are cached by the second.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MICROSECONDS = 1_000_000


def local_time(moment: int, timezone: int = 0) -> datetime:
    """The wall-clock time (without microseconds; its tzinfo does not matter)."""
    return _EPOCH + timedelta(seconds=moment // _MICROSECONDS, minutes=timezone)


def zone_name(timezone: int) -> str:
    """The name of a time zone that is nothing but an offset: ``UTC``, ``+01``, ``-0330``."""
    if timezone == 0:
        return "UTC"
    hours, minutes = divmod(abs(timezone), 60)
    return f"{'-' if timezone < 0 else '+'}{hours:02d}" + (f"{minutes:02d}" if minutes else "")


def mail_date(moment: int, timezone: int = 0, zone: str = "") -> str:
    """``Thu,  1 Jan 2015 09:00:00 +0000 (UTC)`` (RFC 5322), with the day padded by a blank.
    ``zone`` is the time zone's name, made of the offset by default.
    """
    return _mail_date(moment // _MICROSECONDS, timezone, zone)


@lru_cache(maxsize=256)
def _mail_date(seconds: int, timezone: int, zone: str) -> str:
    when = local_time(seconds * _MICROSECONDS, timezone)
    hours = int(timezone / 60)  # towards zero: half an hour west of UTC is "+0030" in Postfix
    return (
        f"{_DAYS[when.weekday()]}, {when.day:2d} {_MONTHS[when.month - 1]} {when.year:04d}"
        f" {when.hour:02d}:{when.minute:02d}:{when.second:02d}"
        f" {hours:+03d}{abs(timezone) % 60:02d} ({zone or zone_name(timezone)})"
    )


@lru_cache(maxsize=256)
def _asctime(seconds: int, timezone: int) -> str:
    when = local_time(seconds * _MICROSECONDS, timezone)
    return (
        f"{_DAYS[when.weekday()]} {_MONTHS[when.month - 1]} {when.day:2d}"
        f" {when.hour:02d}:{when.minute:02d}:{when.second:02d} {when.year}"
    )


def asctime(moment: int, timezone: int = 0) -> str:
    """The date of mailbox ``From `` lines, mailq and postcat, as in ``Thu Jan  1 09:00:00 2015``,
    without the newline of asctime(3).
    """
    return _asctime(moment // _MICROSECONDS, timezone)


def syslog_time(moment: int, timezone: int = 0) -> str:
    """``Jan  1 09:00:00``: the time of a line of the mail log."""
    return _asctime(moment // _MICROSECONDS, timezone)[4:19]
