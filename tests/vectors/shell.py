"""The little of a shell that test commands are written in, over files in memory.

Lists, pipelines, ``( … )``, ``for``, redirections, here-documents, quotes, ``$NAME``, command
substitution, assignments.  What a program writes to standard output is held back as the C library
does it, so that messages, which are not held back, come in the right order.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Protocol

_BUFFER = 4096


class NotHere(Exception):
    """A program or a part of the shell's language that is not here; ``args[0]`` says which."""


class Exit(Exception):
    """A program ends with the status ``args[0]``."""


# -- the language


@dataclass(slots=True)
class Part:
    """A piece of a word: ``text``, ``name`` (a variable) or ``run`` (a command's output)."""

    kind: str
    text: str
    quoted: bool


Word = list[Part]


@dataclass(slots=True)
class Redirection:
    """``2>&1``: descriptor, operator, target."""

    fd: int
    operator: str
    target: Word


@dataclass(slots=True)
class Simple:
    """A command of words."""

    words: list[Word] = field(default_factory=list)
    redirections: list[Redirection] = field(default_factory=list)


@dataclass(slots=True)
class Group:
    """``( list )`` or ``{ list; }``, or ``for name in words; do list; done``."""

    body: list[tuple[str, list[Simple | Group]]]
    redirections: list[Redirection] = field(default_factory=list)
    name: str = ""  #: of the loop
    words: list[Word] = field(default_factory=list)


Pipeline = list[Simple | Group]
Script = list[tuple[str, Pipeline]]  #: the operator before each

_OPERATOR = re.compile(r"(\d*)(<<-?|>>|>&|<&|<|>)|&&|\|\||[;|&()\n]")
_NAME = re.compile(r"\$(?:([A-Za-z_]\w*|[0-9?#*@$])|\{([A-Za-z_]\w*)\})")
_WORD_END = set(" \t\n;|&()<>")


