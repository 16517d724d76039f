"""cleanup(8) - puts mail into a form that the queue manager can rely on, and into the queue.

DESCRIPTION
    All mail comes through here: from smtpd(8), from pickup(8), from programs of the mail system
    itself.  A client asks for a queue file (CleanupOpen), gathers the records of its message, and
    hands them over (CleanupMessage).  cleanup(8) then

    * brings addresses into ``user@fully.qualified.domain`` form with trivial-rewrite(8), in the
      envelope and, for mail from local clients, in headers;
    * adds headers that are missing, and removes some that should not be there;
    * maps addresses by canonical tables and masquerading, expands recipients by virtual aliases,
      adds automatic copies, and drops duplicates;
    * checks headers and body against tables;
    * shows local mail to milters, and edits the queue file as they wish;
    * writes the queue file, brings it to the disk, and wakes the queue manager.

    When the message cannot be accepted the client is told why; or, where the client wants it so,
    the mail goes back to its sender.

DIAGNOSTICS
    ``QUEUEID: message-id=...`` for every message.  Troubles are warnings; what checks decide is
    logged as ``QUEUEID: reject: header ...`` and the like.

CONFIGURATION PARAMETERS
    always_add_missing_headers, always_bcc, body_checks, body_checks_size_limit, canonical_classes,
    canonical_maps, delay_warning_time, detect_8bit_encoding_header, disable_mime_input_processing,
    disable_verp_bounces, duplicate_filter_limit, empty_address_recipient,
    enable_long_queue_ids, enable_original_recipient, header_address_token_limit, header_checks,
    header_size_limit, hopcount_limit, in_flow_delay, line_length_limit, masquerade_classes,
    masquerade_domains, masquerade_exceptions,
    message_drop_headers, message_reject_characters, message_size_limit,
    message_strip_characters, milter_header_checks, milter_macro_daemon_name,
    milter_macro_v, mime_boundary_length_limit, mime_header_checks,
    mime_nesting_limit, myhostname, nested_header_checks, non_smtpd_milters,
    propagate_unmatched_extensions, queue_file_attribute_count_limit, queue_service_name,
    recipient_bcc_maps, recipient_canonical_classes, recipient_canonical_maps,
    remote_header_rewrite_domain, sender_bcc_maps, sender_canonical_classes,
    sender_canonical_maps, smtputf8_enable, strict_7bit_headers, strict_8bitmime,
    strict_8bitmime_body, strict_mime_encoding_domain, undisclosed_recipients_header,
    verp_delimiter_filter, virtual_alias_address_length_limit, virtual_alias_expansion_limit,
    virtual_alias_maps, virtual_alias_recursion_limit
"""

from __future__ import annotations

import errno
from typing import Any

from mta.cleanup.bounce import cleanup_bounce
from mta.cleanup.envelope import envelope
from mta.cleanup.extracted import extracted
from mta.cleanup.message import message
from mta.cleanup.milter import disconnect, emul_data, inspect, receive
from mta.cleanup.state import (
    CLEANUP_FLAG_END_SEEN,
    CLEANUP_STAT_MASK_CANT_BOUNCE,
    State,
)
from mta.cleanup.tables import Tables
from mta.lib.bounce_log import bounce_log_path
from mta.lib.mail_owner import mail_owner
from mta.lib.mail_queue import (
    MAIL_QUEUE_BOUNCE,
    MAIL_QUEUE_DEFER,
    MAIL_QUEUE_HOLD,
    MAIL_QUEUE_INCOMING,
    MAIL_QUEUE_TRACE,
    mail_queue_id,
)
from mta.lib.requests import (
    CLEANUP_FLAG_BOUNCE,
    CLEANUP_FLAG_DISCARD,
    CLEANUP_FLAG_HOLD,
    CLEANUP_FLAG_SMTP_REPLY,
    CLEANUP_STAT_BAD,
    CLEANUP_STAT_RCPT,
    CLEANUP_STAT_SIZE,
    CLEANUP_STAT_WRITE,
    CleanupMessage,
    CleanupOpen,
    CleanupReply,
)
from mta.lib.table_changes import must_begin_anew
from mta.master.server import Process, Program, program
from mta.system import Fatal, File, Panic, Wait
from mta.wire.record import SizeRecord, encode_size

