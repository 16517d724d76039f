from __future__ import annotations

from typing import Any

import pytest

from conftest import MemoryProcess, finish
from mta.dict import store
from mta.dict.errors import TableError
from mta.dict.flags import (
    ADDRESS_FLAGS,
    DICT_FLAG_DUP_IGNORE,
    DICT_FLAG_DUP_REPLACE,
    DICT_FLAG_LOCK,
    O_CREAT,
    O_RDWR,
    O_TRUNC,
)
from mta.dict.indexed import build_table
from mta.dict.registry import dict_changed_name, dict_open, handles
from mta.system import Fatal

SOURCE = """# people
Old@Example.org   New Address <new@example.net>
@gone.test        some
   where else

# between
twice  1
twice  2
alone
alias: x
"""


def ask(process: MemoryProcess, spec: str, key: str) -> Any:
    return finish(dict_open(process, spec, flags=ADDRESS_FLAGS).lookup(key))


def test_postmap_warns_of_lines_it_does_not_take(process: MemoryProcess) -> None:
    process.text("/t", SOURCE)
    finish(build_table(process, "hash:/t"))
    assert process.lines == [
        'warning: /t.db: duplicate entry: "twice"',
        "warning: /t, line 9: expected format: key whitespace value",
        'warning: /t, line 10: record is in "key: value" format; is this an alias file?',
    ]


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("kind", ["hash", "btree", "cdb", "lmdb", "dbm", "sdbm"])
def test_a_table_says_what_its_text_says_built_or_not(
    process: MemoryProcess, kind: str, built: bool
) -> None:
    # A bulk update of lmdb ends with the first duplicate.
    process.text("/t", SOURCE.replace("twice  2\n", "") if kind == "lmdb" else SOURCE)
    if built:
        finish(build_table(process, f"{kind}:/t"))
    process.log.lines.clear()
    for key, value in {
        "OLD@example.ORG": "New Address <new@example.net>",
        "@gone.test": "some   where else",
        "twice": "1",
        "alone": None,
        "old": None,
    }.items():
        assert ask(process, f"{kind}:/t", key) == value
    assert process.lines == []


def test_a_duplicate_ends_the_bulk_update_of_lmdb(process: MemoryProcess) -> None:
    process.text("/t", "old 1\n")
    finish(build_table(process, "lmdb:/t"))
    process.text("/t", "a 1\na 2\nb 3\n")
    with pytest.raises(Fatal):
        finish(build_table(process, "lmdb:/t"))
    assert process.lines == [
        'warning: lmdb:/t: duplicate entry: "a"',
        "fatal: error updating lmdb:/t: Invalid argument",
    ]
    assert [ask(process, "lmdb:/t", key) for key in ("old", "a")] == ["1", None]


def test_a_built_table_does_not_see_later_changes_of_its_text(process: MemoryProcess) -> None:
    process.text("/t", "a 1\n")
    finish(build_table(process, "hash:/t"))
    process.text("/t", "a 2\n")
    assert ask(process, "hash:/t", "a") == "1"


def test_a_table_older_than_its_text_is_warned_of(process: MemoryProcess) -> None:
    process.text("/t", "a 1\n")
    finish(build_table(process, "hash:/t"))
    process.files.now += 10_000_000
    process.text("/t", "a 2\n")
    process.files.now += 200_000_000
    ask(process, "hash:/t", "a")
    assert process.lines == ["warning: database /t.db is older than source file /t"]


def test_a_table_that_was_rebuilt_has_changed(process: MemoryProcess) -> None:
    process.text("/t", "a 1\n")
    finish(build_table(process, "hash:/t"))
    ask(process, "hash:/t", "a")
    assert dict_changed_name(process) is None
    process.files.now += 2_000_000
    finish(build_table(process, "hash:/t"))
    assert dict_changed_name(process) == "hash:/t(0,lock|fold_fix|utf8_request)"


def test_a_text_that_was_changed_counts_as_rebuilt(process: MemoryProcess) -> None:
    process.text("/t", "a 1\n")
    assert ask(process, "hash:/t", "a") == "1"
    process.files.now += 2_000_000
    process.text("/t", "a 2\n")
    assert dict_changed_name(process) is not None
    handles(process).clear()
    assert ask(process, "hash:/t", "a") == "2"


