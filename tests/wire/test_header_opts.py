"""Header names and tokens."""

from __future__ import annotations

import pytest

from mta.wire import header_opts as h
from mta.wire.header_opts import header_table, header_token, is_header, is_header_buf


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("Subject: x", 7),
        ("Subject:", 7),
        ("Subject \t : x", 7),
        ("X-a.b/c: y", 7),
        ("", 0),
        (":", 0),
        (" Subject: x", 0),
        ("two words: x", 0),
        ("no colon", 0),
        ("héader: x", 0),
        ("a\x01b: x", 0),
        ("a\x7f: x", 0),
        ("a\nb: x", 0),
    ],
)
def test_a_header_is_a_name_and_a_colon(text: str, size: int) -> None:
    assert is_header(text) == size
    assert is_header_buf(text.encode()) == size


@pytest.mark.parametrize(
    ("header", "name", "kind", "flags"),
    [
        ("TO: x", "To", h.HDR_TO, h.HDR_OPT_RECIP | h.HDR_OPT_EXTRACT),
        ("resent-to : x", "Resent-To", h.HDR_RESENT_TO, h.HDR_OPT_XRECIP | h.HDR_OPT_RR),
        ("bcc: x", "Bcc", h.HDR_BCC, h.HDR_OPT_XRECIP | h.HDR_OPT_DROP),
        ("mime-version: 1.0", "MIME-Version", h.HDR_MIME_VERSION, h.HDR_OPT_MIME),
        ("return-path: <>", "Return-Path", h.HDR_RETURN_PATH, h.HDR_OPT_SENDER | h.HDR_OPT_DROP),
    ],
)
def test_special_headers_are_found_by_name(header: str, name: str, kind: int, flags: int) -> None:
    assert header_table().find(header) == (name, kind, flags)


def test_ordinary_headers_are_not_found() -> None:
    assert header_table().find("Subject: x") is None
    assert header_table().find("İto: x") is None


def test_message_drop_headers_replaces_the_drop_flags() -> None:
    table = header_table("X-Secret, Subject")
    assert table.find("x-secret: 1") == ("x-secret", h.HDR_OTHER, h.HDR_OPT_DROP)
    assert table.find("Subject: x") == ("subject", h.HDR_OTHER, h.HDR_OPT_DROP)
    bcc = table.find("Bcc: x")
    assert bcc is not None and not bcc.flags & h.HDR_OPT_DROP


def pieces(text: str, limit: int, specials: str, terminator: str) -> list[list[str]]:
    found: list[list[str]] = []
    at = 0
    while (step := header_token(text, at, limit, specials, terminator)) is not None:
        tokens, at = step
        found.append([token.value for token in tokens])
    return found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("text/plain; charset=us-ascii", [["text", "/", "plain"], ["charset", "=", "us-ascii"]]),
        (
            ' multipart (a (b) \\) c) /mixed; boundary="a b"',
            [
                ["multipart", "/", "mixed"],
                ["boundary", "=", "a b"],
            ],
        ),
        ("a b c d e; f", [["a", "b", "c"], ["f"]]),
        ("a;;b", [["a"], [], ["b"]]),
        ("a;", [["a"]]),
        ("", []),
        ("(only a comment", []),
        ('x="q\\"u\n oted"; y', [["x", "=", 'q"u oted'], ["y"]]),
        ('x="fold \n ed"', [["x", "=", "fold ed"]]),
        ("a\x01b", [["a", "\x01", "b"]]),
    ],
)
def test_a_value_is_taken_apart_at_terminators(text: str, found: list[list[str]]) -> None:
    assert pieces(text, 3, h.RFC2045_TSPECIALS, ";") == found


def test_types_tell_tokens_strings_and_specials_apart() -> None:
    step = header_token('a "b" ; c', 0, 5)
    assert step is not None
    assert [token.type for token in step[0]] == [
        h.HEADER_TOK_TOKEN,
        h.HEADER_TOK_QSTRING,
        ";",
        h.HEADER_TOK_TOKEN,
    ]


def test_without_a_terminator_the_limit_ends_it() -> None:
    assert header_token("8bit rest", 0, 1) == ([(h.HEADER_TOK_TOKEN, "8bit")], 4)
