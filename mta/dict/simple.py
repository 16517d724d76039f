"""Tables without a file: inline, internal, static, fail, randmap, environ, unix.

``inline:{ name=value, {name = value with spaces} }``, ``static:text``, ``static:{ text }``,
``randmap:{ value, value }``, ``unix:passwd.byname``, ``unix:group.byname`` (DATABASE_README).
"""

from __future__ import annotations

from collections.abc import Iterator

from mta.dict.errors import TableError
from mta.dict.flags import DICT_FLAG_FIXED, DICT_FLAG_PATTERN, DICT_FLAG_UTF8_REQUEST
from mta.dict.htable import htable_order
from mta.dict.process import TableProcess, utf8_enabled
from mta.dict.registry import (
    OWNER_TRUSTED,
    TRUSTED,
    Dict,
    LocalDict,
    Owner,
    dict_surrogate,
    dict_type,
)
from mta.system import Dice, Wait
from mta.util.casefold import valid_utf8
from mta.util.parens import ParenError, balpar, extpar, split_nameval, split_words

#: Trusted, but without a uid of its own.
_OURS = Owner(OWNER_TRUSTED)


class MemoryDict(LocalDict):
    """A table in memory (dict_ht(3)); base of the types that are read from text at once."""

    def __init__(self, process: TableProcess, kind: str, table: str, flags: int) -> None:
        super().__init__(process, kind, table, flags | DICT_FLAG_FIXED)
        self.owner = _OURS
        self.entries: dict[str, str] = {}
        self.lines: dict[str, int] = {}

    def _find(self, key: str) -> str | None:
        return self.entries.get(key)

    def store(self, key: str, value: str) -> None:
        """Stores a value under a folded key, in place of what is there."""
        wanted = self._key(key)
        if wanted is None:
            return
        if self.utf8 and not valid_utf8(value):
            self._warn_value(key, value)
            return
        self.entries[wanted] = value

    def update(self, key: str, value: str) -> Wait[bool]:
        """Stores a value, in place of what is there."""
        self.store(key, value)
        return True
        yield None

    def delete(self, key: str) -> Wait[bool]:
        """Removes a key; False where there is none."""
        wanted = self._key(key)
        return wanted is not None and self.entries.pop(wanted, None) is not None
        yield None

    def sequence(self) -> Iterator[tuple[str, str]]:
        """All entries, in the order of Postfix's hash tables."""
        for key in htable_order(list(self.entries)):
            yield key, self.entries[key]

    def explain(self, key: str) -> int | None:
        """The number of the line that the entry comes from."""
        wanted = self._key(key)
        return None if wanted is None else self.lines.get(wanted)


