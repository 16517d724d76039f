"""What grows with the work, and does not grow faster than it.

Each benchmark does the same work in a small and in a large amount, in one process, and holds the
cost of one piece of the large amount against that of the small.  Both are CPU time or bytes of the
same run, so the limits hold on any machine, however busy.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from functools import partial

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import traffic
from postlab.lab import Lab

#: By how much a piece of the large amount may cost more than one of the small.
LIMIT = 1.7


def _run(lab: Lab) -> Lab:
    lab.run()
    return lab


def _a_day(lab: Lab) -> Lab:
    lab.run(until="1d")
    return lab


def _cost(
    build: Callable[[int], Lab], work: Callable[[Lab], Lab], count: int, rounds: int
) -> float:
    """The CPU seconds of one piece: of the best round, since others only disturb."""
    labs = [build(count) for _ in range(rounds)]
    return min(traffic.cpu(partial(work, lab)) for lab in labs) / count


@pytest.mark.parametrize(
    ("build", "work", "small", "large"),
    [
        pytest.param(traffic.relay, _run, 200, 2000, id="messages"),
        pytest.param(traffic.many_recipients, _run, 100, 1000, id="recipients of one message"),
        pytest.param(traffic.large_message, _run, 2000, 20_000, id="kilobytes of one message"),
        pytest.param(traffic.connections, _run, 200, 2000, id="connections"),
        pytest.param(traffic.rejected, _run, 1000, 10_000, id="lines of the mail log"),
        pytest.param(traffic.destinations, _run, 100, 1000, id="destinations"),
        pytest.param(traffic.deferred_queue, _a_day, 100, 1000, id="deferred messages over a day"),
    ],
)
def test_the_cost_of_a_piece_does_not_grow_with_their_number(
    benchmark: BenchmarkFixture,
    build: Callable[[int], Lab],
    work: Callable[[Lab], Lab],
    small: int,
    large: int,
) -> None:
    costs: dict[int, float] = {}

    def measure() -> None:
        work(build(small))  # warm
        costs[small] = _cost(build, work, small, 3)
        costs[large] = _cost(build, work, large, 1)

    benchmark.pedantic(measure, rounds=1)
    for count, cost in costs.items():
        benchmark.extra_info[f"us for one of {count}"] = round(cost * 1e6, 1)
    assert costs[large] < LIMIT * costs[small]


def test_the_memory_of_a_message_does_not_grow_with_their_number(
    benchmark: BenchmarkFixture,
) -> None:
    kept: dict[int, float] = {}

    def measure() -> None:
        _run(traffic.relay(50))  # warm
        for count in (100, 1000):
            gc.collect()
            tracemalloc.start()
            lab = _run(traffic.relay(count))
            gc.collect()
            kept[count] = tracemalloc.get_traced_memory()[0] / count
            tracemalloc.stop()
            assert len(lab.delivered) == count

    benchmark.pedantic(measure, rounds=1)
    for count, size in kept.items():
        benchmark.extra_info[f"bytes for one of {count}"] = round(size)
    assert kept[1000] < LIMIT * kept[100]
