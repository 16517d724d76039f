"""showq(8) - the listing of the queue.

DESCRIPTION
    One entry a message: queue id (with ``*`` for the active queue, ``!`` for hold), size, arrival,
    sender, then the recipients; those that were deferred come first, under their reason.

CONFIGURATION PARAMETERS
    duplicate_filter_limit, empty_address_recipient, enable_long_queue_ids, smtputf8_enable
"""

from __future__ import annotations

from mta.lib.bounce_log import bounce_log_read
from mta.lib.mail_queue import (
    MAIL_QUEUE_ACTIVE,
    MAIL_QUEUE_DEFER,
    MAIL_QUEUE_DEFERRED,
    MAIL_QUEUE_HOLD,
    MAIL_QUEUE_INCOMING,
    MAIL_QUEUE_MAILDROP,
    MAIL_QUEUE_STAT_READY,
    MailQueue,
)
from mta.lib.requests import ShowqRequest
from mta.master.server import Process, Program, program
from mta.system import File, Wait
from mta.wire.mail_date import asctime
from mta.wire.quote import quote_822_local
from mta.wire.record import (
    REC_TYPE_END,
    REC_TYPE_FROM,
    REC_TYPE_MESG,
    REC_TYPE_PTR,
    REC_TYPE_RCPT,
    REC_TYPE_SIZE,
    REC_TYPE_TIME,
    RecordError,
    content_records,
    decode_ptr,
    decode_size,
    decode_time,
    get,
)
from mta.wire.text import printable, to_text

_QUEUES = (
    MAIL_QUEUE_MAILDROP,
    MAIL_QUEUE_ACTIVE,
    MAIL_QUEUE_INCOMING,
    MAIL_QUEUE_DEFERRED,
    MAIL_QUEUE_HOLD,
)
#: More jumps than this are a loop.
_JUMPS_LIMIT = 10000
_STATUS = {MAIL_QUEUE_ACTIVE: "*", MAIL_QUEUE_HOLD: "!"}


@program("showq")
class Showq(Program):
    """One process of showq(8)."""

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        self.queue = MailQueue.from_conf(process.conf)
        self.long_ids = process.conf.enable_long_queue_ids

    def serve(self, request: ShowqRequest) -> Wait[str]:
        """The whole listing."""
        files = self.process.system.files
        lines: list[str] = []
        count = size = 0
        for name in _QUEUES:
            # The newest first, as a file system in memory lists directories: of long ids that is
            # the greatest; of others the order means nothing.
            for queue_id in sorted(self.queue.ids(files, name), reverse=True):
                file = self.queue.open(files, name, queue_id)
                if file.mode & 0o700 != MAIL_QUEUE_STAT_READY:
                    continue
                lines.append(self._headings() if not count else "")
                lines += self._entry(name, queue_id, file)
                size += len(file.data)
                count += 1
        if not count:
            return "Mail queue is empty\n"
        plural = "" if count == 1 else "s"
        lines += ["", f"-- {size // 1024} Kbytes in {count} Request{plural}."]
        return "\n".join(lines) + "\n"
        yield

    def _headings(self) -> str:
        if self.long_ids:
            return self._row(
                "----Queue ID-----", "--Size--", "---Arrival Time----", "--Sender/Recipient------"
            )
        return self._row(
            "-Queue ID-", "--Size--", "----Arrival Time----", "-Sender/Recipient-------"
        )

    def _row(self, queue_id: str, size: str, arrival: str, address: str) -> str:
        if self.long_ids:
            return f"{queue_id:<17} {size:>8} {arrival:<19} {address}"
        return f"{queue_id:<10} {size:>8} {arrival:<20} {address}"

    def _sender_row(self, queue_id: str, size: int, arrival: str, address: str) -> str:
        if self.long_ids:
            return f"{queue_id:<17} {size:8d} {arrival[:19]:>19} {address}"
        return f"{queue_id:<11} {size:7d} {arrival[:20]:>20} {address}"

    def _address(self, data: bytes) -> str:
        text = to_text(data) or self.process.conf.empty_address_recipient
        return self._shown(quote_822_local(text))

    def _shown(self, text: str) -> str:
        return printable(text, "?", bool(self.process.conf.smtputf8_enable))

    def _entry(self, queue: str, queue_id: str, file: File) -> list[str]:
        """The lines of one message (showq_report)."""
        data = bytes(file.data)
        lines: list[str] = []
        size, arrival, skip = 0, 0, 0
        known: dict[str, None] | None = None
        position = jumps = 0
        try:
            while (found := get(data, position)) is not None:
                rec_type, value, position = found
                if rec_type == REC_TYPE_END:
                    break
                if rec_type == REC_TYPE_PTR:  # a Milter has edited the message
                    jumps += 1
                    if jumps > _JUMPS_LIMIT:
                        raise RecordError("too many reverse jump records")
                    position = decode_ptr(value) or position
                elif rec_type == REC_TYPE_TIME:
                    arrival = decode_time(value)
                elif rec_type == REC_TYPE_SIZE and not size:
                    numbers = decode_size(value)
                    skip = size = numbers.message_size if numbers else 0
                    if size <= 0:
                        text = self._shown(to_text(value))[:100]
                        self.process.log.warning(f"{queue_id}: malformed size record: {text}")
                        size = len(data)
                elif rec_type == REC_TYPE_FROM:
                    when = asctime(arrival or file.mtime, self.process.system.timezone)
                    row_id = queue_id + _STATUS.get(queue, " ")
                    sender = self._address(value)
                    lines.append(self._sender_row(row_id, size or len(data), when, sender))
                    if known is None:
                        known = self._reasons(queue_id, lines)
                elif rec_type == REC_TYPE_RCPT:
                    address = self._address(value)
                    if known is None or address not in known:
                        lines.append(self._row("", "", "", address))
                elif rec_type == REC_TYPE_MESG:
                    position += skip or sum(len(v) + 2 for _, v in content_records(data, position))
        except RecordError as error:
            self.process.log.warning(f"{self.queue.name(queue, queue_id)}: {error.args[0]}")
        return lines

    def _reasons(self, queue_id: str, lines: list[str]) -> dict[str, None] | None:
        """The deferred recipients under their reasons; the addresses that were shown."""
        entries = bounce_log_read(self.process, MAIL_QUEUE_DEFER, queue_id)
        if entries is None:
            return None
        limit = self.process.conf.duplicate_filter_limit
        known: dict[str, None] = {}
        reason = None
        for entry in entries:
            if not limit or len(known) < limit:
                known[entry.recipient.address] = None
            if entry.dsn.reason != reason:
                reason = entry.dsn.reason
                lines.append(" " * max(76 - len(reason.encode()), 0) + f"({reason})")
            lines.append(self._row("", "", "", entry.recipient.address))
        return known
