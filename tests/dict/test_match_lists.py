from __future__ import annotations

import pytest

from conftest import MemoryProcess, finish
from mta.dict.errors import TableError
from mta.lib.domain_list import DomainList
from mta.lib.match_parent_style import match_parent_style
from mta.lib.namadr_list import AddrMatchList, NamadrList
from mta.lib.string_list import StringList
from mta.system import Fatal

HERE = "168.100.189.3"


@pytest.mark.parametrize(
    ("patterns", "name", "address", "result", "log"),
    [
        ("168.100.189.0/28", "dummy", "168.100.189.2", True, []),
        ("168.100.189.0/28", "dummy", "168.100.189.16", False, []),
        ("168.100.189.0/98", "dummy", "168.100.189.16", None,
         ['warning: list: bad net/mask pattern: "168.100.189.0/98"']),
        ("2001:240::1", "dummy", "2001:240::1", None,
         ["error: unsupported dictionary type: 2001",
          "warning: 2001:240::1 is unavailable. unsupported dictionary type: 2001",
          "warning: list: 2001:240::1: table lookup problem"]),
        ("[2001:240:5c7::1]", "dummy", "2001:240:5c7:0:0:0:0:1", True, []),
        ("[2001:240:5c7::]/64", "dummy", "2001:240:5c7::9", True, []),
        ("[2001:240:5c7::]/64", "dummy", "2001:24:5c7::9", False, []),
        ("[2001:240:5c7::/64]", "dummy", "2001:240:5c7::9", True, []),
        ("168.100.189.2", "dummy", "168.100.189.2", True, []),
        ("[168.100.189.2]", "dummy", "168.100.189.2", True, []),
        ("[168.100.189.2]", "dummy", HERE, False, []),
        ("!/junk", "dummy", HERE, False, []),
        ("!/junk", "bar", HERE, True, []),
        ("!/junk", "baz", HERE, False, []),
        ("/junk", "bar", HERE, False, []),
        ("/junk", "foo", HERE, True, []),
        ("/junk", "BAZ", HERE, True, []),
        ("be/be", "x.x.x", "127.0.0.1", None, ['warning: list: bad net/mask pattern: "be/be"']),
        ("[be:be]", "x.x.x", "127.0.0.1", False, []),
        ("[be:be]", "x.x.x", "::1", None, ['warning: list: bad address pattern: "be:be"']),
        ("!!inline:{foo=x}", "foo", HERE, True, []),
        ("!inline:{foo=x}", "bar", HERE, False, []),
        ("fail:1", "bar", HERE, None, ["warning: list: fail:1: table lookup problem"]),
        ("bar, fail:1", "bar", HERE, True, []),
        ("inline:{168.100.189.3=x}", "bar", HERE, True, []),
        ("ok # no, bad", "bad", HERE, False,
         ["warning: list: comment at end of line is not supported: # no, bad"]),
        ("", "dummy", HERE, False, []),
        ("192.0.2.1/24", "dummy", HERE, None,
         ['warning: list: non-null host address bits in "192.0.2.1/24", '
          'perhaps you should use "192.0.2.0/24" instead']),
        ("192.0.2.1/24", "dummy", "unknown", False, []),
    ],
)  # fmt: skip
def test_lists_of_names_and_addresses(
    process: MemoryProcess,
    patterns: str,
    name: str,
    address: str,
    result: bool | None,
    log: list[str],
) -> None:
    process.text("/junk", "# comment\nfoo !bar\n baz # rest\n")
    listed = NamadrList(process, "list", patterns, True)
    if result is None:
        with pytest.raises(TableError):
            finish(listed.match(name, address))
    else:
        assert finish(listed.match(name, address)) is result
    lines = [line for line in process.lines if "# rest" not in line]
    assert lines == log


