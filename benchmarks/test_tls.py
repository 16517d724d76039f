"""What TLS costs: handshakes with and without an earlier session, and a message.

Times are those of the processor, so that what else the machine does counts little.  ``extra_info``
has the rates, and what TLS adds to a session without mail or to one with a message.
"""

from __future__ import annotations

from time import process_time
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from postlab.lab import Lab
from sim.peers.tls import TlsSpec

pytestmark = pytest.mark.benchmark(timer=process_time)

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


#: Seconds a session without TLS, by what is measured.
PLAIN: dict[str, float] = {}


def fastest(benchmark: BenchmarkFixture) -> float:
    """Seconds of the best round."""
    stats: Any = benchmark.stats
    return float(stats["min"])


def measure(benchmark: BenchmarkFixture, way: str, what: str, *say: str) -> None:
    done: list[Lab] = []

    def prepare() -> tuple[tuple[Lab], dict[str, Any]]:
        return (sessions(way, *say),), {}

    def run(lab: Lab) -> None:
        lab.run()
        done.append(lab)

    benchmark.pedantic(run, setup=prepare, rounds=3, warmup_rounds=1)
    assert len(done[-1].fingerprints) == SESSIONS
    seconds = fastest(benchmark) / SESSIONS
    benchmark.extra_info[f"{what} per CPU second"] = round(1 / seconds)
    if way == "plain":
        PLAIN[what] = seconds
    elif what in PLAIN:
        cost = seconds - PLAIN[what]
        benchmark.extra_info["milliseconds of TLS"] = round(cost * 1000, 2)
        benchmark.extra_info["handshakes per CPU second"] = round(1 / cost)


@pytest.mark.parametrize("way", WAYS)
def test_sessions_without_mail(benchmark: BenchmarkFixture, way: str) -> None:
    measure(benchmark, way, "sessions")


@pytest.mark.parametrize("way", WAYS)
def test_a_session_and_a_message(benchmark: BenchmarkFixture, way: str) -> None:
    measure(
        benchmark, way, "messages", "MAIL FROM:<a@client.test>", "RCPT TO:<alice@example.org>",
        "DATA", "Subject: x\n\nhello\n.\n",
    )  # fmt: skip


OUT = """
mynetworks = 198.51.100.0/24
smtp_tls_security_level = {level}
smtp_tls_session_cache_database = {cache}
"""


@pytest.mark.parametrize("way", ["plain", "encrypted", "resumed"])
def test_a_message_that_goes_out(benchmark: BenchmarkFixture, way: str) -> None:
    done: list[Lab] = []

    def prepare() -> tuple[tuple[Lab], dict[str, Any]]:
        level = "none" if way == "plain" else "encrypt"
        cache = "btree:${data_directory}/smtp_scache" if way == "resumed" else ""
        lab = Lab(seed=1).mta(main_cf=OUT.format(level=level, cache=cache))
        lab.peer("mx.dest.test", mx_for=["dest.test"], tls=TlsSpec())
        assert lab.stage
        for number in range(SESSIONS):
            lab.client("198.51.100.7").say(
                "EHLO client.test", "MAIL FROM:<a@client.test>", f"RCPT TO:<u{number}@dest.test>",
                "DATA", "Subject: x\n\nhello\n.\n", "QUIT",
            )  # fmt: skip
        return (lab,), {}

    def run(lab: Lab) -> None:
        lab.run()
        done.append(lab)

    benchmark.pedantic(run, setup=prepare, rounds=3, warmup_rounds=1)
    assert len(done[-1].delivered) == SESSIONS
    seconds = fastest(benchmark) / SESSIONS
    benchmark.extra_info["messages per CPU second"] = round(1 / seconds)
    if way == "plain":
        PLAIN["out"] = seconds
    elif "out" in PLAIN:
        benchmark.extra_info["milliseconds of TLS"] = round((seconds - PLAIN["out"]) * 1000, 2)
