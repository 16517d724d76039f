"""Lookup tables: can they be opened, is their text good, does an entry hide another one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from mta.dict.flags import ADDRESS_FLAGS, DICT_FLAG_LOCK
from mta.dict.pcre import parse_pcre_table
from mta.dict.regexp import parse_regexp_table
from mta.dict.registry import dict_mapnames, open_table
from mta.dict.source import postalias_entries, postmap_entries
from mta.dict.tablefile import table_lines
from mta.lib.header_body_checks import cleanup_action
from mta.lib.match_parent_style import match_parent_style
from mta.smtpd.check_actions import ACTIONS
from mta.smtpd.check_registry import RESTRICTIONS
from mta.system import Fatal
from mta.util.casefold import casefold
from mta.util.cidr_match import CidrError, cidr_parse
from mta.util.parens import split_words
from postlab.check.context import Context
from postlab.check.history import LATER_TABLES
from postlab.check.main_rules import nearest
from postlab.check.master_rules import transport_names
from postlab.check.specs import (
    ACCESS,
    CHECKS,
    OTHER_RESTRICTIONS,
    TRANSPORT,
    TableUse,
    table_uses,
)
from postlab.folder import CONFIG_DIRECTORY
from postlab.tools import INDEXED

_FILES = frozenset((*INDEXED, "texthash", "cidr", "regexp", "pcre", "ldap", "mysql", "pgsql",
                    "sqlite", "memcache"))  # fmt: skip
#: Tables that the mail system itself makes.
_OWN = re.compile(r".*_session_cache_database|address_verify_map|postscreen_cache_map")
_CATCH_ALL = re.compile(r"/(?:\^?\.[*+]?\$?|\^|\$|\^?\.?\*\$)?/[a-zA-Z]*")
_NUMBER = re.compile(r"[45]\d\d|[0-9]+")


class Row(NamedTuple):
    """An entry of a text: its line, what is looked for, and what is found."""

    line: int
    key: str
    value: str


def check_tables(context: Context) -> None:
    """All tables that the configuration names."""
    for compiled in context.folder.compiled:
        if compiled.stale:
            what = f"{compiled.name} is older than {compiled.text}: run postmap {compiled.text}"
            _add(context, "warning", "stale-table", what, f"{CONFIG_DIRECTORY}/{compiled.name}")
    for use in table_uses(context):
        if use.kind not in dict_mapnames():
            _unknown_type(context, use)
            continue
        if is_made_by_postfix(use) or (use.kind in _FILES and not _has_file(context, use)):
            continue
        _open(context, use)
        _text(context, use)


def _add(
    context: Context, severity: str, rule: str, message: str, path: str, line: int = 0
) -> None:
    file = context.folder.shown_path(path)
    add = context.found.add
    add(severity, rule, message, file=file, line=line, name=path)


def _at_setting(context: Context, use: TableUse, severity: str, rule: str, message: str) -> None:
    for setting in use.settings:
        context.found.add(
            severity,
            rule,
            message,
            file=context.file_of(setting),
            line=setting.line,
            name=setting.name,
        )


def _unknown_type(context: Context, use: TableUse) -> None:
    version = LATER_TABLES.get(use.kind)
    if version:
        what = f"table type {use.kind} came with Postfix {version}"
    else:
        near = nearest(use.kind, dict_mapnames())
        what = f"there is no table type {use.kind}" + (f"; did you mean {near}?" if near else "")
    _at_setting(context, use, "error", "table-type", what)


def _path(use: TableUse) -> str:
    """The file of a table, in the world."""
    name = use.name
    return name if name.startswith("/") else f"/var/spool/postfix/{name}"


def is_made_by_postfix(use: TableUse) -> bool:
    """Whether the mail system makes the table itself (a cache)."""
    return bool(use.settings) and all(_OWN.fullmatch(s.name) for s in use.settings)


def is_outside(context: Context, use: TableUse) -> bool:
    """Whether a table is a file that the folder does not bring, nor should."""
    if use.kind not in _FILES or not use.name.startswith("/"):
        return False
    disk, name = context.machine.machine.files, use.name
    if disk.exists(name) or disk.exists(name + INDEXED.get(use.kind, "")):
        return False
    folder = context.folder
    return folder.shown_path(name) == name and folder.tree is None and name not in folder.unreadable


def _has_file(context: Context, use: TableUse) -> bool:
    """Whether the file is there; told, where it is not."""
    name = use.name
    if not name.startswith(("/", ".")) and use.kind not in INDEXED:
        if use.kind in ("ldap", "mysql", "pgsql", "sqlite", "memcache"):
            return True  # its settings are in main.cf
    if not name.startswith("/"):
        what = f"{use.spec}: the name is relative to the queue directory; write a path"
        _at_setting(context, use, "warning", "relative-table", what)
        return False
    disk = context.machine.machine.files
    suffix = INDEXED.get(use.kind, "")
    if disk.exists(name) or (suffix and disk.exists(name + suffix)):
        return _readable(context, use, suffix)
    inside = context.folder.shown_path(name) != name or context.folder.tree is not None
    relative = context.folder.shown_path(name).removeprefix(f"{context.folder.shown}/")
    if relative in context.folder.unreadable:
        what = f"{use.spec} cannot be read: {context.folder.unreadable[relative]}"
        _at_setting(context, use, "error", "unreadable-table", what)
    elif name in context.folder.unreadable:
        what = f"{use.spec} cannot be read: {context.folder.unreadable[name]}"
        _at_setting(context, use, "error", "unreadable-table", what)
    elif inside:
        what = f"{use.spec}: there is no file {context.folder.shown_path(name)}"
        _at_setting(context, use, "error", "missing-table", what)
    else:
        what = f"{use.spec} is outside of the folder, and was not looked at"
        _at_setting(context, use, "note", "outside-table", what)
    return False


def _readable(context: Context, use: TableUse, suffix: str) -> bool:
    """Whether there is a text, or a compiled table that can be read."""
    disk = context.machine.machine.files
    if not suffix or disk.exists(use.name):
        return True
    compiled = use.name + suffix
    if suffix in (".cdb", ".lmdb"):
        return True
    what = f"{use.spec}: there is only {context.folder.shown_path(compiled)}, without its text"
    _at_setting(context, use, "note", "compiled-table", f"{what}; it was not looked at")
    return False


def _open(context: Context, use: TableUse) -> None:
    """Opens the table as a daemon does; what that says."""
    process = context.machine.process("smtpd")
    flags = DICT_FLAG_LOCK if use.uses == {CHECKS} else ADDRESS_FLAGS
    try:
        open_table(process, use.spec, 0, flags)
    except Fatal:
        pass
    for level, text in context.told(context.listen()):
        file, line, what = context.place(text)
        severity = "warning" if level == "warning" else "error"
        if file and line:
            context.found.add(severity, "bad-table", what, file=file, line=line, name=use.spec)
        else:
            message = text if use.spec in text else f"{use.spec}: {text}"
            _at_setting(context, use, severity, "bad-table", message)


# -- texts


def _text(context: Context, use: TableUse) -> None:
    path = _path(use)
    rows = entries_of(context, use)
    for row in rows:
        _result(context, use, path, row)
    if use.kind in INDEXED or use.kind == "texthash":
        _dead_keys(context, use, path, rows)


def _indexed(context: Context, use: TableUse, path: str, data: bytes) -> Iterator[Row]:
    """The entries of a text for postmap(1) or postalias(1)."""
    aliases = any(s.name in ("alias_maps", "alias_database") for s in use.settings)
    parse = postalias_entries if aliases else postmap_entries
    first: dict[str, int] = {}
    for entry in parse(data, path, True):
        for warning in entry.warnings:
            file, line, what = context.place(warning)
            context.found.add("warning", "bad-entry", what, file=file, line=line, name=use.spec)
        if not entry.usable:
            continue
        key = casefold(entry.key, True)
        if key in first:
            what = f"{entry.key} is there already in line {first[key]}, which counts"
            _add(context, "warning", "shadowed-entry", what, path, entry.number)
            continue
        first[key] = entry.number
        yield Row(entry.number, entry.key, entry.value)


def _networks(context: Context, use: TableUse, path: str, data: bytes) -> Iterator[Row]:
    """The entries of a cidr_table(5)."""
    seen: dict[tuple[int, int], dict[int, int]] = {}
    for number, text, problem in table_lines(data, path):
        words = text.split(None, 1)
        if problem or len(words) < 2:
            continue
        try:
            net = cidr_parse(words[0])
        except CidrError:
            continue  # opening the table has told
        for (bits, mask), networks in seen.items():
            line = networks.get(net.network & mask)
            if bits == net.bits and mask & net.mask == mask and line is not None:
                what = f"{words[0]} is in the network of line {line}, which comes first"
                _add(context, "warning", "shadowed-entry", what, path, number)
                break
        seen.setdefault((net.bits, net.mask), {}).setdefault(net.network, number)
        yield Row(number, words[0], words[1].strip())


def _patterns(context: Context, use: TableUse, path: str, data: bytes) -> Iterator[Row]:
    """The rules of a regexp_table(5) or pcre_table(5)."""
    parse = parse_pcre_table if use.kind == "pcre" else parse_regexp_table
    texts = {line.number: line.text for line in table_lines(data, path)}
    first: dict[tuple[int, str], int] = {}
    all_of = 0
    for rule in parse(path, data, False).rules:
        text = texts.get(rule.line, "")
        if all_of:
            what = f"this rule is never reached: line {all_of} matches everything"
            _add(context, "warning", "shadowed-entry", what, path, rule.line)
        if rule.op != "match" or rule.test is None:
            first = {key: line for key, line in first.items() if key[0] <= rule.nesting}
            continue
        pattern = _pattern(text)
        key = (rule.nesting, pattern)
        if key in first and not all_of:
            what = f"{pattern} is there already in line {first[key]}, which counts"
            _add(context, "warning", "shadowed-entry", what, path, rule.line)
        first.setdefault(key, rule.line)
        if not rule.nesting and rule.second is None and _CATCH_ALL.fullmatch(pattern):
            all_of = all_of or rule.line
        yield Row(rule.line, pattern, text[len(pattern) :].strip())


def _pattern(text: str) -> str:
    """A rule's pattern with its options."""
    body = text.lstrip("! \t")
    start = len(text) - len(body)
    place = 1
    while place < len(body) and body[place] != body[0]:
        place += 2 if body[place] == "\\" else 1
    end = place + 1
    while end < len(body) and not body[end].isspace():
        end += 1
    return text[: start + end]


