"""postcat(1) - shows what is in queue files.

DESCRIPTION
    Each file named is shown record by record; without one, standard input is.  ``-e`` shows the
    envelope, ``-h`` the header and ``-b`` the body of the message, and without any of them all is
    shown.  ``-q`` takes the names for queue ids and looks for them in the queue.  ``-o`` puts the
    place in the file before each record, ``-d`` the number of its type.  With ``-v`` jumps,
    padding and the names of text records show too.

DIAGNOSTICS
    A file that cannot be read to its end is fatal; what is merely odd is warned of.

CONFIGURATION PARAMETERS
    hash_queue_depth, hash_queue_names, queue_directory
"""

from __future__ import annotations

from dataclasses import dataclass

from mta.commands.command import Command, command
from mta.dict.process import absolute_path
from mta.lib.mail_queue import (
    MAIL_QUEUE_ACTIVE,
    MAIL_QUEUE_DEFERRED,
    MAIL_QUEUE_HOLD,
    MAIL_QUEUE_INCOMING,
    MAIL_QUEUE_MAILDROP,
    MAIL_QUEUE_SAVED,
    MailQueue,
    mail_queue_id_ok,
)
from mta.system import Wait
from mta.util.scalars import split_name_value
from mta.wire.header_opts import is_header_buf
from mta.wire.mail_date import asctime
from mta.wire.record import (
    REC_TYPE_ATTR,
    REC_TYPE_CONT,
    REC_TYPE_DTXT,
    REC_TYPE_END,
    REC_TYPE_ENVELOPE,
    REC_TYPE_MESG,
    REC_TYPE_NORM,
    REC_TYPE_PTR,
    REC_TYPE_SIZE,
    REC_TYPE_TIME,
    REC_TYPE_WARN,
    REC_TYPE_XTRA,
    RecordError,
    decode_ptr,
    decode_size,
    decode_time,
    decode_warn,
    get,
    rec_type_name,
)
from mta.wire.text import c_string, cut, to_text

USAGE = (
    "usage: {} [-b (body text)] [-c config_dir] [-d (decimal record type)]"
    " [-e (envelope records)] [-h (header text)] [-q (access queue)] [-v] [file(s)...]"
)
#: Where ``-q`` looks, in order.
_QUEUES = (
    MAIL_QUEUE_MAILDROP,
    MAIL_QUEUE_INCOMING,
    MAIL_QUEUE_ACTIVE,
    MAIL_QUEUE_DEFERRED,
    MAIL_QUEUE_HOLD,
    MAIL_QUEUE_SAVED,
)
_PARTS = {"e": "envelope", "h": "header", "b": "body"}
_MARKERS = {
    REC_TYPE_MESG: "MESSAGE CONTENTS",
    REC_TYPE_XTRA: "HEADER EXTRACTED",
    REC_TYPE_END: "MESSAGE FILE END",
}
_REVERSE_JUMP_LIMIT = 10000
_SECOND = 1_000_000


@command("postcat")
def postcat(cmd: Command) -> Wait[int]:
    """Shows the files of the command line."""
    shown: set[str] = set()
    letters = ""
    for letter, _ in cmd.options("bc:dehoqv", USAGE.format(cmd.name)):
        letters += letter
        if letter in _PARTS:
            shown.add(_PARTS[letter])
    for name, data in _files(cmd, "q" in letters):
        _File(cmd, name, data, shown or set(_PARTS.values()), letters).show()
    return 0
    yield


def _files(cmd: Command, search: bool) -> list[tuple[str, bytes]]:
    """Names and contents of what is to be shown."""
    if not cmd.args:
        return [("stdin", cmd.stdin)]
    return [_in_queue(cmd, name) if search else _named(cmd, name) for name in cmd.args]


def _named(cmd: Command, name: str) -> tuple[str, bytes]:
    try:
        return name, cmd.process.system.files.read(absolute_path(cmd.process, name))
    except OSError as error:
        cmd.process.log.fatal(f"open {name}: {error.strerror}")


