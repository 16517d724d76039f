"""``main.cf``: its form, its names, its values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from mta.conf.conf import PARAMETERS
from mta.conf.errors import ConfError
from mta.conf.kinds import convert_int, convert_time
from mta.conf.main_cf import logical_lines
from mta.conf.postconf.session import Session
from mta.conf.postconf.terminal import PostconfExit, Terminal
from mta.conf.postconf.user import flag_unused, register_user
from mta.util.scalars import split_name_value
from postlab.check.context import TAKEN_APART, Context, Setting
from postlab.check.history import DROPPED, later_parameter

_UNUSED = re.compile(r"\S+/(main|master)\.cf: unused parameter: ([^=]+)=(.*)", re.DOTALL)
_UNDEFINED = re.compile(r"\S+/(main|master)\.cf: undefined parameter: (.*)", re.DOTALL)
_READ_ONLY = re.compile(r"\S+/(main|master)\.cf: read-only parameter assignment: ([^=]+)=")
_LEADING_BLANK = re.compile(r'.*logical line must not start with whitespace: "(.*)"')
_LIKE = 0.75
_NULLMX = "nullmx_reject_code"


def check_form(context: Context) -> None:
    """Lines that are no settings, and settings that come twice."""
    text, file, add = context.folder.text("main.cf"), context.main_file, context.found.add
    warnings: list[str] = []
    first: dict[str, int] = {}
    values: dict[str, str] = {}
    for line in logical_lines(text, file, warnings):
        pair = split_name_value(line.text)
        if isinstance(pair, str):
            what = f'{pair}: "{line.text.strip()}"; Postfix does not start with this line'
            add("error", "syntax", what, file=file, line=line.line)
            continue
        name, value = pair
        if name in first:
            same = " to the same value" if values[name] == value else "; this one counts"
            what = f"{name} is set already in line {first[name]}{same}"
            add("warning", "duplicate-setting", what, file=file, line=line.line, name=name)
        first[name], values[name] = line.line, value
    for warning in warnings:
        match = _LEADING_BLANK.fullmatch(warning)
        start = match[1].removesuffix("...") if match else ""
        number = text[: max(text.find(start), 0)].count("\n") + 1 if start else 0
        what = "a line that begins with a blank continues the one before; here there is none"
        add("warning", "syntax", what, file=file, line=number)


class _Listener(Terminal):
    """Takes the warnings of postconf(1)."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []

    def message(self, text: str) -> None:
        """A warning, or a fatal error."""
        self.warnings.append(text)


class _Texts:
    """The files of the folder, as far as they make sense."""

    def __init__(self, context: Context) -> None:
        from postlab.check.master_rules import readable_lines

        self.folder = context.folder
        self.main = context.main
        self.entries = readable_lines(context)

    def read(self, path: str) -> str:
        """A text.  Raises OSError."""
        if path.endswith("/main.cf"):
            return "".join(f"{name} = {value}\n" for name, value in self.main.values.items())
        if not self.folder.has_master_cf:
            raise FileNotFoundError(2, "No such file or directory", path)
        return "".join(f"{text}\n" for text in self.entries)

    def write(self, path: str, text: str) -> None:
        """Never."""
        raise OSError(30, "Read-only file system", path)


def check_names(context: Context) -> None:
    """Names that nothing uses, and names that nothing defines."""
    terminal = _Listener()
    session = Session(_Texts(context), context.machine.host, terminal)
    session.config_directory = context.folder.shown
    try:
        session.read_main()
        session.register_builtin()
        session.read_master(required=False)
        session.register_services()
        register_user(session)
        flag_unused(session)
    except PostconfExit:
        pass  # what is so bad is found by others
    known = [name for name in session.table if name not in ("process_id", "process_name")]
    for text in terminal.warnings:
        text = text.removeprefix("warning: ")
        if (match := _UNUSED.fullmatch(text)) is not None:
            _unused(context, match[1], match[2], known)
        elif (match := _UNDEFINED.fullmatch(text)) is not None:
            _undefined(context, match[1], match[2], known)
        elif (match := _READ_ONLY.match(text)) is not None:
            what = f"{match[2]} cannot be set: each process knows its own"
            _add(context, "warning", "read-only-parameter", what, match[1], match[2])


