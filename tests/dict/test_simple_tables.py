from __future__ import annotations

from typing import Any

import pytest

from conftest import MemoryProcess, finish
from mta.dict.errors import TableError
from mta.dict.flags import DICT_FLAG_FOLD_FIX, DICT_FLAG_UTF8_REQUEST, O_RDWR
from mta.dict.process import ALLOW_SURROGATE
from mta.dict.registry import Dict, dict_mapnames, dict_open, dict_type, open_table
from mta.system import Fatal, Wait

FOLD = DICT_FLAG_FOLD_FIX | DICT_FLAG_UTF8_REQUEST


def opened(process: MemoryProcess, spec: str, flags: int = FOLD) -> Dict:
    return dict_open(process, spec, flags=flags)


def ask(table: Dict, key: str) -> Any:
    return finish(table.lookup(key))


@pytest.mark.parametrize(
    ("spec", "key", "value"),
    [
        ("inline:{foo=bar}", "foo", "bar"),
        ("inline:{foo=bar}", "FOO", "bar"),
        ("inline:{ foo=XX, { bAr = lotsa stuff }}", "bar", "lotsa stuff"),
        ("inline:{a=1 b=2}", "c", None),
        ("inline:{a=}", "a", ""),
        ("inline:{ÄÖ=x}", "äö", "x"),
        ("static:yes", "anything", "yes"),
        ("static:{ two words }", "anything", "two words"),
        ("static:DUNNO", "", "DUNNO"),
        ("unix:passwd.byname", "alice", "alice:x:1001:1002:Alice:/home/alice:/bin/sh"),
        ("unix:passwd.byname", "nobody", None),
        ("unix:group.byname", "mail", "mail:x:8:"),
        ("environ:x", "LANG", None),
        ("internal:x", "a", None),
        ("randmap:{only}", "x", "only"),
        ("pipemap:{inline:{a=b},inline:{b=c}}", "A", "c"),
        ("pipemap:{inline:{a=b},inline:{c=d}}", "a", None),
        ("unionmap:{inline:{a=1},static:2,inline:{b=3}}", "a", "1,2"),
        ("unionmap:{inline:{a=1},inline:{b=3}}", "c", None),
    ],
)
def test_tables_without_a_file_answer_from_their_name(
    process: MemoryProcess, spec: str, key: str, value: str | None
) -> None:
    assert ask(opened(process, spec), key) == value
    assert process.lines == []


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("inline:{ }", 'empty table: "inline:{ }"; need "inline:{name=value...}"'),
        ("inline:{}", 'bad syntax: "inline:{}"; need "inline:{name=value...}"'),
        ("inline:a=b", 'bad syntax: "inline:a=b"; need "inline:{name=value...}"'),
        ("inline:{ foo=xx }x", 'bad syntax: "inline:{ foo=xx }x"; need "inline:{name=value...}"'),
        (
            "inline:{ foo = xx }",
            "missing '=' after attribute name: \"inline:{ foo = xx }\"; "
            'need "inline:{name=value...}"',
        ),
        (
            "inline:{ foo=xx {x=y}x}",
            'syntax error after \'}\' in "{x=y}x": "inline:{ foo=xx {x=y}x}"; '
            'need "inline:{name=value...}"',
        ),
        (
            "inline:{\udcff=x}",
            'bad UTF-8 syntax: "inline:{\udcff=x}"; need "inline:{name=value...}"',
        ),
        ("static:{open", "bad static:name syntax: missing '}' in \"{open\""),
        ("nosuch:thing", "unsupported dictionary type: nosuch"),
        ("unix:shadow.byname", "unknown table: unix:shadow.byname"),
        ("randmap:{}", 'bad syntax: "randmap:{}"; need "randmap:{value...}"'),
        ("pipemap:{a}", 'bad syntax: "pipemap:{a}"; need "pipemap:{type:name...}"'),
        ("unionmap:x", 'bad syntax: "unionmap:x"; need "unionmap:{type:name...}"'),
        ("texthash:/nosuch", "open database /nosuch: No such file or directory"),
        ("hash:/nosuch", "open database /nosuch.db: No such file or directory"),
        ("cidr:/nosuch", "open /nosuch: No such file or directory"),
        ("regexp:/nosuch", "open /nosuch: No such file or directory"),
        ("pcre:/nosuch", "open /nosuch: No such file or directory"),
        ("sqlite:/nosuch", "open /nosuch: No such file or directory"),
    ],
)
def test_a_table_that_does_not_open_says_why_at_once_and_fails_at_each_use(
    process: MemoryProcess, spec: str, reason: str
) -> None:
    table = opened(process, spec)
    assert process.lines == [f"error: {reason}"]
    with pytest.raises(TableError) as caught:
        ask(table, "key")
    assert caught.value.args[0] == spec
    assert process.lines[1:] == [f"warning: {spec} is unavailable. {reason}"]
    assert table.is_pattern


def test_a_table_that_does_not_open_is_fatal_in_commands(process: MemoryProcess) -> None:
    process.cache[ALLOW_SURROGATE] = False
    with pytest.raises(Fatal):
        opened(process, "nosuch:thing")
    assert process.lines == ["fatal: unsupported dictionary type: nosuch"]