class Parser:
    """Reads a script."""

    def __init__(self, text: str) -> None:
        self.text = text.replace("\\\n", "")
        self.place = 0
        self.documents: list[tuple[Redirection, str]] = []

    def script(self, ends: Sequence[str] = ()) -> Script:
        """A list of pipelines, up to one of the words that end it."""
        found: Script = []
        operator = ";"
        while True:
            self.blanks(newlines=True)
            if self.place >= len(self.text) or any(self.at(end) for end in ends):
                return found
            pipeline = self.pipeline()
            found.append((operator, pipeline))
            self.blanks()
            operator = ";"
            for sign in ("&&", "||", ";", "\n"):
                if self.text.startswith(sign, self.place):
                    self.place += len(sign)
                    operator = sign if sign in ("&&", "||") else ";"
                    if sign == "\n":
                        self.read_documents()
                    break
            else:
                if self.place < len(self.text) and not any(self.at(end) for end in ends):
                    raise NotHere(f"shell syntax: {self.text[self.place : self.place + 20]!r}")

    def at(self, end: str) -> bool:
        """Whether the word (or operator) is next."""
        if not self.text.startswith(end, self.place):
            return False
        after = self.text[self.place + len(end) : self.place + len(end) + 1]
        return end == ")" or after == "" or after in _WORD_END

    def blanks(self, newlines: bool = False) -> None:
        """Passes over blanks and comments."""
        while self.place < len(self.text):
            char = self.text[self.place]
            if char in " \t" or (newlines and char == "\n"):
                self.place += 1
                if char == "\n":
                    self.read_documents()
            elif char == "#":
                end = self.text.find("\n", self.place)
                self.place = len(self.text) if end < 0 else end
            else:
                return

    def pipeline(self) -> Pipeline:
        """Commands with ``|`` between them."""
        commands = [self.command()]
        while True:
            self.blanks()
            if not self.text.startswith("|", self.place) or self.text.startswith("||", self.place):
                return commands
            self.place += 1
            self.blanks(newlines=True)
            commands.append(self.command())

    def command(self) -> Simple | Group:
        """One command."""
        self.blanks()
        if self.at("("):
            return self.group(")")
        if self.text.startswith("(", self.place):
            return self.group(")")
        if self.at("{"):
            return self.group("}")
        if self.at("for"):
            return self.loop()
        command = Simple()
        while True:
            self.blanks()
            found = _OPERATOR.match(self.text, self.place)
            if found and found[2]:
                command.redirections.append(self.redirection())
            elif found or self.place >= len(self.text):
                break
            else:
                command.words.append(self.word())
        if not command.words and not command.redirections:
            raise NotHere(f"shell syntax: {self.text[self.place : self.place + 20]!r}")
        return command

    def group(self, end: str) -> Group:
        """A list in brackets, and where its output goes."""
        self.place += 1
        group = Group(self.script((end,)))
        self.expect(end)
        self.after_group(group)
        return group

    def after_group(self, group: Group) -> None:
        """Redirections of a whole list."""
        while True:
            self.blanks()
            found = _OPERATOR.match(self.text, self.place)
            if not (found and found[2]):
                return
            group.redirections.append(self.redirection())

    def loop(self) -> Group:
        """``for NAME in WORDS; do LIST; done``."""
        self.place += len("for")
        self.blanks()
        name = self.plain(self.word())
        self.blanks()
        self.expect("in")
        words: list[Word] = []
        while True:
            self.blanks()
            if self.text[self.place : self.place + 1] in (";", "\n", ""):
                break
            words.append(self.word())
        self.place += 1
        self.blanks(newlines=True)
        self.expect("do")
        body = self.script(("done",))
        self.expect("done")
        group = Group(body, name=name, words=words)
        self.after_group(group)
        return group

    def expect(self, text: str) -> None:
        """Takes a word or sign that must come."""
        self.blanks(newlines=True)
        if not self.text.startswith(text, self.place):
            raise NotHere(f"shell syntax: {text!r} missing")
        self.place += len(text)

    def redirection(self) -> Redirection:
        """``2>file``."""
        found = _OPERATOR.match(self.text, self.place)
        assert found
        self.place = found.end()
        self.blanks()
        operator = found[2]
        default = 0 if operator[0] == "<" else 1
        redirection = Redirection(int(found[1] or default), operator, self.word())
        if operator.startswith("<<"):
            self.documents.append((redirection, self.plain(redirection.target)))
        return redirection

    def read_documents(self) -> None:
        """The here-documents that begin on the line that has just ended."""
        for redirection, end in self.documents:
            expand = not any(part.quoted for part in redirection.target)
            lines: list[str] = []
            while self.place < len(self.text):
                line, _, _ = self.text[self.place :].partition("\n")
                self.place += len(line) + 1
                if redirection.operator == "<<-":
                    line = line.lstrip("\t")
                if line == end:
                    break
                lines.append(line + "\n")
            text = "".join(lines)
            redirection.target = self.double(text) if expand else [Part("text", text, True)]
        self.documents = []

    def plain(self, word: Word) -> str:
        """A word that may hold nothing but text."""
        return "".join(part.text for part in word)

    def word(self) -> Word:
        """A word with its quotes."""
        parts: Word = []
        text = self.text
        while self.place < len(text) and text[self.place] not in _WORD_END:
            char = text[self.place]
            if char == "'":
                end = self.find("'", self.place + 1)
                parts.append(Part("text", text[self.place + 1 : end], True))
                self.place = end + 1
            elif char == '"':
                end = self.place + 1
                while end < len(text) and text[end] != '"':
                    end += 2 if text[end] == "\\" else 1
                parts += self.double(text[self.place + 1 : end]) or [Part("text", "", True)]
                self.place = end + 1
            elif char == "\\":
                parts.append(Part("text", text[self.place + 1 : self.place + 2], True))
                self.place += 2
            elif char == "`":
                end = self.find("`", self.place + 1)
                parts.append(Part("run", text[self.place + 1 : end], False))
                self.place = end + 1
            elif char == "$" and text.startswith("$(", self.place):
                end = self.find(")", self.place)
                parts.append(Part("run", text[self.place + 2 : end], False))
                self.place = end + 1
            elif char == "$" and (found := _NAME.match(text, self.place)):
                parts.append(Part("name", found[1] or found[2], False))
                self.place = found.end()
            else:
                parts.append(Part("text", char, False))
                self.place += 1
        return parts

    def find(self, char: str, start: int) -> int:
        """The place of a closing character."""
        end = self.text.find(char, start)
        if end < 0:
            raise NotHere(f"shell syntax: {char!r} missing")
        return end

    def double(self, text: str) -> Word:
        """A text in double quotes."""
        parts: Word = []
        place = 0
        while place < len(text):
            char = text[place]
            if char == "\\" and text[place + 1 : place + 2] in ("$", "`", '"', "\\"):
                parts.append(Part("text", text[place + 1], True))
                place += 2
            elif char == "`" and text.find("`", place + 1) > 0:
                end = text.find("`", place + 1)
                parts.append(Part("run", text[place + 1 : end], True))
                place = end + 1
            elif char == "$" and (found := _NAME.match(text, place)):
                parts.append(Part("name", found[1] or found[2], True))
                place = found.end()
            else:
                parts.append(Part("text", char, True))
                place += 1
        return parts


