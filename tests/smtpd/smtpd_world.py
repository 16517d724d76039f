"""A very small world for smtpd: scripted clients, and services that answer at once."""

from __future__ import annotations

from collections.abc import Callable, Generator
from itertools import count
from typing import Any

from mta.conf.conf import Conf
from mta.conf.host import Host
from mta.lib.log import Log
from mta.lib.requests import (
    AnvilRequest,
    CleanupMessage,
    CleanupOpen,
    CleanupReply,
    FlushServiceRequest,
    ResolveReply,
    ResolveRequest,
    RewriteRequest,
)
from mta.smtpd.server import Server
from mta.smtpd.smtpd import smtpd_service
from mta.system import ConnectError, Fatal, Gone, Inet, Interface, TimedOut

SETTINGS = {
    "compatibility_level": "2",
    "myhostname": "mx.example.org",
    "mydestination": "example.org",
    "inet_protocols": "ipv4",
    "smtpd_tls_security_level": "",
    "smtpd_peername_lookup": "no",
}


class Pause:
    """A leaf that takes time."""

    def __init__(self, seconds: float, then: Any = None) -> None:
        self.seconds = seconds
        self.then = then


class Client:
    """A client that says one chunk each time it is listened to.

    A number is a pause in seconds before the next chunk; an exception is what the reader gets.  At
    the end of the script the client has closed the connection.
    """

    def __init__(self, system: System, *chunks: str | bytes | float | Exception) -> None:
        self.system = system
        self.chunks = list(chunks)
        self.local = Inet("192.0.2.25", 25)
        self.remote = Inet("198.51.100.7", 40000)
        self.heard = b""
        self.buffered = b""
        self.closed = False
        self.marks: list[tuple[int, bytes]] = []

    def read(self, limit: int, timeout: float) -> Any:
        pause = 0.0
        while self.chunks and isinstance(self.chunks[0], int | float):
            pause += float(self.chunks.pop(0))  # type: ignore[arg-type]
        if pause > timeout:
            return Pause(timeout, TimedOut())
        chunk = self.chunks.pop(0) if self.chunks else b""
        if isinstance(chunk, str):
            chunk = chunk.encode()
        return Pause(pause, chunk)

    @property
    def pending(self) -> int:
        return 0

    @property
    def at_end(self) -> bool:
        return not self.chunks

    def write(self, data: bytes) -> None:
        self.buffered += data

    def flush(self, timeout: float) -> Any:
        self.marks.append((self.system.now(), self.buffered))
        self.heard += self.buffered
        self.buffered = b""

    def close(self) -> None:
        if not self.closed:
            self.heard += self.buffered
            self.buffered = b""
        self.closed = True

    abort = close


class Files:
    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}

    def read(self, path: str) -> bytes:
        try:
            return self.content[path]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory") from None

    def exists(self, path: str) -> bool:
        return path in self.content


class Network:
    """Connections to servers by (host, port) or path, each a scripted Client."""

    def __init__(self) -> None:
        self.servers: dict[Any, Any] = {}

    def interfaces(self) -> list[Interface]:
        return [Interface("127.0.0.1", 8), Interface("192.0.2.25", 24)]

    def connect(self, remote: Any, timeout: float, source: str = "") -> Any:
        server = self.servers.get(tuple(remote))
        if server is None:
            return ConnectError("Connection refused")
        return server.pop(0) if isinstance(server, list) else server

    def exchange(self, server: Inet, packet: bytes, timeout: float) -> Any:
        return TimedOut()


class Timer:
    def __init__(self, action: Callable[[], None]) -> None:
        self.action = action
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class System:
    def __init__(self) -> None:
        self.files = Files()
        self.network = Network()
        self.hostname = "mx.example.org"
        self.nameservers = [Inet("127.0.0.1", 53)]
        self.timezone = 0
        self.decisions = None
        self.clock = 1_420_070_400_000_000  # 2015-01-01
        self.lines: list[str] = []
        self.timers: list[Timer] = []

    def now(self) -> int:
        return self.clock

    def sleep(self, seconds: float) -> Any:
        return Pause(seconds)

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        self.timers.append(Timer(action))
        return self.timers[-1]

    def syslog(self, tag: str, pid: int, text: str) -> None:
        self.lines.append(text)


