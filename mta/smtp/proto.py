"""The protocol engine: MAIL, RCPT, DATA, and the ends of a session (smtp_xfer, smtp_loop).

A sender and a receiver, each with a state of its own, walk through the same states.  With
PIPELINING the sender runs ahead until it needs to know how things stand (before the content, and at
the end), until so many commands are under way that they fill a buffer, or until the connection was
silent for ten seconds; without, it waits for each reply.  When all replies are in, the course may
change: a sender or all recipients were rejected, or DATA was.  Then the transaction ends with RSET.

A session that will be used again ends after the content, or after RSET; another one with QUIT.
"""

from __future__ import annotations

from collections.abc import Callable

from mta.lib.recipient import DSN_RET_FULL, Recipient
from mta.lib.requests import SMTPUTF8_FLAG_REQUESTED
from mta.lib.smtp_stream import VSTREAM_BUFSIZE, SmtpEof, SmtpError
from mta.smtp.chat import chat_cmd, chat_resp
from mta.smtp.content import mime_downgrade, send_message
from mta.smtp.features import (
    SMTP_FEATURE_8BITMIME,
    SMTP_FEATURE_AUTH,
    SMTP_FEATURE_DSN,
    SMTP_FEATURE_EARLY_TLS_MAIL_REPLY,
    SMTP_FEATURE_PIPELINING,
    SMTP_FEATURE_RSET_REJECTED,
    SMTP_FEATURE_SIZE,
    SMTP_FEATURE_SMTPUTF8,
)
from mta.smtp.map11 import map11_internal
from mta.smtp.parameters import (
    NAME_ADDR,
    PROTO_HELO,
    forwardable,
    notify,
    orcpt_parameter,
    xforward,
)
from mta.smtp.state import UNMARKED, Session, State
from mta.smtp.trouble import (
    local_reply,
    mesg_fail,
    one_line,
    rcpt_done,
    rcpt_fail,
    said,
    site_fail,
    stream_except,
)
from mta.system import Wait
from mta.wire.quote import quote_821_local, xtext_quote
from mta.wire.smtp_reply import SmtpReply
from mta.wire.text import to_bytes

# States of the sender and the receiver, in order.
XFORWARD_NAME_ADDR = 0
XFORWARD_PROTO_HELO = 1
MAIL = 2
RCPT = 3
DATA = 4
DOT = 5  #: up to here mail is being sent
ABORT = 6
RSET = 7
QUIT = 8
LAST = 9

#: What we were doing when a reply does not come, and the name of the command, by state.
_DOING = (
    "sending XFORWARD name/address",
    "sending XFORWARD protocol/helo_name",
    "sending MAIL FROM",
    "sending RCPT TO",
    "sending DATA command",
    "sending end of data -- message may be sent more than once",
    "sending final RSET",
    "sending RSET probe",
    "sending QUIT",
)
_COMMAND = (
    "XFORWARD name/address command",
    "XFORWARD helo/protocol command",
    "MAIL FROM command",
    "RCPT TO command",
    "DATA command",
    "end of DATA command",
    "final RSET command",
    "RSET probe",
    "QUIT command",
)
_BODY = "sending message body"

_SILENCE = 10  #: seconds without input or output after which commands are flushed
_SECOND = 1_000_000


