"""anvil(8) - the counter of client connections and events.

NAME
    anvil - Postfix session count and request rate control

DESCRIPTION
    Servers tell of each connection, message, recipient and new TLS session of a client, named
    ``service:address``, and learn how many there were in ``anvil_rate_time_unit``.  The server that
    asked enforces the limits.  Rates start again when a time unit has passed since they were first
    counted; a client without connections is forgotten a time unit after it has left.

DIAGNOSTICS
    The process logs peaks every ``anvil_status_update_time`` and when it ends:
    ``statistics: max connection rate 3/60s for (smtp:192.0.2.1) at Jan  1 09:00:00``.

BUGS
    Postfix forgets the connection of a server that dies.  Here the server tells of it.

CONFIGURATION PARAMETERS
    anvil_rate_time_unit, anvil_status_update_time
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mta.lib.requests import AnvilReply, AnvilRequest
from mta.master.server import Program, program
from mta.system import Timer, Wait
from mta.wire.mail_date import syslog_time

if TYPE_CHECKING:
    from mta.master.server import Process

_INT_MAX = 2**31 - 1

#: Requests that count an event: the attribute of the client.
_EVENTS = {"message": "mail", "recipient": "rcpt", "newtls": "ntls"}


@dataclass(slots=True)
class Remote:
    """A client of a service: its connections, and its events since ``start`` (seconds)."""

    ident: str
    count: int = 0
    rate: int = 0
    mail: int = 0
    rcpt: int = 0
    ntls: int = 0
    start: int = 0
    timer: Timer | None = None

    def reset_rates(self, start: int) -> None:
        """Begins a new time unit."""
        self.rate = self.mail = self.rcpt = self.ntls = 0
        self.start = start


@dataclass(slots=True)
class Peak:
    """The most that was seen of something, of whom, and when (microseconds)."""

    label: str
    value: int = 0
    ident: str = ""
    when: int = 0


@program("anvil")
class Anvil(Program):
    """The one process that counts."""

    kind = "multi"

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        conf = process.conf
        self.unit: int = conf.anvil_rate_time_unit
        self.remotes: dict[str, Remote] = {}
        self.peaks = {
            "rate": Peak("connection rate"),
            "count": Peak("connection count"),
            "mail": Peak("message rate"),
            "rcpt": Peak("recipient rate"),
            "ntls": Peak("newtls rate"),
        }
        self.cache_size = Peak("cache size")
        self._status: Timer | None = None
        self._schedule_status()

    def serve(self, request: AnvilRequest) -> Wait[AnvilReply | None]:
        """Counts, and tells how much there is; None for what is no request."""
        return self._answer(request)
        yield

    def _answer(self, request: AnvilRequest) -> AnvilReply | None:
        kind, ident = request
        if kind == "connect":
            remote = self._connect(ident)
            self._note("rate", remote.rate, ident)
            self._note("count", remote.count, ident)
            return AnvilReply(remote.count, remote.rate)
        if kind in _EVENTS:
            return AnvilReply(rate=self._event(_EVENTS[kind], ident))
        if kind == "disconnect":
            self._disconnect(ident)
            return AnvilReply()
        if kind == "newtls_status":
            known = self._fresh(ident)
            return AnvilReply(rate=known.ntls if known is not None else 0)
        if kind == "lookup":
            known = self._fresh(ident)
            if known is None:
                return AnvilReply()
            return AnvilReply(known.count, known.rate, known.mail, known.rcpt, known.ntls)
        self.process.log.warning(f'unrecognized request: "{kind}", ignored')
        return None

    def _seconds(self) -> int:
        return self.process.now() // 1_000_000

    def _connect(self, ident: str) -> Remote:
        remote = self.remotes.get(ident)
        if remote is None:
            remote = self.remotes[ident] = Remote(ident, 1, 1, start=self._seconds())
            size = len(self.remotes)
            if self.cache_size.value < size:
                self.cache_size.value = size
                self.cache_size.when = self.process.now()
            return remote
        self._increment(remote, "rate")
        if remote.timer is not None:
            remote.timer.cancel()
            remote.timer = None
        remote.count += 1
        return remote

    def _increment(self, remote: Remote, what: str) -> int:
        now = self._seconds()
        if remote.start + self.unit < now:
            remote.reset_rates(now)
        value: int = min(getattr(remote, what) + 1, _INT_MAX)
        setattr(remote, what, value)
        return value

    def _event(self, what: str, ident: str) -> int:
        """A message, recipient or TLS session; the client is new when we were restarted since."""
        remote = self.remotes.get(ident)
        if remote is None:
            remote = self._connect(ident)
        value = self._increment(remote, what)
        self._note(what, value, ident)
        return value

    def _fresh(self, ident: str) -> Remote | None:
        """A client without stale rates."""
        remote = self.remotes.get(ident)
        if remote is not None and remote.start and remote.start + self.unit < self._seconds():
            remote.reset_rates(0)
        return remote

    def _disconnect(self, ident: str) -> None:
        remote = self.remotes.get(ident)
        if remote is None or remote.count == 0:
            return
        remote.count -= 1
        if remote.count == 0:
            remote.timer = self.process.system.after(self.unit, lambda: self._expire(remote))

    def _expire(self, remote: Remote) -> None:
        del self.remotes[remote.ident]

    # -- statistics ---------------------------------------------------------------------------

    def _note(self, what: str, value: int, ident: str) -> None:
        peak = self.peaks[what]
        if value > peak.value:
            peak.value = value
            peak.ident = ident
            peak.when = self.process.now()

    def _schedule_status(self) -> None:
        self._status = self.process.system.after(
            self.process.conf.anvil_status_update_time, self._update_status
        )

    def _update_status(self) -> None:
        self._dump_status()
        self._schedule_status()

    def _dump_status(self) -> None:
        """Logs the peaks and forgets them."""
        log = self.process.log
        for name, peak in self.peaks.items():
            if peak.value > 0:
                unit = "" if name == "count" else f"/{self.unit}s"
                log.info(
                    f"statistics: max {peak.label} {peak.value}{unit} for ({peak.ident}) "
                    f"at {self._time(peak.when)}"
                )
                peak.value = 0
        if self.cache_size.value > 0:
            log.info(
                f"statistics: max cache size {self.cache_size.value} "
                f"at {self._time(self.cache_size.when)}"
            )
            self.cache_size.value = 0

    def _time(self, moment: int) -> str:
        return syslog_time(moment, self.process.system.timezone)

    def retire(self) -> None:
        """The process ends: its last statistics."""
        if self._status is not None:
            self._status.cancel()
        self._dump_status()
