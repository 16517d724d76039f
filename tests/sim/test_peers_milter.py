"""Milter applications."""

from collections.abc import Sequence
from typing import Any

import pytest

from mta.system import Gone, Inet, Stream, TimedOut, Wait
from mta.wire import milter as wire
from mta.wire import milter_reply as reply
from sim.peers.milter import GARBAGE, MilterRule, MilterServer, MilterSpec, parse_action
from sim.world import World

ENDPOINT = Inet("127.0.0.1", 10032)
OFFER = wire.Negotiation(6, wire.ALL_ACTIONS, wire.STEPS_V6)


class Caller:
    """A mail system that sends events, all at once, and reads what comes until it is quiet."""

    def __init__(self, spec: MilterSpec) -> None:
        self.world = World()
        self.machine = self.world.machine("mx.example.org", ["192.0.2.25"])
        self.server = MilterServer(spec, self.machine, ENDPOINT)
        self.server.start()
        self.raw = b""
        self.ended = ""

    def send(self, *events: wire.Event, quiet: float = 100) -> list[reply.Reply | wire.Event]:
        """The replies, negotiation first."""
        task = self.world.start_task(self._send(events, quiet), "caller")
        assert self.world.settle(20_000), self.world.under_way()
        assert task.done
        reader = wire.PacketReader()
        reader.feed(self.raw)
        found: list[reply.Reply | wire.Event] = []
        while packet := reader.next():
            decode: Any = wire.decode_event if packet.code == b"O" else reply.decode_reply
            found.append(decode(packet))
        return found

    def _send(self, events: Sequence[wire.Event], quiet: float) -> Wait[None]:
        stream: Stream = yield self.machine.network.connect(ENDPOINT, 5)
        for event in events:
            stream.write(event.encode())
        try:
            yield stream.flush(5)
            while data := (yield stream.read(65536, quiet)):
                self.raw += data
            self.ended = "closed"
        except (TimedOut, Gone) as error:
            self.ended = type(error).__name__
        stream.close()


SESSION: list[wire.Event] = [
    OFFER,
    wire.Macros(b"C", [("j", "mx.example.org"), ("{daemon_name}", "mx")]),
    wire.Connect("c.test", "4", 1025, "198.51.100.7"),
    wire.Helo("c.test"),
    wire.Mail(["<a@c.test>", "SIZE=10"]),
    wire.Rcpt(["<b@example.org>"]),
    wire.Unknown("JUNK x"),
    wire.DATA,
    wire.Header("Subject", "hello\n\tworld"),
    wire.EOH,
    wire.Body(b"one\r\ntwo\r\n"),
    wire.EndOfBody(),
    wire.ABORT,
    wire.QUIT,
]


def test_all_events_are_recorded_and_answered_but_abort_and_macros() -> None:
    caller = Caller(MilterSpec())
    replies = caller.send(*SESSION)
    assert caller.ended == "closed"
    assert replies == [wire.Negotiation(6, 0x1FF, 0)] + [reply.CONTINUE] * 10
    assert caller.server.events == [
        ["connect", "c.test", "198.51.100.7"],
        ["helo", "c.test"],
        ["mail", "<a@c.test>", "SIZE=10"],
        ["rcpt", "<b@example.org>"],
        ["unknown", "JUNK x"],
        ["data"],
        ["header", "Subject", "hello\n\tworld"],
        ["eoh"],
        ["body", "one\ntwo\n"],
        ["eom"],
        ["abort"],
    ]


REPLIES: list[tuple[str, list[reply.Reply]]] = [
    ("continue", [reply.CONTINUE]),
    ("accept", [reply.ACCEPT]),
    ("reject", [reply.REJECT]),
    ("tempfail", [reply.TEMPFAIL]),
    ("discard", [reply.DISCARD]),
    ("skip", [reply.SKIP]),
    ("shutdown", [reply.SHUTDOWN]),
    ("quarantine", [reply.Quarantine("quarantined"), reply.CONTINUE]),
    ("550 5.7.1 no", [reply.ReplyCode("550 5.7.1 no")]),
    ("451 later", [reply.ReplyCode("451 later")]),
]


