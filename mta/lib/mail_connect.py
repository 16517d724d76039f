"""mail_connect(3) - a process of an internal service, asked for with patience."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mta.system import Gone, Wait

if TYPE_CHECKING:
    from mta.master.master import Connection
    from mta.master.server import Process

_ATTEMPTS = 10
_DELAY = 10  #: seconds between attempts

#: What a connection fails with where nobody listens.
NOBODY = ("No such file or directory", "Connection refused")


def mail_connect_wait(process: Process, service: str, where: str = "private") -> Wait[Connection]:
    """Gets hold of a process of a service; ``where`` is the directory of its socket.  It is fatal
    when that keeps failing (mail_connect_wait(3)).
    """
    count = 0
    while True:
        try:
            return (yield from process.connect(service))
        except Gone as gone:
            count += 1
            text = f"connect #{count} to subsystem {where}/{service}: {gone.args[0]}"
            if count > _ATTEMPTS:
                process.log.fatal(text)
            process.log.warning(text)
        yield process.system.sleep(_DELAY)


def call_wait(process: Process, service: str, request: Any, where: str = "private") -> Wait[Any]:
    """A request to a service that may not be there yet.  Raises Gone: its process died over it."""
    try:
        return (yield from process.call(service, request))
    except Gone as gone:
        if gone.args[0] not in NOBODY:
            raise
    connection = yield from mail_connect_wait(process, service, where)
    return (yield from connection.call(request))
