"""The mail log as one process writes it (msg(3) with syslog as its output)."""

from __future__ import annotations

from typing import NoReturn

from mta.system import Fatal, Panic, System


class Log:
    """Writes lines with the tag and number of a process; the text is Postfix's own.

    ``tag`` is ``$syslog_name/program`` (``postfix/smtpd``).  Control characters are made visible
    as Postfix does it: each becomes ``?``.
    """

    __slots__ = ("pid", "system", "tag")

    def __init__(self, system: System, tag: str, pid: int) -> None:
        self.system = system
        self.tag = tag
        self.pid = pid

    def info(self, text: str) -> None:
        """A line without a level."""
        self.system.syslog(self.tag, self.pid, text if text.isprintable() else printable(text))

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


#: What Postfix's printable(3) replaces: all that is not printable ASCII or valid UTF-8.
_CONTROL = {code: "?" for code in (*range(32), 127)}


def printable(text: str, replacement: str = "?") -> str:
    """The text with control characters, and bytes that are not UTF-8, replaced (printable(3))."""
    text = text.translate(_CONTROL if replacement == "?" else {c: replacement for c in _CONTROL})
    if text.isascii():
        return text
    return "".join(replacement if "\ud800" <= c <= "\udfff" else c for c in text)
