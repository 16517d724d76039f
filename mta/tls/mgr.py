"""What programs ask of tlsmgr(8) (tls_mgr): policy, sessions, keys of session tickets.

OpenSSL keeps the sessions that it issues, in the context that issued them; what tlsmgr(8) keeps for
the server side is which context knows a session, and until when.  Client sessions are kept as they
are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from mta.conf.errors import ConfError
from mta.system import Gone, Wait

if TYPE_CHECKING:
    from mta.master.server import Process

#: Entries and keys live for so long at least (TLS_SESSION_LIFEMIN, seconds).
LIFEMIN = 120
#: In the cache of a process that waits for a tlsmgr(8) that does not start.
NO_MANAGER = "no tlsmgr"
#: Names of caches.
TLS_MGR_SCACHE_SMTPD = "smtpd"
TLS_MGR_SCACHE_SMTP = "smtp"
TLS_MGR_SCACHE_LMTP = "lmtp"


@dataclass(slots=True, frozen=True)
class TlsmgrRequest:
    """``kind``: policy, lookup, update, delete, tktkey.  ``shown`` is the id for the log."""

    kind: str
    cache_type: str = ""
    cache_id: str = ""
    shown: str = ""
    session: Any = None  #: of update


@dataclass(slots=True, frozen=True)
class CachePolicy:
    """Whether sessions are cached, and how long (seconds, 0: not at all)."""

    cachable: bool = False
    timeout: int = 0


@dataclass(slots=True, frozen=True)
class CachedSession:
    """An entry of a cache, saved at a moment (seconds since the epoch)."""

    session: Any
    timestamp: int
    shown: str  #: its id for the log


@dataclass(slots=True, eq=False)
class TicketKey:
    """A key of session tickets: it issues them until ``expires``, and takes them until
    ``good_until`` (seconds since the epoch).  ``contexts`` are those that use it.
    """

    expires: int
    good_until: int
    contexts: dict[Any, Any] = field(default_factory=dict)


def _ask(process: Process, request: TlsmgrRequest) -> Wait[Any]:
    service = process.conf.tlsmgr_service_name
    try:
        return (yield from process.call(service, request))
    except Gone as gone:
        process.log.warning(f"problem talking to server private/{service}: {gone.args[0]}")
        return None


def tls_mgr_policy(process: Process, cache_type: str) -> Wait[CachePolicy]:
    """Whether and how long sessions of a cache are kept."""
    found = yield from _ask(process, TlsmgrRequest("policy", cache_type))
    return cast(CachePolicy, found) or CachePolicy()


def tls_mgr_lookup(
    process: Process, cache_type: str, cache_id: str, shown: str = ""
) -> Wait[CachedSession | None]:
    """An entry of a cache, or None."""
    request = TlsmgrRequest("lookup", cache_type, cache_id, shown or cache_id)
    return cast(CachedSession | None, (yield from _ask(process, request)))


def tls_mgr_update(
    process: Process, cache_type: str, cache_id: str, session: Any, shown: str = ""
) -> Wait[None]:
    """Keeps a session."""
    request = TlsmgrRequest("update", cache_type, cache_id, shown or cache_id, session)
    yield from _ask(process, request)


def tls_mgr_delete(process: Process, cache_type: str, cache_id: str) -> Wait[None]:
    """Forgets a session."""
    yield from _ask(process, TlsmgrRequest("delete", cache_type, cache_id, cache_id))


def tls_mgr_keys(process: Process) -> Wait[list[TicketKey]]:
    """The keys of session tickets that are still good, the one that issues them first."""
    return cast(list[TicketKey], (yield from _ask(process, TlsmgrRequest("tktkey"))) or [])


def server_cache_policy(process: Process) -> CachePolicy:
    """As :func:`tls_mgr_policy` for the sessions of servers, for who cannot wait: what tlsmgr(8)
    has in its own configuration, not in that of the process.
    """
    conf = process.master.view(process.conf.tlsmgr_service_name)
    try:
        timeout: int = conf.smtpd_tls_session_cache_timeout
        database: str = conf.smtpd_tls_session_cache_database
    except ConfError:  # a tlsmgr(8) that does not start
        process.cache[NO_MANAGER] = True
        return CachePolicy()
    timeout = max(timeout, LIFEMIN) if timeout > 0 else 0
    return CachePolicy(bool(timeout and database), timeout)


def has_manager(process: Process) -> bool:
    """Whether there is a tlsmgr(8) at all, which then runs from now on: programs want entropy from
    it.  Logs what is logged where there is none, twice as a client that tries again does.
    """
    service = process.conf.tlsmgr_service_name
    if service in process.master.services:
        process.trigger(service, b"")
        return True
    for text in (f"connect to private/{service}",) * 2 + (
        f"problem talking to server private/{service}",
    ):
        process.log.warning(f"{text}: No such file or directory")
    return False
