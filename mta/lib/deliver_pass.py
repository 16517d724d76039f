"""deliver_pass(3) - hands a recipient over to another delivery agent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mta.lib.delivery_status import NO_RELAY_AGENT, defer_append
from mta.lib.mail_connect import mail_connect_wait
from mta.lib.recipient import Recipient
from mta.lib.requests import DEL_REQ_TRACE_FLAGS_MASK, DeliverReply, DeliverRequest
from mta.system import Gone, Wait
from mta.wire.dsn import Dsn

if TYPE_CHECKING:
    from mta.master.server import Process


def deliver_pass(
    process: Process, service: str, request: DeliverRequest, recipient: Recipient
) -> Wait[bool]:
    """Passes one recipient to ``transport:nexthop`` (without a next hop: that of the request);
    whether the recipient is finished.  The other agent does not mark it in the queue file.
    """
    transport, _, nexthop = service.partition(":")
    if not transport:
        process.log.fatal(f'missing transport name in "{service}"')
    connection = yield from mail_connect_wait(process, transport)
    passed = replace(
        request,
        nexthop=nexthop or request.nexthop,
        recipients=[replace(recipient, offset=0)],
        stats=replace(request.stats),
        hop_status=None,
    )
    try:
        reply: DeliverReply = yield from connection.call(passed)
    except Gone:
        process.log.warning(f"private/{transport} socket: malformed response")
        return (
            yield from defer_append(
                process,
                request.flags & DEL_REQ_TRACE_FLAGS_MASK,
                request.queue_id,
                request.stats,
                recipient,
                NO_RELAY_AGENT,
                Dsn("4.3.0", "unknown mail transport error"),
            )
        )
    return not reply.deferred
