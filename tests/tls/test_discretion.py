"""In every run somebody watches that nothing goes in the clear that must not."""

from __future__ import annotations

from typing import Any

import pytest

from mta.smtp.tls import ClientTls
from mta.system import Inet, Wait
from sim.engine import WorldError
from sim.peers.tls import TlsSpec
from sim.world import World
from tests.tls.client_site import Site

STRICT = ("encrypt", "fingerprint", "verify", "secure", "dane-only", "dane")


def careless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that goes on in plaintext where it must not."""

    def after_ehlo(self: ClientTls, state: Any, session: Any) -> Wait[int | None]:
        return None
        yield

    monkeypatch.setattr(ClientTls, "after_ehlo", after_ehlo)


@pytest.mark.parametrize("level", STRICT)
@pytest.mark.parametrize("tls", [None, TlsSpec(), TlsSpec(fault="refuse")])
def test_a_careless_client_ends_the_run(
    level: str, tls: TlsSpec | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    careless(monkeypatch)
    site = Site(
        f"smtp_tls_security_level = {level}\nsmtp_tls_fingerprint_cert_match = 00:11\n"
        "smtp_dns_support_level = dnssec\n"
    ).peer("d.test", tls)
    site.lab.dns("_25._tcp.d.test. IN TLSA 3 1 1 " + "00" * 32, signed=["test."])
    with pytest.raises(WorldError, match=r"in the clear to 203\.0\.113\.10:25: b'MAIL FROM"):
        site.send("u@d.test")


@pytest.mark.parametrize("level", ["none", "may"])
def test_plaintext_is_as_good_as_its_policy(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    careless(monkeypatch)
    site = Site(f"smtp_tls_security_level = {level}\n").peer("d.test", TlsSpec())
    site.send("u@d.test")
    assert site.lab.fate("u@d.test").status == "sent"


def test_a_fall_back_that_the_policy_forbids_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def always(self: ClientTls, state: Any) -> Wait[bool]:
        return True
        yield

    monkeypatch.setattr(ClientTls, "_may_fall_back", always)
    monkeypatch.setattr("mta.smtp.tls.TLS_LEV_MAY", 7)
    site = Site("smtp_tls_security_level = secure\n").peer("d.test", TlsSpec(fault="garbage"))
    with pytest.raises(WorldError, match="in the clear"):
        site.send("u@d.test")


# --- the watch itself -----------------------------------------------------------------------------


def talk(*pieces: bytes) -> list[bytes]:
    """What the other side hears of a client that has confided, and sends pieces."""
    world = World(1)
    one = world.machine("one", ["192.0.2.1"])
    two = world.machine("two", ["192.0.2.2"])
    heard: list[bytes] = []

    def serve(stream: Any) -> Wait[None]:
        while data := (yield stream.read(1000, 10)):
            heard.append(data)

    def client() -> Wait[None]:
        stream = yield one.network.connect(Inet("192.0.2.2", 25), 10)
        stream.write(b"anything\n")
        yield stream.flush(10)
        stream.confide()
        for piece in pieces:
            stream.write(piece)
            yield stream.flush(10)
        stream.close()

    two.network.listen(Inet("192.0.2.2", 25), serve)
    world.start_task(client(), "client")
    assert world.settle()
    return heard


@pytest.mark.parametrize(
    "pieces",
    [
        (b"EHLO a.test\r\n", b"STARTTLS\r\n"),
        (b"ehlo a.test\r\nstarttls\r\n",),
        (b"LH", b"LO a\r", b"\nQUIT\r\n"),
        (b"HELO a\r\n", b"RSET\r\n", b"NOOP\r\n", b"QUIT\r\n"),
    ],
)
def test_a_session_may_be_opened(pieces: tuple[bytes, ...]) -> None:
    assert b"".join(talk(*pieces)) == b"anything\n" + b"".join(pieces)


@pytest.mark.parametrize(
    ("pieces", "line"),
    [
        ((b"MAIL FROM:<a@b>\r\n",), "MAIL"),
        ((b"EHLO a\r\nAUTH PLAIN x\r\n",), "AUTH"),
        ((b"MA", b"IL FROM:<>\r", b"\n"), "MAIL"),
        ((b"QUITE so\r\n",), "QUITE"),
        ((b"\r\n",), "'$"),
        ((b"x" * 1500, b"x" * 1500), "xxx"),
    ],
)
def test_nothing_else_may_go(pieces: tuple[bytes, ...], line: str) -> None:
    with pytest.raises(WorldError, match=rf"to 192\.0\.2\.2:25: b'{line}"):
        talk(*pieces)
