from __future__ import annotations

from typing import Any

import pytest

from conftest import MemoryProcess, finish
from mta.dict.errors import TableError
from mta.dict.flags import ADDRESS_FLAGS, DICT_FLAG_NO_REGSUB
from mta.dict.registry import dict_open
from mta.system import Fatal

RULES = """if /true/	fodder
/1/	1
if /false/
/2/	2
endif		fodder
/3/	3
endif
/a/!/b/	a!b
/c/
/(1)(2)(3)(5)/	($1)($2)($3)($4)($5)
/(1)(2)(3)(4)/	($1)($2)($3)($4)
/(1)(2)(3)/	($1)($2)($3)
# trailing whitespace below
if /bar/ \t
if !/xyzzy/
/(elbereth)/	($1)
!/(bogus)/	($1)
!/find/		Don't have a liquor license
endif
endif\t\x20
# trailing whitespace above
!
"""

COMMON = {
    "true": None, "true1": "1", "true2": None, "truefalse2": "2", "3": None, "true3": "3",
    "c": "", "d": None, "1234": "(1)(2)(3)(4)", "123": "(1)(2)(3)", "bar/find": None,
    "bar/whynot": "Don't have a liquor license", "bar/elbereth": "(elbereth)",
    "say/elbereth": None,
}  # fmt: skip


def ask(process: MemoryProcess, spec: str, key: str, flags: int = ADDRESS_FLAGS) -> Any:
    return finish(dict_open(process, spec, flags=flags).lookup(key))


@pytest.mark.parametrize(
    ("kind", "warnings", "more"),
    [
        (
            "regexp",
            [
                'line 1: ignoring extra text after IF statement: "fodder"',
                "line 1: do not prepend whitespace to statements between IF and ENDIF",
                "line 5: ignoring extra text after ENDIF",
                "line 9: using empty replacement string",
                'line 10: out of range replacement index "5": skipping this rule',
                "line 17: $number found in negative match replacement text: skipping this rule",
                "line 22: no regexp: skipping this rule",
            ],
            {"ab": None, "aa": "a!b"},
        ),
        (
            "pcre",
            [
                'line 1: ignoring extra text after IF statement: "fodder"',
                "line 1: do not prepend whitespace to statements between IF and ENDIF",
                "line 5: ignoring extra text after ENDIF",
                'line 8: unknown regexp option "!": skipping this rule',
                "/t, line 9: no replacement text: using empty string",
                'line 10: out of range replacement index "5": skipping this rule',
                "line 17: $number found in negative match replacement text: skipping this rule",
                "line 22: no regexp: skipping this rule",
            ],
            {"ab": None, "aa": None},
        ),
    ],
)
def test_a_table_of_all_kinds_of_rules(
    process: MemoryProcess, kind: str, warnings: list[str], more: dict[str, str | None]
) -> None:
    process.text("/t", RULES)
    table = dict_open(process, f"{kind}:/t", flags=ADDRESS_FLAGS)
    assert process.lines == [
        f"warning: {text}" if text.startswith("/") else f"warning: {kind} map /t, {text}"
        for text in warnings
    ]
    found = {key: finish(table.lookup(key)) for key in {**COMMON, **more}}
    assert found == {**COMMON, **more}
    assert table.is_pattern


