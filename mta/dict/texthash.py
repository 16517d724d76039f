"""``texthash:/path`` - a table read from its text when it is opened (dict_thash(3))."""

from __future__ import annotations

from mta.dict.flags import DICT_FLAG_DUP_IGNORE, DICT_FLAG_DUP_REPLACE, DICT_FLAG_DUP_WARN
from mta.dict.process import TableProcess
from mta.dict.registry import Dict, Owner, dict_surrogate, dict_type
from mta.dict.simple import MemoryDict
from mta.dict.tablefile import key_value_entries, open_table_file


@dict_type("texthash", read_only=True)
def open_texthash(process: TableProcess, path: str, open_flags: int, flags: int) -> Dict:
    """Reads the text.  A key that comes twice makes the table fail, unless the flags say what to
    do with it.
    """
    try:
        file = open_table_file(process, path)
    except OSError as error:
        reason = f"open database {path}: {error.strerror}"
        return dict_surrogate(process, "texthash", path, flags, reason)
    table = MemoryDict(process, "texthash", path, flags)
    table.activate()
    problem = _load(table, bytes(file.data), path)
    if problem:
        return dict_surrogate(process, "texthash", path, flags, problem)
    table.owner = Owner.of_file(file.uid)
    return table


def _load(table: MemoryDict, data: bytes, path: str) -> str:
    """Fills the table; returns why it cannot be used, or nothing."""
    warning = table.process.log.warning
    flags = table.flags
    for entry in key_value_entries(data, path, table.utf8, " -- ignoring this line"):
        for text in entry.warnings:
            warning(text)
        if not entry.usable:
            continue
        if table.get(entry.key) is None:
            _store(table, entry.key, entry.value, entry.number)
        elif flags & DICT_FLAG_DUP_IGNORE:
            continue
        elif flags & DICT_FLAG_DUP_REPLACE:
            _store(table, entry.key, entry.value, entry.number)
        else:
            text = f'{path}, line {entry.number}: duplicate entry: "{entry.key}"'
            if not flags & DICT_FLAG_DUP_WARN:
                return text
            warning(text)
    return ""


def _store(table: MemoryDict, key: str, value: str, line: int) -> None:
    table.store(key, value)
    table.lines[table.folded(key)] = line
