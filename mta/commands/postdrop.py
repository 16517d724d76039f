"""postdrop(1) - puts a user's mail into the maildrop queue.

DESCRIPTION
    sendmail(1) writes a message to postdrop(1) as queue file records; users may do so, too.
    postdrop(1) has the right to write to the ``maildrop`` directory, lets through what users may
    say, and wakes pickup(8).

CONFIGURATION PARAMETERS
    authorized_submit_users, enable_long_queue_ids, line_length_limit, message_size_limit,
    pickup_service_name, queue_directory, setgid_group
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mta.commands.command import Command, command
from mta.lib.mail_owner import mail_owner
from mta.lib.mail_queue import MAIL_QUEUE_MAILDROP, MailQueue, mail_queue_id
from mta.lib.requests import (
    CLEANUP_STAT_BAD,
    CLEANUP_STAT_OK,
    CLEANUP_STAT_SIZE,
    CLEANUP_STAT_WRITE,
)
from mta.lib.user_acl import user_in_acl
from mta.master.server import Process
from mta.system import Account, Fatal, Wait
from mta.util.scalars import split_name_value
from mta.wire.record import (
    REC_TYPE_ATTR,
    REC_TYPE_END,
    REC_TYPE_FROM,
    REC_TYPE_POST_CONTENT,
    REC_TYPE_POST_ENVELOPE,
    REC_TYPE_POST_EXTRACT,
    REC_TYPE_RCPT,
    REC_TYPE_TIME,
    RecordError,
    encode_time,
    get,
    put,
    rec_attr_map,
)
from mta.wire.text import cut, to_bytes, to_text

Records = Iterable[tuple[str, bytes]]

USAGE = "usage: postdrop [-c config_dir] [-v]"
_SEGMENTS = (REC_TYPE_POST_ENVELOPE, REC_TYPE_POST_CONTENT, REC_TYPE_POST_EXTRACT)
_MODE = 0o744
_VALUES = {
    "encoding": ("7bit", "8bit", ""),
    "rewrite_context": ("local", "remote"),
}
_ANY_VALUE = ("envelope_id", "notify_flags", "trace_flags")


@command("postdrop")
def postdrop_command(cmd: Command) -> Wait[int]:
    """The command: records come from standard input."""
    for _ in cmd.options("c:rv", USAGE):
        pass
    process = cmd.process
    refused = yield from submit_refused(cmd)
    if refused is not None:
        cmd.fatal(1, refused)
    try:
        records = list(_read(process, cmd.stdin, cmd.user.uid))
    except RecordError:
        process.log.fatal(f"uid={cmd.user.uid}: malformed input")
    status = yield from postdrop(process, cmd.user, records)
    return 0 if status is None else status


def submit_refused(cmd: Command) -> Wait[str | None]:
    """Why the user may not submit mail (``authorized_submit_users``), or None."""
    acl: str = cmd.process.conf.authorized_submit_users
    if acl.startswith("static:"):
        return None
    user = cmd.user
    if (yield from user_in_acl(cmd.process, "authorized_submit_users", acl, user.name)):
        return None
    return f"User {user.name}({user.uid}) is not allowed to submit mail"


def _read(process: Process, data: bytes, uid: int) -> Iterator[tuple[str, bytes]]:
    limit = process.conf.line_length_limit
    offset = 0
    while (record := get(data, offset)) is not None:
        rec_type, value, offset = record
        if len(value) > limit:
            raise RecordError(f"illegal length {len(value)}, record type {ord(rec_type)}")
        yield rec_type, value


class Drop:
    """A file in the maildrop queue that is being written."""

    def __init__(self, process: Process, user: Account) -> None:
        """Makes the file.  Raises OSError."""
        files = process.system.files
        self.process = process
        self.user = user
        self.started = process.now()
        group = process.system.accounts.group(process.conf.setgid_group) or 0
        queue = MailQueue.from_conf(process.conf)
        directory = f"{queue.directory}/{MAIL_QUEUE_MAILDROP}"
        temporary = f"{directory}/{self.started % 1_000_000}.{process.pid}"
        try:
            self.file = files.create(temporary, 0o644, user.uid, group)
        except FileNotFoundError:
            files.mkdir(directory, 0o730, mail_owner(process).uid, group)
            self.file = files.create(temporary, 0o644, user.uid, group)
        self.queue_id = mail_queue_id(
            self.started, self.file.inode, process.conf.enable_long_queue_ids
        )
        self.path = queue.path(MAIL_QUEUE_MAILDROP, self.queue_id)
        files.rename(temporary, self.path)

    def abort(self) -> None:
        """Forgets the message."""
        self.process.system.files.remove(self.path)

    def finish(self, records: Records) -> Wait[int | None]:
        """Writes the message and wakes pickup(8).

        Returns CLEANUP_STAT_*; None where the records end too early, and the message is forgotten.
        Raises Fatal where they make no sense.
        """
        process = self.process
        log, conf, files = process.log, process.conf, process.system.files
        uid = self.user.uid
        data = bytearray()
        put(data, REC_TYPE_TIME, encode_time(self.started))
        try:
            seen = _filter(process, uid, records, data)
        except Fatal:
            self.abort()
            raise
        if seen is None:
            self.abort()
            return None
        if 0 < conf.message_size_limit < len(data):
            log.warning(f"uid={uid}: File too large")
            self.abort()
            return CLEANUP_STAT_SIZE
        if not (seen[REC_TYPE_FROM] and seen[REC_TYPE_RCPT]):
            # The file stays, and is never looked at.
            return CLEANUP_STAT_BAD
        self.file.data += data
        files.touch(self.file, process.now())
        self.file.mode = _MODE
        try:
            yield files.sync(self.file)
        except OSError as error:
            log.warning(f"uid={uid}: {error.strerror}")
            self.abort()
            return CLEANUP_STAT_WRITE
        process.trigger(conf.pickup_service_name, b"W")
        return CLEANUP_STAT_OK


def postdrop(process: Process, user: Account, records: Records) -> Wait[int | None]:
    """A whole message; see :meth:`Drop.finish`."""
    try:
        drop = Drop(process, user)
    except OSError as error:
        process.log.warning(
            f"mail_queue_enter: create file {MAIL_QUEUE_MAILDROP}: {error.strerror}"
        )
        return CLEANUP_STAT_WRITE
    return (yield from drop.finish(records))


def _filter(
    process: Process, uid: int, records: Records, data: bytearray
) -> dict[str, int] | None:
    """Puts what is allowed into the queue file.  Returns how many senders and recipients there are;
    None where the end is missing.  Raises Fatal.
    """
    seen = {REC_TYPE_FROM: 0, REC_TYPE_RCPT: 0}
    segment = 0
    for rec_type, value in records:
        expected = _SEGMENTS[segment]
        if rec_type not in expected:
            process.log.fatal(f"uid={uid}: unexpected record type: {ord(rec_type)}")
        if rec_type == REC_TYPE_TIME:
            continue
        if rec_type in seen:
            seen[rec_type] += 1
        if rec_type == REC_TYPE_ATTR:
            _attribute(process, uid, value, data)
            continue
        put(data, rec_type, value)
        if rec_type == REC_TYPE_END:
            return seen
        if rec_type == expected[0]:
            segment += 1
    return None


def _attribute(process: Process, uid: int, value: bytes, data: bytearray) -> None:
    """Only some attributes are a user's business."""
    text = to_text(value)
    pair = split_name_value(text)
    if isinstance(pair, str):
        process.log.warning(f"uid={uid}: ignoring malformed record: {pair}: {cut(text, 200)}")
        return
    name, content = pair
    if name in _ANY_VALUE or rec_attr_map(name) or content in _VALUES.get(name, ()):
        put(data, REC_TYPE_ATTR, to_bytes(f"{name}={content}"))
    else:
        process.log.warning(
            f"uid={uid}: ignoring attribute record: {cut(name, 200)}={cut(content, 200)}"
        )