Reader = Callable[[Context, TableUse, str, bytes], Iterator[Row]]
_READERS: dict[str, Reader] = {
    **dict.fromkeys((*INDEXED, "texthash"), _indexed),
    "cidr": _networks,
    "pcre": _patterns,
    "regexp": _patterns,
}


def entries_of(context: Context, use: TableUse) -> list[Row]:
    """The entries of a table with a text; none where it has none, or cannot be read."""
    reader = _READERS.get(use.kind)
    disk = context.machine.machine.files
    path = _path(use)
    if reader is None or not disk.exists(path):
        return []
    return list(reader(context, use, path, disk.read(path)))


def _dead_keys(context: Context, use: TableUse, path: str, rows: list[Row]) -> None:
    """Keys that nothing asks for."""
    if use.uses != {ACCESS}:
        return
    process = context.machine.process("smtpd")
    parents = match_parent_style(process, "smtpd_access_maps")
    for row in rows:
        if row.key.startswith(".") and parents and len(row.key) > 1:
            what = (
                f"{row.key} is never looked up: parent_domain_matches_subdomains has "
                f"smtpd_access_maps, so that {row.key[1:]} stands for its subdomains, too"
            )
            _add(context, "warning", "dead-entry", what, path, row.line)


# -- results


def _result(context: Context, use: TableUse, path: str, row: Row) -> None:
    problem = ""
    if ACCESS in use.uses:
        problem = _access_problem(context, row.value)
    elif CHECKS in use.uses:
        problem = _checks_problem(use, row.value)
    elif TRANSPORT in use.uses:
        problem = _transport_problem(context, row.value)
    if problem:
        _add(context, "error", "bad-result", f"{row.key}: {problem}", path, row.line)


