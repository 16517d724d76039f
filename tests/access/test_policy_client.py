"""Policy servers: what they are asked, what their answers do, and what goes wrong."""

from __future__ import annotations

import pytest
from access_bench import Bench

from mta.smtpd import check
from mta.system import Fatal, Inet
from sim.peers.policy import PolicyRule, PolicyServer, PolicySpec

SERVER = "inet:127.0.0.1:9998"
NAME = "127.0.0.1:9998"
PROBLEM = "451 4.3.5 <to@example.org>: Recipient address rejected: Server configuration problem"
ATTRIBUTES = [
    "request", "protocol_state", "protocol_name", "client_address", "client_name", "client_port",
    "reverse_client_name", "helo_name", "sender", "recipient", "recipient_count", "queue_id",
    "instance", "size", "etrn_domain", "stress", "sasl_method", "sasl_username", "sasl_sender",
    "ccert_subject", "ccert_issuer", "ccert_fingerprint", "ccert_pubkey_fingerprint",
    "encryption_protocol", "encryption_cipher", "encryption_keysize",
]  # fmt: skip


class World:
    def __init__(self, *rules: PolicyRule, service: str = SERVER, **main: str) -> None:
        self.bench = Bench(
            {
                "smtpd_relay_restrictions": "check_client_access static:OK, reject",
                "smtpd_recipient_restrictions": f"check_policy_service {service}",
                **main,
            }
        )
        self.connections = 0
        spec = PolicySpec(list(rules))
        self.server = PolicyServer(spec, self.bench.machine, Inet("127.0.0.1", 9998))
        serve = self.server.serve

        def counted(stream):  # type: ignore[no-untyped-def]
            self.connections += 1
            return serve(stream)

        self.server.serve = counted  # type: ignore[method-assign]
        self.server.start()

    def rcpt(self) -> str | None:
        return self.bench.rcpt()

    @property
    def warnings(self) -> list[str]:
        lines = [line for line in self.bench.new_log() if line.startswith("warning: ")]
        return [line.removeprefix("warning: ") for line in lines]



def test_the_request_has_all_attributes_in_postfix_s_order() -> None:
    world = World()
    session = world.bench.session
    session.port = "4711"
    session.instance = "7.1.2.3"
    session.msg_size = 1234
    assert world.rcpt() is None
    (request,) = world.server.requests
    assert list(request) == ATTRIBUTES
    assert request == dict.fromkeys(ATTRIBUTES, "") | {
        "request": "smtpd_access_policy",
        "protocol_state": "RCPT",
        "protocol_name": "ESMTP",
        "client_address": "198.51.100.7",
        "client_name": "client.test",
        "client_port": "4711",
        "reverse_client_name": "client.test",
        "helo_name": "client.test",
        "sender": "from@sender.test",
        "recipient": "to@example.org",
        "recipient_count": "0",
        "instance": "7.1.2.3",
        "size": "1234",
        "encryption_keysize": "0",
    }


@pytest.mark.parametrize(("where", "count"), [("RCPT", "0"), ("DATA", "3"), ("END-OF-MESSAGE", "3")])
def test_recipients_are_counted_when_all_are_known(where: str, count: str) -> None:
    world = World(smtpd_data_restrictions=f"check_policy_service {SERVER}")
    session = world.bench.session
    session.rcpt_count = 3
    session.where = where
    session.act_size = 99
    world.bench.run(check.check_data(session))
    assert world.server.requests[0]["recipient_count"] == count
    assert world.server.requests[0]["size"] == "99"


def test_the_answer_is_an_action_of_access_tables() -> None:
    world = World(PolicyRule(action="550 5.7.2 not you"))
    assert world.rcpt() == "550 5.7.2 <to@example.org>: Recipient address rejected: not you"
    assert world.warnings == []


def test_one_connection_serves_many_requests_and_sessions() -> None:
    world = World()
    world.rcpt()
    world.rcpt()
    world.bench.session = world.bench.new_session()
    world.rcpt()
    assert world.connections == 1
    assert len(world.server.requests) == 3


@pytest.mark.parametrize(
    ("option", "wait"), [("max_idle=20s", 20), ("max_ttl=20s", 20), ("max_idle=1h", 0)]
)
def test_between_sessions_an_old_connection_is_given_up(option: str, wait: int) -> None:
    world = World(service=f"{{ {SERVER}, {option} }}")
    world.rcpt()
    world.bench.world.run_for(20)
    world.rcpt()
    assert world.connections == 1
    world.bench.session = world.bench.new_session()
    world.bench.world.run_for(20)
    world.rcpt()
    assert world.connections == (2 if wait else 1)
    assert world.warnings == []


def test_after_some_requests_the_connection_is_made_anew() -> None:
    world = World(service=f"{{ {SERVER} request_limit=2 }}")
    for _ in range(5):
        world.rcpt()
    assert world.connections == 3


