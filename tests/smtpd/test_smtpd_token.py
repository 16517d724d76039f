"""The words of a command line."""

from __future__ import annotations

import pytest

from mta.smtpd.token import _scan, smtpd_token

PLAIN = [
    ("", []),
    ("  \t ", []),
    ("NOOP", ["NOOP"]),
    ("  MAIL   FROM:<a@b>  SIZE=1 ", ["MAIL", "FROM:", "<a@b>", "SIZE=1"]),
    ("rcpt to: <a b@c>", ["rcpt", "to:", "<a b@c>"]),
    ("rcpt to:a@b", ["rcpt", "to:", "a@b"]),
    ("MAIL xfrom:<a>", ["MAIL", "xfrom:<a>"]),
    ("MAIL FROM:x<a>y z", ["MAIL", "FROM:", "x<a>y", "z"]),
    ("a:b:c", ["a:b:c"]),
    ("x > y", ["x", ">", "y"]),
]
ODD = [
    ('MAIL FROM:<"a b"@c>', ["MAIL", "FROM:", '<"a b"@c>'], []),
    (r"RCPT TO:<a\>b@c>", ["RCPT", "TO:", r"<a\>b@c>"], []),
    ("RCPT TO:<a@b", ["RCPT", "TO:", "<a@b"], [2]),
    ('RCPT TO:"a b', ["RCPT", "TO:", '"a b'], [2]),
    ("RCPT TO:<<a@b>>", ["RCPT", "TO:", "<<a@b>>"], []),
    ("RCPT TO:<a<b@c>", ["RCPT", "TO:", "<a<b@c>"], [2]),
    ("a\\ b c", ["a\\ b", "c"], []),
]


@pytest.mark.parametrize(("line", "words"), PLAIN)
def test_words_are_separated_by_blanks_and_by_from_and_to(line: str, words: list[str]) -> None:
    assert [token.text for token in smtpd_token(line)] == words


@pytest.mark.parametrize("line", [line for line, _ in PLAIN] + [line for line, _, _ in ODD])
def test_the_short_way_gives_the_same_words(line: str) -> None:
    assert smtpd_token(line) == _scan(line)


@pytest.mark.parametrize(("line", "words", "bad"), ODD)
def test_quotes_and_brackets_hold_together(line: str, words: list[str], bad: list[int]) -> None:
    tokens = smtpd_token(line)
    assert [token.text for token in tokens] == words
    assert [place for place, token in enumerate(tokens) if token.bad] == bad
