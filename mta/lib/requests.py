"""What daemons say to one another: the typed requests and replies of the internal services.

In Postfix these travel as attribute lists over UNIX-domain sockets.  Here a request is a value and
costs nothing.  Each service's program answers the types that this module names for it; callers use
the client functions of :mod:`mta.lib.clients`, never the programs themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mta.lib.recipient import MsgStats, Recipient
from mta.system import File
from mta.wire.dsn import Dsn

# -- trivial-rewrite(8) -----------------------------------------------------------------------

REWRITE_LOCAL = "local"  #: append $myorigin, $mydomain
REWRITE_INVALID = "remote"  #: $remote_header_rewrite_domain
REWRITE_NONE = "none"

RESOLVE_FLAG_FINAL = 1  #: local delivery ($mydestination)
RESOLVE_FLAG_ROUTED = 2  #: routed destination
RESOLVE_FLAG_ERROR = 4  #: bad destination syntax
RESOLVE_FLAG_FAIL = 8  #: request failed, try later
RESOLVE_CLASS_LOCAL = 1 << 8
RESOLVE_CLASS_ALIAS = 1 << 9
RESOLVE_CLASS_VIRTUAL = 1 << 10
RESOLVE_CLASS_RELAY = 1 << 11
RESOLVE_CLASS_DEFAULT = 1 << 12


class RewriteRequest(NamedTuple):
    """An address in external (quoted) form to be rewritten in a context (REWRITE_*)."""

    context: str
    address: str


class ResolveRequest(NamedTuple):
    """An address in internal form; ``verify`` asks with the address_verify_* overrides."""

    sender: str
    address: str
    verify: bool = False


class ResolveReply(NamedTuple):
    """Where an address goes (resolve_clnt(3))."""

    transport: str
    nexthop: str
    recipient: str
    flags: int


# -- delivery agents --------------------------------------------------------------------------

DEL_REQ_FLAG_SUCCESS = 1 << 0  #: delete successful recipients
DEL_REQ_FLAG_BOUNCE = 1 << 1  #: unused by us
DEL_REQ_FLAG_MTA_VRFY = 1 << 8  #: address verification probe
DEL_REQ_FLAG_USR_VRFY = 1 << 9  #: sendmail -bv
DEL_REQ_FLAG_RECORD = 1 << 10  #: sendmail -v, or DSN NOTIFY=SUCCESS: keep a record in trace
DEL_REQ_FLAG_CONN_LOAD = 1 << 11  #: take a connection from the cache
DEL_REQ_FLAG_CONN_STORE = 1 << 12  #: leave the connection to the cache
DEL_REQ_FLAG_REC_DLY_SENT = 1 << 13  #: record delayed deliveries in trace (confirm_delay_cleared)
#: What the reports of a delivery agent need of a request's flags (DEL_REQ_TRACE_FLAGS).
DEL_REQ_TRACE_FLAGS_MASK = (
    DEL_REQ_FLAG_MTA_VRFY
    | DEL_REQ_FLAG_USR_VRFY
    | DEL_REQ_FLAG_RECORD
    | DEL_REQ_FLAG_REC_DLY_SENT
)
DEL_REQ_TRACE_ONLY_MASK = DEL_REQ_FLAG_MTA_VRFY | DEL_REQ_FLAG_USR_VRFY

SMTPUTF8_FLAG_REQUESTED = 1
SMTPUTF8_FLAG_HEADER = 2
SMTPUTF8_FLAG_SENDER = 4
SMTPUTF8_FLAG_RECIPIENT = 8


@dataclass(slots=True)
class DeliverRequest:
    """One delivery: a message, a next hop, and the recipients for it (deliver_request(3)).

    ``file`` is the open queue file; its content is ``data_size`` bytes of records from
    ``data_offset``.  ``sender`` is in internal form.  ``hop_status`` tells error(8) and retry why.
    """

    queue_name: str
    queue_id: str
    file: File
    data_offset: int
    data_size: int
    nexthop: str
    sender: str
    recipients: list[Recipient]
    stats: MsgStats
    flags: int = 0
    encoding: str = ""
    smtputf8: int = 0
    dsn_envid: str = ""
    dsn_ret: int = 0
    client_name: str = ""
    client_addr: str = ""
    client_port: str = ""
    client_proto: str = ""
    client_helo: str = ""
    sasl_method: str = ""
    sasl_username: str = ""
    sasl_sender: str = ""
    log_ident: str = ""
    rewrite_context: str = "local"
    hop_status: Dsn | None = None


class DeliverReply(NamedTuple):
    """How a delivery ended: ``deferred`` when recipients are left; ``dsn`` set when the whole
    destination failed, so that the queue manager learns of it (DELIVER_STAT_*; deliver_request).
    """

    deferred: bool
    dsn: Dsn | None = None


# -- bounce(8), defer(8), trace(8) ------------------------------------------------------------

BOUNCE_FLAG_NONE = 0
BOUNCE_FLAG_CLEAN = 1  #: remove the logfile after an error
BOUNCE_FLAG_DELRCPT = 2  #: delete the recipient from the queue file
BOUNCE_FLAG_KEEP = BOUNCE_FLAG_NONE  #: keep the logfile (postqueue shows it)


class AppendRequest(NamedTuple):
    """bounce_append: one recipient's failure (or delay, or trace) for the message's logfile.
    The same type goes to the services ``bounce``, ``defer`` and ``trace``.
    """

    flags: int
    queue_id: str
    recipient: Recipient
    relay: str
    dsn: Dsn


class FlushRequest(NamedTuple):
    """bounce_flush and friends: make the notification and forget the logfile.

    ``kind``: ``bounce``, ``verp`` (with ``verp`` delimiters), ``warn`` (delay warning),
    ``trace``, ``one`` (a single failure without a logfile: ``recipient``, ``relay``, ``dsn``).
    """

    kind: str
    flags: int
    queue_name: str
    queue_id: str
    encoding: str
    smtputf8: int
    sender: str
    dsn_envid: str
    dsn_ret: int
    verp: str = ""
    recipient: Recipient | None = None
    relay: str = ""
    dsn: Dsn | None = None


# -- anvil(8) ---------------------------------------------------------------------------------


class AnvilRequest(NamedTuple):
    """``kind``: connect, disconnect, message, recipient, newtls, newtls_status, lookup."""

    kind: str
    ident: str


@dataclass(frozen=True, slots=True)
class AnvilReply:
    """Counts and rates per ``anvil_rate_time_unit``."""

    count: int = 0
    rate: int = 0
    messages: int = 0
    recipients: int = 0
    newtls: int = 0


# -- verify(8) --------------------------------------------------------------------------------

VRFY_STAT_OK = 0
VRFY_STAT_FAIL = -1
VRFY_STAT_BAD = -2

RCPT_OK = 0
RCPT_DEFER = 1
RCPT_BOUNCE = 2
RCPT_TODO = 3


class VerifyQuery(NamedTuple):
    """smtpd asks what is known of an address (verify_clnt_query)."""

    address: str


class VerifyUpdate(NamedTuple):
    """A delivery agent tells the outcome of a probe (verify_clnt_update)."""

    address: str
    rcpt_status: int
    text: str


class VerifyReply(NamedTuple):
    """``request`` is VRFY_STAT_*, ``rcpt_status`` RCPT_*, ``text`` the reason."""

    request: int
    rcpt_status: int = RCPT_TODO
    text: str = ""


# -- flush(8), qmgr(8), showq(8), scache(8) ---------------------------------------------------


class FlushServiceRequest(NamedTuple):
    """``kind``: add (site, queue id), send_site, send_file, refresh, purge (flush_clnt(3))."""

    kind: str
    site: str = ""
    queue_id: str = ""


FLUSH_STAT_OK = 0
FLUSH_STAT_FAIL = 1
FLUSH_STAT_DENY = 2
FLUSH_STAT_BAD = 3


class Trigger(NamedTuple):
    """Bytes for a daemon that is woken by triggers (qmgr: W D I F A; pickup; flush)."""

    data: bytes


class ShowqRequest(NamedTuple):
    """Ask for the listing as ``mailq`` prints it."""


@dataclass(slots=True)
class CleanupReply:
    """How cleanup(8) took a message: a mask of CLEANUP_STAT_* and a reason for the client."""

    status: int
    reason: str = ""


# CLEANUP_FLAG_*: options when a client opens cleanup(8)
CLEANUP_FLAG_NONE = 0
CLEANUP_FLAG_BOUNCE = 1 << 0  #: bounce bad messages
CLEANUP_FLAG_FILTER = 1 << 1  #: header/body checks
CLEANUP_FLAG_HOLD = 1 << 2
CLEANUP_FLAG_DISCARD = 1 << 3
CLEANUP_FLAG_BCC_OK = 1 << 4  #: auto-BCC
CLEANUP_FLAG_MAP_OK = 1 << 5  #: address mapping
CLEANUP_FLAG_MILTER = 1 << 6  #: Milters on
CLEANUP_FLAG_SMTP_REPLY = 1 << 7  #: the reply goes to an SMTP client
CLEANUP_FLAG_SMTPUTF8 = 1 << 8
CLEANUP_FLAG_AUTOUTF8 = 1 << 9
CLEANUP_FLAG_MASK_EXTERNAL = (
    CLEANUP_FLAG_FILTER | CLEANUP_FLAG_BCC_OK | CLEANUP_FLAG_MAP_OK | CLEANUP_FLAG_MILTER
)
CLEANUP_FLAG_MASK_INTERNAL = CLEANUP_FLAG_MAP_OK

# CLEANUP_STAT_*: what can be wrong with a message
CLEANUP_STAT_OK = 0
CLEANUP_STAT_BAD = 1 << 0  #: internal protocol error
CLEANUP_STAT_WRITE = 1 << 1  #: queue file write error
CLEANUP_STAT_SIZE = 1 << 2  #: message file too big
CLEANUP_STAT_CONT = 1 << 3  #: content rejected
CLEANUP_STAT_HOPS = 1 << 4  #: too many hops
CLEANUP_STAT_RCPT = 1 << 6  #: no recipients found
CLEANUP_STAT_PROXY = 1 << 7  #: proxy reject
CLEANUP_STAT_DEFER = 1 << 8  #: temporary reject
CLEANUP_STAT_NOPERM = 1 << 9  #: denied by non-content policy


@dataclass(slots=True)
class CleanupOpen:
    """A client wants a queue file.  cleanup(8) answers with a :class:`CleanupMessage`."""

    flags: int


@dataclass(slots=True)
class CleanupMessage:
    """A message on its way into cleanup(8): the client appends records (type, data), in the order
    of the queue file's segments (envelope, X M content, X, E), and then calls ``finish`` through
    :mod:`mta.lib.cleanup_client`.  Types are the letters of rec_type(5) in ``mta.wire.record``.
    """

    queue_id: str
    flags: int
    records: list[tuple[str, bytes]] = field(default_factory=list)
    #: cleanup(8)'s own: the open queue file, and when it was made (microseconds since the epoch).
    file: File | None = field(default=None, repr=False)
    created: int = 0
    #: The milters that smtpd(8) has talked to so far (``mta.cleanup.milter.Milters``), None where
    #: it has none configured: then ``non_smtpd_milters`` apply (the records ``m`` of Postfix).
    milters: Any = field(default=None, repr=False)
