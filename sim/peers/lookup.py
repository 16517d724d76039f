"""Servers that answer lookups over the network: tcp_table(5), socketmap_table(5), memcache.

They know a list of keys and values.  A server can be slow, or say to the first requests, or to all,
that it has a problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mta.system import Endpoint, Gone, Stream, TimedOut, Wait
from mta.wire.text import to_bytes, to_text
from sim.peers.host import PeerMachine, Server
from sim.peers.transcript import Closed, Silent, send, some_bytes

#: How long a server waits for the next request, in seconds.
PATIENCE = 3600.0

Protocol = Literal["tcp", "socketmap", "memcache"]


@dataclass(slots=True)
class LookupSpec:
    """What a server knows, and how it behaves."""

    protocol: Protocol
    entries: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0  #: seconds before each answer
    fails: str = ""  #: what it says instead of an answer
    times: int | None = None  #: how often; None: always


class _Session:
    """One connection."""

    def __init__(self, server: LookupServer, stream: Stream) -> None:
        self.server = server
        self.stream = stream
        self.buffer = b""

    def more(self) -> Wait[None]:
        self.buffer += yield from some_bytes(self.stream, PATIENCE)

    def line(self) -> Wait[bytes]:
        """A line without its end."""
        while b"\n" not in self.buffer:
            yield from self.more()
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.removesuffix(b"\r")

    def take(self, size: int) -> Wait[bytes]:
        while len(self.buffer) < size:
            yield from self.more()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def until(self, end: bytes) -> Wait[bytes]:
        while end not in self.buffer:
            yield from self.more()
        data, _, self.buffer = self.buffer.partition(end)
        return data


class LookupServer(Server):
    """A server on a machine."""

    passive = True

    def __init__(self, spec: LookupSpec, machine: PeerMachine, endpoint: Endpoint) -> None:
        super().__init__(machine, endpoint)
        self.spec = spec
        self.entries = dict(spec.entries)
        self.requests: list[str] = []  #: the keys, in order
        self._fails_left = spec.times

    def serve(self, stream: Stream) -> Wait[None]:
        """One connection: any number of requests."""
        session = _Session(self, stream)
        answer = {"tcp": self._tcp, "socketmap": self._socketmap, "memcache": self._memcache}
        try:
            while True:
                reply = yield from answer[self.spec.protocol](session)
                if self.spec.delay:
                    yield self.machine.sleep(self.spec.delay)
                stream.write(reply)
                yield from send(stream)
        except (Closed, Silent, Gone, TimedOut, ValueError):
            pass
        stream.close()

    def _problem(self) -> str:
        """What it says instead of an answer; empty where it has none."""
        if not self.spec.fails or self._fails_left == 0:
            return ""
        if self._fails_left is not None:
            self._fails_left -= 1
        return self.spec.fails

    def _tcp(self, session: _Session) -> Wait[bytes]:
        line = yield from session.line()
        word, _, key = line.partition(b" ")
        if word != b"get":
            return b"400 unknown%20command\n"
        name = to_text(_unquoted(key))
        self.requests.append(name)
        problem = self._problem()
        if problem:
            return b"400 " + _quoted(problem) + b"\n"
        value = self.entries.get(name)
        return b"500 not%20found\n" if value is None else b"200 " + _quoted(value) + b"\n"

    def _socketmap(self, session: _Session) -> Wait[bytes]:
        size = int((yield from session.until(b":")))
        data = yield from session.take(size + 1)
        request = to_text(data[:-1])
        self.requests.append(request)
        problem = self._problem()
        if problem:
            return _netstring(f"TEMP {problem}")
        value = self.entries.get(request, self.entries.get(request.partition(" ")[2]))
        return _netstring("NOTFOUND " if value is None else f"OK {value}")

    def _memcache(self, session: _Session) -> Wait[bytes]:
        words = to_text((yield from session.line())).split(" ")
        data = b""
        if words[0] == "set":
            data = (yield from session.take(int(words[4]) + 2))[:-2]
        key = words[1] if len(words) > 1 else ""
        self.requests.append(" ".join(words[:2]))
        problem = self._problem()
        if problem:
            return to_bytes(f"SERVER_ERROR {problem}\r\n")
        if words[0] == "set":
            self.entries[key] = to_text(data)
            return b"STORED\r\n"
        if words[0] == "delete":
            return b"NOT_FOUND\r\n" if self.entries.pop(key, None) is None else b"DELETED\r\n"
        value = self.entries.get(key)
        if words[0] != "get":
            return b"ERROR\r\n"
        if value is None:
            return b"END\r\n"
        text = to_bytes(value)
        return b"VALUE %b 0 %d\r\n%b\r\nEND\r\n" % (to_bytes(key), len(text), text)


def _netstring(text: str) -> bytes:
    data = to_bytes(text)
    return b"%d:%b," % (len(data), data)


def _quoted(text: str) -> bytes:
    return b"".join(
        bytes([byte]) if 33 <= byte < 127 and byte != 37 else b"%%%02X" % byte
        for byte in to_bytes(text)
    )


def _unquoted(data: bytes) -> bytes:
    head, *rest = data.split(b"%")
    return head + b"".join(bytes([int(part[:2], 16)]) + part[2:] for part in rest)
