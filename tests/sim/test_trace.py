"""The trace: order, hash, differences."""

import pytest

from sim.trace import BATCH, KINDS, Event, Trace


def filled(count: int, keep: bool = True, odd: int = -1) -> Trace:
    trace = Trace(keep)
    for number in range(count):
        trace.add(number, "note", "odd" if number == odd else f"number {number}")
    return trace


def test_equal_traces_have_equal_hashes_kept_or_not() -> None:
    assert filled(2000).hash() == filled(2000, keep=False).hash()


@pytest.mark.parametrize("odd", [0, BATCH - 1, BATCH, 1999])
def test_one_event_that_differs_changes_the_hash_and_is_found(odd: int) -> None:
    one, other = filled(2000), filled(2000, odd=odd)
    assert one.hash() != other.hash()
    difference = one.first_difference(other)
    assert difference is not None
    assert difference.position == odd
    assert difference.ours == Event(odd, "note", (f"number {odd}",))
    assert difference.theirs == Event(odd, "note", ("odd",))


def test_asking_for_the_hash_on_the_way_changes_nothing() -> None:
    asked = Trace()
    for number in range(1000):
        asked.add(number, "note", f"number {number}")
        if number % 7 == 0:
            asked.hash()
    assert asked.hash() == filled(1000).hash()
    assert asked.count == 1000


def test_the_end_of_a_trace_is_a_difference() -> None:
    difference = filled(3).first_difference(filled(4))
    assert difference is not None
    assert (difference.position, difference.ours) == (3, None)
    assert filled(4).first_difference(filled(4)) is None


def test_the_border_between_facts_counts() -> None:
    one, other = Trace(), Trace()
    one.add(0, "rename", "a", "b", "c, d")
    other.add(0, "rename", "a", "b, c", "d")
    assert one.hash() != other.hash()


def test_any_byte_survives_in_text() -> None:
    one, other = Trace(), Trace()
    one.add(0, "note", b"\xff".decode("utf-8", "surrogateescape"))
    other.add(0, "note", b"\xfe".decode("utf-8", "surrogateescape"))
    assert one.hash() != other.hash()


def test_events_that_were_not_kept_cannot_be_looked_at() -> None:
    with pytest.raises(ValueError, match="keep_trace"):
        filled(1, keep=False).events()


def test_events_have_named_facts() -> None:
    trace = Trace(keep=True)
    trace.add(1_000_000, "create", "mx", "/q/1")
    trace.add(1_000_001, "note", "x")
    (event,) = trace.events("create")
    assert event.fact("path") == "/q/1"
    assert str(event) == "1970-01-01T00:00:01.000000Z create host=mx path=/q/1"
    with pytest.raises(ValueError):
        event.fact("colour")


def test_every_kind_names_its_facts() -> None:
    assert all(KINDS.values())
