"""What a filter answers to an event (milter8_event).

Decisions end an answer.  Before the decision about the end of the message there may be any number
of requests to change it, which are carried out as they come.  After an edit that failed all others
are passed over, and the failure is the outcome unless the filter does not want the message anyway.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from mta.lib.milters.edits import BodyReplacement, Editor, Reply
from mta.lib.milters.filter import (
    SERVICE_UNAVAILABLE,
    STAT_ACCEPT_CON,
    STAT_ACCEPT_MSG,
    STAT_REJECT_CON,
    Filter,
)
from mta.system import Wait
from mta.wire.milter import EVENT_NAMES, REPLY_NAMES, MalformedPacket, Packet, Step
from mta.wire.milter_reply import (
    MODIFICATIONS,
    AddHeader,
    AddRecipient,
    ChangeFrom,
    ChangeHeader,
    DeleteRecipient,
    InsertHeader,
    Quarantine,
    ReplaceBody,
    ReplyCode,
    decode_reply,
)
from mta.wire.milter_reply import Reply as ReplyPacket

COMMAND_REJECTED = "550 5.7.1 Command rejected"

#: A reply with a fitting enhanced status code, or none.
_SMTP_REPLY = re.compile(r"([45])[0-9][0-9][ -](?!(?!\1)[0-9])")
_PERCENT = re.compile(r"%(.?)", re.DOTALL)
_HARD_LINE = re.compile(r"(?:\A|(?<=\r\n))5(..)(.?)(5?)", re.DOTALL)
_END_OF_MESSAGE = b"E"
_BODY = b"b"
_CONNECT_EVENTS = (b"C", b"H")


class _Done(Exception):
    """The answer is over; ``args[0]`` is what it means."""


class Answer:
    """The answer to one event."""

    __slots__ = ("body", "body_over", "edit_reply", "editor", "event", "milter", "sent")

    def __init__(self, milter: Filter, event: bytes, sent: int, editor: Editor | None) -> None:
        """``event``: the code of the event; ``sent``: the size of its data."""
        self.milter = milter
        self.event = event
        self.sent = sent
        self.editor = editor
        self.edit_reply: Reply = None
        self.body: BodyReplacement | None = None
        self.body_over = False

    def read(self) -> Wait[Reply]:
        """Reads packets up to the decision."""
        while True:
            head = yield from self.milter.read_head(self.event)
            try:
                if head is None:
                    raise _Done(self.milter.def_reply)
                yield from self._packet(head)
            except _Done as done:
                reply: Reply = done.args[0]
                break
        if self.edit_reply is not None and (reply is None or reply[0] not in "DS4"):
            return self.edit_reply
        return reply

    def _packet(self, head: Packet) -> Wait[None]:
        """One packet.  Raises _Done where it is the last one."""
        code = head.code
        if self.body is not None and code != _BODY:
            if self.edit_reply is None:
                self.edit_reply = yield from self.body.finish()
            self.body = None
            self.body_over = True
        decide = _DECISIONS.get(code)
        if decide is not None:
            if head.size:
                self._excess(code)
            decide(self)
        elif code == ReplyCode.code:
            self._reply_code((yield from self._data(head)))
        elif code == Quarantine.code:
            yield from self._data(head)
            self.milter.def_reply = "H"
        elif code in MODIFICATIONS and self.event == _END_OF_MESSAGE:
            yield from self._modification(head)
        else:
            self.milter.warn(
                f"unexpected filter response {REPLY_NAMES.get(code, '(unknown filter reply)')} "
                f"after event {EVENT_NAMES[self.event]}"
            )
            raise _Done(self.milter.comm_error())

    def _excess(self, code: bytes) -> None:
        """Data that should not be there.  Postfix tells the size of what it has sent itself."""
        self.milter.warn(f"reply {REPLY_NAMES[code]} was followed by {self.sent} data bytes")
        raise _Done(self.milter.comm_error())

    def _data(self, head: Packet) -> Wait[ReplyPacket]:
        """The whole packet.  Raises _Done where it does not come, or makes no sense."""
        connection = self.milter.connection
        assert connection is not None
        errno = ""
        while True:
            data = connection.buffer[: head.size]
            try:
                reply = decode_reply(Packet(head.code, data, head.size))
            except MalformedPacket as malformed:
                if "{error}" in malformed.args[0] and not errno:
                    errno = (yield from connection.fill()) or ""
                    continue
                self.milter.malformed(malformed, errno)
                raise _Done(self.milter.def_reply) from None
            connection.buffer = connection.buffer[head.size :]
            connection.packet_left = 0
            return reply

    # -- decisions: they raise _Done

    @property
    def _connecting(self) -> bool:
        """Whether the answer is about the whole session."""
        return self.event in _CONNECT_EVENTS

    def _progress(self) -> None:
        """Still at work."""

    def _continue(self) -> None:
        raise _Done(self.milter.def_reply)

    def _accept(self) -> None:
        milter = self.milter
        if self._connecting:
            milter.close_stream()
            milter.state = STAT_ACCEPT_CON
        else:
            milter.state = STAT_ACCEPT_MSG
        raise _Done(milter.def_reply)

    def _discard(self) -> None:
        milter = self.milter
        if self._connecting:
            milter.warn("DISCARD action is not allowed for connect or helo")
            raise _Done(milter.def_reply)
        milter.state = STAT_ACCEPT_MSG
        raise _Done("D")

    def _refuse(self, reply: str) -> None:
        """Refuses the command, or the whole session."""
        if self._connecting:
            self._refuse_session(reply)
        raise _Done(reply)

    def _refuse_session(self, reply: str) -> None:
        milter = self.milter
        milter.close_stream()
        milter.state = STAT_REJECT_CON
        milter.def_reply = reply
        raise _Done(reply)

    def _skip(self) -> None:
        self.milter.skip_event = self.event
        raise _Done(self.milter.def_reply)

    def _reply_code(self, packet: ReplyPacket) -> None:
        """An SMTP reply.  Percent signs are doubled, since Sendmail takes it for a format."""
        assert isinstance(packet, ReplyCode)
        milter = self.milter
        text = packet.text
        if not _SMTP_REPLY.match(text):
            milter.warn(f"malformed reply: {text}")
            raise _Done(milter.conf_error())
        text = _PERCENT.sub(r"\1", text)
        if milter.process.conf.soft_bounce:
            text = _HARD_LINE.sub(_soften, text)
        self._refuse(text)

    # -- changes

    def _modification(self, head: Packet) -> Wait[None]:
        """A request to change the message."""
        milter = self.milter
        if head.code == _BODY and self.body_over:
            milter.warn("body replacement requests can't currently be mixed with other requests")
            raise _Done(milter.conf_error())
        packet = yield from self._data(head)
        if self.edit_reply is None:
            assert self.editor is not None
            self.edit_reply = yield from self._edit(self.editor, packet)

    def _edit(self, editor: Editor, packet: ReplyPacket) -> Wait[Reply]:
        space = "" if self.milter.steps & Step.HDR_LEADSPC else " "
        match packet:
            case ChangeHeader(index, name, value):
                if not name:
                    self.milter.warn("null change header name")
                    raise _Done(self.milter.conf_error())
                if value:
                    edit = editor.upd_header(max(index, 1), name, space, value)
                else:
                    edit = editor.del_header(max(index, 1), name)
            case AddHeader(name, value):
                edit = editor.add_header(name, space, value)
            case InsertHeader(index, name, value):
                edit = editor.ins_header(index + 1, name, space, value)
            case ChangeFrom(address, parameters):
                edit = editor.chg_from(address, parameters)
            case AddRecipient(address, None):
                edit = editor.add_rcpt(address)
            case AddRecipient(address, parameters):
                edit = editor.add_rcpt_par(address, parameters or "")
            case DeleteRecipient(address):
                edit = editor.del_rcpt(address)
            case ReplaceBody(data):
                if self.body is None:
                    self.body = BodyReplacement(editor)
                edit = self.body.add(data)
            case _:
                raise AssertionError("not a modification")
        return (yield from edit)


def _soften(match: re.Match[str]) -> str:
    """A line of a reply with 4xx in place of 5xx (``soft_bounce``)."""
    return f"4{match[1]}{match[2]}{'4' if match[3] else ''}"


#: Decisions without data, by code.
_DECISIONS: Mapping[bytes, Callable[[Answer], None]] = {
    b"p": Answer._progress,
    b"c": Answer._continue,
    b"a": Answer._accept,
    b"d": Answer._discard,
    b"r": lambda answer: answer._refuse(COMMAND_REJECTED),
    b"t": lambda answer: answer._refuse(SERVICE_UNAVAILABLE),
    b"4": lambda answer: answer._refuse_session("S"),
    b"s": Answer._skip,
}
