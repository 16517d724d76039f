"""tlsmgr(8) - the keeper of TLS sessions and of the keys of session tickets.

NAME
    tlsmgr - Postfix TLS session cache and PRNG manager

DESCRIPTION
    Programs that do TLS ask here whether sessions are cached, keep sessions (``smtpd``, ``smtp``
    and ``lmtp`` each have a cache of their own), look them up, and get the keys of session tickets.
    A cache is on where ``*_tls_session_cache_database`` names a database that can be written, and
    is emptied when the process starts.  Entries are good for ``*_tls_session_cache_timeout``, which
    is two minutes at least; a scan removes what has expired.  A key of session tickets issues them
    for half of ``smtpd_tls_session_cache_timeout``, and is good for as long again to take them.

    Entropy comes from OpenSSL itself.  The exchange file of the random number generator is there,
    and is renewed when the process starts; nobody reads it.

DIAGNOSTICS
    Problems are logged.  With ``cache`` in ``smtpd_tls_loglevel`` (which 2 has) and the like, so is
    each operation.

BUGS
    Sessions cannot leave OpenSSL, so that no database is really written.

CONFIGURATION PARAMETERS
    smtpd_tls_session_cache_database, smtpd_tls_session_cache_timeout, smtpd_tls_loglevel,
    smtp_tls_session_cache_database, smtp_tls_session_cache_timeout, smtp_tls_loglevel,
    lmtp_tls_session_cache_database, lmtp_tls_session_cache_timeout, lmtp_tls_loglevel,
    tls_random_source, tls_random_bytes, tls_random_exchange_name, tls_random_prng_update_period,
    tls_random_reseed_period, data_directory, default_database_type, mail_owner
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mta.lib.requests import Trigger
from mta.master.server import Program, program
from mta.system import Timer, Wait
from mta.tls.levels import TLS_LOG_CACHE, tls_log_mask
from mta.tls.mgr import LIFEMIN, CachedSession, CachePolicy, TicketKey, TlsmgrRequest

if TYPE_CHECKING:
    from mta.master.server import Process

_EXCHANGE_SIZE = 1024
#: How big a session is, for the log: a session of ours does not leave OpenSSL.
_SERVER_SIZE, _CLIENT_SIZE = 142, 1088

#: Databases that can be written, deleted from, and read in sequence.
_DATABASES = ("btree", "hash", "lmdb", "sdbm", "internal")
#: Databases that are put into ``data_directory`` where they lie in a directory of somebody else.
_REDIRECTED = ("hash", "btree", "dbm", "lmdb", "cdb", "sdbm", "dbz")


class Cache:
    """One cache of sessions."""

    def __init__(self, process: Process, label: str) -> None:
        conf = process.conf
        self.process = process
        self.label = label
        self.database: str = getattr(conf, f"{label}_tls_session_cache_database")
        timeout: int = getattr(conf, f"{label}_tls_session_cache_timeout")
        self.timeout = max(timeout, LIFEMIN) if timeout > 0 else 0
        self.enabled = bool(self.timeout and self.database)
        self.entries: dict[str, CachedSession] = {}
        self.verbose = False
        if self.enabled:
            parameter = f"{label}_tls_loglevel"
            mask = tls_log_mask(process.log, parameter, getattr(conf, parameter))
            self.verbose = bool(mask & TLS_LOG_CACHE)

    def open(self, redirected: str) -> None:
        """Begins with an empty cache; fatal where the database will not do."""
        self.say(f"open {self.label} TLS cache {redirected}")
        kind, colon, _ = redirected.partition(":")
        if not colon or kind not in _DATABASES:
            log = self.process.log
            if kind in ("regexp", "pcre", "cidr", "static", "inline", "texthash", "tcp", "cdb"):
                log.fatal(f"dictionary {redirected} does not support update operations")
            log.fatal(f"unsupported dictionary type: {kind if colon else redirected}")

    def say(self, text: str) -> None:
        """A line of the log, where cache operations are logged."""
        if self.verbose:
            self.process.log.info(text)

    @property
    def now(self) -> int:
        """Seconds since the epoch."""
        return self.process.now() // 1_000_000

    def lookup(self, cache_id: str, shown: str) -> CachedSession | None:
        """An entry that has not expired."""
        found = self.entries.get(cache_id)
        shown = found.shown if found is not None else shown
        self.say(f"lookup {self.label} session id={shown}")
        if found is None:
            return None
        self.say(
            f"read {self.label} TLS cache entry {shown}: time={found.timestamp} "
            f"[data {self._size} bytes]"
        )
        if found.timestamp + self.timeout < self.now:
            self.delete(cache_id, shown)
            return None
        return found

    @property
    def _size(self) -> int:
        return _SERVER_SIZE if self.label == "smtpd" else _CLIENT_SIZE

    def update(self, cache_id: str, shown: str, session: Any) -> None:
        """Saves a session."""
        self.say(f"put {self.label} session id={shown} [data {self._size} bytes]")
        self.say(
            f"write {self.label} TLS cache entry {shown}: time={self.now} [data {self._size} bytes]"
        )
        self.entries[cache_id] = CachedSession(session, self.now, shown)

    def delete(self, cache_id: str, shown: str) -> None:
        """Forgets a session."""
        self.say(f"delete {self.label} session id={shown}")
        self.entries.pop(cache_id, None)

    def scan(self) -> None:
        """Removes what has expired (tlsmgr_cache_run_event)."""
        self.say(f"tlsmgr_cache_run_event: start TLS {self.label} session cache cleanup")
        oldest = self.now - self.timeout
        for cache_id, entry in list(self.entries.items()):
            if entry.timestamp < oldest:
                self.delete(cache_id, entry.shown)


@program("tlsmgr")
class Tlsmgr(Program):
    """The one process that keeps sessions and keys."""

    kind = "multi"

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        self.stays = True
        conf = process.conf
        if not conf.tls_random_source:
            process.log.warning("no entropy source specified with parameter tls_random_source")
            process.log.warning("encryption keys etc. may be predictable")
        owner = process.system.accounts.by_name(conf.mail_owner)
        self._owner = (owner.uid, owner.gid) if owner is not None else (0, 0)
        self._exchange()
        self._keys: list[TicketKey] = []
        self._caches: dict[str, Cache] = {}
        self._timers: dict[str, Timer] = {}
        databases: dict[str, str] = {}
        for label in ("smtpd", "smtp", "lmtp"):
            cache = self._caches[label] = Cache(process, label)
            if not cache.enabled:
                continue
            if cache.database in databases:
                process.log.fatal(
                    f"do not use the same TLS cache file {cache.database} for "
                    f"{databases[cache.database]} and {label}"
                )
            databases[cache.database] = label
            cache.open(self._redirected(cache.database))
        for cache in self._caches.values():
            if cache.enabled:
                self._scan(cache)

    def _exchange(self) -> None:
        """The exchange file of the random number generator."""
        process = self.process
        path = process.conf.tls_random_exchange_name
        if not path:
            return
        dice = process.system.dice("tls random exchange")
        data = bytes(dice.randrange(256) for _ in range(_EXCHANGE_SIZE))
        path = self._redirected_file(path, "file", path)
        try:
            process.system.files.write(path, data, 0o600, *self._owner)
        except OSError as error:
            process.log.fatal(f"cannot open PRNG exchange file {path}: {error.strerror}")

    def _redirected(self, database: str) -> str:
        """A database where the mail system may write (data_redirect_map)."""
        kind, colon, path = database.partition(":")
        if not colon:
            kind, path = self.process.conf.default_database_type, database
        if kind in _REDIRECTED:
            path = self._redirected_file(path, "table", database)
        return f"{kind}:{path}"

    def _redirected_file(self, path: str, what: str, name: str) -> str:
        """A file in ``data_directory`` in place of one in a directory that is not the mail
        system's (data_redirect_file).
        """
        conf, log = self.process.conf, self.process.log
        directory = path.rpartition("/")[0] or "/"
        try:
            uid = self.process.system.files.stat(directory).uid
        except OSError:
            return path
        if uid == self._owner[0]:
            return path
        log.warning(
            f"request to update {what} {name} in non-{conf.mail_owner} directory {directory}"
        )
        log.warning(
            f"redirecting the request to {conf.mail_owner}-owned data_directory "
            f"{conf.data_directory}"
        )
        return f"{conf.data_directory}/{path.rpartition('/')[2]}"

    def _scan(self, cache: Cache) -> None:
        cache.scan()
        system = self.process.system
        self._timers[cache.label] = system.after(cache.timeout, lambda: self._scan(cache))

    def retire(self) -> None:
        """The process ends."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    # -- requests -----------------------------------------------------------------------------

    def serve(self, request: Any) -> Wait[Any]:
        """One request."""
        if isinstance(request, Trigger):
            return None
        assert isinstance(request, TlsmgrRequest)
        if request.kind == "tktkey":
            return self._ticket_keys()
        cache = self._caches.get(request.cache_type)
        if cache is None:
            self.process.log.warning(
                f'bogus cache type "{request.cache_type}" in "{request.kind}" request'
            )
            return None
        if request.kind == "policy":
            return CachePolicy(cache.enabled, cache.timeout)
        if not cache.enabled:
            return None
        if request.kind == "lookup":
            return cache.lookup(request.cache_id, request.shown)
        if request.kind == "update":
            cache.update(request.cache_id, request.shown, request.session)
        elif request.kind == "delete":
            cache.delete(request.cache_id, request.shown)
        return None
        yield

    def _ticket_keys(self) -> list[TicketKey]:
        """The keys that are still good, the one that issues tickets first: a new one where the
        current one has expired.
        """
        timeout = self._caches["smtpd"].timeout // 2
        if timeout <= 0:
            return []
        now = self.process.now() // 1_000_000
        if not self._keys or self._keys[0].expires <= now:
            expires = now + timeout - 1
            self._keys = [TicketKey(expires, expires + timeout), *self._keys[:1]]
        return [key for key in self._keys if key.good_until > now]
