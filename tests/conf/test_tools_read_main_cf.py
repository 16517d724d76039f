"""What building the tables says, and what commands say of a main.cf that they read."""

from __future__ import annotations

import pytest

from postlab import Lab

TABLES = {
    "virtual": "a@x.test  b\na@x.test  c\nlonely\n",
    "aliases": "one: two\nONE: three\nno colon\n",
}
MAIN_CF = """\
virtual_alias_maps = hash:$config_directory/virtual
alias_maps = btree:/etc/postfix/aliases
"""


def lines(lab: Lab, *daemons: str) -> list[str]:
    return [f"{line.daemon}: {line.text}" for line in lab.log if line.daemon in daemons]


def test_the_log_begins_with_what_building_the_tables_says() -> None:
    lab = Lab(seed=1)
    lab.mta(MAIN_CF, files=TABLES)
    lab.client("198.51.100.7").say("EHLO c.test").quit()
    assert lines(lab, "postmap", "postalias") == [
        'postmap: warning: /etc/postfix/virtual.db: duplicate entry: "a@x.test"',
        "postmap: warning: /etc/postfix/virtual, line 3: expected format: key whitespace value",
        'postalias: warning: /etc/postfix/aliases.db: duplicate entry: "one"',
        "postalias: warning: /etc/postfix/aliases, line 3: need name:value pair",
    ]
    assert next(iter(lab.log)).daemon == "postmap"


COMMANDS = [
    ("postqueue -p", ["postqueue"], True),
    ("sendmail -bp", ["sendmail", "postqueue"], True),
    ("postsuper -s", ["postsuper"], True),
    ("postcat -q NONE", ["postcat"], False),
    ("postconf -h biff", ["postconf"], False),
    ("postmap -q a@x.test hash:/etc/postfix/virtual", ["postmap"], True),
]


@pytest.mark.parametrize(("command", "names", "logged"), COMMANDS, ids=str)
def test_each_command_says_which_entry_of_main_cf_was_overridden(
    command: str, names: list[str], logged: bool
) -> None:
    lab = Lab(seed=1)
    lab.mta("biff = yes\nbiff = no\nvirtual_alias_maps = hash:/etc/postfix/virtual\n", files=TABLES)
    before = len(lab.log)
    said = lab.command(command).output
    for name in names:
        (line,) = (text for text in said.splitlines() if text.startswith(f"{name}: warning: "))
        assert line.endswith(": overriding earlier entry: biff=yes")
    found = [line.daemon for line in list(lab.log)[before:] if "overriding" in line.text]
    assert [name for name in found if name in names] == (names if logged else [])


def test_sendmail_and_postdrop_both_read_main_cf() -> None:
    lab = Lab(seed=1)
    lab.mta("biff = yes\nbiff = no\n", users=["alice"])
    said = lab.submit("alice", "alice").output.splitlines()
    assert [line.partition(":")[0] for line in said] == ["sendmail", "postdrop"]
