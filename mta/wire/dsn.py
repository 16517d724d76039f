"""Delivery status: the DSN structure and its codes (RFC 3463, RFC 3464; dsn(3), dsn_util(3))."""

from __future__ import annotations

import re
from typing import NamedTuple

_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?=\Z|[ \t\r\n\f\v])")
_SPACES = " \t\r\n\f\v"


class Dsn(NamedTuple):
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


def dsn_valid(text: str) -> int:
    """The length of a valid enhanced status code at the start of the text, else 0."""
    match = _STATUS.match(text)
    return match.end() if match else 0


def dsn_split(default: str, text: str) -> tuple[str, str]:
    """The status code at the start of the text and the rest, both without white space before them;
    the default where there is none (dsn_split in dsn_util(3)).
    """
    text = text.lstrip(_SPACES)
    size = dsn_valid(text)
    if size:
        return text[:size], text[size:].lstrip(_SPACES)
    return default, text


def dsn_prepend(default: str, text: str) -> str:
    """The text with a status code and a blank in front, the default where it has none."""
    status, rest = dsn_split(default, text)
    return f"{status} {rest}"
