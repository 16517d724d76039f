"""A message in the active queue: its envelope, read from the queue file (qmgr_message).

Recipients may be more than fit in memory: then the file is read in parts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from mta.lib.recipient import DSN_NOTIFY_SUCCESS, MsgStats, Recipient
from mta.lib.requests import (
    DEL_REQ_FLAG_MTA_VRFY,
    DEL_REQ_FLAG_REC_DLY_SENT,
    DEL_REQ_FLAG_RECORD,
    DEL_REQ_FLAG_USR_VRFY,
)
from mta.wire.record import (
    QMGR_READ_FLAG_MIXED_RCPT_OTHER,
    QMGR_READ_FLAG_NOTIFY_SHIFT,
    QMGR_READ_FLAG_USER,
    REC_TYPE_ATTR,
    REC_TYPE_CTIME,
    REC_TYPE_DONE,
    REC_TYPE_DRCP,
    REC_TYPE_DSN_ENVID,
    REC_TYPE_DSN_NOTIFY,
    REC_TYPE_DSN_ORCPT,
    REC_TYPE_DSN_RET,
    REC_TYPE_END,
    REC_TYPE_FILT,
    REC_TYPE_FROM,
    REC_TYPE_INSP,
    REC_TYPE_ORCP,
    REC_TYPE_PTR,
    REC_TYPE_RCPT,
    REC_TYPE_RDR,
    REC_TYPE_SIZE,
    REC_TYPE_TIME,
    REC_TYPE_VERP,
    REC_TYPE_WARN,
    RecordError,
    decode_ptr,
    decode_size,
    decode_time,
    decode_warn,
    get,
    rec_attr_map,
)
from mta.wire.text import to_text
from mta.wire.verp import verp_delims_verify

if TYPE_CHECKING:
    from mta.qmgr.job import Job
    from mta.qmgr.qmgr import QueueManager
    from mta.system import File

SEEN_ALL_NON_RCPT = 1 << 16
#: Where the size record says that a recipient wants to hear of success.
READ_FLAG_NOTIFY_SUCCESS = DSN_NOTIFY_SUCCESS << QMGR_READ_FLAG_NOTIFY_SHIFT
_TRACE_FLAGS = (
    DEL_REQ_FLAG_MTA_VRFY
    | DEL_REQ_FLAG_USR_VRFY
    | DEL_REQ_FLAG_RECORD
    | (DEL_REQ_FLAG_REC_DLY_SENT)
)
_DSN_NOTIFY_MAX = 15

#: Attributes of the client, with the name they had before log_* was introduced.
_CLIENT = {
    "client_name": "client_name",
    "client_address": "client_addr",
    "client_port": "client_port",
    "protocol_name": "client_proto",
    "helo_name": "client_helo",
}
_LOG_CLIENT = {f"log_{name}": field for name, field in _CLIENT.items()}
_ONCE = {
    "sasl_method": "sasl_method",
    "sasl_username": "sasl_username",
    "sasl_sender": "sasl_sender",
    "log_ident": "log_ident",
    "rewrite_context": "rewrite_context",
}


class Message:
    """What the queue manager knows of a queue file.  Times are seconds, but ``arrival_time`` and
    ``active_time`` are microseconds.
    """

    def __init__(self, qmgr: QueueManager, queue_name: str, queue_id: str, qflags: int) -> None:
        self.qmgr = qmgr
        self.queue_name = queue_name
        self.queue_id = queue_id
        self.qflags = qflags
        self.flags = 0  #: whether recipients were deferred
        self.tflags = 0
        self.tflags_offset = 0
        self.rflags = 0
        self.file: File | None = None
        self.refcount = 0
        self.single_rcpt = False
        self.arrival_time = 0
        self.create_time = 0
        self.active_time = qmgr.process.now()
        self.queued_time = self.active_time // 1_000_000
        self.refill_time = 0
        self.data_offset = 0
        self.data_size = 0
        self.cont_length = 0
        self.smtputf8 = 0
        self.sender: str | None = None
        self.encoding = ""
        self.dsn_envid = ""
        self.dsn_ret = 0
        self.filter_xport = ""
        self.inspect_xport = ""
        self.redirect_addr = ""
        self.warn_offset = 0
        self.warn_time = 0
        self.verp_delims = ""
        self.attributes: dict[str, str] = {}
        self.recipients: list[Recipient] = []
        self.rcpt_offset = 0
        self.rcpt_unread = 0
        self.rcpt_count = 0
        self.rcpt_limit = qmgr.process.conf.qmgr_message_recipient_minimum
        self.jobs: list[Job] = []

    def stats(self) -> MsgStats:
        """The moments known so far."""
        return MsgStats(self.arrival_time, self.active_time)

    def attribute(self, name: str) -> str:
        """An attribute of the client, ``""`` where the file has none."""
        return self.attributes.get(name, "")

    def read(self) -> bool:
        """Reads envelope records, recipients up to the limit; False for a damaged file."""
        return Reader(self).run()

    def update_warn(self) -> None:
        """The delay warning was sent: its record says -1 from now on."""
        file = self._writable()
        at = self.warn_offset + 2
        file.data[at : at + 15] = b"%15d" % -1

    def kill_record(self, offset: int) -> None:
        """Marks a record as not to be read again."""
        self._writable().data[offset] = ord("K")

    def _writable(self) -> File:
        if self.file is None:
            qmgr = self.qmgr
            self.file = qmgr.mail_queue.open(
                qmgr.process.system.files, self.queue_name, self.queue_id
            )
        return self.file


class Reader:
    """One pass over the envelope of a queue file."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.warn = message.qmgr.process.log.warning
        self.orig_rcpt = ""
        self.dsn_orcpt = ""
        self.dsn_notify = 0
        self.has_log_client = False
        self.damaged = False
        self.limit = 0
        self.offset = 0

    def run(self) -> bool:
        """Reads; False where the message has to go to the corrupt queue."""
        message = self.message
        saved = message.rcpt_offset, message.rcpt_unread
        self.limit = self._recipient_limit()
        position = message.rcpt_offset
        message.rcpt_offset = 0
        ended = self._records(position)
        self._leftovers(ended)
        if message.qmgr.process.conf.confirm_delay_cleared and message.warn_time < 0:
            message.tflags |= DEL_REQ_FLAG_REC_DLY_SENT
        message.refill_time = message.qmgr.seconds()
        if not message.create_time:
            message.create_time = message.arrival_time // 1_000_000
        if message.rcpt_unread < 0 or (not message.rcpt_offset and message.rcpt_unread):
            self.warn(f"{message.queue_id}: rcpt count mismatch ({message.rcpt_unread})")
            message.rcpt_unread = 0
        if ended and self._complete():
            return True
        message.rcpt_offset, message.rcpt_unread = saved
        message.recipients = []
        return False

    def _recipient_limit(self) -> int:
        message, qmgr = self.message, self.message.qmgr
        if message.rcpt_offset:
            limit = message.rcpt_limit - message.rcpt_count
        else:
            limit = max(qmgr.rcpt_limit - qmgr.recipient_count, message.rcpt_limit)
        return min(limit, 5000)

    def _records(self, position: int) -> bool:
        """Goes through the records; True when the end, or enough recipients, were found."""
        message = self.message
        assert message.file is not None
        data = message.file.data
        try:
            while True:
                if position == message.data_offset and position > 0:
                    position += message.data_size
                found = get(data, position)
                if found is None:
                    self.warn(f"{message.queue_id}: message rejected: missing end record")
                    return False
                self.offset = position
                rec_type, value, position = found
                if rec_type == REC_TYPE_PTR:
                    position = decode_ptr(value) or position
                elif rec_type == REC_TYPE_END:
                    message.rflags |= SEEN_ALL_NON_RCPT
                    return True
                elif rec_type == REC_TYPE_RCPT:
                    position = self._recipient(to_text(value), position)
                    if position < 0:
                        return True
                else:
                    self._record(rec_type, value)
                    if self.damaged:
                        return False
        except RecordError as error:
            path = message.qmgr.mail_queue.name(message.queue_name, message.queue_id)
            self.warn(f"{path}: {error.args[0]}")
            self.warn(f"{message.queue_id}: message rejected: missing end record")
            return False

    def _record(self, rec_type: str, value: bytes) -> None:
        """One record that is not about a recipient's address."""
        if rec_type == REC_TYPE_ATTR:
            found = _attribute_of(value)
            if found is None:
                self._bad(
                    f"ignoring bad attribute: missing '=' after attribute name: "
                    f"{to_text(value)[:200]}"
                )
                return
            rec_type, name, value, text = found
            if rec_type == REC_TYPE_ATTR:
                if not self.message.rflags & SEEN_ALL_NON_RCPT:
                    self._attribute(name, text)
                return
        handler = _RCPT_RECORDS.get(rec_type)
        if handler is not None:
            handler(self, to_text(value))
        elif not self.message.rflags & SEEN_ALL_NON_RCPT:
            other = _OTHER_RECORDS.get(rec_type)
            if other is not None:
                other(self, value)

    def _bad(self, text: str) -> None:
        self.warn(f"{self.message.queue_id}: {text}")
        self.damaged = True

    # -- recipients ---------------------------------------------------------------------------

    def _recipient(self, address: str, position: int) -> int:
        message = self.message
        if message.rcpt_offset:
            return position
        message.rcpt_unread -= 1
        message.recipients.append(
            Recipient(address, self.orig_rcpt, self.dsn_orcpt, self.dsn_notify, self.offset)
        )
        self.orig_rcpt, self.dsn_orcpt, self.dsn_notify = "", "", 0
        if len(message.recipients) < self.limit:
            return position
        message.rcpt_offset = position
        if message.rflags & SEEN_ALL_NON_RCPT:
            return -1
        if message.rflags & QMGR_READ_FLAG_MIXED_RCPT_OTHER:
            return position
        if self.offset > message.data_offset:
            message.rflags |= SEEN_ALL_NON_RCPT
            return -1
        return message.data_offset + message.data_size

    def done_rcpt(self, _value: str) -> None:
        """A recipient that was delivered or cancelled."""
        if not self.message.rcpt_offset:
            self.message.rcpt_unread -= 1
            self.orig_rcpt, self.dsn_orcpt, self.dsn_notify = "", "", 0

    def dsn_orcpt_record(self, value: str) -> None:
        """The ORCPT of the next recipient."""
        if self.dsn_orcpt:
            self.warn(
                f"{self.message.queue_id}: ignoring out-of-order DSN original recipient address "
                f"<{self.dsn_orcpt[:200]}>"
            )
            self.dsn_orcpt = ""
        if not self.message.rcpt_offset:
            self.dsn_orcpt = value

    def dsn_notify_record(self, value: str) -> None:
        """The NOTIFY mask of the next recipient."""
        queue_id = self.message.queue_id
        if self.dsn_notify:
            self.warn(f"{queue_id}: ignoring out-of-order DSN notify flags <{self.dsn_notify}>")
            self.dsn_notify = 0
        if not self.message.rcpt_offset:
            number = int(value) if value.isascii() and value.isdigit() else 0
            if not 0 < number <= _DSN_NOTIFY_MAX:
                self.warn(f"{queue_id}: ignoring malformed DSN notify flags <{value[:200]}>")
            else:
                self.dsn_notify = number

    def orig_rcpt_record(self, value: str) -> None:
        """The original address of the next recipient."""
        if self.orig_rcpt:
            self.warn(
                f"{self.message.queue_id}: ignoring out-of-order original recipient "
                f"<{self.orig_rcpt[:200]}>"
            )
            self.orig_rcpt = ""
        if not self.message.rcpt_offset:
            self.orig_rcpt = value

    def _leftovers(self, ended: bool) -> None:
        if ended:
            queue_id = self.message.queue_id
            if self.dsn_orcpt:
                self.warn(
                    f"{queue_id}: ignoring out-of-order DSN original recipient "
                    f"<{self.dsn_orcpt[:200]}>"
                )
            if self.orig_rcpt:
                self.warn(
                    f"{queue_id}: ignoring out-of-order original recipient <{self.orig_rcpt[:200]}>"
                )

    # -- the rest -----------------------------------------------------------------------------

    def size(self, value: bytes) -> None:
        """The size record."""
        message = self.message
        if not message.data_offset:
            numbers = decode_size(value)
            if numbers is None or len(value.split()) < 3:
                self._bad("message rejected: weird size record")
                return
            message.data_size = numbers.message_size
            message.data_offset = numbers.data_offset
            message.rcpt_unread = numbers.rcpt_count
            message.rflags = numbers.qmgr_opts
            message.cont_length = numbers.content_length
            message.smtputf8 = numbers.smtputf8
            if message.data_offset <= 0 or message.data_size <= 0:
                self._bad(f"invalid size record: {to_text(value)[:100]}")
                return
            if message.rflags & ~QMGR_READ_FLAG_USER:
                self._bad(f"invalid flags in size record: {to_text(value)[:100]}")
                return
        if not message.cont_length:
            message.cont_length = message.data_size
        elif message.cont_length < 0:
            self._bad(f"invalid size record: {to_text(value)[:100]}")

    def time(self, value: bytes) -> None:
        """The arrival time."""
        self.message.arrival_time = self.message.arrival_time or decode_time(value)

    def ctime(self, value: bytes) -> None:
        """The time of creation, where it differs (released from hold)."""
        self.message.create_time = self.message.create_time or decode_warn(value)

    def sender(self, value: bytes) -> None:
        """The sender; the message is logged as taken up."""
        message = self.message
        if message.sender is None:
            message.sender = to_text(value)
            message.qmgr.process.log.info(
                f"{message.queue_id}: from=<{message.sender}>, size={message.cont_length}, "
                f"nrcpt={message.rcpt_unread} (queue {message.queue_name})"
            )

    def dsn_envid(self, value: bytes) -> None:
        """ENVID of RFC 3461."""
        self.message.dsn_envid = self.message.dsn_envid or to_text(value)

    def dsn_ret(self, value: bytes) -> None:
        """RET of RFC 3461."""
        if not self.message.dsn_ret:
            if value not in (b"1", b"2"):
                self.warn(
                    f"{self.message.queue_id}: ignoring malformed DSN RET flags in queue file "
                    f"record:{to_text(value)[:100]}"
                )
            else:
                self.message.dsn_ret = int(value)

    def warn_time(self, value: bytes) -> None:
        """When to warn the sender of the delay; -1 after that."""
        if not self.message.warn_offset:
            self.message.warn_offset = self.offset
            self.message.warn_time = decode_warn(value)

    def verp(self, value: bytes) -> None:
        """VERP delimiters: one recipient at a time."""
        message, text = self.message, to_text(value)
        if message.verp_delims:
            return
        if not message.sender:
            self.warn(f"{message.queue_id}: ignoring VERP request for null sender")
        elif verp_delims_verify(text, message.qmgr.process.conf.verp_delimiter_filter):
            self.warn(f'{message.queue_id}: ignoring bad VERP request: "{text[:100]}"')
        else:
            message.single_rcpt = True
            message.verp_delims = text

    def _attribute(self, name: str, value: str) -> None:
        message = self.message
        if name in _LOG_CLIENT:
            message.attributes[_LOG_CLIENT[name]] = value
            self.has_log_client = True
        elif name == "encoding":
            message.encoding = value
        elif name == "trace_flags":
            number = int(value) if value.isascii() and value.isdigit() else 0
            message.tflags = number & _TRACE_FLAGS
            record = message.tflags == DEL_REQ_FLAG_RECORD
            message.tflags_offset = self.offset if record else 0
        elif name in _CLIENT:
            if not self.has_log_client:
                message.attributes.setdefault(_CLIENT[name], value)
        elif name in _ONCE:
            if name in message.attributes:
                self.warn(f"{message.queue_id}: ignoring multiple {name} attribute: {value}")
            else:
                message.attributes[name] = value

    def _complete(self) -> bool:
        message = self.message
        missing = (
            ("arrival time", not message.arrival_time),
            ("sender", message.sender is None),
            ("size", not message.data_offset),
        )
        for what, is_missing in missing:
            if is_missing:
                self.warn(f"{message.queue_id}: message rejected: missing {what} record")
                return False
        return True


