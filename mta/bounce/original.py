"""The message that a notification is about, as far as its queue file tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.lib.mail_addr_names import mail_addr_mail_daemon
from mta.lib.mail_queue import MailQueue
from mta.lib.recipient import DSN_RET_HDRS
from mta.system import File
from mta.wire.header_opts import is_header_buf
from mta.wire.quote import quote_822_local
from mta.wire.record import (
    REC_TYPE_FROM,
    REC_TYPE_MESG,
    REC_TYPE_SIZE,
    REC_TYPE_TIME,
    RecordError,
    content_records,
    decode_size,
    decode_time,
    record_size,
    records,
)
from mta.wire.text import to_text

if TYPE_CHECKING:
    from mta.master.server import Process


class Original:
    """Facts from the envelope of a queue file.  What cannot be had is 0 or empty: a notification
    says what it can.
    """

    __slots__ = ("arrival_time", "data_offset", "file", "message_size", "path", "process", "sender")

    def __init__(self, process: Process, service: str, queue_name: str, queue_id: str) -> None:
        self.process = process
        self.arrival_time = 0  #: microseconds since the epoch
        self.data_offset = 0
        self.message_size = 0
        self.sender = ""  #: external form
        self.file: File | None = None
        queue = MailQueue.from_conf(process.conf)
        self.path = queue.name(queue_name, queue_id)
        try:
            self.file = queue.open(process.system.files, queue_name, queue_id)
        except FileNotFoundError:
            return
        except OSError as error:
            process.log.fatal(f"open {service} {queue_id}: {error.strerror}")
        try:
            self._read_envelope(self.file.data, queue_id)
        except RecordError as error:
            process.log.warning(f"{self.path}: {error.args[0]}")

    def _read_envelope(self, data: bytearray, queue_id: str) -> None:
        for offset, rec_type, value in records(data):
            if rec_type == REC_TYPE_SIZE:
                size = decode_size(value)
                if self.message_size == 0 and size is not None:
                    self.message_size = max(size.message_size, 0)
                    self.data_offset = max(size.data_offset, 0)
            elif rec_type == REC_TYPE_TIME:
                if not self.arrival_time:
                    self.arrival_time = max(decode_time(value), 0)
            elif rec_type == REC_TYPE_FROM:
                sender = to_text(value) or mail_addr_mail_daemon(self.process)
                self.sender = quote_822_local(sender, 0)
            elif rec_type == REC_TYPE_MESG:
                if not self.sender:
                    self.process.log.warning(f"{queue_id}: no sender before message content record")
                self.data_offset = offset + record_size(len(value))
                return
            if self.data_offset > 0 and self.arrival_time > 0 and self.sender:
                return

    def content(self, headers_only: int) -> list[tuple[str, bytes]]:
        """The text records of the message; with DSN_RET_HDRS those of its headers alone."""
        if self.file is None:
            return []
        try:
            found = content_records(self.file.data, self.data_offset)
        except RecordError as error:
            self.process.log.warning(f"{self.path}: {error.args[0]}")
            return []
        if headers_only == DSN_RET_HDRS:
            for place, (_, data) in enumerate(found):
                if not data.startswith((b" ", b"\t")) and not is_header_buf(data):
                    return found[:place]
        return found
