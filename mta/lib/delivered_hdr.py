"""Loops of forwarded mail, seen by its Delivered-To headers (delivered_hdr(3))."""

from __future__ import annotations

from mta.lib.fold_addr import FOLD_ADDR_ALL, fold_addr
from mta.system import File
from mta.wire.header_opts import is_header_buf
from mta.wire.quote import quote_822_local
from mta.wire.record import get
from mta.wire.text import to_text

_LIMIT = 1000
_SPACE = b" \t\n\v\f\r"
_NAME = b"delivered-to:"


class DeliveredHeaders:
    """The addresses in the Delivered-To headers of a message, without regard to case."""

    __slots__ = ("addresses", "utf8")

    def __init__(self, file: File, offset: int, utf8: bool = True) -> None:
        """Reads the header of the message whose content starts at ``offset``.  It ends where a line
        is neither a header nor its continuation, or too long for one record.
        """
        self.utf8 = utf8
        self.addresses: dict[str, None] = {}
        data = file.data
        while (record := get(data, offset)) is not None:
            rec_type, line, offset = record
            if rec_type != "N" or len(self.addresses) >= _LIMIT:
                break
            if is_header_buf(line):
                if line[: len(_NAME)].lower() == _NAME:
                    address = to_text(line[len(_NAME) :].lstrip(_SPACE))
                    self.addresses[fold_addr(address, FOLD_ADDR_ALL, utf8)] = None
            elif line[:1] not in _SPACE or not line:
                break

    def __contains__(self, address: str) -> bool:
        """Whether the message went through that address (internal form) before."""
        if not self.addresses:
            return False
        return fold_addr(quote_822_local(address), FOLD_ADDR_ALL, self.utf8) in self.addresses
