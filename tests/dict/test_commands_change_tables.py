"""postmap(1) and postalias(1) change tables of which only the text is there."""

from __future__ import annotations

import pytest

from postlab import Lab

TABLES = {"virtual": "a@x.test b\nc@x.test d\n", "aliases": "one: two\n"}
MAIN_CF = "virtual_alias_maps = hash:/etc/postfix/virtual\nalias_maps = cdb:/etc/postfix/aliases\n"

CASES = [
    (
        ["postmap -d a@x.test hash:/etc/postfix/virtual"],
        {"a@x.test": (1, ""), "c@x.test": (0, "d\n")},
    ),
    (["postmap -d z hash:/etc/postfix/virtual"], {"a@x.test": (0, "b\n")}),
    (
        ["postmap -d a@x.test hash:/etc/postfix/virtual", "postmap hash:/etc/postfix/virtual"],
        {"a@x.test": (0, "b\n"), "c@x.test": (0, "d\n")},
    ),
]


@pytest.mark.parametrize(("commands", "found"), CASES)
def test_a_key_is_removed_from_the_table_that_had_been_built(
    commands: list[str], found: dict[str, tuple[int, str]]
) -> None:
    lab = Lab(seed=1)
    lab.mta(MAIN_CF, files=TABLES)
    for command in commands:
        assert lab.command(command).output == ""
    for key, (status, said) in found.items():
        result = lab.command(f"postmap -q {key} hash:/etc/postfix/virtual")
        assert (result.exit, result.output) == (status, said)


def test_a_table_that_nothing_names_is_not_there_to_be_changed() -> None:
    lab = Lab(seed=1)
    lab.mta("", files=TABLES)
    result = lab.command("postmap -d a@x.test hash:/etc/postfix/virtual")
    assert (result.exit, result.output) == (
        1,
        "postmap: fatal: open database /etc/postfix/virtual.db: No such file or directory\n",
    )


def test_postfix_flush_speaks_as_postqueue() -> None:
    lab = Lab(seed=1)
    lab.mta("")
    assert lab.command("postfix flush").exit == 0
    assert lab.command("postfix stop").exit == 0
    result = lab.command("postfix flush")
    assert (result.exit, result.output) == (
        69,
        "postqueue: fatal: Cannot flush mail queue - mail system is down\n",
    )
    assert list(lab.log)[-1].daemon == "postqueue"


def test_sendmail_starts_the_mail_system_without_a_word() -> None:
    lab = Lab(seed=1)
    lab.mta("")
    result = lab.command("sendmail -bd")
    assert (result.exit, result.output) == (0, "")
    assert list(lab.log)[-1].text == "fatal: the Postfix mail system is already running"
