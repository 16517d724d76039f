"""Patterns of the answers of lists in the DNS."""

from __future__ import annotations

import pytest

from mta.util.ip_match import IpMatchError, ip_match_parse


@pytest.mark.parametrize(
    ("pattern", "shown", "yes", "no"),
    [
        ("127.0.0.2", "127.0.0.2", ["127.0.0.2"], ["127.0.0.3", "0.0.0.2"]),
        ("127.0.0.[2]", "127.0.0.[2]", ["127.0.0.2"], ["127.0.0.3"]),
        ("127.0.0.[2;4..6]", "127.0.0.[2;4..6]", ["127.0.0.5"], ["127.0.0.3", "127.0.0.7"]),
        ("127.[0..255].[1].3", "127.[0..255].[1].3", ["127.9.1.3"], ["127.9.2.3"]),
        ("[127.0.0.2]", "127.0.0.2", ["127.0.0.2"], ["127.0.0.22"]),
    ],
)
def test_patterns_match(pattern: str, shown: str, yes: list[str], no: list[str]) -> None:
    compiled = ip_match_parse(pattern)
    assert str(compiled) == shown
    assert all(compiled.matches(address) for address in yes)
    assert not any(compiled.matches(address) for address in no)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("", "empty address pattern"),
        ("[]", "empty address pattern"),
        ("[1.2.3.4", 'missing "]" character'),
        ("1.2.3", 'need "." at "1.2.3><"'),
        ("1.2.3.", 'need decimal number 0..255 or "[" at "1.2.3.><"'),
        ("1.2.3.4.5", 'garbage after pattern at "1.2.3.4>.<5"'),
        ("1.2.3.256", 'need decimal number 0..255 or "[" at "1.2.3.>256<"'),
        ("1.2.3.[5..3]", 'numeric range error at "1.2.3.[5..>3<]"'),
        ("1.2.3.[5.6]", 'numeric range error at "1.2.3.[5.>6<]"'),
        ("1.2.3.[5,6]", 'need ";" or "]" at "1.2.3.[5>,<6]"'),
        ("1.2.3.[;]", 'need decimal number 0..255 at "1.2.3.[>;<]"'),
        ("1.2.3.[4", 'missing "]"'),
        ("a.b.c.d", 'need decimal number 0..255 or "[" at ">a<.b.c.d"'),
    ],
)
def test_mistakes_are_shown_where_they_are(pattern: str, text: str) -> None:
    with pytest.raises(IpMatchError) as caught:
        ip_match_parse(pattern)
    if text != 'missing "]"':
        assert caught.value.args[0] == text
    else:
        assert caught.value.args[0] == 'need ";" or "]" at "1.2.3.[4><"'
