"""Queue file records."""

from __future__ import annotations

import pytest

from mta.wire import record
from mta.wire.record import RecordError, SizeRecord


@pytest.mark.parametrize(
    ("length", "head"),
    [
        (0, b"N\x00"),
        (1, b"N\x01"),
        (127, b"N\x7f"),
        (128, b"N\x80\x01"),
        (300, b"N\xac\x02"),
        (16383, b"N\xff\x7f"),
        (16384, b"N\x80\x80\x01"),
    ],
)
def test_the_length_comes_in_groups_of_seven_bits_lowest_first(length: int, head: bytes) -> None:
    data = b"x" * length
    encoded = record.encode("N", data)
    assert encoded == head + data
    assert record.record_size(length) == len(encoded)
    assert record.get(encoded + b"more", 0) == ("N", data, len(encoded))


def test_put_tells_where_the_record_begins_and_its_type_can_be_changed_later() -> None:
    buffer = bytearray()
    assert record.put(buffer, record.REC_TYPE_FROM, b"a@b") == 0
    where = record.put(buffer, record.REC_TYPE_RCPT, b"c@d")
    assert where == 5
    record.put_type(buffer, record.REC_TYPE_DONE, where)
    assert list(record.records(buffer)) == [(0, "S", b"a@b"), (5, "D", b"c@d")]


def test_many_records_are_written_as_one_by_one() -> None:
    rows = [("N", b"x" * n) for n in (0, 5, 127, 128, 2000)] + [("X", b""), ("R", b"a@b")]
    together, single = bytearray(b"head"), bytearray(b"head")
    record.put_many(together, rows)
    for rec_type, data in rows:
        record.put(single, rec_type, data)
    assert together == single


@pytest.mark.parametrize(
    ("line", "types"),
    [
        (b"", ["N"]),
        (b"12345", ["N"]),
        (b"123456", ["L", "N"]),
        (b"1234567890", ["L", "N"]),
        (b"12345678901", ["L", "L", "N"]),
    ],
)
def test_a_long_line_is_split_and_comes_back_whole(line: bytes, types: list[str]) -> None:
    buffer = bytearray()
    record.put_text(buffer, line, 5)
    record.put_text(buffer, b"next", 5)
    record.put(buffer, "X", b"")
    assert [row[0] for row in record.content_records(buffer, 0)] == [*types, "N"]
    assert record.content_lines(buffer, 0) == [line, b"next"]


def test_content_ends_at_the_extracted_segment_and_a_part_without_end_is_a_line() -> None:
    buffer = bytearray()
    for rec_type, data in (("N", b"one"), ("L", b"tw"), ("X", b""), ("N", b"not content")):
        record.put(buffer, rec_type, data)
    assert record.content_lines(buffer, 0) == [b"one", b"tw"]


def test_content_follows_jumps_and_skips_padding() -> None:
    buffer = bytearray()
    record.put(buffer, "N", b"Subject: x")
    record.put(buffer, "w", b"0")
    jump = record.put(buffer, "p", record.encode_ptr(0))
    back = record.put(buffer, "N", b"text")
    record.put(buffer, "X", b"")
    record.put(buffer, "E", b"")
    heap = record.put(buffer, "N", b"Added: y")
    record.put(buffer, "p", record.encode_ptr(back))
    assert record.content_lines(buffer, 0) == [b"Subject: x", b"text"]
    buffer[jump + 2 : jump + 17] = record.encode_ptr(heap)
    assert record.content_lines(buffer, 0) == [b"Subject: x", b"Added: y", b"text"]
    shown = [row[1] for row in record.records(buffer)]
    assert shown == ["N", "N", "N", "X", "E"]
    assert [row[1] for row in record.records(buffer, hidden=True)] == list("NwpNpNXE")
    assert [row[1] for row in record.records(buffer, follow=False)] == list("NwpNXENp")