@dict_type("internal")
def open_internal(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """``internal:name``: an empty table of the process's own."""
    return MemoryDict(process, "internal", name, flags)


@dict_type("inline", read_only=True)
def open_inline(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """``inline:{ name=value ... }``."""
    spec = f'"inline:{name}"; need "inline:{{name=value...}}"'
    if flags & DICT_FLAG_UTF8_REQUEST and utf8_enabled(process) and not valid_utf8(name):
        return dict_surrogate(process, "inline", name, flags, f"bad UTF-8 syntax: {spec}")
    if not is_braced(name):
        return dict_surrogate(process, "inline", name, flags, f"bad syntax: {spec}")
    table = MemoryDict(process, "inline", name, flags)
    table.activate()
    words = split_words(name[1:-1])
    problem = _store_pairs(table, words)
    if problem:
        return dict_surrogate(process, "inline", name, flags, f"{problem}: {spec}")
    if not words:
        return dict_surrogate(process, "inline", name, flags, f"empty table: {spec}")
    return table


def _store_pairs(table: MemoryDict, words: list[str]) -> str:
    """Stores the pairs; what is wrong with them, empty for nothing.

    As in Postfix 3.0, bad braces count only in the first or the last pair; in between, the pair is
    left out without a word.
    """
    problem = ""
    for place, word in enumerate(words):
        try:
            text = extpar(word) if word.startswith("{") else word
        except ParenError as error:
            problem = error.args[0]
            if place:
                continue
            break
        problem = ""
        try:
            key, value = split_nameval(text)
        except ParenError as error:
            return str(error.args[0])
        table.store(key, value)
    return problem


def is_braced(name: str) -> bool:
    """Whether a table's name is ``{...}`` with something in it."""
    size = balpar(name)
    return size == len(name) and size > 2


class StaticDict(LocalDict):
    """A table that gives the same for each key: its name."""

    def __init__(self, process: TableProcess, value: str, flags: int) -> None:
        super().__init__(process, "static", value, flags | DICT_FLAG_FIXED)
        self.owner = _OURS

    def _find(self, key: str) -> str | None:
        return self.table


@dict_type("static")
def open_static(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """``static:value`` or ``static:{ value }``."""
    value = name
    if name.startswith("{"):
        try:
            value = extpar(name)
        except ParenError as error:
            reason = f"bad static:name syntax: {error.args[0]}"
            return dict_surrogate(process, "static", name, flags, reason)
    return StaticDict(process, value, flags)


class FailDict(LocalDict):
    """A table of which each use fails, without a word."""

    def __init__(self, process: TableProcess, name: str, flags: int) -> None:
        super().__init__(process, "fail", name, flags | DICT_FLAG_PATTERN)
        self.owner = _OURS

    def _find(self, key: str) -> str | None:
        raise TableError(self.name)

    def update(self, key: str, value: str) -> Wait[bool]:
        """Fails."""
        raise TableError(self.name)
        yield None

    def delete(self, key: str) -> Wait[bool]:
        """Fails."""
        raise TableError(self.name)
        yield None

    def sequence(self) -> Iterator[tuple[str, str]]:
        """Fails."""
        raise TableError(self.name)


@dict_type("fail")
def open_fail(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """``fail:name``."""
    return FailDict(process, name, flags)


class RandomDict(LocalDict):
    """A table that gives one of its values by chance, whatever the key."""

    def __init__(self, process: TableProcess, name: str, flags: int, values: list[str]) -> None:
        super().__init__(process, "randmap", name, flags | DICT_FLAG_PATTERN)
        self.owner = TRUSTED
        self.values = values
        self._dice: Dice = process.system.dice(self.name)

    def _find(self, key: str) -> str | None:
        return self.values[self._dice.randrange(len(self.values))]


@dict_type("randmap", read_only=True)
def open_random(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """``randmap:{ value, value ... }``."""
    values = split_words(name[1:-1]) if is_braced(name) else []
    if not values:
        reason = f'bad syntax: "randmap:{name}"; need "randmap:{{value...}}"'
        return dict_surrogate(process, "randmap", name, flags, reason)
    return RandomDict(process, name, flags, values)


#: Key of ``process.cache``: the environment of the process, a dict of names to texts.
ENVIRONMENT = "environment"


class EnvironDict(LocalDict):
    """The environment of the process: what master(8) leaves its children, and what they set."""

    def __init__(self, process: TableProcess, name: str, flags: int) -> None:
        super().__init__(process, "environ", name, flags | DICT_FLAG_FIXED)
        self.owner = _OURS
        default = {"LANG": "C", "MAIL_CONFIG": process.conf.config_directory}
        self.variables: dict[str, str] = process.cache.setdefault(ENVIRONMENT, default)

    def _find(self, key: str) -> str | None:
        return self.variables.get(key)

    def update(self, key: str, value: str) -> Wait[bool]:
        """Sets a variable."""
        wanted = self._key(key)
        if wanted is not None:
            self.variables[wanted] = value
        return True
        yield None


@dict_type("environ")
def open_environ(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """``environ:anything``."""
    return EnvironDict(process, name, flags)


class UnixDict(LocalDict):
    """passwd(5) or group(5), each entry as a line of the file."""

    def __init__(self, process: TableProcess, name: str, flags: int) -> None:
        super().__init__(process, "unix", name, flags | DICT_FLAG_FIXED)
        self.owner = _OURS

    def _find(self, key: str) -> str | None:
        accounts = self.process.system.accounts
        if self.table == "group.byname":
            gid = accounts.group(key)
            return None if gid is None else f"{key}:x:{gid}:"
        user = accounts.by_name(key)
        if user is None:
            return None
        return f"{user.name}:x:{user.uid}:{user.gid}:{user.gecos}:{user.home}:{user.shell}"


@dict_type("unix", read_only=True)
def open_unix(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """``unix:passwd.byname``, ``unix:group.byname``."""
    if name not in ("passwd.byname", "group.byname"):
        return dict_surrogate(process, "unix", name, flags, f"unknown table: unix:{name}")
    return UnixDict(process, name, flags)
