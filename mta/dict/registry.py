"""Lookup tables: the class of all, and how one is opened by its ``type:name`` (dict_open(3)).

A type is a function that opens a table, registered with :func:`dict_type`.  Types of other
packages are found through the entry point group ``postlab.dict_types``.  A table that cannot be
opened is replaced by a surrogate (dict_surrogate(3)): the reason is logged at once as an error,
and as a warning at each use, which fails with TableError.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import entry_points
from typing import NamedTuple, NoReturn

from mta.dict.backends import has_client_libraries
from mta.dict.errors import DictConfigError, TableError
from mta.dict.flags import (
    DICT_FLAG_FIXED,
    DICT_FLAG_FOLD_FIX,
    DICT_FLAG_FOLD_MUL,
    DICT_FLAG_MULTI_WRITER,
    DICT_FLAG_PATTERN,
    DICT_FLAG_UTF8_ACTIVE,
    DICT_FLAG_UTF8_REQUEST,
    O_RDONLY,
    O_RDWR,
    dict_flags_str,
)
from mta.dict.process import HANDLES, TableProcess, surrogate_allowed, utf8_enabled
from mta.system import MICROSECONDS, File, Wait
from mta.util.casefold import casefold, lowercase, valid_utf8

_BAD_UTF8 = "malformed UTF-8 or invalid codepoint"

OWNER_UNKNOWN = -1
OWNER_TRUSTED = 0
OWNER_UNTRUSTED = 1


class Owner(NamedTuple):
    """Whose data a table holds: OWNER_*, and the uid where it is OWNER_UNTRUSTED."""

    status: int = OWNER_UNKNOWN
    uid: int = 2**31 - 1

    @classmethod
    def of_file(cls, uid: int) -> Owner:
        """Root's files are trusted."""
        return cls(OWNER_UNTRUSTED if uid else OWNER_TRUSTED, uid)

    def combined(self, other: Owner) -> Owner:
        """The lower trust of two; two different untrusted owners make an unknown one."""
        if self.status == OWNER_TRUSTED or other.status == OWNER_UNKNOWN:
            return other
        if self.status == other.status and self.uid != other.uid:
            return Owner(OWNER_UNKNOWN, 2**32 - 1)
        return self


TRUSTED = Owner(OWNER_TRUSTED, 0)


class Dict(ABC):
    """An open lookup table.

    Users call :meth:`lookup`.  A kind of table defines ``_find`` (see :class:`LocalDict`) or, where
    it has to wait for someone, ``_search``; keys come to them folded and checked.
    """

    #: Whether a lookup may wait; where it never does, ``get`` answers at once.
    remote = True
    #: The file that ``dict_changed_name`` watches, and its modification time (seconds) when the
    #: table was opened.
    watched: File | None = None
    mtime: int = 0

    def __init__(self, process: TableProcess, kind: str, table: str, flags: int) -> None:
        self.process = process
        self.kind = kind
        self.table = table
        self.flags = flags
        self.owner = Owner()
        self.utf8 = False
        self._fold = False
        self._settle()

    @property
    def name(self) -> str:
        """``type:name``, as it shows in the log."""
        return f"{self.kind}:{self.table}"

    @property
    def is_pattern(self) -> bool:
        """Whether only full keys make sense (regexp, pcre, cidr, tcp, fail, …)."""
        return not self.flags & DICT_FLAG_FIXED

    @property
    def fold(self) -> bool:
        """Whether keys are folded before the search."""
        return self._fold

    def _settle(self) -> None:
        bit = DICT_FLAG_FOLD_FIX if self.flags & DICT_FLAG_FIXED else DICT_FLAG_FOLD_MUL
        self._fold = bool(self.flags & bit)

    def activate(self) -> None:
        """The last step of opening: UTF-8 checks where they are asked for and on (dict_utf8(3))."""
        if self.flags & DICT_FLAG_UTF8_REQUEST and utf8_enabled(self.process):
            self.flags |= DICT_FLAG_UTF8_ACTIVE
            self.utf8 = True
        self._settle()

    # -- keys and values

    def _key(self, key: str) -> str | None:
        """The key as the table wants it; None (and a warning) where it cannot exist."""
        if key.isascii():
            return key.lower() if self._fold else key
        if not self.utf8:
            return lowercase(key) if self._fold else key
        if not valid_utf8(key):
            self.process.log.warning(f'{self.name}: non-UTF-8 key "{key}": {_BAD_UTF8}')
            return None
        return casefold(key) if self._fold else key

    def folded(self, key: str) -> str:
        """The key as it is kept, without any check."""
        if not self._fold:
            return key
        return casefold(key, self.utf8)

    def _checked(self, key: str, value: str) -> str:
        """The result of a lookup, where it is valid."""
        if self.utf8 and not valid_utf8(value):
            self._warn_value(key, value)
            raise DictConfigError(self.name)
        return value

    def _warn_value(self, key: str, value: str) -> None:
        self.process.log.warning(
            f'{self.name}: key "{key}": non-UTF-8 value "{value}": {_BAD_UTF8}'
        )

    # -- what users call

    def lookup(self, key: str) -> Wait[str | None]:
        """The value of a key, or None.  Raises TableError."""
        wanted = self._key(key)
        if wanted is None:
            return None
        value = yield from self._search(wanted)
        if value is None or value.isascii():
            return value
        return self._checked(key, value)

    def get(self, key: str) -> str | None:
        """The same at once, for tables that are not ``remote``.  Raises TableError."""
        raise NotImplementedError(self.name)

    def update(self, key: str, value: str) -> Wait[bool]:
        """Stores a value; False where the key exists and was kept.  Raises TableError."""
        self.process.log.fatal(f"table {self.name}: update operation is not supported")
        yield None

    def delete(self, key: str) -> Wait[bool]:
        """Removes a key; False where there is none.  Raises TableError."""
        self.process.log.fatal(f"table {self.name}: delete operation is not supported")
        yield None

    def sequence(self) -> Iterator[tuple[str, str]]:
        """All keys and values in the table's order.  Raises TableError."""
        self.process.log.fatal(f"table {self.name}: sequence operation is not supported")

    def explain(self, key: str) -> int | None:
        """The number of the line that decides for a key, where the table comes from a text."""
        return None

    @abstractmethod
    def _search(self, key: str) -> Wait[str | None]:
        """The value of a key that is folded and checked already."""


