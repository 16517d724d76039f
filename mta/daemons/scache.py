"""scache(8) - keeps connections that the SMTP clients do not need now.

DESCRIPTION
    A destination (the next hop) is bound to endpoints, an endpoint (an address) to connections.
    Bindings go away after the time that the client says, at most ``connection_cache_ttl_limit``;
    a connection is then closed without a word.  A connection that was given away is not kept.

DIAGNOSTICS
    Every ``connection_cache_status_update_time``, and when the process ends, the hits and misses of
    lookups and the greatest numbers of entries, unless they are all 0.

CONFIGURATION PARAMETERS
    connection_cache_status_update_time, connection_cache_ttl_limit, ipc_idle, max_idle
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from mta.lib.scache import (
    Request,
    ScacheFindDest,
    ScacheFindEndp,
    ScacheFound,
    ScacheSaveDest,
    ScacheSaveEndp,
)
from mta.master.server import Process, Program, program
from mta.system import Stream, Timer, Wait
from mta.wire.mail_date import syslog_time


class _Endpoint:
    """A connection and its properties."""

    __slots__ = ("prop", "stream", "timer")

    def __init__(self, prop: Any, stream: Stream) -> None:
        self.prop = prop
        self.stream = stream
        self.timer: Timer | None = None


class _Binding:
    """A destination's endpoint, and the properties of that."""

    __slots__ = ("endp_label", "prop", "timer")

    def __init__(self, endp_label: str, prop: Any) -> None:
        self.endp_label = endp_label
        self.prop = prop
        self.timer: Timer | None = None


class _Statistics:
    """What is logged from time to time."""

    def __init__(self, started: int) -> None:
        self.started = started
        self.dest_hits = self.dest_miss = self.endp_hits = self.endp_miss = 0
        self.dest_count = self.endp_count = self.sess_count = 0


