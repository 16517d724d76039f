"""postmap(1), postalias(1) - build lookup tables, and ask them.

DESCRIPTION
    Without ``-q``, ``-d`` or ``-s`` a table is built from its text.  ``-q key`` asks tables in turn
    (``-q -``: for each line of the input; with ``-h``, ``-b``, ``-m`` the input is a message),
    ``-d key`` removes an entry, ``-s`` lists all.  ``-i`` adds entries from the input to a table.

DIAGNOSTICS
    Exit status 1 where nothing was found; ``table ...: query error``.

CONFIGURATION PARAMETERS
    config_directory, default_database_type, header_size_limit, mime_boundary_length_limit,
    mime_nesting_limit, smtputf8_enable
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mta.commands.command import Command, command
from mta.dict.errors import TableError
from mta.dict.flags import (
    DICT_FLAG_BULK_UPDATE,
    DICT_FLAG_DUP_IGNORE,
    DICT_FLAG_DUP_REPLACE,
    DICT_FLAG_DUP_WARN,
    DICT_FLAG_FOLD_FIX,
    DICT_FLAG_LOCK,
    DICT_FLAG_TRY0NULL,
    DICT_FLAG_TRY1NULL,
    DICT_FLAG_UTF8_ACTIVE,
    DICT_FLAG_UTF8_REQUEST,
    O_CREAT,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
)
from mta.dict.process import absolute_path
from mta.dict.registry import Dict, can_build, open_table
from mta.dict.source import postalias_entries, postmap_entries
from mta.dict.tablefile import Entry
from mta.system import Wait
from mta.wire.header_opts import header_table
from mta.wire.mime_state import (
    MIME_OPT_DISABLE_MIME,
    MimeBody,
    MimeHeadEnd,
    MimeHeader,
    MimeState,
    mime_state_detail,
)
from mta.wire.text import to_text

_ONLY_ONE = "specify only one of -s -q or -d"
_USAGE = {
    "postmap": "usage: {0} [-NfinoprsuUvw] [-c config_dir] [-d key] [-q key] [map_type:]file...",
    "postalias": "usage: {0} [-Nfinoprsuvw] [-c config_dir] [-d key] [-q key] [map_type:]file...",
}
_LETTERS = {"postmap": "Nbc:d:fhimnopq:rsuUvw", "postalias": "Nc:d:finopq:rsuvw"}

#: What an option does to the flags of the tables: bits off, bits on.
_FLAGS = {
    "N": (DICT_FLAG_TRY0NULL, DICT_FLAG_TRY1NULL),
    "n": (DICT_FLAG_TRY1NULL, DICT_FLAG_TRY0NULL),
    "f": (DICT_FLAG_FOLD_FIX, 0),
    "r": (DICT_FLAG_DUP_WARN | DICT_FLAG_DUP_IGNORE, DICT_FLAG_DUP_REPLACE),
    "w": (DICT_FLAG_DUP_WARN | DICT_FLAG_DUP_REPLACE, DICT_FLAG_DUP_IGNORE),
    "u": (DICT_FLAG_UTF8_REQUEST, 0),
}
#: What stands between key and value in the answers to ``-q -`` and ``-s``.
_ANSWER = {"postmap": "\t", "postalias": ":\t"}
_DEFAULT_FLAGS = DICT_FLAG_DUP_WARN | DICT_FLAG_FOLD_FIX | DICT_FLAG_UTF8_REQUEST


@dataclass(slots=True)
class _Options:
    flags: int = _DEFAULT_FLAGS
    query: str | None = None
    delete: str | None = None
    sequence: bool = False
    incremental: bool = False
    keys: str = ""  #: of b, h, m
    force_utf8: bool = False


@command("postmap")
def postmap(cmd: Command) -> Wait[int]:
    """Builds or asks tables whose texts are ``key value`` lines."""
    return (yield from _main(cmd, "postmap"))


@command("postalias")
def postalias(cmd: Command) -> Wait[int]:
    """Builds or asks tables whose texts are ``name: value`` lines (aliases(5))."""
    return (yield from _main(cmd, "postalias"))


def _main(cmd: Command, kind: str) -> Wait[int]:
    usage = _USAGE[kind].format(cmd.name)
    options = _parse(cmd, kind, usage)
    if not cmd.args and not options.sequence:
        cmd.process.log.fatal(usage)
    _check_keys(cmd, options)
    locked = options.flags | DICT_FLAG_LOCK
    if options.delete is not None:
        return (yield from _delete(cmd, options.delete, locked))
    if options.query == "-":
        return (yield from _queries(cmd, kind, options, locked))
    if options.query is not None:
        return (yield from _query(cmd, options.query, locked))
    if options.sequence:
        return _sequence(cmd, kind, locked)
    for spec in cmd.args:
        yield from _build(cmd, kind, spec, options)
    return 0


def _parse(cmd: Command, kind: str, usage: str) -> _Options:
    options, fatal = _Options(), cmd.process.log.fatal
    for letter, argument in cmd.options(_LETTERS[kind], usage):
        if letter in _FLAGS:
            off, on = _FLAGS[letter]
            options.flags = options.flags & ~off | on
        elif letter in "dq":
            if options.sequence or options.query is not None or options.delete is not None:
                fatal(_ONLY_ONE)
            if letter == "q":
                options.query = argument
            else:
                options.delete = argument
        elif letter == "s":
            if options.query is not None or options.delete is not None:
                fatal("specify only one of -s or -q or -d")
            options.sequence = True
        elif letter == "i":
            options.incremental = True
        elif letter in "bhm":
            options.keys += letter
        elif letter == "U":
            options.force_utf8 = True
    return options


def _check_keys(cmd: Command, options: _Options) -> None:
    if options.keys and options.query != "-":
        cmd.process.log.fatal('specify -b -h or -m only with "-q -"')
    if options.keys and not options.keys.strip("m"):
        cmd.process.log.warning("ignoring -m option without -b or -h")
    if options.keys.strip("m") and not options.force_utf8:
        options.flags &= ~(DICT_FLAG_UTF8_REQUEST | DICT_FLAG_UTF8_ACTIVE)


def _full_name(cmd: Command, spec: str) -> str:
    """``type:name``; a bare name is of the default type."""
    return spec if ":" in spec else f"{cmd.process.conf.default_database_type}:{spec}"


def _open(cmd: Command, spec: str, open_flags: int, flags: int) -> Dict:
    return open_table(cmd.process, _full_name(cmd, spec), open_flags, flags)


def _is_proxy(spec: str) -> bool:
    return spec.startswith("proxy:")


def _lookup(cmd: Command, table: Dict, key: str) -> Wait[str | None]:
    """The value of a key, with a warning for an empty one; fatal where the lookup fails."""
    try:
        value = yield from table.lookup(key)
    except TableError as error:
        cmd.process.log.fatal(f"table {table.name}: query error: {error.errno_text}")
    if value == "":
        warning = cmd.process.log.warning
        warning(f"table {table.name}: key {key}: empty string result is not allowed")
        warning(f"table {table.name} should return NO RESULT in case of NOT FOUND")
    return value


def _query(cmd: Command, key: str, flags: int) -> Wait[int]:
    for spec in cmd.args:
        value = yield from _lookup(cmd, _open(cmd, spec, O_RDONLY, flags), key)
        if value is not None:
            cmd.write(f"{value}\n")
            return 0
    return 1


def _queries(cmd: Command, kind: str, options: _Options, flags: int) -> Wait[int]:
    """``-q -``: the keys are the lines, or the headers and body lines, of the input."""
    tables: dict[str, Dict] = {}
    found = False
    for key in _keys(cmd, options):
        for spec in cmd.args:
            if spec not in tables:
                tables[spec] = _open(cmd, spec, O_RDONLY, flags)
            value = yield from _lookup(cmd, tables[spec], key)
            if value is not None:
                cmd.write(f"{key}{_ANSWER[kind]}{value}\n")
                found = True
                break
    return 0 if found else 1


def _lines(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines


def _keys(cmd: Command, options: _Options) -> Iterator[str]:
    lines = _lines(cmd.stdin)
    if not options.keys:
        yield from (to_text(line) for line in lines)
        return
    conf = cmd.process.conf
    state = MimeState(
        0 if "m" in options.keys else MIME_OPT_DISABLE_MIME,
        conf.header_size_limit,
        conf.mime_nesting_limit,
        conf.mime_boundary_length_limit,
        header_table(""),
    )
    whole = "b" in options.keys or "m" in options.keys
    for rec_type, line in [*(("N", line) for line in lines), ("E", b"")]:
        for event in state.update(rec_type, line):
            if isinstance(event, MimeHeader) and "h" in options.keys:
                yield event.text
            elif isinstance(event, MimeBody) and "b" in options.keys:
                yield to_text(event.data)
            elif isinstance(event, MimeHeadEnd) and not whole:
                return
        if state.errors:
            text = mime_state_detail(state.errors).text
            cmd.process.log.fatal(f"message format error: {text}")


def _delete(cmd: Command, key: str, flags: int) -> Wait[int]:
    keys = [to_text(line) for line in _lines(cmd.stdin)] if key == "-" else [key]
    found = False
    for spec in cmd.args:
        open_flags = O_RDWR | O_CREAT if _is_proxy(spec) else O_RDWR
        table = _open(cmd, spec, open_flags, flags)
        for each in keys:
            try:
                found |= yield from table.delete(each)
            except TableError as error:
                cmd.process.log.fatal(f"table {table.name}: delete error: {error.errno_text}")
    return 0 if found else 1


def _sequence(cmd: Command, kind: str, flags: int) -> int:
    """``-s``: all entries of the first table."""
    if not cmd.args:
        return 1
    spec, warning = cmd.args[0], cmd.process.log.warning
    if _is_proxy(spec):
        cmd.process.log.fatal("can't sequence maps via the proxy service")
    table = _open(cmd, spec, O_RDONLY, flags)
    try:
        for key, value in table.sequence():
            if not key:
                warning(f"table {table.name}: empty lookup key value is not allowed")
            elif not value:
                warning(f"table {table.name}: key {key}: empty string result is not allowed")
                warning(f"table {table.name} should return NO RESULT in case of NOT FOUND")
            cmd.write(f"{key}{_ANSWER[kind]}{value}\n")
    except TableError as error:
        cmd.process.log.fatal(f"table {table.name}: sequence error: {error.errno_text}")
    return 0


Parse = Callable[[bytes, str, bool], Iterator[Entry]]
_ENTRIES: dict[str, Parse] = {"postmap": postmap_entries, "postalias": postalias_entries}


def _build(cmd: Command, kind: str, spec: str, options: _Options) -> Wait[None]:
    """Builds a table from its text, or adds entries from the input to it."""
    process = cmd.process
    name = _full_name(cmd, spec)
    path = name.partition(":")[2]
    flags, open_flags = options.flags, O_RDWR | O_CREAT
    if options.incremental:
        data, shown = cmd.stdin, "stdin"
    else:
        if _is_proxy(name):
            process.log.fatal("can't create maps via the proxy service")
        flags |= DICT_FLAG_BULK_UPDATE
        open_flags |= O_TRUNC
        shown = path
        try:
            data = process.system.files.read(absolute_path(process, path))
        except OSError as error:
            process.log.fatal(f"open {path}: {error.strerror}")
        kind_of_table = name.partition(":")[0]
        if not can_build(kind_of_table):
            process.log.fatal(f"unsupported map type for this operation: {kind_of_table}")
    table = _open(cmd, name, open_flags, flags)
    utf8 = bool(table.flags & DICT_FLAG_UTF8_ACTIVE)
    for entry in _ENTRIES[kind](data, shown, utf8):
        for text in entry.warnings:
            process.log.warning(text)
        if entry.usable:
            yield from _update(cmd, table, entry.key, entry.value)
    if kind == "postalias":
        if options.incremental:
            table.flags |= DICT_FLAG_DUP_REPLACE
        yield from _update(cmd, table, "@", "@")


def _update(cmd: Command, table: Dict, key: str, value: str) -> Wait[None]:
    try:
        yield from table.update(key, value)
    except TableError as error:
        # What errno has from before, where the table does not say more.
        why = error.errno_text if len(error.args) > 1 else "Invalid argument"
        cmd.process.log.fatal(f"table {table.name}: write error: {why}")
