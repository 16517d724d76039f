"""Messages that the mail system itself writes: notices, bounces, probes (post_mail(3))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.lib.cleanup_client import cleanup_finish, cleanup_open
from mta.lib.post_mail_head import internal_flags, preamble
from mta.lib.requests import CleanupMessage, CleanupReply
from mta.system import Wait
from mta.wire.text import to_bytes

if TYPE_CHECKING:
    from mta.master.server import Process

class PostMail:
    """A message under way.  ``text`` adds lines of the content, header first."""

    def __init__(self, process: Process, message: CleanupMessage) -> None:
        self.process = process
        self.message = message
        self._put = message.records.append

    @property
    def queue_id(self) -> str:
        """The queue id that the message has got."""
        return self.message.queue_id

    def text(self, *lines: str) -> None:
        """Lines of content without their line ends."""
        for line in lines:
            self._put(("N", to_bytes(line)))

    def finish(self) -> Wait[CleanupReply]:
        """Ends the message; the reply of cleanup(8).  Raises Gone."""
        self._put(("X", b""))
        self._put(("E", b""))
        return (yield from cleanup_finish(self.process, self.message))


def post_mail_open(
    process: Process,
    sender: str,
    recipient: str,
    source: str,
    *,
    trace_flags: int = 0,
    smtputf8: int = 0,
    attributes: tuple[str, ...] = (),
) -> Wait[PostMail]:
    """Begins a message to one recipient with its Received, Date and basic header fields.
    Raises Gone where cleanup(8) fails.
    """
    message = yield from cleanup_open(process, internal_flags(process, source, smtputf8))
    mail = PostMail(process, message)
    preamble(process, message, sender, recipient, trace_flags, attributes)
    return mail