class LocalDict(Dict):
    """A table that never waits: a kind of table defines ``_find``."""

    remote = False

    def lookup(self, key: str) -> Wait[str | None]:
        """The value of a key, or None.  Raises TableError."""
        return self.get(key)
        yield None

    def get(self, key: str) -> str | None:
        """The value of a key, or None.  Raises TableError."""
        wanted = self._key(key)
        if wanted is None:
            return None
        value = self._find(wanted)
        if value is None or value.isascii():
            return value
        return self._checked(key, value)

    def _search(self, key: str) -> Wait[str | None]:
        return self._find(key)
        yield None

    @abstractmethod
    def _find(self, key: str) -> str | None:
        """The value of a key that is folded and checked already."""


class Surrogate(LocalDict):
    """What stands for a table that could not be opened."""

    def __init__(
        self, process: TableProcess, kind: str, table: str, flags: int, reason: str
    ) -> None:
        super().__init__(process, kind, table, (flags & ~DICT_FLAG_FIXED) | DICT_FLAG_PATTERN)
        self.owner = Owner(OWNER_TRUSTED)
        self.reason = reason

    def _fail(self) -> NoReturn:
        self.process.log.warning(f"{self.name} is unavailable. {self.reason}")
        raise TableError(self.name)

    def _find(self, key: str) -> str | None:
        self._fail()

    def update(self, key: str, value: str) -> Wait[bool]:
        """Fails."""
        self._fail()
        yield None

    def delete(self, key: str) -> Wait[bool]:
        """Fails."""
        self._fail()
        yield None

    def sequence(self) -> Iterator[tuple[str, str]]:
        """Fails."""
        self._fail()


def dict_surrogate(
    process: TableProcess, kind: str, table: str, flags: int, reason: str
) -> Surrogate:
    """Logs why a table cannot be opened, as an error; it is fatal in commands, and in daemons with
    ``daemon_table_open_error_is_fatal``.
    """
    if not surrogate_allowed(process):
        process.log.fatal(reason)
    process.log.error(reason)
    return Surrogate(process, kind, table, flags, reason)


# -- types

#: Opens a table: process, name, open(2) flags, DICT_FLAG_*.
Opener = Callable[[TableProcess, str, int, int], Dict]

_TYPES: dict[str, Opener] = {}

#: The modules that register the types that come with us, by type.
_MODULES = {
    "btree": "indexed",
    "cdb": "indexed",
    "cidr": "cidr",
    "dbm": "indexed",
    "environ": "simple",
    "fail": "simple",
    "hash": "indexed",
    "inline": "simple",
    "internal": "simple",
    "ldap": "ldap",
    "lmdb": "indexed",
    "memcache": "memcache",
    "mysql": "mysql",
    "pcre": "pcre",
    "pgsql": "pgsql",
    "pipemap": "composite",
    "proxy": "proxy",
    "randmap": "simple",
    "regexp": "regexp",
    "sdbm": "indexed",
    "socketmap": "socketmap",
    "sqlite": "sqlite",
    "static": "simple",
    "tcp": "tcp",
    "texthash": "texthash",
    "unionmap": "composite",
    "unix": "simple",
}

