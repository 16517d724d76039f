"""Addresses out of what clients write around them (extract_addr)."""

from __future__ import annotations

import re
from typing import NamedTuple

from mta.smtpd.state import Session
from mta.smtpd.token import Token
from mta.system import Wait
from mta.wire.text import printable
from mta.wire.tok822 import TOK822_ADDR, tok822_internalize, tok822_parse

#: An address that is its own internal form.
_PLAIN = re.compile(r"<([A-Za-z0-9#$&'*+/=?^_`{}~.-]+@[A-Za-z0-9._-]+)>")


class Parsed(NamedTuple):
    """What stands in the word after FROM: or TO:."""

    address: str  #: the last address, internal form; empty for none
    addresses: int
    junk: int  #: other words


def parse_addr(text: str) -> Parsed:
    """Looks for addresses in a word in external form; a source route is dropped."""
    match = _PLAIN.fullmatch(text)
    if match is not None:
        return Parsed(match[1], 1, 0)
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1]
    if text.startswith("@") and ":" in text:
        text = text.partition(":")[2]
    address = ""
    count = junk = 0
    for token in tok822_parse(text):
        if token.type == TOK822_ADDR:
            address = tok822_internalize(token.children)
            count += 1
        elif token.type not in ("<", ">"):
            junk += 1
    return Parsed(address, count, junk)


def extract_addr(
    session: Session, word: Token, empty_allowed: bool, strict: bool, smtputf8: bool
) -> Wait[str | None]:
    """The address in a word, in internal form; None, after a warning, where it is none.

    ``strict`` is ``strict_rfc821_envelopes``: nothing but ``<address>``, no source routes.
    """
    found = parse_addr(word.text)
    address = found.address
    good = found.addresses <= 1 and not (strict and (found.junk or not word.text.startswith("<")))
    if good:
        if (not address and not empty_allowed) or (strict and address.startswith("@")):
            good = False
        elif not session.stand_alone:
            check = session.server.checks.check_addr
            good = not (yield from check(session, address, smtputf8))
    if good:
        return address
    shown = printable(word.text, "?", session.process.conf.smtputf8_enable)
    session.process.log.warning(
        f"Illegal address syntax from {session.namaddr} in {session.where} command: {shown}"
    )
    return None
