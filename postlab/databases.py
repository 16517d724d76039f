"""The servers behind lookup tables that a scenario supplies (``databases``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mta.dict.backends import BackendError, LdapEntry, LdapSearch, Login, Rows
from mta.dict.memory_servers import MemoryLdap, MemorySql
from mta.system import Inet, Wait
from postlab.model import Database
from sim.peers.host import parse_endpoint
from sim.peers.lookup import LookupServer, LookupSpec

if TYPE_CHECKING:
    from sim.kernel import Machine

_LDAP_BUSY = 51
_PORTS = {"mysql": 3306, "pgsql": 5432, "ldap": 389, "ldaps": 636, "ldapi": 0}
_NETWORK = ("tcp", "socketmap", "memcache")


class _Moods:
    """How a server behaves: it may be slow, and it may fail."""

    def __init__(self, database: Database, machine: Machine, code: tuple[int, ...] = ()) -> None:
        self.database = database
        self.machine = machine
        self.code = code
        self.left = database.times

    def before(self) -> Wait[None]:
        """What comes before an answer.  Raises BackendError."""
        if self.database.delay:
            yield self.machine.sleep(self.database.delay)
        if self.database.fails and self.left != 0:
            if self.left is not None:
                self.left -= 1
            raise BackendError(self.database.fails, *self.code)


class _Sql:
    """A SQL server with moods."""

    def __init__(self, inner: MemorySql, moods: _Moods) -> None:
        self.inner = inner
        self.moods = moods

    def connect(self, login: Login) -> Wait[None]:
        """Lets a user in.  Raises BackendError."""
        yield from self.inner.connect(login)

    def query(self, login: Login, sql: str) -> Wait[Rows]:
        """Runs a statement.  Raises BackendError."""
        yield from self.moods.before()
        return (yield from self.inner.query(login, sql))


class _Ldap:
    """A directory with moods."""

    def __init__(self, inner: MemoryLdap, moods: _Moods) -> None:
        self.inner = inner
        self.moods = moods

    def bind(self, dn: str, password: str) -> Wait[None]:
        """Simple authentication.  Raises BackendError."""
        yield from self.inner.bind(dn, password)

    def search(self, search: LdapSearch) -> Wait[Sequence[LdapEntry]]:
        """The entries that match.  Raises BackendError."""
        yield from self.moods.before()
        return (yield from self.inner.search(search))


def install(
    databases: Mapping[str, Database], machine: Machine, machine_at: Callable[[str], Machine]
) -> None:
    """Puts the servers where the tables of the mail system's machine will look for them."""
    servers: dict[str, Any] = {}
    for endpoint, database in databases.items():
        kind, _, rest = endpoint.partition(":")
        if kind in _NETWORK:
            _listen(kind, rest, database, machine, machine_at)
        elif database.state == "refuse":
            continue
        elif kind in ("mysql", "pgsql"):
            inner = MemorySql(database.sql, mysql=kind == "mysql", users=database.users or None)
            address = rest if rest.startswith("unix:") or ":" in rest else f"{rest}:{_PORTS[kind]}"
            servers[address] = _Sql(inner, _Moods(database, machine))
        else:
            entries = [LdapEntry(entry.dn, entry.attributes) for entry in database.directory]
            inner_ldap = MemoryLdap(entries, database.users or None)
            url = endpoint if ":" in rest.lstrip("/") else f"{endpoint}:{_PORTS[kind]}"
            servers[url] = _Ldap(inner_ldap, _Moods(database, machine, (_LDAP_BUSY,)))
    machine.databases = servers


def _listen(
    kind: str,
    rest: str,
    database: Database,
    machine: Machine,
    machine_at: Callable[[str], Machine],
) -> None:
    where = parse_endpoint(rest if rest.startswith("unix:") else f"inet:{rest}")
    host = machine_at(where.host) if isinstance(where, Inet) else machine
    spec = LookupSpec(
        kind,  # type: ignore[arg-type]
        database.entries,
        database.delay,
        database.fails,
        database.times,
    )
    server = LookupServer(spec, host, where)
    if database.state == "listen":
        server.start()
