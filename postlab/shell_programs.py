"""Small programs that one looks at things with, on the files of a simulated machine.

A program gets its arguments, its standard input and the files; it gives its exit status and what it
prints.  They know the options that are used most, and refuse others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import groupby

from mta.system import Files

Result = tuple[int, str]
Program = Callable[[list[str], str, Files], Result]

#: Programs that every machine has and this one does not.
USUAL = frozenset(
    ("awk", "cut", "date", "dig", "expr", "find", "host", "hostname", "id", "kill", "ln", "logger",
     "mail", "mkdir", "mv", "nc", "openssl", "perl", "ps", "python3", "rm", "sed", "service", "su",
     "sudo", "systemctl", "tee", "touch", "tr", "who", "xargs")
)  # fmt: skip

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "0": "\0", "a": "\a", "b": "\b"}
#: What has a meaning in basic regular expressions only after a backslash.
_SWAPPED = re.compile(r"\\([(){}|+?])|([(){}|+?])")


class _Unusable(Exception):
    """args: exit status, what is said."""


def _options(
    words: list[str], name: str, flags: str, valued: str = ""
) -> tuple[dict[str, str], list[str]]:
    """Options by letter, and operands."""
    found: dict[str, str] = {}
    rest = list(words)
    while rest and len(rest[0]) > 1 and rest[0][0] == "-":
        word = rest.pop(0)
        if word == "--":
            break
        if word[1:].isdigit() and "n" in valued:
            found["n"] = word[1:]
            continue
        for place, letter in enumerate(word[1:], 1):
            if letter in valued:
                found[letter] = word[place + 1 :] or (rest.pop(0) if rest else "")
                break
            if letter not in flags:
                raise _Unusable(2, f"{name}: option -{letter} is not simulated\n")
            found[letter] = ""
    return found, rest


def _texts(
    names: list[str], stdin: str, files: Files, name: str, status: int
) -> Iterator[tuple[str, str]]:
    """(name, content) of files, or of standard input.  Raises _Unusable."""
    for path in names or ["-"]:
        if path == "-":
            yield path, stdin
            continue
        try:
            yield path, files.read(path).decode("utf-8", "surrogateescape")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "No such file or directory"
            raise _Unusable(status, f"{name}: {path}: {why}\n") from None


def _cat(words: list[str], stdin: str, files: Files) -> Result:
    _, names = _options(words, "cat", "")
    return 0, "".join(text for _, text in _texts(names, stdin, files, "cat", 1))


def _lines(words: list[str], stdin: str, files: Files, name: str) -> tuple[int, list[str]]:
    options, names = _options(words, name, "q", "n")
    text = "".join(text for _, text in _texts(names, stdin, files, name, 1))
    count = options.get("n", "10")
    if not count.lstrip("+-").isdigit():
        raise _Unusable(1, f"{name}: invalid number of lines: '{count}'\n")
    return int(count.lstrip("+-")), text.splitlines(keepends=True)


def _head(words: list[str], stdin: str, files: Files) -> Result:
    count, lines = _lines(words, stdin, files, "head")
    return 0, "".join(lines[:count])


def _tail(words: list[str], stdin: str, files: Files) -> Result:
    count, lines = _lines(words, stdin, files, "tail")
    return 0, "".join(lines[-count:] if count else [])


def _grep(words: list[str], stdin: str, files: Files) -> Result:
    options, operands = _options(words, "grep", "EFivcqhHnowx", "e")
    if "e" not in options and not operands:
        raise _Unusable(2, "grep: there is no pattern\n")
    pattern = options["e"] if "e" in options else operands.pop(0)
    if "F" in options:
        pattern = re.escape(pattern)
    elif "E" not in options:
        pattern = _SWAPPED.sub(lambda m: m[1] or "\\" + m[2], pattern)
    if "w" in options:
        pattern = rf"\b(?:{pattern})\b"
    if "x" in options:
        pattern = rf"^(?:{pattern})$"
    try:
        wanted = re.compile(pattern, re.IGNORECASE if "i" in options else 0)
    except re.error as error:
        raise _Unusable(2, f"grep: {error}\n") from None
    output, some = "", False
    named = "H" in options or (len(operands) > 1 and "h" not in options)
    for path, text in _texts(operands, stdin, files, "grep", 2):
        head = f"{path}:" if named else ""
        numbered = enumerate(text.splitlines(), 1)
        found = [
            (n, line) for n, line in numbered if (wanted.search(line) is None) == ("v" in options)
        ]
        some = some or bool(found)
        if "c" in options:
            output += f"{head}{len(found)}\n"
        elif "o" in options:
            output += "".join(f"{head}{m[0]}\n" for _, line in found for m in wanted.finditer(line))
        else:
            output += "".join(
                f"{head}{f'{n}:' if 'n' in options else ''}{line}\n" for n, line in found
            )
    return int(not some), "" if "q" in options else output


def _wc(words: list[str], stdin: str, files: Files) -> Result:
    options, names = _options(words, "wc", "lwc")
    output = ""
    for path, text in _texts(names, stdin, files, "wc", 1):
        size = len(text.encode("utf-8", "surrogateescape"))
        counts = {"l": text.count("\n"), "w": len(text.split()), "c": size}
        chosen = [count for key, count in counts.items() if key in options or not options]
        width = 1 if len(chosen) == 1 else 7
        shown = " ".join(f"{count:{width}}" for count in chosen)
        output += shown + (f" {path}" if path != "-" else "") + "\n"
    return 0, output


def _sort(words: list[str], stdin: str, files: Files) -> Result:
    options, names = _options(words, "sort", "run")
    lines = "".join(text for _, text in _texts(names, stdin, files, "sort", 2)).splitlines()

    def key(line: str) -> tuple[float, str]:
        match = re.match(r"\s*-?\d+(?:\.\d+)?", line) if "n" in options else None
        return (float(match[0]) if match else 0.0, line)

    found = sorted(lines, key=key, reverse="r" in options)
    if "u" in options:
        found = list(dict.fromkeys(found))
    return 0, "".join(f"{line}\n" for line in found)


def _uniq(words: list[str], stdin: str, files: Files) -> Result:
    options, names = _options(words, "uniq", "cd")
    lines = "".join(text for _, text in _texts(names, stdin, files, "uniq", 1)).splitlines()
    runs = [(line, len(list(same))) for line, same in groupby(lines)]
    if "d" in options:
        runs = [(line, count) for line, count in runs if count > 1]
    return 0, "".join(
        f"{count:7} {line}\n" if "c" in options else f"{line}\n" for line, count in runs
    )


def _ls(words: list[str], _: str, files: Files) -> Result:
    options, names = _options(words, "ls", "1a")
    output = ""
    for path in names or ["/"]:
        if not files.exists(path):
            raise _Unusable(2, f"ls: cannot access '{path}': No such file or directory\n")
        if files.stat(path).is_dir:
            shown = sorted(n for n in files.list(path) if "a" in options or not n.startswith("."))
            output += f"{path}:\n" if len(names) > 1 else ""
            output += "".join(f"{name}\n" for name in shown)
        else:
            output += f"{path}\n"
    return 0, output


def _echo(words: list[str], _: str, __: Files) -> Result:
    end = "\n"
    if words[:1] == ["-n"]:
        words, end = words[1:], ""
    return 0, " ".join(words) + end


def _printf(words: list[str], _: str, __: Files) -> Result:
    if not words:
        raise _Unusable(2, "printf: usage: printf format [arguments]\n")
    form = re.sub(r"\\([ntr\\0ab])", lambda m: _ESCAPES[m[1]], words[0])
    places = sum(match != "%%" for match in re.findall("%[sbd%]", form))
    values = words[1:]
    output = _filled(form, values[:places])
    while places and len(values) > places:  # the format is used again for what is left
        values = values[places:]
        output += _filled(form, values[:places])
    return 0, output


def _filled(form: str, values: list[str]) -> str:
    left = iter(values)

    def fill(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        value = next(left, "")
        return str(int(value or 0)) if match[0] == "%d" else value

    return re.sub("%[sbd%]", fill, form)


def _test(words: list[str], _: str, files: Files) -> Result:
    if words[:1] == ["!"]:
        return 1 - _test(words[1:], _, files)[0], ""
    match words:
        case ["-f" | "-e" | "-r" | "-s" | "-d" as kind, path]:
            there = files.exists(path)
            is_dir = there and files.stat(path).is_dir
            good = is_dir if kind == "-d" else there and (kind in ("-e", "-r") or not is_dir)
            if good and kind == "-s":
                good = files.stat(path).size > 0
        case ["-z" | "-n" as kind, text]:
            good = (text == "") == (kind == "-z")
        case [left, "=" | "!=" as sign, right]:
            good = (left == right) == (sign == "=")
        case [left, "-eq" | "-ne" | "-gt" | "-ge" | "-lt" | "-le" as sign, right]:
            try:
                one, two = int(left), int(right)
            except ValueError:
                raise _Unusable(2, f"test: Illegal number: {left} {right}\n") from None
            good = {"-eq": one == two, "-ne": one != two, "-gt": one > two, "-ge": one >= two,
                    "-lt": one < two, "-le": one <= two}[sign]  # fmt: skip
        case [text]:
            good = text != ""
        case []:
            good = False
        case _:
            raise _Unusable(2, f"test: not simulated: {' '.join(words)}\n")
    return int(not good), ""


def _bracket(words: list[str], stdin: str, files: Files) -> Result:
    if words[-1:] != ["]"]:
        raise _Unusable(2, "[: missing ]\n")
    return _test(words[:-1], stdin, files)


def _usable(made: Program) -> Program:
    def run(words: list[str], stdin: str, files: Files) -> Result:
        try:
            return made(words, stdin, files)
        except _Unusable as error:
            return error.args[0], error.args[1]
        except ValueError as error:
            return 2, f"{error}\n"

    return run


#: The programs by name.
PROGRAMS: dict[str, Program] = {
    name: _usable(made)
    for name, made in {
        "[": _bracket, "cat": _cat, "echo": _echo, "grep": _grep, "head": _head, "ls": _ls,
        "printf": _printf, "sort": _sort, "tail": _tail, "test": _test, "uniq": _uniq, "wc": _wc,
        "true": lambda *_: (0, ""), "false": lambda *_: (1, ""),
    }.items()
}  # fmt: skip
