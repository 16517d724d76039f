"""The state of a delivery request, and of the session that it is in (SMTP_STATE, SMTP_SESSION)."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from mta.lib.recipient import Recipient
from mta.lib.requests import DEL_REQ_TRACE_FLAGS_MASK, DEL_REQ_TRACE_ONLY_MASK, DeliverRequest
from mta.lib.smtp_stream import SmtpStream
from mta.wire.dsn import Dsn

if TYPE_CHECKING:
    from mta.dns_lookup import DnsRR
    from mta.smtp.client import Client

_SECOND = 1_000_000

# The fate of a recipient within one session.
UNMARKED = 0
KEEP = 1  #: for another server
DROP = 2  #: done, or reported


class Why:
    """The last thing that went wrong (DSN_BUF).  Status and text have lives of their own: a lookup
    leaves its text behind before anybody knows the status.
    """

    __slots__ = ("action", "dtext", "dtype", "mname", "mtype", "reason", "status")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Nothing went wrong."""
        self.status = self.reason = ""
        self.action = self.mtype = self.mname = self.dtype = self.dtext = ""

    def set_status(self, status: str) -> None:
        """The status alone; the text stays, the formal fields go (dsb_status)."""
        reason = self.reason
        self.reset()
        self.status = status
        self.reason = reason

    def simple(self, status: str, reason: str) -> None:
        """Status and text (dsb_simple)."""
        self.reset()
        self.status = status
        self.reason = reason

    @property
    def soft(self) -> bool:
        """Whether it is temporary."""
        return self.status[:1] == "4"

    @property
    def hard(self) -> bool:
        """Whether it is permanent."""
        return self.status[:1] == "5"

    @property
    def loop(self) -> bool:
        """Whether mail would come back to us."""
        return self.status[1:] == ".4.6"

    def dsn(self) -> Dsn:
        """All of it (DSN_FROM_DSN_BUF)."""
        return Dsn(
            self.status,
            self.reason,
            self.action,
            self.dtype,
            self.dtext,
            self.mtype,
            self.mname,
        )


class Session:
    """A connection to a server.

    ``expire_time`` (seconds since the epoch) says how long it may be used again: 0 not at all, -1
    not at all since the server is in trouble.  ``broken`` tells that reading or writing failed,
    ``forbidden`` that there must be no more of it.  ``iotime`` is the moment of the last input or
    output.  ``history`` is the transcript, None where nobody will ever want to see it.
    """

    __slots__ = (
        "broken",
        "error_mask",
        "expire_time",
        "features",
        "forbidden",
        "helo",
        "history",
        "iotime",
        "namaddr",
        "namaddrport",
        "reuse_count",
        "sasl",
        "send_proto_helo",
        "size_limit",
        "state",
        "stream",
        "tls_context",
        "tls_retry_plain",
    )

    def __init__(self, state: State, stream: SmtpStream, expire_time: int) -> None:
        self.state = state
        self.stream = stream
        self.namaddr = f"{state.host}[{state.addr}]"
        self.namaddrport = f"{self.namaddr}:{state.port}" if state.port else self.namaddr
        self.expire_time = expire_time
        self.features = 0
        self.size_limit = 0
        self.helo = ""
        self.error_mask = 0
        self.reuse_count = 0
        self.forbidden = False
        self.broken = False
        self.send_proto_helo = False
        self.iotime = state.client.process.now()
        self.history: list[str] | None = [] if state.client.keeps_history else None
        #: The engines' own.
        self.tls_context: Any = None
        self.tls_retry_plain = False
        self.sasl: str | None = None  #: the mechanisms that the server offers

    @property
    def cached(self) -> bool:
        """Whether the connection is meant for the cache (THIS_SESSION_IS_CACHED)."""
        return self.expire_time > 0 and not self.forbidden

    @property
    def expired(self) -> bool:
        """Whether it was, and its time is over or it was used often enough."""
        if not self.cached:
            return False
        limit = self.state.client.reuse_count_limit
        return self.expire_time < self.iotime // _SECOND or (0 < limit <= self.reuse_count)

    @property
    def throttled(self) -> bool:
        """Whether the server is in trouble."""
        return self.expire_time < 0 and not self.forbidden

    def dont_cache(self) -> None:
        """The connection must not be used again."""
        self.expire_time = 0


class State:
    """A delivery request on its way.

    ``left`` are the recipients that are not done yet, ``marks`` the fate of each in the session at
    hand (KEEP, DROP).  ``deferred`` tells that some recipient stays in the queue; ``hop_status``
    what is wrong with the destination as a whole.  ``dest``, ``host``, ``addr`` and ``port`` are
    where we are on the way through next hops and their servers (SMTP_ITERATOR), ``request_nexthop``
    the name under which the first good session is kept.
    """

    __slots__ = (
        "addr",
        "cache_used",
        "client",
        "complete_session",
        "confidential",
        "conn_load",
        "conn_store",
        "deferred",
        "dest",
        "domain",
        "final_nexthop",
        "final_server",
        "first_nexthop",
        "hop_status",
        "host",
        "in_starttls",
        "left",
        "loop_detect",
        "marks",
        "mx",
        "port",
        "request",
        "request_nexthop",
        "rr",
        "session",
        "tls",
        "tls_policies",
        "trace_flags",
        "trace_only",
        "why",
    )

    def __init__(self, client: Client, request: DeliverRequest) -> None:
        self.client = client
        self.request = request
        self.session: Session | None = None
        self.why = Why()
        self.left: list[Recipient] = list(request.recipients)
        self.marks: list[int] = [UNMARKED] * len(self.left)
        self.deferred = False
        self.hop_status: Dsn | None = None
        self.trace_flags = request.flags & DEL_REQ_TRACE_FLAGS_MASK
        self.trace_only = bool(request.flags & DEL_REQ_TRACE_ONLY_MASK)
        self.dest = self.host = self.addr = self.domain = ""
        self.port = 0
        self.request_nexthop = ""
        self.rr: DnsRR | None = None
        self.mx: DnsRR | None = None
        self.cache_used: dict[str, None] = {}
        self.loop_detect = False
        self.in_starttls = False
        self.first_nexthop = False
        self.final_nexthop = False
        self.final_server = False
        self.conn_load = False
        self.conn_store = False
        self.complete_session = False
        #: The TLS policy for the server at hand, the engine's own.
        self.tls: Any = None
        #: The policies that were found for this delivery.
        self.tls_policies: OrderedDict[tuple[str, str, int], Any] = OrderedDict()
        self.confidential = False  #: the policy for the server forbids plaintext
