"""Commands of local(8): how they are started, what they are told, and what their end means."""

from __future__ import annotations

from typing import Any

import pytest

from mta.system import ProgramResult

EAT = {"/usr/bin/eat": {"exit": 0, "output": "fine"}}


def run_of(site: Any) -> Any:
    """The only run of a command."""
    (run,) = site.programs.runs
    return run.invocation


def test_a_command_runs_with_the_rights_and_the_environment_of_its_user(make_site: Any) -> None:
    site = make_site(files={"~alice/.forward": '"|/usr/bin/eat a b"'}, commands=EAT)
    fates = site.send("Alice+tag@example.org", sender="odd'$sender@far.test")
    assert fates == [
        "Alice+tag@example.org local 2.0.0 sent (delivered to command: /usr/bin/eat a b)"
    ]
    run = run_of(site)
    assert run.argv == ("/usr/bin/eat", "a", "b")
    assert (run.uid, run.gid, run.cwd) == (1001, 1001, "/var/spool/postfix")
    assert dict(run.env) == {
        "MAIL_CONFIG": "/etc/postfix",
        "LANG": "C",
        "PATH": "/usr/bin:/bin",
        "HOME": "/home/alice",
        "LOGNAME": "alice",
        "USER": "alice",
        "SHELL": "/bin/sh",
        "SENDER": "odd__sender@far.test",
        "RECIPIENT": "Alice+tag@example.org",
        "LOCAL": "alice+tag",
        "DOMAIN": "example.org",
        "EXTENSION": "tag",
        "ORIGINAL_RECIPIENT": "Alice+tag@example.org",
        "CLIENT_HOSTNAME": "unknown",
        "CLIENT_ADDRESS": "198.51.100.7",
        "CLIENT_HELO": "c.test",
        "CLIENT_PROTOCOL": "ESMTP",
    }
    head = run.stdin.split(b"\n")
    assert head[0].startswith(b"From ")
    assert head[3] == b"Delivered-To: Alice+tag@example.org"
    assert run.stdin.endswith(b"\n\nbody\n")


def test_a_command_in_aliases_runs_as_nobody(make_site: Any) -> None:
    site = make_site('cmd: "|/usr/bin/eat"\n', commands=EAT)
    site.send("cmd@example.org")
    assert (run_of(site).uid, run_of(site).gid) == (65534, 65534)
    assert "HOME" not in run_of(site).env


ENDS = [
    (0, b"ignored", "2.0.0 sent (delivered to command: /usr/bin/x)"),
    (75, b"", "4.3.0 deferred (temporary failure)"),
    (67, b"no such\tone\nhere\n", "5.1.1 bounced (user unknown. Command output: no such one here )"),
    (77, b"", "5.7.0 bounced (permission denied)"),
    (1, b"", '5.3.0 bounced (Command died with status 1: "/usr/bin/x")'),
    (99, b"why", '5.3.0 bounced (Command died with status 99: "/usr/bin/x". Command output: why)'),
    (1, b"4.7.1 not now\n", "4.7.1 deferred (not now )"),
    (75, b"5.7.1 never", "5.7.1 bounced (never)"),
    (-9, b"", '4.3.0 deferred (Command died with signal 9: "/usr/bin/x")'),
    (64, b"\x01\xffx", "5.3.0 bounced (command line usage error. Command output: __x)"),
]


@pytest.mark.parametrize(("status", "output", "fate"), ENDS)
def test_the_end_of_a_command_decides(
    make_site: Any, status: int, output: bytes, fate: str
) -> None:
    site = make_site('cmd: "|/usr/bin/x"\n')
    site.programs.add("/usr/bin/x", lambda _: ProgramResult(status, output))
    assert site.send("cmd@example.org") == [f"cmd@example.org local {fate}"]


def test_a_command_that_takes_too_long_is_killed(make_site: Any) -> None:
    site = make_site('cmd: "|/usr/bin/slow"\n', "command_time_limit = 10s\n")
    site.programs.add("/usr/bin/slow", status=0, seconds=60)
    assert site.send("cmd@example.org") == [
        'cmd@example.org local 5.3.0 bounced (Command time limit exceeded: "/usr/bin/slow")'
    ]
    assert site.warnings() == ["pipe_command_read: read time limit exceeded"]


def test_a_command_that_does_not_exist_makes_mail_wait(make_site: Any) -> None:
    site = make_site('cmd: "|/usr/bin/none x"\n')
    said = "local: fatal: execvp /usr/bin/none: No such file or directory"
    assert site.send("cmd@example.org") == [
        f"cmd@example.org local 4.3.0 deferred (temporary failure. Command output: {said} )"
    ]
    assert any(str(line).startswith("local[") for line in site.lab.log)


COMMANDS = [
    ("/usr/bin/eat 'a b'", ("/usr/bin/eat", "a b")),
    ("/usr/bin/eat $LOCAL", ("/usr/bin/eat", "alice")),
    ("eat $LOCAL", ("/usr/bin/eat", "alice")),
    ("eat plain", ("/usr/bin/eat", "plain")),
    ("exec /usr/bin/eat || exit 75", ("/usr/bin/eat",)),
]


@pytest.mark.parametrize(("command", "argv"), COMMANDS)
def test_mailbox_command_may_need_a_shell(
    make_site: Any, command: str, argv: tuple[str, ...]
) -> None:
    site = make_site("", f"mailbox_command = {command}\n", commands=EAT)
    site.send("alice@example.org")
    assert run_of(site).argv == argv


def test_commands_may_be_forbidden(make_site: Any) -> None:
    site = make_site("inc: :include:/etc/postfix/inc\n", files={"inc": '"|/usr/bin/eat"'})
    assert site.send("inc@example.org") == [
        "inc@example.org local 5.7.1 bounced (mail to command is restricted)"
    ]


def test_a_command_may_have_a_directory_of_its_own(make_site: Any) -> None:
    main_cf = "command_execution_directory = $home\nmailbox_command = /usr/bin/eat\n"
    site = make_site("", main_cf, commands=EAT)
    site.send("alice@example.org")
    assert run_of(site).cwd == "/home/alice"


def test_a_directory_that_is_missing_makes_mail_wait(make_site: Any) -> None:
    main_cf = "command_execution_directory = /none/$user\nmailbox_command = /usr/bin/eat\n"
    site = make_site("", main_cf, commands=EAT)
    assert site.send("alice@example.org") == [
        "alice@example.org local 4.3.0 deferred (temporary failure)"
    ]
    site.lab.log.one(
        'fatal: cannot change directory to "/none/alice" for uid=1001 gid=1001: No such file or '
    )


def test_a_bar_alone_is_a_command_that_does_nothing(make_site: Any) -> None:
    site = make_site("bar: |\n")
    assert site.send("bar@example.org") == [
        "bar@example.org local 2.0.0 sent (delivered to command: )"
    ]
