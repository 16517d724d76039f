"""Expressions, names as bits, versions, numbers, escapes."""

from __future__ import annotations

import re

from mta.conf.version import parse_mail_version
from mta.lib.log_adhoc import format_tv
from mta.lib.mail_queue import safe_strtoul, safe_ultostr
from mta.util.basename import sane_basename, sane_dirname
from mta.util.escape import escape, unescape
from mta.util.mac_expand import MacError, mac_expand
from mta.util.name_mask import Unknown, name_mask, str_name_mask
from mta.util.parens import split_words
from mta.util.scalars import extract_parens, split
from mta.wire.ehlo_mask import ehlo_mask, str_ehlo_mask
from mta.wire.text import printable
from tests.vectors.shell import Exit, Io, program, to_bytes

#: What programs without msg_vstream(3) call themselves.
NOBODY = "unknown"

_MILLION = 1_000_000


def warning(io: Io, text: str) -> None:
    """A warning of a program without a name."""
    io.message("warning: " + printable(text, "?", False), NOBODY)


@program("mac_expand")
def run_mac_expand(io: Io) -> None:
    """Definitions, an empty line, expressions, an empty line, and again."""
    lines = iter(io.lines())
    while True:
        table: dict[str, str | None] = {}
        ended = True
        for line in lines:
            io.line(f"<< {line}")
            if not line:
                ended = False
                break
            words = split(line, " \t\r\n\v\f=")
            table[words[0]] = words[1] if len(words) > 1 else None
        if ended:
            return
        ended = True
        for line in lines:
            io.line(f"<< {line}")
            if not line:
                ended = False
                break
            try:
                text, undefined = mac_expand(line, table.get)
                io.line(f"stat={2 * undefined} result={text}")
            except MacError as error:
                for said in error.warnings:
                    warning(io, said)
                io.line(f"stat={1 + 2 * error.args[3]} result={error.args[2]}")
        if ended:
            return
        io.line()


_DEMO = {"zero": 1, "one": 2, "two": 4, "three": 8}


@program("name_mask")
def run_name_mask(io: Io) -> None:
    """Names to bits and back."""

    def options(text: str) -> tuple[Unknown, bool, str]:
        given = text.split(",")
        kinds = [Unknown[name] for name in ("FATAL", "RETURN", "WARN", "IGNORE") if name in given]
        separator = "," if "COMMA" in given else "|" if "PIPE" in given else " "
        return kinds[0] if kinds else Unknown.IGNORE, "NUMBER" in given, separator

    how, numbers, _ = options(io.args[0])
    how_out, numbers_out, separator = options(io.args[1])
    for line in io.lines():
        mask = name_mask(
            "name",
            _DEMO,
            line,
            unknown=how,
            numbers=numbers,
            any_case="ANY_CASE" in io.args[0],
            warn=lambda text: warning(io, text),
        )
        text = str_name_mask(
            "mask",
            _DEMO,
            mask,
            unknown=how_out,
            numbers=numbers_out,
            separator=separator,
            warn=lambda text: warning(io, text),
        )
        io.line(f"{line} -> 0x{mask:x} -> {'(null)' if text is None else text}")


@program("mail_version")
def run_mail_version(io: Io) -> None:
    """Versions, one a line."""
    for line in io.lines():
        io.line(f"> {line}")
        if not line or line.startswith("#"):
            continue
        try:
            found = parse_mail_version(line)
        except ValueError as error:
            io.line(f"ERROR: {line}: {error}")
            continue
        tail = f"snapshot: {found.snapshot}" if found.patch is None else f"patch: {found.patch}"
        io.line(f"program: {found.program}\tmajor: {found.major}\tminor: {found.minor}\t{tail}")


@program("mail_parm_split")
def run_mail_parm_split(io: Io) -> None:
    """The parts of a parameter's value."""
    for line in io.lines():
        if not line:
            break
        io.line(f"Input:\t>{line}<")
        parts = []
        for word in split_words(line):
            if word.startswith("{"):
                word, error = extract_parens(word)
                if error:
                    warning(io, f"stdin: {error}")
            parts.append(word)
        for part in parts:
            io.out(f"Output:\t>{part}<\n")
        io.flush()


@program("safe_ultostr")
def run_safe_ultostr(io: Io) -> None:
    """A number and a base, a line each."""
    for line in io.lines():
        found = re.fullmatch(r"\s*(\d+)\s+(\d+)", line)
        if found is None:
            warning(io, f"bad input {line}")
            continue
        number, base = int(found[1]), int(found[2])
        text = safe_ultostr(number, base, 5)
        io.line(f"{number} = {text}")
        back = safe_strtoul(text, base)
        if back != number:
            warning(io, f"{back} != {number}")


@program("format_tv")
def run_format_tv(io: Io) -> None:
    """Seconds, significant digits, digits after the point."""
    for line in io.lines():
        io.line(f">> {line}")
        if not line or line.startswith("#"):
            continue
        words = line.split()
        seconds = float(words[0])
        whole = int(seconds)
        micros = int((seconds - whole) * _MILLION)
        io.line(format_tv(whole * _MILLION + micros, int(words[2]), int(words[1])))


@program("ehlo_mask")
def run_ehlo_mask(io: Io) -> None:
    """EHLO keywords as bits, and again as names."""
    for line in io.lines():
        mask = ehlo_mask(line)
        io.line(f"{line} -> 0x{mask:x} -> {str_ehlo_mask(mask)}")


@program("sane_basename")
def run_sane_basename(io: Io) -> None:
    """Directory and base of paths."""
    for line in io.lines():
        io.out(f'input="{line}" dir="{sane_dirname(line)}" base="{sane_basename(line)}"\n')


@program("unescape")
def run_unescape(io: Io) -> None:
    """Escapes to bytes; with ``-e`` bytes to escapes."""
    if io.args not in ([], ["-e"]):
        raise Exit(1)
    for line in io.lines():
        io.out(escape(to_bytes(line)) if io.args else unescape(line))
        io.out("\n")
