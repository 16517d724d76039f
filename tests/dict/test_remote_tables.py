from __future__ import annotations

from typing import Any

import pytest

from conftest import MemoryProcess, ScriptedStream, finish
from mta.dict.errors import DictConfigError, TableError
from mta.dict.flags import (
    ADDRESS_FLAGS,
    DICT_FLAG_DUP_REPLACE,
    DICT_FLAG_NO_PROXY,
    DICT_FLAG_PARANOID,
    O_CREAT,
    O_RDWR,
)
from mta.dict.proxy import ProxyReply, ProxyRequest, approved_tables
from mta.dict.registry import dict_open
from mta.dict.tcp import hex_quote, hex_unquote
from mta.system import ConnectError, Fatal, Gone, Inet, TimedOut, Unix

SERVER = "192.0.2.7:25"


def streams(process: MemoryProcess, *says: Any) -> list[Any]:
    made = [ScriptedStream(each) if isinstance(each, bytes) else each for each in says]
    process.network.streams += made
    return made


def ask(process: MemoryProcess, spec: str, key: str = "key") -> Any:
    return finish(dict_open(process, spec, flags=ADDRESS_FLAGS).lookup(key))


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        (b"200 it%20is%0a here\n", "it is\n here"),
        (b"200 x\r\n", "x\r"),
        (b"500 no such key\n", None),
        (b"200 \n", ""),
    ],
)
def test_tcp_servers_find_or_do_not_find(
    process: MemoryProcess, reply: bytes, value: str | None
) -> None:
    (stream,) = streams(process, reply)
    assert ask(process, f"tcp:{SERVER}", "a key%") == value
    assert stream.heard == b"get a%20key%25\n"
    assert process.network.asked == [Inet("192.0.2.7", 25)]
    assert process.lines == []


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (b"400 later\n", []),
        (b"300 weird\r\n", ["bad status code: 300 weird_"]),
        (b"hello %zz\n", ["malformed reply: hello %zz"]),
        (b"200 %zz\n", ["malformed reply: 200 %zz"]),
        (b"200\n", ["malformed reply: 200"]),
    ],
)
def test_tcp_servers_that_say_anything_else_make_the_lookup_fail(
    process: MemoryProcess, reply: bytes, line: list[str]
) -> None:
    (stream,) = streams(process, reply)
    with pytest.raises(TableError) as caught:
        ask(process, f"tcp:{SERVER}")
    assert caught.value.errno_text == "Operation now in progress"
    assert process.lines == [f"warning: read TCP map reply from {SERVER}: {x}" for x in line]
    assert stream.closed


def test_tcp_servers_are_tried_ten_times(process: MemoryProcess) -> None:
    streams(
        process,
        ConnectError("Connection refused"),
        b"",
        ScriptedStream(b"", Gone("reset")),
        ScriptedStream(b"", TimedOut()),
        b"x" * 5000,
        *[ConnectError("Connection refused")] * 5,
    )
    with pytest.raises(TableError) as caught:
        ask(process, f"tcp:{SERVER}")
    refused = f"warning: connect to TCP map {SERVER}: Connection refused"
    before = f"warning: read TCP map reply from {SERVER}: "
    assert process.lines == [
        refused,
        f"{before}unexpected EOF (Operation now in progress)",
        f"{before}unexpected EOF (Connection reset by peer)",
        f"{before}unexpected EOF (Connection timed out)",
        f"{before}text longer than 4096",
        *[refused] * 5,
    ]
    assert caught.value.errno_text == "Connection refused"


def test_a_tcp_connection_is_used_again(process: MemoryProcess) -> None:
    streams(process, b"200 1\n500 no\n200 3\n")
    assert [ask(process, f"tcp:{SERVER}", key) for key in "abc"] == ["1", None, "3"]
    assert len(process.network.asked) == 1


def test_hexadecimal_quotes_there_and_back() -> None:
    data = bytes(range(1, 256))
    assert hex_unquote(hex_quote(data)) == data
    assert hex_quote(b"a b%~\x7f\xff") == b"a%20b%25~%7F%FF"
    assert [hex_unquote(bad) for bad in (b"%", b"%1", b"%g1", b"a%%20")] == [None] * 4


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (f"tcp:{SERVER}", f"tcp:{SERVER} map is not allowed for security sensitive data"),
        (
            f"socketmap:inet:{SERVER}:m",
            f"socketmap:inet:{SERVER}:m map is not allowed for security-sensitive data",
        ),
        ("memcache:/m", "memcache:/m map is not allowed for security-sensitive data"),
    ],
)
def test_unauthenticated_data_can_be_forbidden(
    process: MemoryProcess, spec: str, reason: str
) -> None:
    dict_open(process, spec, flags=DICT_FLAG_PARANOID)
    assert process.lines == [f"error: {reason}"]


