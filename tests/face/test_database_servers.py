"""Servers behind lookup tables in scenarios."""

from __future__ import annotations

from typing import Any

import pytest

from postlab.lab import Lab
from postlab.run import run_scenario
from postlab.scenario import ScenarioError, from_data
from reports.outcome import Outcome

SQL = "CREATE TABLE a (k TEXT, v TEXT); INSERT INTO a VALUES ('x@example.org', 'alice');"
SELECT = "query = SELECT v FROM a WHERE k = '%s'\n"
LOGIN = "user = postfix\npassword = secret\ndbname = mail\n"
LDAP = (
    "server_host = ldap://192.0.2.9:389\nsearch_base = dc=example\nquery_filter = (mail=%s)\n"
    "result_attribute = to\n"
)
MEMCACHE = "memcache = inet:192.0.2.9:11211\nkey_format = k-%s\nmax_try = 1\n"

#: The table, the server, and what the server is given.
SERVERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "mysql": (f"hosts = 192.0.2.9\n{LOGIN}{SELECT}", "mysql:192.0.2.9:3306", {"sql": SQL}),
    "mysql-unix": (
        f"hosts = unix:/run/db\n{LOGIN}{SELECT}",
        "mysql:unix:/run/db",
        {"sql": SQL, "users": {"postfix": "secret"}},
    ),
    "pgsql": (f"hosts = db.example.org\n{LOGIN}{SELECT}", "pgsql:db.example.org", {"sql": SQL}),
    "ldap": (
        LDAP,
        "ldap://192.0.2.9",
        {
            "directory": [
                {
                    "dn": "uid=x,dc=example",
                    "attributes": {"mail": ["x@example.org"], "to": ["alice"]},
                }
            ]
        },
    ),
    "memcache": (MEMCACHE, "memcache:192.0.2.9:11211", {"entries": {"k-x@example.org": "alice"}}),
    "tcp": ("", "tcp:192.0.2.9:999", {"entries": {"x@example.org": "alice"}}),
    "socketmap": ("", "socketmap:192.0.2.9:999", {"entries": {"m x@example.org": "alice"}}),
}
SPECS = {"tcp": "tcp:192.0.2.9:999", "socketmap": "socketmap:inet:192.0.2.9:999:m"}


def spec_of(name: str) -> str:
    return SPECS.get(name, f"{name.partition('-')[0]}:/etc/postfix/t.cf")


def lab_with(lab: Lab, name: str, **more: Any) -> Lab:
    text, endpoint, given = SERVERS[name]
    lab.mta(
        f"mydestination = example.org, $myhostname\nvirtual_alias_maps = {spec_of(name)}\n",
        files={"t.cf": text},
        users=["alice"],
    )
    return lab.database(endpoint, **{**given, **more})


def delivered(lab: Lab, until: str = "1d") -> Any:
    session = lab.client("198.51.100.7").say("EHLO pc").mail("a@b.test", "x@example.org").quit()
    lab.run(until=until)
    return session


@pytest.mark.parametrize("name", SERVERS)
def test_mail_goes_where_the_server_says(lab: Lab, name: str) -> None:
    session = delivered(lab_with(lab, name))
    assert session.reply("DATA").startswith("354")
    assert [d.where for d in lab.delivered] == ["mailbox alice"]


@pytest.mark.parametrize("name", SERVERS)
def test_mail_waits_while_the_server_has_a_problem(lab: Lab, name: str) -> None:
    session = delivered(lab_with(lab, name, fails="out of order"))
    assert session.reply("RCPT").startswith("451 4.3.0 <x@example.org>: Temporary lookup failure")
    assert lab.delivered == []


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_is_not_there_makes_mail_wait(lab: Lab, name: str) -> None:
    session = delivered(lab_with(lab, name, state="refuse"))
    assert session.reply("RCPT").startswith("451 4.3.0 ")


@pytest.mark.parametrize("name", ["mysql", "ldap", "socketmap"])
def test_a_slow_server_takes_its_time(lab: Lab, name: str) -> None:
    session = delivered(lab_with(lab, name, delay=1.5))
    assert session.reply("RCPT").startswith("250")


def outcome(databases: dict[str, Any] | None) -> Outcome:
    data = {
        "format": "1",
        "title": "-",
        "mta": {"main.cf": "virtual_alias_maps = mysql:/etc/postfix/t.cf\n"},
        "clients": [{"from": "198.51.100.7", "say": ["EHLO x", "QUIT"]}],
        "commands": ["postconf -m", "postmap -q x ldap:/etc/postfix/l.cf"],
        **({} if databases is None else {"databases": databases}),
    }
    return run_scenario(from_data(data)).report.outcome


def test_without_servers_the_types_are_not_built_in() -> None:
    plain, more = outcome(None), outcome({})
    assert "mysql" not in plain.commands[0].output
    assert "mysql" in more.commands[0].output
    assert plain.commands[1].output == "postmap: fatal: unsupported dictionary type: ldap\n"
    assert "open /etc/postfix/l.cf: No such file" in more.commands[1].output
    assert "postfix/smtpd[103]: error: unsupported dictionary type: mysql" in plain.log


@pytest.mark.parametrize(
    ("databases", "complaint"),
    [
        ({"oracle:1.2.3.4": {}}, "is no database"),
        ({"ldap://a": {"directory": [{"mail": "x"}]}}, "directory.0..dn"),
        ({"tcp:192.0.2.25:25": {"entires": {}}}, "unknown key 'entires'"),
        ({"tcp:127.0.0.1:53": {}}, "belongs to the name server already"),
    ],
)
def test_mistakes_have_a_place(databases: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ScenarioError, match=complaint):
        outcome(databases)
