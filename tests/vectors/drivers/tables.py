"""Lookup tables."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from mta.dict.errors import TableError
from mta.dict.flags import (
    DICT_FLAG_DUP_IGNORE,
    DICT_FLAG_DUP_REPLACE,
    DICT_FLAG_DUP_WARN,
    DICT_FLAG_FOLD_FIX,
    DICT_FLAG_IMPL_MASK,
    DICT_FLAG_INST_MASK,
    DICT_FLAG_LOCK,
    DICT_FLAG_OPEN_LOCK,
    DICT_FLAG_PARANOID,
    DICT_FLAG_RQST_MASK,
    DICT_FLAG_UTF8_REQUEST,
    O_CREAT,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    dict_flags_mask,
    dict_flags_str,
)
from mta.dict.registry import (
    OWNER_TRUSTED,
    OWNER_UNKNOWN,
    OWNER_UNTRUSTED,
    Dict,
    dict_changed_name,
    handles,
    open_table,
)
from mta.lib.maps import Maps
from mta.master.server import Process
from mta.smtp.map11 import map11_external
from mta.system import Fatal
from mta.util.escape import unescape
from mta.util.scalars import split
from tests.vectors.drivers.config import NOBODY
from tests.vectors.shell import Exit, Io, program
from tests.vectors.site import Site, site_of

_MODES = {"create": O_CREAT | O_RDWR | O_TRUNC, "write": O_RDWR, "read": O_RDONLY}
_OWNERS = {
    OWNER_TRUSTED: "trusted",
    OWNER_UNTRUSTED: "untrusted",
    OWNER_UNKNOWN: "unspecified",
}
_USAGE = "usage: verbose|del key|get key|put key=value|first|next|masks|flags"


class _Session:
    """An open table, and what is done with it."""

    def __init__(self, io: Io, site: Site, process: Process, table: Dict) -> None:
        self.io = io
        self.site = site
        self.process = process
        self.table = table
        self.entries: Iterator[tuple[str, str]] | None = None

    def command(self, line: str) -> str:
        """One command; its answer."""
        words = line.lstrip(" ").split(" ", 1)
        name, rest = words[0], words[1] if len(words) > 1 else ""
        if not name:
            return _USAGE
        if dict_changed_name(self.process) is not None:
            self.process.log.warning("dictionary has changed")
        parts = split(rest, " =")
        key = unescape(parts[0]) if parts else ""
        value = parts[1] if len(parts) > 1 else ""
        if name in ("del", "get") and key and not value:
            return self.delete(key) if name == "del" else self.get(key)
        if name == "put" and key and value:
            return self.put(key, value)
        if name in ("first", "next", "flags", "masks", "verbose") and not key:
            return self.bare(name)
        return _USAGE

    def get(self, key: str) -> str:
        """A lookup."""
        try:
            value = self.site.run(self.table.lookup(key))
        except TableError:
            return f"{key}: error"
        return f"{key}: not found" if value is None else f"{key}={value}"

    def delete(self, key: str) -> str:
        """A removal."""
        try:
            done = self.site.run(self.table.delete(key))
        except TableError:
            return f"{key}: error"
        return f"{key}: deleted" if done else f"{key}: not found"

    def put(self, key: str, value: str) -> str:
        """An update."""
        try:
            done = self.site.run(self.table.update(key, value))
        except TableError:
            return f"{key}: error"
        return "" if done else f"{key}: not updated"

    def bare(self, name: str) -> str:
        """A command without a key."""
        if name == "flags":
            return f"dict flags {dict_flags_str(self.table.flags)}"
        if name == "masks":
            masks = {
                "IMPL_MASK": DICT_FLAG_IMPL_MASK,
                "PARANOID": DICT_FLAG_PARANOID,
                "RQST_MASK": DICT_FLAG_RQST_MASK,
                "INST_MASK": DICT_FLAG_INST_MASK & (1 << 32) - 1,
            }
            return "\n".join(f"DICT_FLAG_{n} {dict_flags_str(v)}" for n, v in masks.items())
        if name == "verbose":
            return ""
        try:
            if name == "first" or self.entries is None:
                self.entries = iter(self.table.sequence())
            entry = next(self.entries, None)
        except TableError:
            return "error"
        return "not found" if entry is None else f"{entry[0]}={entry[1]}"


@program("dict_open", "mail_dict")
def run_dict_open(io: Io) -> int:
    """A table: read, changed, listed."""
    site = site_of(io)
    process = site.process(io)
    args = [word for word in io.args if word != "-v"]
    if len(args) < 2:
        io.message("fatal: usage: dict_open type:file read|write|create [flags...]")
        return 1
    mode = _MODES.get(args[1].lower())
    if mode is None:
        io.message(f"fatal: unknown access mode: {args[1]}")
        return 1
    flags = 0
    for names in args[2:3]:
        try:
            flags |= dict_flags_mask(names)
        except KeyError as error:
            name = str(error.args[0])
            io.message(f'fatal: unknown dictionary flags value "{name}" in "{names}"')
            return 1
    if not flags & DICT_FLAG_OPEN_LOCK:
        flags |= DICT_FLAG_LOCK
    if not flags & (DICT_FLAG_DUP_WARN | DICT_FLAG_DUP_IGNORE):
        flags |= DICT_FLAG_DUP_REPLACE
    flags |= DICT_FLAG_UTF8_REQUEST
    try:
        table = open_table(process, args[0], mode, flags)
        handles(process)[args[0]] = table
        owner = table.owner
        io.line(f"owner={_OWNERS[owner.status]} (uid={owner.uid})")
        session = _Session(io, site, process, table)
        for line in io.lines():
            io.line(f"> {line}")
            if line.startswith("#"):
                continue
            answer = session.command(line)
            if answer:
                io.line(answer)
    except Fatal:
        return 1
    return 0


@program("maps")
def run_maps(io: Io) -> None:
    """Keys in a list of tables."""
    site = site_of(io)
    process = site.process(io, name=NOBODY, utf8=False)
    try:
        maps = Maps(process, "whatever", io.args[0], DICT_FLAG_LOCK)
        for line in io.lines():
            io.out(f'"{line}": ')
            try:
                found = site.run(maps.find(line))
            except TableError:
                found = "lookup error"
            io.line("not found" if found is None else found)
    except Fatal:
        raise Exit(1) from None


@program("smtp_map11")
def run_smtp_map11(io: Io) -> None:
    """Addresses through ``smtp_generic_maps``; of the trace only the results."""
    site = site_of(io)
    process = site.process(io)
    flags = DICT_FLAG_FOLD_FIX | DICT_FLAG_UTF8_REQUEST
    maps = Maps(process, io.args[0], io.args[0], flags)
    client: Any = SimpleNamespace(
        generic_maps=maps, process=process, propagate=True, log=process.log
    )
    for address in io.args[1:]:
        try:
            found = site.run(map11_external(client, address))
        except Fatal:
            raise Exit(1) from None
        what = "not found" if found is None else f"-> {found}"
        process.log.info(f"smtp_map11_external: {address} {what}")
