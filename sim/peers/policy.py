"""Policy servers (SMTPD_POLICY_README): they answer what the scenario says, and worse.

The first rule whose conditions hold and which is not used up gives the answer; without one, the
server's behaviour does (a function, for servers with a memory, as :class:`Greylist`), and without
that ``DUNNO``.  All requests are recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from mta.system import Endpoint, Gone, Stream, TimedOut, Wait
from mta.wire.text import to_bytes
from sim.peers.host import PeerMachine, Server, Uses, matches
from sim.peers.tls import check_choice
from sim.peers.transcript import NO_LIMIT, Closed, Silent, next_line, send, some_bytes, text_of

#: How long a server waits for the next request, in seconds.
PATIENCE = 3600.0

GARBAGE = b"this is garbage\n\n"

Request = dict[str, str]
Deed = Literal["close", "silent", "garbage", "cut", "reset"]


@dataclass(slots=True)
class PolicyRule:
    """What a server does with a request."""

    when: Mapping[str, str] = field(default_factory=dict)  #: attributes and their whole values
    action: str = "DUNNO"
    do: Deed | None = None  #: instead; ``cut``: half of the answer, then the end
    times: int | None = None  #: how often; None: always
    delay: float = 0.0  #: seconds before the answer
    raw: bytes | None = None  #: these bytes instead of the answer, for what is no answer at all

    def __post_init__(self) -> None:
        check_choice("do", self.do, get_args(Deed))

    def answer(self) -> bytes:
        """The answer on the wire."""
        return to_bytes(f"action={self.action}\n\n") if self.raw is None else self.raw


#: Gets the request and the moment (microseconds); gives a rule, or None for no opinion.
Behaviour = Callable[[Request, int], PolicyRule | None]


@dataclass(slots=True)
class PolicySpec:
    """A policy server."""

    replies: Sequence[PolicyRule] = ()
    behaviour: Behaviour | None = None  #: what answers where no rule does


class Greylist:
    """A behaviour: client, sender and recipient that were not seen before must come back later."""

    def __init__(
        self,
        delay: float = 300.0,
        action: str = "DEFER_IF_PERMIT Service temporarily unavailable",
    ) -> None:
        """``delay``: seconds from the first attempt until one is taken."""
        self.delay = delay
        self.action = action
        self.first_seen: dict[tuple[str, str, str], int] = {}

    def __call__(self, request: Request, now: int) -> PolicyRule | None:
        """Defers until the time is over."""
        if request.get("protocol_state") != "RCPT":
            return None
        key = (
            request.get("client_address", ""),
            request.get("sender", "").lower(),
            request.get("recipient", "").lower(),
        )
        first = self.first_seen.setdefault(key, now)
        return PolicyRule(action=self.action) if now - first < self.delay * 1_000_000 else None


class _Rule(Uses):
    """A rule, made ready."""

    __slots__ = ("data", "spec", "when")

    def __init__(self, spec: PolicyRule) -> None:
        super().__init__(spec.times)
        self.spec = spec
        self.when = {key: str(value) for key, value in spec.when.items()}
        self.data = spec.answer()


_NO_RULE = _Rule(PolicyRule())


class PolicyServer(Server):
    """A policy server on a machine."""

    passive = True

    def __init__(self, spec: PolicySpec, machine: PeerMachine, endpoint: Endpoint) -> None:
        super().__init__(machine, endpoint)
        self.spec = spec
        self.requests: list[Request] = []
        self._rules = [_Rule(rule) for rule in spec.replies]

    def unused_rules(self) -> list[PolicyRule]:
        """The rules that no request has matched."""
        return [rule.spec for rule in self._rules if not rule.used]

    def serve(self, stream: Stream) -> Wait[None]:
        """One connection: any number of requests."""
        try:
            while True:
                request = yield from _request(stream)
                self.requests.append(request)
                rule = self._pick(request)
                if rule.spec.delay:
                    yield self.machine.sleep(rule.spec.delay)
                if rule.spec.do is None:
                    stream.write(rule.data)
                elif (yield from _misbehave(stream, rule)):
                    break
        except (Closed, Silent, Gone, TimedOut):
            pass
        stream.close()

    def _pick(self, request: Request) -> _Rule:
        for rule in self._rules:
            if matches(rule.when, request) and rule.take():
                return rule
        if self.spec.behaviour is not None:
            made = self.spec.behaviour(request, self.machine.now())
            if made is not None:
                return _Rule(made)
        return _NO_RULE


def _request(stream: Stream) -> Wait[Request]:
    """The attributes up to an empty line.  Raises Closed, Silent."""
    request: Request = {}
    take = stream.take_line
    while True:
        line = take(NO_LIMIT)
        if line is None or line[-1:] != b"\n":
            text = yield from next_line(stream, PATIENCE)
        else:
            text = text_of(line)
        if not text:
            return request
        name, _, value = text.partition("=")
        request[name] = value


def _misbehave(stream: Stream, rule: _Rule) -> Wait[bool]:
    """Does something else than answer; the value tells whether that is the end."""
    match rule.spec.do:
        case "silent":
            while True:
                yield from some_bytes(stream, PATIENCE)
        case "garbage":
            stream.write(GARBAGE)
            return False
        case "cut":
            stream.write(rule.data[: len(rule.data) // 2])
        case "reset":
            yield from send(stream)
            stream.abort()
        case _:
            pass
    return True