class _Attribute(NamedTuple):
    """An attribute record taken apart: the type of the record that it stands for, or its own; its
    name; and its value, as bytes and as text.
    """

    rec_type: str
    name: str
    value: bytes
    text: str


@lru_cache(maxsize=4096)
def _attribute_of(data: bytes) -> _Attribute | None:
    """What is in an attribute record, None without ``=``.  Clients send the same ones over and
    over.
    """
    key, equals, value = data.partition(b"=")
    if not equals:
        return None
    name = to_text(key).strip()
    value = value.lstrip()
    return _Attribute(rec_attr_map(name) or REC_TYPE_ATTR, name, value, to_text(value))


def _setter(field: str) -> Callable[[Reader, bytes], None]:
    def put(reader: Reader, value: bytes) -> None:
        setattr(reader.message, field, to_text(value))

    return put


_RCPT_RECORDS: dict[str, Callable[[Reader, str], None]] = {
    REC_TYPE_DONE: Reader.done_rcpt,
    REC_TYPE_DRCP: Reader.done_rcpt,
    REC_TYPE_DSN_ORCPT: Reader.dsn_orcpt_record,
    REC_TYPE_DSN_NOTIFY: Reader.dsn_notify_record,
    REC_TYPE_ORCP: Reader.orig_rcpt_record,
}
_OTHER_RECORDS: dict[str, Callable[[Reader, bytes], None]] = {
    REC_TYPE_SIZE: Reader.size,
    REC_TYPE_TIME: Reader.time,
    REC_TYPE_CTIME: Reader.ctime,
    REC_TYPE_FROM: Reader.sender,
    REC_TYPE_DSN_ENVID: Reader.dsn_envid,
    REC_TYPE_DSN_RET: Reader.dsn_ret,
    REC_TYPE_WARN: Reader.warn_time,
    REC_TYPE_VERP: Reader.verp,
    REC_TYPE_FILT: _setter("filter_xport"),
    REC_TYPE_INSP: _setter("inspect_xport"),
    REC_TYPE_RDR: _setter("redirect_addr"),
}
