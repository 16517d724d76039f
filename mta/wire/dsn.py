"""Delivery status: the DSN structure and its codes (RFC 3463, RFC 3464; Postfix's dsn(3), dsn_util)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_STATUS = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=$|[ \t\r\n\f\v])")


@dataclass(frozen=True, slots=True)
class Dsn:
    """What happened to a recipient.

    ``action`` is empty where the agent leaves it to the bounce logger.  ``dtype``/``dtext`` are the
    diagnostic code (``smtp``, ``x-unix``, …), ``mtype``/``mname`` the remote MTA (``dns``).
    """

    status: str
    reason: str
    action: str = ""
    dtype: str = ""
    dtext: str = ""
    mtype: str = ""
    mname: str = ""

    def with_status(self, status: str) -> Dsn:
        """The same with another enhanced status code."""
        return replace(self, status=status)


def dsn_valid(text: str) -> int:
    """The length of a valid enhanced status code at the start of the text, else 0."""
    match = _STATUS.match(text)
    return match.end() if match else 0


def dsn_split(default: str, text: str) -> tuple[str, str]:
    """The status code at the start of the text and the rest without leading blanks; the default
    where there is none (dsn_split in dsn_util).
    """
    text = text.lstrip(" \t")
    size = dsn_valid(text)
    if size:
        return text[:size], text[size:].lstrip(" \t")
    return default, text


def dsn_prepend(default: str, text: str) -> str:
    """The text with a status code in front, the default where it has none of its own."""
    return text if dsn_valid(text) else f"{default} {text}"
