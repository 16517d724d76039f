"""proxymap(8) - opens lookup tables for other processes, which share them.

DESCRIPTION
    Processes that use ``proxy:type:name`` ask the service ``proxymap`` for its values, and
    ``proxywrite`` to store them.  A table is opened once for all clients, and only where
    ``proxy_read_maps`` (``proxy_write_maps``) lists it.

DIAGNOSTICS
    ``request for unapproved table: "..."`` and how to approve it; ``refusing ... update request on
    non-proxywrite service``; ``table ... has changed -- restarting``.

CONFIGURATION PARAMETERS
    proxy_read_maps, proxy_write_maps, and the parameters that these name
"""

from __future__ import annotations

from typing import ClassVar, Literal

from mta.dict.errors import DictConfigError, TableError
from mta.dict.flags import (
    DICT_FLAG_DUP_REPLACE,
    DICT_FLAG_INST_MASK,
    DICT_FLAG_SYNC_UPDATE,
    O_CREAT,
    O_RDONLY,
    O_RDWR,
    dict_flags_str,
)
from mta.dict.proxy import (
    IS_PROXYMAP,
    PROXY_STAT_BAD,
    PROXY_STAT_CONFIG,
    PROXY_STAT_DENY,
    PROXY_STAT_NOKEY,
    PROXY_STAT_OK,
    PROXY_STAT_RETRY,
    ProxyReply,
    ProxyRequest,
    approved_tables,
    plain_name,
)
from mta.dict.registry import Dict, dict_changed_name, dict_open, handles
from mta.master.server import Process, Program, program
from mta.system import Wait


@program("proxymap")
class ProxyMap(Program):
    """The process, for reading (``proxymap``) or for writing (``proxywrite``)."""

    kind: ClassVar[Literal["single", "multi"]] = "multi"

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        conf = process.conf
        if process.service not in ("proxymap", "proxywrite"):
            process.log.fatal("service name must be one of proxymap or proxymap")
        self.writer = process.service == "proxywrite"
        process.cache[IS_PROXYMAP] = True
        self.parameter = "proxy_write_maps" if self.writer else "proxy_read_maps"
        self.approved = approved_tables(
            conf.proxy_write_maps if self.writer else conf.proxy_read_maps
        )

    def serve(self, request: ProxyRequest) -> Wait[ProxyReply]:
        """Answers one request."""
        self._restart_if_changed()
        log = self.process.log
        if request.action in ("update", "delete") and not self.writer:
            log.warning(
                f"refusing {request.table} {request.action} request on non-proxywrite service"
            )
            return ProxyReply(PROXY_STAT_DENY)
        table = self._table(request)
        if isinstance(table, ProxyReply):
            return table
        try:
            return (yield from self._answer(table, request))
        except DictConfigError:
            return ProxyReply(PROXY_STAT_CONFIG)
        except TableError:
            return ProxyReply(PROXY_STAT_RETRY)

    def _answer(self, table: Dict, request: ProxyRequest) -> Wait[ProxyReply]:
        if request.action == "open":
            return ProxyReply(PROXY_STAT_OK, flags=table.flags)
        if request.action == "lookup":
            value = yield from table.lookup(request.key)
            return ProxyReply(PROXY_STAT_NOKEY if value is None else PROXY_STAT_OK, value or "")
        table.flags |= DICT_FLAG_SYNC_UPDATE
        if request.action == "update":
            table.flags |= DICT_FLAG_DUP_REPLACE
            done = yield from table.update(request.key, request.value)
        else:
            done = yield from table.delete(request.key)
        return ProxyReply(PROXY_STAT_OK if done else PROXY_STAT_NOKEY)

    def _table(self, request: ProxyRequest) -> Dict | ProxyReply:
        """The open table; a reply where it may not be opened."""
        name = plain_name(request.table)
        if ":" not in name:
            return ProxyReply(PROXY_STAT_BAD)
        if name not in self.approved:
            mode = "read-write" if self.writer else "read-only"
            warning = self.process.log.warning
            warning(f'request for unapproved table: "{name}"')
            warning(
                f"to approve this table for {mode} access, "
                f"list proxy:{name} in main.cf:{self.parameter}"
            )
            return ProxyReply(PROXY_STAT_DENY)
        return dict_open(
            self.process,
            name,
            flags=request.flags,
            open_flags=O_RDWR | O_CREAT if self.writer else O_RDONLY,
            handle=f"{name}:{dict_flags_str(request.flags & DICT_FLAG_INST_MASK)}",
        )

    def _restart_if_changed(self) -> None:
        """The process ends when a table has changed, so we open all anew."""
        if self.writer:
            return
        changed = dict_changed_name(self.process)
        if changed is not None:
            self.process.log.info(f"table {changed} has changed -- restarting")
            handles(self.process).clear()