@pytest.mark.parametrize(("text", "replies"), REPLIES)
def test_a_rule_says_the_reply(text: str, replies: list[reply.Reply]) -> None:
    caller = Caller(MilterSpec([MilterRule("helo", reply=text)]))
    assert caller.send(wire.Helo("x"), wire.QUIT) == replies


CONDITIONS: list[tuple[MilterRule, wire.Event]] = [
    (MilterRule("connect", {"client_address": "198.51.100.7"}, "reject"), SESSION[2]),
    (MilterRule("connect", {"client_name": "c.test"}, "reject"), SESSION[2]),
    (MilterRule("helo", {"helo": "c.test"}, "reject"), SESSION[3]),
    (MilterRule("mail", {"sender": "<a@c.test>"}, "reject"), SESSION[4]),
    (MilterRule("rcpt", {"recipient": "<b@example.org>"}, "reject"), SESSION[5]),
    (MilterRule("unknown", {"command": "JUNK x"}, "reject"), SESSION[6]),
    (MilterRule("data", {"data": ""}, "reject"), SESSION[7]),
    (MilterRule("header", {"name": "Subject", "value": "hello\n\tworld"}, "reject"), SESSION[8]),
    (MilterRule("body", {"body": "one\ntwo\n"}, "reject"), SESSION[10]),
    (MilterRule("eom", {"j": "mx.example.org"}, "reject"), SESSION[11]),
]


@pytest.mark.parametrize(("rule", "event"), CONDITIONS)
def test_a_rule_may_ask_for_facts_of_the_event(rule: MilterRule, event: wire.Event) -> None:
    assert Caller(MilterSpec([rule])).send(SESSION[1], event, wire.QUIT) == [reply.REJECT]
    wrong = MilterRule(rule.on, dict.fromkeys(rule.when, "else"), "reject")
    assert Caller(MilterSpec([wrong])).send(SESSION[1], event, wire.QUIT) == [reply.CONTINUE]


def test_rules_are_used_up_over_all_sessions() -> None:
    rules = [
        MilterRule("rcpt", reply="tempfail", times=1),
        MilterRule("rcpt", reply="discard"),
        MilterRule("eoh", reply="reject"),
    ]
    caller = Caller(MilterSpec(rules))
    caller.send(wire.Rcpt(["<x>"]), wire.QUIT)
    assert caller.send(wire.Rcpt(["<x>"]), wire.QUIT) == [reply.TEMPFAIL, reply.DISCARD]
    assert caller.server.unused_rules() == [rules[2]]


ACTIONS: list[tuple[str, Any, reply.Reply]] = [
    ("add_header", ["X-Seen", "yes"], reply.AddHeader("X-Seen", "yes")),
    ("insert_header", [0, "X", 1], reply.InsertHeader(0, "X", "1")),
    ("change_header", [1, "Subject", ""], reply.ChangeHeader(1, "Subject", "")),
    ("replace_body", "new\nbody\n", reply.ReplaceBody(b"new\r\nbody\r\n")),
    ("add_rcpt", "<x@y>", reply.AddRecipient("<x@y>")),
    ("delete_rcpt", ["<x@y>"], reply.DeleteRecipient("<x@y>")),
    ("change_from", "<x@y>", reply.ChangeFrom("<x@y>")),
    ("quarantine", "look", reply.Quarantine("look")),
]