def test_a_table_that_does_not_open_is_fatal_where_the_configuration_says_so() -> None:
    process = MemoryProcess(daemon_table_open_error_is_fatal=True)
    with pytest.raises(Fatal):
        opened(process, "hash:/nosuch")


@pytest.mark.parametrize("spec", ["hash", "hash:", ":name"])
def test_a_table_needs_type_and_name(process: MemoryProcess, spec: str) -> None:
    with pytest.raises(Fatal):
        opened(process, spec)
    assert process.lines == [
        f'fatal: open dictionary: expecting "type:name" form instead of "{spec}"'
    ]


def test_a_process_opens_a_table_once_for_the_same_flags(process: MemoryProcess) -> None:
    first = opened(process, "static:a")
    assert opened(process, "static:a") is first
    assert opened(process, "static:a", 0) is not first


def test_fail_fails_without_a_word(process: MemoryProcess) -> None:
    table = opened(process, "fail:reason")
    with pytest.raises(TableError):
        ask(table, "x")
    assert process.lines == []


def test_the_failure_of_a_part_is_the_failure_of_the_composite(process: MemoryProcess) -> None:
    table = opened(process, "unionmap:{inline:{a=b},fail:x}")
    with pytest.raises(TableError) as caught:
        ask(table, "a")
    assert caught.value.args[0] == "unionmap:{inline:{a=b},fail:x}"


def test_composites_have_patterns_where_their_first_part_has(process: MemoryProcess) -> None:
    process.text("/c", "192.0.2.1 x\n")
    assert opened(process, "pipemap:{cidr:/c,inline:{x=y}}").is_pattern
    assert not opened(process, "pipemap:{inline:{x=y},cidr:/c}").is_pattern


def test_composites_are_as_trusted_as_their_least_trusted_part(process: MemoryProcess) -> None:
    for name, uid in (("a", 0), ("b", 7), ("c", 8)):
        process.text(f"/{name}", "x y\n", uid)
    owners = {
        spec: opened(process, f"unionmap:{{{spec}}}").owner
        for spec in ("texthash:/a", "texthash:/a,texthash:/b", "texthash:/b,texthash:/c")
    }
    assert [owner.status for owner in owners.values()] == [0, 1, -1]
    assert owners["texthash:/a,texthash:/b"].uid == 7


def test_read_only_types_refuse_to_be_written(process: MemoryProcess) -> None:
    table = dict_open(process, "inline:{a=b}", open_flags=O_RDWR)
    assert process.lines == ["error: inline:{a=b} map requires O_RDONLY access mode"]
    with pytest.raises(TableError):
        finish(table.update("a", "c"))


def test_static_has_no_update(process: MemoryProcess) -> None:
    with pytest.raises(Fatal):
        finish(opened(process, "static:a").update("a", "b"))
    assert process.lines == ["fatal: table static:a: update operation is not supported"]


def test_keys_that_are_not_utf8_do_not_exist(process: MemoryProcess) -> None:
    assert ask(opened(process, "static:a"), "x\udcff") is None
    assert process.lines == [
        'warning: static:a: non-UTF-8 key "x\udcff": malformed UTF-8 or invalid codepoint'
    ]


def test_keys_that_are_not_utf8_are_keys_where_smtputf8_is_off() -> None:
    process = MemoryProcess(smtputf8_enable=False)
    assert ask(opened(process, "inline:{ÄX\udcff=1}"), "Äx\udcff") == "1"


def test_entry_points_and_decorators_add_types(process: MemoryProcess) -> None:
    from mta.dict.simple import StaticDict

    @dict_type("twice-told")
    def open_twice(process: Any, name: str, open_flags: int, flags: int) -> Dict:
        return StaticDict(process, name * 2, flags)

    assert ask(opened(process, "twice-told:ab"), "x") == "abab"
    assert "twice-told" in dict_mapnames()


def test_the_listing_of_a_table_has_the_order_of_postfix(process: MemoryProcess) -> None:
    names = [
        "allascii",
        "alldig",
        "allprint",
        "allspace",
        "argv",
        "argv_split",
        "attr_clnt",
        "attr_print0",
        "zz",
        "b",
    ]
    spec = "inline:{" + " ".join(f"{name}=1" for name in names) + "}"
    keys = [key for key, _ in open_table(process, spec, 0, 0).sequence()]
    # the hash of "b" is 98 = 7 * 13 + 7, that of "zz" 2074 = 159 * 13 + 7: the later comes first
    assert sorted(keys) == sorted(names)
    assert keys.index("b") < keys.index("zz")


def test_updates_of_an_internal_table_are_seen(process: MemoryProcess) -> None:
    table = dict_open(process, "internal:x", open_flags=O_RDWR, flags=FOLD)

    def steps() -> Wait[list[Any]]:
        stored = yield from table.update("Key", "1")
        replaced = yield from table.update("KEY", "2")
        value = yield from table.lookup("key")
        gone = yield from table.delete("kEy")
        missing = yield from table.delete("key")
        return [stored, replaced, value, gone, missing]

    assert finish(steps()) == [True, True, "2", True, False]
