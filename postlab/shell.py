"""The little of a shell that administrators' commands need: words, quotes, ``;``, ``&&``, ``||``.

A command line of a scenario never runs on the real machine: its commands are those of the mail
system, and the few of the shell's own that make sense in a world without files of the user's.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from mta.system import System, Wait

Result = tuple[int, str]

#: Runs one command of the mail system: words → exit status and output.
Run = Callable[[list[str]], Wait[Result]]

#: The exit status for a command that does not exist.
NOT_FOUND = 127

_OPERATORS = (";", "&&", "||")
_DIRECTORIES = ("/usr/sbin/", "/usr/bin/", "/bin/", "/sbin/")


class ShellError(Exception):
    """A command line that this shell does not understand."""


def parse(line: str) -> list[tuple[str, list[str]]]:
    """(operator before it, words) of each command of a line.  Raises ShellError."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    commands: list[tuple[str, list[str]]] = []
    operator, words = ";", list[str]()
    try:
        tokens = list(lexer)
    except ValueError as error:
        raise ShellError(f"Syntax error: {error}") from error
    for token in tokens:
        if token in _OPERATORS:
            if words:
                commands.append((operator, words))
            elif token != ";":
                raise ShellError(f'Syntax error: "{token}" unexpected')
            operator, words = token, []
        elif token and set(token) <= set("();<>|&"):
            raise ShellError(f"{token!r} is not simulated; only ; && and || are")
        else:
            words.append(token)
    if words:
        commands.append((operator, words))
    elif operator != ";":
        raise ShellError("Syntax error: end of line unexpected")
    return commands


def run(line: str, system: System, command: Run) -> Wait[Result]:
    """Runs a line; the exit status of its last command, and all output."""
    try:
        commands = parse(line)
    except ShellError as error:
        return 2, f"sh: 1: {error}\n"
    status, output = 0, ""
    for operator, words in commands:
        if (operator == "&&" and status) or (operator == "||" and not status):
            continue
        status, said = yield from _one(words, system, command)
        output += said
    return status, output


def _one(words: list[str], system: System, command: Run) -> Wait[Result]:
    name = program(words)
    if name in ("true", ":"):
        return 0, ""
    if name == "false":
        return 1, ""
    if name == "echo":
        return 0, " ".join(words[1:]) + "\n"
    if name == "sleep":
        return (yield from _sleep(words, system))
    return (yield from command([name, *words[1:]]))


def _sleep(words: list[str], system: System) -> Wait[Result]:
    from postlab.model import seconds

    try:
        total = sum(seconds(word) for word in words[1:])
    except ValueError:
        return 1, f"sleep: invalid time interval '{words[-1]}'\n"
    yield system.sleep(total)
    return 0, ""


def program(words: Sequence[str]) -> str:
    """The name of the program of a command: without the directories where the system's are."""
    name = words[0]
    for directory in _DIRECTORIES:
        if name.startswith(directory) and "/" not in name[len(directory) :]:
            return name[len(directory) :]
    return name