@pytest.mark.parametrize(("name", "value", "change"), ACTIONS)
def test_actions_come_before_the_reply(name: str, value: Any, change: reply.Reply) -> None:
    rule = MilterRule("eom", actions=[parse_action(name, value)], reply="accept")
    replies = Caller(MilterSpec([rule])).send(wire.EndOfBody(), wire.QUIT)
    assert replies == [change, reply.ACCEPT]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: parse_action("add_haeder", ["X", "y"]), "add_header"),
        (lambda: parse_action("add_header", ["X"]), "2 values, not 1"),
        (lambda: parse_action("insert_header", ["a", "X", "y"]), "a number"),
        (lambda: MilterRule("rctp"), "'rcpt'"),  # type: ignore[arg-type]
        (lambda: MilterRule("rcpt", reply="acept"), "'accept'"),
        (lambda: MilterRule("rcpt", do="shut"), "do"),  # type: ignore[arg-type]
    ],
)
def test_a_word_that_does_not_exist_names_those_that_do(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()


def test_the_negotiation_says_what_the_application_wants() -> None:
    steps = wire.Step.NOBODY | wire.Step.NR_HDR | wire.Step.NR_CONN
    spec = MilterSpec(version=4, actions=1, steps=steps, macros=((0, "j"),))
    caller = Caller(spec)
    replies = caller.send(OFFER, SESSION[2], SESSION[8], wire.EOH, wire.QUIT)
    assert replies == [wire.Negotiation(4, 1, int(steps), ((0, "j"),)), reply.CONTINUE]


def test_the_negotiation_never_asks_for_more_than_was_offered() -> None:
    spec = MilterSpec(steps=wire.Step.NR_HDR | wire.Step.NOBODY)
    offer = wire.Negotiation(2, 0x3F, wire.STEPS_V2)
    replies = Caller(spec).send(offer, SESSION[8], wire.QUIT)
    assert replies == [wire.Negotiation(2, 0x3F, int(wire.Step.NOBODY)), reply.CONTINUE]


def test_the_negotiation_may_be_anything() -> None:
    caller = Caller(MilterSpec(negotiation=b"\0\0\0\1s"))
    assert caller.send(OFFER, wire.QUIT) == [reply.SKIP]
    wrong = wire.Negotiation(7, 0xFFFF, 0)
    assert Caller(MilterSpec(negotiation=wrong)).send(OFFER, wire.QUIT) == [wrong]


DEEDS = [
    (MilterRule("helo", do="close"), b"", "closed"),
    (MilterRule("helo", do="silent"), b"", "TimedOut"),
    (MilterRule("helo", do="garbage"), GARBAGE, "TimedOut"),
    (MilterRule("helo", do="cut", reply="550 no"), b"\0\0\0\x08y5", "closed"),
    (MilterRule("helo", do="reset"), b"", "Gone"),
    (MilterRule("helo", raw=b"\0\0\0\0"), b"\0\0\0\0", "TimedOut"),
]


@pytest.mark.parametrize(("rule", "data", "end"), DEEDS)
def test_an_application_may_misbehave(rule: MilterRule, data: bytes, end: str) -> None:
    caller = Caller(MilterSpec([rule]))
    task = caller.world.start_task(caller._send([wire.Helo("x")], 10), "caller")
    assert caller.world.settle()
    assert task.done
    assert (caller.raw, caller.ended) == (data, end)


def test_an_application_at_work_says_so() -> None:
    caller = Caller(MilterSpec([MilterRule("eom", reply="accept", progress=3, delay=40)]))
    begin = caller.world.now
    replies = caller.send(wire.EndOfBody(), wire.QUIT)
    assert replies == [reply.PROGRESS] * 3 + [reply.ACCEPT]
    assert caller.world.now - begin == pytest.approx(160e6, abs=1e4)


def test_a_new_connection_may_follow_on_the_same_stream() -> None:
    caller = Caller(MilterSpec())
    replies = caller.send(wire.Helo("x"), wire.QUIT_NC, wire.Helo("y"), wire.QUIT)
    assert replies == [reply.CONTINUE] * 2
    assert caller.server.events == [["helo", "x"], ["helo", "y"]]
