"""error(8), retry - the agents that bounce or defer all recipients.

DESCRIPTION
    The next hop is the reason, with an enhanced status code in front or 5.0.0 (retry: 4.0.0).
    Under the service name ``error`` recipients are bounced, under ``retry`` they are deferred;
    under any other name the agent dies.

DIAGNOSTICS
    ``status=bounced`` or ``status=deferred`` for each recipient; the relay is ``none``.

CONFIGURATION PARAMETERS
    delay_logging_resolution_limit, soft_bounce
"""

from __future__ import annotations

from mta.lib.deliver_completed import deliver_completed
from mta.lib.delivery_status import NO_RELAY_AGENT, bounce_append, defer_append
from mta.lib.requests import DEL_REQ_TRACE_FLAGS_MASK, DeliverReply, DeliverRequest
from mta.master.server import Program, program
from mta.system import Wait
from mta.wire.dsn import Dsn, dsn_split


@program("error")
class ErrorAgent(Program):
    """One process of error(8)."""

    def serve(self, request: DeliverRequest) -> Wait[DeliverReply]:
        """Bounces or defers the recipients of a request."""
        process = self.process
        if process.service not in ("error", "retry"):
            process.log.fatal(f"bad error service name: {process.service}")
        if not request.nexthop:
            process.log.fatal("empty nexthop hostname")
        retry = process.service == "retry"
        report = defer_append if retry else bounce_append
        status, text = dsn_split("4.0.0" if retry else "5.0.0", request.nexthop)
        dsn = Dsn(status, text)
        flags = request.flags & DEL_REQ_TRACE_FLAGS_MASK
        deferred = False
        for recipient in request.recipients:
            done = yield from report(
                process, flags, request.queue_id, request.stats, recipient, NO_RELAY_AGENT, dsn
            )
            if done:
                deliver_completed(request.file, recipient.offset)
            else:
                deferred = True
        return DeliverReply(deferred)