@pytest.mark.parametrize(
    ("kind", "rule", "warnings"),
    [
        ("regexp", "/a/z x", ['unknown regexp option "z": skipping this rule']),
        ("regexp", "/a x", ['no closing regexp delimiter "/": skipping this rule']),
        ("pcre", "/a x", ['no closing regexp delimiter "/": ignoring this rule']),
        ("regexp", "word x", ["ignoring unrecognized request"]),
        ("regexp", "endif", ["ignoring ENDIF without matching IF"]),
        ("pcre", "if /x/", ["more IFs than ENDIFs"]),
        ("regexp", "/(/ x", ["Unmatched ( or \\("]),
        ("regexp", "/[[:foo:]]/ x", ["Invalid character class name"]),
        ("regexp", "/((((a{1,255}){1,255}){1,255}){1,255})/ x", ["Memory exhausted"]),
        ("pcre", "/(/ x", ["error in regex at offset 1: missing )"]),
        ("pcre", "/a)/ x", ["error in regex at offset 1: unmatched parentheses"]),
        ("pcre", "/*/ x", ["error in regex at offset 0: nothing to repeat"]),
        ("pcre", "/[b-a]/ x", ["error in regex at offset 3: range out of order in character class"]),
        ("pcre", "/[[:foo:]]/ x", ["error in regex at offset 3: unknown POSIX class name"]),
        ("pcre", "/\\1/ x", ["error in regex at offset 2: reference to non-existent subpattern"]),
        ("pcre", "/(?<=a*)b/ x",
         ["error in regex at offset 6: lookbehind assertion is not fixed length"]),
        ("pcre", "/\\y/X x", ["error in regex at offset 1: unrecognized character follows \\"]),
        ("pcre", "/^g\\y/X x", ["error in regex at offset 3: unrecognized character follows \\"]),
        ("regexp", "/(a)/ $x",
         ['non-numeric replacement index "x"', "bad replacement syntax: skipping this rule"]),
        ("regexp", "/(a)/ $0",
         ['out-of-range replacement index "0"', "bad replacement syntax: skipping this rule"]),
        ("pcre", "/(a)/ $0",
         ['out of range replacement index "0"', "bad replacement syntax: skipping this rule"]),
        ("regexp", "/(a)/ $x ${1} $", ['non-numeric replacement index "x"',
         "bad replacement syntax: skipping this rule"]),
        ("regexp", "/(a)/ $x $0 y", ['non-numeric replacement index "x"',
         'out-of-range replacement index "0"', "bad replacement syntax: skipping this rule"]),
        ("pcre", "/(a)/ ${1?x}",
         ['non-numeric replacement index "1?x"', "bad replacement syntax: skipping this rule"]),
    ],
)  # fmt: skip
def test_a_bad_rule_is_warned_of_and_skipped(
    process: MemoryProcess, kind: str, rule: str, warnings: list[str]
) -> None:
    process.text("/t", f"{rule}\n")
    dict_open(process, f"{kind}:/t")
    assert process.lines == [f"warning: {kind} map /t, line 1: {text}" for text in warnings]


@pytest.mark.parametrize(
    ("result", "warning"),
    [
        ("a ${1", 'truncated macro reference: "a ${1"'),
        ("a $", 'empty macro name: "a $"'),
        ("a ${}", 'empty macro name: "a ${}"'),
    ],
)
def test_the_syntax_of_results_is_that_of_macros(
    process: MemoryProcess, result: str, warning: str
) -> None:
    process.text("/t", f"/(a)/ {result}\n")
    dict_open(process, "regexp:/t")
    assert process.lines == [
        f"warning: {warning}",
        "warning: regexp map /t, line 1: bad replacement syntax: skipping this rule",
    ]


@pytest.mark.parametrize(
    ("kind", "rule", "key", "value"),
    [
        ("regexp", "/^(a+)(b)?$/ <${1}-$(2)>$$x", "AA", "<AA->$x"),
        ("regexp", "/A/i x", "a", None),
        ("regexp", "/^b/m x", "a\nb", "x"),
        ("regexp", "/a.b/ x", "a\nb", "x"),
        ("regexp", "/\\(a\\)/x $1", "a", "a"),
        ("regexp", "/[[:space:]]+x/ y", "a  x", "y"),
        ("regexp", "|a/b| x", "a/b", "x"),
        ("regexp", "/a\\/b/ x", "a/b", "x"),
        ("regexp", "!/a/ x", "b", "x"),
        ("regexp", "!!/a/ x", "a", "x"),
        ("regexp", "!!/a/ x", "b", None),
        ("regexp", "/^.$/ x", "ä", None),
        ("regexp", "/^..$/ x", "ä", "x"),
        ("regexp", "/(ä)/ <$1>", "Xä", "<ä>"),
        ("pcre", "/^(a+)(b)?$/ <${1}-$(2)>$$x", "AA", "<AA->$x"),
        ("pcre", "/A/i x", "a", None),
        ("pcre", "/^b/m x", "a\nb", "x"),
        ("pcre", "/a.b/s x", "a\nb", None),
        ("pcre", "/a b # c/x x", "ab", "x"),
        ("pcre", "/b/A x", "ab", None),
        ("pcre", "/a$/E x", "a\n", None),
        ("pcre", "/a$/ x", "a\n", "x"),
        ("pcre", "/(a+)/U <$1>", "aaa", "<a>"),
        ("pcre", "/\\y/ x", "y", "x"),
        ("pcre", "/^[\\w-.]+$/ x", "a-b.c", "x"),
        ("pcre", "/^[[:alpha:]-0]+$/ x", "a-0", "x"),
        ("pcre", "/^[\\d-\\w]$/ x", "-", "x"),
        ("pcre", "/^[]\\y\\B]+$/i x", "]yB", "x"),
        ("pcre", "/^\\Q[\\y\\E$/ x", "[\\y", "x"),
        ("pcre", "/^(?#[)\\y$/ x", "y", "x"),
        ("pcre", "/^\\y # [\\y$/x x", "y", "x"),
        ("pcre", "/\\x{41}b/i x", "Ab", "x"),
        ("pcre", "/^..$/ x", "ä", "x"),
        ("pcre", "/(ä)/ <$1>", "Xä", "<ä>"),
        ("pcre", "/^(?!ab)/ x", "abc", None),
        ("pcre", "/(?i)A/ x", "a", "x"),
    ],
)
def test_patterns_options_and_results(
    process: MemoryProcess, kind: str, rule: str, key: str, value: str | None
) -> None:
    process.text("/t", f"{rule}\n")
    assert ask(process, f"{kind}:/t", key, 0) == value
    assert process.lines == []


