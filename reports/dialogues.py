"""Transcripts of sessions taken apart: which reply belongs to which command."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

#: What stands for the beginning of a session, before any command.
CONNECTING = "connecting"


class Exchange(NamedTuple):
    """A command and what came back."""

    command: str  #: :data:`CONNECTING` for the beginning; ``<3 lines>`` for message content
    lines: list[str]  #: of the reply, and ``* `` events

    @property
    def reply(self) -> str:
        """The reply without events; several lines joined."""
        return "\n".join(line for line in self.lines if not line.startswith("* "))

    @property
    def told(self) -> str:
        """All that came back."""
        return "\n".join(self.lines)


def exchanges(transcript: Iterable[str]) -> list[Exchange]:
    """The commands of a client's transcript, each with its reply.

    The replies to pipelined commands come after all of them, in their order.  Events belong to the
    first command that still waits for its reply, or else to the last one that has got it.
    """
    found = [Exchange(CONNECTING, [])]
    waiting = [0]
    latest = 0
    for line in transcript:
        kind, text = line[:3], line[3:]
        if kind == "C: ":
            found.append(Exchange(text, []))
            waiting.append(len(found) - 1)
            continue
        latest = waiting[0] if waiting else latest
        found[latest].lines.append(text if kind == "S: " else line)
        if kind == "S: " and waiting and text[3:4] != "-":
            waiting.pop(0)
    return found
