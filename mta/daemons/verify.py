"""verify(8) - what is known of the deliverability of addresses.

DESCRIPTION
    Keeps a cache of addresses that were probed, in ``address_verify_map`` or in memory.  A query
    for an address that is not known, or whose entry is old, starts a probe: a message that the
    delivery agents go through with but do not deliver.  A negative result never replaces a
    positive one that is still good.

DIAGNOSTICS
    ``bad address verify table entry: ...``, ``bad recipient status``.

CONFIGURATION PARAMETERS
    address_verify_map, address_verify_sender, address_verify_sender_ttl,
    address_verify_positive_expire_time, address_verify_positive_refresh_time,
    address_verify_negative_cache, address_verify_negative_expire_time,
    address_verify_negative_refresh_time, address_verify_cache_cleanup_interval,
    cleanup_service_name, max_idle
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

from mta.lib.dict_cache import DictCache
from mta.lib.post_mail import post_mail_open
from mta.lib.requests import (
    DEL_REQ_FLAG_MTA_VRFY,
    RCPT_BOUNCE,
    RCPT_DEFER,
    RCPT_OK,
    RCPT_TODO,
    VRFY_STAT_BAD,
    VRFY_STAT_OK,
    VerifyQuery,
    VerifyReply,
    VerifyUpdate,
)
from mta.lib.verify_sender_addr import make_verify_sender_addr
from mta.master.server import Process, Program, program
from mta.system import Gone, Wait

_PROBE_TTL = 1000  #: seconds before a probe that was not answered is sent again


class Entry(NamedTuple):
    """An entry of the cache; times in seconds."""

    status: int
    probed: int
    updated: int
    text: str


@program("verify")
class Verify(Program):
    """The process with its cache."""

    kind: ClassVar[Literal["single", "multi"]] = "multi"

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        conf = process.conf
        cache = DictCache[Entry](
            process, conf.address_verify_map, self._may_stay, title="internal:verify"
        )
        self.cache = cache.entries
        self.stays = not conf.address_verify_map
        self._used = self._now()  #: when it was asked last (seconds)
        cache.clean_every(conf.address_verify_cache_cleanup_interval, self._alive)

    def serve(self, request: VerifyQuery | VerifyUpdate) -> Wait[VerifyReply]:
        """Answers a query, or takes the outcome of a probe.  A colon is not for the cache's format:
        it becomes an underscore, also in the address that is probed.
        """
        self._used = self._now()
        if ":" in request.address:
            request = request._replace(address=request.address.replace(":", "_"))
        if isinstance(request, VerifyUpdate):
            return self._update(request)
        return (yield from self._query(request))

    def _update(self, request: VerifyUpdate) -> VerifyReply:
        if request.rcpt_status not in (RCPT_OK, RCPT_DEFER, RCPT_BOUNCE):
            self.process.log.warning(
                f"bad recipient status {request.rcpt_status} for recipient {request.address}"
            )
            return VerifyReply(VRFY_STAT_BAD)
        known = self.cache.get(request.address)
        if request.rcpt_status == RCPT_OK or known is None or known.status != RCPT_OK:
            now = self._now()
            self.cache[request.address] = Entry(request.rcpt_status, 0, now, request.text)
        return VerifyReply(VRFY_STAT_OK)

    def _query(self, request: VerifyQuery) -> Wait[VerifyReply]:
        conf, now, address = self.process.conf, self._now(), request.address
        entry = self.cache.get(address)
        if entry is None or (now - entry.probed > _PROBE_TTL and self._expired(entry)):
            if entry is not None and not conf.address_verify_negative_cache:
                del self.cache[address]
            entry = Entry(RCPT_TODO, 0, 0, "Address verification in progress")
        if now - entry.probed > _PROBE_TTL and self._needs_refresh(entry):
            self.process.system.spawn(self._probe(address), f"probe {address}")
            if entry.updated or conf.address_verify_negative_cache:
                self.cache[address] = entry._replace(probed=now)
        return VerifyReply(VRFY_STAT_OK, entry.status, entry.text)
        yield

    def _now(self) -> int:
        return self.process.now() // 1_000_000

    def _expired(self, entry: Entry) -> bool:
        conf = self.process.conf
        positive = entry.status == RCPT_OK
        limit = (
            conf.address_verify_positive_expire_time
            if positive
            else conf.address_verify_negative_expire_time
        )
        return entry.updated + limit < self._now()

    def _needs_refresh(self, entry: Entry) -> bool:
        conf = self.process.conf
        positive = entry.status == RCPT_OK
        limit = (
            conf.address_verify_positive_refresh_time
            if positive
            else conf.address_verify_negative_refresh_time
        )
        return entry.updated + limit < self._now()

    def _probe(self, address: str) -> Wait[None]:
        process = self.process
        try:
            sender = yield from make_verify_sender_addr(process)
            mail = yield from post_mail_open(
                process, sender, address, "verify", trace_flags=DEL_REQ_FLAG_MTA_VRFY
            )
            yield from mail.finish()
        except Gone as gone:
            process.log.warning(f"connect to {process.conf.cleanup_service_name}: {gone.args[0]}")

    def _alive(self) -> bool:
        """Whether the process has not been idle for too long."""
        return self.stays or self._now() - self._used <= self.process.conf.max_idle

    def _may_stay(self, _: str, entry: Entry) -> bool:
        """Whether an entry is not too old for the cache."""
        return self._now() - entry.probed < _PROBE_TTL or not self._expired(entry)