def _checks_problem(use: TableUse, value: str) -> str:
    """What is wrong with a result of header_checks(5) or body_checks(5)."""
    warnings: list[str] = []
    name = use.settings[0].name
    where = "body" if name.endswith("body_checks") else "header"
    cleanup_action(value, where, name, warnings.append)
    if not warnings or ("$" in value and '"headername: ' in warnings[0]):
        return ""
    return warnings[0]


def _access_problem(context: Context, value: str) -> str:
    """What is wrong with a result of an access table."""
    words = split_words(value)
    if not words:
        return "the result is empty"
    word = words[0].upper()
    if word in ACTIONS or _NUMBER.match(word):
        return ""
    classes = {name.lower() for name in context.words("smtpd_restriction_classes")}
    known = {*RESTRICTIONS, *OTHER_RESTRICTIONS, *classes}
    for name in words:
        lower = name.lower()
        if lower in known:
            return ""
        if ":" in name:
            return ""
        near = nearest(lower, [*sorted(known), *(a.lower() for a in ACTIONS)])
        guess = f"; did you mean {near.upper() if near.upper() in ACTIONS else near}?"
        return f"{name} is no action and no restriction{guess if near else ''}"
    return ""


def _transport_problem(context: Context, value: str) -> str:
    """What is wrong with a result of a transport table."""
    transport, colon, _ = value.partition(":")
    if not colon:
        return f"{value!r} is no transport:nexthop"
    names = transport_names(context)
    if not transport or transport in names or "$" in transport:
        return ""
    near = nearest(transport, names)
    guess = f"; did you mean {near}?" if near else ""
    return f"master.cf has no transport {transport}{guess}"
