"""The programs of a UNIX system that test commands use, as far as they use them."""

from __future__ import annotations

import re

from tests.vectors.shell import Io, NotHere, Parser, Shell, program

_CLASSES = {
    "[:alpha:]": "a-zA-Z",
    "[:digit:]": "0-9",
    "[:alnum:]": "a-zA-Z0-9",
    "[:upper:]": "A-Z",
    "[:lower:]": "a-z",
    "[:space:]": r"\s",
    "[:blank:]": r" \t",
}


def basic_expression(pattern: str) -> str:
    """A POSIX basic regular expression as Python writes it."""
    result = ""
    place = 0
    while place < len(pattern):
        char = pattern[place]
        place += 1
        if char == "\\":
            following = pattern[place : place + 1]
            place += 1
            result += following if following in "(){}|+?" else re.escape(following)
            if following.isdigit():
                result = result[: -len(re.escape(following))] + "\\" + following
        elif char == "[":
            end = pattern.index("]", place + 1 + pattern.startswith("^", place))
            while pattern[place:end].count("[:") > pattern[place:end].count(":]"):
                end = pattern.index("]", end + 1)
            inner = pattern[place:end]
            for name, chars in _CLASSES.items():
                inner = inner.replace(name, chars)
            result += "[" + inner.replace("[", r"\[") + "]"
            place = end + 1
        elif char in "(){}|+?":
            result += re.escape(char)
        elif char == "*" and not result:
            result += r"\*"
        else:
            result += char
    return result


def _inputs(io: Io, names: list[str]) -> str:
    """The content of files, or of the input."""
    data = b"".join(
        io.stdin.take() if name == "-" else io.folder.read(name) for name in names or ["-"]
    )
    return data.decode("utf-8", "surrogateescape")


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _options(io: Io, known: str) -> str:
    """Takes letters without arguments."""
    letters = ""
    while io.args and io.args[0].startswith("-") and len(io.args[0]) > 1:
        word = io.args.pop(0)
        if word == "--":
            break
        if not set(word[1:]) <= set(known):
            raise NotHere(f"{io.name} {word}")
        letters += word[1:]
    return letters


@program("true", ":", "touch", "set", "sync", "sleep")
def true(io: Io) -> int:
    """Does nothing that shows."""
    return 0


@program("false")
def false(io: Io) -> int:
    """Fails."""
    return 1


@program("exit")
def leave(io: Io) -> int:
    """Only the status."""
    return int(io.args[0]) if io.args else 0


@program("echo")
def echo(io: Io) -> None:
    """As a shell's own."""
    end = "\n"
    if io.args[:1] == ["-n"]:
        io.args.pop(0)
        end = ""
    io.out(" ".join(io.args) + end)


@program("printf")
def printf(io: Io) -> None:
    """Only %s, %d and backslashes."""
    text = io.args[0].encode("latin-1", "backslashreplace").decode("unicode_escape")
    io.out(text % tuple(io.args[1:]) if "%" in text else text)


@program("cat")
def cat(io: Io) -> None:
    """Files, or the input."""
    io.out(_inputs(io, io.args))


@program("cp")
def cp(io: Io) -> None:
    """One file."""
    _options(io, "fp")
    source, target = io.args
    io.folder.write(target, io.folder.read(source))


@program("mv")
def mv(io: Io) -> None:
    """One file."""
    _options(io, "f")
    source, target = io.args
    if target.rstrip("/") == "/tmp":
        target = f"/tmp/{source}"
    io.folder.write(target, io.folder.read(source))
    io.folder.remove(source)


@program("rm")
def rm(io: Io) -> None:
    """Files, if they are there."""
    _options(io, "f")
    for name in io.args:
        io.folder.remove(name)


@program("grep", "egrep", "fgrep")
def grep(io: Io) -> int:
    """Lines that match."""
    letters = _options(io, "viEFc")
    pattern = io.args.pop(0)
    if io.name == "fgrep" or "F" in letters:
        pattern = re.escape(pattern)
    elif io.name == "grep" and "E" not in letters:
        pattern = basic_expression(pattern)
    found = re.compile(pattern, re.IGNORECASE if "i" in letters else 0)
    lines = [
        line
        for line in _lines(_inputs(io, io.args))
        if bool(found.search(line)) != ("v" in letters)
    ]
    io.out(f"{len(lines)}\n" if "c" in letters else "".join(f"{line}\n" for line in lines))
    return 0 if lines else 1


@program("sed")
def sed(io: Io) -> None:
    """Substitutions, and deletions of lines by number or pattern."""
    scripts: list[str] = []
    while io.args and io.args[0] == "-e":
        io.args.pop(0)
        scripts.append(io.args.pop(0))
    if not scripts:
        scripts.append(io.args.pop(0))
    if scripts[0].startswith("-"):
        raise NotHere(f"sed {scripts[0]}")
    commands = [part.strip() for script in scripts for part in _sed_parts(script)]
    for number, line in enumerate(_lines(_inputs(io, io.args)), 1):
        text: str | None = line
        for command in commands:
            if text is not None:
                text = _sed(command, text, number)
        if text is not None:
            io.out(f"{text}\n")


def _sed_parts(script: str) -> list[str]:
    """The commands of a script, which ``;`` separates outside of patterns."""
    parts: list[str] = []
    while script.strip():
        script = script.lstrip(" ;\n")
        found = re.match(r"s(.)(?:\\.|(?!\1).)*\1(?:\\.|(?!\1).)*\1[gp0-9]*", script)
        end = found.end() if found else (script + ";").find(";")
        parts.append(script[:end])
        script = script[end:]
    return parts