@pytest.mark.parametrize(
    ("patterns", "name", "parent", "result"),
    [
        ("example.org", "example.org", False, True),
        ("example.org", "Example.ORG", False, True),
        ("EXAMPLE.org", "example.org", False, True),
        ("example.org", "sub.example.org", True, True),
        ("example.org", "sub.example.org", False, False),
        (".example.org", "sub.example.org", False, True),
        (".example.org", "sub.example.org", True, False),
        (".example.org", "example.org", False, False),
        ("example.org", "badexample.org", True, False),
        ("example.org", ".example.org", True, False),
        ("inline:{example.org=x}", "a.b.example.org", True, True),
        ("inline:{example.org=x}", "a.b.example.org", False, False),
        ("inline:{.example.org=x}", "a.b.example.org", False, True),
        ("regexp:/re", "a.example.org", True, False),
        ("regexp:/re", "example.org", True, True),
        ("!sub.example.org, example.org", "sub.example.org", True, False),
        ("!sub.example.org, example.org", "x.sub.example.org", True, False),
        ("!sub.example.org, example.org", "other.example.org", True, True),
        ("bücher.example", "BÜCHER.example", False, True),
    ],
)
def test_lists_of_domains(
    process: MemoryProcess, patterns: str, name: str, parent: bool, result: bool
) -> None:
    process.text("/re", "/^example\\.org$/ x\n")
    assert finish(DomainList(process, "relay_domains", patterns, parent).match(name)) is result


@pytest.mark.parametrize(
    ("patterns", "text", "result"),
    [
        ("a, b c", "B", True),
        ("a", "x.a", False),
        ("!a, static:x", "a", False),
        ("!a, static:x", "b", True),
        ("{ a b }", "{ a b }", True),
    ],
)
def test_lists_of_strings(process: MemoryProcess, patterns: str, text: str, result: bool) -> None:
    assert finish(StringList(process, "mydestination", patterns).match(text)) is result


def test_lists_of_addresses_have_no_names(process: MemoryProcess) -> None:
    listed = AddrMatchList(process, "list", "!192.0.2.1 192.0.2.0/24 name")
    assert [finish(listed.match(f"192.0.{n}")) for n in ("2.1", "2.2", "3.1")] == [
        False, True, False,
    ]  # fmt: skip


def test_parent_domains_match_where_the_parameter_says_so() -> None:
    process = MemoryProcess(parent_domain_matches_subdomains="mynetworks,relay_domains")
    assert match_parent_style(process, "relay_domains")
    assert not match_parent_style(process, "fast_flush_domains")
    assert finish(DomainList(process, "relay_domains", "a.test").match("x.a.test"))
    assert not finish(DomainList(process, "fast_flush_domains", "a.test").match("x.a.test"))


def test_a_file_that_is_not_there_fails_at_each_use(process: MemoryProcess) -> None:
    listed = StringList(process, "list", "ok !/nosuch")
    assert process.lines == ["error: open file /nosuch: No such file or directory"]
    assert finish(listed.match("ok"))
    with pytest.raises(TableError):
        finish(listed.match("x"))
    assert process.lines[1:] == [
        "warning: non-existent:/nosuch is unavailable. "
        "open file /nosuch: No such file or directory",
        "warning: list: non-existent:/nosuch: table lookup problem",
    ]


def test_a_lone_exclamation_mark_is_fatal(process: MemoryProcess) -> None:
    with pytest.raises(Fatal):
        StringList(process, "list", "a ! b")
    assert process.lines == ["fatal: list: no pattern after '!'"]


def test_a_list_may_make_failures_fatal(process: MemoryProcess) -> None:
    with pytest.raises(Fatal):
        finish(StringList(process, "list", "fail:x", fatal=True).match("a"))
    assert process.lines == ["fatal: list: fail:x: table lookup problem"]


def test_a_listener_hears_which_pattern_decided(process: MemoryProcess) -> None:
    heard = []
    process.system.decisions = lambda kind, facts: heard.append((kind, dict(facts)))
    finish(StringList(process, "list", "a !b").match("B"))
    assert heard == [
        ("match_list", {"list": "list", "of": ("B",), "pattern": "!b", "result": False})
    ]
