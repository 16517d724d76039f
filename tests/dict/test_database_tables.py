from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from conftest import MemoryProcess, finish
from mta.dict.backends import LdapEntry, LdapSearch
from mta.dict.db_common import DbCommon
from mta.dict.errors import TableError
from mta.dict.flags import ADDRESS_FLAGS
from mta.dict.memory_servers import MemoryLdap, MemorySql
from mta.dict.registry import dict_open
from mta.dict.sqlite import first_statement
from mta.system import Fatal

SCRIPT = """
CREATE TABLE alias (address TEXT, target TEXT, hits REAL);
INSERT INTO alias VALUES ('a@one.test', 'x@one.test', 1);
INSERT INTO alias VALUES ('a@one.test', 'y@one.test', 2);
INSERT INTO alias VALUES ('o''brien@one.test', 'z', 2.5);
INSERT INTO alias VALUES ('null@one.test', NULL, NULL);
"""
QUERY = "query = SELECT target FROM alias WHERE address = '%s'\n"


def sqlite_table(process: MemoryProcess, config: str = QUERY, script: str = SCRIPT) -> Any:
    process.text("/t.cf", f"dbpath = /t.db\n{config}")
    process.text("/t.db", script)
    return dict_open(process, "sqlite:/t.cf", flags=ADDRESS_FLAGS)


@pytest.mark.parametrize(
    ("config", "key", "value"),
    [
        (QUERY, "A@one.test", "x@one.test,y@one.test"),
        (QUERY, "o'brien@one.test", "z"),
        (QUERY, "null@one.test", None),
        (QUERY, "nobody@one.test", None),
        (QUERY + "result_format = <%u|%d|%s|%S|%U|%D|%%>\n", "a@one.test",
         "<x|one.test|x@one.test|a@one.test|a|one.test|%>,"
         "<y|one.test|y@one.test|a@one.test|a|one.test|%>"),
        (QUERY + "result_format = %d\n", "o'brien@one.test", None),
        (QUERY + "domain = two.test\n", "a@one.test", None),
        (QUERY + "domain = two.test, one.test\n", "a@one.test", "x@one.test,y@one.test"),
        (QUERY + "domain = one.test\n", "a", None),
        ("query = SELECT '%u' || '-' || '%d'\n", "a@b", "a-b"),
        ("query = SELECT '%u'\n", "plain", "plain"),
        ("query = SELECT '%d'\n", "plain", None),
        ("query = SELECT '%2.%1.%3'\n", "x@a.b.test", "b.test.a"),
        ("query = SELECT '%3'\n", "x@b.test", None),
        ("query = SELECT 1; SELECT 2\n", "x", "1"),
        ("query = SELECT ';%s'\n", "x", ";x"),
        ("query = SELECT hits FROM alias WHERE address = '%s'\n", "a@one.test", "1.0,2.0"),
        ("query = SELECT x'c3a4'\n", "x", "ä"),
        ("query = SELECT '%%'\n", "x", "%"),
        ("table = alias\nselect_field = target\nwhere_field = address\n"
         "additional_conditions = AND hits > 1\n", "a@one.test", "y@one.test"),
    ],
)  # fmt: skip
def test_a_query_is_filled_in_and_its_results_are_joined(
    process: MemoryProcess, config: str, key: str, value: str | None
) -> None:
    assert finish(sqlite_table(process, config).lookup(key)) == value
    assert process.lines == []


def test_too_many_results_are_an_error(process: MemoryProcess) -> None:
    with pytest.raises(TableError):
        finish(sqlite_table(process, QUERY + "expansion_limit = 1\n").lookup("a@one.test"))
    assert process.lines == [
        "warning: dict_sqlite_lookup: /t.cf: Expansion limit exceeded for key 'a@one.test'"
    ]


def test_an_empty_result_is_warned_of_and_left_out(process: MemoryProcess) -> None:
    assert finish(sqlite_table(process, "query = SELECT ''\n").lookup("k")) is None
    assert process.lines == [
        'warning: table "sqlite:/t.cf": empty lookup result for: "k" -- ignored'
    ]


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ("query = SELECT x FROM nosuch\n",
         "dict_sqlite_lookup: /t.cf: SQL prepare failed: no such table: nosuch\n"),
        ("query = ATTACH '/tmp/x' AS y\n",
         "dict_sqlite_lookup: /t.cf: SQL prepare failed: not authorized\n"),
        ("query = PRAGMA temp_store_directory = '/tmp'\n",
         "dict_sqlite_lookup: /t.cf: SQL prepare failed: not authorized\n"),
    ],
)  # fmt: skip
def test_a_statement_that_cannot_be_prepared_is_fatal(
    process: MemoryProcess, config: str, line: str
) -> None:
    with pytest.raises(Fatal):
        finish(sqlite_table(process, config).lookup("k"))
    assert process.lines == [f"fatal: {line}"]


