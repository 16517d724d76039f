"""Syntax of host names and addresses (valid_hostname(3)).

Each function returns a :class:`Verdict`: true when the text is good, false with the ``reason`` that
Postfix would warn of.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from mta.util.mac_expand import clip
from mta.util.scalars import all_digits
from mta.wire.text import to_bytes

MAX_HOSTNAME = 255
MAX_LABEL = 63


class Verdict(NamedTuple):
    """Whether a text is good; where it is not, why (the warning's text)."""

    good: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.good


GOOD = Verdict(True)

_FINE = re.compile(
    r"(?=[0-9.]*[A-Za-z_-])(?!.{256})"
    r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    r"(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*"
)
_NAME_CHARS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_HEX = re.compile(r"[0-9A-Fa-f]*")


def _bad(function: str, complaint: str, text: str) -> Verdict:
    return Verdict(False, f"{function}: {complaint}: {clip(text, 100)}")


def _strange(function: str, char: str, text: str, where: str = "") -> Verdict:
    return _bad(function, f"invalid character {to_bytes(char)[0]}(decimal){where}", text)


@lru_cache(maxsize=4096)
def valid_hostname(name: str) -> Verdict:
    """Whether a text is a host name: labels of letters, digits, ``-`` and ``_``, not all digits."""
    if _FINE.fullmatch(name):
        return GOOD
    myname = "valid_hostname"
    if not name:
        return Verdict(False, f"{myname}: empty hostname")
    length = 0
    numeric = True
    for index, char in enumerate(name):
        following = name[index + 1 : index + 2]
        if char in _NAME_CHARS:
            length += 1
            if length > MAX_LABEL:
                return _bad(myname, "hostname label too long", name)
            if char not in "0123456789":
                numeric = False
        elif char == ".":
            if length == 0 or not following:
                return _bad(myname, "misplaced delimiter", name)
            length = 0
        elif char == "-":
            numeric = False
            length += 1
            if length == 1 or following in ("", "."):
                return _bad(myname, "misplaced hyphen", name)
        else:
            return _strange(myname, char, name)
    if numeric:
        return _bad(myname, "numeric hostname", name)
    if len(name) > MAX_HOSTNAME:
        return Verdict(False, f"{myname}: bad length {len(name)} for {clip(name, 100)}...")
    return GOOD


@lru_cache(maxsize=4096)
def valid_hostaddr(text: str) -> Verdict:
    """Whether a text is a numeric IPv4 or IPv6 address, without brackets."""
    if not text:
        return Verdict(False, "valid_hostaddr: empty address")
    return valid_ipv6_hostaddr(text) if ":" in text else valid_ipv4_hostaddr(text)


def valid_ipv4_hostaddr(text: str) -> Verdict:
    """Whether a text is a dotted quad."""
    myname = "valid_ipv4_hostaddr"
    count = 0
    value = 0
    inside = False
    for index, char in enumerate(text):
        if char in "0123456789":
            if not inside:
                inside = True
                value = 0
                count += 1
            value = value * 10 + int(char)
            if value > 255:
                return _bad(myname, "invalid octet value", text)
        elif char == ".":
            if not inside or index + 1 == len(text):
                return _bad(myname, "misplaced dot", text)
            if count == 1 and value == 0 and text.lstrip("0."):
                return _bad(myname, "bad initial octet value", text)
            inside = False
        else:
            return _strange(myname, char, text)
    if count != 4:
        return _bad(myname, "invalid octet count", text)
    return GOOD


def valid_ipv6_hostaddr(text: str) -> Verdict:
    """Whether a text is an IPv6 address: eight fields, or fewer with ``::`` or a dotted quad."""
    myname = "valid_ipv6_hostaddr"
    field = null_field = length = index = 0
    while True:
        char = text[index : index + 1]
        if not char:
            if field < 2:
                return _bad(myname, "too few `:' in IPv6 address", text)
            if length == 0 and null_field != field - 1:
                return _bad(myname, "bad null last field in IPv6 address", text)
            return GOOD
        if char == ".":
            if field < 2 or field > 6:
                return _bad(myname, "malformed IPv4-in-IPv6 address", text)
            return valid_ipv4_hostaddr(text[index - length :])
        if char == ":":
            following = text[index + 1 : index + 2]
            if field == 0 and length == 0 and following.isascii() and following.isalnum():
                return _bad(myname, "bad null first field in IPv6 address", text)
            field += 1
            if field > 7:
                return _bad(myname, "too many `:' in IPv6 address", text)
            index += 1
            length = 0
            if following == ":":
                if null_field > 0:
                    return _bad(myname, "too many `::' in IPv6 address", text)
                null_field = field
            continue
        match = _HEX.match(text, index)
        length = len(match[0]) if match else 0
        if length > 4:
            return _bad(myname, "malformed IPv6 address", text)
        if length == 0:
            return _strange(myname, char, text, " in IPv6 address")
        index += length


def valid_hostport(text: str) -> Verdict:
    """Whether a text is a port number, in decimal without leading zeros."""
    myname = "valid_hostport"
    if text[:1] == "0" and len(text) > 1:
        return _bad(myname, "leading zero in port number", text)
    if not all_digits(text):
        return _bad(myname, "non-numeric port number", text)
    if len(text) > 5 or int(text) > 65535:
        return _bad(myname, "out-of-range port number", text)
    return GOOD


def mailhost_addr(text: str) -> str | None:
    """The bare address of an RFC 5321 address literal without its brackets.

    IPv6 addresses must, IPv4 addresses must not have the prefix ``IPv6:``.  None where it is none
    (``valid_mailhost_addr``).
    """
    return valid_mailhost_addr(text)[0]


def valid_mailhost_addr(text: str) -> tuple[str | None, Verdict]:
    """As :func:`mailhost_addr`, with the verdict and its reason."""
    if text[:5].lower() == "ipv6:":
        verdict = valid_ipv6_hostaddr(text[5:])
        return (text[5:] if verdict else None), verdict
    verdict = valid_ipv4_hostaddr(text)
    return (text if verdict else None), verdict


def valid_mailhost_literal(text: str) -> Verdict:
    """Whether a text is an RFC 5321 address literal, ``[1.2.3.4]`` or ``[IPv6:::1]``."""
    myname = "valid_mailhost_literal"
    if text[:1] != "[":
        return _bad(myname, "'[' expected at start", text)
    inner, bracket, rest = text[1:].partition("]")
    if not bracket:
        return _bad(myname, "']' expected at end", text)
    if rest:
        return _bad(myname, "unexpected text after ']'", text)
    if len(to_bytes(inner)) >= _HOSTADDR_SIZE:
        return _bad(myname, "too much text", text)
    return valid_mailhost_addr(inner)[1]


#: The size of an address in text with its scope, in Postfix (MAI_HOSTADDR_STR; INET6_ADDRSTRLEN).
_HOSTADDR_SIZE = 46