def test_content_can_be_longer_than_a_short_record() -> None:
    buffer = bytearray()
    lines = [b"a" * 200, b"b" * 127, b"", b"c" * 20000]
    for line in lines:
        record.put(buffer, "N", line)
    record.put(buffer, "X", b"")
    assert record.content_lines(buffer, 0) == lines


def test_a_circle_of_jumps_is_noticed() -> None:
    buffer = bytearray(b"N\x00")
    record.put(buffer, "p", record.encode_ptr(2))
    with pytest.raises(RecordError, match="too many reverse jump records"):
        list(record.records(buffer))


@pytest.mark.parametrize(
    ("data", "warning"),
    [
        (b"N", "unexpected EOF reading length, record type 78"),
        (b"N\x80", "unexpected EOF reading length, record type 78"),
        (b"N\x05abc", "unexpected EOF in data, record type 78 length 5"),
        (b"N\xff\xff\xff\xff\xff\x01", "too many length bits, record type 78"),
        (b"N\xff\xff\xff\xff\x0f", "illegal length -1, record type 78"),
        (b"p\x02xy", "malformed pointer record value: xy"),
    ],
)
def test_damage_is_told_in_the_words_of_the_log(data: bytes, warning: str) -> None:
    with pytest.raises(RecordError) as caught:
        list(record.records(data))
    assert caught.value.args[0] == warning


@pytest.mark.parametrize(
    ("numbers", "data"),
    [
        (
            SizeRecord(332, 199, 1, 0, 332, 0),
            b"            332             199               1               0             332"
            b"               0",
        ),
    ],
)
def test_the_size_record_has_columns_of_fixed_width(numbers: SizeRecord, data: bytes) -> None:
    assert record.encode_size(numbers) == data
    assert record.decode_size(data) == numbers


@pytest.mark.parametrize(
    ("data", "numbers"),
    [
        (b"  5   6 7", SizeRecord(5, 6, 7)),
        (b"12", SizeRecord(12)),
        (b"12 3x 4", SizeRecord(12, 3)),
        (b"12 x", SizeRecord(12)),
        (b"-1 +2 3", SizeRecord(-1, 2, 3)),
        (b"x", None),
        (b"", None),
    ],
)
def test_size_records_of_other_versions_are_read_as_far_as_they_go(
    data: bytes, numbers: SizeRecord | None
) -> None:
    assert record.decode_size(data) == numbers


@pytest.mark.parametrize(
    ("data", "moment"),
    [
        (b"1169344434 123", 1169344434_000123),
        (b"1169344434", 1169344434_000000),
        (b"nonsense", 0),
    ],
)
def test_times_are_seconds_and_microseconds(data: bytes, moment: int) -> None:
    assert record.decode_time(data) == moment


def test_times_warnings_pointers_and_padding_are_written_as_in_queue_files() -> None:
    assert record.encode_time(1169344434_000123) == b"1169344434 123"
    assert record.encode_warn(1169344434) == b"     1169344434"
    assert record.decode_warn(b"     1169344434") == 1169344434
    assert record.encode_ptr(678) == b"            678"
    assert record.decode_ptr(b"            678") == 678
    for size, data in ((1, b"w\x010"), (3, b"w\x010"), (6, b"w\x04   0")):
        buffer = bytearray()
        record.put_pad(buffer, "w", size)
        assert bytes(buffer) == data


@pytest.mark.parametrize(
    ("letter", "name"),
    [
        ("C", "message_size"),
        ("N", "regular_text"),
        ("L", "content_filter"),
        ("/", "canceled_recipient"),
        ("n", "dsn_notify_flags"),
        ("?", "unknown_record_type"),
    ],
)
def test_types_have_the_names_that_postcat_shows(letter: str, name: str) -> None:
    assert record.rec_type_name(letter) == name


def test_dsn_attributes_of_old_queue_files_stand_for_records() -> None:
    assert record.rec_attr_map("notify_flags") == record.REC_TYPE_DSN_NOTIFY
    assert record.rec_attr_map("encoding") == ""
