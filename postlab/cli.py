"""The command line: ``postlab run``, ``conform``, ``version``; more in :mod:`postlab.cli_tools` and
:mod:`postlab.cli_compare`.

Exit status: 0 where every scenario has an outcome; 1 where one has none (the mail system does not
start, the scenario asks for what this version cannot do, or a defect of Postlab stopped it), or one
that is not to be trusted, or one that differs from what is recorded; 2 where an argument or a file
is wrong.  What is told on standard error output and does not change the status, such as a setting
that has no effect yet, is 1 with ``--strict``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from postlab import __version__

if TYPE_CHECKING:
    from postlab.batch import Done
    from postlab.conform import Verdict
    from postlab.folder import ConfigFolder
    from reports.outcome import Report

T = TypeVar("T")

app = typer.Typer(
    name="postlab",
    help="A laboratory for mail servers: your Postfix configuration in a simulated world.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

OK, NO_OUTCOME, BAD_INPUT = 0, 1, 2

#: From so many files on there is a progress bar.
_MANY = 5


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"postlab {__version__} (behaves as Postfix 3.0.15)")
        raise typer.Exit(OK)


@app.callback()
def _commands(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """A laboratory for mail servers: your Postfix configuration in a simulated world.

    Exit status: 0 all is well, 1 something is not, 2 an argument or a file is wrong.
    """


@app.command()
def run(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Scenario files, or folders with such.", show_default=False),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="A folder like /etc/postfix: the configuration, in place of what scenarios say; "
            "without scenarios, the mail system only starts.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The seed of all chance in the world.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the outcome as JSON (one file).")
    ] = False,
    json_dir: Annotated[
        Path | None,
        typer.Option(help="Write FOLDER/NAME.json below this folder.", show_default=False),
    ] = None,
    dialogue: Annotated[bool, typer.Option("--dialogue", help="Show every SMTP session.")] = False,
    log: Annotated[bool, typer.Option("--log", help="Show the whole mail log.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a report with everything to this file.", show_default=False),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Exit status 1 also for settings that have no effect yet, and for rules and "
            "faults of a scenario that nothing ever asked for.",
        ),
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes to run the files in.")] = 1,
) -> None:
    """Run scenario files, and show what became of the messages."""
    from postlab.batch import expand, outcomes, start_only

    given = files or []
    if config is None and len(given) == 1 and (given[0] / "main.cf").is_file():
        given, config = [], given[0]
    folder = None if config is None else _folder(config)
    paths = expand(given)
    output = _Output(strict, dialogue, log, html)
    if folder is not None and not given:
        output.log = output.log or not as_json
        results: Iterator[Done] = iter([start_only(folder, seed)])
        paths = [folder.root]
    elif not paths:
        complain(f"postlab: {_nothing_to_run(given)}")
        raise typer.Exit(BAD_INPUT)
    elif as_json and (json_dir or len(paths) != 1):
        complain("postlab: --json is for one file; --json-dir DIR takes many")
        raise typer.Exit(BAD_INPUT)
    else:
        results = outcomes(paths, seed, 1 if as_json else workers, folder)
    with _writing():
        if json_dir is not None:
            output.write(results, json_dir, len(paths))
        elif as_json:
            output.print_json(next(results))
        elif len(paths) == 1:
            output.show(next(results))
        else:
            output.show_all(results, len(paths))
        output.write_html()
    raise typer.Exit(output.status)


def _nothing_to_run(given: list[Path]) -> str:
    if given:
        return f"there is no scenario file (*.yaml) in {', '.join(map(str, given))}"
    return "there is nothing to run: name a scenario file, or a folder with some or with a main.cf"


def _folder(path: Path) -> ConfigFolder:
    """A folder's configuration; ends the command where there is none."""
    from postlab.folder import ConfigFolder, FolderError

    try:
        return ConfigFolder.load(path)
    except FolderError as error:
        complain(f"postlab: {error}")
        raise typer.Exit(BAD_INPUT) from None


def complain(text: str) -> None:
    """Says something on standard error output, whatever bytes are in it."""
    sys.stdout.flush()
    sys.stderr.buffer.write(f"{text}\n".encode("utf-8", "surrogateescape"))
    sys.stderr.flush()


def write_page(path: Path, text: str) -> None:
    """Writes a report to a file.  Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def _writing() -> Iterator[None]:
    """Ends the command where a file cannot be written."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        complain(f"postlab: cannot write {error.filename}: {error.strerror}")
        raise typer.Exit(BAD_INPUT) from None


