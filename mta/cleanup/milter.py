"""Milters and cleanup(8): what they are shown, and what their answers mean (cleanup_milter).

Mail that came by SMTP has been shown to the milters by smtpd(8) up to the DATA command; what comes
after is shown here.  For all other mail ``non_smtpd_milters`` are told of an SMTP session that did
not happen.  The edits that milters may ask for at the end are in :mod:`mta.cleanup.milter_edit`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mta.cleanup.milter_checks import checks_finish, checks_init
from mta.cleanup.milter_edit import Edits
from mta.cleanup.state import State
from mta.lib.cleanup_strerror import cleanup_strerror
from mta.lib.milters import HandOver, Reply, milters_create
from mta.lib.requests import (
    CLEANUP_FLAG_DISCARD,
    CLEANUP_FLAG_HOLD,
    CLEANUP_STAT_CONT,
    CLEANUP_STAT_DEFER,
)
from mta.system import Wait
from mta.util.scalars import all_digits
from mta.wire.quote import quote_821_local
from mta.wire.text import printable

if TYPE_CHECKING:
    from mta.master.server import Process

AF_INET = 2


class Milters(Protocol):
    """The milters of a session, one after the other, as cleanup(8) needs them (milter(3))."""

    def macro_callback(self, lookup: Callable[[str], str | None]) -> None:
        """Who knows the values of macros, such as ``{client_addr}``."""

    def edit_callback(self, edits: Edits) -> None:
        """Who carries out their requests to change the message."""

    def conn_event(self, name: str, addr: str, port: str, family: int) -> Wait[Reply]:
        """A client connects; ``family`` as in AF_INET."""

    def helo_event(self, name: str, esmtp: bool) -> Wait[Reply]:
        """HELO or EHLO."""

    def mail_event(self, argv: Sequence[str]) -> Wait[Reply]:
        """MAIL FROM: the address and the ESMTP parameters."""

    def rcpt_event(self, flags: int, argv: Sequence[str]) -> Wait[Reply]:
        """RCPT TO."""

    def data_event(self) -> Wait[Reply]:
        """DATA."""

    def message(
        self, data: bytearray, offset: int, auto_headers: Sequence[str], too_big: str = ""
    ) -> Wait[Reply]:
        """The content, from the queue file's records at an offset, without the headers that we
        have put in front; then the end of the message, and the edits.  ``too_big`` is the name of
        a queue file that has grown beyond its limit.
        """

    def disc_event(self) -> Wait[None]:
        """The client is gone."""

    def lose(self) -> None:
        """The process dies."""


#: What makes the client side of milters: a list of endpoints as in ``non_smtpd_milters``.
MilterFactory = Callable[["Process", str], Milters]

#: The milter client.
factory: MilterFactory = milters_create


def non_smtpd_milters(process: Process, spec: str) -> Milters:
    """The milters for mail that does not come by SMTP."""
    return factory(process, spec)


@dataclass(slots=True)
class Client:
    """The SMTP client, real or not."""

    name: str
    reverse_name: str
    addr: str
    port: str
    family: int


def client_init(state: State) -> Client:
    """Who sent the message; mail from this host comes from ``localhost``."""
    if state.client is None:
        get = state.attr.get
        name, addr, family = get("client_name"), get("client_address"), get("client_address_type")
        if name is None or addr is None or family is None or not all_digits(family):
            name, addr, family = "localhost", "127.0.0.1", str(AF_INET)
        state.client = Client(
            name, get("reverse_client_name", name), addr, get("client_port", "0"), int(family)
        )
    client: Client = state.client
    return client


def macro_value(state: State, name: str) -> str | None:
    """The value of a macro; None where there is none (cleanup_milter_eval)."""
    if not name.startswith("{"):
        name = f"{{{name}}}"
    client = client_init(state)
    conf = state.process.conf
    get = state.attr.get
    forged = client.name.lower() != client.reverse_name.lower()
    values: dict[str, Callable[[], str | None]] = {
        "{daemon_name}": lambda: conf.milter_macro_daemon_name,
        "{v}": lambda: conf.milter_macro_v,
        "{_}": lambda: (
            f"{client.reverse_name} [{client.addr}]{' (may be forged)' if forged else ''}"
        ),
        "{j}": lambda: conf.myhostname,
        "{client_addr}": lambda: client.addr,
        "{client_name}": lambda: client.name,
        "{client_port}": lambda: "0" if client.port == "unknown" else client.port,
        "{client_ptr}": lambda: client.reverse_name,
        "{i}": lambda: state.queue_id,
        "{auth_type}": lambda: get("sasl_method"),
        "{auth_authen}": lambda: get("sasl_username"),
        "{auth_author}": lambda: get("sasl_sender"),
        "{mail_addr}": lambda: state.milter_ext_from,
        "{rcpt_addr}": lambda: state.milter_ext_rcpt,
    }
    value = values.get(name)
    return value() if value is not None else None


def receive(state: State, sent: HandOver) -> None:
    """smtpd(8) hands over its milters."""
    state.milters = milters = sent.receive(state.process)
    state.wants_padding = True
    _callbacks(state, milters)


def _callbacks(state: State, milters: Milters) -> None:
    milters.macro_callback(lambda name: macro_value(state, name))
    milters.edit_callback(Edits(state))


def refused(state: State) -> bool:
    """Whether it is decided that the message is refused or thrown away."""
    return bool(state.flags & CLEANUP_FLAG_DISCARD or state.errs & CLEANUP_STAT_CONT)


def apply(state: State, event: str, reply: str) -> str | None:
    """Does what a milter says.  Returns the reason where it rejects."""
    if state.milter_hbc_reply and reply == state.milter_hbc_reply:
        return None
    if refused(state) or not state.ok:
        return None
    action, shown, answer = "milter-reject", reply[4:], None
    kind = reply[0]
    if kind == "H":
        if state.flags & CLEANUP_FLAG_HOLD:
            return None
        state.flags |= CLEANUP_FLAG_HOLD
        action, shown = "milter-hold", "milter triggers HOLD action"
    elif kind == "D":
        state.flags |= CLEANUP_FLAG_DISCARD
        action, shown = "milter-discard", "milter triggers DISCARD action"
    elif kind == "S":
        # Postfix means to raise an error, but the bit is taken for a flag.
        state.flags |= CLEANUP_STAT_CONT
        shown = cleanup_strerror(CLEANUP_STAT_CONT)
    elif kind in ("4", "5"):
        answer = state.reason = printable(
            reply[4:], "_", bool(state.process.conf.smtputf8_enable)
        )
        state.smtp_reply = reply
        state.errs |= CLEANUP_STAT_DEFER if kind == "4" else CLEANUP_STAT_CONT
    else:
        state.process.log.panic(f"cleanup_milter_apply: unexpected mail filter reply: {reply}")
    _log(state, action, event, shown)
    return answer


def _log(state: State, action: str, event: str, text: str) -> None:
    client = client_init(state)
    line = f"{state.queue_id}: {action}: {event} from {client.name}[{client.addr}]: {text};"
    if state.sender is not None:
        line += f" from=<{state.sender}>"
    if state.recip is not None:
        line += f" to=<{state.recip}>"
    if "log_protocol_name" in state.attr:
        line += f" proto={state.attr['log_protocol_name']}"
    if "log_helo_name" in state.attr:
        line += f" helo=<{state.attr['log_helo_name']}>"
    state.process.log.info(line)


def inspect(state: State, milters: Milters) -> Wait[None]:
    """Shows the content, and carries out what the milters want."""
    client_init(state)
    if state.process.conf.milter_header_checks:
        checks_init(state)
    too_big = ""
    if len(state.out) > state.size_limit:
        too_big = state.tables.queue.name(state.queue_name, state.queue_id)
    reply = yield from milters.message(state.out, state.data_offset, state.auto_hdrs, too_big)
    if reply is not None:
        apply(state, "END-OF-MESSAGE", reply)
    if state.process.conf.milter_header_checks:
        checks_finish(state)


def emul_mail(state: State, milters: Milters, sender: str) -> Wait[None]:
    """Tells of a client, its EHLO, and its MAIL FROM."""
    _callbacks(state, milters)
    client = client_init(state)
    reply = yield from milters.conn_event(client.name, client.addr, client.port, client.family)
    if reply is not None:
        apply(state, "CONNECT", reply)
        return
    if state.milter_ok:
        reply = yield from milters.helo_event(state.attr.get("helo_name", client.name), True)
        if reply is not None:
            apply(state, "EHLO", reply)
            return
    if state.milter_ok:
        external = state.milter_ext_from = quote_821_local(sender) if sender else ""
        reply = yield from milters.mail_event([external])
        if reply is not None:
            apply(state, "MAIL", reply)


def emul_rcpt(state: State, milters: Milters, recipient: str) -> Wait[None]:
    """Tells of a RCPT TO.  A milter cannot reject a single recipient here."""
    external = state.milter_ext_rcpt = quote_821_local(recipient) if recipient else ""
    reply = yield from milters.rcpt_event(0, [external])
    if reply is not None and apply(state, "RCPT", reply) is not None:
        state.warn("milter configuration error: can't reject recipient in non-smtpd(8) submission")
        state.warn("message not accepted, try again later")
        state.reason = "4.3.5 Server configuration error"
        state.smtp_reply = None
        state.errs |= CLEANUP_STAT_DEFER


def emul_data(state: State, milters: Milters) -> Wait[None]:
    """Tells of DATA."""
    reply = yield from milters.data_event()
    if reply is not None:
        apply(state, "DATA", reply)


def disconnect(state: State, milters: Milters) -> Wait[None]:
    """Tells that the client that did not exist is gone."""
    yield from milters.disc_event()
