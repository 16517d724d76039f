"""Where postconf(1) writes: standard output through a buffer, messages at once."""

from __future__ import annotations

from typing import NoReturn

from mta.util.scalars import BLANKS, split
from mta.wire.text import printable, to_bytes

_BUFFER_SIZE = 4096
LINE_LIMIT = 80
INDENT = "    "


class PostconfExit(Exception):
    """The command ends; ``args[0]`` is its exit status."""


class Terminal:
    """Both streams of a command on one terminal.

    Standard output is held back until its buffer is full or flushed, so that messages come first.
    """

    def __init__(self, program: str = "postconf") -> None:
        self.program = program
        self.shown: list[bytes] = []
        self.held = bytearray()

    def emit(self, stream: int, data: bytes) -> None:
        """Shows bytes, on standard output (1) or standard error (2)."""
        self.shown.append(data)

    def write(self, text: str) -> None:
        """Standard output."""
        self.held += to_bytes(text)
        while len(self.held) >= _BUFFER_SIZE:
            self.emit(1, bytes(self.held[:_BUFFER_SIZE]))
            del self.held[:_BUFFER_SIZE]

    def flush(self) -> None:
        """Shows what is held back."""
        if self.held:
            self.emit(1, bytes(self.held))
            self.held.clear()

    def message(self, text: str) -> None:
        """A line on standard error; what cannot be printed is ``?``."""
        self.emit(2, to_bytes(f"{self.program}: {printable(text, '?', False)}\n"))

    def warning(self, text: str) -> None:
        """A warning."""
        self.message(f"warning: {text}")

    def fatal(self, text: str) -> NoReturn:
        """A fatal error.  Output that is still held back is lost."""
        self.message(f"fatal: {text}")
        raise PostconfExit(1)

    def line(self, text: str, fold: bool) -> None:
        """A line with its blanks made even, and folded when it is long."""
        out: list[str] = []
        length = 0
        for word in split(text, BLANKS):
            size = len(to_bytes(word))
            if length > 0:
                if not fold or length + size < LINE_LIMIT:
                    out.append(" ")
                    length += 1
                else:
                    out.append("\n" + INDENT)
                    length = len(INDENT)
            out.append(word)
            length += size
        self.write("".join(out) + "\n")

    @property
    def output(self) -> bytes:
        """All that was shown."""
        return b"".join(self.shown)