# -- what it runs on


class Files(Protocol):
    """Part of a disk."""

    def read(self, path: str) -> bytes: ...

    def exists(self, path: str) -> bool: ...

    def list(self, path: str) -> list[str]: ...

    def remove(self, path: str) -> None: ...


class Folder:
    """The files of a test: the copy that it may change.  ``store`` writes a file."""

    def __init__(self, files: Files, store: Callable[[str, bytes], None]) -> None:
        self._files = files
        self._store = store

    @staticmethod
    def path(name: str) -> str:
        """The absolute path of a name: ``./x`` is ``/vectors/x``."""
        return name if name.startswith("/") else posixpath.normpath(f"{DIRECTORY}/{name}")

    def read(self, name: str) -> bytes:
        """The content of a file.  Raises OSError."""
        return b"" if name == "/dev/null" else self._files.read(self.path(name))

    def text(self, name: str) -> str:
        """The same as text."""
        return self.read(name).decode("utf-8", "surrogateescape")

    def write(self, name: str, data: bytes) -> None:
        """Replaces a file."""
        if name != "/dev/null":
            self._store(self.path(name), data)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return self._files.exists(self.path(name))

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""
        if self.exists(name):
            self._files.remove(self.path(name))

    def names(self) -> list[str]:
        """All names."""
        return self._files.list(DIRECTORY)


#: Where the programs believe to be.
DIRECTORY = "/vectors"


class Sink:
    """Where output goes: a pipe, or a file."""

    def __init__(self) -> None:
        self.data = bytearray()


