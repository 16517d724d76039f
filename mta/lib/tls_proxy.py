"""The client of tlsproxy(8) (tls_proxy_clnt(3))."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mta.system import Gone, Stream, Wait

if TYPE_CHECKING:
    from mta.master.server import Process


@dataclass(slots=True, frozen=True)
class TlsproxyRequest:
    """A connection to be encrypted: whose (``[address]:port``), and for which service."""

    stream: Stream
    remote: str
    timeout: float
    server_id: str
    role: Literal["server", "client"] = "server"
    #: What the program does when TLS is to be had, before the handshake.
    ready: Callable[[], Wait[Any]] | None = None


@dataclass(slots=True, frozen=True)
class TlsproxyReply:
    """``ready``: TLS works at all.  ``session`` is what the handshake came to, None where it
    failed; then the connection is gone.  ``finish`` ends TLS and the connection.
    """

    ready: bool
    session: Any = None
    finish: Callable[[], None] | None = None


def tls_proxy_open(
    process: Process,
    stream: Stream,
    remote: str,
    timeout: float,
    server_id: str,
) -> Wait[TlsproxyReply | None]:
    """Hands a client's connection to tlsproxy(8).  The stream is plain text afterwards.

    None, after a warning, where there is no TLS to be had; the stream is as it was.
    """
    service = f"private/{process.conf.tlsproxy_service_name}"
    request = TlsproxyRequest(stream, remote, timeout, server_id)
    try:
        reply = yield from process.call(process.conf.tlsproxy_service_name, request)
    except Gone as gone:
        process.log.warning(f"connect to {service} service: {gone.args[0]}")
        return None
    assert isinstance(reply, TlsproxyReply)
    if not reply.ready:
        process.log.warning(f'{service} service role "server" is not available')
        return None
    return reply
