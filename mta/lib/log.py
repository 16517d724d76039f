"""The mail log as one process writes it (msg(3) with syslog as its output)."""

from __future__ import annotations

import re
from typing import Any, NoReturn

from mta.system import Fatal, Panic, System
from mta.wire.text import printable, to_bytes, to_text

_LIMIT = 2000  #: bytes of a text (MSG_SYSLOG_RECLEN)
_MIN_LONG = _LIMIT // 4  #: so many characters of UTF-8 may be too long
_LEVEL = re.compile(r"(?:warning|error|fatal|panic): ")


def _limited(text: str) -> str:
    """The text as far as it fits, after its level."""
    level = _LEVEL.match(text)
    start = level.end() if level else 0
    if text.isascii():
        return text[: start + _LIMIT]
    return to_text(to_bytes(text)[: start + _LIMIT])


class Log:
    """Writes lines with the tag and number of a process; the text is Postfix's own.

    ``tag`` is ``$syslog_name/program`` (``postfix/smtpd``).  Control characters are made visible
    as Postfix does it: each becomes ``?``; without ``smtputf8_enable`` in ``conf`` (the process's
    configuration, where there is one) so does each byte that is not ASCII.  A text ends after 2000
    bytes, its level aside.
    """

    __slots__ = ("conf", "pid", "system", "tag")

    def __init__(self, system: System, tag: str, pid: int) -> None:
        self.system = system
        self.tag = tag
        self.pid = pid
        self.conf: Any = None

    def info(self, text: str) -> None:
        """A line without a level."""
        if not (text.isascii() and text.isprintable()):
            utf8 = self.conf is None or self.conf.smtputf8_enable
            text = printable(text, "?", utf8)
        if len(text) > _MIN_LONG:
            text = _limited(text)
        self.system.syslog(self.tag, self.pid, text)

    def warning(self, text: str) -> None:
        """``warning: ...``."""
        self.info(f"warning: {text}")

    def error(self, text: str) -> None:
        """``error: ...``."""
        self.info(f"error: {text}")

    def fatal(self, text: str) -> NoReturn:
        """``fatal: ...``, and the process ends: raises Fatal."""
        self.info(f"fatal: {text}")
        raise Fatal(text)

    def panic(self, text: str) -> NoReturn:
        """``panic: ...``, and the process aborts: raises Panic."""
        self.info(f"panic: {text}")
        raise Panic(text)
