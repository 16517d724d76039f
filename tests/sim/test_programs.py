"""External commands and accounts."""

from __future__ import annotations

from typing import Any

import pytest

from mta.system import Account, Accounts, ProgramResult, Programs, TimedOut, Wait
from sim.accounts import AccountTable
from sim.kernel import Machine
from sim.programs import Invocation
from sim.world import World


@pytest.fixture
def world() -> World:
    return World(start=0)


@pytest.fixture
def machine(world: World) -> Machine:
    machine = world.machine("mx", users=["alice", "bob"])
    machine.programs.add("/usr/bin/filter", status=0, output=b"done")
    machine.programs.add("/usr/bin/killed", status=-9)
    machine.programs.add("/usr/bin/slow", status=1, output=b"late", seconds=5)
    return machine


def run(world: World, machine: Machine, *argv: str, timeout: float = 0, **given: Any) -> Any:
    options = {"stdin": b"", "env": {}, "cwd": "/", "uid": 1, "gid": 2} | given

    def task() -> Wait[Any]:
        try:
            return (yield machine.programs.run(argv, timeout=timeout, **options)), world.now
        except (TimedOut, OSError) as error:
            return error, world.now

    started = world.start_task(task(), "runner")
    assert world.settle()
    return started.value


def test_a_command_gives_what_the_table_says(world: World, machine: Machine) -> None:
    programs: Programs = machine.programs
    assert programs.exists("/usr/bin/filter")
    assert not programs.exists("/usr/bin/none")
    assert run(world, machine, "/usr/bin/filter", "-x") == (ProgramResult(0, b"done"), 0)
    assert run(world, machine, "/usr/bin/killed") == (ProgramResult(-9, b""), 0)


def test_a_command_that_does_not_exist_cannot_be_run(world: World, machine: Machine) -> None:
    error, _ = run(world, machine, "/usr/bin/none")
    assert isinstance(error, FileNotFoundError)
    assert error.strerror == "No such file or directory"


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("/usr/bin/filter -a 'b c'", ("/usr/bin/filter", "-a", "b c")),
        ("exec /usr/bin/filter x", ("/usr/bin/filter", "x")),
        ("IFS=' ' && exec /usr/bin/filter -f- || exit 75 #alice", ("/usr/bin/filter", "-f-")),
    ],
)
def test_a_shell_runs_the_first_word(
    world: World, machine: Machine, command: str, argv: tuple[str, ...]
) -> None:
    result, _ = run(world, machine, "/bin/sh", "-c", command)
    assert result == ProgramResult(0, b"done")
    assert machine.programs.runs[0].invocation.argv == argv


def test_a_shell_does_not_find_it(world: World, machine: Machine) -> None:
    result, _ = run(world, machine, "/bin/sh", "-c", "/usr/bin/none -x")
    assert result == ProgramResult(127, b"/bin/sh: 1: /usr/bin/none: not found\n")


def test_a_shell_runs_a_script_of_several_commands(world: World, machine: Machine) -> None:
    script = "/usr/bin/slow; /usr/bin/filter a | /usr/bin/filter b"
    result, moment = run(world, machine, "sh", "-c", script, stdin=b"mail")
    assert result == ProgramResult(0, b"latedone")
    assert moment == 5_000_000
    given = [(r.invocation.argv, r.invocation.stdin) for r in machine.programs.runs]
    assert given == [
        (("/usr/bin/slow",), b"mail"),
        (("/usr/bin/filter", "a"), b""),
        (("/usr/bin/filter", "b"), b"done"),
    ]


def test_a_shell_runs_a_command_as_a_file(world: World, machine: Machine) -> None:
    result, _ = run(world, machine, "/bin/sh", "/usr/bin/filter", "x")
    assert result == ProgramResult(0, b"done")
    assert run(world, machine, "/bin/sh", "/usr/bin/none")[0].status == 2


def test_a_shell_looks_for_commands_in_the_path(world: World, machine: Machine) -> None:
    result, _ = run(world, machine, "sh", "-c", "filter", env={"PATH": "/bin:/usr/bin"})
    assert result == ProgramResult(0, b"done")
    assert machine.programs.runs[0].invocation.path == "/usr/bin/filter"


def test_runs_are_recorded_in_order_with_what_they_were_given(
    world: World, machine: Machine
) -> None:
    run(
        world, machine, "/usr/bin/filter", "a",
        stdin=b"mail", env={"SENDER": "x"}, note={"sender": "x@y"},
    )  # fmt: skip
    run(world, machine, "/usr/bin/slow")
    first, second = machine.programs.runs
    assert first.invocation == Invocation(
        ("/usr/bin/filter", "a"), b"mail", {"SENDER": "x"}, "/", 1, 2, 0, {"sender": "x@y"}
    )
    assert first.result == ProgramResult(0, b"done")
    assert second.invocation.path == "/usr/bin/slow"


@pytest.mark.parametrize(
    ("timeout", "result", "took"),
    [(0, ProgramResult(1, b"late"), 5), (5, ProgramResult(1, b"late"), 5), (4, None, 4)],
)
def test_a_command_takes_time_and_may_be_cut_short(
    world: World, machine: Machine, timeout: float, result: ProgramResult | None, took: int
) -> None:
    got, moment = run(world, machine, "/usr/bin/slow", timeout=timeout)
    assert moment == took * 1_000_000
    assert isinstance(got, TimedOut) if result is None else got == result
    assert machine.programs.runs[0].result == result


def test_a_function_may_stand_for_a_command(world: World, machine: Machine) -> None:
    def count(given: Invocation) -> ProgramResult:
        return ProgramResult(len(given.stdin), str(given.now).encode())

    machine.programs.add("/usr/bin/wc", count)
    world.run_for(2)
    result, _ = run(world, machine, "/usr/bin/wc", stdin=b"12345")
    assert result == ProgramResult(5, b"2000000")


class TestAccounts:
    def test_the_system_has_its_own(self, machine: Machine) -> None:
        accounts: Accounts = machine.accounts
        for name, uid in (("root", 0), ("nobody", 65534), ("postfix", 102)):
            account = accounts.by_name(name)
            assert account is not None
            assert account.uid == uid
            assert accounts.by_uid(uid) is account
        assert accounts.group("postdrop") == 106
        assert accounts.group("none") is None
        assert accounts.by_name("none") is None
        assert accounts.by_uid(4711) is None

    def test_users_are_numbered_from_1001(self, machine: Machine) -> None:
        assert machine.accounts.by_name("bob") == Account(
            "bob", 1002, 1002, "Bob", "/home/bob", "/bin/sh"
        )
        assert machine.accounts.group("alice") == 1001

    def test_a_name_is_taken_once(self) -> None:
        with pytest.raises(ValueError, match="root"):
            AccountTable(["root"])
