"""The little shell of administrators' commands."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from postlab import Lab
from postlab.shell import program, run
from sim.world import World


def shell(
    line: str, results: dict[str, tuple[int, str]]
) -> tuple[int, str, list[list[str]], float]:
    """Runs a line: status, output, what was run, and the seconds that it took."""
    world = World()
    machine = world.machine("mta")
    ran: list[list[str]] = []

    machine.files.mkdir("/etc")
    machine.files.write("/etc/list", b"one\ntwo\nTwo.5\n")

    def command(words: list[str], stdin: bytes) -> Generator[Any, Any, tuple[int, str] | None]:
        ran.append(words)
        if words[0] == "reads":
            return 0, f"<{stdin.decode()}>"
        return results.get(words[0])
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
        ("", 0, ""),
        ("good;", 0, "yes\n"),
        ("# good", 0, ""),
        ("good | bad", 3, "no\n"),
        ("good | reads", 0, "<yes\n>"),
        ("echo a | cat | reads", 0, "<a\n>"),
        ("bad > /dev/null || echo $?", 0, "3\n"),
        ("bad 2>&1 | tail -1; echo '$?' $?", 0, "no\n$? 0\n"),
        ("X=5; echo $X${X}-$NOT", 0, "55-\n"),
        ("echo $HOME \"$USER\"", 0, "/ root\n"),
        ("exit 4; good", 4, ""),
        ("sh -c 'good; exit 3' || echo $?", 0, "yes\n3\n"),
        ("nosuch -x", 127, "/bin/sh: 1: nosuch: not found\n"),
        ("/usr/bin/nosuch", 127, "/bin/sh: 1: /usr/bin/nosuch: not found\n"),
        ("awk 1", 127, "/bin/sh: 1: not simulated: awk\n"),
        ("good > /tmp/x", 2, "/bin/sh: 1: not simulated: > /tmp/x\n"),
        ("(good)", 2, "/bin/sh: 1: not simulated: (\n"),
        ("echo $(good)", 2, "/bin/sh: 1: not simulated: $(\n"),
        ("'good", 2, "/bin/sh: 1: Syntax error: Unterminated quoted string\n"),
        ("&& good", 2, '/bin/sh: 1: Syntax error: "&&" unexpected\n'),
        ("good |", 2, "/bin/sh: 1: Syntax error: end of file unexpected\n"),
        ("echo ${X?oh}; good", 2, "/bin/sh: 1: X: oh\n"),
    ],
)
def test_commands_run_in_order_and_by_their_exit_status(
    line: str, status: int, output: str
) -> None:
    assert shell(line, RESULTS)[:2] == (status, output)


@pytest.mark.parametrize(
    ("line", "status", "output"),
    [
        ("cat /etc/list", 0, "one\ntwo\nTwo.5\n"),
        ("cat /etc/nosuch", 1, "cat: /etc/nosuch: No such file or directory\n"),
        ("head -n 1 /etc/list", 0, "one\n"),
        ("tail -2 /etc/list", 0, "two\nTwo.5\n"),
        ("head -n x /etc/list", 1, "head: invalid number of lines: 'x'\n"),
        ("grep two /etc/list", 0, "two\n"),
        ("grep -ci two /etc/list", 0, "2\n"),
        ("grep -vn two /etc/list", 0, "1:one\n3:Two.5\n"),
        ("grep -F .5 /etc/list", 0, "Two.5\n"),
        ("grep -E 'one|Two' /etc/list", 0, "one\nTwo.5\n"),
        ("grep 'one|Two' /etc/list", 1, ""),
        ("grep 'one\\|Two' /etc/list", 0, "one\nTwo.5\n"),
        ("grep -q one /etc/list && echo yes", 0, "yes\n"),
        ("grep -e '(' /etc/list", 1, ""),
        ("grep -E '(' /etc/list", 2, "grep: missing ), unterminated subpattern at position 0\n"),
        ("grep -P x /etc/list", 2, "grep: option -P is not simulated\n"),
        ("grep x /nosuch", 2, "grep: /nosuch: No such file or directory\n"),
        ("cat /etc/list | wc -l", 0, "3\n"),
        ("wc -lw /etc/list", 0, "      3       3 /etc/list\n"),
        ("sort -r /etc/list", 0, "two\none\nTwo.5\n"),
        ("printf '%s\\n' 10 9 10 | sort -nu", 0, "9\n10\n"),
        ("printf 'a\\na\\nb\\n' | uniq -c", 0, "      2 a\n      1 b\n"),
        ("printf '%s-%d%%\\n' a 5 b 6", 0, "a-5%\nb-6%\n"),
        ("ls /etc", 0, "list\n"),
        ("ls /nosuch", 2, "ls: cannot access '/nosuch': No such file or directory\n"),
        ("test -f /etc/list && [ -d /etc ] && [ ! -e /x ] && echo yes", 0, "yes\n"),
        ("[ a = a ] && test 2 -gt 1 && test -n x && echo yes", 0, "yes\n"),
        ("[ 1 -eq x ]", 2, "test: Illegal number: 1 x\n"),
        ("[ a", 2, "[: missing ]\n"),
        ("echo -n x; echo y", 0, "xy\n"),
    ],
)
def test_one_can_look_at_files_and_at_what_commands_print(
    line: str, status: int, output: str
) -> None:
    assert shell(line, RESULTS)[:2] == (status, output)


def test_what_is_not_simulated_is_doubted() -> None:
    lab = Lab()
    assert lab.command("postqueue -p | awk '{print}'").exit == 127
    assert lab.command("postconf -h mail_name | grep -c Postfix").output == "1\n"
    assert lab.report.doubts == ["/bin/sh: 1: not simulated: awk"]


def test_mail_can_be_sent_through_a_pipe() -> None:
    lab = Lab()
    lab.mta("mydestination = $myhostname", users=["alice"])
    lab.command("printf 'Subject: hi\\n\\nhello\\n' | sendmail alice")
    assert "Subject: hi" in lab.mailbox("alice")[0]


def test_sleep_takes_time_in_the_world() -> None:
    assert shell("sleep 2m", {})[3] == 120


@pytest.mark.parametrize(
    ("path", "name"),
    [("/usr/sbin/postqueue", "postqueue"), ("postqueue", "postqueue"), ("/bin/mailq", "mailq"),
     ("/usr/local/bin/x", "/usr/local/bin/x"), ("/usr/bin/a/b", "/usr/bin/a/b")],
)  # fmt: skip
def test_programs_are_known_by_name_in_the_directories_of_the_system(path: str, name: str) -> None:
    assert program([path]) == name