def test_extensions_are_never_loaded(process: MemoryProcess) -> None:
    with pytest.raises(Fatal):
        finish(sqlite_table(process, "query = SELECT load_extension('/lib/x.so')\n").lookup("k"))
    assert "not authorized" in process.lines[0]


def test_a_statement_that_fails_while_it_runs_is_warned_of_and_then_fatal(
    process: MemoryProcess,
) -> None:
    with pytest.raises(Fatal):
        finish(sqlite_table(process, "query = SELECT abs(-9223372036854775808)\n").lookup("k"))
    query = "for query 'SELECT abs(-9223372036854775808)': integer overflow\n"
    assert process.lines == [
        f"warning: dict_sqlite_lookup: /t.cf: SQL step failed {query}",
        f"fatal: dict_sqlite_lookup: /t.cf: SQL finalize failed {query}",
    ]


def test_no_statement_writes_a_real_file(process: MemoryProcess, tmp_path: Any) -> None:
    config = f"query = VACUUM INTO '{tmp_path}/real.db'\n"
    with pytest.raises((Fatal, TableError)):
        finish(sqlite_table(process, config).lookup("k"))
    with pytest.raises(Fatal):
        finish(
            sqlite_table(MemoryProcess(), QUERY, f"ATTACH '{tmp_path}/other.db' AS x;").lookup("k")
        )
    assert list(tmp_path.iterdir()) == []


def test_a_statement_that_never_ends_is_stopped(process: MemoryProcess) -> None:
    query = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n) SELECT max(x) FROM n"
    with pytest.raises((Fatal, TableError)):
        finish(sqlite_table(process, f"query = {query}\n").lookup("k"))
    assert "interrupted" in process.lines[0]


def test_a_real_database_file_is_read(process: MemoryProcess) -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCRIPT)
    process.text("/t.cf", f"dbpath = /t.db\n{QUERY}")
    process.files.write("/t.db", connection.serialize())
    connection.close()
    table = dict_open(process, "sqlite:/t.cf", flags=ADDRESS_FLAGS)
    assert finish(table.lookup("a@one.test")) == "x@one.test,y@one.test"


def test_the_script_beside_a_database_stands_for_it(process: MemoryProcess) -> None:
    process.text("/t.cf", f"dbpath = /t.db\n{QUERY}")
    process.text("/t.sql", SCRIPT)
    table = dict_open(process, "sqlite:/t.cf", flags=ADDRESS_FLAGS)
    assert finish(table.lookup("o'brien@one.test")) == "z"


def test_a_changed_database_is_read_again(process: MemoryProcess) -> None:
    table = sqlite_table(process)
    process.files.now += 1
    process.text("/t.db", SCRIPT + "DELETE FROM alias WHERE target LIKE 'x%';")
    assert finish(table.lookup("a@one.test")) == "y@one.test"


def test_a_database_that_is_missing_is_empty(process: MemoryProcess) -> None:
    process.text("/t.cf", f"dbpath = /nosuch.db\n{QUERY}")
    table = dict_open(process, "sqlite:/t.cf")
    with pytest.raises(Fatal):
        finish(table.lookup("x"))
    assert process.lines == [
        "fatal: dict_sqlite_lookup: /t.cf: SQL prepare failed: no such table: alias\n"
    ]


def test_a_database_in_no_directory_cannot_be_opened(process: MemoryProcess) -> None:
    process.text("/t.cf", f"dbpath = /nosuch/t.db\n{QUERY}")
    with pytest.raises(Fatal):
        dict_open(process, "sqlite:/t.cf")
    assert process.lines == [
        "fatal: sqlite:/t.cf: Can't open database: unable to open database file\n"
    ]


def test_a_file_that_is_no_database_shows_at_the_first_lookup(process: MemoryProcess) -> None:
    table = sqlite_table(process, QUERY, "this is no script\n")
    with pytest.raises(Fatal):
        finish(table.lookup("x"))
    assert process.lines == [
        "fatal: dict_sqlite_lookup: /t.cf: SQL prepare failed: file is not a database\n"
    ]