def _add(context: Context, severity: str, rule: str, message: str, file: str, name: str) -> None:
    if file == "main":
        place, line = context.main_file, context.line_of(name)
    else:
        place = context.master_file
        lines = (entry.line for entry in context.entries if name in entry.overrides)
        line = next(lines, 0)
    add = context.found.add
    add(severity, rule, message, file=place, line=line, name=name)


def _unused(context: Context, file: str, name: str, known: Iterable[str]) -> None:
    if name == _NULLMX:
        what = (
            f"{name} is in the release notes of 3.0, but 3.0.15 itself ignores it: it answers with"
            " 550 or 556"
        )
        _add(context, "note", "ignored-parameter", what, file, name)
        return
    if name in DROPPED:
        since, instead = DROPPED[name]
        what = f"{name} was dropped in Postfix {since}: {instead}"
        _add(context, "warning", "dropped-parameter", what, file, name)
        return
    version = later_parameter(name)
    if version is not None:
        what = f"{name} came with Postfix {version}; 3.0 does not know it, and ignores it"
        _add(context, "warning", "later-parameter", what, file, name)
        return
    near = nearest(name, known)
    if near:
        what = f"there is no parameter {name}; did you mean {near}?"
        _add(context, "error", "unknown-parameter", what, file, name)
    else:
        what = f"there is no parameter {name}, and nothing refers to ${name}"
        _add(context, "warning", "unused-parameter", what, file, name)


def _undefined(context: Context, file: str, name: str, known: Iterable[str]) -> None:
    near = nearest(name, known)
    guess = f"; did you mean ${near}?" if near else ""
    version = later_parameter(name)
    if version is not None:
        guess = f": it came with Postfix {version}"
    what = f"${name} is not defined, and counts as empty{guess}"
    for setting in context.settings:
        text = re.sub(r"\s+", " ", setting.value)
        used = re.search(rf"\$\{{?\(?{re.escape(name)}\b", text)
        if used and (setting.entry is None) == (file == "main"):
            place = context.file_of(setting)
            context.found.add(
                "warning", "undefined-name", what, file=place, line=setting.line, name=setting.name
            )
            return
    _add(context, "warning", "undefined-name", what, file, name)


def nearest(name: str, known: Iterable[str]) -> str:
    """The name that somebody may have meant, or nothing."""
    near = difflib.get_close_matches(name, sorted(known), 1, _LIKE)
    return near[0] if near else ""


def check_values(context: Context) -> None:
    """Values that Postfix cannot take."""
    for setting in context.settings:
        try:
            _check_value(context, setting)
        except ConfError as error:
            context.found.add(
                "error",
                "bad-value",
                _hinted(context, setting, error.text),
                file=context.file_of(setting),
                line=setting.line,
                name=setting.name,
            )


def _check_value(context: Context, setting: Setting) -> None:
    """Raises ConfError."""
    name = setting.name
    parameter = PARAMETERS.get(name)
    program, overrides = "", {}
    if setting.entry is not None:
        program, overrides = setting.entry.program, setting.entry.overrides
    if parameter is not None:
        conf = context.view(program if program in _PROGRAMS else "", overrides)
        conf.evaluate(parameter, own=True)
        if name in TAKEN_APART and name != "proxy_interfaces":  # that may need a name service
            taken = {**overrides, name: setting.value}
            TAKEN_APART[name](context.view("", taken, context.sound_main))
        return
    conf = context.view("", overrides)
    default = context.service_parameters.get(name)
    if default is None:
        conf.expand(setting.value)
        return
    text = conf.expand(setting.value)
    kind = PARAMETERS[default].kind if default in PARAMETERS else "str"
    if kind in ("int", "nint"):
        convert_int(name, text)
    elif kind == "time":
        convert_time(name, text, PARAMETERS[default].default[-1:] or "s")


_PROGRAMS = frozenset(("smtp", "lmtp", "smtpd", "cleanup", "qmgr", "local", "virtual", "pipe"))


def _hinted(context: Context, setting: Setting, text: str) -> str:
    """The complaint, and what it may come from."""
    if setting.name == "compatibility_level" and "." in setting.value:
        return f"{text}; levels such as {setting.value} came with Postfix 3.6, 3.0 knows 0, 1 and 2"
    if "macro processing error" in text:
        return f"the expression in {setting.name} has an error: {setting.value}"
    return text
