"""The same scenario and seed give the same bytes: in another process, with other hash seeds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIO = Path(__file__).parents[2] / "scenarios" / "demo" / "small-site.yaml"

PLAY = """
import sys
from postlab.run import run_file
report = run_file(sys.argv[1], seed=int(sys.argv[2]))
print(report.trace_hash)
print(report.outcome.to_text())
"""

#: Chance as it creeps in by mistake: the order of a set of texts decides who is first.
PLANTED = """
from sim.streams import SimStream
first = next(iter({"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"}))
write = SimStream.write
SimStream.write = lambda self, data: write(self, data.replace(b"ESMTP Postfix", first.encode()))
"""


def play(code: str, hash_seed: int, seed: int = 0) -> str:
    """The trace hash and the outcome of the scenario in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, str(SCENARIO), str(seed)],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def same_everywhere(code: str) -> bool:
    """Whether two processes with different PYTHONHASHSEED agree in every byte."""
    return play(code, 1) == play(code, 2)


def test_two_processes_with_different_hash_seeds_give_the_same_trace_and_outcome() -> None:
    assert same_everywhere(PLAY)


def test_a_planted_source_of_chance_is_noticed() -> None:
    assert not same_everywhere(PLANTED + PLAY)


def test_another_seed_gives_another_trace() -> None:
    assert play(PLAY, 1, seed=1) != play(PLAY, 1, seed=2)


@pytest.mark.parametrize("seed", [0, 99])
def test_the_same_process_gives_the_same_twice(seed: int) -> None:
    from postlab.run import run_file

    one, two = run_file(SCENARIO, seed=seed), run_file(SCENARIO, seed=seed)
    assert one.trace_hash == two.trace_hash
    assert one.outcome.to_text() == two.outcome.to_text()
