"""``mysql:/path`` - MySQL databases (mysql_table(5)).

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

_PORT = 3306
_SOCKET = "/var/run/mysqld/mysqld.sock"

_ESCAPES = str.maketrans(
    {
        "\0": "\\0", "\n": "\\n", "\r": "\\r", "\\": "\\\\", "'": "\\'", '"': '\\"',
        "\x1a": "\\Z",
    }
)  # fmt: skip


class MysqlDict(SqlDict):
    """A table of a MySQL server."""

    def _host(self, text: str) -> Host:
        local = text.startswith("unix:")
        plain = text.removeprefix("unix:") if local else text.removeprefix("inet:")
        name, colon, port = plain.rpartition(":")
        if not colon:
            name, port = plain, ""
        if name.lower() == "localhost":
            return Host(text, True, _SOCKET, 0)
        return Host(text, local, name, int(port) if port.isdecimal() else 0)

    def _quote(self, text: str) -> str:
        return text.translate(_ESCAPES)

    def _server(self, host: Host) -> SqlServer:
        if host.local:
            found = find_server(self.process, f"unix:{host.address}")
            why = f"Can't connect to local MySQL server through socket '{host.address}' (2)"
        else:
            port = host.port or _PORT
            found = find_server(self.process, f"{host.address}:{port}", f"mysql:{host.address}")
            why = f"Can't connect to MySQL server on '{host.address}' (111)"
        if found is None:
            raise BackendError(why)
        return cast(SqlServer, found)

    def _failed(self, host: Host, error: str) -> str:
        return f"mysql query failed: {error}"

    def _domain_failed(self, key: str) -> None:
        self.process.log.warning(f"{self.name} 'domain' pattern match failed for '{key}'")


@dict_type("mysql", read_only=True)
def open_mysql(process: TableProcess, name: str, open_flags: int, flags: int) -> Dict:
    """Reads the configuration; the first lookup makes the connection."""
    try:
        parser = CfgParser(process, name)
    except OSError as error:
        return dict_surrogate(process, "mysql", name, flags, f"open {name}: {error.strerror}")
    return MysqlDict(process, "mysql", name, flags, parser)
