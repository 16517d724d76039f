"""The state of one SMTP conversation: what all parts of smtpd(8) share (struct SMTPD_STATE).

Attribute names are Postfix's.  Text is ``str`` (bytes decoded with surrogate escapes); ``None``
stands for what the client has not said at all (no HELO, no MAIL), the text ``unknown`` for what is
not known of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mta.lib.requests import CLEANUP_STAT_OK, CleanupMessage
from mta.lib.smtp_stream import SmtpStream
from mta.system import Stream, Wait

if TYPE_CHECKING:
    from mta.master.server import Process
    from mta.smtpd.destination import Destination

# Conversation stages, for "lost connection after ..." and access control.
SMTPD_AFTER_CONNECT = "CONNECT"
SMTPD_AFTER_DATA = "DATA content"
SMTPD_AFTER_DOT = "END-OF-MESSAGE"
SMTPD_CMD_HELO = "HELO"
SMTPD_CMD_EHLO = "EHLO"
SMTPD_CMD_STARTTLS = "STARTTLS"
SMTPD_CMD_AUTH = "AUTH"
SMTPD_CMD_MAIL = "MAIL"
SMTPD_CMD_RCPT = "RCPT"
SMTPD_CMD_DATA = "DATA"
SMTPD_CMD_EOD = SMTPD_AFTER_DOT
SMTPD_CMD_RSET = "RSET"
SMTPD_CMD_NOOP = "NOOP"
SMTPD_CMD_VRFY = "VRFY"
SMTPD_CMD_ETRN = "ETRN"
SMTPD_CMD_QUIT = "QUIT"
SMTPD_CMD_XCLIENT = "XCLIENT"
SMTPD_CMD_XFORWARD = "XFORWARD"
SMTPD_CMD_UNKNOWN = "UNKNOWN"

# Session.flags
SMTPD_FLAG_HANGUP = 1 << 0  #: a 421 or 521 reply was sent: disconnect
SMTPD_FLAG_ILL_PIPELINING = 1 << 1  #: inappropriate pipelining was seen
SMTPD_FLAG_AUTH_USED = 1 << 2  #: SASL state must not be reused
SMTPD_FLAG_SMTPUTF8 = 1 << 3  #: RFC 6531 transaction
SMTPD_MASK_MAIL_KEEP = ~SMTPD_FLAG_SMTPUTF8

# name_status, reverse_name_status
SMTPD_PEER_CODE_OK = 2
SMTPD_PEER_CODE_TEMP = 4
SMTPD_PEER_CODE_PERM = 5
SMTPD_PEER_CODE_FORGED = 6

# Xforward.flags
SMTPD_STATE_XFORWARD_INIT = 1 << 0
SMTPD_STATE_XFORWARD_NAME = 1 << 1
SMTPD_STATE_XFORWARD_ADDR = 1 << 2
SMTPD_STATE_XFORWARD_PROTO = 1 << 3
SMTPD_STATE_XFORWARD_HELO = 1 << 4
SMTPD_STATE_XFORWARD_IDENT = 1 << 5
SMTPD_STATE_XFORWARD_DOMAIN = 1 << 6
SMTPD_STATE_XFORWARD_PORT = 1 << 7
SMTPD_STATE_XFORWARD_CLIENT_MASK = (
    SMTPD_STATE_XFORWARD_NAME
    | SMTPD_STATE_XFORWARD_ADDR
    | SMTPD_STATE_XFORWARD_PROTO
    | SMTPD_STATE_XFORWARD_HELO
    | SMTPD_STATE_XFORWARD_PORT
)

CLIENT_ATTR_UNKNOWN = "unknown"


def known(value: str | None) -> bool:
    """Whether a client attribute has a real value (IS_AVAIL_CLIENT_ATTR)."""
    return value is not None and value != CLIENT_ATTR_UNKNOWN


@dataclass(slots=True)
class Deferral:
    """A postponed 4xx (SMTPD_DEFER): ``defer_if_permit`` or ``defer_if_reject``."""

    active: bool = False
    reason: str = ""
    dsn: str = ""
    code: int = 0
    error_class: int = 0  #: MAIL_ERROR_*


@dataclass(slots=True)
class Xforward:
    """What an upstream MTA says of its own client (XFORWARD)."""

    flags: int = 0
    name: str = CLIENT_ATTR_UNKNOWN
    addr: str = CLIENT_ATTR_UNKNOWN
    port: str = CLIENT_ATTR_UNKNOWN
    namaddr: str = CLIENT_ATTR_UNKNOWN
    rfc_addr: str = CLIENT_ATTR_UNKNOWN
    protocol: str = CLIENT_ATTR_UNKNOWN
    helo_name: str | None = None
    ident: str | None = None
    domain: str | None = None


class TlsContext(Protocol):
    """What smtpd wants to know of a TLS session; texts are empty where there is nothing.

    ``is_present``: the client showed a certificate; ``is_trusted``: it is verified by a CA
    (``TLS_CERT_IS_PRESENT``, ``TLS_CERT_IS_TRUSTED``).
    """

    protocol: str  #: TLSv1.2
    cipher_name: str
    cipher_usebits: int
    cipher_algbits: int
    peer_CN: str
    issuer_CN: str
    peer_cert_fprint: str
    peer_pkey_fprint: str
    session_reused: bool  #: an earlier session was resumed

    @property
    def is_present(self) -> bool:
        """Whether the client showed a certificate."""

    @property
    def is_trusted(self) -> bool:
        """Whether it is good."""

    def stop(self, stream: Stream, timeout: float, failure: bool) -> Wait[None]:
        """Ends TLS on the stream; with ``failure`` without a word."""

    def details(self) -> list[str]:
        """Lines of the Received header after the first: key exchange and signatures (each begins
        with a tab; none where the library does not say).
        """


class MilterSession(Protocol):
    """The milters of one conversation.  Each event returns None or the whole reply to send
    (``550 5.7.1 ...``); ``H``, ``D`` and ``S`` never reach the caller but as flags (below).
    """

    def connect(self, session: Session) -> Wait[str | None]:
        """A client has connected."""

    def helo(self, session: Session, name: str, esmtp: bool) -> Wait[str | None]:
        """HELO or EHLO."""

    def mail(self, session: Session, argv: list[str]) -> Wait[str | None]:
        """MAIL FROM: the address in external form and the parameters of the command."""

    def rcpt(self, session: Session, argv: list[str], refusal: str | None) -> Wait[str | None]:
        """RCPT TO.  ``refusal`` is our own (``session.milter_reject_text``): milters that asked for
        rejected recipients (SMFIP_RCPT_REJ) hear of it.
        """

    def data(self, session: Session) -> Wait[str | None]:
        """DATA."""

    def unknown(self, session: Session, command: str) -> Wait[str | None]:
        """A command that the server does not know."""

    def other_event(self, session: Session) -> str | None:
        """A pending reply of an earlier event, for commands that milters do not see."""

    def dummy_to_cleanup(self, session: Session, message: CleanupMessage) -> Wait[None]:
        """A place-holder at the start of the envelope: milters will come (milter_dummy)."""

    def send_to_cleanup(self, session: Session, message: CleanupMessage) -> Wait[None]:
        """Hands the milters over to cleanup(8) for the content of the message."""

    def abort(self, session: Session) -> Wait[None]:
        """The transaction ends."""

    def disconnect(self, session: Session) -> Wait[None]:
        """The client has disconnected."""

    def lose(self) -> None:
        """The process dies."""


@dataclass(slots=True)
class CommandCount:
    """How often a command was given and how often it succeeded, for the fingerprint."""

    total: int = 0
    success: int = 0


class Session:
    """One conversation with a client."""

    __slots__ = (
        "access_denied",
        "act_size",
        "addr",
        "addr_family",
        "arrival_time",
        "buffer",
        "cleanup",
        "client",
        "command_counts",
        "conn_count",
        "defer_if_permit",
        "defer_if_permit_client",
        "defer_if_permit_helo",
        "defer_if_permit_sender",
        "defer_if_reject",
        "dest",
        "dest_addr",
        "discard",
        "dsn_envid",
        "dsn_ret",
        "ehlo_discard_error",
        "ehlo_discard_mask",
        "encoding",
        "err",
        "error_count",
        "error_mask",
        "etrn_name",
        "flags",
        "helo_name",
        "history",
        "input_transp_mask",
        "instance",
        "io_time",
        "junk_cmds",
        "milter_reject_text",
        "milters",
        "msg_size",
        "namaddr",
        "name",
        "name_status",
        "notify_mask",
        "open_stand_alone",
        "port",
        "prepend",
        "process",
        "protocol",
        "proxy",
        "proxy_mail",
        "queue_id",
        "rcpt_count",
        "rcpt_overshoot",
        "reason",
        "recipient",
        "recipient_rcptmap_checked",
        "recursion",
        "reverse_name",
        "reverse_name_status",
        "rewrite_context",
        "rfc_addr",
        "sasl_mechanism_list",
        "sasl_method",
        "sasl_sender",
        "sasl_server",
        "sasl_username",
        "saved_bcc",
        "saved_delay",
        "saved_filter",
        "saved_flags",
        "saved_redirect",
        "scratch",
        "sender",
        "sender_rcptmap_checked",
        "seqno",
        "server",
        "service",
        "space_multf",
        "stand_alone",
        "tls_context",
        "verp_delims",
        "warn_if_reject",
        "where",
        "xclient_allowed",
        "xclient_error",
        "xforward",
        "xforward_allowed",
        "xforward_error",
    )

    def __init__(self, process: Process, client: SmtpStream, server: Any = None) -> None:
        """``server`` is the program that serves (:class:`mta.smtpd.server.Server`)."""
        self.process = process
        self.client = client
        self.server = server
        self.buffer = ""  #: the command line at hand
        self.io_time = process.now()  #: when the client was last heard or spoken to
        self.service = process.service  #: for event rate control, policy requests
        self.stand_alone = False  #: ``sendmail -bs``
        self.open_stand_alone: Any = None  #: what opens its messages (server.StandAlone)
        self.flags = 0  #: SMTPD_FLAG_*
        self.err = CLEANUP_STAT_OK  #: CLEANUP_STAT_*: errors of the message on its way
        self.where = SMTPD_AFTER_CONNECT
        self.recursion = 0  #: depth of generic_checks
        self.command_counts: dict[str, CommandCount] = {}
        self.history: list[str] = []  #: protocol transcript
        self.reason: str | None = None  #: cause of connection loss

        # The client (peer.py, XCLIENT)
        self.name = CLIENT_ATTR_UNKNOWN  #: verified client hostname
        self.reverse_name = CLIENT_ATTR_UNKNOWN  #: unverified client hostname
        self.addr = CLIENT_ATTR_UNKNOWN  #: without ``IPv6:``
        self.port = CLIENT_ATTR_UNKNOWN
        self.namaddr = CLIENT_ATTR_UNKNOWN  #: name[address] or name[address]:port
        self.rfc_addr = CLIENT_ATTR_UNKNOWN  #: address for RFC 2821 (``IPv6:2001:db8::1``)
        self.addr_family = 0  #: 4, 6, or 0 for none
        self.dest_addr = ""  #: server address of the connection
        self.name_status = SMTPD_PEER_CODE_PERM  #: SMTPD_PEER_CODE_*
        self.reverse_name_status = SMTPD_PEER_CODE_PERM
        self.conn_count = 0  #: connections from this client (anvil)
        self.xclient_allowed = False  #: kept, so that XCLIENT cannot undo it
        self.xclient_error = False  #: the list could not be searched
        self.xforward_allowed = False
        self.xforward_error = False

        # Errors
        self.error_count = 0  #: reset after a message was received
        self.error_mask = 0  #: MAIL_ERROR_* of this session
        self.notify_mask = 0  #: what to report to postmaster
        self.junk_cmds = 0
        self.access_denied: str | None = None  #: the reply for all commands but QUIT

        # The conversation
        self.helo_name: str | None = None
        self.protocol = "SMTP"  #: or ESMTP
        self.etrn_name: str | None = None
        self.ehlo_discard_mask = 0
        self.ehlo_discard_error = False  #: the table of such masks could not be searched
        self.rewrite_context: str = ""  #: set by check_rewrite: local or remote

        # The mail transaction
        self.arrival_time = 0  #: start of MAIL FROM (microseconds since the epoch)
        self.sender: str | None = None  #: internal form
        self.recipient: str | None = None  #: internal form
        self.rcpt_count = 0  #: accepted recipients
        self.rcpt_overshoot = 0
        self.msg_size = 0  #: MAIL FROM SIZE=
        self.act_size = 0  #: content that was received
        self.encoding: str | None = None  #: ``7bit``, ``8bit`` (BODY=)
        self.verp_delims: str | None = None
        self.dsn_envid: str | None = None
        self.dsn_ret = 0  #: DSN_RET_*
        self.queue_id: str | None = None
        self.dest: Destination | None = None  #: whom the message goes to
        self.cleanup: CleanupMessage | None = None  #: its records (``dest.message``)
        self.instance = ""  #: policy query correlation
        self.seqno = 0

        # Access checks
        self.sender_rcptmap_checked = 0
        self.recipient_rcptmap_checked = 0
        self.warn_if_reject = 0  #: depth of generic_checks at which rejections are only tests
        self.defer_if_reject = Deferral()
        self.defer_if_permit = Deferral()
        self.defer_if_permit_client = False
        self.defer_if_permit_helo = False
        self.defer_if_permit_sender = False
        self.discard = False
        self.saved_filter: str | None = None
        self.saved_redirect: str | None = None
        self.saved_bcc: str | None = None
        self.saved_flags = 0  #: CLEANUP_FLAG_HOLD, CLEANUP_FLAG_DISCARD
        self.saved_delay = 0
        self.prepend: list[str] = []  #: header lines that PREPEND adds
        self.scratch: dict[str, Any] = {}  #: what check*.py keeps for the conversation
        #: INPUT_TRANSP_* of mta.lib.input_transp: what receive_override_options turns off
        self.input_transp_mask = 0
        self.space_multf = 1.5  #: smtpd_space_multf

        # Before-queue filter, SASL, TLS, milters
        self.proxy: Any = None
        self.proxy_mail: str | None = None
        self.sasl_server: Any = None
        self.sasl_mechanism_list: str | None = None
        self.sasl_method: str | None = None
        self.sasl_username: str | None = None
        self.sasl_sender: str | None = None
        self.tls_context: TlsContext | None = None
        self.milters: MilterSession | None = None
        self.milter_reject_text: str | None = None

        self.xforward = Xforward()

    @property
    def in_mail_transaction(self) -> bool:
        """Whether a MAIL command was accepted (SMTPD_IN_MAIL_TRANSACTION)."""
        return self.sender is not None

    @property
    def use_proxy(self) -> bool:
        """Whether a before-queue filter gets the mail (USE_SMTPD_PROXY)."""
        return not self.stand_alone and bool(self.process.conf.smtpd_proxy_filter)

    @property
    def _origin(self) -> Session | Xforward:
        """Who speaks: this client, or the one that XFORWARD told of.  Never mixed."""
        return self.xforward if self.xforward.flags & SMTPD_STATE_XFORWARD_CLIENT_MASK else self

    @property
    def forward_name(self) -> str:
        """FORWARD_NAME."""
        return self._origin.name

    @property
    def forward_addr(self) -> str:
        """FORWARD_ADDR: the address as RFC 5321 writes it."""
        return self._origin.rfc_addr

    @property
    def forward_port(self) -> str:
        """FORWARD_PORT."""
        return self._origin.port

    @property
    def forward_namaddr(self) -> str:
        """FORWARD_NAMADDR."""
        return self._origin.namaddr

    @property
    def forward_proto(self) -> str:
        """FORWARD_PROTO."""
        return self._origin.protocol

    @property
    def forward_helo(self) -> str | None:
        """FORWARD_HELO."""
        return self._origin.helo_name

    @property
    def forward_ident(self) -> str | None:
        """FORWARD_IDENT: the upstream queue id, or ours."""
        return self.xforward.ident if self.xforward.ident is not None else self.queue_id

    @property
    def forward_domain(self) -> str:
        """FORWARD_DOMAIN: the address rewriting context."""
        if self.xforward.flags & SMTPD_STATE_XFORWARD_DOMAIN and self.xforward.domain is not None:
            return self.xforward.domain
        return self.rewrite_context

    def count(self, command: str) -> CommandCount:
        """One more command for the fingerprint."""
        counts = self.command_counts.get(command)
        if counts is None:
            counts = self.command_counts[command] = CommandCount()
        counts.total += 1
        return counts