class Exchange:
    """One run of the engine within a session."""

    __slots__ = (
        "_accepted",
        "_following",
        "_following_rcpt",
        "_lost",
        "_mail_rejected",
        "_recv_rcpt",
        "_replies",
        "_send_rcpt",
        "_survivors",
        "_timeouts",
        "client",
        "recv",
        "request",
        "send",
        "session",
        "state",
    )

    def __init__(self, state: State, session: Session, send: int, recv: int) -> None:
        self.state = state
        self.session = session
        self.client = state.client
        self.request = state.request
        self.send = send
        self.recv = recv
        self._following = send
        self._send_rcpt = self._recv_rcpt = self._following_rcpt = 0
        #: How many recipients the server has accepted; -1 after it has rejected DATA.
        self._accepted = 0
        self._survivors: list[int] = []
        self._replies = 0
        self._mail_rejected = False
        #: The connection was lost while the content was sent; a last word may still be there.
        self._lost = False
        self._timeouts = state.client.timeouts

    # -- the loop -----------------------------------------------------------------------------

    def run(self) -> Wait[int]:
        """0, or -1 where the connection is no good any more; recipients have been dealt with."""
        session = self.session
        result = yield from self._loop()
        if self.recv != LAST:
            session.dont_cache()
        return result

    def _loop(self) -> Wait[int]:
        while True:
            send = self.send
            if send == LAST:
                command = ""
            elif self.client.generic_maps is not None and send in (MAIL, RCPT):
                command = yield from self._mapped_command(send)
            else:
                command = _SEND[send](self)
            if self._must_catch_up(command):
                while self._is_ahead:
                    failed = yield from self._receive()
                    if failed is not None:
                        return failed
                send = self.send
                if self._off_course():
                    command = self._abort()
                    send = ABORT
            if send == LAST:
                if self.recv == LAST:
                    return 0
                continue
            if send == DOT and self._accepted > 0:
                result = yield from self._content()
                if result is not None:
                    return result
            if self._lost:
                self.session.dont_cache()
            else:
                chat_cmd(self.session, command)
            self.send = self._following
            self._send_rcpt = self._following_rcpt
            if self.recv == LAST:
                return 0

    @property
    def _is_ahead(self) -> bool:
        return self.recv < self.send or self._recv_rcpt != self._send_rcpt

    def _must_catch_up(self, command: str) -> bool:
        """Whether it is time to read replies."""
        send, session = self.send, self.session
        if send in (DOT, LAST):
            return True
        if not self._is_ahead:
            return False
        if not session.features & SMTP_FEATURE_PIPELINING:
            return True
        if self.recv != DOT or send != QUIT:
            size = len(command) if command.isascii() else len(to_bytes(command))
            if size + 2 + session.stream.out_pending > VSTREAM_BUFSIZE:
                return True
        now = self.client.process.now()
        return now // _SECOND - session.iotime // _SECOND > _SILENCE

    def _receive(self) -> Wait[int | None]:
        """Reads one reply and acts upon it; the result of the run where that is over."""
        recv, session = self.recv, self.session
        session.stream.setup(self._timeouts[recv], self.client.deadline)
        try:
            reply = yield from chat_resp(session)
        except SmtpError as error:
            if self._lost:
                return (yield from stream_except(self.state, SmtpEof(), _BODY))
            if recv <= DOT:
                return (yield from stream_except(self.state, error, _DOING[recv]))
            session.broken = True
            return -1
        yield from _RECEIVE[recv](self, reply)
        return None

    def _off_course(self) -> bool:
        """Whether what the sender wants to do makes no sense any more."""
        send = self.send
        return (
            (send == RCPT and self._mail_rejected)
            or (send == DATA and self._accepted == 0)
            or (send == DOT and self._accepted < 0)
        )

    def _abort(self) -> str:
        self.send = self.recv = ABORT
        self._send_rcpt = self._recv_rcpt = self._following_rcpt = 0
        return self._end_command("RSET")

    def _end_command(self, command: str) -> str:
        """The last command of a transaction: what comes after it is decided here."""
        session = self.session
        if session.expired:
            session.dont_cache()
        self._following = LAST if session.cached else QUIT
        return command

    # -- commands -----------------------------------------------------------------------------

    def _xforward_name_addr(self) -> str:
        self._following = XFORWARD_PROTO_HELO if self.session.send_proto_helo else MAIL
        return xforward(self.session, self.request, NAME_ADDR)

    def _xforward_proto_helo(self) -> str:
        self._following = MAIL
        return xforward(self.session, self.request, PROTO_HELO)

    def _mail(self) -> str:
        return self._mail_from(self.request.sender)

    def _mail_from(self, sender: str) -> str:
        session, request, client = self.session, self.request, self.client
        features = session.features
        request.stats.reuse_count = session.reuse_count
        request.stats.conn_setup_done = client.process.now()
        self._following = RCPT
        command = f"MAIL FROM:<{self._quoted(sender)}>"
        if features & SMTP_FEATURE_SIZE and not mime_downgrade(session, request):
            command += f" SIZE={request.data_size}"
        if features & SMTP_FEATURE_8BITMIME and request.encoding:
            if request.encoding in ("8bit", "7bit"):
                command += " BODY=8BITMIME" if request.encoding == "8bit" else " BODY=7BIT"
            else:
                client.log.warning(
                    f"{request.queue_id}: unknown content encoding: {request.encoding}"
                )
        if features & SMTP_FEATURE_DSN:
            if request.dsn_envid:
                command += f" ENVID={xtext_quote(request.dsn_envid, '+=')}"
            if request.dsn_ret:
                command += " RET=FULL" if request.dsn_ret == DSN_RET_FULL else " RET=HDRS"
        if features & SMTP_FEATURE_SMTPUTF8 and request.smtputf8 & SMTPUTF8_FLAG_REQUESTED:
            command += " SMTPUTF8"
        if features & SMTP_FEATURE_AUTH and client.conf.smtp_send_dummy_mail_auth:
            command += " AUTH=<>"
        if (
            self.state.in_starttls
            and client.conf.smtp_tls_block_early_mail_reply
            and session.stream.readable
        ):
            session.features |= SMTP_FEATURE_EARLY_TLS_MAIL_REPLY
        return command

    def _rcpt(self) -> str:
        recipient = self.state.left[self._send_rcpt]
        return self._rcpt_to(recipient, recipient.address)

    def _rcpt_to(self, recipient: Recipient, address: str) -> str:
        command = f"RCPT TO:<{self._quoted(address)}>"
        if self.session.features & SMTP_FEATURE_DSN:
            command += orcpt_parameter(recipient, bool(self.request.smtputf8))
            if recipient.dsn_notify:
                command += f" NOTIFY={notify(recipient.dsn_notify)}"
        self._following_rcpt = self._send_rcpt + 1
        if self._following_rcpt == len(self.state.left):
            self._following = self._after_rcpt
        return command

    def _mapped_command(self, send: int) -> Wait[str]:
        """MAIL or RCPT with an address that goes through ``smtp_generic_maps``."""
        if send == MAIL:
            sender = yield from map11_internal(self.client, self.request.sender)
            return self._mail_from(sender)
        recipient = self.state.left[self._send_rcpt]
        address = yield from map11_internal(self.client, recipient.address)
        return self._rcpt_to(recipient, address)

    def _quoted(self, address: str) -> str:
        if address and self.client.quote_envelope:
            return quote_821_local(address)
        return address

    @property
    def _verifies_at_rcpt(self) -> bool:
        """Whether this is a probe, which ends after RCPT."""
        return self.state.trace_only and self.client.verify_at_rcpt

    @property
    def _after_rcpt(self) -> int:
        return ABORT if self._verifies_at_rcpt else DATA

    def _data(self) -> str:
        self._following = DOT
        return "DATA"

    def _dot(self) -> str:
        return self._end_command(".")

    def _final_rset(self) -> str:
        return self._end_command("RSET")

    def _rset(self) -> str:
        self._following = LAST
        return "RSET"

    def _quit(self) -> str:
        self._following = LAST
        if self.session.cached:
            self.session.dont_cache()
        return "QUIT"

    # -- replies ------------------------------------------------------------------------------

    def _on_xforward(self, reply: SmtpReply) -> Wait[None]:
        recv, session = self.recv, self.session
        if reply.code // 100 != 2:
            self.client.log.warning(
                f"host {session.namaddrport} said: {one_line(reply)} "
                f"(in reply to {_COMMAND[recv]})"
            )
        more = recv == XFORWARD_NAME_ADDR and session.send_proto_helo
        self.recv = XFORWARD_PROTO_HELO if more else MAIL
        return
        yield None

    def _on_mail(self, reply: SmtpReply) -> Wait[None]:
        session = self.session
        if reply.code // 100 != 2:
            yield from mesg_fail(self.state, reply, said(session, reply, _COMMAND[MAIL]))
            self._mail_rejected = True
        if session.features & SMTP_FEATURE_EARLY_TLS_MAIL_REPLY:
            yield from site_fail(self.state, local_reply("4.7.0"), "unexpected server message")
            parameter = self.client.name("smtp_tls_block_early_mail_reply")
            self.client.log.warning(f"server {session.namaddr} violates {parameter} policy")
            self._mail_rejected = True
        self.recv = RCPT

    def _on_rcpt(self, reply: SmtpReply) -> Wait[None]:
        index = self._recv_rcpt
        if not self._mail_rejected:
            if reply.code // 100 == 2:
                self._survivors.append(index)
                self._accepted += 1
                if self._verifies_at_rcpt:
                    yield from rcpt_done(self.state, index, reply)
            else:
                text = said(self.session, reply, _COMMAND[RCPT])
                yield from rcpt_fail(self.state, index, reply, text)
        self._recv_rcpt = index + 1
        if self._recv_rcpt == len(self.state.left):
            self.recv = self._after_rcpt

    def _on_data(self, reply: SmtpReply) -> Wait[None]:
        state, session = self.state, self.session
        self.recv = DOT
        if reply.code // 100 != 3:
            if self._accepted > 0:
                yield from mesg_fail(state, reply, said(session, reply, _COMMAND[DATA]))
            self._accepted = -1
        elif state.trace_only and not self.client.verify_at_rcpt:
            # The probe has succeeded.  The server waits for content: hang up.
            done = reply._replace(dsn="2.0.0")
            for index in range(self._recv_rcpt):
                if state.marks[index] == UNMARKED:
                    yield from rcpt_done(state, index, done)
            session.dont_cache()
            self.send = self.recv = LAST

    def _on_dot(self, reply: SmtpReply) -> Wait[None]:
        state, session = self.state, self.session
        self.request.stats.deliver_done = self.client.process.now()
        if self._accepted > 0:
            good = reply.code // 100 == 2
            if not self.client.smtp_mode:
                index = self._survivors[self._replies]
                self._replies += 1
                if good:
                    yield from rcpt_done(state, index, reply)
                else:
                    yield from rcpt_fail(state, index, reply, said(session, reply, _COMMAND[DOT]))
                if self._replies < self._accepted:
                    return
            elif good:
                marks = state.marks
                for index in range(self._recv_rcpt):
                    if marks[index] == UNMARKED:
                        yield from rcpt_done(state, index, reply)
            else:
                yield from mesg_fail(state, reply, said(session, reply, _COMMAND[DOT]))
        self.recv = LAST if self._ends_here or self._lost else QUIT

    @property
    def _ends_here(self) -> bool:
        """Whether no reply to QUIT is waited for."""
        return self.client.skip_quit_response or self.session.cached

    def _on_abort(self, reply: SmtpReply) -> Wait[None]:
        self.recv = LAST if self._ends_here else QUIT
        return
        yield None

    def _on_rset(self, reply: SmtpReply) -> Wait[None]:
        if reply.code // 100 != 2:
            self.session.features |= SMTP_FEATURE_RSET_REJECTED
        self.recv = LAST
        return
        yield None

    def _on_quit(self, reply: SmtpReply) -> Wait[None]:
        self.recv = LAST
        return
        yield None

    # -- content ------------------------------------------------------------------------------

    def _content(self) -> Wait[int | None]:
        """Sends the message; the result of the run where that is over."""
        session = self.session
        session.stream.setup(self.client.conf.smtp_data_xfer_timeout, self.client.deadline)
        try:
            return (yield from send_message(self.state, session))
        except SmtpEof:
            session.stream.purge(read=False)
            self._following = LAST
            self._lost = True
            return None
        except SmtpError as error:
            return (yield from stream_except(self.state, error, _BODY))