def _sed(command: str, line: str, number: int) -> str | None:
    if command.startswith("s"):
        mark = re.escape(command[1])
        parts = re.fullmatch(
            rf"s{mark}((?:\\.|(?!{mark}).)*){mark}((?:\\.|(?!{mark}).)*){mark}(g?)", command
        )
        if parts is None:
            raise NotHere(f"sed {command}")
        pattern = basic_expression(parts[1].replace(f"\\{command[1]}", command[1]))
        replacement = re.sub(r"(?<!\\)&", r"\\g<0>", parts[2]).replace(r"\&", "&")
        return re.sub(pattern, replacement, line, count=0 if parts[3] else 1)
    found = re.fullmatch(r"(?:(\d+)|/(.*)/)d", command)
    if found is None:
        raise NotHere(f"sed {command}")
    if found[1]:
        return None if number == int(found[1]) else line
    return None if re.search(basic_expression(found[2]), line) else line


@program("sort")
def sort(io: Io) -> None:
    """By bytes."""
    letters = _options(io, "ru")
    lines = [line.encode("utf-8", "surrogateescape") for line in _lines(_inputs(io, io.args))]
    if "u" in letters:
        lines = list(set(lines))
    io.out(b"".join(line + b"\n" for line in sorted(lines, reverse="r" in letters)))


@program("awk")
def awk(io: Io) -> None:
    """Only a BEGIN block that prints."""
    program_text = io.args[0].strip()
    if not program_text.startswith("BEGIN"):
        raise NotHere(f"awk {program_text}")
    body = program_text[len("BEGIN") :].strip().strip("{}")
    for statement in filter(None, (part.strip() for part in re.split(r"[;\n]", body))):
        verb, _, rest = statement.partition(" ")
        if verb == "exit":
            return
        values = [_awk_value(text) for text in _awk_arguments(rest)]
        if verb == "print":
            io.out(" ".join(map(str, values)) + "\n")
        elif verb == "printf":
            io.out(_awk_format(str(values[0]), values[1:]))
        else:
            raise NotHere(f"awk {statement}")


def _awk_arguments(text: str) -> list[str]:
    return re.findall(r'"(?:[^"\\]|\\.)*"|\d+', text)


def _awk_value(text: str) -> str | int:
    if text.isdigit():
        return int(text)
    return text[1:-1].replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"')


def _awk_format(form: str, values: list[str | int]) -> bytes:
    rest = iter(values)

    def one(found: re.Match[str]) -> str:
        value = next(rest)
        if found[0] == "%c" and isinstance(value, int):
            return bytes([value]).decode("utf-8", "surrogateescape")
        return str(value)

    return re.sub(r"%[cds]", one, form).encode("utf-8", "surrogateescape")


@program("uniq")
def uniq(io: Io) -> None:
    """Without repeated lines."""
    last: str | None = None
    for line in _lines(_inputs(io, io.args)):
        if line != last:
            io.out(f"{line}\n")
        last = line


@program("head")
def head(io: Io) -> None:
    """The first lines."""
    count = 10
    if io.args and (found := re.fullmatch(r"-n?(\d+)", io.args[0])):
        count = int(found[1])
        io.args.pop(0)
    io.out("".join(f"{line}\n" for line in _lines(_inputs(io, io.args))[:count]))


@program("tr")
def tr(io: Io) -> None:
    """Characters for others; ``[A-Z]`` and the like."""
    source, target = (_range(text) for text in io.args)
    table = {ord(a): b for a, b in zip(source, target, strict=False)}
    io.out(_inputs(io, []).translate(table))


def _range(text: str) -> str:
    return re.sub(
        r"(.)-(.)",
        lambda found: "".join(chr(n) for n in range(ord(found[1]), ord(found[2]) + 1)),
        text,
    )


_ESCAPES = {0: "\\0", 7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r"}


@program("od")
def od(io: Io) -> None:
    """Only ``-cb``: characters and octal numbers."""
    if "".join(_options(io, "cb")) != "cb":
        raise NotHere("od without -cb")
    data = b"".join(map(io.folder.read, io.args)) if io.args else io.stdin.take()
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        chars = "".join(
            f"{_ESCAPES.get(byte, chr(byte) if 32 <= byte < 127 else f'{byte:03o}'):>4}"
            for byte in row
        )
        io.out(f"{start:07o}{chars}\n       {''.join(f' {byte:03o}' for byte in row)}\n")
    io.out(f"{len(data):07o}\n")


@program("env")
def env(io: Io) -> int:
    """A command with more in its environment."""
    more = dict(io.env)
    words = list(io.args)
    while words and "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        more[name] = value
    io.flush()
    io.shell.call(words, more, io.stdin, io.sinks)
    return io.shell.status


@program("sh", "bash")
def sh(io: Io) -> int:
    """A script in a file, of the input, or as an argument."""
    if io.args[:1] == ["-c"]:
        text = io.args[1]
    elif io.args:
        text = io.folder.text(io.args[0])
    else:
        text = _inputs(io, [])
    shell = Shell(io.folder, dict(io.env), io.shell.context)
    shell.execute(Parser(text).script(), io.stdin, io.sinks)
    return shell.status
