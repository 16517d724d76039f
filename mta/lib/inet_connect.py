"""inet_connect(3), unix_connect(3) - connections to servers that a parameter names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.lib.host_lookup import GAI_STRERROR, forward_addresses
from mta.lib.inet_proto import inet_families
from mta.system import ConnectError, Inet, Stream, TimedOut, Unix, Wait
from mta.util.host_port import HostPortError, host_port

if TYPE_CHECKING:
    from mta.master.server import Process


def inet_connect(process: Process, endpoint: str, timeout: float) -> Wait[Stream]:
    """A TCP connection to ``host:port``, ``[addr]:port`` or ``port`` (on localhost); addresses are
    tried in turn.

    Raises ConnectError with the last errno's text; Fatal where the endpoint is malformed or its
    host is unknown, as in Postfix.
    """
    try:
        host, port = host_port(endpoint, "localhost")
    except HostPortError as error:
        process.log.fatal(f"{endpoint}: {error.args[0]}")
    number = _port(port)
    if number is None:
        process.log.fatal(
            f"host/service {host}/{port} not found: Servname not supported for ai_socktype"
        )
    found = yield from forward_addresses(process, host, _family(process))
    if found.error:
        process.log.fatal(f"host/service {host}/{port} not found: {GAI_STRERROR[found.error]}")
    last = ConnectError("Connection refused")
    for address in found.addresses:
        try:
            stream: Stream = yield process.system.network.connect(Inet(address, number), timeout)
        except ConnectError as error:
            last = error
        except TimedOut:
            last = ConnectError("Connection timed out")
        else:
            process.keep(stream)
            return stream
    raise last


def unix_connect(process: Process, path: str, timeout: float) -> Wait[Stream]:
    """A connection to a local socket; relative paths start in the queue directory.
    Raises ConnectError with the errno's text.
    """
    if not path.startswith("/"):
        path = f"{process.conf.queue_directory}/{path}"
    try:
        stream: Stream = yield process.system.network.connect(Unix(path), timeout)
    except TimedOut:
        raise ConnectError("Connection timed out") from None
    process.keep(stream)
    return stream


def _family(process: Process) -> int:
    """The one address family of ``inet_protocols``; 0 for both."""
    families = inet_families(process.conf.inet_protocols)
    return families[0] if len(families) == 1 else 0


def _port(text: str) -> int | None:
    """A port by number or by its name in services(5)."""
    if text.isdecimal():
        return int(text) if int(text) < 65536 else None
    return _SERVICES.get(text.lower())


_SERVICES = {
    "smtp": 25, "submission": 587, "submissions": 465, "smtps": 465, "lmtp": 24, "qmqp": 628,
    "imap": 143, "ldap": 389, "mysql": 3306, "postgresql": 5432, "http": 80,
}  # fmt: skip
