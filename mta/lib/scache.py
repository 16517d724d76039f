"""scache(3): the client side of the connection cache scache(8).

A *destination* (a logical name, the next hop) is bound to endpoints; an *endpoint* (a physical
address) is bound to connections.  Both bindings have properties, which only the client understands.
A connection that was found is the caller's own.

A client whose cache service fails twice in a row stops to use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mta.lib.mail_connect import NOBODY
from mta.system import Gone, Stream, Wait

if TYPE_CHECKING:
    from mta.master.server import Process

_MAX_TRIES = 2
_DISABLED = "scache disabled"


class ScacheSaveEndp(NamedTuple):
    """Keep a connection for ``ttl`` seconds at most."""

    ttl: int
    endp_label: str
    endp_prop: Any
    stream: Stream


class ScacheFindEndp(NamedTuple):
    """Give a connection to the endpoint away: a ScacheFound, or None."""

    endp_label: str


class ScacheSaveDest(NamedTuple):
    """Keep the binding of a destination to an endpoint."""

    ttl: int
    dest_label: str
    dest_prop: Any
    endp_label: str


class ScacheFindDest(NamedTuple):
    """Give a connection for the destination away: a ScacheFound, or None."""

    dest_label: str


class ScacheFound(NamedTuple):
    """A connection and the properties that it was kept with (``dest_prop`` None: by endpoint)."""

    stream: Stream
    endp_prop: Any
    dest_prop: Any = None


Request = ScacheSaveEndp | ScacheFindEndp | ScacheSaveDest | ScacheFindDest


def _ask(process: Process, request: Request) -> Wait[ScacheFound | None]:
    """One request; None, too, where the service does not work."""
    service = process.conf.connection_cache_service_name
    tries = 0
    while not process.cache.get(_DISABLED):
        try:
            found: ScacheFound | None = yield from process.call(service, request)
            return found
        except Gone as gone:
            if gone.args[0] in NOBODY:
                process.log.warning(f"connect to private/{service}: {gone.args[0]}")
            if gone.args[0] not in ("Broken pipe", "No such file or directory"):
                process.log.warning(f"problem talking to service private/{service}: {gone.args[0]}")
        tries += 1
        if tries >= _MAX_TRIES:
            process.log.warning("disabling connection caching")
            process.cache[_DISABLED] = True
            break
        yield process.system.sleep(1)
    if isinstance(request, ScacheSaveEndp):
        request.stream.close()
    return None


def scache_save_endp(
    process: Process, ttl: int, endp_label: str, endp_prop: Any, stream: Stream
) -> Wait[None]:
    """Leaves a connection to the cache, which closes it after ``ttl`` seconds."""
    yield from _ask(process, ScacheSaveEndp(ttl, endp_label, endp_prop, stream))


def scache_find_endp(process: Process, endp_label: str) -> Wait[ScacheFound | None]:
    """A connection to an endpoint."""
    return (yield from _ask(process, ScacheFindEndp(endp_label)))


def scache_save_dest(
    process: Process, ttl: int, dest_label: str, dest_prop: Any, endp_label: str
) -> Wait[None]:
    """Binds a destination to an endpoint for ``ttl`` seconds."""
    yield from _ask(process, ScacheSaveDest(ttl, dest_label, dest_prop, endp_label))


def scache_find_dest(process: Process, dest_label: str) -> Wait[ScacheFound | None]:
    """A connection for a destination."""
    return (yield from _ask(process, ScacheFindDest(dest_label)))