#: The types of these that postmap(1) builds.
_BUILT = frozenset(("btree", "cdb", "dbm", "fail", "hash", "lmdb", "sdbm"))

#: Types that need a client library.
_SERVED = frozenset(("ldap", "mysql", "pgsql"))
#: Types that the build which Postlab behaves as does not have.
_MORE = _SERVED | {"cdb", "dbm", "sdbm"}

_ENTRY_POINTS = "postlab.dict_types"


def dict_type(*names: str, read_only: bool = False) -> Callable[[Opener], Opener]:
    """Registers a function that opens tables of a type.  ``read_only`` types refuse to be opened
    for writing, with Postfix's words.
    """

    def register(opener: Opener) -> Opener:
        for name in names:
            _TYPES[name] = _guarded(name, opener) if read_only else opener
        return opener

    return register


def _guarded(kind: str, opener: Opener) -> Opener:
    def guarded(process: TableProcess, table: str, open_flags: int, flags: int) -> Dict:
        if open_flags != O_RDONLY:
            reason = f"{kind}:{table} map requires O_RDONLY access mode"
            return dict_surrogate(process, kind, table, flags, reason)
        return opener(process, table, open_flags, flags)

    return guarded


def _opener(kind: str) -> Opener | None:
    found = _TYPES.get(kind)
    if found is None and kind in _MODULES:
        import_module(f"mta.dict.{_MODULES[kind]}")
        found = _TYPES.get(kind)
    if found is None:
        for point in entry_points(group=_ENTRY_POINTS, name=kind):
            found = _TYPES[kind] = point.load()
    return found


def can_build(kind: str) -> bool:
    """Whether postmap(1) can build tables of a type from a text (``mkmap_open``)."""
    return kind in _BUILT or (kind not in _MODULES and _opener(kind) is not None)


def built_in_mapnames(process: TableProcess) -> list[str]:
    """The types that ``postconf -m`` shows: without those that need what is not there."""
    names = dict_mapnames()
    return names if has_client_libraries(process) else [n for n in names if n not in _MORE]


def dict_mapnames() -> list[str]:
    """The names of all types that can be opened, sorted."""
    others = {point.name for point in entry_points(group=_ENTRY_POINTS)}
    return sorted({*_MODULES, *_TYPES, *others})


# -- opening


def handles(process: TableProcess) -> dict[str, Dict]:
    """The open tables of a process, by ``type:name(open flags,flags)``."""
    found: dict[str, Dict] | None = process.cache.get(HANDLES)
    if found is None:
        found = process.cache[HANDLES] = {}
    return found


def dict_open(
    process: TableProcess,
    spec: str,
    *,
    flags: int = 0,
    open_flags: int = O_RDONLY,
    handle: str | None = None,
) -> Dict:
    """The table ``type:name``, opened once per process for the same flags (DICT_FLAG_*).

    ``handle`` is the name under which the process keeps it, where it is not the usual.  Raises
    Fatal where the text has no ``type:name`` form, and in commands where the table does not open.
    """
    if handle is None:
        handle = f"{spec}({open_flags:o},{dict_flags_str(flags)})"
    tables = handles(process)
    found = tables.get(handle)
    if found is None:
        found = tables[handle] = open_table(process, spec, open_flags, flags)
    return found


def open_table(process: TableProcess, spec: str, open_flags: int, flags: int) -> Dict:
    """Opens a table that nobody else shares (dict_open(3) without the registry of names)."""
    kind, _, table = spec.partition(":")
    if not kind or not table:
        process.log.fatal(f'open dictionary: expecting "type:name" form instead of "{spec}"')
    opener = _opener(kind)
    if opener is None or (kind in _SERVED and not has_client_libraries(process)):
        found: Dict = dict_surrogate(
            process, kind, table, flags, f"unsupported dictionary type: {kind}"
        )
    else:
        found = opener(process, table, open_flags, flags)
    found.activate()
    return found


def dict_changed_name(process: TableProcess) -> str | None:
    """The name under which a process keeps a file-based table that has changed since it was opened;
    None where none has.  Daemons then log ``table NAME has changed -- restarting``.
    """
    for handle, table in handles(process).items():
        file = table.watched
        if file is not None and (
            file.nlink == 0
            or (
                not table.flags & DICT_FLAG_MULTI_WRITER
                and file.mtime // MICROSECONDS != table.mtime
            )
        ):
            return handle
    return None


def writable(open_flags: int) -> bool:
    """Whether a table is opened for updates."""
    return bool(open_flags & O_RDWR)