ALIASES = """postmaster: root
"odd name": |"/bin/x y", bob@example.org
two, names: x
me@here: x
nothing:
root: alice,
  bob
"""


def test_alias_tables_are_built_by_postalias() -> None:
    process = MemoryProcess(alias_maps="hash:/aliases")
    process.text("/aliases", ALIASES)
    table = finish(build_table(process, "hash:/aliases"))
    assert process.lines == [
        "warning: /aliases, line 3: need name:value pair",
        "warning: /aliases, line 4: name must be local",
        "warning: /aliases, line 5: need name:value pair",
    ]
    assert dict(table.sequence()) == {
        "postmaster": "root",
        "odd name": '|"/bin/x y", bob@example.org',
        "root": "alice, bob",
        "@": "@",
    }


def test_alias_tables_that_are_not_built_are_read_as_aliases() -> None:
    process = MemoryProcess(alias_database="hash:/aliases")
    process.text("/aliases", ALIASES)
    assert ask(process, "hash:/aliases", "Root") == "alice, bob"


def test_updates_survive_in_the_file_and_cost_no_rewriting(process: MemoryProcess) -> None:
    table = dict_open(
        process, "btree:/cache", open_flags=O_RDWR | O_CREAT, flags=DICT_FLAG_DUP_IGNORE
    )
    sizes = []
    for number in range(3):
        finish(table.update(f"key{number}", "value"))
        sizes.append(len(process.files.files["/cache.db"].data))
    assert sizes[2] - sizes[1] == sizes[1] - sizes[0]
    assert finish(table.update("key1", "other")) is False
    assert finish(table.delete("key0")) is True
    assert finish(table.delete("key0")) is False
    again = MemoryProcess()
    again.files.files = process.files.files
    assert dict(dict_open(again, "btree:/cache").sequence()) == {"key1": "value", "key2": "value"}


def test_a_duplicate_is_fatal_without_flags_and_replaced_with_them(process: MemoryProcess) -> None:
    table = dict_open(process, "hash:/c", open_flags=O_RDWR | O_CREAT)
    finish(table.update("a", "1"))
    with pytest.raises(Fatal):
        finish(table.update("a", "2"))
    assert process.lines == ['fatal: /c.db: duplicate entry: "a"']
    table.flags |= DICT_FLAG_DUP_REPLACE
    assert finish(table.update("a", "2")) is True
    assert finish(table.lookup("a")) == "2"


def test_lmdb_names_the_type_of_a_duplicate(process: MemoryProcess) -> None:
    process.text("/t", "a 1\na 2\n")
    finish(build_table(process, "lmdb:/t"))
    assert process.lines == ['warning: lmdb:/t: duplicate entry: "a"']


def test_sorted_types_list_their_keys_by_bytes(process: MemoryProcess) -> None:
    process.text("/t", "b 1\nä 2\na 3\n")
    for kind, order in (("btree", "abä"), ("cdb", "bäa"), ("lmdb", "abä")):
        table = finish(build_table(process, f"{kind}:/t"))
        assert "".join(key for key, _ in table.sequence()) == order


def test_hash_lists_its_keys_as_berkeley_db_does(process: MemoryProcess) -> None:
    process.text("/t", "key x\nk2 x\ndup x\nal: x\näö x\n")
    table = finish(build_table(process, "hash:/t"))
    assert [key for key, _ in table.sequence()] == ["äö", "al:", "dup", "k2", "key"]


def test_what_a_crash_tore_off_is_left_out(process: MemoryProcess) -> None:
    data = store.whole("hash", {"one": "1", "two": "2"})
    for cut in range(len(b"# indexed table: hash\n"), len(data)):
        entries = store.parse(data[:cut]).entries
        assert list(entries) in ([], ["one"])
    assert store.parse(data).entries == {"one": "1", "two": "2"}


