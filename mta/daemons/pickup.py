"""pickup(8) - feeds mail that users have dropped into the maildrop queue to cleanup(8).

DESCRIPTION
    postdrop(1) leaves the mail of local users in the ``maildrop`` directory and wakes pickup(8),
    which also looks by itself every now and then.  Each file is copied to cleanup(8), with a
    Received header in front of its content, and removed.  Files that cleanup(8) cannot take now are
    kept for later.  Mail that comes back by ``postsuper -r`` is recognized by its owner; it is not
    shown to milters again, and routing that was decided before is forgotten.

DIAGNOSTICS
    ``QUEUEID: uid=1000 from=<alice>`` for each message; with ``orig_id=`` for mail that was
    requeued.

CONFIGURATION PARAMETERS
    cleanup_service_name, content_filter, line_length_limit, mail_name, mail_owner, myhostname,
    queue_directory, receive_override_options, smtputf8_autodetect_classes
"""

from __future__ import annotations

from typing import Any, NoReturn

from mta.conf.conf import Conf
from mta.lib.cleanup_client import cleanup_finish, cleanup_open
from mta.lib.cleanup_strerror import cleanup_strerror
from mta.lib.input_transp import input_transp_cleanup, input_transp_mask
from mta.lib.mail_owner import mail_owner
from mta.lib.mail_queue import (
    MAIL_QUEUE_MAILDROP,
    MAIL_QUEUE_STAT_READY,
    MailQueue,
    mail_queue_id_ok,
)
from mta.lib.post_mail_head import smtputf8_autodetect
from mta.lib.requests import (
    CLEANUP_FLAG_BOUNCE,
    CLEANUP_FLAG_MASK_EXTERNAL,
    CLEANUP_FLAG_MILTER,
    CLEANUP_STAT_BAD,
    CLEANUP_STAT_RCPT,
    CLEANUP_STAT_WRITE,
    CleanupMessage,
)
from mta.master.server import Process, Program, program
from mta.system import Gone, Stat, Wait
from mta.util.name_mask import NameMaskError
from mta.util.scalars import split_name_value
from mta.wire.mail_date import mail_date
from mta.wire.record import (
    REC_TYPE_ATTR,
    REC_TYPE_CONTENT,
    REC_TYPE_END,
    REC_TYPE_ENVELOPE,
    REC_TYPE_ERTO,
    REC_TYPE_EXTRACT,
    REC_TYPE_FILT,
    REC_TYPE_FROM,
    REC_TYPE_MESG,
    REC_TYPE_NORM,
    REC_TYPE_RDR,
    REC_TYPE_RRTO,
    REC_TYPE_TIME,
    REC_TYPE_XTRA,
    RecordError,
    rec_attr_map,
    records,
)
from mta.wire.text import to_bytes, to_text

_DAY = 86400
_SLACK = 2 * 3600
_RWX_OWNER = 0o700
_READ_OTHERS = 0o004
_EOF = -1
_ERROR = -2


class _Stop(Exception):
    """Nothing more is copied.  ``args[0]``: whether the file is to be removed."""


