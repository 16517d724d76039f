"""Virtual time."""

import pytest

from sim import clock
from sim.world import World


def test_a_world_begins_on_monday_the_fifth_of_january_2026_at_nine() -> None:
    assert clock.iso(World().now) == "2026-01-05T09:00:00.000000Z"


@pytest.mark.parametrize(
    ("seconds", "micros"),
    [(0, 0), (1, 1_000_000), (0.0003, 300), (0.1, 100_000), (1e-7, 0), (432000, 432_000_000_000)],
)
def test_durations_are_rounded_to_whole_microseconds(seconds: float, micros: int) -> None:
    assert clock.micros(seconds) == micros
    assert isinstance(clock.micros(seconds), int)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-01 00:00:00", 0),
        ("1970-01-01T00:00:01.5", 1_500_000),
        ("1970-01-01 01:00:00+01:00", 0),
        ("2038-01-19 03:14:08", 2**31 * 1_000_000),
    ],
)
def test_a_moment_is_read_as_utc_where_it_names_no_zone(text: str, moment: int) -> None:
    assert clock.moment(text) == moment


def test_what_is_no_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="tomorrow"):
        clock.moment("tomorrow")


def test_a_moment_and_its_text_are_the_same_thing() -> None:
    assert clock.moment(clock.iso(1_767_603_600_000_200)) == 1_767_603_600_000_200
