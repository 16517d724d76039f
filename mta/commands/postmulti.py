"""postmulti(1) - several mail systems on one machine.

DESCRIPTION
    ``-l`` lists the instances: the primary one, and those of ``multi_instance_directories``.
    ``-x`` runs a command for each, ``-p`` postfix(1).  ``-e`` with ``init``, ``enable``,
    ``disable`` and ``assign`` changes the settings of one; the other actions are not implemented.
    ``-i NAME``, ``-g GROUP`` and ``-a`` choose instances, ``-R`` turns their order around.

DIAGNOSTICS
    Everything is logged; standard error is used on a terminal alone.

CONFIGURATION PARAMETERS
    command_directory, config_directory, multi_instance_directories, multi_instance_enable,
    multi_instance_group, multi_instance_name, postmulti_start_commands
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mta.commands.command import Command, Control, command
from mta.conf.conf import Conf
from mta.system import Wait
from mta.util.scalars import split_at_commas

_USAGE = (
    "Usage:postmulti -l [-v] [-a] [-g group] [-i instance] | "
    "postmulti -p [-v] [-a] [-g group] [-i instance] command... | "
    "postmulti -x [-v] [-a] [-i name] [-g group] command... | "
    "postmulti -e action [-v] [-a] [-i name] [-g group] [-I name] [-G group] [param=value ...]"
)
_ACTIONS = ("create", "destroy", "import", "deport", "enable", "disable", "assign", "init")
_ADDING = frozenset({"create", "import"})
_ASSIGNING = frozenset({"create", "import", "assign"})
_REMOVING = frozenset({"destroy", "deport"})
_PREFIX = "postfix-"  #: of the names of instances
_SAFE = re.compile(r"[A-Za-z0-9!@%_=+:./-]+")


@dataclass(frozen=True, slots=True)
class Instance:
    """A mail system of this machine."""

    config_dir: str
    name: str
    group: str
    enabled: bool
    primary: bool

    def is_called(self, name: str) -> bool:
        """Whether ``-i`` means this one: its name, that without its prefix, its directory, or
        ``-`` for the primary one.
        """
        if self.primary and name == "-":
            return True
        if name.startswith("/") or not self.name:
            return name == self.config_dir
        if not name.startswith(_PREFIX) and self.name.startswith(_PREFIX):
            return name == self.name.removeprefix(_PREFIX)
        return name == self.name


@dataclass(slots=True)
class Wish:
    """The command line."""

    mode: str = ""
    action: str = ""
    selected: tuple[str, str] = ("", "")  #: how, and the name
    reverse: bool = False
    name: str | None = None
    group: str | None = None


@command("postmulti")
def postmulti(cmd: Command) -> Wait[int]:
    """Lists, runs or edits."""
    wish = _parse(cmd)
    instances = list(_instances(cmd))
    if wish.mode == "e":
        return (yield from _edit(cmd, wish, instances))
    chosen = [one for one in instances if _matches(one, wish)]
    if wish.reverse:
        chosen.reverse()
    if wish.mode == "l":
        for one in chosen:
            enabled = "y" if one.enabled else "n"
            cmd.write(f"{one.name or '-':<15} {one.group or '-':<15} {enabled:<9} ")
            cmd.write(f"{one.config_dir}\n")
        return 0
    if not chosen:
        cmd.fatal(1, "No matching instances")
    return (yield from _run(cmd, wish, chosen))


def _parse(cmd: Command) -> Wish:
    wish = Wish()
    modes: dict[str, None] = {}
    selections = 0
    for letter, argument in cmd.options("ae:g:i:G:I:lpRvx", _USAGE):
        if letter in "lpx":
            wish.mode = letter
            modes[letter] = None
        elif letter == "e":
            if argument not in _ACTIONS:
                names = ", ".join(f"'{name}'" for name in _ACTIONS[:-1])
                cmd.fatal(
                    1,
                    f"Invalid '-e' edit action '{argument}'. Specify {names} or '{_ACTIONS[-1]}'",
                )
            wish.mode, wish.action = "e", argument
            modes[f"e {argument}"] = None
        elif letter in "agi":
            selections += letter != "a" or wish.selected[0] != "a"
            wish.selected = letter, argument
        elif letter in "GI":
            _assign(cmd, wish, letter, "" if argument == "-" else argument)
        elif letter == "R":
            wish.reverse = not wish.reverse
    for wrong, text in _complaints(cmd, wish, len(modes), selections):
        if wrong:
            cmd.fatal(1, text)
    return wish


def _assign(cmd: Command, wish: Wish, letter: str, value: str) -> None:
    if (wish.group if letter == "G" else wish.name) is not None:
        cmd.fatal(1, f"Specify at most one '-{letter}' option")
    if letter == "G":
        wish.group = value
    else:
        wish.name = value


def _complaints(
    cmd: Command, wish: Wish, modes: int, selections: int
) -> Iterator[tuple[bool, str]]:
    """What does not go together, in order, and what is said of it."""
    editing, action = wish.mode == "e", wish.action
    assigned = wish.name is not None or wish.group is not None
    yield selections > 1, "Specity no more than one of '-a', '-g', '-i'"
    yield modes != 1, "Specify exactly one of '-e', '-l', '-p', '-x'"
    yield wish.mode == "l" and bool(cmd.args), "Command not allowed with '-l'"
    yield wish.mode in "px" and not cmd.args, "Command required with '-p' or '-x' option"
    yield (
        wish.mode in "pe" and wish.reverse,
        "The '-p' and '-e' options preclude the use of '-R'",
    )
    if assigned and action not in _ASSIGNING:
        how = f"with '-e {action}'" if editing else "without '-e assign'"
        yield True, f"Cannot assign instance name or group {how}"
    yield (
        action == "assign" and not assigned,
        "Specify new instance name or group with '-e assign'",
    )
    yield (
        editing and action not in _ADDING and bool(cmd.args),
        f"Parameter overrides not valid with '-e {action}'",
    )


def _instances(cmd: Command) -> Iterator[Instance]:
    conf = cmd.process.conf
    directories = split_at_commas(conf.multi_instance_directories)
    yield _instance(conf, primary=True, alone=not directories)
    for directory in directories:
        path = f"{directory}/main.cf"
        if not cmd.process.system.files.exists(path):
            postconf = f"{conf.command_directory}/postconf"
            cmd.write(f"{postconf}: fatal: open {path}: No such file or directory\n")
            cmd.fatal(1, f"Failed to obtain all required {path} parameters")
        other = cmd.process.master.new_process("postconf")
        cmd.control.reconfigure(other, directory)
        yield _instance(other.conf)


def _instance(conf: Conf, primary: bool = False, alone: bool = False) -> Instance:
    return Instance(
        conf.config_directory,
        conf.multi_instance_name,
        conf.multi_instance_group,
        alone or conf.multi_instance_enable,
        primary,
    )


def _matches(one: Instance, wish: Wish) -> bool:
    how, name = wish.selected
    if how == "g":
        return one.group == name
    return one.is_called(name) if how == "i" else True


def _run(cmd: Command, wish: Wish, chosen: list[Instance]) -> Wait[int]:
    """A command for each instance; 1 where any of them fails."""
    status = 0
    for one in chosen:
        argv = list(cmd.args)
        if wish.mode == "p":
            argv = ["postfix", *_for_postfix(cmd.process.conf, one, argv)]
        system = cmd.control.instance(one.config_dir)
        result = yield from _run_for(cmd, system, argv)
        status |= result != 0
    return status


def _for_postfix(conf: Conf, one: Instance, argv: list[str]) -> list[str]:
    """What a disabled instance does is no start, but a check."""
    if not one.enabled and argv[0] in split_at_commas(conf.postmulti_start_commands):
        return ["check"]
    return argv


def _run_for(cmd: Command, system: Control, argv: list[str]) -> Wait[int]:
    if system is cmd.control:
        found = yield from cmd.run_program(argv)
        if found is None:
            cmd.fatal(1, f"execvp {argv[0]}: No such file or directory")
        result = found
    else:
        result = yield from system.command(argv, cmd.user.name, b"")
    cmd.write(result.output)
    return result.exit


def _edit(cmd: Command, wish: Wish, instances: list[Instance]) -> Wait[int]:
    """Changes ``main.cf`` of one instance, as postmulti-script does with postconf(1)."""
    if wish.action == "init":
        wrapper = "multi_instance_wrapper = ${command_directory}/postmulti -p --"
        return (yield from _set(cmd, instances[0], wrapper, "multi_instance_enable = yes"))
    if wish.action in _ADDING:
        _check_names(cmd, wish)
        if wish.name is None and not cmd.args:
            cmd.fatal(1, "Missing config_directory parameter value")
        cmd.fatal(1, f"not implemented: postmulti -e {wish.action}")
    one = _selected(cmd, wish, instances)
    if wish.action == "assign":
        _check_names(cmd, wish)
        settings = [("name", wish.name), ("group", wish.group)]
        lines = [f"multi_instance_{key} = {value}" for key, value in settings if value is not None]
        return (yield from _set(cmd, one, *lines))
    answer = "yes" if wish.action == "enable" else "no"
    return (yield from _set(cmd, one, f"multi_instance_enable = {answer}"))


def _selected(cmd: Command, wish: Wish, instances: list[Instance]) -> Instance:
    """The instance to be changed."""
    if wish.selected[0] != "i":
        cmd.fatal(1, "Select an instance via '-i name'")
    one = next((one for one in instances if _matches(one, wish)), None)
    if one is None:
        cmd.fatal(1, f"No instance named {wish.selected[1]}")
    if wish.action in _REMOVING:
        if one.primary:
            cmd.fatal(1, "Cannot remove the primary instance")
        if one.enabled:
            cmd.fatal(1, "Cannot remove enabled instances")
        cmd.fatal(1, f"not implemented: postmulti -e {wish.action}")
    return one


def _check_names(cmd: Command, wish: Wish) -> None:
    """Which names an instance and a group may have; an empty one takes a name away."""
    if wish.name:
        if not _SAFE.fullmatch(wish.name):
            cmd.fatal(1, f"Unsafe characters in new instance name: '{wish.name}'")
        if "/" in wish.name:
            cmd.fatal(1, f"Illegal '/' character in new instance name: '{wish.name}'")
        if not wish.name.startswith(_PREFIX):
            cmd.fatal(1, f"New instance name must start with '{_PREFIX}'")
    if wish.group and not _SAFE.fullmatch(wish.group):
        cmd.fatal(1, f"Unsafe characters in '-G {wish.group}'")


def _set(cmd: Command, one: Instance, *lines: str) -> Wait[int]:
    argv = ["postconf", "-c", one.config_dir, "-e", *lines]
    result = yield from cmd.control.command(argv, cmd.user.name, b"")
    cmd.write(result.output)
    return result.exit
