"""How postconf(1) changes ``main.cf`` and ``master.cf``: comments and layout stay."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mta.conf.postconf.entries import COMMAND, Entry, EntryError, edit_field, edit_param, entry_text
from mta.conf.postconf.htable import htable_order
from mta.conf.postconf.session import Session
from mta.conf.postconf.show import WILDCARD, field_index, matches_service, split_pattern
from mta.util.scalars import BLANKS, C_SPACE, split, split_name_value

_KEY = re.compile(r"[^ \t\r\n=]*")
_OPTIONS = "-Me, -Fe, -Pe, -X, or -#"


class _Lines:
    """The physical lines of a file, each with its newline; what is no content is passed on."""

    def __init__(self, text: str, out: list[str]) -> None:
        self.lines = [line + "\n" for line in text.split("\n")]
        self.lines[-1] = self.lines[-1][:-1]
        if not self.lines[-1]:
            self.lines.pop()
        self.out = out
        self.index = 0

    def next_content(self) -> str | None:
        """The next line that is no comment and not blank."""
        while self.index < len(self.lines):
            line = self.lines[self.index]
            self.index += 1
            if _is_content(line):
                return line
            self.out.append(line)
        return None

    def continuation(self) -> str:
        """All lines that continue the last one."""
        found: list[str] = []
        while self.index < len(self.lines) and self.lines[self.index][0] in "#" + C_SPACE:
            line = self.lines[self.index]
            self.index += 1
            (found if _is_content(line) else self.out).append(line)
        return "".join(found)


def _is_content(line: str) -> bool:
    text = line.lstrip(C_SPACE)
    return bool(text) and text[0] != "#"


def _rewrite(session: Session, path: str, edit: Callable[[_Lines], None]) -> None:
    """Reads a file, and writes what ``edit`` leaves in the output."""
    try:
        text = session.files.read(path)
    except OSError as error:
        session.terminal.fatal(f"open {path} for reading: {error.strerror}")
    lines = _Lines(text, [])
    edit(lines)
    try:
        session.files.write(path, "".join(lines.out))
    except OSError as error:
        session.terminal.fatal(f"close {path}.tmp: {error.strerror}")


def edit_main(session: Session, arguments: Sequence[str]) -> None:
    """Sets, comments out or takes away parameters of ``main.cf``."""
    wanted = dict(_main_request(session, argument) for argument in arguments)
    path = session.main_path()
    counts = dict.fromkeys(wanted, 0)
    comment = "#" in session.options

    def edit(lines: _Lines) -> None:
        touched = False
        while (line := lines.next_content()) is not None:
            if line[0] in C_SPACE:
                if not touched:
                    lines.out.append(line)
                elif comment:
                    lines.out.append("#" + line)
                continue
            match = _KEY.match(line)
            name = match[0] if match else ""
            touched = name in wanted
            if not touched:
                lines.out.append(line)
                continue
            if counts[name] == 1:
                session.terminal.warning(f'{path}: multiple entries for "{name}"')
            counts[name] += 1
            if "e" in session.options:
                lines.out.append(f"{name} = {wanted[name]}\n")
            elif comment:
                lines.out.append("#" + line)
        if "e" in session.options:
            for name in htable_order(wanted, len(arguments)):
                if not counts[name]:
                    lines.out.append(f"{name} = {wanted[name]}\n")

    _rewrite(session, path, edit)


def _main_request(session: Session, argument: str) -> tuple[str, str]:
    fatal = session.terminal.fatal
    if "\n" in argument:
        fatal("-e, -X, or -# accepts no multi-line input")
    text = argument.lstrip(C_SPACE)
    if text.startswith("#"):
        fatal("-e, -X, or -# accepts no comment input")
    if "e" in session.options:
        pair = split_name_value(text)
        if isinstance(pair, str):
            fatal(f'{pair}: "{text}"')
        return pair
    if not text:
        fatal("-X or -# requires non-blank parameter names")
    if "=" in text:
        fatal("-X or -# requires parameter names without value")
    return text, ""


@dataclass(slots=True)
class _Request:
    """A change of ``master.cf``; ``value`` is None for taking away."""

    text: str
    pattern: list[str]
    value: str | None
    field: int = 0
    hits: int = 0


def edit_master(session: Session, arguments: Sequence[str]) -> None:
    """Changes entries, fields or settings of ``master.cf``."""
    requests = [_master_request(session, argument) for argument in arguments]
    path = session.master_path()

    def edit(lines: _Lines) -> None:
        _edit_lines(session, requests, lines, path)
        for request in requests:
            if request.hits:
                continue
            if "M" in session.options:
                if "e" in session.options:
                    entry = session.parse(request.value or "", f'{{error}}: "{request.text}"')
                    lines.out.append(entry_text(entry, True))
            else:
                session.terminal.warning(f'unmatched service_name/type: "{request.text}"')

    _rewrite(session, path, edit)


def _master_request(session: Session, argument: str) -> _Request:
    """One argument of the command line."""
    fatal = session.terminal.fatal
    options = session.options
    if "\n" in argument:
        fatal(f"{_OPTIONS} accept no multi-line input")
    text = argument.lstrip(C_SPACE)
    if text.startswith("#"):
        fatal(f"{_OPTIONS} accept no comment input")
    value: str | None = None
    if "e" in options:
        pair = split_name_value(text)
        if isinstance(pair, str):
            fatal(f'{pair}: "{argument}"')
        text, value = pair
    else:
        if "=" in text:
            fatal("-X or -# requires names without value")
    blanks = value is not None and any(char in BLANKS for char in value)
    if "M" in options:
        pattern = split_pattern(text, 2, 2)
        if pattern is None:
            fatal("-Me, -MX or -M# requires service_name/type")
        return _Request(argument, pattern, value)
    pattern = split_pattern(text, 3, 3)
    if "F" in options:
        if pattern is None:
            fatal("-Fe or -FX requires service_name/type/field_name")
        field = field_index(session, pattern[2])
        if field is None:
            fatal("-Fe does not accept wild-card field name")
        if blanks and field < COMMAND:
            fatal("-Fe does not accept whitespace in non-command field")
        return _Request(argument, pattern, value, field)
    if pattern is None:
        fatal("-Pe or -PX requires service_name/type/parameter")
    if pattern[2] == WILDCARD:
        fatal("-Pe does not accept wild-card parameter name")
    if blanks:
        fatal("-Pe does not accept whitespace in parameter value")
    return _Request(argument, pattern, value)


def _edit_lines(session: Session, requests: Sequence[_Request], lines: _Lines, path: str) -> None:
    """Goes over the file and changes what is asked for."""
    options = session.options
    touched = False
    while (line := lines.next_content()) is not None:
        if line[0] in C_SPACE:
            if not touched:
                lines.out.append(line)
            elif "#" in options:
                lines.out.append("#" + line)
            continue
        name, type = _service_of(session, line, f"file {path}: line {lines.index}")
        entry: Entry | None = None
        touched = False
        for request in requests:
            if not matches_service(request.pattern, name, type):
                continue
            touched = True
            request.hits += 1
            if "e" in options and "M" in options:
                entry = session.parse(request.value or "", f'{{error}}: "{request.text}"')
            elif "e" in options or ("P" in options and "X" in options):
                if entry is None:
                    number = lines.index
                    text = line + lines.continuation()
                    entry = session.parse(text, f"file {path}: line {number}: {{error}}")
                _change(session, entry, request)
        if entry is not None:
            lines.out.append(entry_text(entry, True))
        elif not touched:
            lines.out.append(line)
        elif "#" in options:
            lines.out.append("#" + line)


def _service_of(session: Session, line: str, where: str) -> tuple[str, str]:
    """The name and type in the first line of an entry."""
    fatal = session.terminal.fatal
    words = split(line, BLANKS)
    if len(words) < 2:
        fatal(f"{where}: specify service name and type on the same line")
    if "=" in words[0]:
        fatal(f'{where}: service name syntax "{words[0]}" is unsupported with {_OPTIONS}')
    if "=" in words[1] or "/" in words[1]:
        fatal(f'{where}: service type syntax "{words[1]}" is unsupported with {_OPTIONS}')
    return words[0], words[1]


def _change(session: Session, entry: Entry, request: _Request) -> None:
    """Changes a field or a setting of an entry."""
    if "F" not in session.options:
        edit_param(entry, request.pattern[2], request.value)
        return
    try:
        edit_field(entry, request.field, request.value or "", session.terminal.warning)
    except EntryError as error:
        session.terminal.fatal(str(error))