@pytest.mark.parametrize(
    ("config", "lines"),
    [
        ("dbpath = /t.db\nquery = %x\n",
         ["fatal: db_common_parse: /t.cf: Invalid query template: %x"]),
        ("dbpath = /t.db\nquery = x\nresult_format = %y\n",
         ["fatal: db_common_parse: /t.cf: Invalid result template: %y"]),
        ("query = x\n", ["fatal: /t.cf: bad string length 0 < 1: dbpath = "]),
        ("dbpath = /t.db\n",
         ["fatal: /t.cf: bad string length 0 < 1: table = "]),
        ("dbpath = /t.db\nquery = x\nexpansion_limit = many\n",
         ["fatal: /t.cf: bad numerical configuration: expansion_limit = many"]),
        ("dbpath\n", ["fatal: /t.cf, line 1: missing '=' after attribute name: \"dbpath\""]),
    ],
)  # fmt: skip
def test_a_bad_configuration_is_fatal(
    process: MemoryProcess, config: str, lines: list[str]
) -> None:
    process.text("/t.cf", config)
    with pytest.raises(Fatal):
        dict_open(process, "sqlite:/t.cf")
    assert process.lines == lines


def test_a_setting_that_comes_twice_is_warned_of(process: MemoryProcess) -> None:
    process.text("/t.cf", "dbpath = /t.db\ndbpath = /t.db\nquery = SELECT 1\nquery = SELECT 2\n")
    assert finish(dict_open(process, "sqlite:/t.cf").lookup("x")) == "2"
    assert process.lines == ["warning: /t.cf, line 4: overriding earlier entry: query=SELECT 1"]


def test_the_first_statement_ends_outside_of_quotes() -> None:
    assert first_statement("SELECT ';' ; SELECT 2") == "SELECT ';' ;"
    assert first_statement("SELECT 1") == "SELECT 1"


@pytest.mark.parametrize("key", ["@one.test", "a@"])
def test_keys_that_lack_a_part_are_not_asked_for(process: MemoryProcess, key: str) -> None:
    common = DbCommon(process, "sqlite", "x")
    assert common.parse("%u %d", True)
    assert common.expand_query("%u %d", key) is None


# -- mysql, pgsql


def sql_table(process: MemoryProcess, kind: str, config: str) -> Any:
    process.text("/t.cf", f"dbname = mail\nuser = me\npassword = pw\n{config}")
    return dict_open(process, f"{kind}:/t.cf", flags=ADDRESS_FLAGS)


@pytest.mark.parametrize("kind", ["mysql", "pgsql"])
def test_sql_servers_are_asked(process: MemoryProcess, kind: str) -> None:
    process.databases["192.0.2.9:1234"] = MemorySql(SCRIPT, mysql=kind == "mysql")
    table = sql_table(process, kind, f"hosts = inet:192.0.2.9:1234\n{QUERY}")
    assert finish(table.lookup("a@one.test")) == "x@one.test,y@one.test"
    assert finish(table.lookup("o'brien@one.test")) == "z"
    assert finish(table.lookup("x' OR '1'='1")) is None
    assert process.lines == []


def test_all_columns_are_results(process: MemoryProcess) -> None:
    process.databases["unix:/var/run/mysqld/mysqld.sock"] = MemorySql(SCRIPT, mysql=True)
    table = sql_table(process, "mysql", "query = SELECT 'a', 'b'\n")
    assert finish(table.lookup("x")) == "a,b"


def test_pgsql_may_call_a_function(process: MemoryProcess) -> None:
    process.databases["127.0.0.1:5432"] = MemorySql(SCRIPT)
    table = sql_table(process, "pgsql", "hosts = 127.0.0.1\nselect_function = upper\n")
    assert finish(table.lookup("abc")) == "ABC"


