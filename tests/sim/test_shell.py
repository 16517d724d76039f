"""Scripts of simple commands, compared with a real shell where there is one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sim.shell import Outcome, Shell, ShellError, split_script

SCRIPTS = [
    "true",
    "",
    "false",
    "exit 75",
    "exit 300",
    "false; exit",
    "false || echo other",
    "true || echo other",
    "true && echo other; echo last",
    "false && echo other || echo third",
    "echo a; exit 3; echo b",
    "echo 'a;b' \"c && d\" e\\|f",
    "echo a#b # comment ; false",
    "# only a comment",
    "echo one | cat",
    "echo one | false",
    "false | true",
    "cat",
    "cat; cat",
    "true; cat",
    "cat | cat | cat",
    "A=b; echo $A",
    "A='b c' && echo $A | cat",
    "echo gone > /dev/null",
    "echo gone >/dev/null 2>&1; echo left",
    "echo left 2>/dev/null",
    "exec echo done; echo never",
    "exit 4 | true",
    "echo one\necho two",
    ": anything; cd /; umask 077; echo end",
]


def ours(script: str) -> Outcome:
    return Shell("sh", lambda words, stdin, env: None, {}, b"mail\n").execute(script)


@pytest.mark.skipif(not Path("/bin/sh").exists(), reason="there is no shell to compare with")
@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_do_what_a_shell_makes_of_them(script: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", script], env={"PATH": "/usr/bin:/bin"}, input=b"mail\n",
        capture_output=True, check=False,
    )  # fmt: skip
    assert ours(script) == Outcome(done.returncode, done.stdout)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo it's", "Syntax error: Unterminated quoted string"),
        ("true &&", "Syntax error: end of file unexpected"),
        ("&& true", 'Syntax error: "&&" unexpected'),
        ("echo $(date)", "not simulated: $("),
        ("(true)", "not simulated: ("),
        ("cat >> /home/alice/mail", "not simulated: >> /home/alice/mail"),
    ],
)
def test_what_cannot_be_run_is_said(script: str, said: str) -> None:
    with pytest.raises(ShellError) as error:
        split_script(script)
    assert error.value.args[0] == said
    assert ours(script) == Outcome(2, f"sh: 1: {said}\n".encode())


def test_constructs_of_the_shell_are_not_simulated() -> None:
    assert ours("if true; then echo a; fi").output.startswith(b"sh: 1: not simulated: if\n")