@dataclass
class _Output:
    """What ``run`` prints and writes, and its exit status."""

    strict: bool
    dialogue: bool
    log: bool
    html: Path | None
    status: int = OK
    reports: list[Report] = field(default_factory=list)

    def _take(self, done: Done, *, tell: bool = True) -> Report | None:
        """Counts one result; says why there is none, or why it may be wrong."""
        report = done.report
        if report is None:
            self.status = max(self.status, BAD_INPUT if done.bad_input else NO_OUTCOME)
            if tell:
                complain(done.error)
            return None
        if self.html is not None:
            self.reports.append(report)
        if report.doubts or (self.strict and (report.unheeded or report.unused)):
            self.status = max(self.status, NO_OUTCOME)
        if tell:
            for line in report.doubts:
                complain(f"{done.path}: do not trust this outcome: {line}")
            for line in report.unheeded:
                complain(f"{done.path}: {line}")
            for line in report.unused if self.strict else ():
                complain(f"{done.path}: never used: {line}")
        return report

    def print_json(self, done: Done) -> None:
        """One outcome as JSON."""
        if self._take(done) is not None:
            sys.stdout.buffer.write(done.json)
            sys.stdout.flush()

    def show(self, done: Done) -> None:
        """One report for people, in which the doubts are."""
        from reports.terminal import console, show

        report = self._take(done, tell=done.report is None)
        if report is not None:
            show(report, console(), dialogue=self.dialogue, log=self.log)

    def show_all(self, results: Iterator[Done], total: int) -> None:
        """A line for each, or the whole reports where something of them was asked for."""
        from reports.terminal import console, overview, show

        rows: list[tuple[str, Report | str]] = []
        for done in _with_progress(results, total):
            name = f"{done.path.absolute().parent.name}/{done.path.stem}"
            report = self._take(done, tell=done.report is not None)
            rows.append((name, done.error if report is None else report))
            if report is not None and (self.dialogue or self.log):
                show(report, console(), dialogue=self.dialogue, log=self.log)
        overview(rows, console())

    def write(self, results: Iterator[Done], folder: Path, total: int) -> None:
        """Each outcome to a file of its own."""
        for done in _with_progress(results, total):
            if self._take(done) is not None:
                target = folder / done.path.absolute().parent.name / f"{done.path.stem}.json"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(done.json)

    def write_html(self) -> None:
        """The page that was asked for."""
        if self.html is not None:
            from reports.html import run_page

            write_page(self.html, run_page(self.reports))


def _with_progress(results: Iterator[T], total: int) -> Iterator[T]:
    """The results, with a bar on a terminal where there are many."""
    if total < _MANY or not sys.stderr.isatty():
        yield from results
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(
        results, "running scenarios", total, console=Console(stderr=True), transient=True
    )


@app.command()
def conform(
    files: Annotated[
        list[Path],
        typer.Argument(help="Scenario files with NAME.json beside, or folders with such."),
    ],
    show: Annotated[bool, typer.Option(help="Show the lines that differ.")] = False,
    adopt: Annotated[
        Path | None,
        typer.Option(help="Copy the scenarios that agree to FOLDER/AREA/.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="The seed of all chance in the world.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes to run the files in.")] = 1,
) -> None:
    """Hold scenarios against their recorded outcomes (NAME.json beside NAME.yaml)."""
    from postlab import conform as conformity

    paths = conformity.recorded(files)
    if not paths:
        complain("postlab: there is no scenario file with an outcome (NAME.json) beside it")
        raise typer.Exit(BAD_INPUT)
    found = []
    for verdict in _with_progress(conformity.verdicts(paths, seed, workers), len(paths)):
        found.append(verdict)
        if not verdict.equal:
            _echo(_difference(verdict, show))
    for area, score in [*conformity.by_area(found).items(), ("all", conformity.Score(found))]:
        count = len(score.verdicts)
        _echo(f"{area:16} equal {score.equal:3} of {count:3}   lines {100 * score.share:5.1f} %")
    if adopt is not None:
        for path in conformity.adopt(found, adopt):
            _echo(f"adopted {path}")
    raise typer.Exit(OK if all(verdict.equal for verdict in found) else NO_OUTCOME)


def _difference(verdict: Verdict, show: bool) -> str:
    name = f"{verdict.area}/{verdict.path.stem}"
    if verdict.comparison is None:
        return f"{name}: no outcome: {verdict.error}"
    sections = verdict.comparison.different()
    said = f"{name}: " + ", ".join(f"{s.name} {s.share:.2f}" for s in sections)
    return f"{said}\n{verdict.comparison.text()}" if show else said


def _echo(text: str) -> None:
    """Prints a line, whatever bytes are in it."""
    sys.stdout.flush()
    sys.stdout.buffer.write(f"{text}\n".encode("utf-8", "surrogateescape"))
    sys.stdout.flush()


@app.command()
def version() -> None:
    """Print the version of Postlab, and that of the Postfix that it behaves as."""
    _version(True)


def main() -> None:
    """The command ``postlab``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    from postlab import cli_compare, cli_tools  # noqa: F401  the commands register themselves

    app()


if __name__ == "__main__":
    main()
