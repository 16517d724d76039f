"""Where a message goes from smtpd(8): cleanup(8) (mail_stream(3))."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mta.lib.cleanup_client import cleanup_finish, cleanup_open
from mta.lib.requests import CLEANUP_STAT_WRITE, CleanupMessage, CleanupReply
from mta.system import Gone, Wait

if TYPE_CHECKING:
    from mta.master.server import Process


class Destination(Protocol):
    """A message on its way.  Exactly one of ``finish`` and ``abort`` is called."""

    message: CleanupMessage

    def finish(self) -> Wait[CleanupReply]:
        """Hands it over; the outcome."""

    def abort(self) -> Wait[None]:
        """Gives it up."""


class CleanupDestination:
    """A message for cleanup(8)."""

    __slots__ = ("message", "process")

    def __init__(self, process: Process, message: CleanupMessage) -> None:
        self.process = process
        self.message = message

    def finish(self) -> Wait[CleanupReply]:
        """Hands it over.  A cleanup process that dies counts as CLEANUP_STAT_WRITE."""
        try:
            return (yield from cleanup_finish(self.process, self.message))
        except Gone:
            return CleanupReply(CLEANUP_STAT_WRITE)

    def abort(self) -> Wait[None]:
        """Gives it up: cleanup(8) sees that its records do not end and removes it."""
        try:
            yield from cleanup_finish(self.process, self.message)
        except Gone:
            pass


def open_cleanup(process: Process, flags: int) -> Wait[Destination]:
    """A new message.  Logs a fatal error, and raises Fatal, where cleanup(8) is not there."""
    try:
        message = yield from cleanup_open(process, flags, patient=True)
    except Gone:
        process.log.fatal(
            f"unable to connect to the public {process.conf.cleanup_service_name} service"
        )
    return CleanupDestination(process, message)
