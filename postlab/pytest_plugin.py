"""The pytest plugin: a fixture ``lab``, and scenario files with their outcomes as tests.

* ``lab`` is a :class:`postlab.lab.Lab`; ``postlab_run(file)`` plays a scenario file and returns its
  report.  Both use the seed of ``--postlab-seed``.
* Each ``NAME.yaml`` that is a scenario, with the outcome that it must have in ``NAME.json`` beside
  it, is a test: it passes when the outcomes are equal after what may differ was replaced.

A test that fails shows the seed, the trace hash, what the clients and the mail log said, and the
command that runs it again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from postlab.compare import Comparison
    from postlab.lab import Lab
    from reports.outcome import Dialogue, Report

_SCENARIO = re.compile(r"(?m)^format:\s*1\s*$")
#: A scenario says its format in one of its first lines.
_HEAD = 2000

_LABS = pytest.StashKey[list[Any]]()
_REPORTS = pytest.StashKey[list[Any]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--postlab-seed``."""
    group = parser.getgroup("postlab", "mail systems in simulated worlds")
    group.addoption(
        "--postlab-seed",
        type=int,
        default=0,
        metavar="N",
        help="the seed of all chance in the worlds of Postlab (default: 0)",
    )


@pytest.fixture
def postlab_seed(request: pytest.FixtureRequest) -> int:
    """The seed of this test run."""
    return int(request.config.getoption("--postlab-seed"))


@pytest.fixture
def lab(request: pytest.FixtureRequest, postlab_seed: int) -> Lab:
    """A laboratory: a mail system and the internet around it (see :mod:`postlab.lab`)."""
    from postlab.lab import Lab

    made = Lab(postlab_seed, title=request.node.name)
    request.node.stash.setdefault(_LABS, []).append(made)
    return made


@pytest.fixture
def postlab_run(request: pytest.FixtureRequest, postlab_seed: int) -> Callable[..., Report]:
    """Plays scenario files; each call with a path gives the report of a run."""
    from postlab.run import run_file

    def play(path: str | Path, *, seed: int | None = None) -> Report:
        report = run_file(path, seed=postlab_seed if seed is None else seed)
        request.node.stash.setdefault(_REPORTS, []).append(report)
        return report

    return play


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Adds to a failure what one needs to see and to run it again."""
    result = yield
    if result.failed:
        for made in item.stash.get(_LABS, []):
            result.sections.append(("postlab", _about_lab(made, item)))
        for report in item.stash.get(_REPORTS, []):
            result.sections.append(("postlab", _about(report, _again(item, report.seed))))
    return result


def _again(item: pytest.Item, seed: int) -> str:
    return f"pytest '{item.nodeid}' --postlab-seed {seed}"


def _about_lab(lab: Lab, item: pytest.Item) -> str:
    """What a lab can tell of itself without anything more happening in it."""
    stage = lab._stage
    again = _again(item, lab.seed)
    if stage is None:
        return f"seed {lab.seed}; nothing happened in the lab\nrun it again: {again}"
    lines = [str(line) for line in stage.mta.log]
    return _told(lab.seed, stage.world.trace.hash(), stage.clients, lines, again)


def _about(report: Report, again: str) -> str:
    outcome = report.outcome
    return _told(report.seed, report.trace_hash, outcome.clients, outcome.log, again)


def _told(
    seed: int, trace_hash: str, clients: Iterable[Dialogue], log: Iterable[str], again: str
) -> str:
    parts = [(f"client {client.who}", client.transcript) for client in clients]
    parts.append(("mail log", list(log) or ["(empty)"]))
    told = [f"{title}:\n" + "\n".join(f"  {line}" for line in lines) for title, lines in parts]
    return "\n".join([f"seed {seed}, trace {trace_hash}", *told, f"run it again: {again}"])


# -- scenario files ----------------------------------------------------------------------------


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A scenario file with its outcome beside it."""
    if file_path.suffix == ".yaml" and file_path.with_suffix(".json").exists():
        with file_path.open(encoding="utf-8", errors="replace") as stream:
            if _SCENARIO.search(stream.read(_HEAD)):
                collector: pytest.Collector = ScenarioFile.from_parent(parent, path=file_path)
                return collector
    return None


class OutcomeDiffers(Exception):
    """The outcome is not the expected one."""

    def __init__(self, comparison: Comparison, report: Report) -> None:
        super().__init__(comparison, report)
        self.comparison = comparison
        self.report = report


class ScenarioFile(pytest.File):
    """A scenario file."""

    def collect(self) -> Iterable[pytest.Item]:
        """Its one test."""
        yield ScenarioItem.from_parent(self, name="outcome")


class ScenarioItem(pytest.Item):
    """The outcome of a scenario, held against the recorded one."""

    def runtest(self) -> None:
        """Plays it and compares.  Raises OutcomeDiffers."""
        from postlab.compare import compare
        from postlab.run import run_file

        report = run_file(self.path, seed=int(self.config.getoption("--postlab-seed")))
        expected = json.loads(self.path.with_suffix(".json").read_text(encoding="utf-8"))
        comparison = compare(expected, report.outcome.to_json())
        if not comparison.equal:
            raise OutcomeDiffers(comparison, report)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The lines that differ, and how to see more."""
        error = excinfo.value
        if not isinstance(error, OutcomeDiffers):
            return super().repr_failure(excinfo, style)
        report = error.report
        again = f"postlab run {self.path} --seed {report.seed} --dialogue --log"
        return f"{report.title}\n{error.comparison.text()}\n\n{_about(report, again)}"

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the test is, for pytest."""
        return self.path, None, f"scenario {self.path.parent.name}/{self.path.stem}"
