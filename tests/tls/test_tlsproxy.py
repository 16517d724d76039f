"""tlsproxy(8): a connection is handed over, encrypted, and handed back."""

from __future__ import annotations

from typing import Any

import pytest

from mta.lib.tls_proxy import tls_proxy_open
from mta.system import Inet, Stream, Wait
from postlab.lab import Lab
from sim.peers.tls import Sabotage, TlsSpec
from tests.tls.test_smtpd_tls import lab

ENTRY = "tlsproxy unix - - n - 0 tlsproxy\n"
PORT = 2525


def proxied(
    main_cf: str = "", tls: TlsSpec | None = None, entry: str = ENTRY
) -> tuple[Lab, list[Any]]:
    """A server of its own lets tlsproxy(8) encrypt, and echoes a line.  The world, and what the
    server got: the reply, what it read.
    """
    world = lab(main_cf, master_cf=entry)
    stage = world.stage
    got: list[Any] = []

    def serve(stream: Stream) -> Wait[None]:
        assert stage.postfix is not None and stage.postfix.master is not None
        process = stage.postfix.master.new_process("smtpd", "smtp")
        reply = yield from tls_proxy_open(process, stream, "[198.51.100.7]:40000", 10, "smtp")
        got.append(reply)
        if reply is not None and reply.session is not None:
            stream.write(b"220 hi\r\n")
            yield stream.flush(10)
            got.append((yield stream.read_line(100, 10)))
            stream.write(b"250 ok\r\n")
            yield stream.flush(10)
            reply.finish()
        elif reply is None:
            stream.close()

    stage.mta.network.listen(Inet("", PORT), serve)
    client = world.client("198.51.100.7", PORT, tls=tls or TlsSpec(wrapper=True))
    client.raw("hello\r\n")
    got.append(client.transcript)
    return world, got


def log_of(world: Lab) -> list[str]:
    return [str(line).partition(": ")[2] for line in world.log if "tlsproxy[" in str(line)]


def test_a_connection_is_encrypted_for_a_program() -> None:
    world, (reply, line, transcript) = proxied()
    assert line == b"hello\r\n"
    assert (reply.session.protocol, reply.session.is_present) == ("TLSv1.3", False)
    assert transcript[1] == "* tls TLSv1.3" and "S: 250 ok" in transcript
    lines = log_of(world)
    assert lines[0] == "CONNECT from [198.51.100.7]:40000"
    assert lines[1].startswith("Anonymous TLS connection established from [198.51.100.7]:40000: ")
    assert lines[2] == "DISCONNECT [198.51.100.7]:40000"


def test_a_handshake_that_fails_ends_the_connection() -> None:
    world, (reply, transcript) = proxied(tls=TlsSpec(wrapper=True, sabotage=Sabotage("close", 9)))
    assert reply.ready and reply.session is None
    assert transcript[-2:] == ["* tls failed", "* closed by server"]
    lines = log_of(world)
    assert lines[0] == "CONNECT from [198.51.100.7]:40000"
    assert "unexpected eof while reading" in lines[1]
    assert lines[2] == "DISCONNECT [198.51.100.7]:40000"


def test_a_client_that_says_nothing_is_not_waited_for_for_ever() -> None:
    world, _ = proxied(tls=TlsSpec(wrapper=True, sabotage=Sabotage("stall", 9)))
    found = log_of(world)[1]
    assert (
        found == "warning: ciphertext read/write timeout for [198.51.100.7]:40000" or "eof" in found
    )


WITHOUT = [
    ("smtpd_tls_security_level = none", ENTRY,
     "TLS service is requested, but disabled with tlsproxy_tls_security_level or tlsproxy_use_tls",
     'private/tlsproxy service role "server" is not available'),
    ("tlsproxy_tls_cert_file =", ENTRY, "No server certs available. TLS can't be enabled",
     'private/tlsproxy service role "server" is not available'),
    ("", "", "", "connect to private/tlsproxy service: No such file or directory"),
]  # fmt: skip


@pytest.mark.parametrize(("main_cf", "entry", "proxy", "client"), WITHOUT)
def test_without_tls_the_program_is_told(main_cf: str, entry: str, proxy: str, client: str) -> None:
    world, (reply, _) = proxied(main_cf, entry=entry)
    assert reply is None
    assert log_of(world) == ([f"warning: {proxy}"] if proxy else [])
    assert any(str(line).endswith(f"warning: {client}") for line in world.log)
