r"""smtp_reply_footer(3) - text that is added to rejections (``smtpd_reject_footer``)."""

from __future__ import annotations

import re
from collections.abc import Callable

from mta.wire.dsn import dsn_valid

_REPLY_LINE = re.compile(r"[0-9]{3}[ -]")


def smtp_reply_footer(reply: str, template: str, expand: Callable[[str], str]) -> str:
    r"""The reply with the template's lines after its own; lines of the reply end in CR LF, those of
    the template in ``\n`` (two characters).  ``\c`` at the start continues the reply's last line.

    ``expand`` replaces ``$name`` in a line.  A reply that is none is returned as it is.
    """
    ended = reply.endswith("\r\n")
    lines = (reply[:-2] if ended else reply).split("\r\n")
    patched: list[str] = []
    for place, line in enumerate(lines):
        if not _REPLY_LINE.match(line):
            # Lines before the odd one have become continuation lines by now.
            return "\r\n".join(patched + lines[place:]) + ("\r\n" if ended else "")
        patched.append(f"{line[:3]}-{line[4:]}")
    code = reply[:3]
    status = reply[4 : 4 + dsn_valid(reply[4:])]
    parts = template.split("\\n")
    joined = parts[0].startswith("\\c")
    for place, part in enumerate(parts):
        if place == 0 and joined:
            patched[-1] += expand(part[2:])
            continue
        mark = " " if place == len(parts) - 1 else "-"
        text = f"{code}{mark}{status} " if status else f"{code}{mark}"
        patched.append(text + expand(part))
    if joined and len(parts) == 1:
        patched[-1] = f"{patched[-1][:3]} {patched[-1][4:]}"
    return "\r\n".join(patched) + ("\r\n" if ended else "")
