"""The connection to a filter, buffered in both directions as vstream(3) does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.lib.inet_connect import inet_connect, unix_connect
from mta.system import Gone, Inet, Stream, TimedOut, Wait

if TYPE_CHECKING:
    from mta.master.server import Process

_BUFFER = 4096
#: Twice the segment size of the loopback interface, which vstream_tweak_tcp(3) takes for a buffer.
_LOOPBACK_BUFFER = 130966
_TIMED_OUT = "Connection timed out"
_SUCCESS = "Success"


class Socket:
    """What two processes share that hold the same connection."""

    __slots__ = ("error", "shut", "stream")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.shut = False  #: one of them has shut it down for both
        self.error = "Broken pipe"  #: what the other one finds then


class Connection:
    """One process's end of the connection, with its buffers."""

    __slots__ = (
        "_borrowed",
        "_limit",
        "_out",
        "buffer",
        "packet_left",
        "packets",
        "socket",
        "timeout",
    )

    def __init__(self, socket: Socket, timeout: float, borrowed: bool = False) -> None:
        """``timeout``: seconds for each read or write; 0: no limit.  ``borrowed``: another process
        goes on with the connection.
        """
        self.socket = socket
        self.timeout = timeout
        self._borrowed = borrowed
        self.buffer = b""  #: what has come and is not used yet
        self.packets = 0  #: how many packets of the answer at hand have been read
        self.packet_left = 0  #: how much of the buffer belongs to the last of them
        self._out = bytearray()
        remote = socket.stream.remote
        local = isinstance(remote, Inet) and remote.host.startswith(("127.", "::1"))
        self._limit = _LOOPBACK_BUFFER if local else _BUFFER

    def write(self, data: bytes) -> bool:
        """Takes bytes; whether it is time to flush."""
        self._out += data
        return len(self._out) >= self._limit

    def flush(self) -> Wait[str | None]:
        """Sends what was written.  None, or the errno's text."""
        if not self._out:
            return None
        if self.socket.shut:
            return self.socket.error
        stream = self.socket.stream
        stream.write(bytes(self._out))
        self._out.clear()
        try:
            yield stream.flush(self.timeout)
        except TimedOut:
            return _TIMED_OUT
        except Gone as gone:
            return str(gone.args[0])
        return None

    def fill(self) -> Wait[str | None]:
        """Sends what was written, then reads more into ``buffer``.  None, or the errno's text."""
        if self._out:
            error = yield from self.flush()
            if error is not None:
                return error
        if self.socket.shut:
            return _SUCCESS
        try:
            data = yield self.socket.stream.read(_LOOPBACK_BUFFER, self.timeout)
        except TimedOut:
            return _TIMED_OUT
        except Gone as gone:
            return str(gone.args[0])
        if not data:
            return _SUCCESS
        self.buffer += data
        return None

    def share(self) -> Connection:
        """The same connection for another process, with buffers of its own and no time limit."""
        return Connection(self.socket, 0, borrowed=True)

    def shutdown(self) -> None:
        """Ends the connection for all who hold it; what was written is lost.

        The first packet of an answer comes by itself, and the others when TCP has heard that it has
        arrived (Nagle's algorithm).  When they come now they make the kernel reset the connection.
        """
        self._out.clear()
        if self.socket.shut:
            return
        self.socket.shut = True
        more = self.buffer[self.packet_left :]
        is_packet = len(more) > 4 and 0 < int.from_bytes(more[:4]) <= len(more) - 4
        if is_packet and self.packets == 1 and isinstance(self.socket.stream.remote, Inet):
            self.socket.error = "Connection reset by peer"
        self.socket.stream.close()

    def close(self) -> None:
        """Sends what was written and ends our part in the connection."""
        if self.socket.shut:
            return
        self.socket.stream.write(bytes(self._out))
        if not self._borrowed:
            self.socket.shut = True
            self.socket.stream.close()


def connect(process: Process, transport: str, endpoint: str, timeout: float) -> Wait[Socket]:
    """Connects over ``inet``, ``unix`` or ``local``.  Raises ConnectError, Fatal."""
    if transport == "inet":
        stream = yield from inet_connect(process, endpoint, timeout)
    else:
        stream = yield from unix_connect(process, endpoint, timeout)
    return Socket(stream)
