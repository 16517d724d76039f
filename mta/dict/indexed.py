"""Indexed tables: hash, btree, dbm, sdbm, cdb, lmdb; ``type:/path`` comes from the text ``/path``.

postmap(1) and postalias(1) build ``/path.db`` (``.cdb``, ``.lmdb``, ``.pag``) from it; daemons keep
caches of their own in such files.  Where only the text is there, the table is what postmap (or
postalias, for a table of ``alias_maps`` or ``alias_database``) would have built from it.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from mta.dict import store
from mta.dict.bdb_order import bdb_hash_order
from mta.dict.flags import (
    DICT_FLAG_BULK_UPDATE,
    DICT_FLAG_DUP_IGNORE,
    DICT_FLAG_DUP_REPLACE,
    DICT_FLAG_DUP_WARN,
    DICT_FLAG_FIXED,
    DICT_FLAG_FOLD_FIX,
    DICT_FLAG_LOCK,
    DICT_FLAG_MULTI_WRITER,
    DICT_FLAG_SYNC_UPDATE,
    DICT_FLAG_TRY0NULL,
    DICT_FLAG_TRY1NULL,
    DICT_FLAG_UTF8_ACTIVE,
    DICT_FLAG_UTF8_REQUEST,
    O_CREAT,
    O_RDWR,
    O_TRUNC,
)
from mta.dict.lmdb_file import LmdbError, lmdb_pairs
from mta.dict.process import TableProcess, absolute_path, is_command
from mta.dict.registry import Dict, LocalDict, Owner, dict_surrogate, dict_type, open_table
from mta.dict.source import postalias_entries, postmap_entries
from mta.system import MICROSECONDS, File, Wait
from mta.util.casefold import casefold, valid_utf8
from mta.util.parens import split_words
from mta.wire.text import to_bytes, to_text

_INDEXED = re.compile(r"\b(hash|btree|cdb|dbm|sdbm|lmdb):((?:\$\{config_directory\}|[^\s,{}])+)")
_CONFIG_DIRECTORY = re.compile(r"\$(?:config_directory|\{config_directory\}|\(config_directory\))")

_TRY_NULL = DICT_FLAG_TRY0NULL | DICT_FLAG_TRY1NULL
_BUILD_FLAGS = (
    DICT_FLAG_DUP_WARN | DICT_FLAG_FOLD_FIX | DICT_FLAG_BULK_UPDATE | DICT_FLAG_UTF8_REQUEST
)


class _Kind(NamedTuple):
    """Where a type keeps its data, and how it speaks of it: of the ``file`` or the ``path``."""

    suffix: str
    named_by_file: bool
    sorted: bool = False
    #: What is said to be missing where nothing is there.
    missing: str = ""
    #: What a file of another format is called.
    invalid: str = "Invalid argument"


_KINDS = {
    "hash": _Kind(".db", True),
    "btree": _Kind(".db", True, sorted=True),
    "cdb": _Kind(".cdb", True),
    "lmdb": _Kind(".lmdb", False, sorted=True, invalid="MDB_INVALID: File is not an LMDB file"),
    "dbm": _Kind(".pag", False, missing=".dir"),
    "sdbm": _Kind(".pag", False, missing=".dir"),
}


class IndexedDict(LocalDict):
    """An indexed table: all of it in memory, each change appended to the file."""

    def __init__(
        self, process: TableProcess, kind: str, name: str, flags: int, path: str, file: File
    ) -> None:
        if not flags & _TRY_NULL:
            flags |= _TRY_NULL
        if kind == "lmdb":
            flags |= DICT_FLAG_MULTI_WRITER
        super().__init__(process, kind, name, flags | DICT_FLAG_FIXED)
        self.path = path
        self.entries: dict[str, str] = {}
        self.lines: dict[str, int] = {}
        #: What the file held before a bulk update of lmdb, which takes place as a whole.
        self.before: bytes | None = None
        self.aborted = False
        self.owner = Owner.of_file(file.uid)
        self.watched = file
        self.mtime = file.mtime // MICROSECONDS

    def _find(self, key: str) -> str | None:
        return self.entries.get(key)

    def explain(self, key: str) -> int | None:
        """The line of the text, where the table comes from it."""
        return self.lines.get(self.folded(key))

    def update(self, key: str, value: str) -> Wait[bool]:
        """Stores a value; of a key that is there the flags say what becomes of it."""
        wanted = self._key(key)
        if wanted is None:
            return True
        if self.utf8 and not valid_utf8(value):
            self._warn_value(key, value)
            return True
        if self.aborted:
            self.process.log.fatal(f"error updating {self.name}: Invalid argument")
        if wanted in self.entries and not self.flags & DICT_FLAG_DUP_REPLACE:
            self._duplicate(wanted)
            return False
        self.entries[wanted] = value
        yield from self._write(store.stored(wanted, value))
        return True

    def _duplicate(self, key: str) -> None:
        if self.before is not None:
            # The transaction ends here; whatever still comes is an error.
            self.process.system.files.write(self.path, self.before)
            self.aborted = True
        if self.flags & DICT_FLAG_DUP_IGNORE:
            return
        name = self.name if self.kind == "lmdb" else self.table
        text = f'{name}: duplicate entry: "{key}"'
        if self.flags & DICT_FLAG_DUP_WARN:
            self.process.log.warning(text)
        else:
            self.process.log.fatal(text)

    def delete(self, key: str) -> Wait[bool]:
        """Removes a key; False where there is none."""
        wanted = self._key(key)
        if wanted is None:
            return True
        if self.entries.pop(wanted, None) is None:
            return False
        yield from self._write(store.removed(wanted))
        return True

    def _write(self, record: bytes) -> Wait[None]:
        files = self.process.system.files
        file = self.watched
        assert file is not None
        try:
            files.append(self.path, record)
            if self.flags & DICT_FLAG_SYNC_UPDATE:
                yield files.sync(file)
        except OSError as error:
            self.process.log.fatal(f"error writing {self.table}: {error.strerror}")
        self.mtime = file.mtime // MICROSECONDS

    def sequence(self) -> Iterator[tuple[str, str]]:
        """All entries; those that are removed meanwhile do not come.  ``btree`` and ``lmdb`` sort
        their keys by bytes, ``hash`` has an order of its own, the others keep the order in which
        they came.
        """
        if self.kind == "hash":
            keys = bdb_hash_order(self.entries.items())
        else:
            keys = list(self.entries)
            if _KINDS[self.kind].sorted:
                keys.sort(key=to_bytes)
        for key in keys:
            value = self.entries.get(key)
            if value is not None:
                yield key, value


@dict_type("hash")
def open_hash(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """Berkeley DB hash."""
    return _open("hash", process, name, open_flags, flags)


@dict_type("btree")
def open_btree(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """Berkeley DB btree."""
    return _open("btree", process, name, open_flags, flags)


@dict_type("dbm")
def open_dbm(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """Ndbm."""
    return _open("dbm", process, name, open_flags, flags)


@dict_type("sdbm")
def open_sdbm(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """Sdbm."""
    return _open("sdbm", process, name, open_flags, flags)


@dict_type("cdb")
def open_cdb(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """Cdb."""
    if open_flags & O_RDWR and not open_flags & O_TRUNC:
        process.log.fatal(
            "dict_cdb_open: inappropriate open flags for cdb database"
            " - specify O_RDONLY or O_WRONLY|O_CREAT|O_TRUNC"
        )
    return _open("cdb", process, name, open_flags, flags)


@dict_type("lmdb")
def open_lmdb(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """OpenLDAP LMDB."""
    return _open("lmdb", process, name, open_flags, flags)


def _open(kind: str, process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    form = _KINDS[kind]
    path = absolute_path(process, name) + form.suffix
    by_file = form.named_by_file and not (kind == "cdb" and open_flags & O_TRUNC)
    table_name = name + form.suffix if by_file else name
    before: bytes | None = None
    try:
        if open_flags & O_TRUNC:
            if kind == "lmdb" and flags & DICT_FLAG_BULK_UPDATE:
                before = _present(process, path)
            file = _emptied(process, kind, name, path)
        else:
            file = _existing(process, kind, path, open_flags)
    except OSError as error:
        if error.errno == errno.ENOENT and not open_flags & O_RDWR:
            table = _from_text(process, kind, name, flags)
            if table is not None:
                return table
        missing = name + (form.missing or form.suffix)
        reason = f"open database {missing}: {error.strerror}"
        return dict_surrogate(process, kind, name, flags, reason)
    table = IndexedDict(process, kind, table_name, flags, path, file)
    try:
        content = _content(kind, bytes(file.data))
    except store.BadTableError:
        reason = f"open database {name}{form.suffix}: {form.invalid}"
        return dict_surrogate(process, kind, name, flags, reason)
    table.entries = content.entries
    table.before = before
    if open_flags & O_RDWR:
        _compact(table, content)
    elif flags & DICT_FLAG_LOCK or kind in ("cdb", "lmdb"):
        _warn_if_older(process, table, name, name + form.suffix)
    return table


def _content(kind: str, data: bytes) -> store.Content:
    """The content of a file: in our own format, or in the real one of cdb and LMDB."""
    try:
        return store.parse(data)
    except store.BadTableError:
        reader = _REAL.get(kind)
        if reader is None:
            raise
    entries: dict[str, str] = {}
    for key, value in reader(data):
        entries.setdefault(to_text(key.rstrip(b"\0")), to_text(value.rstrip(b"\0")))
    return store.Content(entries, len(entries))


Pairs = list[tuple[bytes, bytes]]


def _real_cdb(data: bytes) -> Pairs:
    """With the package of the extra ``cdb``."""
    try:
        import cdblib
    except ImportError as error:
        raise store.BadTableError("cdb") from error
    try:
        return list(cdblib.Reader(data).iteritems())
    except Exception as error:
        raise store.BadTableError("cdb") from error


def _real_lmdb(data: bytes) -> Pairs:
    try:
        return list(lmdb_pairs(data))
    except LmdbError as error:
        raise store.BadTableError("lmdb") from error


_REAL: dict[str, Callable[[bytes], Pairs]] = {"cdb": _real_cdb, "lmdb": _real_lmdb}


def _existing(process: TableProcess, kind: str, path: str, open_flags: int) -> File:
    files = process.system.files
    if open_flags & O_RDWR and not files.exists(path):
        table = _from_text(process, kind, path.removesuffix(_KINDS[kind].suffix), 0)
        if table is not None and is_command(process):
            return _written(process, kind, table)
    if open_flags & O_CREAT and not files.exists(path):
        return _created(process, kind, path, path)
    return files.open(path)


def _written(process: TableProcess, kind: str, table: IndexedDict) -> File:
    """The file that should have been built from a text before somebody changes it."""
    source = table.watched
    assert source is not None
    file = _created(process, kind, table.path, table.path.removesuffix(_KINDS[kind].suffix))
    entries = (store.stored(key, value) for key, value in table.entries.items())
    process.system.files.append(table.path, b"".join(entries))
    return file


def _created(process: TableProcess, kind: str, path: str, source: str) -> File:
    """A new file that belongs to the owner of the source, or else to the mail system."""
    files = process.system.files
    try:
        stat = files.stat(source)
        mode, uid, gid = stat.mode & 0o644, stat.uid, stat.gid
    except OSError:
        owner = process.system.accounts.by_name(process.conf.mail_owner)
        mode, uid, gid = (0o600, owner.uid, owner.gid) if owner else (0o644, 0, 0)
    file = files.create(path, mode, uid, gid)
    files.append(path, store.header(kind))
    return file


def _emptied(process: TableProcess, kind: str, name: str, path: str) -> File:
    """The file without entries; cdb replaces it by a new one."""
    files = process.system.files
    if kind == "cdb" and files.exists(path):
        files.remove(path)
    if not files.exists(path):
        return _created(process, kind, path, absolute_path(process, name))
    files.write(path, store.header(kind))
    return files.open(path)


def _present(process: TableProcess, path: str) -> bytes:
    files = process.system.files
    return bytes(files.read(path)) if files.exists(path) else store.header("lmdb")


def _compact(table: IndexedDict, content: store.Content) -> None:
    """Writes the file anew where most of it is old records."""
    if content.records > 1000 and content.records > 2 * len(content.entries):
        data = store.whole(table.kind, table.entries)
        table.process.system.files.write(table.path, data)


def _warn_if_older(process: TableProcess, table: IndexedDict, name: str, file: str) -> None:
    try:
        source = process.system.files.stat(absolute_path(process, name))
    except OSError:
        return
    mtime = source.mtime // MICROSECONDS
    if table.mtime < mtime < process.system.now() // MICROSECONDS - 100:
        process.log.warning(f"database {file} is older than source file {name}")


# -- from the text


class _Built(NamedTuple):
    entries: dict[str, str]
    lines: dict[str, int]
    warnings: list[str]


@lru_cache(maxsize=64)
def _build(data: bytes, path: str, shown: str, aliases: bool, utf8: bool) -> _Built:
    """What postmap or postalias make of a text: keys folded, the first of equal ones."""
    entries: dict[str, str] = {}
    lines: dict[str, int] = {}
    warnings: list[str] = []
    parse = postalias_entries if aliases else postmap_entries
    for entry in parse(data, path, utf8):
        warnings += entry.warnings
        if entry.usable:
            key = casefold(entry.key, utf8)
            if key not in entries:
                entries[key] = entry.value
                lines[key] = entry.number
            else:
                warnings.append(f'{shown}: duplicate entry: "{key}"')
    if aliases:
        entries.setdefault("@", "@")
    return _Built(entries, lines, warnings)


def _from_text(process: TableProcess, kind: str, name: str, flags: int) -> IndexedDict | None:
    """The table as it would be built now; None where there is no text, or (for commands) no
    reason why it should have been built.
    """
    path = absolute_path(process, name)
    try:
        file = process.system.files.open(path)
    except OSError:
        return None
    if is_command(process) and not _is_named(process, kind, name):
        return None
    form = _KINDS[kind]
    shown = name + form.suffix if form.named_by_file else name
    table = IndexedDict(process, kind, shown, flags, path + form.suffix, file)
    utf8 = bool(process.conf.smtputf8_enable)
    aliases = is_alias_table(process, f"{kind}:{name}")
    built = _build(bytes(file.data), name, shown, aliases, utf8)
    table.entries, table.lines = built.entries, built.lines
    return table


def build_warnings(process: TableProcess, spec: str) -> Sequence[str] | None:
    """What postmap or postalias would say of the text of ``type:/path``; None where there is no
    text, or the table has been built.
    """
    kind, _, name = spec.partition(":")
    form = _KINDS[kind]
    files, path = process.system.files, absolute_path(process, name)
    if files.exists(path + form.suffix) or not files.exists(path):
        return None
    shown = name + form.suffix if form.named_by_file else name
    utf8 = bool(process.conf.smtputf8_enable)
    data = bytes(files.open(path).data)
    return _build(data, name, shown, is_alias_table(process, spec), utf8).warnings


def named_tables(process: TableProcess) -> Iterator[str]:
    """``type:/path`` of the indexed tables that main.cf and master.cf name, in their order."""
    directory = str(process.conf.config_directory)
    for file in ("main.cf", "master.cf"):
        try:
            text = to_text(process.system.files.read(f"{directory}/{file}"))
        except OSError:
            continue
        for found in _INDEXED.finditer(text):
            yield f"{found[1]}:{_CONFIG_DIRECTORY.sub(directory, found[2])}"


def _is_named(process: TableProcess, kind: str, name: str) -> bool:
    return f"{kind}:{name}" in named_tables(process)


def is_alias_table(process: TableProcess, spec: str) -> bool:
    """Whether a table's text has the format of aliases(5), as the configuration says."""
    conf = process.conf
    return spec in split_words(f"{conf.alias_maps} {conf.alias_database}")


def build_table(process: TableProcess, spec: str, aliases: bool | None = None) -> Wait[Dict]:
    """Builds the indexed table ``type:/path`` from its text, as postmap(1) or postalias(1) do, with
    their warnings.  Without ``aliases`` the configuration says which of them.

    Raises Fatal: no text, or a table that cannot be written.
    """
    _, _, name = spec.partition(":")
    try:
        data = bytes(process.system.files.open(absolute_path(process, name)).data)
    except OSError as error:
        process.log.fatal(f"open {name}: {error.strerror}")
    table = open_table(process, spec, O_RDWR | O_CREAT | O_TRUNC, _BUILD_FLAGS)
    utf8 = bool(table.flags & DICT_FLAG_UTF8_ACTIVE)
    as_aliases = is_alias_table(process, spec) if aliases is None else aliases
    parse = postalias_entries if as_aliases else postmap_entries
    for entry in parse(data, name, utf8):
        for text in entry.warnings:
            process.log.warning(text)
        if entry.usable:
            yield from table.update(entry.key, entry.value)
    if as_aliases:
        yield from table.update("@", "@")
    return table
