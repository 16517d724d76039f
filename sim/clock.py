"""Virtual time: integer microseconds since the epoch, UTC.

Nothing here, nor anywhere in ``sim``, looks at the clock of the machine that runs the simulation.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

#: One second.
SECOND = 1_000_000

#: The longest time that anything is waited for: about 285,000 years.
FOREVER = 1 << 63

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(seconds: float) -> int:
    """A duration of seconds in whole microseconds, rounded to the nearest."""
    return round(seconds * 1_000_000)


def seconds(duration: int) -> float:
    """A duration of microseconds in seconds."""
    return duration / 1_000_000


def moment(text: str) -> int:
    """The moment of an ISO 8601 text such as ``2026-01-05 09:00:00``; UTC where it names no zone.

    Raises ValueError.
    """
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return (when - _EPOCH) // timedelta(microseconds=1)


def iso(when: int) -> str:
    """A moment as text: ``2026-01-05T09:00:00.000200Z``."""
    return (_EPOCH + timedelta(microseconds=when)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


#: When a world begins unless it is told otherwise: a Monday morning.
START = moment("2026-01-05 09:00:00")