_SEND: tuple[Callable[[Exchange], str], ...] = (
    Exchange._xforward_name_addr,
    Exchange._xforward_proto_helo,
    Exchange._mail,
    Exchange._rcpt,
    Exchange._data,
    Exchange._dot,
    Exchange._final_rset,
    Exchange._rset,
    Exchange._quit,
)
_RECEIVE: tuple[Callable[[Exchange, SmtpReply], Wait[None]], ...] = (
    Exchange._on_xforward,
    Exchange._on_xforward,
    Exchange._on_mail,
    Exchange._on_rcpt,
    Exchange._on_data,
    Exchange._on_dot,
    Exchange._on_abort,
    Exchange._on_rset,
    Exchange._on_quit,
)

# -- the three uses of the engine -----------------------------------------------------------------


def xfer(state: State) -> Wait[int]:
    """Sends the message to the recipients that are left (smtp_xfer)."""
    session, request, client = state.session, state.request, state.client
    assert session is not None
    if 0 < session.size_limit < request.data_size:
        text = (
            f"message size {request.data_size} exceeds size limit {session.size_limit} "
            f"of server {session.namaddr}"
        )
        yield from mesg_fail(state, local_reply("5.3.4"), text)
        state.complete_session = True
        return 0
    start = MAIL
    if client.send_xforward:
        session.send_proto_helo = bool(forwardable(session, request, PROTO_HELO))
        if forwardable(session, request, NAME_ADDR):
            start = XFORWARD_NAME_ADDR
        elif session.send_proto_helo:
            start = XFORWARD_PROTO_HELO
    result = yield from Exchange(state, session, start, start).run()
    if result == 0 and not session.broken:
        state.complete_session = True
    return result


def rset(state: State) -> Wait[int]:
    """Asks a server whether it is still there (smtp_rset)."""
    session = state.session
    assert session is not None
    return (yield from Exchange(state, session, RSET, RSET).run())


def send_quit(state: State) -> Wait[int]:
    """Takes leave of a server (smtp_quit)."""
    session = state.session
    assert session is not None
    recv = LAST if state.client.skip_quit_response else QUIT
    return (yield from Exchange(state, session, QUIT, recv).run())
