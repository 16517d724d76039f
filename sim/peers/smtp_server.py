"""SMTP and LMTP servers elsewhere: polite by default, scripted by a table of rules.

The first rule that matches a command line, ``connect`` or ``.`` (the end of the message content)
says what happens; without a match the server succeeds.  What it was told and what it said is in the
transcript of each session, and each message that it took is among the deliveries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, get_args

from mta.system import Endpoint, Gone, Inet, Stream, TimedOut, Wait
from sim.peers.host import PeerMachine, Server, Uses
from sim.peers.tls import TlsMissing, TlsSpec, TlsWrap, check_choice
from sim.peers.transcript import (
    CLOSED_BY_CLIENT,
    CLOSED_BY_SERVER,
    CONNECTED,
    NO_LIMIT,
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

#: What an EHLO or LHLO is answered with, after the name.
EXTENSIONS = ("PIPELINING", "8BITMIME", "SIZE 10240000", "ENHANCEDSTATUSCODES", "DSN")

#: How long a server waits for a client, in seconds; longer than any timeout of the mail system.
PATIENCE = 400.0
#: How long it waits for the client's part of a handshake that it will spoil.
HANDSHAKE_PATIENCE = 30.0

NONSENSE = b"this is not TLS at all, not even close to it\r\n" * 2

State = Literal["listen", "refuse", "drop"]
Deed = Literal["silent", "close", "reset"]


@dataclass(slots=True)
class ReplyRule:
    """What a server does at an event.

    ``on`` is the beginning of a command line, case ignored, or ``connect``, or ``.`` for the end of
    the message content.
    """

    on: str
    reply: str | None = None  #: lines separated by newlines; None: the default
    then: Literal["close"] | None = None  #: after the reply
    do: Deed | None = None  #: instead of a reply: never a word; hang up; hang up with a reset
    times: int | None = None  #: how often, over all sessions; None: always
    delay: float = 0.0  #: seconds before the reply
    raw: bytes | None = None  #: these bytes instead of the reply

    def __post_init__(self) -> None:
        check_choice("then", self.then, ("close",))
        check_choice("do", self.do, get_args(Deed))


@dataclass(slots=True)
class SmtpServerSpec:
    """An SMTP server elsewhere, or an LMTP server: it does what it is asked with."""

    name: str
    address: str
    port: int = 25
    banner: str | None = None  #: None: ``220 NAME ESMTP``
    extensions: Sequence[str] = EXTENSIONS
    replies: Sequence[ReplyRule] = ()
    state: State = "listen"  #: refuse: nothing listens; drop: packets vanish
    tls: TlsSpec | None = None
    endpoint: Endpoint | None = None  #: where it listens if not at address and port

    def __post_init__(self) -> None:
        check_choice("state", self.state, get_args(State))

    @property
    def where(self) -> Endpoint:
        """Where it listens."""
        return Inet(self.address, self.port) if self.endpoint is None else self.endpoint


@dataclass(slots=True)
class PeerSession:
    """One connection to a server, as the server saw it."""

    peer: str
    transcript: Transcript


@dataclass(slots=True)
class Delivery:
    """A message that a server took."""

    where: str  #: ``peer NAME``
    sender: str | None  #: None where a rule let content come without a MAIL command
    recipients: list[str]
    message: str  #: with ``\\n`` line ends


@dataclass(slots=True)
class PeerRecord:
    """What all servers of a world saw, in the order in which it began."""

    sessions: list[PeerSession] = field(default_factory=list)
    delivered: list[Delivery] = field(default_factory=list)


# --- replies, made ready to send ------------------------------------------------------------------


class _Said:
    """A reply: its lines in the transcript, its bytes, and what it means."""

    __slots__ = ("accepted", "data", "go_ahead", "lines")

    def __init__(self, text: str, raw: bytes | None = None) -> None:
        lines = text.rstrip("\n").split("\n")
        self.lines = ["S: " + line for line in lines]
        if raw is None:
            raw = "".join(line + "\r\n" for line in lines).encode("utf-8", "surrogateescape")
        self.data = raw
        self.accepted = text[:1] in ("2", "3")
        self.go_ahead = text.startswith("354")


_said = lru_cache(maxsize=4096)(_Said)
_NOTHING = _Said("")
_OK = _Said("250 2.0.0 Ok")
_SUCCESS = {
    "MAIL": _Said("250 2.1.0 Ok"),
    "RCPT": _Said("250 2.1.5 Ok"),
    "DATA": _Said("354 End data with <CR><LF>.<CR><LF>"),
    "VRFY": _Said("252 2.0.0 Ok"),
    "AUTH": _Said("235 2.7.0 Authentication successful"),
    "QUIT": _Said("221 2.0.0 Bye"),
    "STARTTLS": _Said("220 2.0.0 Ready to start TLS"),
}
_NEED_MAIL = _Said("503 5.5.1 Error: need MAIL command")
_NEED_RCPT = _Said("503 5.5.1 Error: need RCPT command")
_NO_RECIPIENTS = _Said("554 5.5.1 Error: no valid recipients")
_NO_STARTTLS = _Said("502 5.5.1 Error: command not implemented")
_TLS_REFUSED = _Said("454 4.7.0 TLS not available due to local problem")

_EXACT = ("connect", ".")


class _Rule(Uses):
    """A rule, made ready."""

    __slots__ = ("close", "prefix", "said", "slow", "spec")

    def __init__(self, spec: ReplyRule) -> None:
        super().__init__(spec.times)
        self.spec = spec
        self.prefix = spec.on.lower()
        self.said: _Said | None = None
        if spec.raw is not None:
            self.said = _Said(spec.raw.decode("utf-8", "surrogateescape").rstrip("\r\n"), spec.raw)
        elif spec.reply is not None:
            self.said = _said(spec.reply)
        self.close = spec.then == "close" or spec.do is not None
        self.slow = spec.do is not None or spec.delay > 0  # more than a reply at once


class SmtpServer(Server):
    """A server on a machine of the world."""

    def __init__(
        self,
        spec: SmtpServerSpec,
        machine: PeerMachine,
        record: PeerRecord,
        tls_wrap: TlsWrap | None = None,
    ) -> None:
        super().__init__(machine, spec.where)
        self.spec = spec
        self.record = record
        self.tls_wrap = tls_wrap
        self.sessions = 0
        self.banner = _said(f"220 {spec.name} ESMTP" if spec.banner is None else spec.banner)
        self._rules = [_Rule(rule) for rule in spec.replies]
        self.commands = [rule for rule in self._rules if rule.spec.on not in _EXACT]
        self.events = {
            event: [
                rule
                for rule in self._rules
                if (
                    rule.spec.on == event
                    if rule.spec.on in _EXACT
                    else event.startswith(rule.prefix)
                )
            ]
            for event in _EXACT
        }
        self.greeting = self._greeting(spec.tls is not None)
        self.encrypted_greeting = self._greeting(False)
        self.hello = _said(f"250 {spec.name}")

    def _greeting(self, starttls: bool) -> _Said:
        words = [self.spec.name, *(e for e in self.spec.extensions if e.upper() != "STARTTLS")]
        if starttls:
            words.append("STARTTLS")
        *others, last = words
        return _said("".join(f"250-{word}\n" for word in others) + f"250 {last}")

    def start(self) -> None:
        """Listens, unless the state of the server is another.

        ``drop`` is for the network: it must lose what is sent to the address.
        """
        if self.spec.state == "listen":
            super().start()

    def unused_rules(self) -> list[ReplyRule]:
        """The rules that nothing has matched."""
        return [rule.spec for rule in self._rules if not rule.used]

    def serve(self, stream: Stream) -> Wait[None]:
        """One connection."""
        self.sessions += 1
        return _Session(self, stream).run()

    def match(self, line: str) -> _Rule | None:
        """The rule for a command line."""
        if self._rules:
            lowered = line.lower()
            for rule in self.events[line] if line in _EXACT else self.commands:
                if lowered.startswith(rule.prefix) and rule.take():
                    return rule
        return None

    def match_event(self, event: str) -> _Rule | None:
        """The rule for ``connect`` or ``.``."""
        for rule in self.events[event]:
            if rule.take():
                return rule
        return None


# --- a session ------------------------------------------------------------------------------------

#: What comes after a reply: the next command, hanging up, or what a rule wants besides.
_GO, _CLOSE, _SLOW = 0, 1, 2


class _Session:
    """One connection to a server."""

    __slots__ = (
        "encrypted", "last", "lmtp", "note", "recipients", "sender", "server", "slow", "stream",
        "transcript",
    )  # fmt: skip

    def __init__(self, server: SmtpServer, stream: Stream) -> None:
        self.server = server
        self.stream = stream
        self.transcript: Transcript = [CONNECTED]
        self.note = self.transcript.append
        self.encrypted = False
        self.lmtp = False
        self.last = _NOTHING
        self.slow: tuple[_Rule, _Said] | None = None
        self.sender: str | None = None
        self.recipients: list[str] = []
        server.record.sessions.append(PeerSession(server.spec.name, self.transcript))

    def run(self) -> Wait[None]:
        """The whole session, with its end noted."""
        try:
            ended = CLOSED_BY_SERVER if (yield from self._talk()) else CLOSED_BY_CLIENT
        except (Closed, Silent, Gone, TimedOut):
            ended = CLOSED_BY_CLIENT
        self.note(ended)
        yield from end_gently(self.stream, self.server.machine)

    def _talk(self) -> Wait[bool]:
        """The conversation; True when it is us who hang up.  Raises Closed, Silent."""
        server = self.server
        tls = server.spec.tls
        if tls is not None and tls.wrapper and not (yield from self._handshake(tls)):
            return True
        code = self._reply(server.match_event("connect"), server.banner)
        if code and (yield from self._finish(code)):
            return True
        note = self.note
        while True:
            line = self.stream.take_line(NO_LIMIT)
            if line is None or line[-1:] != b"\n":
                text = yield from next_line(self.stream, PATIENCE)
            else:
                text = text_of(line)
            note("C: " + text)
            verb = text.partition(" ")[0].upper()
            plain = _COMMANDS.get(verb)
            if plain is not None:
                code = plain(self, text)
            elif verb == "DATA":
                code = yield from self._data(text)
            elif verb == "STARTTLS":
                code = yield from self._starttls(text)
            else:
                code = self._reply(server.match(text), _SUCCESS.get(verb, _OK))
            if code and (yield from self._finish(code)):
                return True
            if verb == "QUIT":
                return True

    # -- replies ------------------------------------------------------------------------------

    def _say(self, said: _Said) -> None:
        self.transcript += said.lines
        self.stream.write(said.data)

    def _reply(self, rule: _Rule | None, default: _Said) -> int:
        """Replies by a rule or with the default, and tells what comes then."""
        if rule is None:
            self.last = default
            self._say(default)
            return _GO
        said = rule.said or default
        if rule.slow:
            self.last = _NOTHING if rule.spec.do else said
            self.slow = rule, said
            return _SLOW
        self.last = said
        self._say(said)
        return _CLOSE if rule.close else _GO

    def _finish(self, code: int) -> Wait[int]:
        """Does what a reply alone does not; the value is _GO or _CLOSE."""
        if code != _SLOW or self.slow is None:
            return code
        rule, said = self.slow
        self.slow = None
        if rule.spec.do == "silent":
            while True:
                yield from some_bytes(self.stream, PATIENCE)
        if rule.spec.delay:
            yield from send(self.stream)
            yield self.server.machine.sleep(rule.spec.delay)
        if rule.spec.do is None:
            self._say(said)
        elif rule.spec.do == "reset":
            yield from send(self.stream)
            self.stream.abort()
        return _CLOSE if rule.close else _GO

    # -- commands that do not wait --------------------------------------------------------------

    def _reset(self) -> None:
        self.sender = None
        self.recipients = []

    def _ehlo(self, line: str) -> int:
        self._reset()
        server = self.server
        default = server.encrypted_greeting if self.encrypted else server.greeting
        return self._reply(server.match(line), default)

    def _lhlo(self, line: str) -> int:
        self.lmtp = True
        return self._ehlo(line)

    def _helo(self, line: str) -> int:
        self._reset()
        return self._reply(self.server.match(line), self.server.hello)

    def _rset(self, line: str) -> int:
        self._reset()
        return self._reply(self.server.match(line), _OK)

    def _mail(self, line: str) -> int:
        code = self._reply(self.server.match(line), _SUCCESS["MAIL"])
        if self.last.accepted:
            self.sender = address_of(line)
            self.recipients = []
        return code

    def _rcpt(self, line: str) -> int:
        default = _NEED_MAIL if self.sender is None else _SUCCESS["RCPT"]
        code = self._reply(self.server.match(line), default)
        if self.last.accepted:
            self.recipients.append(address_of(line))
        return code

    # -- commands that do -----------------------------------------------------------------------

    def _data(self, line: str) -> Wait[int]:
        """DATA and the message."""
        if self.sender is None:
            default = _NEED_RCPT
        else:
            default = _SUCCESS["DATA"] if self.recipients else _NO_RECIPIENTS
        code = self._reply(self.server.match(line), default)
        if code and (yield from self._finish(code)):
            return _CLOSE
        if not self.last.go_ahead:
            return _GO
        lines = yield from self._content()
        self.note(content_note(len(lines)))
        taken: list[str] = []
        code = _GO
        for recipient in self.recipients if self.lmtp else ("",):
            code = self._reply(self.server.match_event("."), _OK)
            if code:
                code = yield from self._finish(code)
            if self.last.accepted:
                taken.append(recipient)
            if code:
                break
        if taken:
            message = b"".join([line + b"\n" for line in lines])
            self.server.record.delivered.append(
                Delivery(
                    "peer " + self.server.spec.name,
                    self.sender,
                    taken if self.lmtp else self.recipients,
                    message.decode("utf-8", "surrogateescape"),
                )
            )
        self._reset()
        return code

    def _content(self) -> Wait[list[bytes]]:
        """The lines of a message, without the dots that are there for the wire."""
        stream = self.stream
        take = stream.take_line
        lines: list[bytes] = []
        yield from send(stream)
        while True:
            line = take(NO_LIMIT)
            if line is None:
                line = yield stream.read_line(NO_LIMIT, PATIENCE)
            if line[-1:] != b"\n":
                raise Closed()
            line = line[:-1].rstrip(b"\r")
            if line[:1] == b".":
                line = line[1:]
                if not line:
                    return lines
            lines.append(line)

    def _starttls(self, line: str) -> Wait[int]:
        """STARTTLS, and its faults."""
        tls = self.server.spec.tls
        if tls is None:
            default = _NO_STARTTLS
        else:
            default = _TLS_REFUSED if tls.fault == "refuse" else _SUCCESS["STARTTLS"]
        code = self._reply(self.server.match(line), default)
        if code and (yield from self._finish(code)):
            return _CLOSE
        if tls is None or tls.fault == "refuse" or not self.last.accepted:
            return _GO
        return _GO if (yield from self._handshake(tls)) else _CLOSE

    def _handshake(self, tls: TlsSpec) -> Wait[bool]:
        """TLS on this connection; False when we hang up.  Raises Closed when it fails."""
        if tls.fault == "close-after-starttls":
            return False
        yield from forget_pending(self.stream)
        if tls.fault in ("garbage", "close-in-handshake"):
            yield from some_bytes(self.stream, HANDSHAKE_PATIENCE)
            if tls.fault == "garbage":
                self.stream.write(NONSENSE)
            return False
        wrap = self.server.tls_wrap
        if wrap is None:
            raise TlsMissing(f"peer {self.server.spec.name}: this world has no TLS engine")
        yield from send(self.stream)
        done = yield from wrap(self.stream, tls, True, self.server.spec.name, "")
        if done is None:
            self.note(TLS_FAILED)
            raise Closed()
        self.stream, version = done
        self.note(tls_note(version))
        self.encrypted = True
        self._reset()
        return tls.fault != "close-after-handshake"


#: The commands whose handling needs no waiting.
_COMMANDS: dict[str, Callable[[_Session, str], int]] = {
    "EHLO": _Session._ehlo,
    "LHLO": _Session._lhlo,
    "HELO": _Session._helo,
    "RSET": _Session._rset,
    "MAIL": _Session._mail,
    "RCPT": _Session._rcpt,
}


def address_of(line: str) -> str:
    """The address of a MAIL or RCPT command."""
    text = line.partition(":")[2].strip()
    if text.startswith("<"):
        return text[1:].partition(">")[0]
    return text.partition(" ")[0]