def test_keys_and_values_may_hold_anything(process: MemoryProcess) -> None:
    table = dict_open(process, "hash:/c", open_flags=O_RDWR | O_CREAT)
    finish(table.update("a\n+1 2 b", "x\udcff\n"))
    again = MemoryProcess()
    again.files.files = process.files.files
    assert list(dict_open(again, "hash:/c").sequence()) == [("a\n+1 2 b", "x\udcff\n")]


def test_a_file_of_another_format_cannot_be_opened(process: MemoryProcess) -> None:
    process.text("/t.db", "something else")
    with pytest.raises(TableError):
        ask(process, "hash:/t", "a")
    assert process.lines[0] == "error: open database /t.db: Invalid argument"


def test_cdb_files_of_the_real_format_are_read(process: MemoryProcess) -> None:
    cdblib = pytest.importorskip("cdblib")
    import io

    stream = io.BytesIO()
    writer = cdblib.Writer(stream)
    writer.put(b"key\0", b"value\0")
    writer.finalize()
    process.files.write("/t.cdb", stream.getvalue())
    assert ask(process, "cdb:/t", "key") == "value"


def test_a_built_table_belongs_to_the_owner_of_its_text(process: MemoryProcess) -> None:
    process.text("/t", "a 1\n", uid=42)
    finish(build_table(process, "hash:/t"))
    owner = dict_open(process, "hash:/t", flags=DICT_FLAG_LOCK).owner
    assert (owner.status, owner.uid) == (1, 42)


def test_building_a_table_without_text_is_fatal(process: MemoryProcess) -> None:
    with pytest.raises(Fatal):
        finish(build_table(process, "hash:/t"))
    assert process.lines == ["fatal: open /t: No such file or directory"]


def test_relative_names_start_in_the_queue_directory(process: MemoryProcess) -> None:
    process.text("/var/spool/postfix/t", "a 1\n")
    assert ask(process, "hash:t", "a") == "1"


def test_opening_with_truncation_empties_a_table(process: MemoryProcess) -> None:
    process.text("/t", "a 1\n")
    finish(build_table(process, "hash:/t"))
    table = dict_open(process, "hash:/t", open_flags=O_RDWR | O_CREAT | O_TRUNC)
    assert list(table.sequence()) == []


def test_texthash_fails_for_a_duplicate(process: MemoryProcess) -> None:
    process.text("/t", "a 1\n# x\nA 2\n")
    with pytest.raises(TableError):
        ask(process, "texthash:/t", "a")
    assert process.lines[0] == 'error: /t, line 3: duplicate entry: "A"'


def test_texthash_says_that_it_ignores_a_line(process: MemoryProcess) -> None:
    process.text("/t", "a\nb 2\nx\udcff 3\n")
    assert ask(process, "texthash:/t", "b") == "2"
    assert process.lines == [
        "warning: /t, line 1: expected format: key whitespace value -- ignoring this line",
        'warning: /t, line 3: non-UTF-8 input "x\udcff 3" -- ignoring this line',
    ]


def test_a_line_that_continues_nothing_is_no_line(process: MemoryProcess) -> None:
    process.text("/t", "  lost\n\n  and found\nb 2\n")
    assert ask(process, "texthash:/t", "b") == "2"
    assert process.lines == [
        'warning: /t: logical line must not start with whitespace: "  lost  and found"'
    ]


def test_the_line_of_an_entry_is_known(process: MemoryProcess) -> None:
    process.text("/t", "# x\na 1\n\nb 2\n")
    for spec in ("hash:/t", "texthash:/t"):
        assert dict_open(process, spec, flags=ADDRESS_FLAGS).explain("B") == 4


def test_commands_know_the_text_of_tables_that_are_configured_alone(
    process: MemoryProcess,
) -> None:
    setattr(process, "program", "postmap")  # noqa: B010
    process.text("/etc/postfix/t", "a 1\n")
    process.text("/etc/postfix/u", "a 1\n")
    process.text("/etc/postfix/main.cf", "virtual_alias_maps = hash:${config_directory}/t\n")
    assert ask(process, "hash:/etc/postfix/t", "a") == "1"
    with pytest.raises(Fatal):
        ask(process, "hash:/etc/postfix/u", "a")
    assert process.lines == ["fatal: open database /etc/postfix/u.db: No such file or directory"]
