"""discard(8) - the agent that throws mail away.

DESCRIPTION
    All recipients count as delivered.  The next hop is the reason that is logged, with an enhanced
    status code in front or 2.0.0.

DIAGNOSTICS
    ``status=sent (reason)``; the relay is ``none``.

CONFIGURATION PARAMETERS
    delay_logging_resolution_limit
"""

from __future__ import annotations

from mta.lib.deliver_completed import deliver_completed
from mta.lib.delivery_status import NO_RELAY_AGENT, sent
from mta.lib.requests import (
    DEL_REQ_FLAG_SUCCESS,
    DEL_REQ_TRACE_FLAGS_MASK,
    DeliverReply,
    DeliverRequest,
)
from mta.master.server import Program, program
from mta.system import Wait
from mta.wire.dsn import Dsn, dsn_split


@program("discard")
class DiscardAgent(Program):
    """One process of discard(8)."""

    def serve(self, request: DeliverRequest) -> Wait[DeliverReply]:
        """Discards the message for the recipients of a request."""
        process = self.process
        if not request.nexthop:
            process.log.fatal("empty nexthop hostname")
        dsn = Dsn(*dsn_split("2.0.0", request.nexthop))
        flags = request.flags & DEL_REQ_TRACE_FLAGS_MASK
        deferred = False
        for recipient in request.recipients:
            done = yield from sent(
                process, flags, request.queue_id, request.stats, recipient, NO_RELAY_AGENT, dsn
            )
            if done and request.flags & DEL_REQ_FLAG_SUCCESS:
                deliver_completed(request.file, recipient.offset)
            deferred |= not done
        return DeliverReply(deferred)
