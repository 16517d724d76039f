from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from conftest import MemoryProcess, finish
from mta.dict.errors import TableError
from mta.dict.flags import DICT_FLAG_LOCK, dict_flags_mask, dict_flags_str
from mta.lib import mail_addr_crunch as crunch_module
from mta.lib.mail_addr_crunch import mail_addr_crunch
from mta.lib.mail_addr_find import mail_addr_find
from mta.lib.mail_addr_map import mail_addr_map
from mta.lib.maps import Maps
from mta.lib.split_addr import split_addr
from mta.lib.strip_addr import strip_addr


def test_tables_are_asked_in_order(process: MemoryProcess) -> None:
    maps = Maps(process, "title", "inline:{a=1} , inline:{a=2,b=3}\n static:end")
    assert [finish(maps.find(key)) for key in "abc"] == ["1", "3", "end"]


def test_no_tables_find_nothing_and_are_false(process: MemoryProcess) -> None:
    maps = Maps(process, "title", " , ")
    assert not maps
    assert finish(maps.find("x")) is None
    assert Maps(process, "title", "static:x")


def test_an_empty_key_is_not_asked_for(process: MemoryProcess) -> None:
    assert finish(Maps(process, "title", "static:x").find("")) is None


def test_partial_keys_are_not_for_patterns(process: MemoryProcess) -> None:
    process.text("/re", "/./ x\n")
    maps = Maps(process, "title", "regexp:/re inline:{a=1}")
    assert finish(maps.find("a")) == "x"
    assert finish(maps.find("a", partial=True)) == "1"


def test_a_table_that_fails_ends_the_search(process: MemoryProcess) -> None:
    maps = Maps(process, "title", "fail:1maps static:x", DICT_FLAG_LOCK)
    with pytest.raises(TableError):
        finish(maps.find("k" * 200))
    assert process.lines == [f'warning: fail:1maps lookup error for "{"k" * 100}"']


def test_an_empty_result_is_an_error(process: MemoryProcess) -> None:
    maps = Maps(process, "title", "inline:{a=}")
    with pytest.raises(TableError):
        finish(maps.find("a"))
    assert process.lines == [
        "warning: title lookup of a returns an empty string result",
        "warning: title should return NO RESULT in case of NOT FOUND",
    ]


def test_a_listener_hears_which_line_of_which_table_decided(process: MemoryProcess) -> None:
    heard: list[Any] = []
    process.text("/t", "a 1\nb 2\n")
    process.system.decisions = lambda kind, facts: heard.append(facts)
    maps = Maps(process, "title", "inline:{c=1} hash:/t")
    finish(maps.find("B"))
    finish(maps.find("x"))
    assert heard == [
        {"maps": "title", "table": "hash:/t.db", "key": "B", "result": "2", "line": 2},
        {"maps": "title", "table": "", "key": "x", "result": None, "line": None},
    ]


def test_flags_have_their_names() -> None:
    mask = dict_flags_mask("lock|fold_fix,utf8_request")
    assert dict_flags_str(mask) == "lock|fold_fix|utf8_request"
    assert dict_flags_str(mask | 1 << 25) == "lock|fold_fix|utf8_request|0x2000000"
    with pytest.raises(KeyError):
        dict_flags_mask("nonsense")


@pytest.mark.parametrize(
    ("localpart", "delimiters", "result"),
    [
        ("user+ext", "+", ("user", "ext")),
        ("user+a+b", "+", ("user", "a+b")),
        ("user-a+b", "+-", ("user", "a+b")),
        ("user+", "+", ("user", "")),
        ("user", "+", ("user", None)),
        ("+ext", "+", ("+ext", None)),
        ("user+ext", "", ("user+ext", None)),
        ("Mailer-Daemon", "-", ("Mailer-Daemon", None)),
        ("double-bounce", "-", ("double-bounce", None)),
        ("owner-list", "-", ("owner-list", None)),
        ("list-REQUEST", "-", ("list-REQUEST", None)),
        ("-request", "-", ("-request", None)),
        ("owner-list+x", "+", ("owner-list", "x")),
        ("list-requests", "-", ("list", "requests")),
    ],
)
def test_a_localpart_is_split_at_the_first_delimiter(
    process: MemoryProcess, localpart: str, delimiters: str, result: tuple[str, str | None]
) -> None:
    assert split_addr(process, localpart, delimiters) == result


def test_owner_and_request_can_be_ordinary() -> None:
    process = MemoryProcess(owner_request_special=False)
    assert split_addr(process, "owner-list", "-") == ("owner", "list")


