"""New messages for what local(8) forwards: one for each Delivered-To and sender."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.lib.cleanup_client import cleanup_finish, cleanup_open
from mta.lib.mail_copy import CorruptError, mark_corrupt
from mta.lib.post_mail_head import smtputf8_autodetect
from mta.lib.requests import (
    CLEANUP_FLAG_BOUNCE,
    CLEANUP_FLAG_MASK_INTERNAL,
    CLEANUP_FLAG_SMTPUTF8,
    CLEANUP_STAT_OK,
    SMTPUTF8_FLAG_REQUESTED,
    CleanupMessage,
    DeliverRequest,
)
from mta.local.state import DELIVER_HDR_FWD, State, without_success
from mta.system import Gone, Wait
from mta.wire.mail_date import mail_date
from mta.wire.record import RecordError, content_records
from mta.wire.text import to_bytes

if TYPE_CHECKING:
    from mta.master.server import Process

#: Attributes of the request that the new message keeps: record names and field names.
_ATTRIBUTES = (
    ("log_client_name", "client_name"),
    ("log_client_address", "client_addr"),
    ("log_protocol_name", "client_proto"),
    ("log_helo_name", "client_helo"),
    ("sasl_method", "sasl_method"),
    ("sasl_username", "sasl_username"),
    ("sasl_sender", "sasl_sender"),
    ("log_ident", "log_ident"),
    ("rewrite_context", "rewrite_context"),
)


class Forwards:
    """The messages that one recipient of the original gives rise to."""

    def __init__(self, process: Process, request: DeliverRequest) -> None:
        self.process = process
        self.request = request
        self.messages: dict[tuple[str, str], tuple[CleanupMessage, int]] = {}

    def append(self, state: State) -> Wait[bool]:
        """Adds the recipient of a state; False where cleanup(8) fails."""
        key = (state.delivered or "", state.sender)
        found = self.messages.get(key)
        if found is None:
            try:
                message = yield from self._open(state.sender)
            except Gone:
                return False
            self.messages[key] = message, self.process.now()
        else:
            message = found[0]
        rcpt = state.rcpt
        add = message.records.append
        if rcpt.dsn_orcpt:
            add(("A", to_bytes(f"dsn_orig_rcpt={rcpt.dsn_orcpt}")))
        if rcpt.dsn_notify:
            add(("A", f"notify_flags={rcpt.dsn_notify}".encode()))
        if rcpt.orig_addr:
            add(("O", to_bytes(rcpt.orig_addr)))
        add(("R", to_bytes(rcpt.address)))
        return True

    def _open(self, sender: str) -> Wait[CleanupMessage]:
        """Raises Gone."""
        request, process = self.request, self.process
        flags = CLEANUP_FLAG_BOUNCE | CLEANUP_FLAG_MASK_INTERNAL
        flags |= smtputf8_autodetect(process, "forward")
        if request.smtputf8 & SMTPUTF8_FLAG_REQUESTED:
            flags |= CLEANUP_FLAG_SMTPUTF8
        message = yield from cleanup_open(process, flags)
        add = message.records.append
        add(("T", b"%d %d" % divmod(process.now(), 1_000_000)))
        add(("S", to_bytes(sender)))
        if request.dsn_ret:
            add(("A", f"ret_flags={request.dsn_ret}".encode()))
        if request.dsn_envid:
            add(("A", to_bytes(f"envelope_id={request.dsn_envid}")))
        for name, field in _ATTRIBUTES:
            value = getattr(request, field)
            if value:
                add(("A", to_bytes(f"{name}={value}")))
        return message

    def finish(self, state: State, done: bool) -> Wait[bool]:
        """Sends the messages, unless something went wrong before (``done`` is False): then they
        are dropped, and all will be tried again.
        """
        for (delivered, _), (message, posted) in self.messages.items():
            if done:
                done = yield from self._send(state, message, posted, delivered)
            else:
                yield from self._drop(message)
        self.messages.clear()
        return done

    def _drop(self, message: CleanupMessage) -> Wait[None]:
        """Hangs up on cleanup(8), which removes the message."""
        try:
            yield from cleanup_finish(self.process, message)
        except Gone:
            pass

    def _send(
        self, state: State, message: CleanupMessage, posted: int, delivered: str
    ) -> Wait[bool]:
        process, request = self.process, self.request
        conf = process.conf
        head = [
            f"Received: by {conf.myhostname} ({conf.mail_name})",
            f"\tid {message.queue_id}; {mail_date(posted, process.system.timezone)}",
        ]
        if state.agent.header_mask & DELIVER_HDR_FWD:
            head.append(f"Delivered-To: {state.fold(delivered)}")
        records = message.records
        records.append(("M", b""))
        records.extend(("N", to_bytes(line)) for line in head)
        try:
            try:
                records += content_records(
                    request.file.data, request.data_offset, request.data_size
                )
            except RecordError as error:
                mark_corrupt(process, request, error.args[0])
        except CorruptError:
            yield from self._drop(message)
            return False
        records.append(("X", b""))
        records.append(("E", b""))
        try:
            reply = yield from cleanup_finish(process, message)
        except Gone:
            return False
        if reply.status != CLEANUP_STAT_OK:
            return False
        state = state.deeper()
        state.set_rcpt(dsn_notify=without_success(state.rcpt.dsn_notify))
        return (yield from state.sent("2.0.0", f"forwarded as {message.queue_id}", "relayed"))