def _in_queue(cmd: Command, queue_id: str) -> tuple[str, bytes]:
    process = cmd.process
    if not mail_queue_id_ok(queue_id):
        process.log.fatal(f"bad mail queue ID: {queue_id}")
    queue = MailQueue.from_conf(process.conf)
    why = ""
    for name in _QUEUES:
        try:
            file = queue.open(process.system.files, name, queue_id)
        except OSError as error:
            why = error.strerror or str(error)
        else:
            return queue.name(name, queue_id), bytes(file.data)
    return process.log.fatal(f"open queue file {queue_id}: {why}")


@dataclass(slots=True)
class _File:
    """One file, and how far it is shown."""

    cmd: Command
    name: str
    data: bytes
    shown: set[str]  #: of envelope, header, body
    letters: str
    part: str = "envelope"
    offset: int = 0
    size_record: tuple[int, int] | None = None  #: size and place of the content
    unfinished: bool = False  #: the last thing shown was a part of a line
    last_jump: int = 0
    reverse_jumps: int = 0

    @property
    def verbose(self) -> bool:
        return "v" in self.letters

    @property
    def printing(self) -> bool:
        return self.part in self.shown

    def warning(self, text: str) -> None:
        self.cmd.process.log.warning(text)

    def show(self) -> None:
        """The whole file.  Raises Fatal."""
        data = self.data
        if not data:
            return
        if chr(data[0]) not in REC_TYPE_ENVELOPE:
            self.warning(f"{self.name}: input is not a valid queue file")
            return
        if self.printing:
            self.cmd.write(f"*** ENVELOPE RECORDS {self.name} ***\n")
        while (record := self.next()) is not None:
            if not self.record(*record):
                break

    def next(self) -> tuple[int, str, bytes] | None:
        """The next record: its place, type and data; what only leads on is passed over unless
        the command is verbose.
        """
        try:
            while (found := get(self.data, self.offset)) is not None:
                place = self.offset
                rec_type, value, self.offset = found
                if rec_type == REC_TYPE_PTR and not self.verbose:
                    self.jump(value)
                elif rec_type != REC_TYPE_DTXT or self.verbose:
                    return place, rec_type, value
        except RecordError as error:
            self.warning(f"{self.name}: {error.args[0]}")
            self.cmd.process.log.fatal("record read error")
        return None

    def jump(self, value: bytes) -> None:
        """Goes where a pointer record points.  Raises RecordError."""
        target = decode_ptr(value)
        if not target:
            return
        if target <= self.last_jump:
            self.reverse_jumps += 1
            if self.reverse_jumps > _REVERSE_JUMP_LIMIT:
                raise RecordError("too many reverse jump records")
        self.last_jump = self.offset = target

    def record(self, place: int, rec_type: str, value: bytes) -> bool:
        """Takes one record; whether there is more to show."""
        if rec_type in (REC_TYPE_CONT, REC_TYPE_NORM):
            if self.begins_body(value) and not self.enter_body():
                return False
        elif rec_type in _MARKERS:
            return self.marker(place, rec_type)
        elif rec_type == REC_TYPE_PTR:
            self.plain(place, rec_type, value)
            try:
                self.jump(value)
            except RecordError as error:
                self.warning(f"{self.name}: {error.args[0]}")
                self.cmd.process.log.fatal("bad pointer record, or input is not seekable")
            return True
        elif rec_type == REC_TYPE_SIZE:
            self.plain(place, rec_type, value)
            self.take_size(value)
            return True
        if self.printing:
            self.visible(place, rec_type, value)
        return True

    # -- where in the message we are

    def begins_body(self, value: bytes) -> bool:
        """Whether a text record is the first line that is no header."""
        return (
            self.part == "header"
            and bool(self.shown & {"header", "body"})
            and not self.unfinished
            and not is_header_buf(value)
            and value[:1] not in (b" ", b"\t")
        )

    def enter_body(self) -> bool:
        """The header is over; whether anything is left to show."""
        self.part = "body"
        if self.printing:
            return True
        if "envelope" not in self.shown:
            return False
        self.skip_content()
        return True

    def skip_content(self) -> None:
        """Goes on after the content, where that is known to be."""
        if self.size_record is not None:
            size, place = self.size_record
            self.offset = place + size

    def take_size(self, value: bytes) -> None:
        """The size record tells where the content is."""
        if self.size_record is not None:
            self.warning("file contains multiple size records")
            return
        size = decode_size(value)
        if size is None or size.data_offset <= 0 or size.message_size <= 0:
            self.cmd.process.log.fatal(f"invalid size record: {cut(to_text(c_string(value)), 100)}")
        self.size_record = (size.message_size, size.data_offset)
        if "envelope" not in self.shown:
            self.offset = size.data_offset
            self.part = "header"

    def marker(self, place: int, rec_type: str) -> bool:
        """The end of a part."""
        text, odd = {
            REC_TYPE_MESG: ("message content", self.part != "envelope"),
            REC_TYPE_XTRA: ("extracted segment", self.part == "envelope"),
            REC_TYPE_END: ("message end", self.part != "envelope"),
        }[rec_type]
        if odd:
            self.warning(f"{self.name}: out-of-order {text} marker")
        if rec_type == REC_TYPE_XTRA and self.printing and self.unfinished:
            self.cmd.write("\n")
        if "envelope" in self.shown:
            head = self.head(place, rec_type)
            self.cmd.write(f"{head}*** {_MARKERS[rec_type]} {self.name} ***\n")
        if rec_type == REC_TYPE_MESG:
            if not self.shown & {"header", "body"}:
                self.skip_content()
            self.part = "header"
            return True
        self.part = "envelope"
        return rec_type == REC_TYPE_XTRA and self.printing

    # -- output

    def head(self, place: int, rec_type: str) -> str:
        """What ``-o`` and ``-d`` put before a record."""
        text = f"{place:9d} " if "o" in self.letters else ""
        return text + (f"{ord(rec_type):3d} " if "d" in self.letters else "")

    def plain(self, place: int, rec_type: str, value: bytes) -> None:
        """A record with its name, where its part is shown."""
        if self.printing:
            text = to_text(c_string(value))
            self.cmd.write(f"{self.head(place, rec_type)}{rec_type_name(rec_type)}: {text}\n")

    def visible(self, place: int, rec_type: str, value: bytes) -> None:
        """A record of a part that is shown."""
        text, self.unfinished = self.text(rec_type, value)
        self.cmd.write(self.head(place, rec_type) + text)

    def text(self, rec_type: str, value: bytes) -> tuple[str, bool]:
        """How a record shows, and whether its line goes on."""
        name, text = rec_type_name(rec_type), to_text(value)
        if rec_type == REC_TYPE_CONT:
            # In the envelope the letter is a content filter's.
            if self.part == "envelope":
                return f"{name}: {text}\n", False
            if self.verbose:
                return f"unterminated_text: {text}\n", False
            return (f"{text}\n", False) if "o" in self.letters else (text, True)
        if rec_type == REC_TYPE_NORM:
            return (f"{name}: {text}\n" if self.verbose else f"{text}\n"), False
        if rec_type == REC_TYPE_DTXT:
            return f"{name}: {text}\n", False
        if rec_type == REC_TYPE_TIME:
            return f"{name}: {self.date(decode_time(value) // _SECOND)}\n", False
        if rec_type == REC_TYPE_WARN:
            return f"{name}: {self.date(decode_warn(value))}\n", False
        if rec_type == REC_TYPE_ATTR:
            return self.attribute(name, to_text(c_string(value))), False
        return f"{name}: {to_text(c_string(value))}\n", False

    def attribute(self, name: str, text: str) -> str:
        """A named attribute; that of the create time shows as a date."""
        pair = split_name_value(text)
        if isinstance(pair, str):
            self.warning(f"{self.name}: malformed attribute: {pair}: {cut(text, 100)}")
            return ""
        if pair[0] == "create_time":
            return f"create_time: {self.date(decode_warn(pair[1].encode()))}\n"
        return f"{name}: {pair[0]}={pair[1]}\n"

    def date(self, seconds: int) -> str:
        """A date in the machine's time zone."""
        return asctime(seconds * _SECOND, self.cmd.process.system.timezone)
