"""The command line: ``postlab run``, ``conform``, ``version``; more in :mod:`postlab.cli_tools`.

Exit status: 0 where every scenario has an outcome; 1 where one has none, or one that is not to be
trusted (it asks for what this version cannot do, or a defect of Postlab stopped it), or one that
differs from what is recorded; 2 where an argument or a file is wrong.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from postlab import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@app.callback()
def _commands() -> None:
    """Keeps ``run`` a command of its own while there are few."""


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
    dialogue: Annotated[bool, typer.Option(help="Show every SMTP session.")] = False,
    log: Annotated[bool, typer.Option(help="Show the whole mail log.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes to run the files in.")] = 1,
) -> None:
    """Run scenario files, and show what became of the messages."""
    from postlab.batch import expand, outcomes, start_only

    given = files or []
    if config is None and len(given) == 1 and (given[0] / "main.cf").is_file():
        given, config = [], given[0]
    folder = None if config is None else _folder(config)
    paths = expand(given)
    if folder is not None and not given:
        raise typer.Exit(_one(start_only(folder, seed), as_json, dialogue, log=not as_json))
    if as_json and (json_dir or len(paths) != 1):
        typer.echo("postlab: --json is for one file; --json-dir DIR takes many", err=True)
        raise typer.Exit(BAD_INPUT)
    if not paths:
        typer.echo("postlab: there is no scenario file", err=True)
        raise typer.Exit(BAD_INPUT)
    if json_dir is not None:
        status = _write(outcomes(paths, seed, workers, folder), json_dir, len(paths))
    elif as_json or len(paths) == 1:
        status = _one(next(outcomes(paths, seed, 1, folder)), as_json, dialogue, log)
    else:
        done = outcomes(paths, seed, workers, folder)
        status = _many(done, len(paths), dialogue or log, dialogue, log)
    raise typer.Exit(status)


def _folder(path: Path) -> ConfigFolder:
    """A folder's configuration; ends the command where there is none."""
    from postlab.folder import ConfigFolder, FolderError

    try:
        return ConfigFolder.load(path)
    except FolderError as error:
        typer.echo(f"postlab: {error}", err=True)
        raise typer.Exit(BAD_INPUT) from None


def _complain(done: Done) -> int:
    """Says why there is no outcome; the exit status for it."""
    _flush()
    sys.stderr.buffer.write(f"{done.error}\n".encode("utf-8", "surrogateescape"))
    sys.stderr.flush()
    return BAD_INPUT if done.bad_input else NO_OUTCOME


def _doubt(done: Done) -> int:
    """Says why an outcome may be wrong; the exit status for it."""
    doubts = done.report.doubts if done.report else []
    for doubt in doubts:
        typer.echo(f"{done.path}: do not trust this outcome: {doubt}", err=True)
    return NO_OUTCOME if doubts else OK


def _flush() -> None:
    sys.stdout.flush()


def _one(done: Done, as_json: bool, dialogue: bool, log: bool) -> int:
    if done.report is None:
        return _complain(done)
    if as_json:
        sys.stdout.buffer.write(done.json)
        _flush()
        return _doubt(done)
    from reports.terminal import console, show

    show(done.report, console(), dialogue=dialogue, log=log)
    return NO_OUTCOME if done.report.doubts else OK


def _many(results: Iterator[Done], total: int, each: bool, dialogue: bool, log: bool) -> int:
    from reports.terminal import console, overview, show

    status = OK
    rows: list[tuple[str, Report | str]] = []
    for done in _with_progress(results, total):
        name = f"{done.path.parent.name}/{done.path.stem}"
        if done.report is None:
            status = max(status, BAD_INPUT if done.bad_input else NO_OUTCOME)
            rows.append((name, done.error))
            continue
        rows.append((name, done.report))
        status = max(status, _doubt(done))
        if each:
            show(done.report, console(), dialogue=dialogue, log=log)
    overview(rows, console())
    return status


def _write(results: Iterator[Done], folder: Path, total: int) -> int:
    status = OK
    for done in _with_progress(results, total):
        if done.report is None:
            status = max(status, _complain(done))
            continue
        target = folder / done.path.absolute().parent.name / f"{done.path.stem}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(done.json)
        status = max(status, _doubt(done))
    return status


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
        typer.echo("postlab: there is no scenario file with an outcome beside it", err=True)
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
    _flush()


@app.command()
def version() -> None:
    """Print the version of Postlab, and that of the Postfix that it behaves as."""
    typer.echo(f"postlab {__version__} (behaves as Postfix 3.0.15)")


def main() -> None:
    """The command ``postlab``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    from postlab import cli_tools  # noqa: F401  the commands register themselves

    app()


if __name__ == "__main__":
    main()
