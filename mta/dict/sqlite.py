"""``sqlite:/path`` - SQLite databases (sqlite_table(5)).

The engine is SQLite itself, but on a database in memory: the file ``dbpath`` on the disk of ours is
a SQLite database, or a text of SQL statements that make one (``/path/name.sql`` does for
``/path/name.db``).  Nothing that a query says can reach a real file: ATTACH, VACUUM INTO, most
PRAGMAs and extensions are denied, and a statement ends after a number of steps.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from mta.dict.cfg_parser import CfgParser
from mta.dict.db_common import DbCommon, build_query
from mta.dict.errors import TableError
from mta.dict.flags import DICT_FLAG_FIXED
from mta.dict.process import TableProcess, absolute_path
from mta.dict.registry import Dict, dict_surrogate, dict_type
from mta.system import File, Wait
from mta.util.casefold import valid_utf8
from mta.wire.text import to_text

_MAGIC = b"SQLite format 3\0"
#: What the engine's search for a journal leaves in errno.
_ERRNO = "No such file or directory"
#: Calls of the progress handler, and virtual machine steps between two of them.
_MAX_CALLS = 5_000
_STEPS = 10_000

_SAFE_PRAGMAS = (
    "encoding",
    "foreign_keys",
    "table_info",
    "user_version",
    "case_sensitive_like",
    "recursive_triggers",
)
_DENIED = (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH)


def _authorize(action: int, first: Any, second: Any, database: Any, trigger: Any) -> int:
    if action in _DENIED:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA and str(first).lower() not in _SAFE_PRAGMAS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


class _Limit:
    """Ends a statement that takes too long."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        return int(self.calls > _MAX_CALLS)


class Database:
    """A database in memory.  Raises sqlite3.Error where the data make none."""

    def __init__(self, data: bytes) -> None:
        self._limit = _Limit()
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.text_factory = to_text
        self._connection.execute("PRAGMA temp_store = MEMORY")
        if data.startswith(_MAGIC):
            self._connection.deserialize(data)
        self._connection.set_authorizer(_authorize)
        self._connection.set_progress_handler(self._limit, _STEPS)
        if data and not data.startswith(_MAGIC):
            self._connection.executescript(to_text(data))

    def prepare(self, sql: str) -> str:
        """The first statement of a text, if it can be prepared.  Raises sqlite3.Error."""
        statement = first_statement(sql)
        self._connection.execute(f"EXPLAIN {statement}").close()
        return statement

    def run(self, statement: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a statement.  Raises sqlite3.Error."""
        self._limit.calls = 0
        yield from self._connection.execute(statement)

    def as_text(self, value: Any) -> str | None:
        """A column as SQLite makes text of it, up to a null byte."""
        if value is None:
            return None
        if isinstance(value, float):
            value = self._connection.execute("SELECT CAST(? AS TEXT)", (value,)).fetchone()[0]
        if isinstance(value, bytes):
            value = to_text(value)
        return str(value).partition("\0")[0]

    def close(self) -> None:
        """Frees the memory."""
        self._connection.close()


def first_statement(sql: str) -> str:
    """The text up to the end of its first statement."""
    place = sql.find(";")
    while place >= 0:
        head = sql[: place + 1]
        if sqlite3.complete_statement(head):
            return head
        place = sql.find(";", place + 1)
    return sql


class SqliteDict(Dict):
    """A table that is a query."""

    def __init__(self, process: TableProcess, name: str, flags: int, parser: CfgParser) -> None:
        super().__init__(process, "sqlite", name, flags | DICT_FLAG_FIXED)
        self.dbpath = parser.text("dbpath", min=1)
        self.query = parser.optional("query") or build_query(parser)
        self.result_format = parser.text("result_format", "%s", min=1)
        self.expansion_limit = parser.number("expansion_limit", 0)
        self.common = DbCommon(process, "sqlite", name)
        self.common.parse(self.query, True)
        self.common.parse(self.result_format, False)
        self.common.parse_domain(parser)
        self.owner = parser.owner
        self._seen: tuple[File | None, int] = (None, -1)
        self._database = self._load()

    def _file(self) -> File | None:
        files = self.process.system.files
        path = absolute_path(self.process, self.dbpath)
        text = path.removesuffix(".db") + ".sql"
        for candidate in (path, text):
            if files.exists(candidate):
                return files.open(candidate)
        return None

    def _load(self) -> Database:
        """The database; it is empty where there is no file, as SQLite has it.  A file that makes
        no database shows at the first query.
        """
        file = self._file()
        self._seen = (file, file.mtime if file else -1)
        if file is None:
            directory = absolute_path(self.process, self.dbpath).rpartition("/")[0]
            if directory and not self.process.system.files.exists(directory):
                self.process.log.fatal(
                    f"{self.name}: Can't open database: unable to open database file\n"
                )
            return Database(b"")
        try:
            return Database(bytes(file.data))
        except sqlite3.Error:
            return Database(_MAGIC + b"?" * 512)

    def _current(self) -> Database:
        file = self._file()
        if (file, file.mtime if file else -1) != self._seen:
            self._database.close()
            self._database = self._load()
        return self._database

    def _search(self, key: str) -> Wait[str | None]:
        if not self.utf8 and not valid_utf8(key):
            return None
        if not (yield from self.common.check_domain(key)):
            return None
        sql = self.common.expand_query(self.query, key, lambda text: text.replace("'", "''"))
        return None if sql is None else self._results(sql, key)

    def _results(self, sql: str, key: str) -> str | None:
        database = self._current()
        try:
            statement = database.prepare(sql)
        except (sqlite3.Error, sqlite3.Warning) as error:
            self.process.log.fatal(
                f"dict_sqlite_lookup: {self.table}: SQL prepare failed: {error}\n"
            )
        results: list[str] = []
        try:
            for row in database.run(statement):
                result = self.common.expand_result(
                    self.result_format, database.as_text(row[0]), key
                )
                if result is not None:
                    results.append(result)
                    if 0 < self.expansion_limit < len(results):
                        raise self._limit_exceeded(key)
        except sqlite3.Error as error:
            self.process.log.warning(
                f"dict_sqlite_lookup: {self.table}: SQL step failed for query '{sql}': {error}\n"
            )
            self.process.log.fatal(
                f"dict_sqlite_lookup: {self.table}: "
                f"SQL finalize failed for query '{sql}': {error}\n"
            )
        return ",".join(results) or None

    def _limit_exceeded(self, key: str) -> TableError:
        self.process.log.warning(
            f"dict_sqlite_lookup: {self.table}: Expansion limit exceeded for key '{key}'"
        )
        return TableError(self.name, _ERRNO)


@dict_type("sqlite", read_only=True)
def open_sqlite(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """Reads the configuration and opens the database."""
    try:
        parser = CfgParser(process, name)
    except OSError as error:
        return dict_surrogate(process, "sqlite", name, flags, f"open {name}: {error.strerror}")
    return SqliteDict(process, name, flags, parser)