@program("pickup")
class Pickup(Program):
    """Looks at the maildrop queue whenever it is triggered."""

    @classmethod
    def input_directory(cls, conf: Conf) -> str:
        """The maildrop queue."""
        return f"{conf.queue_directory}/maildrop"

    def __init__(self, process: Process) -> None:
        """Reads what ``receive_override_options`` turns off."""
        super().__init__(process)
        options = process.conf.receive_override_options
        try:
            self.transparency = input_transp_mask("receive_override_options", options)
        except NameMaskError as error:
            process.log.fatal(error.args[0])
        self.queue = MailQueue.from_conf(process.conf)
        self.owner = mail_owner(process)

    def serve(self, request: Any) -> Wait[None]:
        """A trigger: goes through the directory until nothing is removed from it any more."""
        files = self.process.system.files
        directory = f"{self.queue.directory}/{MAIL_QUEUE_MAILDROP}"
        removed = True
        while removed:
            removed = False
            for name in files.scan(directory):
                if not mail_queue_id_ok(name):
                    continue
                path = f"{directory}/{name}"
                stat = self._ready(path, name)
                if stat is None:
                    continue
                if (yield from self._file(path, name, stat)):
                    removed |= self._remove(path, name)

    def _ready(self, path: str, name: str) -> Stat | None:
        """Facts about a file that is complete; None for anything else (mail_open_ok)."""
        shown = f"{MAIL_QUEUE_MAILDROP}/{name}"
        log = self.process.log
        try:
            stat = self.process.system.files.stat(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning(f"{shown}: {error.strerror}")
            return None
        if stat.is_dir:
            log.warning(f"{shown}: uid {stat.uid}: not a regular file")
            return None
        return stat if stat.mode & _RWX_OWNER == MAIL_QUEUE_STAT_READY else None

    def _remove(self, path: str, name: str) -> bool:
        try:
            self.process.system.files.remove(path)
        except OSError as error:
            self.process.log.warning(
                f"remove {MAIL_QUEUE_MAILDROP}/{name}: {error.strerror}"
            )
            return False
        return True

    def _file(self, path: str, name: str, stat: Stat) -> Wait[bool]:
        """One file; whether it is to be removed."""
        process = self.process
        try:
            data = process.system.files.read(path)
        except FileNotFoundError:
            return True
        except OSError as error:
            process.log.warning(
                f"open input file {MAIL_QUEUE_MAILDROP}/{name}: {error.strerror}"
            )
            return True
        requeued = stat.uid == self.owner.uid and not stat.mode & _READ_OTHERS
        flags = input_transp_cleanup(
            CLEANUP_FLAG_BOUNCE | CLEANUP_FLAG_MASK_EXTERNAL, self.transparency
        )
        if requeued:
            flags &= ~CLEANUP_FLAG_MILTER
        else:
            flags |= smtputf8_autodetect(process, "sendmail")
        try:
            message = yield from cleanup_open(process, flags, patient=True)
        except Gone:
            return False
        copy = _Copy(process, message, f"{MAIL_QUEUE_MAILDROP}/{name}", stat, requeued)
        stopped: bool | None = None
        try:
            copy.run(data)
        except _Stop as stop:
            # cleanup(8) sees a message without an end, and drops it.
            stopped = bool(stop.args[0])
        try:
            reply = yield from cleanup_finish(process, message)
        except Gone:
            return copy.cleanup_error(CLEANUP_STAT_WRITE, "") if stopped is None else stopped
        if stopped is not None:
            return stopped
        return copy.cleanup_error(reply.status, reply.reason) if reply.status else True


class _Copy:
    """One message on its way to cleanup(8)."""

    def __init__(
        self, process: Process, message: CleanupMessage, path: str, stat: Stat, requeued: bool
    ) -> None:
        self.process = process
        self.message = message
        self.put = message.records.append
        self.path = path
        self.uid = stat.uid
        self.mtime = stat.mtime  #: microseconds
        self.requeued = requeued
        self.sender: str | None = None

    def run(self, data: bytes) -> None:
        """Copies all segments.  Raises _Stop."""
        process, conf, queue_id = self.process, self.process.conf, self.message.queue_id
        self._check_age()
        if conf.content_filter:
            self.put((REC_TYPE_FILT, to_bytes(conf.content_filter)))
        stream = records(data)
        self._segment(stream, REC_TYPE_ENVELOPE)
        if self.sender is None:
            process.log.warning(f"{queue_id}: uid={self.uid}: no envelope sender")
            raise _Stop(True)
        orig = f" orig_id={self.path.rpartition('/')[2]}" if self.requeued else ""
        process.log.info(f"{queue_id}: uid={self.uid} from=<{self.sender}>{orig}")
        self.put((REC_TYPE_MESG, b""))
        date = mail_date(self.mtime, process.system.timezone)
        received = f"Received: by {conf.myhostname} ({conf.mail_name}, from userid {self.uid})"
        self.put((REC_TYPE_NORM, to_bytes(received)))
        self.put((REC_TYPE_NORM, to_bytes(f"\tid {queue_id}; {date}")))
        self._segment(stream, REC_TYPE_CONTENT)
        self.put((REC_TYPE_XTRA, b""))
        self._segment(stream, REC_TYPE_EXTRACT)
        self.put((REC_TYPE_END, b""))

    def _check_age(self) -> None:
        """Files from the future are from now; old ones are worth a word."""
        age = (self.process.now() - self.mtime) // 1_000_000
        log = self.process.log
        if age < -_SLACK:
            log.warning(f"{self.message.queue_id}: message dated {-age} seconds into the future")
            self.mtime = self.process.now()
        elif age > _DAY:
            log.warning(
                f"{self.message.queue_id}: message has been queued for {age // _DAY} days"
            )

    def _segment(self, stream: Any, expected: str) -> None:
        """Copies the records up to the one that ends the segment.  Raises _Stop."""
        content = expected is REC_TYPE_CONTENT
        extract = expected is REC_TYPE_EXTRACT
        limit = self.process.conf.line_length_limit
        first = content
        has_time = False
        while True:
            try:
                _, rec_type, data = next(stream)
            except StopIteration:
                self._read_error(_EOF)
            except RecordError as error:
                self.process.log.warning(f"{self.path}: {error.args[0]}")
                self._read_error(_ERROR)
            if len(data) > limit:
                self.process.log.warning(
                    f"{self.path}: illegal length {len(data)}, record type {ord(rec_type)}"
                )
                self._read_error(_ERROR)
            if rec_type not in expected:
                self._read_error(ord(rec_type))
            if rec_type == expected[0]:
                return
            if rec_type == REC_TYPE_FROM and not content:
                self.sender = to_text(data) if self.sender is None else self.sender
                if not has_time:
                    self.put((REC_TYPE_TIME, b"%d" % (self.mtime // 1_000_000)))
            elif rec_type == REC_TYPE_TIME:
                has_time = True
            if not content and self._is_forgotten(rec_type, data, extract):
                continue
            if first:
                first = False
                if data[:1] in (b" ", b"\t"):
                    # Must not continue our Received header.
                    self.put((REC_TYPE_NORM, b""))
            self.put((rec_type, data))

    @staticmethod
    def _is_forgotten(rec_type: str, data: bytes, extract: bool) -> bool:
        """Records of mail that was in the queue before and does not keep them (postsuper -r)."""
        if rec_type in (REC_TYPE_FILT, REC_TYPE_RDR):
            return True
        if not extract:
            return False
        if rec_type in (REC_TYPE_RRTO, REC_TYPE_ERTO):
            return True
        if rec_type == REC_TYPE_ATTR:
            pair = split_name_value(to_text(data))
            return not isinstance(pair, str) and not rec_attr_map(pair[0])
        return False

    def _read_error(self, rec_type: int) -> NoReturn:
        """The file is damaged, or no queue file at all."""
        self.process.log.warning(
            f"uid={self.uid}: unexpected or malformed record type {rec_type}"
        )
        raise _Stop(True)

    def cleanup_error(self, status: int, reason: str) -> bool:
        """cleanup(8) did not take the message; whether it is to be removed all the same."""
        if not reason:
            self.process.log.warning(
                f"{self.path}: error writing {self.message.queue_id}: {cleanup_strerror(status)}"
            )
        return bool(status & (CLEANUP_STAT_BAD | CLEANUP_STAT_RCPT))