class Source:
    """Where input comes from; what one program leaves is the next one's."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data

    def take(self) -> bytes:
        """All of it."""
        data, self.data = self.data, b""
        return data


class Io:
    """What a program has: arguments, environment, files, input and output."""

    def __init__(
        self,
        words: Sequence[str],
        env: dict[str, str],
        shell: Shell,
        stdin: Source,
        sinks: dict[int, Sink],
    ) -> None:
        self.name = words[0].rpartition("/")[2]
        self.args = list(words[1:])
        self.env = env
        self.shell = shell
        self.folder = shell.folder
        self.stdin = stdin
        self.sinks = sinks
        self._held = bytearray()

    def out(self, data: bytes | str) -> None:
        """Standard output, held back until there is much of it."""
        self._held += data if isinstance(data, bytes) else to_bytes(data)
        while len(self._held) >= _BUFFER:
            self.sinks[1].data += self._held[:_BUFFER]
            del self._held[:_BUFFER]

    def flush(self) -> None:
        """Lets go what is held back."""
        self.sinks[1].data += self._held
        self._held.clear()

    def drop(self) -> None:
        """Forgets what is held back."""
        self._held.clear()

    def err(self, data: bytes | str) -> None:
        """Standard error output, at once."""
        self.sinks[2].data += data if isinstance(data, bytes) else to_bytes(data)

    def line(self, text: str = "") -> None:
        """A line of standard output, at once."""
        self.out(text + "\n")
        self.flush()

    def message(self, text: str, name: str = "") -> None:
        """A line of msg(3)."""
        self.err(f"{name or self.name}: {text}\n")

    def lines(self) -> list[str]:
        """The lines of standard input."""
        text = self.stdin.take().decode("utf-8", "surrogateescape")
        lines = text.split("\n")
        return lines[:-1] if lines[-1] == "" else lines


def to_bytes(text: str) -> bytes:
    """The bytes of a text."""
    return text.encode("utf-8", "surrogateescape")


Program = Callable[[Io], int | None]
PROGRAMS: dict[str, Program] = {}


def program(*names: str) -> Callable[[Program], Program]:
    """Registers a program."""

    def register(run: Program) -> Program:
        for name in names:
            PROGRAMS[name] = run
        return run

    return register


@dataclass
class Shell:
    """Runs scripts in a folder.  ``context`` is the test's, for programs."""

    folder: Folder
    env: dict[str, str]
    context: Any = None
    status: int = 0

    def run(self, text: str) -> bytes:
        """What a script writes to standard output."""
        out, err = Sink(), Sink()
        self.execute(Parser(text).script(), Source(), {1: out, 2: err})
        return bytes(out.data)

    def execute(self, script: Script, stdin: Source, sinks: dict[int, Sink]) -> None:
        """Runs a script."""
        for operator, pipeline in script:
            if operator == "&&" and self.status:
                continue
            if operator == "||" and not self.status:
                continue
            self.pipeline(pipeline, stdin, sinks)

    def pipeline(self, commands: Pipeline, stdin: Source, sinks: dict[int, Sink]) -> None:
        """Runs commands one after the other, each with the output of the one before."""
        source = stdin
        for place, command in enumerate(commands):
            here = dict(sinks)
            if place + 1 < len(commands):
                here[1] = Sink()
            self.command(command, source, here)
            source = Source(bytes(here[1].data)) if place + 1 < len(commands) else source

    def command(self, command: Simple | Group, stdin: Source, sinks: dict[int, Sink]) -> None:
        """Runs one command."""
        files: list[tuple[str, Sink]] = []
        source = self.redirect(command.redirections, stdin, sinks, files)
        if isinstance(command, Group):
            self.group(command, source, sinks)
        else:
            self.simple(command, source, sinks)
        for path, sink in files:
            self.folder.write(path, bytes(sink.data))

    def redirect(
        self,
        redirections: list[Redirection],
        stdin: Source,
        sinks: dict[int, Sink],
        files: list[tuple[str, Sink]],
    ) -> Source:
        """Changes where output goes; where input comes from."""
        for redirection in redirections:
            operator = redirection.operator
            target = "".join(self.expand(redirection.target))
            if operator.startswith("<<"):
                stdin = Source(to_bytes(target))
            elif operator == "<":
                stdin = Source(self.folder.read(target))
            elif operator == ">&":
                if not target.isdigit() and target != "-":
                    raise NotHere(f"shell redirection >&{target}")
                closed = target == "-" or int(target) not in sinks
                sinks[redirection.fd] = Sink() if closed else sinks[int(target)]
            elif operator in (">", ">>"):
                sink = sinks[redirection.fd] = Sink()
                if operator == ">>" and self.folder.exists(target):
                    sink.data += self.folder.read(target)
                files.append((target, sink))
            else:
                raise NotHere(f"shell redirection {operator}")
        return stdin

    def group(self, group: Group, stdin: Source, sinks: dict[int, Sink]) -> None:
        """Runs a list, or a loop."""
        if not group.name:
            self.execute(group.body, stdin, sinks)
            return
        for value in [text for word in group.words for text in self.expand(word)]:
            self.env[group.name] = value
            self.execute(group.body, stdin, sinks)

    def simple(self, command: Simple, stdin: Source, sinks: dict[int, Sink]) -> None:
        """Runs a program."""
        words = [text for word in command.words for text in self.expand(word)]
        env = self.env
        while words and re.match(r"[A-Za-z_]\w*=", words[0]):
            name, _, value = words.pop(0).partition("=")
            env = {**env, name: value}
        if not words:
            self.env = env
            return
        self.call(words, env, stdin, sinks)

    def call(
        self, words: Sequence[str], env: dict[str, str], stdin: Source, sinks: dict[int, Sink]
    ) -> None:
        """Runs a program by its words.  Raises NotHere."""
        run = PROGRAMS.get(words[0].rpartition("/")[2])
        if run is None:
            raise NotHere(f"there is no program {words[0]}")
        io = Io(words, env, self, stdin, sinks)
        try:
            self.status = run(io) or 0
        except Exit as end:
            self.status = int(end.args[0])
        except OSError as error:
            io.message(f"{error.filename}: {error.strerror}")
            self.status = 1
        io.flush()

    def expand(self, word: Word) -> list[str]:
        """The words that a word becomes."""
        words: list[str] = []
        current: str | None = None
        pattern = False
        for part in word:
            text = part.text
            if part.kind == "name":
                text = str(self.status) if text == "?" else self.env.get(text, "")
            elif part.kind == "run":
                text = self.substitute(text)
            if part.quoted or part.kind == "text":
                current = (current or "") + text
                pattern = pattern or (not part.quoted and text in ("*", "?"))
                continue
            pieces = text.split()
            if not pieces:
                continue
            if text[:1].isspace() and current is not None:
                words.append(current)
                current = None
            pieces[0] = (current or "") + pieces[0]
            words += pieces[:-1]
            current = pieces[-1]
            if text[-1:].isspace():
                words.append(current)
                current = None
        if current is not None:
            words.append(current)
        if pattern and words:
            found = sorted(name for name in self.folder.names() if fnmatchcase(name, words[-1]))
            words[-1:] = found or words[-1:]
        return words

    def substitute(self, text: str) -> str:
        """The output of a script, without its last newlines."""
        sink = Sink()
        self.execute(Parser(text).script(), Source(), {1: sink, 2: Sink()})
        return bytes(sink.data).decode("utf-8", "surrogateescape").rstrip("\n")
