"""No table definition, text or key, however odd, ends in anything but Postfix's own errors."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import MemoryProcess, finish
from mta.dict.errors import TableError
from mta.dict.proxy import IS_PROXYMAP
from mta.dict.registry import dict_mapnames, dict_open
from mta.system import ConnectError, Fatal

often = settings(max_examples=300, deadline=None, derandomize=True)

KINDS = st.sampled_from(["", "nosuch", *dict_mapnames()])
ODD = st.text(
    st.sampled_from("{}():,=/$%\\'\" \tab\n#!é\udcff\x00~") | st.characters(), max_size=24
)
NAMES = st.sampled_from(
    [
        "/t",
        "{/t}",
        "{a=b}",
        "{ {a = b c}, d=e }",
        "{static:x,static:y}",
        "inet:h:1:n",
        "h:1",
        "x",
        "",
    ]
)
SPECS = st.builds(
    "{}{}{}".format,
    KINDS,
    st.sampled_from([":", "", "::"]),
    NAMES | ODD | st.builds("/t{}".format, ODD),
)
NESTED = st.recursive(
    SPECS,
    lambda inner: st.builds(
        "{}:{{{}}}".format,
        st.sampled_from(["pipemap", "unionmap", "randmap", "proxy", "inline"]),
        st.lists(inner, max_size=3).map(",".join),
    ),
    max_leaves=4,
)
LINES = st.sampled_from(
    [
        "/a(b)?/ $1 x", "!/x/ y", "if /a/", "endif", "/(/ z", "/a/q y", "/[/", "/\\/", "if !/b/", "10.0.0.0/8 x",
        "::1/200 y", "a b", "a", " a b", "k = v", "= v", "query = %s %z", "hosts = h", "server_host = ldap://h",
        "key_format = %q", "dbpath = /t", "domain = static:x", "if", "/a/ ${1 $", "memcache = inet:h:1",
    ]
)  # fmt: skip
TEXTS = st.lists(LINES | ODD, max_size=6).map("\n".join)


class Alone(MemoryProcess):
    """A process that nobody answers."""

    def __init__(self) -> None:
        super().__init__()
        self.cache[IS_PROXYMAP] = True
        self.network.connect = lambda *_: ConnectError("Connection refused")  # type: ignore[method-assign]


def ask(spec: str, text: str, keys: list[str]) -> None:
    process = Alone()
    process.text("/t", text)
    try:
        table = dict_open(process, spec)
    except Fatal:
        assert process.lines[-1].startswith("fatal: ")
        return
    for key in keys:
        try:
            value = finish(table.lookup(key))
        except (TableError, Fatal):
            continue
        assert value is None or isinstance(value, str)
    try:
        for key, value in table.sequence():
            assert isinstance(key, str)
            assert isinstance(value, str)
    except (TableError, Fatal):
        pass


@often
@given(NESTED, TEXTS, st.lists(ODD, min_size=1, max_size=3))
def test_any_table_answers_or_says_why_not(spec: str, text: str, keys: list[str]) -> None:
    ask(spec, text, keys)


@often
@given(st.sampled_from(dict_mapnames()), TEXTS, st.lists(ODD, min_size=1, max_size=3))
def test_any_text_is_a_table_or_says_why_not(kind: str, text: str, keys: list[str]) -> None:
    ask(f"{kind}:/t", text, keys)
