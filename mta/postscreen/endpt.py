"""The endpoints of a connection, as the network or an upstream proxy tells (postscreen_endpt.c,
postscreen_haproxy.c).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from mta.lib.haproxy_srvr import HAPROXY_MAX_LEN, HaproxyError, haproxy_srvr_parse
from mta.lib.inet_proto import IPV4, inet_families
from mta.lib.passed_stream import PassedStream
from mta.system import Endpoint, Gone, Inet, Stream, TimedOut, Wait
from mta.util.escape import escape
from mta.wire.text import to_text

if TYPE_CHECKING:
    from mta.master.server import Process


def endpt_lookup(process: Process, stream: Stream) -> Wait[PassedStream | None]:
    """The connection with its endpoints; None, after a warning, where they cannot be known."""
    protocol = process.conf.postscreen_upstream_proxy_protocol
    if not protocol:
        return _local(process, stream)
    if protocol != "haproxy":
        process.log.fatal(f"unsupported postscreen_upstream_proxy_protocol value: {protocol}")
    return (yield from _haproxy(process, stream))


def _local(process: Process, stream: Stream) -> PassedStream:
    families = inet_families(process.conf.inet_protocols)

    def text(endpoint: Endpoint) -> tuple[str, str]:
        assert isinstance(endpoint, Inet)
        address = ipaddress.ip_address(endpoint.host)
        if isinstance(address, ipaddress.IPv6Address) and IPV4 in families:
            return str(address.ipv4_mapped or address), str(endpoint.port)
        return str(address), str(endpoint.port)

    return PassedStream(stream, *text(stream.remote), *text(stream.local))


def _haproxy(process: Process, stream: Stream) -> Wait[PassedStream | None]:
    limit = HAPROXY_MAX_LEN
    warning = process.log.warning
    try:
        line = yield stream.read_line(limit + 1, process.conf.postscreen_upstream_proxy_timeout)
    except TimedOut:
        warning("haproxy read: time limit exceeded")
        return None
    except Gone as gone:
        warning(f"haproxy read: {gone.args[0]}")
        return None
    if len(line) > limit:
        warning("haproxy read: line too long")
        return None
    if not line.endswith(b"\n"):
        warning("haproxy read: lost connection")
        return None
    try:
        found = haproxy_srvr_parse(to_text(line), inet_families(process.conf.inet_protocols))
    except HaproxyError as error:
        warning(f"haproxy read: {error.args[0]}: {escape(line)}")
        return None
    return PassedStream(stream, *found)
