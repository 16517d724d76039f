"""The words that a shell makes of a command of the mail system's."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from sim.shell_words import ParameterError, shell_words

ENV = {"ONE": "x", "TWO": "a b", "EMPTY": "", "BLANKS": " p  q "}

COMMANDS = [
    "/bin/x -a b",
    "  /bin/x   tab\tnew  ",
    "/bin/x 'a b' \"c d\" e\\ f",
    "/bin/x $ONE ${ONE} $ONE$ONE",
    "/bin/x $TWO end",
    '/bin/x "$TWO" end',
    "/bin/x '$ONE'",
    "/bin/x \\$ONE",
    '/bin/x "\\$ONE \\\\ \\a"',
    "/bin/x $EMPTY end",
    '/bin/x "$EMPTY" end',
    "/bin/x '' \"\"",
    "/bin/x pre$TWO",
    "/bin/x ${TWO}post",
    "/bin/x pre${BLANKS}post",
    "/bin/x $BLANKS",
    '/bin/x "$BLANKS"',
    "/bin/x $UNSET -f $ONE@$ONE.test",
    "/bin/x 5$ $",
    '/bin/x ${UNSET-or} ${UNSET:-or} "${EMPTY-or}" ${EMPTY:-or}',
    "/bin/x ${ONE+set} ${UNSET+set} ${EMPTY:+set} ${ONE?never}",
    "/bin/x a'b'\"c\"d",
    "",
]


@pytest.mark.skipif(not Path("/bin/sh").exists(), reason="there is no shell to compare with")
@pytest.mark.parametrize("command", COMMANDS)
def test_words_are_those_of_a_shell(command: str) -> None:
    script = f"set -- {command}\nfor word in \"$@\"; do printf '%s\\n' \"[$word]\"; done"
    done = subprocess.run(["/bin/sh", "-c", script], env=ENV, capture_output=True, text=True,
                          check=True)  # fmt: skip
    assert [f"[{word}]" for word in shell_words(command, ENV)] == done.stdout.splitlines()


def test_without_variables_the_words_are_those_of_shlex() -> None:
    for command in COMMANDS:
        if "$" not in command:
            assert list(shell_words(command, {})) == shlex.split(command)


def test_a_quote_without_partner_stands_for_itself() -> None:
    assert shell_words("/bin/x don't", {}) == ("/bin/x", "don't")


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("${UNSET?who}", "UNSET: who"),
        ("${UNSET?}", "UNSET: parameter not set"),
        ("${EMPTY:?}", "EMPTY: parameter null or not set"),
    ],
)
def test_a_name_that_has_to_be_set_ends_the_shell(word: str, text: str) -> None:
    with pytest.raises(ParameterError, match=f"^{text}$"):
        shell_words(f"/bin/x {word}", ENV)
