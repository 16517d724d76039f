"""The shell of administrators' commands: a line of a scenario's ``commands`` never runs on the real
machine.

Lists, pipelines, quotes, variables, ``$?`` and output to /dev/null are a shell's; its commands are
those of the mail system, and the few others that one looks at things with
(:mod:`postlab.shell_programs`).  What is not simulated says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from mta.system import System, Wait
from postlab.shell_programs import PROGRAMS, USUAL
from sim.shell import NOT_FOUND, ShellError, Simple, split_script
from sim.shell_words import ParameterError, shell_words

Result = tuple[int, str]

#: Runs a command of the mail system: words and standard input → exit status and output, or None
#: where it has no such command.
Run = Callable[[list[str], bytes], Wait[Result | None]]

#: What the shell calls itself.
NAME = "/bin/sh"
_DIRECTORIES = ("/usr/sbin/", "/usr/bin/", "/bin/", "/sbin/")
_ENVIRONMENT = {
    "HOME": "/",
    "LANG": "C",
    "LOGNAME": "root",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "TZ": "UTC",
    "USER": "root",
}
_STATUS = re.compile(r"(?P<kept>'[^']*'|\\.)|\$\?", re.DOTALL)
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL | re.ASCII)
_NOTHING = ("cd", "umask", ":", "export", "set", "wait")


def run(line: str, system: System, command: Run) -> Wait[Result]:
    """Runs a line; the exit status of its last command, and all output."""
    shell = _Shell(system, command)
    yield from shell.execute(line)
    return shell.status, shell.output


class _Shell:
    """One run of a script."""

    def __init__(self, system: System, command: Run, name: str = NAME) -> None:
        self.system = system
        self.command = command
        self.name = name
        self.env = dict(_ENVIRONMENT)
        self.status = 0
        self.output = ""
        self.ended = False

    def complain(self, what: str, status: int = 2) -> None:
        """The shell itself has something to say."""
        self.output += f"{self.name}: 1: {what}\n"
        self.status = status

    def execute(self, script: str) -> Wait[None]:
        """Runs a script."""
        try:
            commands = split_script(script)
        except ShellError as error:
            self.complain(error.args[0])
            return
        at = 0
        while at < len(commands) and not self.ended:
            end = at + 1
            while end < len(commands) and commands[end].operator == "|":
                end += 1
            operator = commands[at].operator
            if operator == ";" or (operator == "&&") == (self.status == 0):
                try:
                    yield from self._pipeline(commands[at:end])
                except ParameterError as error:
                    self.complain(error.args[0])
                    return
            at = end

    def _pipeline(self, commands: list[Simple]) -> Wait[None]:
        data = ""
        for simple in commands:
            text = _STATUS.sub(lambda m: m["kept"] or str(self.status), simple.text)
            words = list(shell_words(text, self.env))
            while words and (match := _ASSIGNMENT.fullmatch(words[0])):
                self.env[match[1]] = match[2]
                del words[0]
            self.status, said = (yield from self._one(words, data)) if words else (0, "")
            data = "" if simple.silent else said
        self.output += data

    def _one(self, words: list[str], stdin: str) -> Wait[Result]:
        name = program(words)
        if name in _NOTHING:
            return 0, ""
        if name == "exit":
            self.ended = True
            return (int(words[1]) & 0xFF if words[1:] and words[1].isdigit() else self.status), ""
        if name == "sleep":
            return (yield from self._sleep(words))
        if name == "sh" and words[1:2] == ["-c"] and len(words) > 2:
            inner = _Shell(self.system, self.command, "sh")
            yield from inner.execute(words[2])
            return inner.status, inner.output
        data = stdin.encode("utf-8", "surrogateescape")
        result = yield from self.command([name, *words[1:]], data)
        if result is not None:
            return result
        made = PROGRAMS.get(name)
        if made is not None:
            return made(words[1:], stdin, self.system.files)
        what = f"not simulated: {name}" if name in USUAL else f"{words[0]}: not found"
        return NOT_FOUND, f"{self.name}: 1: {what}\n"

    def _sleep(self, words: list[str]) -> Wait[Result]:
        from postlab.model import seconds

        try:
            total = sum(seconds(word) for word in words[1:])
        except ValueError:
            return 1, f"sleep: invalid time interval '{words[-1]}'\n"
        yield self.system.sleep(total)
        return 0, ""


def program(words: Sequence[str]) -> str:
    """The name of the program of a command: without the directories where the system's are."""
    name = words[0]
    for directory in _DIRECTORIES:
        if name.startswith(directory) and "/" not in name[len(directory) :]:
            return name[len(directory) :]
    return name
