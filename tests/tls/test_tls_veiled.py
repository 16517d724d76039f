"""A handshake where nobody expects one: what is read of it is the same in every run."""

from __future__ import annotations

from postlab.lab import Lab
from sim.peers.tls import TlsSpec

FROM = "198.51.100.7"


def knock(seed: int = 0) -> Lab:
    """A client does TLS at a port that speaks SMTP."""
    world = Lab(seed=seed).mta("mynetworks = 198.51.100.0/24\n")
    world.client(FROM, tls=TlsSpec(wrapper=True)).say("EHLO c.test", "QUIT")
    world.run()
    return world


def send(seed: int = 0) -> Lab:
    """The mail system does TLS at a server that speaks SMTP."""
    world = Lab(seed=seed).mta(
        "mynetworks = 198.51.100.0/24\nsmtp_tls_wrappermode = yes\nsmtp_tls_security_level = may\n"
    )
    world.peer("mx.dest.test", mx_for=["dest.test"])
    world.client(FROM).say("EHLO c.test").mail("a@c.test", "b@dest.test").quit()
    world.run(until="1h")
    return world


def test_a_client_that_does_tls_where_smtp_is_spoken() -> None:
    worlds = [knock() for _ in range(6)]
    assert len({world.trace_hash for world in worlds}) == 1
    assert "* tls failed" in worlds[0].outcome.clients[0].transcript


def test_a_server_that_gets_a_handshake_in_place_of_a_command() -> None:
    worlds = [send() for _ in range(6)]
    assert len({world.trace_hash for world in worlds}) == 1
    assert len({str(world.outcome.peers) for world in worlds}) == 1
    assert worlds[0].fate("b@dest.test").status == "deferred"
