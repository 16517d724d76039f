from __future__ import annotations

import pytest

from mta.util.casefold import casefold, lowercase, same_text, strcasecmp_utf8, strncasecmp_utf8
from mta.util.parens import ParenError, balpar, extpar, split_nameval, split_words
from mta.util.readllines import readllines


@pytest.mark.parametrize(
    ("left", "right", "order"),
    [
        ("Δημοσθένους.example.com", "δημοσθένουσ.example.com", 0),
        ("Δημοσθένους.example.com", "ηδμοσθένουσ.example.com", -1),
        ("ηδμοσθένουσ.example.com", "Δημοσθένους.example.com", 1),
        ("HeLlO.ExAmPlE.CoM", "hello.example.com", 0),
        ("HeLlO", "hellp", -1),
        ("YYY\udcff\udcfeXXX", "yyy\udcff\udcfexxx", 0),
        ("a", "a\udc80", -1),
    ],
)
def test_text_is_compared_by_its_folded_bytes(left: str, right: str, order: int) -> None:
    assert strcasecmp_utf8(left, right) == order
    assert same_text(left, right) == (order == 0)


def test_the_first_bytes_are_compared() -> None:
    assert strncasecmp_utf8("HeLlO", "hellp", 4) == 0
    assert strncasecmp_utf8("HeLlO", "hellp", 5) == -1


def test_without_utf8_only_ascii_is_folded() -> None:
    assert casefold("ÄB", utf8=False) == lowercase("ÄB") == "Äb"
    assert casefold("ÄB") == "äb"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a, b\tc\n", ["a", "b", "c"]),
        ("a {b, c}d e", ["a", "{b, c}d", "e"]),
        ("x:{ a, { b c } } y", ["x:{ a, { b c } }", "y"]),
        ("a } b", ["a", "}", "b"]),
        ("{open a", ["{open a"]),
        (" ,, ", []),
    ],
)
def test_words_keep_braces_together(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_balanced_braces_have_a_length() -> None:
    assert [balpar(text) for text in ("{a}b", "{a{b}}", "{a", "a{b}")] == [3, 6, 0, 0]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("{ a b }", "a b"),
        ("{}", ""),
        ("{a", "missing '}' in \"{a\""),
        ("{a}b", "syntax error after '}' in \"{a}b\""),
    ],
)
def test_text_in_braces_or_what_is_wrong_with_it(text: str, result: str) -> None:
    try:
        assert extpar(text) == result
    except ParenError as error:
        assert error.args[0] == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        (" a = b c ", ("a", "b c")),
        ("a=", ("a", "")),
        ("a=b=c", ("a", "b=c")),
        ("  ", "missing attribute name"),
        ("a b = c", "missing '=' after attribute name"),
        ("a", "missing '=' after attribute name"),
    ],
)
def test_name_and_value_or_what_is_wrong_with_them(text: str, result: object) -> None:
    try:
        assert split_nameval(text) == result
    except ParenError as error:
        assert error.args[0] == result


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"a\nb", [(b"a", 1, False), (b"b", 2, False)]),
        (b"a\n b\n\tc\nd\n", [(b"a b\tc", 1, False), (b"d", 4, False)]),
        (b"# x\n\na\n# y\n\n  # z\n b\n", [(b"a b", 3, False)]),
        (b"  a\nb\n", [(b"  a", 1, True), (b"b", 2, False)]),
        (b"a\n\nb\n", [(b"a", 1, False), (b"b", 3, False)]),
        (b"a\r\n b\r\n", [(b"a\r b\r", 1, False)]),
    ],
)
def test_logical_lines(data: bytes, lines: list[tuple[bytes, int, bool]]) -> None:
    assert [(line.text, line.first, line.bad) for line in readllines(data)] == lines