@pytest.mark.parametrize(
    ("reply", "value"), [(b"6:OK abc,", "abc"), (b"9:NOTFOUND ,", None), (b"2:OK,", "")]
)
def test_socketmap_servers_find_or_do_not_find(
    process: MemoryProcess, reply: bytes, value: str | None
) -> None:
    (stream,) = streams(process, reply)
    assert ask(process, f"socketmap:inet:{SERVER}:map", "Key") == value
    assert stream.heard == b"7:map Key,"
    assert process.lines == []


@pytest.mark.parametrize(
    ("reply", "line", "error"),
    [
        (b"11:TEMP  later,", "socketmap server temporary error: later", TableError),
        (b"8:TIMEOUT ,", "socketmap server timeout error", TableError),
        (b"7:PERM no,", "socketmap server permanent error: no", DictConfigError),
        (b"5:HELLO,", "socketmap server unknown error", TableError),
    ],
)
def test_socketmap_servers_may_fail(
    process: MemoryProcess, reply: bytes, line: str, error: type[TableError]
) -> None:
    streams(process, reply)
    with pytest.raises(TableError) as caught:
        ask(process, f"socketmap:inet:{SERVER}:map")
    assert type(caught.value) is error
    assert process.lines == [f"warning: socketmap:inet:{SERVER}:map {line}"]


@pytest.mark.parametrize(
    ("replies", "lines"),
    [
        ([b"8:PERM no,\r\n"], ["input format error"]),
        ([b"x"], ["input format error"]),
        ([b"999999:NOTFOUND,"], ["input exceeds size limit"]),
        ([b"", b""], ["unexpected disconnect"]),
        ([b"5:OK", b"5:OK"], ["unexpected disconnect"]),
        ([ScriptedStream(b"1", TimedOut())], ["time limit exceeded"]),
    ],
)
def test_socketmap_replies_must_be_netstrings(
    process: MemoryProcess, replies: list[Any], lines: list[str]
) -> None:
    streams(process, *replies)
    with pytest.raises(TableError):
        ask(process, f"socketmap:inet:{SERVER}:map")
    assert process.lines == [
        f"warning: table socketmap:inet:{SERVER}:map lookup error: {line}" for line in lines
    ]


def test_a_socketmap_server_that_restarts_is_asked_again(process: MemoryProcess) -> None:
    streams(process, b"", b"4:OK a,")
    assert ask(process, f"socketmap:inet:{SERVER}:map") == "a"
    assert process.lines == []


def test_socketmap_servers_may_be_local(process: MemoryProcess) -> None:
    streams(process, ConnectError("No such file or directory"))
    with pytest.raises(TableError) as caught:
        ask(process, "socketmap:unix:run/socket:map")
    assert process.network.asked == [Unix("/var/spool/postfix/run/socket")]
    assert process.lines == [
        "warning: connect to run/socket: No such file or directory",
        "warning: table socketmap:unix:run/socket:map lookup error: No such file or directory",
    ]
    assert caught.value.errno_text == "No such file or directory"


def test_the_maps_of_a_socketmap_server_share_a_connection_until_it_is_idle(
    process: MemoryProcess,
) -> None:
    streams(process, b"4:OK 1,4:OK 2,", b"4:OK 3,")
    spec = f"socketmap:inet:{SERVER}"
    assert ask(process, f"{spec}:one") + ask(process, f"{spec}:two") == "12"
    process.files.now += 11_000_000
    assert ask(process, f"{spec}:one") == "3"


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("socketmap:foo:bar:m", "invalid transport name: foo in service: foo:bar"),
        ("socketmap:foo:m", 'need service transport:endpoint instead of "foo"'),
    ],
)
def test_socketmap_servers_need_a_transport(process: MemoryProcess, spec: str, line: str) -> None:
    with pytest.raises(Fatal):
        dict_open(process, spec)
    assert process.lines == [f"fatal: {line}"]


# -- memcache


def memcache(process: MemoryProcess, config: str = "") -> Any:
    process.text("/m.cf", f"memcache = inet:{SERVER}\n{config}")
    return dict_open(process, "memcache:/m.cf", flags=ADDRESS_FLAGS, open_flags=O_RDWR | O_CREAT)


def test_memcache_servers_are_asked_updated_and_told_to_forget(process: MemoryProcess) -> None:
    (stream,) = streams(
        process,
        b"VALUE k 0 5\r\nhello\r\nEND\r\nEND\r\nSTORED\r\nDELETED\r\nNOT_FOUND\r\n",
    )
    table = memcache(process, "key_format = p.%s\nttl = 60\n")
    assert finish(table.lookup("K")) == "hello"
    assert finish(table.lookup("k")) is None
    assert finish(table.update("k", "völlig")) is True
    assert finish(table.delete("k")) is True
    assert finish(table.delete("k")) is False
    assert stream.heard == (
        b"get p.k\r\nget p.k\r\nset p.k 0 60 7\r\nv\xc3\xb6llig\r\ndelete p.k\r\ndelete p.k\r\n"
    )
    assert process.lines == []


def test_a_memcache_server_that_fails_is_complained_of_at_the_second_attempt(
    process: MemoryProcess,
) -> None:
    streams(process, b"", ScriptedStream(b"", Gone("reset")))
    with pytest.raises(TableError):
        finish(memcache(process).lookup("k"))
    assert process.lines == [
        "warning: database memcache:/m.cf: I/O error: Connection reset by peer"
    ]


