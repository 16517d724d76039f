"""milter8(3) - the client side of Sendmail's milter protocol: one filter.

A filter is connected to anew for each SMTP client.  Its answers decide about the event at hand; it
may also accept or reject all that comes in the rest of the message or session, and then it is not
asked any more.  When something goes wrong the connection is given up, and ``milter_default_action``
becomes the answer to all that follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mta.lib.milters.answer import Answer
from mta.lib.milters.edits import Editor, Reply
from mta.lib.milters.filter import (
    STAT_ACCEPT_CON,
    STAT_ACCEPT_MSG,
    STAT_CLOSED,
    STAT_ENVELOPE,
    STAT_ERROR,
    STAT_READY,
    STAT_REJECT_CON,
    Filter,
)
from mta.system import Wait
from mta.util.scalars import all_digits
from mta.wire.milter import EVENT_NAMES, Connect, Helo, Mail, Rcpt, Step, Unknown, pack

if TYPE_CHECKING:
    from mta.master.server import Process

#: After these there is nothing to ask it.
SILENT = (STAT_ERROR, STAT_ACCEPT_CON, STAT_REJECT_CON)
SILENT_MESSAGE = (*SILENT, STAT_ACCEPT_MSG)

_FAMILIES = {2: "4", 10: "6", 1: "L"}  #: AF_INET, AF_INET6, AF_UNIX of Linux
_UNKNOWN = "unknown"


class Milter8(Filter):
    """One filter, and what it is told."""

    __slots__ = ()

    def conn_event(self, client: tuple[str, str, str, int], macros: bytes) -> Wait[Reply]:
        """A client: name, address, port, address family."""
        yield from self.connect()
        if self.state == STAT_ERROR:
            return self.def_reply
        if self.state != STAT_READY:
            self.bad_state("conn_event")
        name, addr, port, family = client
        number = int(port) if all_digits(port) else -1
        if not 0 <= number <= 65535:
            self.warn(f"bad client port number {port}")
            number = 0
        self.state = STAT_ENVELOPE
        if name == _UNKNOWN and addr != _UNKNOWN:
            name = f"[{addr}]"
        kind = _FAMILIES.get(family, "U")
        event = Connect(name, kind, 0 if kind == "L" else number, addr).encode()
        return (yield from self.event(event, Step.NOCONNECT, Step.NR_CONN, macros))

    def helo_event(self, name: str, macros: bytes) -> Wait[Reply]:
        """HELO or EHLO."""
        if self.state in SILENT:
            return self.def_reply
        if self.state not in (STAT_ENVELOPE, STAT_ACCEPT_MSG):
            self.bad_state("helo_event")
        return (yield from self.event(Helo(name).encode(), Step.NOHELO, Step.NR_HELO, macros))

    def mail_event(self, argv: Sequence[str], macros: bytes) -> Wait[Reply]:
        """MAIL FROM."""
        if self.state in SILENT:
            return self.def_reply
        if self.state != STAT_ENVELOPE:
            self.bad_state("mail_event")
        return (yield from self.event(Mail(argv).encode(), Step.NOMAIL, Step.NR_MAIL, macros))

    def rcpt_event(self, argv: Sequence[str], macros: bytes) -> Wait[Reply]:
        """RCPT TO."""
        if self.state in SILENT_MESSAGE:
            return self.def_reply
        if self.state != STAT_ENVELOPE:
            self.bad_state("rcpt_event")
        return (yield from self.event(Rcpt(argv).encode(), Step.NORCPT, Step.NR_RCPT, macros))

    def data_event(self, macros: bytes) -> Wait[Reply]:
        """DATA."""
        if self.state in SILENT_MESSAGE:
            return self.def_reply
        if self.state != STAT_ENVELOPE:
            self.bad_state("data_event")
        return (yield from self.event(pack(b"T"), Step.NODATA, Step.NR_DATA, macros))

    def unknown_event(self, command: str, macros: bytes) -> Wait[Reply]:
        """A command that the server does not know."""
        if self.state in SILENT_MESSAGE:
            return self.def_reply
        if self.state != STAT_ENVELOPE:
            self.bad_state("unknown_event")
        event = Unknown(command).encode()
        return (yield from self.event(event, Step.NOUNKNOWN, Step.NR_UNKN, macros))

    def abort(self) -> Wait[None]:
        """The transaction ends."""
        if self.state in (STAT_CLOSED, STAT_READY, *SILENT):
            return
        yield from self.write(pack(b"A"))
        if self.state != STAT_ERROR:
            self.state = STAT_ENVELOPE

    def disc_event(self) -> Wait[None]:
        """The client is gone."""
        if self.state in (STAT_CLOSED, STAT_READY):
            return
        if self.state not in SILENT:
            yield from self.write(pack(b"Q"))
        self.close_stream()
        self.def_reply = None

    def event(
        self,
        packet: bytes,
        skip_event: int,
        skip_reply: int,
        macros: bytes,
        editor: Editor | None = None,
    ) -> Wait[Reply]:
        """Reports an event, with its macros, and waits for the answer.

        ``skip_event`` and ``skip_reply`` are the bits (mta.wire.milter.Step) by which a filter says
        that it does not want the event or will not answer.
        """
        kind = packet[4:5]
        if self.connection is None or self.def_reply is not None:
            self.process.log.warning(
                f"milter8_event: attempt to send event {EVENT_NAMES[kind]} "
                f"to milter {self.name} after error"
            )
            return self.def_reply
        if skip_event & self.not_sent:
            return None
        if self.skip_event:
            if self.skip_event == kind:
                return None
            self.skip_event = b""
        if not (yield from self.write(pack(b"D", kind + macros))):
            return self.def_reply
        if skip_event & self.steps:
            return None
        if not (yield from self.write(packet)):
            return self.def_reply
        if skip_reply & self.steps:
            return None
        self.connection.packets = 0
        return (yield from Answer(self, kind, len(packet) - 5, editor).read())

    # -- handing over

    @property
    def active(self) -> bool:
        """Whether it still wants to hear of the message."""
        return self.connection is not None and self.state in (STAT_ENVELOPE, STAT_READY)

    def copy(self, process: Process) -> Milter8:
        """The same filter for another process, which shares the connection."""
        other = Milter8(process, self.name, self.settings)
        assert self.connection is not None
        other.connection = self.connection.share()
        other.state = self.state
        other.steps = self.steps
        other.not_sent = self.not_sent
        other.macro_names = dict(self.macro_names)
        return other
