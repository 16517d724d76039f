"""What TLS costs: handshakes with and without an earlier session, and a message."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from postlab.lab import Lab
from sim.peers.tls import TlsSpec

SESSIONS = 100
MAIN_CF = """
mydestination = example.org
smtpd_tls_cert_file = $config_directory/mx.pem
smtpd_tls_security_level = may
"""
WAYS: dict[str, TlsSpec | None] = {
    "plain": None,
    "TLSv1.2": TlsSpec(max="TLSv1.2"),
    "TLSv1.3": TlsSpec(),
    "TLSv1.2 resumed": TlsSpec(max="TLSv1.2", resume=True),
    "TLSv1.3 resumed": TlsSpec(resume=True),
}


def sessions(way: str, *say: str) -> Lab:
    """A world that has begun, with so many clients that have not."""
    lab = Lab(seed=1).mta(main_cf=MAIN_CF, users=["alice"])
    assert lab.stage
    tls = WAYS[way]
    for _ in range(SESSIONS):
        client = lab.client("198.51.100.7", tls=tls).say("EHLO client.test")
        if tls is not None:
            client.say("starttls", "EHLO client.test")
        client.say(*say, "QUIT")
    return lab


def measure(benchmark: BenchmarkFixture, way: str, what: str, *say: str) -> None:
    done: list[Lab] = []

    def prepare() -> tuple[tuple[Lab], dict[str, Any]]:
        return (sessions(way, *say),), {}

    def run(lab: Lab) -> None:
        lab.run()
        done.append(lab)

    benchmark.pedantic(run, setup=prepare, rounds=3, warmup_rounds=1)
    assert len(done[-1].fingerprints) == SESSIONS
    benchmark.extra_info[f"{what} per CPU second"] = round(SESSIONS / benchmark.stats["median"])


@pytest.mark.parametrize("way", WAYS)
def test_sessions_without_mail(benchmark: BenchmarkFixture, way: str) -> None:
    measure(benchmark, way, "sessions")


@pytest.mark.parametrize("way", WAYS)
def test_a_session_and_a_message(benchmark: BenchmarkFixture, way: str) -> None:
    measure(
        benchmark, way, "messages", "MAIL FROM:<a@client.test>", "RCPT TO:<alice@example.org>",
        "DATA", "Subject: x\n\nhello\n.\n",
    )  # fmt: skip