def test_what_memcache_does_not_know_the_table_behind_it_may(process: MemoryProcess) -> None:
    (stream,) = streams(process, b"END\r\nSTORED\r\n")
    process.text("/b", "k v\n")
    table = memcache(process, "backup = hash:/b\n")
    process.text("/b.db", "# indexed table: hash\n+1 1 k v\n")
    table = memcache(MemoryProcess(), "") if table is None else table
    from mta.dict.registry import open_table

    table.backup = open_table(process, "hash:/b", 0, ADDRESS_FLAGS)
    assert finish(table.lookup("k")) == "v"
    assert stream.heard == b"get k\r\nset k 0 3600 1\r\nv\r\n"


@pytest.mark.parametrize("key", ["", "a b"])
def test_keys_that_memcache_cannot_have_are_not_asked_for(process: MemoryProcess, key: str) -> None:
    table = memcache(process)
    assert finish(table.lookup(key)) is None
    assert process.lines == []
    assert finish(table.update(key, "v")) is False
    assert process.lines[0].startswith(f'warning: /m.cf: skipping update for name "{key}": ')


# -- proxy


class Proxied(MemoryProcess):
    """A process whose requests to services go to ``serve``."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__(
            proxymap_service_name="proxymap",
            proxywrite_service_name="proxywrite",
            proxy_read_maps="proxy:inline:{a=b}, hash:/x, proxy:proxy:cidr:/c",
            proxy_write_maps="proxy:btree:/cache",
            **parameters,
        )
        self.requests: list[tuple[str, ProxyRequest]] = []
        self.replies: list[Any] = []
        self.system.spawn = lambda task, name: finish(task)

    def call(self, service: str, request: ProxyRequest) -> Any:
        self.requests.append((service, request))
        return (yield self.replies.pop(0))


def test_a_proxied_table_is_opened_and_asked_by_the_service() -> None:
    process = Proxied()
    process.replies = [ProxyReply(0), ProxyReply(0, "b"), ProxyReply(1)]
    table = dict_open(process, "proxy:inline:{a=b}", flags=ADDRESS_FLAGS)
    assert not table.is_pattern
    assert [finish(table.lookup(key)) for key in ("A", "x")] == ["b", None]
    assert [(service, r.action, r.table, r.key) for service, r in process.requests] == [
        ("proxymap", "open", "inline:{a=b}", ""),
        ("proxymap", "lookup", "inline:{a=b}", "a"),
        ("proxymap", "lookup", "inline:{a=b}", "x"),
    ]


def test_a_table_that_is_not_approved_is_fatal() -> None:
    process = Proxied()
    process.replies = [ProxyReply(4)]
    with pytest.raises(Fatal):
        dict_open(process, "proxy:hash:/x")
    assert process.lines == ['fatal: proxymap service is not configured for table "hash:/x"']


def test_a_table_that_must_not_be_proxied_is_opened_directly() -> None:
    process = Proxied()
    table = dict_open(process, "proxy:inline:{a=b}", flags=DICT_FLAG_NO_PROXY)
    assert finish(table.lookup("a")) == "b"
    assert table.name == "inline:{a=b}"


@pytest.mark.parametrize(("status", "error"), [(2, TableError), (5, DictConfigError)])
def test_the_failure_of_a_proxied_table_is_passed_on(status: int, error: type[TableError]) -> None:
    process = Proxied()
    process.replies = [ProxyReply(0), ProxyReply(status)]
    with pytest.raises(TableError) as caught:
        finish(dict_open(process, "proxy:cidr:/c").lookup("a"))
    assert type(caught.value) is error


def test_a_service_that_dies_is_asked_again() -> None:
    process = Proxied()
    dead = Gone("Connection reset by peer")
    process.replies = [ProxyReply(0), dead, ProxyReply(0, "b")]
    table = dict_open(process, "proxy:inline:{a=b}")
    assert finish(table.lookup("a")) == "b"
    assert process.lines == [
        "warning: dict_proxy_lookup: service private/proxymap: Connection reset by peer"
    ]


def test_updates_go_to_the_writing_service() -> None:
    process = Proxied()
    process.replies = [ProxyReply(0), ProxyReply(0), ProxyReply(1)]
    table = dict_open(
        process, "proxy:btree:/cache", open_flags=O_RDWR | O_CREAT, flags=DICT_FLAG_DUP_REPLACE
    )
    assert finish(table.update("a", "b")) is True
    assert finish(table.delete("c")) is False
    assert [(service, r.action) for service, r in process.requests] == [
        ("proxywrite", "open"), ("proxywrite", "update"), ("proxywrite", "delete"),
    ]  # fmt: skip


def test_only_words_with_proxy_in_front_are_approved() -> None:
    assert approved_tables("$x hash:/y proxy:proxy:inline:{a b}, proxy:unix") == {"inline:{a b}"}
