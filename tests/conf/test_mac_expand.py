"""Expansion of ``$name`` and expressions."""

from __future__ import annotations

import pytest

from mta.util.mac_expand import MacError, compile_macro, mac_expand, parse_macro, scan_names

VALUES = {"one": "1", "ten": "10", "word": "abc", "empty": "", "both": "$one$word", "loop": "$loop"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", ""),
        ("plain", "plain"),
        ("$one", "1"),
        ("a${word}b$(word)c", "aabcbabcc"),
        ("$one$$word", "1$word"),
        ("$one-$ten", "1-10"),
        ("${word?yes}", "yes"),
        ("${empty?yes}", ""),
        ("${undefined?yes}", ""),
        ("${word:no}", ""),
        ("${empty:no}", "no"),
        ("${undefined:no}", "no"),
        ("${word? {yes} : {no} }", "yes"),
        ("${empty?{yes}:{no}}", "no"),
        ("${empty?{yes}:no}", "no"),
        ("${word??foo:{b}ar}", "?foo:{b}ar"),
        ("${word?$one${ten}}", "110"),
        ("${{$one} == {1} ? {eq} : {ne}}", "eq"),
        ("${{$one} != {1} ? {ne} : {eq}}", "eq"),
        ("${ {9} < {$ten} ?{numbers}:{text}}", "numbers"),
        ("${{9} < {10x}?{bytes}:{longer}}", "longer"),
        ("${{b} >= {a}}", "true"),
        ("${{a} > {b}}", ""),
        ("${{a} <= {a}:never}", ""),
        ("${{\u00e9} > {z}?{bytes}}", "bytes"),
    ],
)
def test_an_expression_has_its_value(text: str, result: str) -> None:
    assert mac_expand(text, VALUES.get) == (result, False)


def test_an_undefined_name_is_empty_and_reported() -> None:
    assert mac_expand("<$nothing>", VALUES.get) == ("<>", True)
    assert mac_expand("<$empty>", VALUES.get) == ("<>", False)


def test_values_are_expanded_only_on_request() -> None:
    assert mac_expand("$both", VALUES.get).text == "$one$word"
    assert mac_expand("$both", VALUES.get, recursive=True).text == "1abc"


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("$(one", 'truncated macro reference: "$(one"'),
        ("a ${one", 'truncated macro reference: "a ${one"'),
        ("a$", 'empty macro name: "a$"'),
        ("${}", 'empty macro name: "${}"'),
        ("${on e}", 'attribute name syntax error at: "...on>>> e"'),
        ("${one?{a}x}", '":" expected at: "...a}>>>x"'),
        ("${one?{a}:{b}x}", 'unexpected input at: "...b}>>>x"'),
        (
            "${{a} =! {b}}",
            '"==" or "!="" or "<"" or "<="" or ">="" or ">" expected at: "...a}>>>=! {b}"',
        ),
        ("${{a} == b}", '"{expression}" expected at: "...{a} ==>>> b"'),
        ("${{a} == {b} c}", '"?" or ":" expected at: "...}>>>c"'),
        ("$loop", 'unreasonable macro call nesting: "loop"'),
    ],
)
def test_a_mistake_is_told_in_the_words_of_postfix(text: str, warning: str) -> None:
    with pytest.raises(MacError) as caught:
        mac_expand(text, VALUES.get, recursive=True)
    assert caught.value.text == warning
    assert caught.value.warnings == (warning,)


def test_a_mistake_in_the_branch_that_is_not_taken_goes_unnoticed() -> None:
    assert mac_expand("${empty?{${on e}}:{fine}}", VALUES.get).text == "fine"
    with pytest.raises(MacError):
        mac_expand("${word?{${on e}}:{fine}}", VALUES.get)


def test_comparisons_without_end_are_given_up() -> None:
    values = {"a": "${{$a} == {$a}}"}
    with pytest.raises(MacError, match="unreasonable macro call nesting"):
        mac_expand("$a", values.get, recursive=True)


def test_a_filter_replaces_bytes_of_values_but_not_of_the_text() -> None:
    values = {"x": "a;b\u00e9"}
    assert mac_expand("; $x", values.get, filter="ab").text == "; a_b__"
    assert mac_expand("; $x", values.get, printable=True).text == "; a;b\u00e9"
    assert mac_expand("\u00e9 $x", values.get, printable=True, utf8=False).text == "\u00e9 a;b__"


def test_a_condition_asks_the_test_look_up() -> None:
    asked: list[str] = []

    def test(name: str) -> str:
        asked.append(name)
        return "x"

    assert mac_expand("${a?$one}$word", VALUES.get, test=test).text == "1abc"
    assert asked == ["a"]


def test_parsing_keeps_text_and_expressions_apart() -> None:
    assert list(parse_macro("a$b${c}$$d")) == ["a", ("b", True), ("c", False), "$d"]


def test_a_text_is_compiled_once_and_a_constant_is_known_as_such() -> None:
    assert compile_macro("x$$y").constant == "x$y"
    assert compile_macro("$x").constant is None
    assert compile_macro("$x") is compile_macro("$x")


def test_scanning_finds_the_names_on_both_sides_of_a_condition() -> None:
    assert scan_names("$a ${b?{$c}:{$d}} ${{$e} == {$f} ? {$g}}") == (
        ["a", "b", "c", "d", "e", "f", "g"],
        (),
    )
    assert scan_names("$a ${") == (["a"], ('truncated macro reference: "$a ${"',))
