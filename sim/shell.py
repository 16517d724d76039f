"""The little of a shell that commands of mail systems need: lists and pipelines of simple commands.

``A; B``, ``A && B``, ``A || B``, ``A | B``, ``NAME=value COMMAND``, ``exec``, ``exit``, comments,
and output to /dev/null.  Of a shell's own commands there are ``true``, ``false``, ``:``, ``echo``,
``cd`` and ``umask``, and of others ``cat``; the rest is looked for in the table of commands.
Other syntax is not simulated, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sim.shell_words import ParameterError, shell_words

NOT_FOUND = 127  #: what a shell exits with when there is no such command
_SYNTAX_ERROR = 2

_PIECE = re.compile(
    r"(?P<quoted>'[^']*'|\"(?:[^\"\\`$]|\\.|\$(?!\())*\"|\\.)"
    r"|(?P<comment>(?:(?<=[\s;|&])|^)\#[^\n]*)"
    r"|(?P<redirection>(?P<number>(?:(?<=[\s;|&])|^)[0-9])?(?:>>?|<)&?[ \t]*"
    r"(?P<target>[^\s;|&<>]*))"
    r"|(?P<operator>&&|\|\||[;|&\n])"
    r"|(?P<open>['\"])"
    r"|(?P<strange>\$\(|[`()]|(?<!\S)[{}](?=[\s;]|$))"
    r"|(?P<other>\$\{[^}]*\}|.)",
    re.DOTALL | re.ASCII,
)
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL | re.ASCII)
_RESERVED = frozenset(
    ("if", "while", "until", "for", "case", "function", "!", "eval", "set", "trap")
)


class ShellError(Exception):
    """A script that cannot be run: args[0] is what the shell says of it."""


class Simple(NamedTuple):
    """A simple command, the operator before it, and whether its output goes to /dev/null."""

    operator: str
    text: str
    silent: bool


class Outcome(NamedTuple):
    """What a command came to."""

    status: int
    output: bytes


#: Runs a command of the table: words, input, environment; None where there is no such command.
Runner = Callable[[tuple[str, ...], bytes, Mapping[str, str]], "Outcome | None"]


def usual_program(words: Sequence[str], stdin: bytes) -> Outcome | None:
    """What the programs do that every machine has: true, false, echo and cat (without arguments),
    by their name alone or with their directory.  None where it is no such program.
    """
    directory, _, name = words[0].rpartition("/")
    if directory not in ("", "/bin", "/usr/bin"):
        return None
    if name in ("true", "false"):
        return Outcome(int(name == "false"), b"")
    if name == "echo":
        return Outcome(0, (" ".join(words[1:]) + "\n").encode("utf-8", "surrogateescape"))
    return Outcome(0, stdin) if name == "cat" and len(words) == 1 else None


def split_script(script: str) -> list[Simple]:
    """The simple commands of a script, in order.  Raises ShellError."""
    commands: list[Simple] = []
    operator, text, silent = ";", "", False
    for piece in _PIECE.finditer(script):
        kind = piece.lastgroup
        if kind == "operator":
            if text.strip():
                commands.append(Simple(operator, text.strip(), silent))
            elif piece[0] not in ("\n", ";"):
                raise ShellError(f'Syntax error: "{piece[0]}" unexpected')
            operator, text, silent = piece[0], "", False
            if operator in ("\n", "&"):
                operator = ";"
        elif piece["redirection"] is not None:
            silent = _redirected(piece) or silent
        elif kind == "open":
            raise ShellError("Syntax error: Unterminated quoted string")
        elif kind == "strange":
            raise ShellError(f"not simulated: {piece[0]}")
        elif kind != "comment":
            text += piece[0]
    if text.strip():
        commands.append(Simple(operator, text.strip(), silent))
    elif operator != ";":
        raise ShellError("Syntax error: end of file unexpected")
    return commands


def _redirected(piece: re.Match[str]) -> bool:
    """Whether a redirection takes the output away.  Raises ShellError where it does more."""
    sign, target, number = (
        piece["redirection"].lstrip("0123456789"),
        piece["target"],
        piece["number"],
    )
    if sign.startswith((">&", "<&")) or (sign.startswith("<") and target == "/dev/null"):
        return False
    if target != "/dev/null":
        raise ShellError(f"not simulated: {piece['redirection']}")
    return number in (None, "1")


@dataclass(slots=True)
class Shell:
    """One run of a script.  ``name`` is what the shell calls itself in its messages."""

    name: str
    run: Runner
    env: dict[str, str]
    stdin: bytes
    output: bytearray = field(default_factory=bytearray)
    status: int = 0
    ended: bool = False

    def execute(self, script: str) -> Outcome:
        """Runs a script; its exit status and all output."""
        try:
            commands = split_script(script)
        except ShellError as error:
            return Outcome(_SYNTAX_ERROR, f"{self.name}: 1: {error.args[0]}\n".encode())
        index = 0
        while index < len(commands) and not self.ended:
            end = index + 1
            while end < len(commands) and commands[end].operator == "|":
                end += 1
            operator = commands[index].operator
            if operator == ";" or (operator == "&&") == (self.status == 0):
                try:
                    self._pipeline(commands[index:end])
                except ParameterError as error:
                    self.output += f"{self.name}: 1: {error.args[0]}\n".encode()
                    return Outcome(_SYNTAX_ERROR, bytes(self.output))
            index = end
        return Outcome(self.status, bytes(self.output))

    def _pipeline(self, commands: list[Simple]) -> None:
        data, self.stdin = self.stdin, b""
        for place, command in enumerate(commands):
            outcome = self._simple(command.text, data, alone=len(commands) == 1)
            if outcome is None:  # it did not read
                self.stdin = data
                return
            self.status = outcome.status
            data = b"" if command.silent else outcome.output
            if place + 1 == len(commands):
                self.output += data

    def _simple(self, text: str, stdin: bytes, alone: bool) -> Outcome | None:
        """Runs a simple command; None where its input is left for the next."""
        words = shell_words(text, self.env)
        env = dict(self.env)
        while words and (match := _ASSIGNMENT.fullmatch(words[0])):
            env[match[1]] = match[2]
            words = words[1:]
        if not words:
            self.env.update(env)
            self.status = 0
            return None
        if words[0] == "exec" and len(words) > 1:
            self.ended = alone
            words = words[1:]
        if words[0] in _RESERVED:
            return Outcome(NOT_FOUND, f"{self.name}: 1: not simulated: {words[0]}\n".encode())
        if words[0] in ("cd", "umask", ":", "true", "false"):
            self.status = int(words[0] == "false")
            return None if alone else Outcome(self.status, b"")
        if words[0] == "exit":
            self.ended = alone
            if len(words) > 1 and words[1].isdigit():
                self.status = int(words[1]) & 0xFF
            return None if alone else Outcome(self.status, b"")
        return self._command(words, stdin, env)

    def _command(self, words: tuple[str, ...], stdin: bytes, env: dict[str, str]) -> Outcome:
        outcome = self.run(words, stdin, env)
        if outcome is not None:
            return outcome
        usual = usual_program(words, stdin)
        if usual is not None:
            return usual
        return Outcome(NOT_FOUND, f"{self.name}: 1: {words[0]}: not found\n".encode())
