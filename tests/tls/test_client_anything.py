"""Whatever servers do to a handshake or to a session: nothing breaks, no mail is lost, and none
goes in the clear where that is forbidden.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sim.faults import Corrupt, Flood, Reset, Split, Stall
from sim.peers.tls import Sabotage, TlsSpec
from tests.tls.client_site import SECRET, Site
from tests.tls.sabotages import oldest, sabotages

DEST = "203.0.113.10"
FAST = "smtp_starttls_timeout = 20s\nsmtp_helo_timeout = 20s\nmaximal_queue_lifetime = 20m\n"
STRICT = ("encrypt", "fingerprint", "verify", "secure", "dane")
LAX = ("may",)


def main_cf(level: str) -> str:
    text = f"{FAST}smtp_tls_security_level = {level}\n"
    if level == "dane":
        text += "smtp_dns_support_level = dnssec\n"
    return text + "smtp_tls_fingerprint_cert_match = 00:11\n"


def site(level: str, tls: TlsSpec | None, cached: bool) -> Site:
    """A destination with one server, which does harm; with ``dane`` there is a TLSA record."""
    cf = main_cf(level)
    if cached:
        cf += "smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache\n"
    world = Site(cf).peer("d.test", tls)
    digest = "00" * 32
    world.lab.dns(f"_25._tcp.d.test. IN TLSA 3 1 1 {digest}", signed=["test."])
    return world


def check(world: Site, level: str, tap: Any) -> None:
    """The laws."""
    fate = world.lab.fate("u@d.test")
    arrived = [d for d in world.lab.delivered if d.where == "peer d.test"]
    assert fate.status in ("sent", "deferred", "bounced", "expired")
    queued = any(r for entry in world.lab.queue for r in entry.recipients)
    notices = [m for m in world.lab.messages if m.sender == ""]
    assert arrived or queued or notices or fate.status in ("bounced", "expired")
    if fate.status == "sent":
        assert arrived
    if level in STRICT:
        assert not tap.in_clear(SECRET, to=DEST)
        assert not tap.in_clear(b"MAIL FROM", to=DEST)
    assert world.lab.stage.restless == []


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    plan=sabotages(2500),
    version=st.sampled_from(["TLSv1.2", "TLSv1.3"]),
    level=st.sampled_from((*LAX, *STRICT)),
    cached=st.booleans(),
)
@example(plan=Sabotage("close", 0), version="TLSv1.3", level="may", cached=True)
@example(plan=Sabotage("stall", 100), version="TLSv1.2", level="encrypt", cached=False)
def test_a_server_that_does_harm(plan: Sabotage, version: Any, level: str, cached: bool) -> None:
    world = site(level, TlsSpec(max=oldest(plan, version), sabotage=plan), cached)
    tap = world.tap
    world.send("u@d.test")
    world.lab.run("30m")
    check(world, level, tap)


def faults() -> Any:
    where = {"host": st.just(DEST), "port": st.just(25), "after": st.integers(0, 3000),
             "sender": st.sampled_from(["client", "server"])}  # fmt: skip
    return st.one_of(
        st.builds(Reset, **where),
        st.builds(Stall, **where, seconds=st.sampled_from([1.0, 30.0, 400.0])),
        st.builds(Split, host=st.just(DEST), size=st.integers(1, 50)),
        st.builds(Corrupt, **where, flip=st.integers(1, 255), count=st.integers(1, 20)),
        st.builds(Flood, **where, size=st.integers(1, 3000)),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    plans=st.lists(faults(), min_size=1, max_size=3),
    version=st.sampled_from(["TLSv1.2", "TLSv1.3"]),
    level=st.sampled_from((*LAX, *STRICT)),
)
def test_somebody_in_the_middle(plans: list[Any], version: Any, level: str) -> None:
    world = site(level, TlsSpec(max=version), False)
    tap = world.tap
    world.lab.stage.world.faults.add(*plans)
    world.send("u@d.test")
    world.lab.run("30m")
    check(world, level, tap)


REPLIES = st.text("0123456789 -\n\rabcTLS.", max_size=60)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    reply=REPLIES,
    then=st.sampled_from([{}, {"then": "close"}]),
    on=st.sampled_from(["EHLO", "STARTTLS", "connect", "HELO"]),
    level=st.sampled_from((*LAX, *STRICT)),
)
def test_replies_that_make_no_sense(reply: str, then: Any, on: str, level: str) -> None:
    world = Site(main_cf(level))
    rule = {"on": on, "reply": reply.replace("\r", "") or "220", "times": 2, **then}
    world.peer("d.test", replies=[rule])
    world.lab.dns("_25._tcp.d.test. IN TLSA 3 1 1 " + "00" * 32, signed=["test."])
    tap = world.tap
    world.send("u@d.test")
    world.lab.run("30m")
    check(world, level, tap)


# --- the same again -------------------------------------------------------------------------------

SAME = """
from sim.peers.tls import Sabotage, TlsSpec
from tests.tls.client_site import Site
site = Site("smtp_tls_security_level = may\\nsmtp_tls_loglevel = 2\\n"
            "smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache\\n")
site.peer("a.test", TlsSpec()).peer("b.test", TlsSpec(max="TLSv1.2", cert="expired"))
site.peer("c.test", TlsSpec(fault="garbage"))
site.peer("d.test", TlsSpec(sabotage=Sabotage("reset", 300)))
for _ in range(3):
    for name in "abcd":
        site.send(f"u@{name}.test")
site.lab.run("2h")
print(site.lab.trace_hash)
print("\\n".join(map(str, site.lab.log)))
"""


def test_the_same_seed_gives_the_same_trace_in_two_processes() -> None:
    outputs = [
        subprocess.run(
            [sys.executable, "-c", SAME],
            env={"PYTHONHASHSEED": seed, "PATH": "", "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0].split("\n")) > 300


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("deed", ["close", "reset", "corrupt", "alert"])
def test_every_byte_of_a_handshake(deed: Any, version: Any) -> None:
    """Every 97th, to be honest."""
    for at in range(0, 2200, 97):
        world = site("encrypt", TlsSpec(max=version, sabotage=Sabotage(deed, at)), False)
        tap = world.tap
        world.send("u@d.test")
        assert not tap.in_clear(SECRET, to=DEST)
        sent = world.lab.fate("u@d.test").status == "sent"
        assert not sent or any(d.where == "peer d.test" for d in world.lab.delivered)
        assert sent or world.reason("u@d.test").startswith(("4.7.5 Cannot", "4.4.2 lost"))
