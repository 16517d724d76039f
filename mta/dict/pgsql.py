"""``pgsql:/path`` - PostgreSQL databases (pgsql_table(5)).

The server is one that the world supplies (:mod:`mta.dict.backends`) at ``address:port`` or at
``unix:path``.
"""

from __future__ import annotations

from typing import cast

from mta.dict.backends import BackendError, SqlServer, find_server
from mta.dict.cfg_parser import CfgParser
from mta.dict.process import TableProcess
from mta.dict.registry import Dict, dict_surrogate, dict_type
from mta.dict.sql import Host, SqlDict

_PORT = 5432
_SOCKETS = "/var/run/postgresql"


class PgsqlDict(SqlDict):
    """A table of a PostgreSQL server."""

    def _old_query(self, parser: CfgParser) -> str:
        function = parser.optional("select_function")
        return f"SELECT {function}('%s')" if function else super()._old_query(parser)

    def _host(self, text: str) -> Host:
        plain = text[5:] if text.startswith(("unix:", "inet:")) else text
        name, colon, port = plain.rpartition(":")
        if not colon:
            name, port = plain, ""
        local = not name or name.startswith("/")
        return Host(text, local, name or _SOCKETS, int(port) if port.isdecimal() else _PORT)

    def _quote(self, text: str) -> str:
        return text.replace("'", "''")

    def _server(self, host: Host) -> SqlServer:
        if host.local:
            path = f"{host.address}/.s.PGSQL.{host.port}"
            found = find_server(self.process, f"unix:{path}", f"unix:{host.address}")
            why = (
                "could not connect to server: No such file or directory\n"
                "\tIs the server running locally and accepting\n"
                f'\tconnections on Unix domain socket "{path}"?\n'
            )
        else:
            found = find_server(
                self.process, f"{host.address}:{host.port}", f"pgsql:{host.address}"
            )
            why = (
                "could not connect to server: Connection refused\n"
                f'\tIs the server running on host "{host.address}" and accepting\n'
                f"\tTCP/IP connections on port {host.port}?\n"
            )
        if found is None:
            raise BackendError(why)
        return cast(SqlServer, found)

    def _failed(self, host: Host, error: str) -> str:
        return f"pgsql query failed: fatal error from host {host.name}: {error}"

    def _text(self, value: str | None) -> str | None:
        """The client library gives NULL as an empty text."""
        return value or ""


@dict_type("pgsql", read_only=True)
def open_pgsql(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """Reads the configuration; the first lookup makes the connection."""
    try:
        parser = CfgParser(process, name)
    except OSError as error:
        return dict_surrogate(process, "pgsql", name, flags, f"open {name}: {error.strerror}")
    return PgsqlDict(process, "pgsql", name, flags, parser)
