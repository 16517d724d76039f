"""Database servers in memory, for worlds that want mysql, pgsql or ldap tables."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence

from mta.dict.backends import BackendError, LdapEntry, LdapSearch, Login, Rows
from mta.dict.sqlite import Database
from mta.system import Wait
from mta.wire.text import to_bytes, to_text

# -- SQL

_MYSQL_LITERAL = re.compile(r"'((?:[^'\\]|\\.|'')*)'", re.DOTALL)
_MYSQL_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_MYSQL_LETTERS = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "Z": "\x1a", "b": "\b"}


def _standard_literals(sql: str) -> str:
    """MySQL's text literals with backslashes as literals of the standard."""

    def literal(found: re.Match[str]) -> str:
        text = _MYSQL_ESCAPE.sub(lambda e: _MYSQL_LETTERS.get(e[1], e[1]), found[1])
        return "'" + text.replace("''", "'").replace("'", "''") + "'"

    return _MYSQL_LITERAL.sub(literal, sql)


class MemorySql:
    """A SQL server: one SQLite database in memory, made by a script.

    ``users`` maps names to passwords; without it anybody may connect.  ``down`` is the text of the
    error for those who connect meanwhile.
    """

    def __init__(
        self, script: str, *, mysql: bool = False, users: Mapping[str, str] | None = None
    ) -> None:
        self._database = Database(to_bytes(script))
        self.mysql = mysql
        self.users = users
        self.down = ""

    def connect(self, login: Login) -> Wait[None]:
        """Lets a user in.  Raises BackendError."""
        if self.down:
            raise BackendError(self.down)
        if self.users is not None and self.users.get(login.user) != login.password:
            if self.mysql:
                raise BackendError(f"Access denied for user '{login.user}' (using password: YES)")
            raise BackendError(f'FATAL:  password authentication failed for user "{login.user}"\n')
        return
        yield None

    def query(self, login: Login, sql: str) -> Wait[Rows]:
        """Runs a statement.  Raises BackendError."""
        if self.down:
            raise BackendError(self.down)
        database = self._database
        try:
            statement = database.prepare(_standard_literals(sql) if self.mysql else sql)
            return [[database.as_text(value) for value in row] for row in database.run(statement)]
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise BackendError(str(error)) from error
        yield None


# -- LDAP

_NO_SUCH_OBJECT = 32
_SIZE_LIMIT = 4
_BAD_CREDENTIALS = 49
_FILTER_ERROR = -7

_ESCAPED = re.compile(rb"\\([0-9a-fA-F]{2})")
_ITEM = re.compile(r"([A-Za-z0-9;.-]+)\s*(=|>=|<=|~=)\s*(.*)", re.DOTALL)


class MemoryLdap:
    """A directory: entries in their order.

    ``passwords`` maps DNs to passwords of those who may bind; without it anybody may.  ``down``:
    nobody gets through.
    """

    def __init__(
        self, entries: Sequence[LdapEntry], passwords: Mapping[str, str] | None = None
    ) -> None:
        self.entries = list(entries)
        self.passwords = passwords
        self.down = False

    def bind(self, dn: str, password: str) -> Wait[None]:
        """Simple authentication.  Raises BackendError."""
        self._reachable()
        if self.passwords is not None and dn and self.passwords.get(dn) != password:
            raise BackendError("Invalid credentials", _BAD_CREDENTIALS)
        return
        yield None

    def search(self, search: LdapSearch) -> Wait[Sequence[LdapEntry]]:
        """The entries below the base that match.  Raises BackendError."""
        self._reachable()
        base = _plain_dn(search.base)
        names = [_plain_dn(entry.dn) for entry in self.entries]
        if base and not any(name == base or name.endswith("," + base) for name in names):
            raise BackendError("No such object", _NO_SUCH_OBJECT)
        node = parse_filter(search.filter)
        found: list[LdapEntry] = []
        for name, entry in zip(names, self.entries, strict=True):
            if _in_scope(name, base, search.scope) and node.matches(entry):
                if 0 < search.limit <= len(found):
                    raise BackendError("Size limit exceeded", _SIZE_LIMIT)
                found.append(_projected(entry, search.attributes))
        return found
        yield None

    def _reachable(self) -> None:
        if self.down:
            raise BackendError("Can't contact LDAP server", -1)


def _plain_dn(dn: str) -> str:
    return ",".join(part.strip() for part in dn.lower().split(","))


def _in_scope(name: str, base: str, scope: str) -> bool:
    if scope == "base":
        return name == base
    below = not base or name.endswith("," + base)
    if scope == "one":
        return below and name.count(",") == (base.count(",") + 1 if base else 0)
    return below or name == base


def _projected(entry: LdapEntry, wanted: Sequence[str]) -> LdapEntry:
    names = {name.lower() for name in wanted}
    return LdapEntry(
        entry.dn,
        {
            name: values
            for name, values in entry.attributes.items()
            if name.lower().partition(";")[0] in names or name.lower() in names
        },
    )


class Filter:
    """A node of a search filter (RFC 4515): ``& | !`` with children, or one comparison."""

    __slots__ = ("attribute", "children", "kind", "pattern")

    def __init__(
        self, kind: str, children: Sequence[Filter] = (), attribute: str = "", value: str = ""
    ) -> None:
        self.kind = kind
        self.children = children
        self.attribute = attribute.lower()
        pieces = (re.escape(_unescaped(piece)) for piece in value.split("*"))
        self.pattern = re.compile(".*".join(pieces), re.IGNORECASE | re.DOTALL)

    def matches(self, entry: LdapEntry) -> bool:
        """Whether an entry matches."""
        if self.kind == "&":
            return all(child.matches(entry) for child in self.children)
        if self.kind == "|":
            return any(child.matches(entry) for child in self.children)
        if self.kind == "!":
            return not self.children[0].matches(entry)
        for name, values in entry.attributes.items():
            if name.lower() == self.attribute:
                return any(self.pattern.fullmatch(value) for value in values)
        # each entry has a class, also where nobody cared to say which
        return self.attribute == "objectclass" and self.pattern.fullmatch("top") is not None


def _unescaped(text: str) -> str:
    return to_text(_ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), to_bytes(text)))


def parse_filter(text: str) -> Filter:
    """A search filter; parentheses around a single comparison may be missing.
    Raises BackendError.
    """
    text = text.strip()
    if not text.startswith("("):
        text = f"({text})"
    node, end = _node(text, 0)
    if end != len(text):
        raise BackendError("Bad search filter", _FILTER_ERROR)
    return node


def _node(text: str, place: int) -> tuple[Filter, int]:
    if text[place : place + 1] != "(":
        raise BackendError("Bad search filter", _FILTER_ERROR)
    kind = text[place + 1 : place + 2]
    if kind and kind in "&|!":
        place += 2
        children = []
        while text[place : place + 1] == "(":
            child, place = _node(text, place)
            children.append(child)
        if text[place : place + 1] != ")" or (kind == "!" and len(children) != 1):
            raise BackendError("Bad search filter", _FILTER_ERROR)
        return Filter(kind, children), place + 1
    end = text.find(")", place)
    found = _ITEM.fullmatch(text[place + 1 : end]) if end >= 0 else None
    if found is None or found[2] not in ("=", "~="):
        raise BackendError("Bad search filter", _FILTER_ERROR)
    return Filter("=", (), found[1], found[3]), end + 1
