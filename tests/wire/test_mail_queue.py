"""Queue ids and the places of queue files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.lib.mail_queue import (
    MailQueue,
    dir_forest,
    is_long_queue_id,
    mail_queue_id,
    mail_queue_id_ok,
    mail_queue_name_ok,
    queue_id_inode,
    safe_strtoul,
    safe_ultostr,
)
from mta.system import Panic


@pytest.mark.parametrize(
    ("now", "inode", "queue_id"),
    [
        (1_420_070_400_000_000, 0x4A0B, "000004A0B"),
        (1_420_070_400_999_999, 1, "F423F1"),
        (1_420_070_400_012_345, 255, "03039FF"),
    ],
)
def test_a_short_id_is_microseconds_and_inode(now: int, inode: int, queue_id: str) -> None:
    assert mail_queue_id(now, inode) == queue_id
    assert queue_id_inode(queue_id) == inode
    assert not is_long_queue_id(queue_id)


def test_a_long_id_is_time_z_and_inode_without_vowels() -> None:
    queue_id = mail_queue_id(1_420_070_400_000_001, 51 * 51 + 50, long_ids=True)
    assert queue_id == "3kCTy80001z10y"
    assert is_long_queue_id(queue_id)
    assert queue_id_inode(queue_id) == 51 * 51 + 50


@given(st.integers(1, 2**64 - 1), st.sampled_from([2, 16, 51, 52]))
def test_safe_numbers_can_be_read_again(number: int, base: int) -> None:
    text = safe_ultostr(number, base)
    assert safe_strtoul(text, base) == number
    assert not set(text) & set("AEIOUaeiou")
    if base == 51:
        assert "z" not in text


@pytest.mark.parametrize(("text", "base"), [("", 52), ("1A", 52), ("z", 51), ("z" * 12, 52)])
def test_what_is_not_a_safe_number(text: str, base: int) -> None:
    assert safe_strtoul(text, base) is None


def test_safe_numbers_are_padded() -> None:
    assert safe_ultostr(1, 52, 4) == "0001"
    assert safe_ultostr(0, 52) == ""


@pytest.mark.parametrize(
    ("queue_id", "good"),
    [("4A0B", True), ("example_com", True), ("", False), ("a.b", False), ("../x", False)],
)
def test_queue_ids_have_no_nasty_characters(queue_id: str, good: bool) -> None:
    assert mail_queue_id_ok(queue_id) is good


def test_queue_names_have_letters_and_digits() -> None:
    assert mail_queue_name_ok("incoming")
    assert not mail_queue_name_ok("in/coming")
    assert not mail_queue_name_ok("x" * 101)


@pytest.mark.parametrize(
    ("queue", "queue_id", "depth", "path"),
    [
        ("incoming", "ABCDE1", 1, "/q/incoming/ABCDE1"),
        ("deferred", "ABCDE1", 1, "/q/deferred/A/ABCDE1"),
        ("defer", "ABCDE1", 2, "/q/defer/A/B/ABCDE1"),
        ("Deferred", "A", 3, "/q/Deferred/A/_/_/A"),
        ("deferred", "3kDKq4BcdfzyY", 2, "/q/deferred/1/6/3kDKq4BcdfzyY"),
    ],
)
def test_some_queues_are_hashed(queue: str, queue_id: str, depth: int, path: str) -> None:
    assert MailQueue("/q", "deferred, defer", depth).path(queue, queue_id) == path


def test_a_long_id_is_hashed_by_its_microseconds() -> None:
    queue_id = mail_queue_id(1_420_070_400_000_000 + 0xABCDE, 7, long_ids=True)
    assert MailQueue("/q").name("deferred", queue_id) == f"deferred/A/{queue_id}"


def test_a_forest_has_underscores_where_a_name_is_short() -> None:
    assert dir_forest("abcd", 2) == "a/b/"
    assert dir_forest("a", 3) == "a/_/_/"


@pytest.mark.parametrize(
    ("queue", "queue_id", "words"),
    [
        ("in/coming", "A", "mail_queue_dir: bad queue name: in/coming"),
        ("incoming", "../A", "mail_queue_dir: bad queue id: ../A"),
    ],
)
def test_bad_names_are_a_panic(queue: str, queue_id: str, words: str) -> None:
    with pytest.raises(Panic, match=words):
        MailQueue("/q").path(queue, queue_id)
