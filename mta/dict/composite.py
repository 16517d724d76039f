"""Tables made of tables: ``pipemap:{type:name, ...}`` and ``unionmap:{type:name, ...}``.

A pipemap asks its first table for the key and each later one for the answer before; a unionmap
asks all and joins the answers with commas.  Both are as trusted as the least trusted of theirs,
and have literal keys or patterns as the first one has.
"""

from __future__ import annotations

from mta.dict.errors import TableError
from mta.dict.flags import DICT_FLAG_FIXED, DICT_FLAG_PATTERN, O_RDONLY
from mta.dict.process import TableProcess
from mta.dict.registry import TRUSTED, Dict, dict_open, dict_surrogate, dict_type
from mta.dict.simple import is_braced
from mta.system import Wait
from mta.util.parens import split_words


class _Composite(Dict):
    """A table made of others."""

    def __init__(
        self, process: TableProcess, kind: str, table: str, flags: int, parts: list[Dict]
    ) -> None:
        first = parts[0].flags & (DICT_FLAG_FIXED | DICT_FLAG_PATTERN)
        super().__init__(process, kind, table, flags | first)
        self.parts = parts
        self.remote = any(part.remote for part in parts)
        self.owner = TRUSTED
        for part in parts:
            self.owner = self.owner.combined(part.owner)

    def get(self, key: str) -> str | None:
        """The value of a key where no part has to wait.  Raises TableError."""
        steps = self.lookup(key)
        try:
            next(steps)
        except StopIteration as done:
            value: str | None = done.value
            return value
        raise NotImplementedError(self.name)

    def _ask(self, part: Dict, key: str) -> Wait[str | None]:
        try:
            return (yield from part.lookup(key)) if part.remote else part.get(key)
        except TableError as error:
            raise type(error)(self.name) from error


class PipeDict(_Composite):
    """``pipemap``."""

    def _search(self, key: str) -> Wait[str | None]:
        value: str | None = key
        for part in self.parts:
            value = yield from self._ask(part, str(value))
            if value is None:
                break
        return value


class UnionDict(_Composite):
    """``unionmap``."""

    def _search(self, key: str) -> Wait[str | None]:
        result = ""
        for part in self.parts:
            value = yield from self._ask(part, key)
            if value is not None:
                result = f"{result},{value}" if result else value
        return result or None


def _open(kind: str, cls: type[_Composite], process: TableProcess, name: str, flags: int) -> Dict:
    words = split_words(name[1:-1]) if is_braced(name) else []
    parts: list[Dict] = []
    for word in words:
        if ":" not in word:
            parts = []
            break
        parts.append(dict_open(process, word, flags=flags, open_flags=O_RDONLY, handle=word))
    if not parts:
        reason = f'bad syntax: "{kind}:{name}"; need "{kind}:{{type:name...}}"'
        return dict_surrogate(process, kind, name, flags, reason)
    return cls(process, kind, name, flags, parts)


@dict_type("pipemap", read_only=True)
def open_pipe(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """``pipemap:{type:name, ...}``."""
    return _open("pipemap", PipeDict, process, name, flags)


@dict_type("unionmap", read_only=True)
def open_union(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """``unionmap:{type:name, ...}``."""
    return _open("unionmap", UnionDict, process, name, flags)
