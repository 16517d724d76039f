"""International names, case folding."""

from __future__ import annotations

import re

from mta.lib.fold_addr import FOLD_ADDR_ALL, FOLD_ADDR_HOST, FOLD_ADDR_USER, fold_addr
from mta.lib.midna_warn import midna_warn
from mta.util.casefold import casefold, strcasecmp_utf8, strncasecmp_utf8
from mta.util.midna_domain import midna_domain_to_ascii, midna_domain_to_utf8
from mta.util.scalars import split
from mta.wire.text import cut
from tests.vectors.shell import Io, program
from tests.vectors.site import site_of

_SPACE = " \t\r\n\v\f"


@program("midna_domain")
def run_midna_domain(io: Io) -> None:
    """To UTF-8 and to ASCII, there and back."""
    process = site_of(io).process(io)
    log, warn = process.log, midna_warn(process)

    def shown(name: str | None) -> str:
        return '"(error)"' if name is None else f'"{name}"'

    def ascii_of(name: str) -> str | None:
        return midna_domain_to_ascii(name, warn)

    def utf8_of(name: str) -> str | None:
        return midna_domain_to_utf8(name, warn)

    for line in io.lines():
        log.info(f"> {line}")
        name = line.lstrip(_SPACE)
        if not name or name.startswith("#"):
            continue
        log.info("unconditional conversions:")
        utf8 = utf8_of(name)
        log.info(f'"{name}" ->utf8 {shown(utf8)}')
        ascii_name = ascii_of(name)
        log.info(f'"{name}" ->ascii {shown(ascii_name)}')
        log.info("conditional conversions:")
        if not name.isascii() and ascii_name is not None:
            back = utf8_of(ascii_name)
            log.info(f'"{name}" ->ascii "{ascii_name}" ->utf8 {shown(back)}')
        elif name.isascii() and utf8 is not None:
            back = ascii_of(utf8)
            log.info(f'"{name}" ->utf8 "{utf8}" ->ascii {shown(back)}')
        else:
            continue
        if back not in (None, name):
            log.warning(f'"{name}" != "{back}"')


def _sign(order: int) -> str:
    return "<" if order < 0 else ">" if order > 0 else "=="


@program("strcasecmp_utf8")
def run_strcasecmp_utf8(io: Io) -> None:
    """Texts compared."""
    for line in io.lines():
        io.out(f"> {line}\n")
        words = split(line, _SPACE)
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "compare" and len(words) == 3:
            io.line(f'"{words[1]}" {_sign(strcasecmp_utf8(words[1], words[2]))} "{words[2]}"')
        elif words[0] == "compare-len" and len(words) == 4 and words[3].isdigit():
            size = int(words[3])
            order = _sign(strncasecmp_utf8(words[1], words[2], size))
            io.line(f'"{cut(words[1], size)}" {order} "{cut(words[2], size)}"')
        else:
            io.line(f"Usage: {io.name} compare <s1> <s2> | compare-len <s1> <s2> <len>")


@program("casefold")
def run_casefold(io: Io) -> None:
    """Texts and code points folded."""
    verbose = 0
    for line in io.lines():
        io.out(f"> {line}\n")
        words = split(line, _SPACE)
        if not words or words[0].startswith("#"):
            continue
        rest = line.lstrip(_SPACE)[len(words[0]) :].lstrip(_SPACE)
        found = re.match(r"(0[xX][0-9a-fA-F]+|\d+)(?:\s+(0[xX][0-9a-fA-F]+|\d+))?", rest)
        if words[0] == "fold":
            io.line(f'"{rest}" ->fold "{casefold(rest)}"')
        elif words[0] == "range" and found and found[2]:
            _fold_range(io, _number(found[1]), _number(found[2]), verbose)
        elif words[0] == "file" and rest:
            for text in io.folder.text(words[1]).splitlines():
                io.out(f"{casefold(text)}\n")
            io.flush()
        elif words[0] == "verbose" and found:
            verbose = _number(found[1])
        elif words[0] == "chroot" and rest:
            io.flush()
        else:
            io.line(
                f"Usage: {io.name} chroot <path> | file <path> | fold <text> | "
                "range <first> <last> | verbose <int>"
            )


def _number(text: str) -> int:
    """A number as %i of scanf(3) reads it."""
    if text[:2].lower() == "0x":
        return int(text, 16)
    return int(text, 8) if text.startswith("0") and len(text) > 1 else int(text)


def _fold_range(io: Io, first: int, last: int, verbose: int) -> None:
    point = first
    while point <= last:
        if 0xD800 <= point <= 0xDFFF:
            io.out("skipping surrogate range\n")
            point = 0xDFFF
        else:
            if verbose:
                io.out(f"U+{point:X} -> {chr(point)}\n")
            casefold(chr(point))
        point += 1
    io.line(f"range completed: 0x{first:x}..0x{last:x}")


_PARTS = {"host": FOLD_ADDR_HOST, "user": FOLD_ADDR_USER, "all": FOLD_ADDR_ALL, "none": 0}


@program("fold_addr")
def run_fold_addr(io: Io) -> None:
    """Addresses folded in part."""
    for line in io.lines():
        io.out(f"> {line}\n")
        words = split(line, _SPACE)
        if not words or words[0].startswith("#"):
            continue
        if words[0] in _PARTS and len(words) == 2:
            io.line(f'"{words[1]}" -> "{fold_addr(words[1], _PARTS[words[0]])}"')
        else:
            io.line(f"Usage: {io.name} host <addr> | user <addr> | all <addr>")
