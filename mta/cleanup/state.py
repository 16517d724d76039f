"""One message in cleanup(8), and how its queue file is written (cleanup_state, cleanup_out).

Offsets are places in the queue file; -1 stands for what is not there (yet).  Text is ``str``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mta.lib.been_here import BeenHere
from mta.lib.recipient import MsgStats
from mta.lib.requests import (
    CLEANUP_FLAG_AUTOUTF8,
    CLEANUP_FLAG_BOUNCE,
    CLEANUP_FLAG_DISCARD,
    CLEANUP_FLAG_FILTER,
    CLEANUP_FLAG_HOLD,
    CLEANUP_FLAG_MILTER,
    CLEANUP_FLAG_SMTPUTF8,
    CLEANUP_STAT_BAD,
    CLEANUP_STAT_DEFER,
    CLEANUP_STAT_RCPT,
    CLEANUP_STAT_SIZE,
    CLEANUP_STAT_WRITE,
    REWRITE_LOCAL,
    SMTPUTF8_FLAG_HEADER,
    SMTPUTF8_FLAG_REQUESTED,
    CleanupMessage,
)
from mta.system import File
from mta.wire.record import (
    REC_TYPE_ATTR,
    REC_TYPE_CONT,
    REC_TYPE_DTXT,
    REC_TYPE_NORM,
    REC_TYPE_ORCP,
    REC_TYPE_PTR,
    REC_TYPE_PTR_PAYL_SIZE,
    REC_TYPE_RCPT,
    encode,
    encode_ptr,
    put_pad,
)
from mta.wire.text import to_bytes

if TYPE_CHECKING:
    from mta.cleanup.milter_checks import MilterHeaderChecks
    from mta.cleanup.tables import Tables
    from mta.master.server import Process

CLEANUP_FLAG_INRCPT = 1 << 16  #: among recipient records
CLEANUP_FLAG_WARN_SEEN = 1 << 17  #: the client gave the time of the delay warning
CLEANUP_FLAG_END_SEEN = 1 << 18  #: the message is complete

CLEANUP_FLAG_FILTER_ALL = CLEANUP_FLAG_FILTER | CLEANUP_FLAG_MILTER
CLEANUP_FLAG_MASK_EXTRA = CLEANUP_FLAG_HOLD | CLEANUP_FLAG_DISCARD

CLEANUP_STAT_MASK_CANT_BOUNCE = (
    CLEANUP_STAT_BAD | CLEANUP_STAT_WRITE | CLEANUP_STAT_DEFER | CLEANUP_STAT_RCPT
)
CLEANUP_STAT_MASK_INCOMPLETE = (
    CLEANUP_STAT_BAD | CLEANUP_STAT_WRITE | CLEANUP_STAT_SIZE | CLEANUP_STAT_DEFER
)

#: How much a queue file grows between two writes (VSTREAM_BUFSIZE).
_BUFFER = 4096
_NO_LIMIT = 1 << 62

#: The type and length of records of up to 127 bytes, for the types that come most.
HEADS = {
    rec_type: [bytes((ord(rec_type), size)) for size in range(128)]
    for rec_type in (REC_TYPE_NORM, REC_TYPE_CONT, REC_TYPE_ATTR, REC_TYPE_ORCP, REC_TYPE_RCPT)
}
NORM_HEAD = HEADS[REC_TYPE_NORM]


class State:
    """One message (struct CLEANUP_STATE)."""

    __slots__ = (
        "append_hdr_pt_offset",
        "append_hdr_pt_target",
        "append_meta_pt_offset",
        "append_meta_pt_target",
        "append_rcpt_pt_offset",
        "append_rcpt_pt_target",
        "arrival_time",
        "attr",
        "auto_hdrs",
        "body_offset",
        "body_regions",
        "client",
        "cont_length",
        "created",
        "curr_body_region",
        "data_offset",
        "dsn_envid",
        "dsn_notify",
        "dsn_orcpt",
        "dsn_ret",
        "dups",
        "err_mask",
        "errs",
        "file",
        "filter",
        "flags",
        "free_regions",
        "fullname",
        "hbc_rcpt",
        "hdr_rewrite_context",
        "headers_seen",
        "hop_count",
        "milter_ext_from",
        "milter_ext_rcpt",
        "milter_hbc_checks",
        "milter_hbc_reply",
        "milters",
        "mime_errs",
        "orig_rcpt",
        "out",
        "process",
        "qmgr_opts",
        "queue_id",
        "queue_name",
        "rcpt_count",
        "reason",
        "recip",
        "redirect",
        "resent",
        "sender",
        "sender_pt_offset",
        "sender_pt_target",
        "size_limit",
        "smtp_reply",
        "smtputf8",
        "tables",
        "threshold",
        "traced",
        "verp_delims",
        "wants_padding",
        "xtra_offset",
    )

    def __init__(
        self, process: Process, tables: Tables, message: CleanupMessage, file: File
    ) -> None:
        self.process = process
        self.tables = tables
        self.queue_id = message.queue_id
        self.queue_name = "incoming"
        self.file = file
        self.out: bytearray = file.data
        self.created = message.created  #: when the queue id was made, microseconds
        flags = self.flags = message.flags
        bounce = flags & CLEANUP_FLAG_BOUNCE
        #: Which troubles end the examination of the message.
        self.err_mask = CLEANUP_STAT_MASK_INCOMPLETE if bounce else ~0
        self.errs = 0
        self.smtputf8 = SMTPUTF8_FLAG_REQUESTED if flags & CLEANUP_FLAG_SMTPUTF8 else 0
        self.size_limit = tables.message_size_limit or _NO_LIMIT
        self.threshold = 0
        self.aim(0)
        self.arrival_time = 0  #: microseconds since the epoch
        self.fullname: str | None = None
        self.sender: str | None = None
        self.recip: str | None = None  #: the last one
        self.orig_rcpt: str | None = None
        self.dsn_envid: str | None = None
        self.dsn_ret = 0
        self.dsn_notify = 0
        self.dsn_orcpt: str | None = None
        self.verp_delims: str | None = None
        self.auto_hdrs: list[str] = []
        self.hbc_rcpt: list[str] = []
        self.qmgr_opts = 0
        self.headers_seen = 0
        self.hop_count = 0
        self.resent = ""
        self.dups = BeenHere(tables.duplicate_filter_limit, tables.utf8)
        self.data_offset = -1
        self.body_offset = -1
        self.xtra_offset = -1
        self.cont_length = 0
        self.rcpt_count = 0
        self.reason: str | None = None
        self.smtp_reply: str | None = None
        self.attr: dict[str, str] = {"log_message_origin": "local"}
        self.mime_errs = 0
        #: Context for header addresses; None: they stay as they are.
        self.hdr_rewrite_context: str | None = REWRITE_LOCAL
        self.filter: str | None = None
        self.redirect: str | None = None
        self.traced = False  #: the trace logfile was written to
        # Milters and their edits.
        self.milters: Any = None
        self.wants_padding = tables.milters is not None
        self.sender_pt_offset = -1
        self.sender_pt_target = -1
        self.append_rcpt_pt_offset = -1
        self.append_rcpt_pt_target = -1
        self.append_hdr_pt_offset = -1
        self.append_hdr_pt_target = -1
        self.append_meta_pt_offset = -1
        self.append_meta_pt_target = -1
        self.milter_hbc_checks: MilterHeaderChecks | None = None
        self.milter_hbc_reply: str | None = None
        self.milter_ext_from: str | None = None
        self.milter_ext_rcpt: str | None = None
        self.client: Any = None
        self.body_regions: Any = None
        self.free_regions: Any = None
        self.curr_body_region: Any = None

    # -- conditions

    @property
    def ok(self) -> bool:
        """Whether the message is still worth looking at (CLEANUP_OUT_OK)."""
        return not (self.errs & self.err_mask or self.flags & CLEANUP_FLAG_DISCARD)

    @property
    def milter_ok(self) -> bool:
        """Whether milters should see it (CLEANUP_MILTER_OK)."""
        flags = self.flags
        return bool(
            flags & CLEANUP_FLAG_MILTER and not self.errs and not flags & CLEANUP_FLAG_DISCARD
        )

    @property
    def stats(self) -> MsgStats:
        """For log lines about recipients."""
        return MsgStats(incoming_arrival=self.arrival_time)

    def warn(self, text: str) -> None:
        """``warning: QUEUEID: ...``."""
        self.process.log.warning(f"{self.queue_id}: {text}")

    def bad(self, text: str) -> None:
        """The client talks nonsense."""
        self.warn(f"message rejected: {text}")
        self.errs |= CLEANUP_STAT_BAD

    # -- output

    def aim(self, start: int) -> None:
        """Blocks are written from an offset on: where writing fails, in the block after the one
        that the size limit is in.
        """
        left = self.size_limit - start
        self.threshold = start + (left // _BUFFER + 1) * _BUFFER

    def put(self, rec_type: str, data: bytes) -> None:
        """One record (cleanup_out), long lines in parts.  Nothing where the message is lost."""
        if self.errs & self.err_mask or self.flags & CLEANUP_FLAG_DISCARD:
            return
        out = self.out
        if len(data) < 128 and rec_type in HEADS:
            out += HEADS[rec_type][len(data)]
            out += data
        else:
            if rec_type in ("N", "L"):
                limit = self.tables.line_length_limit
                while len(data) > limit:
                    out += encode("L", data[:limit])
                    data = data[limit:]
            out += encode(rec_type, data)
        if len(out) > self.threshold:
            self.too_big()

    def put_text(self, rec_type: str, text: str) -> None:
        """One record from text."""
        self.put(rec_type, to_bytes(text))

    def put_ptr(self, target: int = 0) -> None:
        """A pointer record."""
        self.put(REC_TYPE_PTR, encode_ptr(target))

    def too_big(self) -> None:
        """The queue file has reached ``message_size_limit``."""
        self.warn("queue file size limit exceeded")
        self.errs |= CLEANUP_STAT_SIZE
        del self.out[self.size_limit :]

    def put_header(self, text: bytes) -> None:
        """A header, its lines between newlines (cleanup_out_header).

        A header longer than ``header_size_limit`` is cut, at the end of a line where that costs
        less than a tenth.  Where milters are about, a short first line is padded so that a pointer
        record fits in its place.
        """
        tables = self.tables
        if tables.utf8 and not text.isascii():
            self.smtputf8 |= SMTPUTF8_FLAG_HEADER
            if self.flags & CLEANUP_FLAG_AUTOUTF8:
                self.smtputf8 |= SMTPUTF8_FLAG_REQUESTED
        limit = tables.header_size_limit
        start = 0
        for line in text.split(b"\n"):
            end = start + len(line)
            if end > limit:
                if start > 0.9 * limit:
                    return
                line = line[: limit - start]
            if start == 0:
                self.put("N", line)
                if self.wants_padding and len(line) < REC_TYPE_PTR_PAYL_SIZE:
                    self.pad(REC_TYPE_DTXT, REC_TYPE_PTR_PAYL_SIZE - len(line))
            elif line[:1] in (b" ", b"\t"):
                self.put("N", line)
            else:
                self.put("N", b"\t" + line)
            if end > limit:
                return
            start = end + 1

    def pad(self, rec_type: str, size: int) -> None:
        """A record of padding (rec_pad); unlike other records it comes whatever happened before."""
        put_pad(self.out, rec_type, size)
