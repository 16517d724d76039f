"""Two configurations over the same traffic: plays everything twice, and tells what changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from postlab.compare.changes import changes
from postlab.compare.settings import files_of, files_of_scenario, settings
from postlab.errors import NotStarted, RunError, ScenarioError, Unsupported
from postlab.folder import ConfigFolder
from postlab.model import Scenario
from postlab.run import run_scenario
from postlab.scenario import load
from reports.changes import Change, Comparison, Effect
from reports.outcome import Report

Play = Callable[[], Report]


def compare_folders(
    old: ConfigFolder, new: ConfigFolder, paths: Sequence[Path] = (), seed: int = 0
) -> Comparison:
    """Two folders like ``/etc/postfix`` over scenario files, or else over the usual traffic.

    Raises ScenarioError where a scenario file is wrong.
    """
    found = Comparison(old.shown, new.shown, settings(files_of(old), files_of(new)))
    if paths:
        traffic = [(str(path), load(path)) for path in paths]
    else:
        from postlab.compare.traffic import scenarios

        made, found.assumed = scenarios(old, new)
        traffic = [(f"usual traffic {number}", item) for number, item in enumerate(made, 1)]
    for name, scenario in traffic:
        one, two = _player(scenario, old, seed), _player(scenario, new, seed)
        found.effects.append(effect(name, scenario.title, one, two))
    return found


def compare_files(old: Path, new: Path, seed: int = 0) -> Comparison:
    """Two scenario files, each with a configuration and traffic of its own.

    Raises ScenarioError.
    """
    one, two = load(old), load(new)
    found = Comparison(str(old), str(new), settings(files_of_scenario(one), files_of_scenario(two)))
    title = one.title if one.title == two.title else f"{one.title} / {two.title}"
    found.effects.append(
        effect(str(new), title, _player(one, None, seed), _player(two, None, seed))
    )
    return found


def _player(scenario: Scenario, config: ConfigFolder | None, seed: int) -> Play:
    return lambda: run_scenario(scenario, seed=seed, config=config).report


def effect(name: str, title: str, old: Play, new: Play) -> Effect:
    """What changes in one scenario."""
    found = Effect(name, title)
    reports = [_played(play) for play in (old, new)]
    one, two = reports
    for side, report in zip(("old", "new"), reports, strict=True):
        if isinstance(report, Report):
            found.doubts += [f"{side}: {doubt}" for doubt in (*report.doubts, *report.unheeded)]
    if isinstance(one, Report) and isinstance(two, Report):
        found.changes = changes(one, two)
    elif isinstance(one, NotStarted) and isinstance(two, NotStarted):
        found.error = f"neither starts: {two}"
    elif isinstance(one, NotStarted) or isinstance(two, NotStarted):
        before, after = ("starts" if isinstance(r, Report) else str(r) for r in reports)
        found.changes = [Change("start", "the mail system", before, after)]
    else:
        found.error = "; ".join(str(report) for report in reports if not isinstance(report, Report))
    return found


def _played(play: Play) -> Report | Exception:
    try:
        return play()
    except (Unsupported, RunError, ScenarioError) as error:
        return error


def told(comparison: Comparison) -> Iterator[str]:
    """Each doubt once."""
    yield from dict.fromkeys(d for effect in comparison.effects for d in effect.doubts)
