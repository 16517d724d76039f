"""A filter as a connection that may fail: its state, its packets, and how it begins.

What it is told, and what its answers mean, is in :mod:`mta.lib.milters.milter8`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from mta.lib.milters.connection import Connection, connect
from mta.lib.milters.edits import Reply
from mta.lib.milters.negotiation import (
    BadProtocol,
    Offer,
    conflict,
    parse_protocol,
    signed,
    steps_of_version,
)
from mta.lib.milters.settings import Settings
from mta.system import ConnectError, Wait
from mta.wire.milter import (
    ALL_ACTIONS,
    EVENT_NAMES,
    MACRO_STAGES,
    NO_SEND_MASK,
    Fields,
    MalformedPacket,
    Negotiation,
    Packet,
    Step,
    packet_length,
)

if TYPE_CHECKING:
    from mta.master.server import Process

# What a filter is about, by Postfix's numbers.
STAT_ERROR = 1  #: the connection was given up
STAT_CLOSED = 2
STAT_READY = 3  #: connected; the connect event comes next
STAT_ENVELOPE = 4
STAT_MESSAGE = 5
STAT_ACCEPT_CON = 6  #: it accepts all that comes in this session
STAT_ACCEPT_MSG = 7  #: it accepts all that comes in this message
STAT_REJECT_CON = 8  #: it rejects all that comes in this session

CONFIGURATION_PROBLEM = "451 4.3.5 Server configuration problem - try again later"
SERVICE_UNAVAILABLE = "451 4.7.1 Service unavailable - try again later"


class Filter:
    """One filter."""

    __slots__ = (
        "connection",
        "def_reply",
        "macro_names",
        "name",
        "no_send",
        "not_sent",
        "process",
        "settings",
        "skip_event",
        "state",
        "steps",
        "wants_rejected",
    )

    def __init__(self, process: Process, name: str, settings: Settings) -> None:
        self.process = process
        self.name = name  #: the endpoint
        self.settings = settings
        self.connection: Connection | None = None
        self.state = STAT_CLOSED
        self.def_reply: Reply = None  #: the answer to all that follows
        self.skip_event = b""  #: it wants no more events of this kind
        self.steps = 0  #: what it does not want, and will not answer (mta.wire.milter.Step)
        self.not_sent = 0  #: events that its version of the protocol does not have
        self.wants_rejected = False  #: it hears of recipients that we have rejected
        self.macro_names: dict[str, str] = {}  #: macros that it asked for itself, by stage

    # -- errors and ends

    def warn(self, text: str) -> None:
        """``warning: milter NAME: ...``."""
        self.process.log.warning(f"milter {self.name}: {text}")

    def conf_error(self) -> Reply:
        """A mistake in the configuration, or in what the filter wants; the connection ends."""
        action = self.settings.default_action.lower()
        return self._failed({"accept": None, "quarantine": "H"}.get(action, CONFIGURATION_PROBLEM))

    def comm_error(self) -> Reply:
        """The connection does not work; it ends."""
        actions = {
            "accept": None,
            "reject": "550 5.5.0 Service unavailable",
            "tempfail": SERVICE_UNAVAILABLE,
            "quarantine": "H",
        }
        action = self.settings.default_action
        if action.lower() not in actions:
            self.warn(f"unrecognized default action: {action}")
        return self._failed(actions.get(action.lower(), CONFIGURATION_PROBLEM))

    def _failed(self, reply: Reply) -> Reply:
        if self.connection is not None:
            self.connection.shutdown()
            self.connection = None
        self.def_reply = reply
        self.state = STAT_ERROR
        return reply

    def lose(self) -> None:
        """Ends the connection without a word: the process dies."""
        if self.connection is not None:
            self.connection.shutdown()
            self.connection = None

    def close_stream(self) -> None:
        """Ends the connection in good order."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        self.state = STAT_CLOSED

    def bad_state(self, where: str) -> NoReturn:
        """An event comes when it cannot.  Raises Panic."""
        self.process.log.panic(f"milter8_{where}: milter {self.name}: bad state {self.state}")

    # -- packets

    def write(self, packet: bytes) -> Wait[bool]:
        """Sends a packet with the next flush.  False where the connection failed."""
        assert self.connection is not None
        if self.connection.write(packet):
            error = yield from self.connection.flush()
            if error is not None:
                self.warn(f"error writing command: {error}")
                self.comm_error()
                return False
        return True

    def read_head(self, event: bytes) -> Wait[Packet | None]:
        """Code and size of the next packet, whose data is still in the buffer.  None where the
        connection failed.
        """
        connection = self.connection
        assert connection is not None
        while len(connection.buffer) < 4:
            error = yield from connection.fill()
            if error is not None:
                name = EVENT_NAMES.get(event, "(unknown MTA event)")
                self.warn(f"can't read {name} reply packet header: {error}")
                self.comm_error()
                return None
        try:
            size = packet_length(connection.buffer)
        except MalformedPacket as malformed:
            self.malformed(malformed, "")
            return None
        while len(connection.buffer) < 5:
            error = yield from connection.fill()
            if error is not None:
                self.warn(f"EOF while reading command code: {error}")
                self.comm_error()
                return None
        code, connection.buffer = connection.buffer[4:5], connection.buffer[5:]
        connection.packets += 1
        connection.packet_left = size - 1
        return Packet(code, b"", size - 1)

    def malformed(self, error: MalformedPacket, errno: str) -> None:
        """A packet makes no sense."""
        text: str = error.args[0]
        self.process.log.warning(text.replace("{name}", self.name).replace("{error}", errno))
        self.comm_error()

    # -- the beginning

    def connect(self) -> Wait[None]:
        """Connects, and agrees on what both sides can do."""
        if self.connection is not None:
            self.process.log.panic(f"milter8_connect: milter {self.name}: socket is not closed")
        try:
            offer = parse_protocol(self.settings.protocol)
        except BadProtocol as bad:
            self.warn(bad.args[0])
            self.conf_error()
            return
        self.not_sent = offer.not_sent
        if not (yield from self._open()):
            return
        hello = Negotiation(offer.version, ALL_ACTIONS, offer.steps)
        if not (yield from self.write(hello.encode())):
            self.warn("write error in initial handshake")
            return
        yield from self._negotiate(offer)

    def _open(self) -> Wait[bool]:
        log = self.process.log
        transport, colon, endpoint = self.name.partition(":")
        if not colon or not endpoint or not transport:
            log.warning(f'Milter service needs transport:endpoint instead of "{self.name}"')
            self.conf_error()
            return False
        if transport not in ("inet", "unix", "local"):
            log.warning(f"invalid transport name: {transport} in Milter service: {self.name}")
            self.conf_error()
            return False
        timeout = self.settings.connect_timeout
        try:
            socket = yield from connect(self.process, transport, endpoint, timeout)
        except ConnectError as error:
            log.warning(f"connect to Milter service {self.name}: {error.args[0]}")
            self.comm_error()
            return False
        self.connection = Connection(socket, self.settings.command_timeout)
        return True

    def _negotiate(self, offer: Offer) -> Wait[None]:
        """Reads what the filter can do."""
        head = yield from self.read_head(b"O")
        if head is None:
            self.warn("read error in initial handshake")
            return
        if head.code != b"O":
            self.warn(f'unexpected reply "{head.code.decode("latin-1")}" in initial handshake')
            self.comm_error()
            return
        if not (yield from self._fields(min(head.size, 12), head.size)):
            self.warn("read error in initial handshake")
            return
        assert self.connection is not None
        data = self.connection.buffer[:12]
        self.connection.buffer = self.connection.buffer[12:]
        answer = Negotiation.decode(Fields(data))
        problem = conflict(offer, answer.version, answer.actions)
        if problem is not None:
            self.warn(problem)
            self.comm_error()
            return
        self.steps = answer.steps
        if answer.steps & Step.RCPT_REJ:
            self.wants_rejected = True
        if answer.version < offer.version:
            steps = steps_of_version(answer.version)
            if steps is None:
                self.warn(f"unexpected protocol version {signed(answer.version)}")
            else:
                self.not_sent |= NO_SEND_MASK & ~steps
        self.state = STAT_READY
        self.def_reply = None
        self.skip_event = b""
        if head.size > 12:
            yield from self._macro_lists(head.size - 12)

    def _fields(self, wanted: int, size: int) -> Wait[bool]:
        """Waits for three numbers.  False where they do not come."""
        connection = self.connection
        assert connection is not None
        errno = ""
        while len(connection.buffer) < wanted and not errno:
            errno = (yield from connection.fill()) or ""
        try:
            fields = Fields(connection.buffer[:12], size)
            for _ in range(3):
                fields.long()
        except MalformedPacket as malformed:
            self.malformed(malformed, errno)
            return False
        return True

    def _macro_lists(self, size: int) -> Wait[None]:
        """The names of macros that the filter wants in place of ours."""
        connection = self.connection
        assert connection is not None
        self.macro_names = {}
        errno = ""
        while size > 0:
            fields = Fields(connection.buffer[:size], size)
            try:
                kind, names = fields.long(), fields.string()
            except MalformedPacket as malformed:
                if "{error}" in malformed.args[0] and not errno:
                    errno = (yield from connection.fill()) or ""
                    continue
                self.malformed(malformed, errno)
                return
            connection.buffer = connection.buffer[size - fields.left :]
            size = fields.left
            if kind < len(MACRO_STAGES):
                self.macro_names[MACRO_STAGES[kind]] = names
            else:
                self.warn(f"ignoring unknown macro type {kind}")
