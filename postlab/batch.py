"""Many scenario files, in turn or side by side; what is wrong with one stops no other."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from postlab.errors import RunError, ScenarioError, Unsupported
from postlab.folder import ConfigFolder
from reports.outcome import Report

#: What the names of scenario files end with, where a folder is searched for them.
SUFFIXES = (".yaml", ".yml")


@dataclass(slots=True)
class Done:
    """What came of one file: a report, or why there is none."""

    path: Path
    report: Report | None = None
    error: str = ""
    bad_input: bool = False  #: the file is wrong, rather than this version of Postlab

    @property
    def json(self) -> bytes:
        """The outcome as the bytes of its JSON document."""
        assert self.report is not None
        return self.report.to_text().encode("utf-8", "surrogateescape")


def expand(paths: Iterable[Path]) -> list[Path]:
    """The scenario files that are meant: files as they are, folders with all that is below."""
    found: list[Path] = []
    for path in paths:
        inside = (p for p in path.rglob("*") if p.suffix in SUFFIXES and p.is_file())
        found += sorted(inside) if path.is_dir() else [path]
    return found


def run_one(path: Path, seed: int, config: ConfigFolder | None = None) -> Done:
    """Runs one file, whatever happens."""
    from postlab.run import run_file

    return _done(path, lambda: run_file(path, seed=seed, config=config))


def start_only(config: ConfigFolder, seed: int) -> Done:
    """Starts the mail system of a folder, and nothing more."""
    from postlab.run import run_scenario
    from postlab.surroundings import empty_scenario

    def play() -> Report:
        scenario = empty_scenario(config)
        return run_scenario(scenario, seed=seed, name=config.shown, config=config).report

    return _done(Path(config.shown), play)


def _done(path: Path, play: Callable[[], Report]) -> Done:
    try:
        return Done(path, play())
    except ScenarioError as error:
        return Done(path, error=str(error), bad_input=True)
    except Unsupported as error:
        return Done(path, error=f"{path}: not possible yet: {error}")
    except RunError as error:
        return Done(path, error=f"{path}: {error}")
    except Exception:  # a defect; the other files must still run
        return Done(path, error=f"{path}: a defect of Postlab\n{traceback.format_exc()}")


def outcomes(
    paths: Sequence[Path], seed: int, workers: int, config: ConfigFolder | None = None
) -> Iterator[Done]:
    """What came of each file, in the order of the files; with a folder's configuration, if any."""
    if workers > 1 and len(paths) > 1:
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            yield from pool.map(run_one, paths, [seed] * len(paths), [config] * len(paths))
        return
    import postlab.run  # noqa: F401  (what it imports is there for good: no need to look at it again)

    gc.freeze()
    for path in paths:
        yield run_one(path, seed, config)