class Process:
    """An smtpd process; ``services`` answer its calls."""

    def __init__(self, program: str = "smtpd", **settings: str) -> None:
        self.system = System()
        self.program = program
        self.service = "smtp"
        self.pid = 4711
        self.args: list[str] = []
        self.cache: dict[Any, Any] = {}
        main = SETTINGS | {name.lstrip("_"): value for name, value in settings.items()}
        self.conf = Conf(main, program=program, host=Host("mx.example.org"))
        self.log = Log(self.system, f"postfix/{program}", self.pid)  # type: ignore[arg-type]
        self.messages: list[CleanupMessage] = []
        self.cleanup_reply = CleanupReply(0)
        self.ids = (f"Q{number}" for number in count(1))
        self.calls: list[Any] = []
        self.anvil: Any = None
        self.flush_status = 0

    def now(self) -> int:
        return self.system.now()

    def keep(self, stream: Any) -> None:
        """Nothing: this process does not die."""

    def decide(self, kind: str, /, **facts: Any) -> None:
        pass

    def call(self, service: str, request: Any) -> Generator[Any, Any, Any]:
        self.calls.append(request)
        match request:
            case CleanupOpen():
                return CleanupMessage(next(self.ids), request.flags)
            case CleanupMessage():
                self.messages.append(request)
                return self.cleanup_reply
            case RewriteRequest():
                return (
                    request.address
                    if "@" in request.address
                    else (request.address + "@mx.example.org")
                )
            case ResolveRequest():
                return ResolveReply("local", "example.org", request.address, 1 << 8)
            case AnvilRequest():
                return None if self.anvil is None else (yield from self.anvil.serve(request))
            case FlushServiceRequest():
                return self.flush_status
        raise Gone("Connection refused")
        yield


class Checks:
    """Access checks that take everything, but for what ``answers`` says: by the check's name, a
    reply, or a function of its arguments.
    """

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[Any, ...]] = []

    def check_init(self, process: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        kind = name.removeprefix("check_")

        def check(session: Any, *arguments: Any) -> Generator[Any, Any, Any]:
            self.asked.append((kind, *arguments))
            if kind == "rewrite":
                session.rewrite_context = "remote"
            answer = self.answers.get(kind)
            return answer(*arguments) if callable(answer) else answer
            yield

        return check


def run(task: Generator[Any, Any, Any], system: System | None = None) -> Any:
    """Runs a task to its end; leaves are values, exceptions, or pauses before these."""
    value: Any = None
    try:
        while True:
            leaf = task.throw(value) if isinstance(value, Exception) else task.send(value)
            if isinstance(leaf, Pause):
                if system is not None:
                    system.clock += round(leaf.seconds * 1_000_000)
                leaf = leaf.then
            value = leaf
    except StopIteration as stop:
        return stop.value


def talk(
    process: Process, *chunks: str | bytes | float | Exception, checks: Checks | None = None
) -> Client:
    """One session of an smtpd process with a client."""
    client = Client(process.system, *chunks)
    server = Server(process, checks or Checks())  # type: ignore[arg-type]
    try:
        run(smtpd_service(server, client), process.system)  # type: ignore[arg-type]
    except Fatal:
        pass
    return client


def replies(client: Client) -> list[str]:
    """What the client has heard, without the greeting."""
    return client.heard.decode("utf-8", "surrogateescape").split("\r\n")[1:-1]


def ask(*commands: str, checks: Checks | None = None, **settings: str) -> list[str]:
    """The replies to commands that are given one by one, each as its last line."""
    process = Process(**settings)
    client = talk(process, *(f"{command}\r\n" for command in commands), checks=checks)
    return [line for line in replies(client) if line[3:4] == " "]
