"""Folding of long lines."""

from __future__ import annotations

import pytest

from mta.util.line_wrap import line_wrap


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("short ", ["short"]),
        ("aaaa bbbb cccc", ["aaaa bbbb", "  cccc"]),
        ("aaaa bbbb cccc dddd", ["aaaa bbbb", "  cccc", "  dddd"]),
        ("aaaaaaaaaaaaaaa bb", ["aaaaaaaaaaaaaaa", "  bb"]),
        ("aaaa   bbbbbbb cc", ["aaaa", "  bbbbbbb", "  cc"]),
        ("üüüü üüüü", ["üüüü", "  üüüü"]),
    ],
)
def test_lines_are_folded_at_blanks(text: str, lines: list[str]) -> None:
    assert line_wrap(text, 10, 2) == lines
