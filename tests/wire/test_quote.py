"""Quoted addresses and xtext."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.wire.quote import (
    QUOTE_FLAG_8BITCLEAN,
    QUOTE_FLAG_EXPOSE_AT,
    quote_821_local,
    quote_822_local,
    unquote_822_local,
    uxtext_quote,
    uxtext_unquote,
    xtext_quote,
    xtext_unquote,
)
from mta.wire.text import to_bytes, to_text


@pytest.mark.parametrize(
    ("internal", "external"),
    [
        ("wietse@example.com", "wietse@example.com"),
        ("john doe@example.com", '"john doe"@example.com'),
        ("", '""'),
        ("@example.com", '""@example.com'),
        (".a@b", '".a"@b'),
        ("a.@b", '"a."@b'),
        ("a..b@c", '"a..b"@c'),
        ("a@b@c", '"a@b"@c'),
        ('a"b\\c@d', '"a\\"b\\\\c"@d'),
        ("héllo@b", "héllo@b"),
        ("a\x01@b", '"a\x01"@b'),
        ("a%b!c=d@e", "a%b!c=d@e"),
        ("no-domain here", '"no-domain here"'),
    ],
)
def test_local_parts_are_quoted_where_they_must(internal: str, external: str) -> None:
    assert quote_822_local(internal) == external
    assert quote_821_local(internal) == external
    assert unquote_822_local(external) == internal


@pytest.mark.parametrize(
    ("internal", "in_header", "in_command"),
    [
        ("@route:joe@b", "@route:joe@b", '"@route:joe"@b'),
        ("@route:j d@b", '@route:"j d"@b', '"@route:j d"@b'),
        ("a\nb@c", '"a\nb"@c', '"a\\\nb"@c'),
        ("a\rb@c", '"a\\\rb"@c', '"a\\\rb"@c'),
    ],
)
def test_rfc_821_and_rfc_822_differ_in_routes_and_newlines(
    internal: str, in_header: str, in_command: str
) -> None:
    assert quote_822_local(internal) == in_header
    assert quote_821_local(internal) == in_command


def test_flags_make_at_ordinary_or_8bit_text_special() -> None:
    assert quote_822_local("a@b@c", QUOTE_FLAG_8BITCLEAN | QUOTE_FLAG_EXPOSE_AT) == "a@b@c"
    assert quote_821_local("a@b@c", QUOTE_FLAG_EXPOSE_AT) == "a@b@c"
    quoted = quote_822_local("é@b", 0)
    assert to_bytes(quoted) == b'"\\\xc3\\\xa9"@b'


@pytest.mark.parametrize(
    ("external", "internal"),
    [
        ('"a\\"b"@c', 'a"b@c'),
        ('a"b c"d@e', "ab cd@e"),
        ('"unclosed@b', "unclosed@b"),
        ("dangling\\", "dangling"),
        ('@route:"j d"@b', "@route:j d@b"),
    ],
)
def test_unquoting_takes_what_it_gets(external: str, internal: str) -> None:
    assert unquote_822_local(external) == internal


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=30))
def test_what_was_quoted_is_unquoted_again(local: str) -> None:
    address = local + "@example.com"
    if not address.startswith("@") or ":" not in address:
        assert unquote_822_local(quote_822_local(address)) == address


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("a@b", "a@b"),
        ("a+b c=d", "a+2Bb+20c+3Dd"),
        ("é", "+C3+A9"),
    ],
)
def test_xtext_has_the_bytes_in_hexadecimal(text: str, encoded: str) -> None:
    assert xtext_quote(text, "+=") == encoded
    assert xtext_unquote(encoded) == text


@pytest.mark.parametrize(
    ("encoded", "text"),
    [("a+2bb", "a+b"), ("+", None), ("a+2", None), ("a+zz", None), ("a=b", "a=b"), ("a+00b", "a")],
)
def test_xtext_is_decoded_or_refused(encoded: str, text: str | None) -> None:
    assert xtext_unquote(encoded) == text


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("a@b", "a@b"),
        ("a\\b c", "a\\x{5C}b\\x{20}c"),
        ("é€😀", "\\x{E9}\\x{20AC}\\x{1F600}"),
        ("a=b", "a\\x{3D}b"),
    ],
)
def test_uxtext_has_the_numbers_of_characters(text: str, encoded: str) -> None:
    assert uxtext_quote(text, "+=") == encoded
    assert uxtext_unquote(encoded) == text


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        ("\\x{e9}", "é"),
        ("\\x{110000}", None),
        ("\\x{12", None),
        ("\\x{1 2}", None),
        ("\\y{12}", "\\y{12}"),
    ],
)
def test_uxtext_is_decoded_or_refused(encoded: str, text: str | None) -> None:
    assert uxtext_unquote(encoded) == text


def test_uxtext_ends_at_what_is_not_utf8() -> None:
    assert uxtext_quote(to_text(b"ab\xffcd")) == "ab"
