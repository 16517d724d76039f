"""strip_addr(3) - remove the extension from an address: ``user+extension@domain``."""

from __future__ import annotations

from typing import NamedTuple

from mta.dict.process import TableProcess
from mta.lib.split_addr import split_addr


class Stripped(NamedTuple):
    """An address without its extension, and the extension with its delimiter."""

    address: str
    extension: str


def strip_addr(process: TableProcess, address: str, delimiters: str) -> Stripped | None:
    """The address without extension; None where it has none (see split_addr)."""
    if not delimiters:
        return None
    localpart, ratsign, domain = address.rpartition("@")
    if not ratsign:
        localpart, domain = address, ""
    user, extension = split_addr(process, localpart, delimiters)
    if extension is None:
        return None
    return Stripped(user + ratsign + domain, localpart[len(user) :])
