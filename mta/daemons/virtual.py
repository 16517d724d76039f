"""virtual(8) - the delivery agent for mailboxes of domains that have no accounts here.

DESCRIPTION
    Finds a recipient's mailbox, and the numbers of the user and group that own it, in tables:
    ``virtual_mailbox_maps``, ``virtual_uid_maps``, ``virtual_gid_maps``.  The path is below
    ``virtual_mailbox_base``; one that ends in ``/`` is a maildir.  There are no aliases, forward
    files, commands or extensions of addresses here, other than those that the tables know.

DIAGNOSTICS
    ``status=sent (delivered to mailbox)`` or ``maildir``; ``status=bounced (unknown user: "…")``.
    A mistake in the configuration is a warning, and mail waits.

CONFIGURATION PARAMETERS
    deliver_lock_attempts, deliver_lock_delay, message_size_limit, smtputf8_enable, stale_lock_time,
    strict_mailbox_ownership, virtual_delivery_status_filter, virtual_gid_maps,
    virtual_mailbox_base, virtual_mailbox_limit, virtual_mailbox_lock, virtual_mailbox_maps,
    virtual_minimum_uid, virtual_uid_maps
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mta.dict.errors import TableError
from mta.dict.flags import DICT_FLAG_LOCK, DICT_FLAG_PARANOID, DICT_FLAG_UTF8_REQUEST
from mta.lib.deliver_completed import deliver_completed
from mta.lib.delivery_status import bounce_append, defer_append, sent
from mta.lib.dsn_filter import set_dsn_filter
from mta.lib.mail_addr_find import mail_addr_find
from mta.lib.mail_copy import (
    MAIL_COPY_DELIVERED,
    MAIL_COPY_MBOX,
    MAIL_COPY_ORIG_RCPT,
    MAIL_COPY_RETURN_PATH,
    MAIL_COPY_TOFILE,
    CorruptError,
    check_file_limit,
    mail_copy,
)
from mta.lib.maildir import maildir_deliver
from mta.lib.maps import Maps
from mta.lib.mbox import (
    Mbox,
    MboxError,
    mbox_append,
    mbox_lock_mask,
    mbox_open,
    mbox_release,
    prepend,
)
from mta.lib.recipient import Recipient
from mta.lib.requests import (
    DEL_REQ_FLAG_SUCCESS,
    DEL_REQ_TRACE_FLAGS_MASK,
    DEL_REQ_TRACE_ONLY_MASK,
    DeliverReply,
    DeliverRequest,
)
from mta.lib.table_changes import must_begin_anew
from mta.lib.user_files import UserFiles
from mta.master.server import Process, Program, program
from mta.system import Wait
from mta.util.casefold import casefold
from mta.wire.dsn import Dsn

_FLAGS = DICT_FLAG_LOCK | DICT_FLAG_PARANOID | DICT_FLAG_UTF8_REQUEST
_NUMBER = re.compile(r"\s*([-+]?\d+)")
_MISCONFIGURED = Dsn("4.3.5", "mail system configuration error")


class Box(NamedTuple):
    """A mailbox and the numbers of its owner."""

    path: str
    uid: int
    gid: int


class _Misconfigured(Exception):
    """The tables are no good; the warning has been logged."""


@program("virtual")
class Virtual(Program):
    """One process of virtual(8)."""

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        limit, message = process.conf.virtual_mailbox_limit, process.conf.message_size_limit
        if limit and (limit < message or message == 0):
            process.log.fatal(
                "main.cf configuration error: virtual_mailbox_limit is smaller than "
                "message_size_limit"
            )
        self._begin()

    def _begin(self) -> None:
        process, conf = self.process, self.process.conf
        name = "virtual_delivery_status_filter"
        set_dsn_filter(process, name, conf.virtual_delivery_status_filter)
        self.mailbox_maps = Maps(process, "virtual_mailbox_maps", conf.virtual_mailbox_maps, _FLAGS)
        self.uid_maps = Maps(process, "virtual_uid_maps", conf.virtual_uid_maps, _FLAGS)
        self.gid_maps = Maps(process, "virtual_gid_maps", conf.virtual_gid_maps, _FLAGS)
        self.lock_mask = mbox_lock_mask(process, "virtual_mailbox_lock", conf.virtual_mailbox_lock)

    def serve(self, request: DeliverRequest) -> Wait[DeliverReply]:
        """Delivers to the recipients of a request, one after the other."""
        process = self.process
        if must_begin_anew(process):
            self._begin()
        deferred = False
        for recipient in request.recipients:
            done = yield from Delivery(self, request, recipient).deliver()
            if not done:
                deferred = True
            elif request.flags & DEL_REQ_FLAG_SUCCESS:
                deliver_completed(request.file, recipient.offset)
        return DeliverReply(deferred)


class Delivery:
    """One recipient."""

    def __init__(self, agent: Virtual, request: DeliverRequest, recipient: Recipient) -> None:
        self.agent = agent
        self.process = agent.process
        self.request = request
        self.recipient = recipient
        self.user = casefold(recipient.address, bool(agent.process.conf.smtputf8_enable))

    def deliver(self) -> Wait[bool]:
        """Delivers; whether the recipient is finished."""
        try:
            box = yield from self._find()
        except _Misconfigured:
            return (yield from self._fail(_MISCONFIGURED))
        if box is None:
            return (yield from self._fail(Dsn("5.1.1", f'unknown user: "{self.user}"')))
        kind = "maildir" if box.path.endswith("/") else "mailbox"
        if self.request.flags & DEL_REQ_TRACE_ONLY_MASK:
            return (yield from self._sent(f"delivers to {kind}"))
        limit = self.process.conf.virtual_mailbox_limit
        check_file_limit(self.process, self.request, limit)
        try:
            if kind == "maildir":
                failure = yield from self._maildir(box, limit)
            else:
                failure = yield from self._mailbox(box, limit)
        except CorruptError:
            return False
        if failure is not None:
            return (yield from self._fail(failure))
        return (yield from self._sent(f"delivered to {kind}"))

    # -- tables -------------------------------------------------------------------------------

    def _find(self) -> Wait[Box | None]:
        """The mailbox of the recipient; None where there is none.  Raises _Misconfigured."""
        conf, log, agent = self.process.conf, self.process.log, self.agent
        if not conf.virtual_mailbox_base.startswith("/"):
            log.fatal(
                "do not specify relative pathname: virtual_mailbox_base = "
                f"{conf.virtual_mailbox_base}"
            )
        try:
            found = yield from mail_addr_find(self.process, agent.mailbox_maps, self.user)
        except TableError as error:
            log.warning(f"table {agent.mailbox_maps.title}: lookup {self.user}: Success")
            raise _Misconfigured from error
        if found is None:
            return None
        path = f"{conf.virtual_mailbox_base}/{found.value}"
        uid = yield from self._number(agent.uid_maps, "uid", conf.virtual_minimum_uid)
        gid = yield from self._number(agent.gid_maps, "gid", 1)
        return Box(path, uid, gid)

    def _number(self, maps: Maps, what: str, least: int) -> Wait[int]:
        """The number of a user or group.  Raises _Misconfigured."""
        warn = self.process.log.warning
        try:
            found = yield from mail_addr_find(self.process, maps, self.user)
        except TableError:
            found = None
        if found is None:
            warn(f"recipient {self.user}: not found in {maps.title}")
            raise _Misconfigured
        match = _NUMBER.match(found.value)
        number = int(match[1]) if match else 0
        if number < least:
            warn(f"recipient {self.user}: bad {what} {found.value} in {maps.title}")
            raise _Misconfigured
        return number

    # -- files --------------------------------------------------------------------------------

    def _copy(self, flags: int) -> bytes:
        """The message.  Raises CorruptError."""
        return mail_copy(
            self.process,
            self.request,
            flags,
            sender=self.request.sender,
            orig_rcpt=self.recipient.orig_addr,
            delivered=self.recipient.address,
        )

    def _files(self, box: Box) -> UserFiles:
        return UserFiles(self.process.system.files, box.uid, box.gid)

    def _maildir(self, box: Box, limit: int) -> Wait[Dsn | None]:
        """Why a maildir could not be delivered to, or None.  Raises CorruptError."""
        flags = MAIL_COPY_TOFILE | MAIL_COPY_RETURN_PATH | MAIL_COPY_DELIVERED
        data = self._copy(flags | MAIL_COPY_ORIG_RCPT)
        files = self._files(box)
        return (yield from maildir_deliver(self.process, files, box.path, data, limit, "4.2.0"))

    def _mailbox(self, box: Box, limit: int) -> Wait[Dsn | None]:
        """Why a mailbox file could not be written, or None.  Raises CorruptError."""
        process, text = self.process, f"delivery failed to mailbox {box.path}: "
        try:
            mbox = yield from mbox_open(
                process, self._files(box), box.path, self.agent.lock_mask, "4.2.0"
            )
        except MboxError as error:
            return prepend(text, error.dsn)
        try:
            failure = self._unfit(box, mbox)
            if failure is None:
                data = self._copy(MAIL_COPY_MBOX)
                failure = yield from mbox_append(process, mbox, data, limit)
        finally:
            mbox_release(process, mbox)
        return None if failure is None else prepend(text, failure)

    def _unfit(self, box: Box, mbox: Mbox) -> Dsn | None:
        """Why mail must not go into a file, or None."""
        warn = self.process.log.warning
        if not mbox.regular:
            warn(
                f"recipient {self.recipient.address}: destination {box.path} is not a regular file"
            )
            return Dsn("5.3.5", "mail system configuration error")
        if self.process.conf.strict_mailbox_ownership and mbox.file.uid != box.uid:
            warn('specify "strict_mailbox_ownership = no" to ignore mailbox ownership mismatch')
            return Dsn("4.2.0", f"destination {box.path} is not owned by recipient")
        return None

    # -- what becomes of the recipient --------------------------------------------------------

    def _sent(self, reason: str) -> Wait[bool]:
        return sent(
            self.process,
            self.request.flags & DEL_REQ_TRACE_FLAGS_MASK,
            self.request.queue_id,
            self.request.stats,
            self.recipient,
            self.process.service,
            Dsn("2.0.0", reason),
        )

    def _fail(self, dsn: Dsn) -> Wait[bool]:
        report = defer_append if dsn.status.startswith("4") else bounce_append
        return report(
            self.process,
            self.request.flags & DEL_REQ_TRACE_FLAGS_MASK,
            self.request.queue_id,
            self.request.stats,
            self.recipient,
            self.process.service,
            dsn,
        )