@pytest.mark.parametrize(
    ("kind", "hosts", "warning"),
    [
        ("mysql", "192.0.2.9",
         "connect to mysql server 192.0.2.9: Can't connect to MySQL server on '192.0.2.9' (111)"),
        ("mysql", "localhost",
         "connect to mysql server localhost: Can't connect to local MySQL server through socket "
         "'/var/run/mysqld/mysqld.sock' (2)"),
        ("pgsql", "192.0.2.9",
         "connect to pgsql server 192.0.2.9: could not connect to server: Connection refused\n"
         '\tIs the server running on host "192.0.2.9" and accepting\n'
         "\tTCP/IP connections on port 5432?\n"),
    ],
)  # fmt: skip
def test_a_server_that_is_not_there_is_left_alone_for_a_minute(
    process: MemoryProcess, kind: str, hosts: str, warning: str
) -> None:
    table = sql_table(process, kind, f"hosts = {hosts}\n{QUERY}")
    for _ in range(2):
        with pytest.raises(TableError):
            finish(table.lookup("a"))
    assert process.lines == [f"warning: {warning}"]
    process.files.now += 61_000_000
    with pytest.raises(TableError):
        finish(table.lookup("a"))
    assert process.lines == [f"warning: {warning}"] * 2


def test_another_server_is_asked_where_one_fails(process: MemoryProcess) -> None:
    good, bad = MemorySql(SCRIPT), MemorySql(SCRIPT)
    process.databases = process.system.databases = {"a:5432": bad, "b:5432": good}
    table = sql_table(process, "pgsql", f"hosts = a\n{QUERY}")
    assert finish(table.lookup("o'brien@one.test")) == "z"
    table.hosts.append(table._host("b"))
    bad.down = "server closed the connection unexpectedly\n"
    assert finish(table.lookup("o'brien@one.test")) == "z"
    assert process.lines == [
        "warning: pgsql query failed: fatal error from host a: "
        "server closed the connection unexpectedly\n"
    ]


def test_a_wrong_password_is_said(process: MemoryProcess) -> None:
    process.databases["192.0.2.9:3306"] = MemorySql("", mysql=True, users={"me": "other"})
    with pytest.raises(TableError):
        finish(sql_table(process, "mysql", f"hosts = 192.0.2.9\n{QUERY}").lookup("a"))
    assert process.lines == [
        "warning: connect to mysql server 192.0.2.9: "
        "Access denied for user 'me' (using password: YES)"
    ]


def test_a_domain_list_that_fails_makes_the_lookup_fail(process: MemoryProcess) -> None:
    table = sql_table(process, "mysql", f"domain = fail:x\n{QUERY}")
    with pytest.raises(TableError):
        finish(table.lookup("a@one.test"))
    assert process.lines == [
        "warning: /t.cf: fail:x: table lookup problem",
        "warning: mysql:/t.cf 'domain' pattern match failed for 'a@one.test'",
    ]


# -- ldap

DIRECTORY = [
    LdapEntry("dc=test", {}),
    LdapEntry("cn=ann,dc=test", {"mail": ["ann@one.test"], "maildrop": ["ann", "ann2"]}),
    LdapEntry("cn=bob,dc=test", {"mail": ["bob@one.test"], "forward": ["bob@far.test"],
                                 "maildrop": ["bob"]}),
    LdapEntry("cn=all,dc=test", {"mail": ["all@one.test"],
                                 "member": ["cn=ann,dc=test", "cn=bob,dc=test", "cn=no,dc=test"]}),
    LdapEntry("cn=url,dc=test", {"mail": ["url@one.test"],
                                 "member": ["ldap:///dc=test?maildrop?sub?(cn=x)",
                                            "ldap:///dc=test?maildrop?one?(mail=b*)"]}),
    LdapEntry("cn=odd,dc=test", {"mail": ["o(*)@one.test"], "maildrop": ["odd"]}),
]  # fmt: skip
LDAP = "server_host = 192.0.2.9\nsearch_base = dc=test\nquery_filter = mail=%s\n"


def ldap_table(process: MemoryProcess, config: str = LDAP, **kwargs: Any) -> Any:
    process.databases["ldap://192.0.2.9:389"] = MemoryLdap(DIRECTORY, **kwargs)
    process.text("/t.cf", config)
    return dict_open(process, "ldap:/t.cf", flags=ADDRESS_FLAGS)


