"""What smtpd(8) tells its milters (``smtpd_milters``).

The filters belong to the process; :class:`SmtpdMilters` tells them of one conversation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mta.lib.milters import Milters, milters_create
from mta.lib.milters.milters import MILTER_FLAG_WANT_RCPT_REJ
from mta.lib.requests import CleanupMessage
from mta.smtpd.milter_macros import macro_value
from mta.smtpd.state import CLIENT_ATTR_UNKNOWN, MilterSession, Session
from mta.system import Wait

if TYPE_CHECKING:
    from mta.master.server import Process

MilterFactory = Callable[[Session], MilterSession]

#: AF_INET and AF_INET6 of Linux.
_FAMILIES = {4: 2, 6: 10}


def milter_create(process: Process) -> MilterFactory | None:
    """What makes the milters' side of a session; None where there are none.
    Logs a fatal error, and raises Fatal, where ``smtpd_milters`` makes no sense.
    """
    spec = process.conf.smtpd_milters
    if not spec:
        return None
    milters = milters_create(process, spec)
    return lambda session: SmtpdMilters(milters)


class SmtpdMilters:
    """The milters in one conversation (:class:`mta.smtpd.state.MilterSession`)."""

    __slots__ = ("milters",)

    def __init__(self, milters: Milters) -> None:
        self.milters = milters

    def connect(self, session: Session) -> Wait[str | None]:
        """A client has connected."""
        self.milters.macro_callback(lambda name: macro_value(session, name))
        port = "0" if session.port == CLIENT_ATTR_UNKNOWN else session.port
        family = _FAMILIES.get(session.addr_family, 0)
        return self.milters.conn_event(session.name, session.addr, port, family)

    def helo(self, session: Session, name: str, esmtp: bool) -> Wait[str | None]:
        """HELO or EHLO."""
        return self.milters.helo_event(name, esmtp)

    def mail(self, session: Session, argv: list[str]) -> Wait[str | None]:
        """MAIL FROM."""
        return self.milters.mail_event(argv)

    def rcpt(self, session: Session, argv: list[str], refusal: str | None) -> Wait[str | None]:
        """RCPT TO; of what we refuse only those hear who want to."""
        flags = 0 if refusal is None else MILTER_FLAG_WANT_RCPT_REJ
        return self.milters.rcpt_event(flags, argv)

    def data(self, session: Session) -> Wait[str | None]:
        """DATA."""
        return self.milters.data_event()

    def unknown(self, session: Session, command: str) -> Wait[str | None]:
        """A command that the server does not know."""
        return self.milters.unknown_event(command)

    def other_event(self, session: Session) -> str | None:
        """A reply of an earlier event that still holds."""
        return self.milters.other_event()

    def dummy_to_cleanup(self, session: Session, message: CleanupMessage) -> Wait[None]:
        """Tells cleanup(8) that milters will come."""
        message.milters = self.milters.dummy()
        return
        yield None

    def send_to_cleanup(self, session: Session, message: CleanupMessage) -> Wait[None]:
        """Hands the milters over."""
        message.milters = yield from self.milters.send()

    def abort(self, session: Session) -> Wait[None]:
        """The transaction ends."""
        return self.milters.abort()

    def disconnect(self, session: Session) -> Wait[None]:
        """The client has disconnected."""
        return self.milters.disc_event()

    def lose(self) -> None:
        """The process dies."""
        self.milters.lose()
