"""maps(3) - search a list of lookup tables in the order given.

The list is the value of a parameter such as ``virtual_alias_maps``: ``type:name`` pairs between
commas or white space, where a ``{...}`` may hold both.
"""

from __future__ import annotations

from mta.dict.errors import TableError
from mta.dict.flags import ADDRESS_FLAGS, DICT_FLAG_FIXED
from mta.dict.process import TableProcess, decide
from mta.dict.registry import Dict, dict_open
from mta.system import Wait
from mta.util.parens import split_words


class Maps:
    """A list of tables.  ``title`` is the parameter's name, for the log.

    It is true where there is at least one table.  The default ``flags`` are those of the address
    tables; DICT_FLAG_* for others (``header_checks`` has DICT_FLAG_LOCK alone; local(8) and
    virtual(8) add DICT_FLAG_PARANOID).
    """

    __slots__ = ("process", "tables", "title")

    def __init__(
        self, process: TableProcess, title: str, spec: str, flags: int = ADDRESS_FLAGS
    ) -> None:
        self.process = process
        self.title = title
        self.tables: list[Dict] = []
        for word in split_words(spec):
            table = dict_open(process, word, flags=flags)
            if table.flags & flags != flags:
                process.log.panic(
                    f"maps_create: map {word} has flags 0{table.flags:o}, want flags 0{flags:o}"
                )
            self.tables.append(table)

    def __bool__(self) -> bool:
        return bool(self.tables)

    def find(self, key: str, partial: bool = False) -> Wait[str | None]:
        """The first result for a key, or None.  With ``partial`` (the key is only a part of the
        address or name at hand) tables of patterns are left out.

        Raises TableError, after a warning, where a table fails or gives an empty result; the
        tables after it are not asked.
        """
        if not key:
            return None
        for table in self.tables:
            if partial and not table.flags & DICT_FLAG_FIXED:
                continue
            try:
                value = (yield from table.lookup(key)) if table.remote else table.get(key)
            except TableError:
                self.process.log.warning(f'{table.name} lookup error for "{key[:100]}"')
                raise
            if value is not None:
                return self._result(table, key, value)
        if self.process.system.decisions is not None:
            self._decide("", key, None, None)
        return None

    def _result(self, table: Dict, key: str, value: str) -> str:
        if not value:
            warning = self.process.log.warning
            warning(f"{self.title} lookup of {key} returns an empty string result")
            warning(f"{self.title} should return NO RESULT in case of NOT FOUND")
            raise TableError(table.name)
        if self.process.system.decisions is not None:
            self._decide(table.name, key, value, table.explain(key))
        return value

    def _decide(self, table: str, key: str, value: str | None, line: int | None) -> None:
        decide(
            self.process, "table", maps=self.title, table=table, key=key, result=value, line=line
        )
