"""Scenarios held against recorded outcomes: how many agree, and what differs.

The recorded outcome of ``NAME.yaml`` is ``NAME.json`` beside it; a real Postfix said it, or an
earlier run.  Scenarios that agree in every section can be adopted: copied with their outcome to a
folder where they are tests from then on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from postlab.batch import Done, expand, outcomes
from postlab.compare import Comparison, compare


@dataclass(slots=True)
class Verdict:
    """How a scenario compares with its recorded outcome; no comparison where it had no outcome."""

    path: Path
    comparison: Comparison | None
    error: str = ""

    @property
    def area(self) -> str:
        """The folder that it is in."""
        return self.path.parent.name

    @property
    def equal(self) -> bool:
        """Whether all sections are equal."""
        return self.comparison is not None and self.comparison.equal

    @property
    def share(self) -> float:
        """The share of equal lines, 0 to 1."""
        return 0.0 if self.comparison is None else self.comparison.share


@dataclass(slots=True)
class Score:
    """How an area does."""

    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def equal(self) -> int:
        """How many scenarios are equal in every section."""
        return sum(verdict.equal for verdict in self.verdicts)

    @property
    def share(self) -> float:
        """The mean share of equal lines."""
        return sum(verdict.share for verdict in self.verdicts) / max(1, len(self.verdicts))


def recorded(paths: Iterable[Path]) -> list[Path]:
    """The scenario files, of those given and below the folders given, that have an outcome."""
    return [file for file in expand(paths) if file.with_suffix(".json").exists()]


def verdicts(paths: Sequence[Path], seed: int = 0, workers: int = 1) -> Iterator[Verdict]:
    """Plays scenarios and compares each with its recorded outcome."""
    for done in outcomes(paths, seed, workers):
        yield judge(done)


def judge(done: Done) -> Verdict:
    """Compares what came of a file with what is recorded for it."""
    if done.report is None:
        return Verdict(done.path, None, done.error)
    text = done.path.with_suffix(".json").read_text(encoding="utf-8", errors="surrogateescape")
    return Verdict(done.path, compare(json.loads(text), done.report.outcome.to_json()))


def by_area(found: Iterable[Verdict]) -> dict[str, Score]:
    """The scores by folder, in the order of appearance."""
    scores: dict[str, Score] = {}
    for verdict in found:
        scores.setdefault(verdict.area, Score()).verdicts.append(verdict)
    return scores


def adopt(found: Iterable[Verdict], folder: Path) -> list[Path]:
    """Copies the scenarios that agree, with their outcomes, to ``folder/AREA/``; what is new."""
    new = []
    for verdict in found:
        target = folder / verdict.area / verdict.path.name
        if not verdict.equal or target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        for suffix in (".yaml", ".json"):
            shutil.copyfile(verdict.path.with_suffix(suffix), target.with_suffix(suffix))
        new.append(target)
    return new
