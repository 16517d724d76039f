"""Scripted SMTP peers that do TLS, sound, broken and evil, each against the other."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import pytest

from mta.system import Inet
from sim.certs import CERTIFICATE_KINDS, Authority
from sim.faults import Reset, Split, Stall
from sim.peers.smtp_client import SmtpClient, SmtpClientSpec, parse_steps
from sim.peers.smtp_server import PeerRecord, SmtpServer, SmtpServerSpec
from sim.peers.tls import Sabotage, TlsSpec
from sim.streams import SimStream
from sim.tls import PeerTls
from sim.world import World

HERE, THERE = "198.51.100.7", "203.0.113.10"
STEPS = [
    "EHLO c.test", "starttls", "EHLO c.test", "MAIL FROM:<a@c.test>", "RCPT TO:<b@dest.test>",
    "DATA", "Subject: x\n\nsecret text\n.\n", "QUIT",
]  # fmt: skip
DAY = 86_400_000_000


@dataclass
class Seen:
    """What came of a conversation, and what went over the wire."""

    client: list[str]
    server: list[str]
    delivered: list[str]
    world: World
    wire: dict[str, list[bytes]] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """What the client says of the handshake."""
        found = [line for line in self.client if line.startswith("* tls")]
        return found[0].removeprefix("* tls ") if found else ""


def talk(
    server: TlsSpec,
    client: TlsSpec | None = None,
    *,
    steps: list[Any] | None = None,
    world: World | None = None,
    tries: int = 1,
) -> Seen:
    """Lets a client talk to a server, both with TLS."""
    world = world or World(keep_trace=True)
    wrap = PeerTls(Authority(lambda: world.now), lambda: world.now)
    wire: dict[str, list[bytes]] = {"clear": [], "sealed": [], "cipher": []}

    def tap(_: SimStream, kind: str, data: bytes) -> None:
        wire[kind].append(data)

    world.network.tap = tap
    record = PeerRecord()
    there = world.machine("mx.dest.test", [THERE])
    here = world.machine("client.test", [HERE])
    SmtpServer(SmtpServerSpec("mx.dest.test", THERE, tls=server), there, record, wrap).start()
    for _ in range(tries):
        one = SmtpClient(
            SmtpClientSpec(HERE, parse_steps(STEPS if steps is None else steps), tls=client),
            here, Inet(THERE, 25), "mx.dest.test", wrap,
        )  # fmt: skip
        world.start_task(one.run(), "client")
        assert world.settle(7200), world.under_way()
    delivered = [item.message for item in record.delivered]
    return Seen(one.transcript, record.sessions[-1].transcript, delivered, world, wire)


def test_a_message_goes_encrypted() -> None:
    seen = talk(TlsSpec(), TlsSpec())
    assert seen.version == "TLSv1.3"
    assert seen.server[10:13] == ["C: STARTTLS", "S: 220 2.0.0 Ready to start TLS", "* tls TLSv1.3"]
    assert seen.delivered == ["Subject: x\n\nsecret text\n"]
    assert seen.client[-3:] == ["C: QUIT", "S: 221 2.0.0 Bye", "* closed by server"]


def test_a_tap_sees_what_is_clear_and_what_is_sealed() -> None:
    wire = talk(TlsSpec(), TlsSpec()).wire
    assert any(b"secret text" in data for data in wire["sealed"])
    assert not any(b"secret" in data or b"RCPT" in data for data in wire["clear"] + wire["cipher"])
    assert b"STARTTLS\r\n" in wire["clear"]


def test_tls_may_begin_with_the_first_byte() -> None:
    steps = [STEPS[0], *STEPS[3:]]
    seen = talk(TlsSpec(wrapper=True), TlsSpec(wrapper=True), steps=steps)
    assert seen.client[:3] == ["* connected", "* tls TLSv1.3", "S: 220 mx.dest.test ESMTP"]
    assert len(seen.delivered) == 1


VERSIONS: list[tuple[dict[str, str], dict[str, str], str]] = [
    ({}, {}, "TLSv1.3"),
    ({"max": "TLSv1.2"}, {}, "TLSv1.2"),
    ({}, {"max": "TLSv1.2"}, "TLSv1.2"),
    ({"min": "TLSv1.3"}, {"max": "TLSv1.2"}, "failed"),
    ({"max": "TLSv1.2"}, {"min": "TLSv1.3"}, "failed"),
    ({"min": "TLSv1", "max": "TLSv1"}, {"min": "TLSv1"}, "TLSv1"),
    ({"min": "TLSv1", "max": "TLSv1.1"}, {"min": "TLSv1"}, "TLSv1.1"),
    ({"cert": "none"}, {}, "failed"),  # the client takes no anonymous ciphers
]


@pytest.mark.parametrize(("server", "client", "version"), VERSIONS)
def test_the_highest_common_version_is_used(
    server: dict[str, Any], client: dict[str, Any], version: str
) -> None:
    assert talk(TlsSpec(**server), TlsSpec(**client)).version == version


GOOD = ("valid", "wrong-name", "wildcard", "intermediate")


@pytest.mark.parametrize("kind", CERTIFICATE_KINDS)
def test_a_client_with_roots_takes_good_certificates_only(kind: Any) -> None:
    world = World()
    root = Authority(lambda: world.now).root
    seen = talk(TlsSpec(cert=kind), TlsSpec(trusts=root), world=world)
    assert seen.version == ("TLSv1.3" if kind in GOOD else "failed")


def test_certificates_expire_in_the_time_of_the_world() -> None:
    world = World()
    authority = Authority(lambda: world.now)
    spec = TlsSpec(pem=authority.issue("valid", ["mx.dest.test"]).pem)
    assert talk(spec, TlsSpec(trusts=authority.root), world=world).version == "TLSv1.3"
    late = World(start=world.now + 366 * DAY)
    assert talk(spec, TlsSpec(trusts=authority.root), world=late).version == "failed"


@pytest.mark.parametrize(("days", "version"), [(0, "TLSv1.3"), (2, "failed")])
def test_a_certificate_is_replaced_at_a_moment(days: int, version: str) -> None:
    world = World()
    root = Authority(lambda: world.now).root
    spec = TlsSpec(rotation=((world.now + DAY, "expired"),))
    world.run(world.now + days * DAY)
    assert talk(spec, TlsSpec(trusts=root), world=world).version == version


def test_sessions_are_resumed_only_where_a_client_asks() -> None:
    """Nobody does here: both handshakes are whole ones."""
    seen = talk(TlsSpec(), TlsSpec(), tries=2)
    sizes = [len(data) for data in seen.wire["cipher"]]
    assert sizes[: len(sizes) // 2] == sizes[len(sizes) // 2 :]


FAULTS = [
    ("refuse", ["S: 454 4.7.0 TLS not available due to local problem"]),
    ("close-after-starttls", ["* tls failed", "* closed by server"]),
    ("garbage", ["* tls failed", "* closed by server"]),
    ("close-in-handshake", ["* tls failed", "* closed by server"]),
    ("close-after-handshake", ["* tls TLSv1.3", "* closed by server"]),
]


@pytest.mark.parametrize(("fault", "follows"), FAULTS)
def test_faults_of_scenario_files_spoil_the_handshake(fault: Any, follows: list[str]) -> None:
    client = talk(TlsSpec(fault=fault), TlsSpec()).client
    at = client.index("C: STARTTLS") + (1 if fault == "refuse" else 2)
    found = client[at : at + len(follows)]
    if fault == "close-after-handshake":
        assert client[-1] == "* closed by server"
        found = [found[0], client[-1]]
    assert found == follows


HANDSHAKE = [
    (Sabotage("close", 0), "failed"),
    (Sabotage("close", 700), "failed"),
    (Sabotage("reset", 300), "failed"),
    (Sabotage("stall", 100), "failed"),
    (Sabotage("stall", 100, seconds=3), "TLSv1.3"),
    (Sabotage("corrupt", 60), "failed"),
    (Sabotage("flood", 200), "failed"),
    (Sabotage("alert", 0, alert=70), "failed"),
    (Sabotage("close", 100_000), "TLSv1.3"),
]


@pytest.mark.parametrize(("plan", "version"), HANDSHAKE)
def test_a_server_spoils_the_handshake_at_a_byte(plan: Sabotage, version: str) -> None:
    seen = talk(TlsSpec(sabotage=plan), TlsSpec())
    assert seen.version == version
    struck = [event.fact("what") for event in seen.world.trace.events("fault")]
    assert struck == ([] if plan.at == 100_000 else [f"tls {plan.deed}"])


SESSION = [
    Sabotage(deed, 40, "session") for deed in ("close", "reset", "corrupt", "flood", "alert")
]  # type: ignore[arg-type]


@pytest.mark.parametrize("plan", SESSION, ids=lambda plan: plan.deed)
def test_a_server_spoils_the_session_at_a_byte(plan: Sabotage) -> None:
    seen = talk(TlsSpec(sabotage=plan), TlsSpec())
    assert seen.version == "TLSv1.3"
    assert seen.client[-1] == "* closed by server"
    assert seen.delivered == []


def test_a_client_can_spoil_it_too() -> None:
    seen = talk(TlsSpec(), TlsSpec(sabotage=Sabotage("reset", 100)))
    assert seen.server[-2:] == ["* tls failed", "* closed by client"]


@pytest.mark.parametrize("size", [1, 7, 500])
def test_segments_of_any_size_make_no_difference(size: int) -> None:
    world = World()
    world.faults.add(Split(size=size, gap=0.001, sender="server"))
    world.faults.add(Split(size=size, gap=0.001, sender="client"))
    assert len(talk(TlsSpec(), TlsSpec(), world=world).delivered) == 1


@pytest.mark.parametrize("after", [150, 400, 1000, 1500])
def test_faults_of_the_network_count_the_bytes_on_the_wire(after: int) -> None:
    for fault in (Reset(after=after, sender="server"), Stall(after=after, sender="server")):
        world = World()
        world.faults.add(fault)
        assert talk(TlsSpec(), TlsSpec(), world=world).delivered == []
        assert fault.fired


def test_the_trace_tells_of_text_and_not_of_ciphertext() -> None:
    traces = [talk(TlsSpec(), TlsSpec()).world.trace for _ in range(2)]
    assert traces[0].first_difference(traces[1]) is None
    sizes = [e.fact("size") for e in traces[0].events("sealed") if e.fact("size")]
    assert len("EHLO c.test\r\n") in sizes
    other = talk(TlsSpec(), TlsSpec(), steps=[*STEPS[:6], "Subject: x\n\nsecret TEXT\n.\n"])
    assert other.world.trace.hash() != traces[0].hash()


PRINT_HASH = """
from tests.tls.test_tls_peers import TlsSpec, talk
print(talk(TlsSpec(), TlsSpec()).world.trace.hash())
"""


def test_other_processes_have_the_same_trace() -> None:
    hashes = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PRINT_HASH],
            check=True, capture_output=True, text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert len(set(hashes)) == 1


def test_sizes_on_the_wire_are_the_same_in_every_run() -> None:
    runs = [[len(data) for data in talk(TlsSpec(), TlsSpec()).wire["cipher"]] for _ in range(3)]
    assert all(one == other for one, other in itertools.pairwise(runs))