@pytest.mark.parametrize(
    ("address", "result"),
    [
        ("user+ext@a.test", ("user@a.test", "+ext")),
        ("user+ext", ("user", "+ext")),
        ("user@a+b.test", None),
        ("a@b+x@c", ("a@b@c", "+x")),
        ("user@a.test", None),
    ],
)
def test_an_address_loses_its_extension(
    process: MemoryProcess, address: str, result: tuple[str, str] | None
) -> None:
    assert strip_addr(process, address, "+") == result


class Asked:
    """A table that only remembers its keys."""

    def __init__(self, process: MemoryProcess, answer_to: str = "") -> None:
        self.maps = Maps(process, "title", "internal:x")
        self.keys: list[str] = []
        table: Any = self.maps.tables[0]

        def get(key: str) -> str | None:
            self.keys.append(key)
            return "found" if key == answer_to else None

        table.get = get


@pytest.mark.parametrize(
    ("address", "delimiter", "keys"),
    [
        ("u+x@a.test", "+", ["u+x@a.test", "u@a.test", "@a.test"]),
        ("u+x@a.test", "", ["u+x@a.test", "@a.test"]),
        ("u+x@Example.org", "+",
         ["u+x@Example.org", "u@Example.org", "u+x", "u", "@Example.org"]),
        ("u@localhost", "+", ["u@localhost", "u", "@localhost"]),
        ("u@mine.test", "+", ["u@mine.test", "u", "@mine.test"]),
        ("u+x", "+", ["u+x", "u"]),
        ("u", "+", ["u"]),
    ],
)  # fmt: skip
def test_an_address_is_looked_up_from_special_to_general(
    address: str, delimiter: str, keys: list[str]
) -> None:
    process = MemoryProcess(recipient_delimiter=delimiter, myorigin="mine.test")
    asked = Asked(process)
    assert finish(mail_addr_find(process, asked.maps, address)) is None
    assert asked.keys == keys


@pytest.mark.parametrize(
    ("key", "extension"),
    [("u+x@example.org", ""), ("u@example.org", "+x"), ("u+x", ""), ("u", "+x"),
     ("@example.org", "")],
)  # fmt: skip
def test_the_extension_that_the_key_lacked_is_known(key: str, extension: str) -> None:
    process = MemoryProcess(recipient_delimiter="+")
    asked = Asked(process, key)
    found = finish(mail_addr_find(process, asked.maps, "u+x@example.org"))
    assert found == ("found", extension)
    assert asked.keys[-1] == key


@pytest.fixture
def local_rewriting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def rewrite(process: Any, context: str, address: str) -> Any:
        assert context == "local"
        return address if "@" in address or not address else f"{address}@example.org"
        yield

    monkeypatch.setattr(crunch_module.clients, "rewrite", rewrite)
    yield


@pytest.mark.usefixtures("local_rewriting")
@pytest.mark.parametrize(
    ("text", "extension", "addresses"),
    [
        ("a, b@c.test", "", ["a@example.org", "b@c.test"]),
        ("Name <a@b.test>, (comment) d", "+x", ["a+x@b.test", "d+x@example.org"]),
        ('"a b"@c.test', "", ['"a b"@c.test']),
        ("(nothing)", "", []),
    ],
)
def test_text_becomes_a_list_of_addresses(
    process: MemoryProcess, text: str, extension: str, addresses: list[str]
) -> None:
    assert finish(mail_addr_crunch(process, text, extension)) == addresses


@pytest.mark.usefixtures("local_rewriting")
@pytest.mark.parametrize(
    ("table", "propagate", "result"),
    [
        ("u@example.org=v", True, ["v+x@example.org"]),
        ("u@example.org=v", False, ["v@example.org"]),
        ("u+x@example.org=v", True, ["v@example.org"]),
        ("@example.org=@other.test", True, ["u+x@other.test"]),
        ("u=@other.test", True, ["u+x@other.test"]),
        ("u=@other.test", False, ["u@other.test"]),
        ("w=v", True, None),
    ],
)
def test_an_address_is_mapped_to_addresses(
    table: str, propagate: bool, result: list[str] | None
) -> None:
    process = MemoryProcess(recipient_delimiter="+")
    maps = Maps(process, "title", f"inline:{{{table}}}")
    assert finish(mail_addr_map(process, maps, "u+x@example.org", propagate)) == result


@pytest.mark.usefixtures("local_rewriting")
def test_a_result_that_is_no_address_is_an_error(process: MemoryProcess) -> None:
    maps = Maps(process, "title", "inline:{{u@example.org=(nobody)}}")
    with pytest.raises(TableError):
        finish(mail_addr_map(process, maps, "u@example.org", True))
    assert process.lines == [
        'warning: title lookup of u@example.org returns non-address result "(nobody)"'
    ]
