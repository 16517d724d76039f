"""How a process puts a message into the queue: the client side of cleanup(8).

Records go into ``message.records`` as ``(type, data)``; nothing is processed before ``finish``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.lib.mail_connect import call_wait
from mta.lib.requests import CleanupMessage, CleanupOpen, CleanupReply
from mta.system import Gone, Wait

if TYPE_CHECKING:
    from mta.master.server import Process

#: Where a process notes its messages that are not finished: cleanup(8) removes them when it dies.
UNFINISHED = "unfinished messages"


def cleanup_open(process: Process, flags: int, *, patient: bool = False) -> Wait[CleanupMessage]:
    """Asks cleanup(8) for a queue file: its queue id and the place for its records.  ``patient``:
    a service that is not there is waited for (see :mod:`mta.lib.mail_connect`).
    Raises Gone where the service fails.  Every message must be finished.
    """
    name = process.conf.cleanup_service_name
    request = CleanupOpen(flags)
    message: CleanupMessage
    if patient:
        message = yield from call_wait(process, name, request, "public")
    else:
        message = yield from process.call(name, request)
    process.cache.setdefault(UNFINISHED, {})[message.queue_id] = message
    return message


def cleanup_finish(
    process: Process, message: CleanupMessage, service: str = ""
) -> Wait[CleanupReply]:
    """Hands over the records: cleanup(8) writes the message and wakes the queue manager, or says
    what is wrong.  A message whose records do not end with an END record was given up by its
    client: cleanup(8) removes it.  Raises Gone where the process dies.
    """
    name = service or process.conf.cleanup_service_name
    process.cache.get(UNFINISHED, {}).pop(message.queue_id, None)
    reply: CleanupReply = yield from process.call(name, message)
    return reply


def hang_up(process: Process) -> None:
    """The process has died: the messages that it was about to write come to nothing."""
    unfinished: dict[str, CleanupMessage] = process.cache.get(UNFINISHED, {})
    for message in list(unfinished.values()):
        message.records.clear()
        process.system.spawn(_give_up(process, message), "unfinished message")


def _give_up(process: Process, message: CleanupMessage) -> Wait[None]:
    try:
        yield from cleanup_finish(process, message)
    except Gone:
        pass
