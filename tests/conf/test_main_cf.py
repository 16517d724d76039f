"""The text of main.cf."""

from __future__ import annotations

import pytest

from mta.conf.files import logical_lines, parse_main_cf

TEXT = """\
# comment
 # indented comment

name = value
  continued
# comment within
\tagain

  at the end
other=1
last = x"""


def test_blank_lines_and_comments_stand_anywhere_and_white_space_continues() -> None:
    main = parse_main_cf(TEXT)
    assert main.values == {
        "name": "value  continued\tagain  at the end",
        "other": "1",
        "last": "x",
    }
    assert [entry.line for entry in main.entries] == [4, 10, 11]
    assert main.line_of("last") == 11
    assert main.error is None
    assert main.warnings == []


def test_a_logical_line_knows_its_first_and_last_line() -> None:
    lines = list(logical_lines("a\n b\n\nc\n", "f", []))
    assert [(line.text, line.line, line.last) for line in lines] == [("a b", 1, 2), ("c", 4, 4)]


def test_a_later_setting_wins_and_is_warned_of_when_it_differs() -> None:
    main = parse_main_cf("a = 1\nb = 2\na = 1\nb = 3\n", "/etc/postfix/main.cf")
    assert main.values == {"a": "1", "b": "3"}
    assert main.warnings == ["/etc/postfix/main.cf, line 4: overriding earlier entry: b=2"]


def test_a_continuation_of_nothing_is_skipped_with_a_warning() -> None:
    text = "  " + "x" * 40 + "\n y\na = 1\n"
    main = parse_main_cf(text, "main.cf")
    assert main.values == {"a": "1"}
    head = "  " + "x" * 28
    assert main.warnings == [f'main.cf: logical line must not start with whitespace: "{head}..."']


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a = 1\nfoo\n", "main.cf, line 2: missing '=' after attribute name: \"foo\""),
        (
            "\nfoo bar\n baz = 1\n",
            "main.cf, line 2: missing '=' after attribute name: \"foo bar baz = 1\"",
        ),
    ],
)
def test_a_line_without_equals_sign_is_fatal(text: str, error: str) -> None:
    assert parse_main_cf(text, "main.cf").error == error
