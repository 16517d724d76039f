"""How much mail a CPU second moves, and what a world costs.

``make bench`` runs this.  All times are CPU time of this process; each figure is the median of
several rounds.  A goal is held against the best round, since a busy machine only adds to a figure.
"""

from __future__ import annotations

import statistics

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import traffic
from postlab.lab import Lab


def test_a_world_is_built_and_its_mail_system_started(benchmark: BenchmarkFixture) -> None:
    def build() -> None:
        lab = Lab(seed=1)
        lab.mta(main_cf="mydestination = example.org", users=["alice"])
        assert lab.stage

    benchmark.pedantic(build, rounds=20, warmup_rounds=3)


def test_five_days_of_retries_of_one_message(benchmark: BenchmarkFixture) -> None:
    def prepare() -> tuple[tuple[Lab], dict[str, object]]:
        lab = traffic.deferred()
        assert lab.stage
        return (lab,), {}

    labs: list[Lab] = []

    def run(lab: Lab) -> None:
        lab.run(until="126h")
        labs.append(lab)

    benchmark.pedantic(run, setup=prepare, rounds=20, warmup_rounds=2)
    assert not labs[-1].queue
    assert benchmark.stats["min"] < 0.05


@pytest.mark.parametrize("messages", [100, 1000])
def test_messages_through_smtpd_cleanup_qmgr_smtp(
    benchmark: BenchmarkFixture, messages: int
) -> None:
    def prepare() -> tuple[tuple[Lab], dict[str, object]]:
        return (traffic.relay(messages),), {}

    done: list[Lab] = []

    def run(lab: Lab) -> None:
        lab.run()
        done.append(lab)

    benchmark.pedantic(run, setup=prepare, rounds=3, warmup_rounds=1)
    assert len(done[-1].delivered) == messages
    benchmark.extra_info["messages per CPU second"] = round(messages / benchmark.stats["median"])


def test_the_cost_of_a_message_stays_flat(benchmark: BenchmarkFixture) -> None:
    costs: dict[int, float] = {}

    def run() -> None:
        traffic.relay(100).run()  # warm
        for messages in (100, 1000, 10_000):
            rounds = 3 if messages < 10_000 else 1
            labs = [traffic.relay(messages) for _ in range(rounds)]
            costs[messages] = statistics.median(traffic.cpu(lab.run) for lab in labs) / messages

    benchmark.pedantic(run, rounds=1)
    for messages, cost in costs.items():
        benchmark.extra_info[f"us per message at {messages}"] = round(cost * 1e6)
    assert costs[10_000] < 2 * costs[100]
