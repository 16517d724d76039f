"""Policy servers."""

from typing import Any

import pytest

from mta.system import Gone, Inet, Stream, TimedOut, Unix, Wait
from sim.peers.host import parse_endpoint
from sim.peers.policy import GARBAGE, Greylist, PolicyRule, PolicyServer, PolicySpec
from sim.world import World

ENDPOINT = Inet("127.0.0.1", 10031)


def request(**attributes: str) -> bytes:
    rows = {"request": "smtpd_access_policy", "protocol_state": "RCPT", **attributes}
    return "".join(f"{k}={v}\n" for k, v in rows.items()).encode() + b"\n"


class Caller:
    """A mail system that asks, and waits for each answer up to a time."""

    def __init__(self, spec: PolicySpec) -> None:
        self.world = World()
        self.machine = self.world.machine("mx.example.org", ["192.0.2.25"])
        self.server = PolicyServer(spec, self.machine, ENDPOINT)
        self.server.start()
        self.answers: list[bytes | str] = []

    def ask(self, *requests: bytes, timeout: float = 100, pause: float = 0) -> list[bytes | str]:
        self.answers = []
        self.world.start_task(self._ask(requests, timeout, pause), "caller")
        assert self.world.settle(20_000)
        return self.answers

    def _ask(self, requests: tuple[bytes, ...], timeout: float, pause: float) -> Wait[None]:
        stream: Stream = yield self.machine.network.connect(ENDPOINT, 5)
        for data in requests:
            try:
                stream.write(data)
                yield stream.flush(5)
                got = b""
                while not got.endswith(b"\n\n"):
                    more = yield stream.read(4096, timeout)
                    if not more:
                        got += b"<end>"
                        break
                    got += more
                self.answers.append(got)
            except (Gone, TimedOut) as error:
                self.answers.append(type(error).__name__)
            if pause:
                yield self.machine.sleep(pause)


def ask(rules: list[PolicyRule], *requests: bytes, **more: Any) -> list[bytes | str]:
    return Caller(PolicySpec(rules)).ask(*requests, **more)


def test_without_rules_the_answer_is_dunno_and_requests_are_recorded() -> None:
    caller = Caller(PolicySpec())
    assert caller.ask(request(sender="a@b=c"), request(sender="")) == [b"action=DUNNO\n\n"] * 2
    assert caller.server.requests == [
        {"request": "smtpd_access_policy", "protocol_state": "RCPT", "sender": "a@b=c"},
        {"request": "smtpd_access_policy", "protocol_state": "RCPT", "sender": ""},
    ]


def test_the_first_rule_that_holds_answers_as_often_as_it_may() -> None:
    rules = [
        PolicyRule({"recipient": "a@x", "sender": "s"}, "REJECT both"),
        PolicyRule({"recipient": "a@x"}, "DEFER later", times=2),
        PolicyRule({"recipient_count": 3}, "552 too much"),  # type: ignore[dict-item]
        PolicyRule(action="OK"),
        PolicyRule(action="never"),
    ]
    caller = Caller(PolicySpec(rules))
    a = request(recipient="a@x")
    answers = caller.ask(
        a, a, request(recipient="a@x", sender="s"), a, request(recipient_count="3")
    )
    texts = ["DEFER later", "DEFER later", "REJECT both", "OK", "552 too much"]
    assert answers == [f"action={text}\n\n".encode() for text in texts]
    assert caller.server.unused_rules() == [rules[4]]


DEEDS: list[tuple[PolicyRule, bytes | str]] = [
    (PolicyRule(do="close"), b"<end>"),
    (PolicyRule(do="silent"), "TimedOut"),
    (PolicyRule(do="garbage"), GARBAGE),
    (PolicyRule(do="cut", action="OK"), b"actio<end>"),
    (PolicyRule(do="reset"), "Gone"),
    (PolicyRule(raw=b"action=\xff\n\n"), b"action=\xff\n\n"),
]


@pytest.mark.parametrize(("rule", "answer"), DEEDS)
def test_a_server_may_misbehave(rule: PolicyRule, answer: bytes | str) -> None:
    assert ask([rule], request()) == [answer]


def test_after_garbage_the_server_goes_on() -> None:
    rules = [PolicyRule(do="garbage", times=1)]
    assert ask(rules, request(), request()) == [GARBAGE, b"action=DUNNO\n\n"]


def test_a_server_may_stall() -> None:
    caller = Caller(PolicySpec([PolicyRule(action="OK", delay=70)]))
    begin = caller.world.now
    assert caller.ask(request()) == [b"action=OK\n\n"]
    assert caller.world.now - begin == pytest.approx(70e6, abs=1e4)


def test_a_request_that_is_cut_is_no_request() -> None:
    caller = Caller(PolicySpec())
    caller.ask(request()[:-1], timeout=1)
    assert caller.server.requests == []


def test_an_open_connection_does_not_keep_the_world_busy() -> None:
    caller = Caller(PolicySpec())
    begin = caller.world.now
    caller.ask(request())
    assert caller.world.now - begin < 10_000


def test_a_greylist_takes_who_comes_back() -> None:
    greylist = Greylist(delay=300)
    caller = Caller(PolicySpec([PolicyRule({"sender": "vip@x"}, "OK")], greylist))
    one = request(client_address="192.0.2.1", sender="A@x", recipient="b@y")
    other = request(client_address="192.0.2.2", sender="a@x", recipient="b@y")
    defer, dunno = f"action={greylist.action}\n\n".encode(), b"action=DUNNO\n\n"
    answers = caller.ask(one, one, one, pause=200)
    assert answers == [defer, defer, dunno]
    assert caller.ask(other, one, request(sender="vip@x")) == [defer, dunno, b"action=OK\n\n"]
    data = request(client_address="192.0.2.9", sender="z@x").replace(b"RCPT", b"DATA")
    assert caller.ask(data) == [dunno]


ENDPOINTS = [
    ("inet:127.0.0.1:10031", Inet("127.0.0.1", 10031)),
    ("inet:localhost:10031", Inet("127.0.0.1", 10031)),
    ("inet:[::1]:25", Inet("::1", 25)),
    ("unix:private/policy", Unix("/var/spool/postfix/private/policy")),
    ("unix:/run/policy", Unix("/run/policy")),
]


@pytest.mark.parametrize(("text", "endpoint"), ENDPOINTS)
def test_endpoints_are_read_as_configurations_write_them(text: str, endpoint: Any) -> None:
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize("text", ["inet:x", "tcp:1.2.3.4:5", "inet:a.test:25", "unix:", "inet::x"])
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_endpoint(text)