_LOGS = (MAIL_QUEUE_DEFER, MAIL_QUEUE_BOUNCE, MAIL_QUEUE_TRACE)
#: Where the numbers of the size record are: after its type and length.
_SIZE_OFFSET = 2
_SIZE_LENGTH = len(encode_size(SizeRecord()))


@program("cleanup")
class Cleanup(Program):
    """Answers CleanupOpen with a CleanupMessage, and that with a CleanupReply."""

    def __init__(self, process: Process) -> None:
        """Opens the tables."""
        super().__init__(process)
        self.tables = Tables(process)
        owner = mail_owner(process)
        self.uid, self.gid = owner.uid, owner.gid

    def serve(self, request: Any) -> Wait[CleanupMessage | CleanupReply]:
        """Serves a client."""
        if isinstance(request, CleanupOpen):
            self._restart_if_changed()
            yield from self._slow_down()
            return (yield from self._open(request.flags))
        if isinstance(request, CleanupMessage):
            return (yield from self._process(request))
        self.process.log.panic(f"unexpected request: {type(request).__name__}")

    def _restart_if_changed(self) -> None:
        """A process ends when one of its tables has changed; so we begin anew."""
        if must_begin_anew(self.process):
            self.tables = Tables(self.process)

    def _slow_down(self) -> Wait[None]:
        """Takes a token of the queue manager's; where there is none, mail comes faster than it can
        be delivered, and its client has to wait for ``in_flow_delay``.
        """
        master, conf = self.process.master, self.process.conf
        if master.flow_tokens > 0:
            master.flow_tokens -= 1
        elif conf.in_flow_delay and conf.queue_service_name in master.services:
            yield self.process.system.sleep(conf.in_flow_delay)

    # -- the queue file

    def _open(self, flags: int) -> Wait[CleanupMessage]:
        """Makes the queue file (mail_stream_file).  While there is no room it waits and warns."""
        process, files, queue = self.process, self.process.system.files, self.tables.queue
        while True:
            now = process.now()
            temporary = f"{MAIL_QUEUE_INCOMING}/{now % 1_000_000}.{process.pid}"
            try:
                file = self._create(f"{queue.directory}/{temporary}")
                break
            except OSError as error:
                process.log.warning(
                    f"mail_queue_enter: create file {temporary}: {error.strerror}"
                )
                yield process.system.sleep(10)
        queue_id = mail_queue_id(now, file.inode, process.conf.enable_long_queue_ids)
        path = queue.path(MAIL_QUEUE_INCOMING, queue_id)
        try:
            files.rename(f"{queue.directory}/{temporary}", path)
        except FileNotFoundError:
            queue.mkdirs(files, path, self.uid, self.gid)
            files.rename(f"{queue.directory}/{temporary}", path)
        for name in _LOGS:
            self._remove_spurious(name, queue_id)
        return CleanupMessage(queue_id, flags, [], file, now)

    def _create(self, path: str) -> File:
        files = self.process.system.files
        try:
            return files.create(path, 0o600, self.uid, self.gid)
        except FileNotFoundError:
            self.tables.queue.mkdirs(files, path, self.uid, self.gid)
            return files.create(path, 0o600, self.uid, self.gid)

    def _remove_spurious(self, name: str, queue_id: str) -> None:
        """A logfile under a queue id that is new is of no use."""
        path = self.tables.queue.path(name, queue_id)
        if self.process.system.files.exists(path):
            self.process.system.files.remove(path)
            self.process.log.warning(f"{name}: removed spurious {queue_id} log")

    def _lose_milters(self) -> None:
        """The process dies, and its connections with it."""
        if self.tables.milters is not None:
            self.tables.milters.lose()

    # -- the message

    def _process(self, request: CleanupMessage) -> Wait[CleanupReply]:
        assert request.file is not None
        state = State(self.process, self.tables, request, request.file)
        if request.milters is not None:
            receive(state, request.milters)
        try:
            yield from self._segments(state, request.records)
            yield from self._flush(state)
        except Fatal:
            self._drop(state)
            self._lose_milters()
            raise
        except Panic:
            self._lose_milters()
            raise
        if self.tables.milters is not None and state.milters is None:
            yield from disconnect(state, self.tables.milters)
        reason = state.reason
        if state.flags & CLEANUP_FLAG_SMTP_REPLY and state.smtp_reply is not None:
            reason = state.smtp_reply
        return CleanupReply(state.errs, reason or "")

    def _segments(self, state: State, records: list[tuple[str, bytes]]) -> Wait[None]:
        """Envelope, content, and what comes after it.  Where one ends too early, all ends."""
        index = yield from envelope(state, records)
        if index >= 0:
            index = yield from message(state, records, index)
        if index >= 0:
            yield from extracted(state, records, index)
        if state.ok and not state.flags & CLEANUP_FLAG_END_SEEN:
            # The client went away.
            state.errs |= CLEANUP_STAT_BAD

    def _flush(self, state: State) -> Wait[None]:
        """Finishes the queue file, or removes it (cleanup_flush)."""
        if state.ok and state.recip is None:
            state.errs |= CLEANUP_STAT_RCPT
        if state.flags & CLEANUP_FLAG_DISCARD:
            # Whoever says DISCARD wants the client to believe in success.
            state.errs = 0
        if state.milter_ok:
            yield from self._milters(state)
        if state.ok:
            self._final(state)
        if (
            state.errs
            and not state.errs & CLEANUP_STAT_MASK_CANT_BOUNCE
            and state.sender is not None
            and state.flags & CLEANUP_FLAG_BOUNCE
        ):
            yield from cleanup_bounce(state)
        if not state.errs and not state.flags & CLEANUP_FLAG_DISCARD:
            yield from self._finish(state)
        if state.errs or state.flags & CLEANUP_FLAG_DISCARD:
            self._drop(state)

    def _milters(self, state: State) -> Wait[None]:
        if state.milters is not None:
            yield from inspect(state, state.milters)
        elif state.tables.milters is not None:
            yield from emul_data(state, state.tables.milters)
            if state.milter_ok:
                yield from inspect(state, state.tables.milters)

    def _final(self, state: State) -> None:
        """Fills in the size record (cleanup_final)."""
        if len(state.out) > state.size_limit:
            state.too_big()
            return
        size = SizeRecord(
            state.xtra_offset - state.data_offset,
            state.data_offset,
            state.rcpt_count,
            state.qmgr_opts,
            state.cont_length,
            state.smtputf8,
        )
        state.out[_SIZE_OFFSET : _SIZE_OFFSET + _SIZE_LENGTH] = encode_size(size)

    def _finish(self, state: State) -> Wait[None]:
        """Brings the file to the disk and tells the queue manager (mail_stream_finish)."""
        process = self.process
        files = process.system.files
        if state.flags & CLEANUP_FLAG_HOLD:
            state.queue_name = MAIL_QUEUE_HOLD
            self.process.master.flow_tokens += 1  # the queue manager has no work with it
            try:
                self.tables.queue.rename(
                    files, state.queue_id, MAIL_QUEUE_INCOMING, MAIL_QUEUE_HOLD, self.uid, self.gid
                )
            except OSError as error:
                process.log.fatal(
                    f"{state.queue_id}: move to {MAIL_QUEUE_HOLD} queue failed: {error.strerror}"
                )
        file = state.file
        files.touch(file, process.now())
        file.mode = 0o700
        try:
            yield files.sync(file)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                # The kernel says so at a write(2) before.
                state.warn(f"write queue file: {error.strerror}")
            state.errs |= CLEANUP_STAT_SIZE if error.errno == errno.EFBIG else CLEANUP_STAT_WRITE
            return
        if state.queue_name == MAIL_QUEUE_INCOMING:
            process.trigger(process.conf.queue_service_name, b"I")

    def _drop(self, state: State) -> None:
        """Removes the queue file, and the trace logfile that we have written."""
        files = self.process.system.files
        if state.traced:
            path = bounce_log_path(self.process, MAIL_QUEUE_TRACE, state.queue_id)
            if files.exists(path):
                files.remove(path)
        path = self.tables.queue.path(state.queue_name, state.queue_id)
        try:
            files.remove(path)
        except OSError as error:
            shown = self.tables.queue.name(state.queue_name, state.queue_id)
            self.process.log.warning(f"remove {shown}: {error.strerror}")
