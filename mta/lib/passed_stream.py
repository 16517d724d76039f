"""A connection that one process passes on to another (postscreen(8) to a ``pass`` service)."""

from __future__ import annotations

from typing import NamedTuple

from mta.system import Stream


class PassedStream(NamedTuple):
    """The connection and its endpoints, which need not be those of the stream itself (haproxy)."""

    stream: Stream
    client_address: str
    client_port: str
    server_address: str
    server_port: str