def test_substitution_can_be_forbidden(process: MemoryProcess) -> None:
    process.text("/t", "/(a)/ $1\n/b/ x\n")
    assert ask(process, "regexp:/t", "a", DICT_FLAG_NO_REGSUB) is None
    assert ask(process, "regexp:/t", "b", DICT_FLAG_NO_REGSUB) == "x"
    assert process.lines == [
        "warning: regexp map /t, line 1: regular expression substitution is not allowed: "
        "skipping this rule"
    ]


def test_a_search_that_never_ends_kills_the_process(process: MemoryProcess) -> None:
    process.text("/t", "/^(a|a|aa)+$/ x\n")
    table = dict_open(process, "pcre:/t")
    with pytest.raises(Fatal):
        finish(table.lookup("a" * 60 + "b"))
    assert process.lines[0].startswith("fatal: pcre map /t, line 1: ")


def test_another_process_gets_the_same_warnings(process: MemoryProcess) -> None:
    process.text("/t", "/(/ x\n")
    other = MemoryProcess()
    other.files.files = process.files.files
    for each in (process, other):
        dict_open(each, "regexp:/t")
    assert process.lines == other.lines != []


def test_the_rule_that_decides_is_known(process: MemoryProcess) -> None:
    process.text("/t", "# x\n/a/ 1\n/b/\n  2\n/c/ 3\n")
    table = dict_open(process, "pcre:/t")
    assert [table.explain(key) for key in "abcd"] == [2, 3, 5, None]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("192.0.2.1", "one"),
        ("192.0.2.9", "net"),
        ("192.0.3.1", "bigger"),
        ("10.1.2.3", "first"),
        ("2001:db8::1", "six"),
        ("2001:DB8:0:0::1", "six"),
        ("2001:db9::1", None),
        ("::ffff:192.0.2.1", None),
        ("192.0.2", None),
        ("host.test", None),
        ("192.0.02.1", None),
    ],
)
def test_the_first_network_that_matches_decides(
    process: MemoryProcess, key: str, value: str | None
) -> None:
    process.text(
        "/t",
        "192.0.2.1 one\n192.0.2.0/24   net  \n192.0.0.0/16 bigger\n10.0.0.0/8 first\n"
        "10.1.0.0/16 never\n[2001:db8::]/32 six\n",
    )
    assert ask(process, "cidr:/t", key) == value
    assert process.lines == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("192.0.2.1", "no lookup result"),
        ("192.0.2.1/24 x", 'non-null host address bits in "192.0.2.1/24", '
         'perhaps you should use "192.0.2.0/24" instead'),
        ("192.0.2.0/33 x", 'bad net/mask pattern: "192.0.2.0/33"'),
        ("!192.0.2.0 x", 'bad address pattern: "!192.0.2.0"'),
        ("if x", 'bad address pattern: "if"'),
        ("[192.0.2.0 x", "missing ']' character after \"[192.0.2.0\""),
        ("[192.0.2.0]x x", 'garbage after "[192.0.2.0]"'),
        ("::1:0/64 x", 'non-null host address bits in "::1:0/64", '
         'perhaps you should use "::/64" instead'),
    ],
)  # fmt: skip
def test_a_bad_network_is_warned_of_and_skipped(
    process: MemoryProcess, line: str, why: str
) -> None:
    process.text("/t", f"{line}\n192.0.2.7 ok\n")
    assert ask(process, "cidr:/t", "192.0.2.7") == "ok"
    assert process.lines == [f"warning: cidr map /t, line 1: {why}: skipping this rule"]


def test_a_result_that_is_not_utf8_is_a_configuration_error(process: MemoryProcess) -> None:
    process.text("/t", "/a/ x\udcff\n")
    with pytest.raises(TableError):
        ask(process, "regexp:/t", "a")
    assert process.lines == [
        'warning: regexp:/t: key "a": non-UTF-8 value "x\udcff": '
        "malformed UTF-8 or invalid codepoint"
    ]
