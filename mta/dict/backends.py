"""The database servers behind the types mysql, pgsql and ldap: what a world has to supply.

Nothing is ever asked over a real network.  A system that has database servers has an attribute
``databases``: a mapping of an address to a server, such as ``"192.0.2.9:3306"``,
``"unix:/run/mysqld.sock"`` or ``"ldap://192.0.2.9:389"``; see :func:`find_server`.  Servers in
memory are in :mod:`mta.dict.memory_servers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from mta.dict.process import TableProcess
from mta.system import Wait


class BackendError(Exception):
    """A server refused or failed: ``args[0]`` is the text of the client library's error,
    ``args[1]`` the number of an LDAP error.
    """


class Login(NamedTuple):
    """Who connects to which database, as the table's configuration says."""

    user: str
    password: str
    database: str


#: Rows of columns; None is NULL.
Rows = Sequence[Sequence[str | None]]


class SqlServer(Protocol):
    """A server of SQL databases.  Both methods may wait, and raise BackendError."""

    def connect(self, login: Login) -> Wait[None]:
        """Opens a connection."""

    def query(self, login: Login, sql: str) -> Wait[Rows]:
        """Runs a statement on the open connection."""


class LdapEntry(NamedTuple):
    """An entry of a directory: its name, and values by attribute in the server's order."""

    dn: str
    attributes: Mapping[str, Sequence[str]]


class LdapSearch(NamedTuple):
    """A search (RFC 4511, 4.5.1).  ``scope``: base, one, sub; ``limit`` 0 for none."""

    base: str
    scope: str
    filter: str
    attributes: Sequence[str]
    limit: int = 0


class LdapServer(Protocol):
    """A directory server.  Both methods may wait, and raise BackendError with a number."""

    def bind(self, dn: str, password: str) -> Wait[None]:
        """Simple authentication; an empty DN is anonymous."""

    def search(self, search: LdapSearch) -> Wait[Sequence[LdapEntry]]:
        """The entries that match."""


def has_client_libraries(process: TableProcess) -> bool:
    """Whether tables of these types can be opened at all: in a system that says nothing of database
    servers they are not built in, as in the build that Postlab behaves as.
    """
    return getattr(process.system, "databases", None) is not None


def find_server(process: TableProcess, *addresses: str) -> Any | None:
    """The server at one of the addresses, None where nobody listens."""
    servers: Mapping[str, Any] = getattr(process.system, "databases", None) or {}
    for address in addresses:
        if address in servers:
            return servers[address]
    return None
