"""Milter applications: they answer what the scenario says, and worse.

For each event the first rule whose conditions hold and which is not used up says what the
application answers; without one it goes on.  All events are recorded as the outcome shows them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from mta.system import Endpoint, Gone, Stream, TimedOut, Wait
from mta.wire import milter as wire
from mta.wire import milter_reply as reply
from sim.peers.host import PeerMachine, Server, Uses, matches
from sim.peers.tls import check_choice
from sim.peers.transcript import Closed, Silent, send, some_bytes

#: How long an application waits for the next event, in seconds.
PATIENCE = 7200.0

GARBAGE = b"\0\0\0\1?this is garbage"

#: One thing that happened, as the outcome shows it: ``["mail", "<a@b>", "SIZE=10"]``.
EventRecord = list[str]

EventName = Literal[
    "connect", "helo", "mail", "rcpt", "data", "header", "eoh", "body", "eom", "abort", "unknown"
]
Deed = Literal["close", "silent", "garbage", "cut", "reset"]

_VERDICTS: Mapping[str, reply.Decision] = {
    "continue": reply.CONTINUE,
    "accept": reply.ACCEPT,
    "reject": reply.REJECT,
    "tempfail": reply.TEMPFAIL,
    "discard": reply.DISCARD,
    "skip": reply.SKIP,
    "shutdown": reply.SHUTDOWN,
    "conn-fail": reply.CONN_FAIL,
}
_SMTP_REPLY = re.compile(r"[45]\d\d")
_QUARANTINE = reply.Quarantine("quarantined")

Change = reply.Modification | reply.Quarantine


@dataclass(slots=True)
class MilterRule:
    """What an application does at an event."""

    on: EventName
    when: Mapping[str, str] = field(default_factory=dict)
    #: continue accept reject tempfail discard quarantine skip shutdown conn-fail, or an SMTP reply
    reply: str = "continue"
    actions: Sequence[Change] = ()  #: come before the reply; Postfix takes them at ``eom`` only
    times: int | None = None  #: how often; None: always
    do: Deed | None = None  #: instead; ``cut``: half of the answer, then the end
    delay: float = 0.0  #: seconds before the answer
    progress: int = 0  #: so many times "still at work" before the answer, ``delay`` before each
    raw: bytes | None = None  #: these bytes instead of the answer

    def __post_init__(self) -> None:
        check_choice("on", self.on, get_args(EventName))
        check_choice("do", self.do, get_args(Deed))
        if not _SMTP_REPLY.match(self.reply):
            check_choice("reply", self.reply, (*_VERDICTS, "quarantine"))

    def answer(self) -> bytes:
        """The answer on the wire."""
        if self.raw is not None:
            return self.raw
        said = b"".join([change.encode() for change in self.actions])
        if self.reply == "quarantine":
            return said + _QUARANTINE.encode() + reply.CONTINUE.encode()
        if _SMTP_REPLY.match(self.reply):
            return said + reply.ReplyCode(self.reply).encode()
        return said + _VERDICTS[self.reply].encode()


@dataclass(slots=True)
class MilterSpec:
    """A milter application."""

    replies: Sequence[MilterRule] = ()
    version: int = wire.VERSION
    actions: int = wire.ALL_ACTIONS  #: wire.Action: what it may ask for
    steps: int = 0  #: wire.Step: what it does not want, and what it will not answer
    macros: Sequence[tuple[int, str]] = ()  #: macro names that it wants, by stage
    negotiation: wire.Negotiation | bytes | None = None  #: said whatever the mail system offers


def _body(texts: Sequence[str]) -> Change:
    return reply.ReplaceBody(texts[0].replace("\n", "\r\n").encode("utf-8", "surrogateescape"))


#: An action of scenario files: whether a number comes first, how many texts, what makes it.
_ACTIONS: Mapping[str, tuple[bool, int, Callable[..., Change]]] = {
    "add_header": (False, 2, reply.AddHeader),
    "insert_header": (True, 2, reply.InsertHeader),
    "change_header": (True, 2, reply.ChangeHeader),
    "replace_body": (False, 1, lambda text: _body([text])),
    "add_rcpt": (False, 1, reply.AddRecipient),
    "delete_rcpt": (False, 1, reply.DeleteRecipient),
    "change_from": (False, 1, reply.ChangeFrom),
    "quarantine": (False, 1, reply.Quarantine),
}


def parse_action(name: str, value: Any) -> Change:
    """A message change as scenario files write it: a name, and a value or a list of values.

    Raises ValueError.
    """
    check_choice("actions", name, tuple(_ACTIONS))
    numbered, count, make = _ACTIONS[name]
    items = list(value) if isinstance(value, list | tuple) else [value]
    if len(items) != count + numbered:
        raise ValueError(f"{name} takes {count + numbered} values, not {len(items)}")
    if not numbered:
        return make(*map(str, items))
    if not isinstance(items[0], int) or not 0 <= items[0] < 1 << 32:
        raise ValueError(f"{name}: the first value is a number, not {items[0]!r}")
    return make(items[0], *map(str, items[1:]))


# --- events ---------------------------------------------------------------------------------------

Facts = dict[str, str]

#: Event: its name in rules and outcomes, the fact that ``when`` may ask for, the reply bit.
_PLAIN: Mapping[bytes, tuple[EventName, int]] = {
    b"T": ("data", wire.Step.NR_DATA),
    b"N": ("eoh", wire.Step.NR_EOH),
    b"A": ("abort", 0),
}


def _describe(event: wire.Event) -> tuple[EventRecord, Facts, int]:
    """The record of an event, its facts, and the bit that says that it gets no reply."""
    match event:
        case wire.Header(name, value):
            return ["header", name, value], {"name": name, "value": value}, wire.Step.NR_HDR
        case wire.Plain(code):
            name, bit = _PLAIN[code]
            return [name], {name: ""}, bit
        case wire.Body(data):
            text = data.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
            return ["body", text], {"body": text}, wire.Step.NR_BODY
        case wire.Mail(words):
            return ["mail", *words], {"sender": "".join(words[:1])}, wire.Step.NR_MAIL
        case wire.Rcpt(words):
            return ["rcpt", *words], {"recipient": "".join(words[:1])}, wire.Step.NR_RCPT
        case wire.EndOfBody(data):
            words = data.decode("utf-8", "surrogateescape").split("\0")[:-1]
            return ["eom", *words], {"eom": "".join(words[:1])}, 0
        case wire.Connect(name, family, port, address):
            address = address if family in ("4", "6") else ""
            facts = {"client_name": name, "client_address": address, "client_port": str(port)}
            return ["connect", name, address], facts, wire.Step.NR_CONN
        case wire.Helo(name):
            return ["helo", name], {"helo": name}, wire.Step.NR_HELO
        case wire.Unknown(command):
            return ["unknown", command], {"command": command}, wire.Step.NR_UNKN
        case _:
            raise wire.UnknownCode(event.code)


# --- the application ------------------------------------------------------------------------------


class _Rule(Uses):
    """A rule, made ready."""

    __slots__ = ("data", "spec", "when")

    def __init__(self, spec: MilterRule) -> None:
        super().__init__(spec.times)
        self.spec = spec
        self.when = {key: str(value) for key, value in spec.when.items()}
        self.data = spec.answer()


class MilterServer(Server):
    """A milter application on a machine."""

    def __init__(self, spec: MilterSpec, machine: PeerMachine, endpoint: Endpoint) -> None:
        super().__init__(machine, endpoint)
        self.spec = spec
        self.events: list[EventRecord] = []
        self._all_rules = [_Rule(rule) for rule in spec.replies]
        self.rules: dict[str, list[_Rule]] = {}
        for rule in self._all_rules:
            self.rules.setdefault(rule.spec.on, []).append(rule)

    def unused_rules(self) -> list[MilterRule]:
        """The rules that no event has matched."""
        return [rule.spec for rule in self._all_rules if not rule.used]

    def serve(self, stream: Stream) -> Wait[None]:
        """One connection."""
        return _Session(self, stream).run()


class _Session:
    """One connection of the mail system."""

    __slots__ = ("macros", "reader", "server", "steps", "stream")

    def __init__(self, server: MilterServer, stream: Stream) -> None:
        self.server = server
        self.stream = stream
        self.reader = wire.PacketReader()
        self.macros: Facts = {}
        self.steps = 0

    def run(self) -> Wait[None]:
        """Packets until the mail system quits or closes."""
        try:
            while True:
                packet = self.reader.next()
                if packet is None:
                    self.reader.feed((yield from some_bytes(self.stream, PATIENCE)))
                elif packet.code == b"Q" or (yield from self._answer(packet)):
                    break
        except (Closed, Silent, Gone, TimedOut):
            pass
        self.stream.close()

    def _answer(self, packet: wire.Packet) -> Wait[bool]:
        """What follows from one packet; whether it is the end."""
        event = wire.decode_event(packet)
        if isinstance(event, wire.Macros):
            self.macros.update(event.pairs)
            return False
        if isinstance(event, wire.Negotiation):
            self._negotiate(event)
            return False
        if event is wire.QUIT_NC:
            return False
        record, facts, no_reply = _describe(event)
        self.server.events.append(record)
        rule = self._pick(record[0], facts)
        if rule is None:
            if event is not wire.ABORT and not self.steps & no_reply:
                self.stream.write(_CONTINUE)
            return False
        spec = rule.spec
        for _ in range(spec.progress):
            yield from self._pause(spec.delay)
            self.stream.write(_PROGRESS)
        yield from self._pause(spec.delay)
        if spec.do is not None:
            return (yield from self._misbehave(spec.do, rule.data))
        if event is not wire.ABORT and not self.steps & no_reply:
            self.stream.write(rule.data)
        return False

    def _negotiate(self, offer: wire.Negotiation) -> None:
        spec = self.server.spec
        answer = spec.negotiation
        if answer is None:
            version = min(spec.version, offer.version)
            answer = wire.Negotiation(
                version, offer.actions & spec.actions, offer.steps & spec.steps, spec.macros
            )
        if isinstance(answer, wire.Negotiation):
            self.steps = answer.steps
            self.stream.write(answer.encode())
        else:
            self.stream.write(answer)

    def _pick(self, event: str, facts: Facts) -> _Rule | None:
        for rule in self.server.rules.get(event, ()):
            if (not rule.when or matches(rule.when, self.macros | facts)) and rule.take():
                return rule
        return None

    def _pause(self, seconds: float) -> Wait[None]:
        if seconds:
            yield from send(self.stream)
            yield self.server.machine.sleep(seconds)

    def _misbehave(self, deed: Deed, answer: bytes) -> Wait[bool]:
        """Does something else than answer; whether that is the end."""
        match deed:
            case "silent":
                while True:
                    yield from some_bytes(self.stream, PATIENCE)
            case "garbage":
                self.stream.write(GARBAGE)
                return False
            case "cut":
                self.stream.write(answer[: len(answer) // 2])
            case "reset":
                yield from send(self.stream)
                self.stream.abort()
            case "close":
                pass
        return True


_CONTINUE = reply.CONTINUE.encode()
_PROGRESS = reply.PROGRESS.encode()
