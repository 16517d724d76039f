"""Limits for clients that connect, send or address too often (anvil(8)).

They do not hold for clients of ``smtpd_client_event_limit_exceptions`` nor for those that may use
XCLIENT.
"""

from __future__ import annotations

from mta.dict.errors import TableError
from mta.lib.clients import anvil
from mta.lib.requests import AnvilReply
from mta.smtpd.state import Session
from mta.system import Wait
from mta.wire.text import printable


def limited(session: Session) -> Wait[bool]:
    """Whether the client's events are counted."""
    server = session.server
    if session.stand_alone or session.xclient_allowed or not server.anvil:
        return False
    try:
        return not (yield from server.hogger_list.match(session.name, session.addr))
    except TableError:
        return True


def event(session: Session, kind: str) -> Wait[AnvilReply | None]:
    """Counts an event of the client; None where that does not work."""
    ident = f"{session.service}:{session.addr}"
    return (
        yield from anvil(
            session.process, kind, printable(ident, "?", session.process.conf.smtputf8_enable)
        )
    )


def rate(session: Session, kind: str, limit: int) -> Wait[int]:
    """Counts an event for which there is a limit; its rate where that is more than the limit, else
    0.
    """
    if limit <= 0 or not (yield from limited(session)):
        return 0
    reply = yield from event(session, kind)
    if reply is None:
        return 0
    return reply.rate if reply.rate > limit else 0
