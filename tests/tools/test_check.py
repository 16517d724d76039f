"""``postlab check``: everything that is wrong, each with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mta.conf.conf import PARAMETERS
from postlab.check import check_folder
from postlab.configuration import stock_master_cf
from postlab.folder import ConfigFolder

BASE = "compatibility_level = 2\nmyhostname = mx.example.org\nmydestination = example.org\n"
FIRST = BASE.count("\n") + 1


def folder_with(root: Path, main: str, master: str = "", **files: str) -> ConfigFolder:
    path = root / "etc" / "postfix"
    path.mkdir(parents=True, exist_ok=True)
    texts = {"main.cf": BASE + main, "master.cf": stock_master_cf() + master, **files}
    for name, text in texts.items():
        (path / name).write_text(text, "utf-8", "surrogateescape")
    return ConfigFolder.load(path)


def findings(folder: ConfigFolder) -> list[str]:
    """``file:line rule message`` of all problems, lines of main.cf counted after the base."""
    found = []
    for one in check_folder(folder).ordered():
        if one.severity != "note":
            file = one.file.rpartition("/")[2]
            line = one.line - FIRST + 1 if file == "main.cf" and one.line else one.line
            found.append(f"{file}:{line} {one.rule} {one.message}")
    return found


def test_a_good_configuration_has_no_problems(tmp_path: Path) -> None:
    assert findings(folder_with(tmp_path, "")) == []


@pytest.mark.parametrize(
    ("main", "rule", "part"),
    [
        ("smtpd_banr = x\n", "unknown-parameter", "did you mean smtpd_banner?"),
        ("smtp_tls_connection_reuse = yes\n", "later-parameter", "came with Postfix 3.4"),
        ("enable_errors_to = yes\n", "", "2.2"),
        ("smtpd_timeout = 5x\n", "bad-value", "bad time value or unit: 5x"),
        ("smtpd_helo_required = perhaps\n", "bad-value", "perhaps"),
        ("smtpd_recipient_limit = many\n", "bad-value", "many"),
        ("smtpd_banner = ${x\n", "bad-value", "the expression in smtpd_banner has an error"),
        ("inet_protocols = ipv5\n", "bad-value", 'unknown inet_protocols value "ipv5"'),
        ("mynetworks_style = mine\n", "bad-value", "mine"),
        ("queue_directory = here\n", "bad-value", "queue_directory: here is no absolute path"),
        ("myorigin = a b\n", "start", "must not contain multiple values: a b"),
        ("syslog_facility = x\n", "start", "parameter syslog_facility: unrecognized value: x"),
        ("nonsense\n", "syntax", "missing '=' after attribute name"),
        ("mail_name = a\nmail_name = b\n", "duplicate-setting", "mail_name is set already"),
        ("transport_maps = hash:/etc/postfix/t\n", "missing-table", "there is no file"),
        ("transport_maps = hsah:/etc/postfix/t\n", "table-type", "did you mean hash?"),
        ("transport_maps = cidr:/etc/postfix/c\n", "shadowed-entry", "is in the network of line 1"),
    ],
)
def test_a_mistake_is_told(tmp_path: Path, main: str, rule: str, part: str) -> None:
    found = findings(folder_with(tmp_path, main, c="10.0.0.0/8 a:\n10.1.0.0/16 b:\n"))
    assert [line for line in found if rule in line and part in line], found


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    main = "inet_protocols = x\nmynetworks_style = y\nmyorigin = a b\nsyslog_facility = z\n"
    main += "mail_owner = root\nqueue_directory = here\na = $b ${\n"
    found = findings(folder_with(tmp_path, main, "foo unix - - n - x smtp\n2525 inet n - n\n"))
    places = [line.partition(" ")[0] for line in found]
    for number in range(1, 8):
        assert f"main.cf:{number}" in places, (number, found)
    assert {"master.cf:25", "master.cf:26"} <= set(places), found


WORDS = st.sampled_from(
    [
        "$a", "${a", "${a?{x}:{y}}", "hash:/etc/postfix/t", "cidr:$config_directory/t", "{", "}", "static:x",
        "pcre:/etc/postfix/t", "ldap:x", "mysql:/etc/postfix/t", "inline:{a=b", "-1", "99999999999", "5s", "no",
        "check_client_access", "[::1]:25", "!x", "/etc/postfix/t", "smtp:[x]", "a,b;c", "é", "all", "x" * 99,
    ]
)  # fmt: skip
VALUES = st.lists(WORDS, max_size=3).map(" ".join)
LINES = st.builds("{} = {}\n".format, st.sampled_from([*PARAMETERS, "a", "x_query"]), VALUES)
SERVICES = st.builds(
    "{} {} n {} n {} - {} {}\n".format,
    st.sampled_from(["x", "2525", "smtp", "a:b"]),
    st.sampled_from(["inet", "unix", "tcp"]),
    st.sampled_from(["-", "n", "q"]),
    st.sampled_from(["-", "5", "5?", "z"]),
    st.sampled_from(["smtpd", "smtp", "pipe", "nothing"]),
    st.sampled_from(
        ["", "-o a=b", "-o", "-o { a = $x }", "-o {a", "-o smtpd_timeout=x", "argv=/x"]
    ),
)
TABLES = st.lists(
    st.sampled_from(["/a/ b", "/(/ x", "1.2.3.0/24 a", "a b", "if /x/", "endif", "k = v", "\x00", "é"]), max_size=5
).map("\n".join)  # fmt: skip


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(LINES, max_size=8), st.lists(SERVICES, max_size=2), TABLES)
def test_any_configuration_can_be_checked(
    tmp_path: Path, main: list[str], services: list[str], table: str
) -> None:
    folder = folder_with(tmp_path, "".join(main), "".join(services), t=table)
    found = check_folder(folder)
    assert json.loads(json.dumps(found.as_data()))["folder"] == folder.shown
    assert [one for one in found.found if one.rule == "not-tried"] == []
