"""Address lists as token trees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.wire.tok822 import (
    TOK822_ADDR,
    TOK822_ATOM,
    TOK822_QSTRING,
    TOK822_STR_HEAD,
    TOK822_STR_LINE,
    Token,
    tok822_externalize,
    tok822_find_type,
    tok822_grep,
    tok822_internalize,
    tok822_parse,
    tok822_rfind_type,
    tok822_scan,
    tok822_scan_addr,
)

CASES = [
    # text, addresses in internal form, the whole in external form
    ("a@b", ["a@b"], "a@b"),
    ("a@b, c@d", ["a@b", "c@d"], "a@b, c@d"),
    ("a@b c@d", ["a@b", "c@d"], "a@b, c@d"),
    ("John Doe <j@d.e>", ["j@d.e"], "John Doe <j@d.e>"),
    ('"Doe, John" <j@d>', ["j@d"], '"Doe, John" <j@d>'),
    ('"j d"@b', ["j d@b"], '"j d"@b'),
    ("a@b (John Doe)", ["a@b"], "a@b (John Doe)"),
    ("(first) a@b", ["a@b"], "a@b (first)"),
    ("friends: a@b, c@d;", ["a@b", "c@d"], "friends: a@b, c@d;"),
    ("empty:;", [], "empty: ;"),
    ("a@[1.2.3.4]", ["a@[1.2.3.4]"], "a@[1.2.3.4]"),
    ("<>", [], "<>"),
    ("<@route:a@b>", ["@route:a@b"], "<@route:a@b>"),
    ("host!user", ["host!user"], "host!user"),
    ("node::user", ["node::user"], '"node::user"'),
    ("jöe@exämple", ["jöe@exämple"], "jöe@exämple"),
    ("", [], ""),
    ("  ", [], ""),
    ('"unclosed', ["unclosed"], "unclosed"),
    ("(un(closed", [], "(un(closed"),
    ("a\\ b@c", ["a b@c"], '"a b"@c'),
    ("a@b,,c@d", ["a@b", "c@d"], "a@b, , c@d"),
]


@pytest.mark.parametrize(("text", "addresses", "external"), CASES)
def test_a_list_is_parsed_and_put_out_again(text: str, addresses: list[str], external: str) -> None:
    tree = tok822_parse(text)
    found = [tok822_internalize(token.children) for token in tok822_grep(tree)]
    assert found == addresses
    assert tok822_externalize(tree) == external


def test_a_limit_cuts_the_tokens() -> None:
    assert tok822_externalize(tok822_parse("a@b, c@d, e@f", 5)) == "a@b, c"
    assert len(tok822_scan('"a" b (c) d', 3)) == 3


def test_commas_break_lines_in_headers() -> None:
    tree = tok822_parse("a@b, c@d")
    assert tok822_externalize(tree, TOK822_STR_HEAD) == "a@b,\nc@d"
    assert tok822_internalize(tree, TOK822_STR_LINE) == "a@b,\nc@d"


def test_too_much_comment_is_stripped_and_said() -> None:
    warnings: list[str] = []
    text = f"({'x' * 260}) a@b, c@d"
    tree = tok822_parse(text)
    assert tok822_externalize(tree, TOK822_STR_HEAD, warnings.append) == "<a@b>,\nc@d"
    shown = f"a@b ({'x' * 260})"[:100]
    assert warnings == [f"stripping too many comments from address: {shown}..."]
    assert tok822_externalize(tree) == f"a@b ({'x' * 260}), c@d"


def test_comments_are_measured_in_bytes() -> None:
    tree = tok822_parse(f"({'ö' * 130}) a@b")
    assert tok822_externalize(tree, TOK822_STR_HEAD) == "<a@b>"
    tree = tok822_parse(f"({'ö' * 120}) a@b")
    assert tok822_externalize(tree, TOK822_STR_HEAD) == f"a@b ({'ö' * 120})"


def test_an_address_is_scanned_without_looking_for_structure() -> None:
    token = tok822_scan_addr("a b@c, d")
    assert token.type == TOK822_ADDR
    assert tok822_internalize(token.children) == "a b@c, d"
    assert tok822_externalize([token]) == '"a b"@c, d'


def test_tokens_can_be_searched_cut_and_joined() -> None:
    address = tok822_scan_addr("user%host@relay")
    at = tok822_rfind_type(address.children, "@")
    domain = address.keep_before(at)
    assert tok822_internalize(address.children) == "user%host"
    assert tok822_internalize(domain) == "@relay"
    percent = tok822_find_type(address.children, "%")
    address.children[percent].type = "@"
    address.append([Token("."), *tok822_scan("example.com")])
    assert tok822_internalize(address.children) == "user@host.example.com"
    head = address.keep_after(1)
    assert tok822_internalize(head) == "user@"
    address.prepend([Token(TOK822_ATOM, "x"), Token("@")])
    assert tok822_internalize(address.children) == "x@host.example.com"
    assert tok822_find_type(address.children, "!") == -1
    assert tok822_rfind_type(address.children, "!") == -1


def test_an_atom_that_needs_quotes_is_a_quoted_string() -> None:
    assert [token.type for token in tok822_scan("a\\@b c")] == [TOK822_QSTRING, TOK822_ATOM]


@given(st.text(st.sampled_from("ab@.,<>:;%! \t\né"), max_size=40))
def test_scanning_loses_nothing_but_white_space(text: str) -> None:
    solid = "".join(text.split())
    assert tok822_internalize(tok822_scan(text)).replace(" ", "") == solid
    assert "".join(tok822_internalize([token]) for token in tok822_scan(text)) == solid


@given(st.lists(st.sampled_from(["a@b", "c.d@e.f", "Some One <x@y.z>", "u@v (w)"]), max_size=6))
def test_every_address_of_a_list_is_found(parts: list[str]) -> None:
    tree = tok822_parse(", ".join(parts))
    assert len(tok822_grep(tree)) == len(parts)