def test_a_server_that_hangs_up_is_asked_again_on_a_new_connection() -> None:
    world = World(PolicyRule(do="close", times=1), PolicyRule(action="REJECT now"))
    start = world.bench.world.now
    reply = world.rcpt()
    assert reply is not None
    assert reply.endswith("now")
    assert world.connections == 2
    assert 1_000_000 <= world.bench.world.now - start < 1_100_000
    assert world.warnings == []


@pytest.mark.parametrize(
    ("rule", "warnings"),
    [
        (PolicyRule(do="close"), [f"problem talking to server {NAME}: Success"]),
        (PolicyRule(do="reset"), [f"problem talking to server {NAME}: Connection reset by peer"]),
        (
            PolicyRule(do="silent"),
            [f"problem talking to server {NAME}: Connection timed out"] * 2,
        ),
        (
            PolicyRule(do="garbage"),
            [
                f"missing attribute action in input from {NAME}",
                f"missing attribute action in input from {NAME}",
                f"problem talking to server {NAME}: Success",
            ],
        ),
        (
            PolicyRule(raw=b"action\n\n"),
            [
                f"missing value for string attribute action from {NAME}",
                f"missing value for string attribute action from {NAME}",
                f"problem talking to server {NAME}: Success",
            ],
        ),
        (
            PolicyRule(action="REJECT", do="cut"),
            [
                f"premature end-of-input on {NAME} while reading input attribute value",
                f"premature end-of-input on {NAME} while reading input attribute value",
                f"problem talking to server {NAME}: Success",
            ],
        ),
    ],
)
def test_without_an_answer_the_default_action_is_done(
    rule: PolicyRule, warnings: list[str]
) -> None:
    world = World(rule)
    assert world.rcpt() == PROBLEM
    assert world.warnings == warnings


def test_nobody_listens() -> None:
    world = World()
    world.server.stop()
    assert world.rcpt() == PROBLEM
    assert world.warnings == [
        f"connect to {NAME}: Connection refused",
        f"problem talking to server {NAME}: Connection refused",
        f"connect to {NAME}: Connection refused",
        f"problem talking to server {NAME}: Connection refused",
    ]


def test_other_attributes_do_not_matter() -> None:
    world = World(PolicyRule(raw=b"x=y\nfoo\naction=REJECT a=b\naction=OK\nz=\n\n"))
    assert world.rcpt() == "554 5.7.1 <to@example.org>: Recipient address rejected: a=b"
    assert world.warnings == []


def test_an_action_that_is_no_utf8_is_none() -> None:
    world = World(PolicyRule(raw=b"action=REJECT \xff\n\n"))
    assert world.rcpt() == PROBLEM
    assert world.warnings == [f'malformed UTF-8 in policy server {SERVER} response: "REJECT ?"']


def test_options_are_for_one_server() -> None:
    world = World(
        PolicyRule(do="close"),
        service=f"{{ {SERVER}, {{ default_action = 450 4.7.5 wait }}, try_limit=3, retry_delay=4s }}",
    )
    start = world.bench.world.now
    assert world.rcpt() == "450 4.7.5 <to@example.org>: Recipient address rejected: wait"
    assert world.connections == 3
    assert 8_000_000 <= world.bench.world.now - start < 8_100_000


def test_a_default_action_may_ask_a_server_but_only_once() -> None:
    world = World(
        PolicyRule(do="close"),
        service=f"{{ {SERVER}, try_limit=1, default_action=again }}",
        smtpd_restriction_classes="again",
        again=f"check_policy_service {{ {SERVER}, try_limit=1, default_action=again }}",
    )
    assert world.rcpt() == PROBLEM
    assert world.connections == 1


@pytest.mark.parametrize(
    ("service", "text"),
    [
        ("{ }", 'empty policy service: "{ }"'),
        (f"{{ {SERVER} }} x", "unknown"),
        (f"{{ {SERVER}, x=y }}", 'unknown option: "x = y"'),
        (f"{{ {SERVER}, timeout }}", "malformed option: missing '=' after attribute name: "
         '"...timeout..."'),
        (f"{{ {SERVER}, timeout=soon }}", "timeout: bad time value or unit: soon"),
        (f"{{ {SERVER}, timeout=0 }}", "invalid timeout: 0 (min 1)"),
        (f"{{ {SERVER}, try_limit=many }}", "bad numerical configuration: try_limit = many"),
        (f"{{ {SERVER}, try_limit=0 }}", "invalid try_limit parameter value 0 < 1"),
        ("{inet:}", 'need service transport:endpoint instead of "inet:"'),
        ("tcp:x:1", "invalid transport name: tcp in service: tcp:x:1"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_server_is_fatal(service: str, text: str) -> None:
    if text == "unknown":
        assert World(service=service).rcpt() is not None
        return
    with pytest.raises(Fatal) as caught:
        World(service=service)
    assert caught.value.args[0] == text
