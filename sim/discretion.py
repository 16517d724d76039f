"""The law that nothing is said in the clear to those to whom it must not be said.

A program that has to encrypt what it says says so when it has connected (``Stream.confide``).  From
then on every byte that it sends on that connection is watched, in every run: in the clear may go
what opens a session and ends it, and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.system import Inet

if TYPE_CHECKING:
    from sim.link import Tap
    from sim.streams import SimStream

#: The commands of SMTP and LMTP that may go in the clear; they tell nothing of any mail.
OPENING = frozenset({b"EHLO", b"HELO", b"LHLO", b"STARTTLS", b"RSET", b"NOOP", b"QUIT"})
#: Longer than any line of the opening.
_LONGEST = 2048


class Indiscretion(Exception):
    """A program sent in the clear what it must not: a defect of the program.  ``args[0]`` tells
    what, and to whom.
    """


class Discretion:
    """Watches one end of a connection; the tap of its link, in front of one that was there."""

    __slots__ = ("_rest", "_stream", "_tap")

    def __init__(self, stream: SimStream) -> None:
        self._stream = stream
        self._tap: Tap | None = stream.link.tap
        self._rest = b""
        stream.link.tap = self

    def __call__(self, stream: SimStream, kind: str, data: bytes) -> None:
        """Hears what an end sends.  Raises Indiscretion."""
        if self._tap is not None:
            self._tap(stream, kind, data)
        if stream is self._stream and kind == "clear":
            self._check(data)

    def _check(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST:
            lines.append(self._rest)
        for line in lines:
            verb = line.split(None, 1)[0].upper() if line.strip() else b""
            if verb not in OPENING:
                remote = self._stream.remote
                whom = f"{remote.host}:{remote.port}" if isinstance(remote, Inet) else remote.path
                raise Indiscretion(f"sent in the clear to {whom}: {line.rstrip()!r}")
