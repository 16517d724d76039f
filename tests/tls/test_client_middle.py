"""The TLS client, people in the middle who want to see less of it, and servers with second thoughts."""

from __future__ import annotations

from typing import Any

import pytest

from sim.faults import Rewrite
from sim.peers.tls import Sabotage, TlsSpec
from tests.tls.client_site import SECRET, Site

DEST = "203.0.113.10"
#: The list of versions in a ClientHello, shortened to TLS 1.2.
DOWNGRADE = Rewrite(
    pattern=rb"(?s)\x00\x2b(\x00.)(.)\x03\x04",
    replacement=b"\x00\x2b\\1\\2\x03\x03",
    sender="client",
)
FORGED = Rewrite(pattern=rb"250 DSN\r\n", replacement=b"250 STARTTLS\r\n", sender="server")


def site(level: str, tls: TlsSpec | None, **more: Any) -> Site:
    world = Site(f"smtp_tls_security_level = {level}\nsmtp_tls_loglevel = 1\n")
    world.peer("d.test", tls, **more)
    assert world.tap
    return world


def meddle(world: Site, fault: Rewrite) -> None:
    """A fault of one's own for the world."""
    world.lab.stage.world.faults.add(
        Rewrite(
            pattern=fault.pattern, replacement=fault.replacement, sender=fault.sender, host=DEST
        )
    )


@pytest.mark.parametrize("level", ["may", "encrypt", "verify", "secure"])
def test_a_downgrade_is_noticed(level: str) -> None:
    world = site(level, TlsSpec())
    meddle(world, DOWNGRADE)
    world.send("u@d.test")
    assert world.reason("u@d.test") == "4.7.5 Cannot start TLS: handshake failure"
    assert not world.tap.in_clear(SECRET, to=DEST)


def test_without_meddling_the_newest_version_is_used() -> None:
    world = site("verify", TlsSpec())
    world.send("u@d.test")
    assert world.log("Verified TLS connection established")[0].count("TLSv1.3") == 1


@pytest.mark.parametrize(("level", "sent"), [("may", True), ("encrypt", False), ("secure", False)])
def test_an_offer_that_is_forged_leads_nowhere(level: str, sent: bool) -> None:
    """The server knows no STARTTLS; somebody says it does."""
    world = site(level, None)
    meddle(world, FORGED)
    world.send("u@d.test")
    assert "STARTTLS" in world.said("d.test")[0]
    assert bool(world.tap.in_clear(SECRET, to=DEST)) == sent
    if not sent:
        assert world.reason("u@d.test").startswith(
            "5.5.1 TLS is required, but host d.test[203.0.113.10] refused to start TLS: 502 "
        )


@pytest.mark.parametrize("level", ["encrypt", "secure"])
@pytest.mark.parametrize("at", [0, 100, 400])
def test_a_server_may_renegotiate(level: str, at: int) -> None:
    plan = Sabotage("renegotiate", at, "session")
    world = site(level, TlsSpec(max="TLSv1.2", sabotage=plan))
    world.send("u@d.test")
    assert world.reason("u@d.test") == ""
    assert [d.where for d in world.lab.delivered] == ["peer d.test"]
    assert world.tap.sealed(SECRET, to=DEST) and not world.tap.in_clear(SECRET, to=DEST)


def test_no_client_may_renegotiate() -> None:
    world = Site("smtpd_tls_security_level = may\nsmtpd_tls_cert_file = /etc/postfix/mx.pem\n")
    plan = Sabotage("renegotiate", 50, "session")
    tls = TlsSpec(max="TLSv1.2", sabotage=plan)
    client = world.lab.client("198.51.100.9", tls=tls).say(
        "EHLO c.test", "starttls", "EHLO c.test", "NOOP", "NOOP", "QUIT"
    )
    assert "* tls TLSv1.2" in client.transcript
    assert "S: 221 2.0.0 Bye" not in client.transcript
    assert world.lab.stage.restless == []


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (lambda: TlsSpec(sabotage=Sabotage("renegotiate", 0, "session")), "TLS 1.3 has no"),
        (lambda: Sabotage("renegotiate", 0), "cannot be renegotiated"),
    ],
)
def test_what_cannot_be_renegotiated(plan: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        plan()


@pytest.mark.parametrize("level", ["verify", "secure"])
def test_behind_one_name_are_several_certificates(level: str) -> None:
    """Three servers, one name: the mail goes to the one whose certificate is good."""
    world = Site(f"smtp_tls_security_level = {level}\nsmtp_randomize_addresses = no\n")
    for number, cert in enumerate(("expired", "self-signed", "valid"), 31):
        tls = TlsSpec(cert=cert, names=("d.test",))  # type: ignore[arg-type]
        world.peer(f"p{number}.test", tls, address=f"203.0.113.{number}")
        world.lab.dns(f"d.test. IN A 203.0.113.{number}")
    world.send("u@d.test")
    assert [d.where for d in world.lab.delivered] == ["peer p33.test"]
    assert world.log("Server certificate not trusted")
