"""What mysql_table(5) and pgsql_table(5) have in common: hosts that are tried in turn, and queries
whose every column of every row is a result.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass

from mta.dict.backends import BackendError, Login, Rows, SqlServer
from mta.dict.cfg_parser import CfgParser
from mta.dict.db_common import DbCommon, build_query
from mta.dict.errors import TableError
from mta.dict.flags import DICT_FLAG_FIXED
from mta.dict.process import TableProcess
from mta.dict.registry import Dict
from mta.system import MICROSECONDS, Wait

#: Seconds for which a host that failed is left alone, and after which an idle connection closes.
_RETRY = 60
_IDLE = 60
_MAX_ATTEMPTS = 100

_COMMA_SPACE = re.compile(r"[, \t\r\n]+")


@dataclass(slots=True)
class Host:
    """A host of the setting ``hosts``, and the connection to it."""

    name: str  #: as it was written
    local: bool  #: a UNIX-domain socket
    address: str
    port: int
    server: SqlServer | None = None  #: while there is a connection
    retry_at: int = 0
    failed: bool = False
    used: int = 0


class SqlDict(Dict):
    """A table that is a query to one of several servers."""

    def __init__(
        self, process: TableProcess, kind: str, name: str, flags: int, parser: CfgParser
    ) -> None:
        super().__init__(process, kind, name, flags | DICT_FLAG_FIXED)
        self.owner = parser.owner
        self.login = Login(
            parser.text("user"), parser.text("password"), parser.text("dbname", min=1)
        )
        self.result_format = parser.text("result_format", "%s", min=1)
        self.expansion_limit = parser.number("expansion_limit", 0)
        self.query = parser.optional("query") or self._old_query(parser)
        self.common = DbCommon(process, kind, name)
        self.common.parse(self.query, True)
        self.common.parse(self.result_format, False)
        self.common.parse_domain(parser)
        names = [word for word in _COMMA_SPACE.split(parser.text("hosts")) if word]
        self.hosts = [self._host(word) for word in names or ["localhost"]]
        self._dice = process.system.dice(self.name)

    def _old_query(self, parser: CfgParser) -> str:
        return build_query(parser)

    @abstractmethod
    def _host(self, text: str) -> Host:
        """A host as it is written in ``hosts``."""

    @abstractmethod
    def _quote(self, text: str) -> str:
        """A piece of a key within quotes."""

    @abstractmethod
    def _server(self, host: Host) -> SqlServer:
        """The server of a host.  Raises BackendError where there is none."""

    @abstractmethod
    def _failed(self, host: Host, error: str) -> str:
        """The warning of a query that failed."""

    def _domain_failed(self, key: str) -> None:
        """What is said when the ``domain`` list cannot be searched."""

    # -- hosts

    def _pick(self, connected: bool, local: bool) -> Host | None:
        """One of the hosts that may be tried, by chance."""
        now = self.process.system.now() // MICROSECONDS
        hosts = [
            host
            for host in self.hosts
            if (host.server is not None) == connected
            and host.local == local
            and not (host.failed and host.retry_at >= now)
        ]
        if len(hosts) > 1:
            return hosts[self._dice.randrange(len(hosts))]
        return hosts[0] if hosts else None

    def _active(self) -> Wait[Host | None]:
        """A host with a connection; local ones are preferred."""
        now = self.process.system.now()
        for host in self.hosts:
            if host.server is not None and now - host.used > _IDLE * MICROSECONDS:
                host.server = None
        found = self._pick(True, True) or self._pick(True, False)
        if found is not None:
            return found
        for _ in range(_MAX_ATTEMPTS - 1):
            host_to_try = self._pick(False, True) or self._pick(False, False)
            if host_to_try is None:
                break
            if (yield from self._connect(host_to_try)):
                return host_to_try
        return None

    def _connect(self, host: Host) -> Wait[bool]:
        try:
            server = self._server(host)
            yield from server.connect(self.login)
        except BackendError as error:
            self.process.log.warning(f"connect to {self.kind} server {host.name}: {error.args[0]}")
            self._down(host)
            return False
        host.server = server
        host.failed = False
        host.used = self.process.system.now()
        return True

    def _down(self, host: Host) -> None:
        host.server = None
        host.failed = True
        host.retry_at = self.process.system.now() // MICROSECONDS + _RETRY

    # -- queries

    def _rows(self, key: str) -> Wait[Rows]:
        while True:
            host = yield from self._active()
            if host is None or host.server is None:
                raise TableError(self.name)
            sql = self.common.expand_query(self.query, key, self._quote) or ""
            try:
                rows = yield from host.server.query(self.login, sql)
            except BackendError as error:
                self.process.log.warning(self._failed(host, error.args[0]))
                self._down(host)
            else:
                host.used = self.process.system.now()
                return rows

    def _search(self, key: str) -> Wait[str | None]:
        try:
            if not (yield from self.common.check_domain(key)):
                return None
        except TableError:
            self._domain_failed(key)
            raise
        if self.common.expand_query(self.query, key) is None:
            return None
        rows = yield from self._rows(key)
        results: list[str] = []
        for row in rows:
            for value in row:
                result = self.common.expand_result(self.result_format, self._text(value), key)
                if result is not None:
                    results.append(result)
                    if 0 < self.expansion_limit < len(results):
                        self.process.log.warning(
                            f"dict_{self.kind}_lookup: {self.table}: "
                            f"Expansion limit exceeded for key: '{key}'"
                        )
                        raise TableError(self.name)
        return ",".join(results) or None

    def _text(self, value: str | None) -> str | None:
        return value
