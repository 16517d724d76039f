"""verify_sender_addr(3) - the sender of address verification probes.

With ``address_verify_sender_ttl`` the address carries a time slot: ``fixed<slot>@domain`` with the
slot's number in base 31 without vowels, and addresses of the neighbouring slots are known, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.lib.clients import rewrite
from mta.lib.requests import REWRITE_LOCAL
from mta.system import Wait
from mta.util.casefold import casefold
from mta.wire.quote import quote_822_local, unquote_822_local

if TYPE_CHECKING:
    from mta.master.server import Process

#: Digits of safe_ultostr(3).
_DIGITS = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
_BASE = 31
_VALUES = {digit: value for value, digit in enumerate(_DIGITS[:_BASE])}
_KEY = "verify_sender_template"


def _epoch(process: Process) -> int:
    """The number of the time slot."""
    return process.now() // 1_000_000 // int(process.conf.address_verify_sender_ttl)


def _safe_number(number: int) -> str:
    text = ""
    while True:
        number, digit = divmod(number, _BASE)
        text = _DIGITS[digit] + text
        if not number:
            return text


def _parse_number(text: str) -> tuple[int, str]:
    """The number at the start of a text, and what follows it."""
    number = length = 0
    for char in text:
        value = _VALUES.get(char)
        if value is None:
            break
        number = number * _BASE + value
        length += 1
    return number, text[length:]


def _canonical(process: Process, address: str) -> Wait[str]:
    answer = yield from rewrite(process, REWRITE_LOCAL, quote_822_local(address))
    return unquote_822_local(answer)


def make_verify_sender_addr(process: Process) -> Wait[str]:
    """The sender of probes now, in internal form; empty where it is the null address.
    Logs a fatal error, and raises Fatal, where the parameter starts or ends with ``@``.
    """
    sender: str = process.conf.address_verify_sender
    if sender in ("", "<>"):
        return ""
    if sender.startswith("@"):
        process.log.fatal(
            f"parameter address_verify_sender: value \"{sender}\" must not start with '@'"
        )
    local, at, domain = sender.partition("@")
    if at and not domain:
        process.log.fatal(
            f"parameter address_verify_sender: value \"{sender}\" must not end with '@'"
        )
    if process.conf.address_verify_sender_ttl > 0:
        sender = f"{local}{_safe_number(_epoch(process))}{at}{domain}"
    return (yield from _canonical(process, sender))


def valid_verify_sender_addr(process: Process, address: str) -> Wait[str | None]:
    """The probe sender without its time slot where the address (internal form) is one of ours, of
    this slot or a neighbour; None where it is not.
    """
    conf = process.conf
    sender: str = conf.address_verify_sender
    if sender in ("", "<>"):
        return None if address else ""
    template: str | None = process.cache.get(_KEY)
    if template is None:
        template = yield from _canonical(process, sender)
        process.cache[_KEY] = template
    base, at, domain = template.partition("@")
    size = len(base)
    utf8 = conf.smtputf8_enable
    if casefold(address[:size], utf8) != casefold(base, utf8):
        return None
    _, their_at, their_domain = address.partition("@")
    if their_at != at or casefold(their_domain, utf8) != casefold(domain, utf8):
        return None
    rest = address[size:]
    if conf.address_verify_sender_ttl > 0:
        slot, rest = _parse_number(rest)
        if abs(slot - _epoch(process)) > 1:
            return None
    return template if rest[:1] in ("", "@") else None
