"""record(3), rec_type(3): the typed records that queue files are made of.

A record is a type (one byte, here a one-letter ``str``), the length of its data (seven bits a byte,
the lowest first, the eighth bit says that more follow), and the data.  A queue file is an envelope
segment that ends with ``M``, a content segment that ends with ``X``, and an extracted segment that
ends with ``E``.  ``p`` records are jumps, with which edits are patched in after the ``E``.

Offsets count bytes from the start of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

REC_TYPE_SIZE = "C"  #: first record, made by cleanup
REC_TYPE_TIME = "T"  #: arrival time
REC_TYPE_CTIME = "c"  #: create time
REC_TYPE_FULL = "F"  #: full name of the sender
REC_TYPE_INSP = "I"  #: inspector transport
REC_TYPE_FILT = "L"  #: content filter (in the envelope; the letter is that of REC_TYPE_CONT)
REC_TYPE_FROM = "S"  #: sender
REC_TYPE_DONE = "D"  #: delivered recipient
REC_TYPE_RCPT = "R"  #: recipient
REC_TYPE_ORCP = "O"  #: original recipient
REC_TYPE_DRCP = "/"  #: cancelled recipient
REC_TYPE_WARN = "W"  #: time of the delay warning
REC_TYPE_ATTR = "A"  #: name=value
REC_TYPE_KILL = "K"  #: killed record
REC_TYPE_RDR = ">"  #: redirect target
REC_TYPE_FLGS = "f"  #: cleanup's processing flags
REC_TYPE_DELAY = "d"  #: delay upon arrival
REC_TYPE_MESG = "M"  #: start of the content
REC_TYPE_CONT = "L"  #: part of a line
REC_TYPE_NORM = "N"  #: (the end of) a line
REC_TYPE_DTXT = "w"  #: padding
REC_TYPE_XTRA = "X"  #: start of the extracted segment
REC_TYPE_RRTO = "r"  #: return-receipt-to
REC_TYPE_ERTO = "e"  #: errors-to
REC_TYPE_PRIO = "P"  #: priority
REC_TYPE_PTR = "p"  #: jump
REC_TYPE_VERP = "V"  #: VERP delimiters
REC_TYPE_DSN_RET = "<"
REC_TYPE_DSN_ENVID = "i"
REC_TYPE_DSN_ORCPT = "o"
REC_TYPE_DSN_NOTIFY = "n"
REC_TYPE_MILT_COUNT = "m"  #: between daemons only
REC_TYPE_END = "E"  #: the end

#: Letters that may come in each segment; the first one ends it.
REC_TYPE_ENVELOPE = "MCTcFILSDRO/WVA>K<ion"
REC_TYPE_CONTENT = "XLNw"
REC_TYPE_EXTRACT = "EDRO/PreAFIL>Kon"
#: What postdrop(1) lets through.
REC_TYPE_POST_ENVELOPE = "MFSRVAin"
REC_TYPE_POST_CONTENT = "XLN"
REC_TYPE_POST_EXTRACT = "EAR"
#: Letters of a sequence of nothing but recipients, at the end of a segment.
REC_TYPE_ENV_RECIPIENT = "MDRO/Kon"
REC_TYPE_EXT_RECIPIENT = "EDRO/Kon"

#: Length of the data of a pointer record: a number, right-aligned.
REC_TYPE_PTR_PAYL_SIZE = 15

#: Hints of cleanup for the queue manager, the fourth number of the size record (qmgr_user.h): bit
#: 0, recipients are mixed with other records; bits 1 to 4, the DSN_NOTIFY_* mask shifted by one.
QMGR_READ_FLAG_NONE = 0
QMGR_READ_FLAG_MIXED_RCPT_OTHER = 1 << 0
QMGR_READ_FLAG_NOTIFY_SHIFT = 1
QMGR_READ_FLAG_USER = QMGR_READ_FLAG_MIXED_RCPT_OTHER | 15 << QMGR_READ_FLAG_NOTIFY_SHIFT

_REVERSE_JUMP_LIMIT = 10000
_MAX_SHIFT = 32

_NAMES = {
    REC_TYPE_SIZE: "message_size",
    REC_TYPE_TIME: "message_arrival_time",
    REC_TYPE_CTIME: "queue_file_create_time",
    REC_TYPE_FULL: "sender_fullname",
    REC_TYPE_INSP: "content_inspector",
    REC_TYPE_FILT: "content_filter",
    REC_TYPE_FROM: "sender",
    REC_TYPE_DONE: "done_recipient",
    REC_TYPE_DRCP: "canceled_recipient",
    REC_TYPE_RCPT: "recipient",
    REC_TYPE_ORCP: "original_recipient",
    REC_TYPE_WARN: "warning_message_time",
    REC_TYPE_ATTR: "named_attribute",
    REC_TYPE_PTR: "pointer_record",
    REC_TYPE_KILL: "killed_record",
    REC_TYPE_MESG: "message_content",
    REC_TYPE_NORM: "regular_text",
    REC_TYPE_DTXT: "padding",
    REC_TYPE_XTRA: "extracted_info",
    REC_TYPE_RRTO: "return_receipt",
    REC_TYPE_ERTO: "errors_to",
    REC_TYPE_PRIO: "priority",
    REC_TYPE_VERP: "verp_delimiters",
    REC_TYPE_END: "message_end",
    REC_TYPE_RDR: "redirect_to",
    REC_TYPE_FLGS: "flags",
    REC_TYPE_DSN_RET: "dsn_return_flags",
    REC_TYPE_DSN_ENVID: "dsn_envelope_id",
    REC_TYPE_DSN_ORCPT: "dsn_original_recipient",
    REC_TYPE_DSN_NOTIFY: "dsn_notify_flags",
}

_ATTR_MAP = {
    "dsn_orig_rcpt": REC_TYPE_DSN_ORCPT,
    "notify_flags": REC_TYPE_DSN_NOTIFY,
    "envelope_id": REC_TYPE_DSN_ENVID,
    "ret_flags": REC_TYPE_DSN_RET,
    "create_time": REC_TYPE_CTIME,
}

_N = ord(REC_TYPE_NORM)
_L = ord(REC_TYPE_CONT)
_TEXT = (_N, _L)
_W = ord(REC_TYPE_DTXT)
_P = ord(REC_TYPE_PTR)
_LETTERS = [chr(n) for n in range(256)]
_SHORT_NORM = [bytes((_N, n)) for n in range(128)]


class RecordError(Exception):
    """A queue file is damaged.  ``args[0]`` is the warning of rec_get(3) without the file's path,
    which the reader logs as ``warning: PATH: TEXT``.
    """


class SizeRecord(NamedTuple):
    """The numbers of the size record: ``REC_TYPE_SIZE_FORMAT``, six fields of fifteen columns.

    ``message_size`` are the bytes of the records between M and X, ``data_offset`` the place of the
    first of them, ``content_length`` the bytes of the message when its lines end in two bytes.
    Files of older versions have fewer fields; what is missing is 0.
    """

    message_size: int = 0
    data_offset: int = 0
    rcpt_count: int = 0
    qmgr_opts: int = 0
    content_length: int = 0
    smtputf8: int = 0


def rec_type_name(rec_type: str) -> str:
    """The printable name of a type, as postcat(1) shows it (rec_type(3))."""
    return _NAMES.get(rec_type, "unknown_record_type")


def rec_attr_map(name: str) -> str:
    """The record type that a named attribute stands for (DSN, create_time), or ``""``."""
    return _ATTR_MAP.get(name, "")


# -- writing --------------------------------------------------------------------------------------


def record_size(length: int) -> int:
    """How many bytes a record with so much data takes (REC_SPACE_NEED)."""
    size = 2 + length
    while length > 127:
        length >>= 7
        size += 1
    return size


def encode(rec_type: str, data: bytes) -> bytes:
    """One record as bytes."""
    length = len(data)
    if length < 128:
        return bytes((ord(rec_type), length)) + data
    head = [ord(rec_type)]
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    head.append(length)
    return bytes(head) + data


def put(buffer: bytearray, rec_type: str, data: bytes) -> int:
    """Appends a record; its offset in the buffer (rec_put)."""
    offset = len(buffer)
    buffer += encode(rec_type, data)
    return offset


def put_many(buffer: bytearray, records: Iterable[tuple[str, bytes]]) -> None:
    """Appends records, fast where most are short lines."""
    short = _SHORT_NORM
    parts: list[bytes] = []
    add = parts.append
    for rec_type, data in records:
        if rec_type == "N" and len(data) < 128:
            add(short[len(data)])
            add(data)
        else:
            add(encode(rec_type, data))
    buffer += b"".join(parts)


def put_text(buffer: bytearray, data: bytes, limit: int, rec_type: str = REC_TYPE_NORM) -> None:
    """Appends a line (or, with REC_TYPE_CONT, a part of one), split into L records of ``limit``
    bytes and a last one of the type (cleanup_out).
    """
    while len(data) > limit:
        buffer += encode(REC_TYPE_CONT, data[:limit])
        data = data[limit:]
    buffer += encode(rec_type, data)


def put_type(buffer: bytearray, rec_type: str, offset: int) -> None:
    """Changes the type of the record at the offset (rec_put_type)."""
    buffer[offset] = ord(rec_type)


def put_pad(buffer: bytearray, rec_type: str, size: int) -> None:
    """Appends padding that takes ``size`` bytes, at least three (rec_pad)."""
    put(buffer, rec_type, b"0".rjust(max(size - 2, 1)))


def encode_size(size: SizeRecord) -> bytes:
    """The data of a size record (REC_TYPE_SIZE_FORMAT)."""
    return b"%15d %15d %15d %15d %15d %15d" % size


def encode_ptr(offset: int) -> bytes:
    """The data of a pointer record; 0 makes a dummy (REC_TYPE_PTR_FORMAT)."""
    return b"%15d" % offset


def encode_warn(seconds: int) -> bytes:
    """The data of a warning time, which is updated in place (REC_TYPE_WARN_FORMAT)."""
    return b"%15d" % seconds


def encode_time(moment: int) -> bytes:
    """The data of an arrival time, from microseconds (REC_TYPE_TIME_FORMAT)."""
    return b"%d %d" % divmod(moment, 1_000_000)


# -- reading --------------------------------------------------------------------------------------

_NUMBER = re.compile(rb"[ \t\n\v\f\r]*([+-]?[0-9]+)")
_SIZE_LENGTH = len(encode_size(SizeRecord()))
_TIME = re.compile(rb"([0-9]{1,12}) ([0-9]{1,6})")

def _atol(text: bytes) -> int:
    """atol(3): the number at the start, else 0."""
    match = _NUMBER.match(text)
    try:
        return int(match[1]) if match else 0
    except ValueError:  # more digits than Python reads
        return 0


def decode_size(data: bytes) -> SizeRecord | None:
    """The numbers of a size record, as sscanf(3) takes them; None without any."""
    words = data.split()
    if len(data) == _SIZE_LENGTH and len(words) == 6 and b"".join(words).isdigit():
        return SizeRecord(*map(int, words))
    numbers: list[int] = []
    for word in words[:6]:
        digits = word[1:] if word[:1] in (b"-", b"+") else word
        if not digits[:1].isdigit():
            break
        numbers.append(_atol(word))
        if not digits.isdigit():
            break
    return SizeRecord(*numbers) if numbers else None


def decode_time(data: bytes) -> int:
    """The moment of an arrival time record in microseconds (REC_TYPE_TIME_SCAN)."""
    match = _TIME.fullmatch(data)
    if match is not None:
        return int(match[1]) * 1_000_000 + int(match[2])
    rest = data.lstrip(b"0123456789")
    return _atol(data) * 1_000_000 + _atol(rest)


def decode_warn(data: bytes) -> int:
    """The seconds of a warning time record (REC_TYPE_WARN_SCAN)."""
    return _atol(data)


def decode_ptr(data: bytes) -> int:
    """Where a pointer record points, 0 for a dummy.  Raises RecordError."""
    digits = data.partition(b"\0")[0].lstrip(b" \t\n\v\f\r")
    if digits and not digits.isdigit():
        raise RecordError(
            "malformed pointer record value: " + digits.decode("utf-8", "surrogateescape")
        )
    return int(digits or b"0")


def get(data: bytes | bytearray, offset: int) -> tuple[str, bytes, int] | None:
    """The record at the offset, as it is: type, data, and the offset of what follows; None at the
    end of the file.  Raises RecordError (rec_get_raw).
    """
    size = len(data)
    start = offset + 2
    if start <= size and (length := data[offset + 1]) < 128 and start + length <= size:
        end = start + length
        return _LETTERS[data[offset]], bytes(data[start:end]), end
    return _get_long(data, offset)


def _get_long(data: bytes | bytearray, offset: int) -> tuple[str, bytes, int] | None:
    """The same for records of any length, and for damaged ones."""
    size = len(data)
    if offset >= size:
        return None
    rec_type = data[offset]
    offset += 1
    length = shift = 0
    while True:
        if shift >= _MAX_SHIFT:
            raise RecordError(f"too many length bits, record type {rec_type}")
        if offset >= size:
            raise RecordError(f"unexpected EOF reading length, record type {rec_type}")
        byte = data[offset]
        offset += 1
        length |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
    if length >= 1 << 31:  # an int in rec_get
        raise RecordError(f"illegal length {length - (1 << 32)}, record type {rec_type}")
    end = offset + length
    if end > size:
        raise RecordError(f"unexpected EOF in data, record type {rec_type} length {length}")
    return _LETTERS[rec_type], bytes(data[offset:end]), end


def records(
    data: bytes | bytearray, offset: int = 0, follow: bool = True, hidden: bool = False
) -> Iterator[tuple[int, str, bytes]]:
    """The records from an offset on: (offset, type, data).

    With ``follow``, as rec_get(3) has it by default: jumps are followed and not shown, padding is
    skipped, and ``E`` is the last record; ``hidden`` shows jumps and padding on the way.  Without,
    every record of the file as they lie, to its very end.  The data may be edited in place
    meanwhile.  Raises RecordError.
    """
    last_jump = reverse_jumps = 0
    while (found := get(data, offset)) is not None:
        start = offset
        rec_type, value, offset = found
        if follow:
            if hidden and rec_type in (REC_TYPE_PTR, REC_TYPE_DTXT):
                yield start, rec_type, value
            if rec_type == REC_TYPE_PTR:
                target = decode_ptr(value)
                if target:
                    if target <= last_jump:
                        reverse_jumps += 1
                        if reverse_jumps > _REVERSE_JUMP_LIMIT:
                            raise RecordError("too many reverse jump records")
                    last_jump = offset = target
                continue
            if rec_type == REC_TYPE_DTXT:
                continue
            yield start, rec_type, value
            if rec_type == REC_TYPE_END:
                return
        else:
            yield start, rec_type, value


def content_records(data: bytes | bytearray, offset: int, size: int = 0) -> list[tuple[str, bytes]]:
    """The text records (N and L) from the offset of the content to what ends it (the X record).

    Jumps are followed and padding is skipped.  ``size`` is not needed to find the end; it is taken
    so that a delivery request's pair can be passed.  Raises RecordError.
    """
    found: list[tuple[str, bytes]] = []
    add = found.append
    data = bytes(data)
    total = len(data)
    while offset + 1 < total:
        rec_type = data[offset]
        length = data[offset + 1]
        if length < 128 and rec_type in _TEXT:
            start = offset + 2
            offset = start + length
            if offset > total:
                break
            add((REC_TYPE_NORM if rec_type == _N else REC_TYPE_CONT, data[start:offset]))
            continue
        if rec_type in (_P, _W):
            return found + _content_rest(data, offset)
        record = get(data, offset)
        if record is None or rec_type not in _TEXT:
            return found
        add((record[0], record[1]))
        offset = record[2]
    return found + _content_rest(data, offset)


def _content_rest(data: bytes, offset: int) -> list[tuple[str, bytes]]:
    """The slow way: text records until another type comes."""
    found: list[tuple[str, bytes]] = []
    for _, rec_type, value in records(data, offset):
        if rec_type not in (REC_TYPE_NORM, REC_TYPE_CONT):
            break
        found.append((rec_type, value))
    return found


def content_lines(data: bytes | bytearray, offset: int, size: int = 0) -> list[bytes]:
    """The lines of the content without their ends, L records joined with what continues them.
    A last part without an N record is a line, too.  Raises RecordError.
    """
    lines: list[bytes] = []
    parts: list[bytes] = []
    for rec_type, value in content_records(data, offset, size):
        if rec_type == "L":
            parts.append(value)
        elif parts:
            parts.append(value)
            lines.append(b"".join(parts))
            parts.clear()
        else:
            lines.append(value)
    if parts:
        lines.append(b"".join(parts))
    return lines
