"""Postfix's driver ``cleanup_milter``: a script of edits of one queue file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from mta.cleanup.milter import Client, apply
from mta.cleanup.milter_checks import checks_finish, checks_init
from mta.cleanup.milter_edit import (
    MILTER_BODY_END,
    MILTER_BODY_LINE,
    MILTER_BODY_START,
    Edits,
)
from mta.cleanup.state import CLEANUP_FLAG_FILTER_ALL, State
from mta.cleanup.tables import Tables
from mta.lib.cleanup_strerror import cleanup_strerror
from mta.lib.maps import Maps
from mta.lib.requests import CLEANUP_FLAG_BCC_OK, CleanupMessage
from mta.wire.record import decode_size, get

T = TypeVar("T")

_FLAGS = {1 << 1: "enable_header_body_filter", 1 << 2: "hold_message", 1 << 3: "discard_message",
          1 << 4: "enable_automatic_bcc", 1 << 5: "enable_address_mapping",
          1 << 6: "enable_milters"}  # fmt: skip


def run(task: Any) -> Any:
    """The result of a generator that does not wait."""
    try:
        next(task)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


class File:
    """An open queue file."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)


class Driver:
    """Runs a script.  ``out`` is what the driver logs."""

    def __init__(self, process: Any, folder: Path, files: dict[str, bytes]) -> None:
        self.process = process
        self.folder = folder
        self.files = files
        self.out: list[str] = process.log.lines
        tables = Tables(process)
        file: Any = File(b"")
        self.state = State(process, tables, CleanupMessage("NOQUEUE", 0), file)
        state = self.state
        state.sender, state.recip = "sender", "recipient"
        state.client = Client("client_name", "client_name", "client_addr", "0", 2)
        state.flags |= CLEANUP_FLAG_FILTER_ALL
        state.wants_padding = True
        state.err_mask = 0
        self.edits = Edits(state)
        self.checking = False
        self.name = ""

    def play(self, script: str) -> None:
        """All lines of a script."""
        for line in script.splitlines():
            self.play_line(line)
        self.finish()

    def play_line(self, line: str) -> None:
        """One line of a script."""
        words = line.split()
        if words and not words[0].startswith("#"):
            self.command(words[0], words[1:])

    def finish(self) -> None:
        """The end of a script."""
        state = self.state
        if state.append_meta_pt_offset >= 0:
            if state.flags:
                names = [name for bit, name in _FLAGS.items() if state.flags & bit]
                self.out.append(f"flags = {' '.join(names)}")
            if state.errs:
                self.out.append(f"errs = {cleanup_strerror(state.errs)}")

    def command(self, name: str, args: list[str]) -> None:
        """One command."""
        state, edits = self.state, self.edits
        text = " ".join
        if name == "open":
            self.open(args[0])
            return
        if name == "close":
            if self.checking:
                checks_finish(state)
                self.checking = False
            self.files[self.name] = bytes(state.out)
            return
        if state.milter_hbc_reply:
            words = [name, *args, "", ""][:3]
            self.out.append(f"ignoring: {words[0]} {words[1]} {words[2]}")
            return
        if name == "header_checks":
            kind, _, table = args[0].partition(":")
            self.process.conf.update("milter_header_checks", f"{kind}:{self.folder / table}")
            checks_init(state)
            self.checking = True
            return
        if name == "sender_bcc_maps":
            state.tables.send_bcc_maps = Maps(self.process, name, args[0])
            state.flags |= CLEANUP_FLAG_BCC_OK
            return
        if name == "replbody":
            run(edits.repl_body(MILTER_BODY_START))
            for line in (self.folder / args[0]).read_bytes().split(b"\n")[:-1]:
                run(edits.repl_body(MILTER_BODY_LINE, line))
            run(edits.repl_body(MILTER_BODY_END))
            return
        calls: dict[str, Callable[[], Any]] = {
            "add_header": lambda: edits.add_header(args[0], " ", text(args[1:])),
            "ins_header": lambda: edits.ins_header(int(args[0]), args[1], " ", text(args[2:])),
            "upd_header": lambda: edits.upd_header(int(args[0]), args[1], " ", text(args[2:])),
            "del_header": lambda: edits.del_header(int(args[0]), args[1]),
            "chg_from": lambda: edits.chg_from(args[0], args[1]),
            "add_rcpt": lambda: edits.add_rcpt(args[0]),
            "add_rcpt_par": lambda: edits.add_rcpt_par(args[0], args[1]),
            "del_rcpt": lambda: edits.del_rcpt(args[0]),
        }
        reply = run(calls[name]())
        if reply and name in ("add_header", "ins_header", "upd_header"):
            apply(state, "END-OF-MESSAGE", reply)

    def open(self, name: str) -> None:
        """Finds the places of the pointers in a file that has not been edited."""
        self.name = name
        state = self.state
        state.out[:] = self.files[name]
        short_sender = False
        for offset, rec_type, data, following in raw_records(state.out):
            if rec_type == "C":
                size = decode_size(data)
                assert size is not None
                state.data_offset = size.data_offset
                state.xtra_offset = size.data_offset + size.message_size
            elif rec_type == "S":
                state.sender_pt_offset = offset
                state.sender_pt_target = following
                short_sender = len(data) < 15
            elif rec_type == "p" and short_sender:
                state.sender_pt_target = following
                short_sender = False
            elif rec_type == "p":
                self._pointer(offset, following)
        state.body_offset = state.append_hdr_pt_target

    def _pointer(self, offset: int, following: int) -> None:
        state = self.state
        if offset < state.data_offset or offset > state.xtra_offset:
            if state.append_rcpt_pt_offset < 0:
                state.append_rcpt_pt_offset = offset
                state.append_rcpt_pt_target = following
            elif offset > state.xtra_offset and state.append_meta_pt_offset < 0:
                state.append_meta_pt_offset = offset
                state.append_meta_pt_target = following
        elif state.append_hdr_pt_offset < 0:
            state.append_hdr_pt_offset = offset
            state.append_hdr_pt_target = following


def raw_records(data: bytes | bytearray) -> Iterator[tuple[int, str, bytes, int]]:
    """Records in the order of the file: offset, type, data, offset of the next."""
    offset = 0
    while (record := get(data, offset)) is not None:
        yield offset, record[0], record[1], record[2]
        offset = record[2]
