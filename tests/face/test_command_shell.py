"""The little shell of administrators' commands."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from postlab.shell import ShellError, parse, program, run
from sim.world import World


@pytest.mark.parametrize(
    ("line", "commands"),
    [
        ("postqueue -p", [(";", ["postqueue", "-p"])]),
        ("postmap -q x 'inline:{ {a = b c} }'",
         [(";", ["postmap", "-q", "x", "inline:{ {a = b c} }"])]),
        ("postmap -q @a.test hash:/etc/postfix/x", [(";", ["postmap", "-q", "@a.test",
                                                           "hash:/etc/postfix/x"])]),
        ("a; b && c || d", [(";", ["a"]), (";", ["b"]), ("&&", ["c"]), ("||", ["d"])]),
        ("a \"b c\" d\\ e ''", [(";", ["a", "b c", "d e", ""])]),
        ("a;", [(";", ["a"])]),
        ("", []),
    ],
)  # fmt: skip
def test_a_line_is_taken_apart_as_a_shell_does(
    line: str, commands: list[tuple[str, list[str]]]
) -> None:
    assert parse(line) == commands


@pytest.mark.parametrize("line", ["a | b", "a > b", "a &", "a 'b", "&& a", "a &&", "(a)", "a ;; b"])
def test_what_is_not_simulated_is_refused_aloud(line: str) -> None:
    with pytest.raises(ShellError):
        parse(line)


def shell(
    line: str, results: dict[str, tuple[int, str]]
) -> tuple[int, str, list[list[str]], float]:
    """Runs a line: status, output, what was run, and the seconds that it took."""
    world = World()
    machine = world.machine("mta")
    ran: list[list[str]] = []

    def command(words: list[str]) -> Generator[Any, Any, tuple[int, str]]:
        ran.append(words)
        return results[words[0]]
        yield

    begin = world.now
    task = world.start_task(run(line, machine, command), "shell")
    world.settle()
    status, output = task.value
    return status, output, ran, (world.now - begin) / 1e6


RESULTS = {"good": (0, "yes\n"), "bad": (3, "no\n")}


@pytest.mark.parametrize(
    ("line", "status", "output"),
    [
        ("good", 0, "yes\n"),
        ("/usr/sbin/good", 0, "yes\n"),
        ("bad; good", 0, "no\nyes\n"),
        ("bad && good", 3, "no\n"),
        ("bad || good", 0, "no\nyes\n"),
        ("good || bad", 0, "yes\n"),
        ("true", 0, ""),
        ("false", 1, ""),
        (": && echo a 'b  c'", 0, "a b  c\n"),
        ("sleep x", 1, "sleep: invalid time interval 'x'\n"),
        ("good | bad", 2, "sh: 1: '|' is not simulated; only ; && and || are\n"),
    ],
)
def test_commands_run_in_order_and_by_their_exit_status(
    line: str, status: int, output: str
) -> None:
    assert shell(line, RESULTS)[:2] == (status, output)


def test_sleep_takes_time_in_the_world() -> None:
    assert shell("sleep 2m", {})[3] == 120


@pytest.mark.parametrize(
    ("path", "name"),
    [("/usr/sbin/postqueue", "postqueue"), ("postqueue", "postqueue"), ("/bin/mailq", "mailq"),
     ("/usr/local/bin/x", "/usr/local/bin/x"), ("/usr/bin/a/b", "/usr/bin/a/b")],
)  # fmt: skip
def test_programs_are_known_by_name_in_the_directories_of_the_system(path: str, name: str) -> None:
    assert program([path]) == name