@program("scache")
class ConnectionCache(Program):
    """The one process of scache(8)."""

    kind: ClassVar[Literal["single", "multi"]] = "multi"

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        self._dest: dict[str, list[_Binding]] = {}
        self._endp: dict[str, list[_Endpoint]] = {}
        self._ttl_limit = process.conf.connection_cache_ttl_limit
        self._statistics = _Statistics(process.now())
        self._update: Timer | None = None
        self._idle: Timer | None = None
        self._idle_at = 0  #: the moment until which clients may come; the timer may ring before
        self._sessions = 0
        self._schedule_update()

    def serve(self, request: Request) -> Wait[ScacheFound | None]:
        """Keeps something, or finds it."""
        self._busy()
        if isinstance(request, ScacheSaveEndp):
            self._save_endp(request)
        elif isinstance(request, ScacheSaveDest):
            self._save_dest(request)
        elif isinstance(request, ScacheFindEndp):
            return self._counted("endp", self._find_endp(request.endp_label))
        else:
            return self._counted("dest", self._find_dest(request))
        self._measure()
        return None
        yield None

    def retire(self) -> None:
        """Logs the statistics, and closes all connections."""
        for timer in (self._update, self._idle):
            if timer is not None:
                timer.cancel()
        self._dump()
        for bindings in self._dest.values():
            for binding in bindings:
                _cancel(binding.timer)
        for endpoints in self._endp.values():
            for endpoint in endpoints:
                _cancel(endpoint.timer)
                endpoint.stream.close()
        self._dest.clear()
        self._endp.clear()

    # -- endpoints ----------------------------------------------------------------------------

    def _save_endp(self, request: ScacheSaveEndp) -> None:
        label = request.endp_label
        endpoint = _Endpoint(request.endp_prop, request.stream)
        self._endp.setdefault(label, []).append(endpoint)
        self._sessions += 1
        endpoint.timer = self.process.system.after(
            min(request.ttl, self._ttl_limit), lambda: self._expire_endp(label, endpoint)
        )

    def _expire_endp(self, label: str, endpoint: _Endpoint) -> None:
        self._drop_endp(label, endpoint)
        endpoint.stream.close()

    def _drop_endp(self, label: str, endpoint: _Endpoint) -> None:
        endpoints = self._endp[label]
        endpoints.remove(endpoint)
        self._sessions -= 1
        if not endpoints:
            del self._endp[label]

    def _find_endp(self, label: str) -> ScacheFound | None:
        endpoints = self._endp.get(label)
        if not endpoints:
            return None
        endpoint = endpoints[0]
        _cancel(endpoint.timer)
        self._drop_endp(label, endpoint)
        return ScacheFound(endpoint.stream, endpoint.prop)

    # -- destinations -------------------------------------------------------------------------

    def _save_dest(self, request: ScacheSaveDest) -> None:
        label = request.dest_label
        bindings = self._dest.setdefault(label, [])
        wanted = (request.endp_label, request.dest_prop)
        binding = next((b for b in bindings if (b.endp_label, b.prop) == wanted), None)
        if binding is None:
            binding = _Binding(*wanted)
            bindings.append(binding)
        else:
            _cancel(binding.timer)
        kept = binding
        binding.timer = self.process.system.after(
            min(request.ttl, self._ttl_limit), lambda: self._expire_dest(label, kept)
        )

    def _expire_dest(self, label: str, binding: _Binding) -> None:
        bindings = self._dest[label]
        bindings.remove(binding)
        if not bindings:
            del self._dest[label]

    def _find_dest(self, request: ScacheFindDest) -> ScacheFound | None:
        for binding in self._dest.get(request.dest_label, ()):
            found = self._find_endp(binding.endp_label)
            if found is not None:
                return found._replace(dest_prop=binding.prop)
        return None

    # -- statistics ---------------------------------------------------------------------------

    def _counted(
        self, kind: Literal["dest", "endp"], found: ScacheFound | None
    ) -> ScacheFound | None:
        name = f"{kind}_{'miss' if found is None else 'hits'}"
        setattr(self._statistics, name, getattr(self._statistics, name) + 1)
        return found

    def _measure(self) -> None:
        statistics = self._statistics
        statistics.dest_count = max(statistics.dest_count, len(self._dest))
        statistics.endp_count = max(statistics.endp_count, len(self._endp))
        statistics.sess_count = max(statistics.sess_count, self._sessions)

    def _schedule_update(self) -> None:
        self._update = self.process.system.after(
            self.process.conf.connection_cache_status_update_time, self._status_update
        )

    def _status_update(self) -> None:
        self._dump()
        self._schedule_update()

    def _busy(self) -> None:
        """A client has come.  Clients let go ``ipc_idle`` after their last request; the process
        ends ``max_idle`` later, and with it an interval of the statistics.
        """
        process, conf = self.process, self.process.conf
        if self._update is None:
            self._statistics = _Statistics(process.now())
            self._schedule_update()
        patience = conf.ipc_idle + conf.max_idle
        self._idle_at = process.now() + patience * 1_000_000
        if self._idle is None:
            self._idle = process.system.after(patience, self._exit)

    def _exit(self) -> None:
        process = self.process
        left = self._idle_at - process.now()
        if left > 0:
            self._idle = process.system.after(left / 1_000_000, self._exit)
            return
        self._idle = None
        self._dump()
        _cancel(self._update)
        self._update = None

    def _dump(self) -> None:
        """Logs the statistics and begins anew (scache_status_dump)."""
        process, stat = self.process, self._statistics
        self._statistics = _Statistics(process.now())
        looked = (stat.dest_hits, stat.dest_miss, stat.endp_hits, stat.endp_miss)
        counted = (stat.dest_count, stat.endp_count, stat.sess_count)
        info = process.log.info
        if any(looked) or any(counted):
            started = syslog_time(stat.started, process.system.timezone)
            info(f"statistics: start interval {started}")
        for kind, hits, miss in (("domain", *looked[:2]), ("address", *looked[2:])):
            if hits or miss:
                success = hits * 100 // (hits + miss)
                info(f"statistics: {kind} lookup hits={hits} miss={miss} success={success}%")
        if any(counted):
            info(
                "statistics: max simultaneous domains={} addresses={} connection={}".format(
                    *counted
                )
            )


def _cancel(timer: Timer | None) -> None:
    if timer is not None:
        timer.cancel()
