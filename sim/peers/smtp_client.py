"""SMTP clients elsewhere, which say their lines one after the other.

A client waits for the banner, then takes its steps: a command and its reply, commands in one write,
message content, waiting, raw bytes, STARTTLS.  After QUIT it waits for the server to close; after
any other last step it hangs up itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mta.system import ConnectError, Inet, Stream, TimedOut, Wait
from mta.wire.text import to_bytes
from sim.peers.host import PeerMachine
from sim.peers.tls import TlsMissing, TlsSpec, TlsWrap
from sim.peers.transcript import (
    CLOSED_BY_CLIENT,
    CLOSED_BY_SERVER,
    CONNECTED,
    NO_LIMIT,
    NO_REPLY,
    REFUSED,
    TLS_FAILED,
    Closed,
    Silent,
    Transcript,
    content_note,
    end_gently,
    forget_pending,
    next_line,
    send,
    some_bytes,
    text_of,
    tls_note,
)

#: Seconds: for a connection, for a reply, for the server to close after QUIT.
CONNECT_WAIT = 10.0
REPLY_WAIT = 50.0
QUIT_WAIT = 5.0
#: After raw bytes the server must be quiet for so long, and the client listens so long at most.
QUIET = 0.5
RAW_LIMIT = 30.0

#: The name in a client's certificate.
CERTIFICATE_NAME = "client.test"


# --- steps ----------------------------------------------------------------------------------------


@dataclass(slots=True, frozen=True)
class Say:
    """A command line; then the client waits for the reply."""

    line: str


@dataclass(slots=True, frozen=True)
class Content:
    """Message content, without the lone dot.  It is skipped when the last reply was not 354."""

    text: str


@dataclass(slots=True, frozen=True)
class Pipeline:
    """Commands and content in one write; then one reply for each."""

    items: tuple[Say | Content, ...]


@dataclass(slots=True, frozen=True)
class Pause:
    """The client notes whatever comes for so many seconds."""

    seconds: float


@dataclass(slots=True, frozen=True)
class Raw:
    """Bytes as they are; then the client listens until the server is quiet for half a second."""

    text: str | bytes


@dataclass(slots=True, frozen=True)
class StartTls:
    """The command, and the handshake when the reply is 220."""


@dataclass(slots=True, frozen=True)
class HangUp:
    """The client closes, without QUIT."""


Step = Say | Content | Pipeline | Pause | Raw | StartTls | HangUp


@dataclass(slots=True)
class SmtpClientSpec:
    """A client: where it sits, what it says, and to which port of the mail system."""

    source: str  #: its address
    steps: Sequence[Step]
    port: int = 25
    tls: TlsSpec | None = None
    _compiled: list[_Compiled] = field(default_factory=list, repr=False, compare=False)

    def compiled(self) -> list[_Compiled]:
        """The steps, made ready once."""
        if not self._compiled:
            self._compiled = [_Compiled(step) for step in self.steps]
        return self._compiled


def is_content(text: str) -> bool:
    """Whether a text ends with a lone dot."""
    return text.rstrip("\n").rpartition("\n")[2].rstrip("\r") == "."


def command_or_content(text: str) -> Say | Content:
    """A text that ends with a lone dot is message content, any other a command line."""
    if not is_content(text):
        return Say(text)
    lines = text.rstrip("\n").split("\n")[:-1]
    return Content("".join(line + "\n" for line in lines))


def parse_step(step: str | Mapping[str, Any]) -> Step:
    """A step as scenario files write it.  Raises ValueError."""
    if isinstance(step, str):
        if step == "starttls":
            return StartTls()
        return HangUp() if step == "hangup" else command_or_content(step)
    if len(step) != 1:
        raise ValueError(f"a step has one key, not {len(step)}: {', '.join(step)}")
    ((kind, value),) = step.items()
    if kind == "pipeline":
        return Pipeline(tuple(command_or_content(str(item)) for item in value))
    if kind == "wait":
        return Pause(float(value))
    if kind == "raw":
        return Raw(value if isinstance(value, bytes) else str(value))
    raise ValueError(f"no step {kind!r}; there are pipeline, wait, raw")


def parse_steps(steps: Iterable[str | Mapping[str, Any]]) -> tuple[Step, ...]:
    """All steps of a client.  Raises ValueError."""
    return tuple(map(parse_step, steps))


def target_address(source: str, mta_addresses: Sequence[str]) -> str | None:
    """The address of the mail system that a client at ``source`` talks to, if there is one."""
    address = ipaddress.ip_address(source)
    if address.is_loopback:
        return "127.0.0.1" if address.version == 4 else "::1"
    same = (a for a in mta_addresses if ipaddress.ip_address(a).version == address.version)
    return next(same, None)


# --- steps, made ready ----------------------------------------------------------------------------


class _Compiled:
    """A step: what it writes, what it notes, how many replies follow."""

    __slots__ = ("data", "notes", "quits", "replies", "step")

    def __init__(self, step: Step) -> None:
        self.step = step
        self.notes: list[str] = []
        self.data = b""
        self.replies = 0
        self.quits = False
        match step:
            case Say() | Content():
                self._add(step)
                self.quits = isinstance(step, Say) and step.line.strip().upper() == "QUIT"
            case Pipeline():
                for item in step.items:
                    self._add(item)
            case StartTls():
                self._add(Say("STARTTLS"))
            case Raw():
                self._add_raw(step.text)
            case _:
                pass

    def _add(self, item: Say | Content) -> None:
        self.replies += 1
        if isinstance(item, Say):
            self.notes.append("C: " + item.line)
            self.data += to_bytes(item.line + "\r\n")
            return
        lines = item.text.removesuffix("\n").split("\n") if item.text else []
        self.notes.append(content_note(len(lines)))
        stuffed = [("." + t if t.startswith(".") else t).rstrip("\r") + "\r\n" for t in lines]
        self.data += to_bytes("".join(stuffed)) + b".\r\n"

    def _add_raw(self, raw: str | bytes) -> None:
        self.data = raw if isinstance(raw, bytes) else to_bytes(raw)
        text = self.data.decode("utf-8", "surrogateescape")
        self.notes = ["C: " + line.rstrip("\r") for line in text.removesuffix("\n").split("\n")]


# --- the conversation -----------------------------------------------------------------------------


class SmtpClient:
    """A client on a machine of the world; :meth:`run` once."""

    def __init__(
        self,
        spec: SmtpClientSpec,
        machine: PeerMachine,
        target: Inet | None,
        server_name: str = "",
        tls_wrap: TlsWrap | None = None,
    ) -> None:
        """``server_name`` is what the client asks for in a TLS handshake.  Without a target there
        is nothing to connect to.
        """
        self.spec = spec
        self.machine = machine
        self.target = target
        self.server_name = server_name
        self.tls_wrap = tls_wrap
        self.transcript: Transcript = []
        self.stream: Stream | None = None

    def run(self) -> Wait[Transcript]:
        """Connects, says everything, hangs up.  The transcript grows while it runs."""
        note = self.transcript.append
        if self.target is None:
            note(REFUSED)
            return self.transcript
        try:
            stream = yield self.machine.network.connect(self.target, CONNECT_WAIT, self.spec.source)
        except (ConnectError, TimedOut):
            note(REFUSED)
            return self.transcript
        note(CONNECTED)
        talk = _Talk(self, stream)
        try:
            yield from talk.run()
            note(CLOSED_BY_CLIENT)
        except Closed:
            note(CLOSED_BY_SERVER)
        except Silent:
            note(NO_REPLY)
            note(CLOSED_BY_CLIENT)
        yield from end_gently(talk.stream, self.machine)
        return self.transcript


class _Talk:
    """The conversation of one client."""

    __slots__ = ("client", "code", "stream", "transcript")

    def __init__(self, client: SmtpClient, stream: Stream) -> None:
        self.client = client
        self.stream = stream
        self.transcript = client.transcript
        self.code = ""

    def run(self) -> Wait[None]:
        """All steps.  Raises Closed, Silent."""
        spec = self.client.spec
        if spec.tls is not None and spec.tls.wrapper:
            yield from self._handshake()
        yield from self._replies(1)
        for compiled in spec.compiled():
            step = compiled.step
            if isinstance(step, HangUp):
                break
            if isinstance(step, Pause):
                yield from self._listen(step.seconds, step.seconds)
                continue
            if isinstance(step, Content) and self.code != "354":
                continue
            self.transcript += compiled.notes
            self.stream.write(compiled.data)
            if isinstance(step, Raw):
                yield from self._listen(QUIET, RAW_LIMIT)
                continue
            yield from self._replies(compiled.replies)
            if isinstance(step, StartTls) and self.code == "220":
                yield from self._handshake()
            elif compiled.quits:
                yield from some_bytes(self.stream, QUIT_WAIT)
                raise Closed()

    def _replies(self, count: int, timeout: float = REPLY_WAIT) -> Wait[None]:
        """So many replies of the server, each of one line or several."""
        transcript = self.transcript
        take = self.stream.take_line
        while count > 0:
            line = take(NO_LIMIT)
            if line is None or line[-1:] != b"\n":
                text = yield from next_line(self.stream, timeout)
            else:
                text = text_of(line)
            transcript.append("S: " + text)
            self.code = text[:3]
            if text[3:4] != "-":
                count -= 1

    def _listen(self, quiet: float, most: float) -> Wait[None]:
        """Notes what comes until the server is quiet for so long."""
        now = self.client.machine.now
        limit = now() + round(most * 1_000_000)
        yield from send(self.stream)
        while (left := limit - now()) > 0:
            try:
                yield from self._replies(1, min(quiet, left / 1_000_000))
            except Silent:
                return

    def _handshake(self) -> Wait[None]:
        """TLS with the mail system.  Raises Closed when it fails."""
        client = self.client
        if client.tls_wrap is None:
            raise TlsMissing(f"client {client.spec.source}: this world has no TLS engine")
        yield from forget_pending(self.stream)
        done = yield from client.tls_wrap(
            self.stream, client.spec.tls or TlsSpec(), False, CERTIFICATE_NAME, client.server_name
        )
        if done is None:
            self.transcript.append(TLS_FAILED)
            raise Closed()
        self.stream, version = done
        self.transcript.append(tls_note(version))
