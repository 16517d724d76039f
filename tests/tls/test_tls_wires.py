"""What can be read on the wires, and what others make of what travels there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postlab.lab import Lab
from sim.faults import Corrupt, Flood, Rewrite
from sim.peers.tls import Sabotage, TlsSpec
from sim.wiretap import Wiretap
from tests.tls.sabotages import oldest, sabotages
from tests.tls.test_smtpd_tls import FROM, MAIL, lab, session

MTA = "192.0.2.25"


def tapped(main_cf: str = "") -> tuple[Lab, Wiretap]:
    world = lab(main_cf)
    return world, Wiretap(world.stage.world.network)


def test_a_message_that_comes_encrypted_cannot_be_read() -> None:
    world, tap = tapped()
    session(world, TlsSpec(), *MAIL)
    assert tap.in_clear(b"STARTTLS\r\n", to=MTA)
    assert [str(flow.target) for flow in tap.sealed(b"secret", to=MTA)]
    for text in (b"secret", b"alice@example.org", b"MAIL FROM"):
        assert not tap.in_clear(text, to=MTA)


def test_a_message_that_comes_in_the_clear_can_be_read() -> None:
    world, tap = tapped()
    world.client(FROM).say("EHLO c.test", *MAIL, "QUIT")
    world.run()
    assert tap.in_clear(b"secret", to=MTA) and not tap.sealed(b"secret")


def test_starttls_is_stripped_by_somebody_in_the_middle() -> None:
    world, tap = tapped()
    fault = Rewrite(pattern=rb"250[- ]STARTTLS\r\n", host=MTA, port=25)
    world.stage.world.faults.add(fault)
    client = world.client(FROM).say("EHLO c.test", "QUIT")
    assert "STARTTLS" not in client.reply("EHLO")
    assert fault.fired == 1
    assert tap.in_clear(b"250-STARTTLS")  # as it was sent


@pytest.mark.parametrize(
    "fault", [Corrupt(after=900), Flood(after=900, size=100)], ids=["corrupt", "flood"]
)
def test_bytes_that_are_meddled_with_spoil_the_handshake(fault: Any) -> None:
    fault.host, fault.port, fault.sender, fault.times, fault.fired = MTA, 25, "server", 1, 0
    world, _ = tapped()
    world.stage.world.faults.add(fault)
    assert "* tls failed" in session(world, TlsSpec(), *MAIL)
    assert fault.fired == 1
    assert "S: 250 2.1.5 Ok" in session(world, TlsSpec(), *MAIL)


def test_meddling_is_exact() -> None:
    world, _ = tapped()
    world.stage.world.faults.add(
        Corrupt(after=4, flip=0x20, count=2, host=MTA, sender="server"),
        Flood(after=6, size=3, byte=ord("!"), host=MTA, sender="server"),
    )
    client = world.client(FROM).say("EHLO c.test", "QUIT")
    assert client.transcript[1] == "S: 220 MX!!!.example.org ESMTP Postfix"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(plan=sabotages(700), version=st.sampled_from(["TLSv1.2", "TLSv1.3"]))
def test_whatever_a_client_does_nothing_breaks_and_nothing_leaks(
    plan: Sabotage, version: Any
) -> None:
    world, tap = tapped(
        "smtpd_tls_security_level = encrypt\nsmtpd_starttls_timeout = 20s\nsmtpd_timeout = 40s"
    )
    session(world, TlsSpec(max=oldest(plan, version), sabotage=plan), *MAIL)
    delivered = world.run().outcome.delivered
    assert not tap.in_clear(b"secret", to=MTA)
    queued = [line for line in world.clients[0].transcript if "queued as" in line]
    assert len(queued) <= len(delivered) <= 1
    assert world.stage.restless == []
    good = session(world, TlsSpec(), *MAIL)
    assert any("queued as" in line for line in good)