@pytest.mark.parametrize(
    ("config", "key", "value", "log"),
    [
        ("", "Ann@one.test", "ann,ann2", []),
        ("", "o(*)@one.test", "odd", []),
        ("", "*", None, []),
        ("result_format = <%s>\n", "ann@one.test", "<ann>,<ann2>", []),
        ("result_attribute = maildrop, mail\n", "ann@one.test", "ann@one.test,ann,ann2", []),
        ("terminal_result_attribute = forward\n", "bob@one.test", "bob@far.test", []),
        ("terminal_result_attribute = forward\n", "ann@one.test", "ann,ann2", []),
        ("special_result_attribute = member\n", "all@one.test", "ann,ann2,bob",
         ["warning: dict_ldap_get_values[1]: DN cn=no,dc=test not found, skipping "]),
        ("special_result_attribute = member\n", "url@one.test", "bob", []),
        ("special_result_attribute = member\nleaf_result_attribute = mail\n", "url@one.test",
         "bob", []),
        ("leaf_result_attribute = mail\n", "ann@one.test", "ann@one.test,ann,ann2", []),
        ("scope = base\n", "ann@one.test", None, []),
        ("search_base = cn=%u,dc=test\n", "nobody@one.test", None, []),
        ("search_base = cn=%u,dc=test\n", "ann@one.test", "ann,ann2", []),
        ("query_filter = (&(mail=%s)(!(maildrop=bob)))\n", "bob@one.test", None, []),
        ("query_filter = (|(mail=%s)(maildrop=odd))\n", "x", "odd", []),
    ],
)  # fmt: skip
def test_directories_are_searched(
    process: MemoryProcess, config: str, key: str, value: str | None, log: list[str]
) -> None:
    names = {line.partition("=")[0] for line in config.splitlines()}
    base = "".join(f"{x}\n" for x in LDAP.splitlines() if x.partition("=")[0] not in names)
    assert finish(ldap_table(process, base + config).lookup(key)) == value
    assert process.lines == log


@pytest.mark.parametrize(
    ("config", "key", "line"),
    [
        ("expansion_limit = 1\nsize_limit = 5\n", "ann@one.test",
         "dict_ldap_get_values[1]: /t.cf: Expansion limit exceeded for key: 'ann@one.test'"),
        ("special_result_attribute = member\nrecursion_limit = 1\n", "all@one.test",
         "dict_ldap_get_values[1]: /t.cf: Recursion limit exceeded for special attribute "
         "member=cn=ann,dc=test"),
    ],
)  # fmt: skip
def test_limits_of_a_search(process: MemoryProcess, config: str, key: str, line: str) -> None:
    with pytest.raises(TableError):
        finish(ldap_table(process, LDAP + config).lookup(key))
    assert process.lines == [f"warning: {line}"]


def test_a_search_base_that_is_not_there_is_an_error(process: MemoryProcess) -> None:
    table = ldap_table(process, LDAP.replace("dc=test", "dc=nosuch"))
    with pytest.raises(TableError):
        finish(table.lookup("a@one.test"))
    assert process.lines == [
        "warning: dict_ldap_lookup: /t.cf: Search base 'dc=nosuch' not found: 32: No such object"
    ]


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ("bind_dn = cn=me\nbind_pw = no\n", "cn=me: 49 (Invalid credentials)"),
        ("server_port = 1\n", "empty or implicit: -1 (Can't contact LDAP server)"),
    ],
)
def test_a_server_that_cannot_be_bound_to(process: MemoryProcess, config: str, code: str) -> None:
    table = ldap_table(process, LDAP + config, passwords={"cn=me": "yes"})
    port = 1 if "server_port" in config else 389
    with pytest.raises(TableError):
        finish(table.lookup("a@one.test"))
    assert process.lines == [
        f"warning: dict_ldap_connect: Unable to bind to server ldap://192.0.2.9:{port} "
        f"with dn {code}"
    ]


def test_a_fixed_filter_is_probably_useless(process: MemoryProcess) -> None:
    ldap_table(process, "query_filter = (mail=x)\nscope = wide\ncache = yes\nversion = 7\n")
    assert process.lines == [
        "warning: dict_ldap_open: /t.cf Unknown version 7, using 2.",
        "warning: dict_ldap_open: /t.cf: Unrecognized value wide specified for scope; using sub",
        "warning: dict_ldap_open: /t.cf: Fixed query_filter (mail=x) is probably useless",
        "warning: dict_ldap_open: /t.cf ignoring cache",
    ]


def test_a_directory_says_when_there_is_too_much() -> None:
    server = MemoryLdap(DIRECTORY)
    with pytest.raises(Exception, match="Size limit exceeded"):
        finish(server.search(LdapSearch("dc=test", "sub", "(mail=*)", ["mail"], 1)))
