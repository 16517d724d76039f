"""The client side of the internal services: what any process may ask of another.

Every function talks to a service by its name in master.cf (``rewrite_service_name`` and friends).
Where a service's process dies over a request, the client behaves as Postfix's client library does:
it warns, waits and asks again where the answer is needed (rewrite, resolve, verify), or gives up.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from mta.dict.errors import TableError
from mta.lib.mail_connect import NOBODY, call_wait
from mta.lib.requests import (
    FLUSH_STAT_DENY,
    FLUSH_STAT_FAIL,
    REWRITE_NONE,
    AnvilReply,
    AnvilRequest,
    FlushServiceRequest,
    ResolveReply,
    ResolveRequest,
    RewriteRequest,
    VerifyQuery,
    VerifyReply,
    VerifyUpdate,
)
from mta.system import Gone, Wait

if TYPE_CHECKING:
    from mta.master.server import Process


#: Addresses that are in standard form already: dot-atoms, and a domain with a dot.
_STANDARD = re.compile(
    r"[A-Za-z0-9_+=-]+(?:\.[A-Za-z0-9_+=-]+)*@(?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]+\Z"
)


_ANVIL_TRIES = 2
#: What may happen once without a word.
_USUAL = ("Broken pipe", "No such file or directory", "Connection reset by peer")


def _ask(process: Process, service: str, request: Any) -> Wait[Any]:
    """Asks until there is an answer; from the second failure on with a warning, 1 s apart."""
    count = 0
    while True:
        try:
            return (yield from call_wait(process, service, request))
        except Gone as gone:
            count += 1
            if count > 1 or gone.args[0] not in ("Broken pipe", "No such file or directory"):
                process.log.warning(f"problem talking to service {service}: {gone.args[0]}")
            yield process.system.sleep(1)


def rewrite(process: Process, context: str, address: str) -> Wait[str]:
    """The address (external form) in standard form (rewrite_clnt(3))."""
    if context == REWRITE_NONE:
        return address
    key = (context, address)
    if _STANDARD.match(address):
        process.cache[RewriteRequest] = (key, address)
        return address
    found: tuple[tuple[str, str], str] | None = process.cache.get(RewriteRequest)
    if found is not None and found[0] == key:
        return found[1]
    answer: str = yield from _ask(
        process, process.conf.rewrite_service_name, RewriteRequest(context, address)
    )
    process.cache[RewriteRequest] = (key, answer)
    return answer


def resolve(
    process: Process, sender: str, address: str, verify: bool = False
) -> Wait[ResolveReply]:
    """Where mail for an address (internal form) goes (resolve_clnt_query, resolve_clnt_verify)."""
    request = ResolveRequest(sender, address, verify)
    found: tuple[ResolveRequest, ResolveReply] | None = process.cache.get(ResolveRequest)
    if found is not None and found[0] == request:
        return found[1]
    answer: ResolveReply = yield from _ask(process, process.conf.rewrite_service_name, request)
    process.cache[ResolveRequest] = (request, answer)
    return answer


def resolve_local(process: Process, domain: str) -> Wait[bool]:
    """Whether a domain is delivered here (see mta.lib.resolve_local).  Raises TableError."""
    from mta.lib.resolve_local import resolve_local as find

    return (yield from find(process, domain))


def verify_query(process: Process, address: str) -> Wait[VerifyReply]:
    """What the verify(8) cache knows of an address; it probes where it knows nothing."""
    service = process.conf.address_verify_service_name
    return cast(VerifyReply, (yield from _ask(process, service, VerifyQuery(address))))


def verify_update(process: Process, address: str, rcpt_status: int, text: str) -> Wait[int]:
    """Tells verify(8) the outcome of a probe: VRFY_STAT_*."""
    service = process.conf.address_verify_service_name
    reply = yield from _ask(process, service, VerifyUpdate(address, rcpt_status, text))
    return cast(VerifyReply, reply).request


def anvil(process: Process, kind: str, ident: str) -> Wait[AnvilReply | None]:
    """Counts an event of a client; None where the service fails twice."""
    for attempt in range(_ANVIL_TRIES):
        if attempt:
            yield process.system.sleep(1)
        try:
            reply = yield from process.call("anvil", AnvilRequest(kind, ident))
        except Gone as gone:
            if gone.args[0] in NOBODY:
                process.log.warning(f"connect to private/anvil: {gone.args[0]}")
            last = attempt + 1 == _ANVIL_TRIES
            if last or gone.args[0] not in _USUAL:
                process.log.warning(f"problem talking to server private/anvil: {gone.args[0]}")
        else:
            return cast(AnvilReply | None, reply)
    return None


def flush_site(process: Process, kind: str, site: str = "", queue_id: str = "") -> Wait[int]:
    """The fast flush service (flush_clnt(3)): add, send_site, send_file, refresh, purge.
    Returns FLUSH_STAT_*; sites outside ``fast_flush_domains`` get FLUSH_STAT_DENY.
    """
    if site:
        from mta.lib.flush_policy import flush_site_allowed

        try:
            if not (yield from flush_site_allowed(process, site)):
                return FLUSH_STAT_DENY
        except TableError:
            return FLUSH_STAT_FAIL
        if process.conf.warn_compat_break_flush_domains:
            purpose = "flush mail" if kind == "send_site" else "update fast-flush logfile"
            process.log.info(
                "using backwards-compatible default setting relay_domains=$mydestination to "
                f'{purpose} for domain "{site}"'
            )
    try:
        reply: int = yield from process.call(
            process.conf.flush_service_name, FlushServiceRequest(kind, site, queue_id)
        )
    except Gone:
        return FLUSH_STAT_FAIL
    return reply
