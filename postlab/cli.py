"""The command line: ``postlab run``, ``postlab version``.

Exit status: 0 where every scenario has an outcome; 1 where one has none (it asks for what this
version cannot do, or a defect of Postlab stopped it); 2 where an argument or a file is wrong.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from postlab import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postlab.batch import Done
    from reports.outcome import Report

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
        list[Path], typer.Argument(help="Scenario files, or folders with such.", show_default=False)
    ],
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
    from postlab.batch import expand, outcomes

    paths = expand(files)
    if as_json and (json_dir or len(paths) != 1):
        typer.echo("postlab: --json is for one file; --json-dir DIR takes many", err=True)
        raise typer.Exit(BAD_INPUT)
    if not paths:
        typer.echo("postlab: there is no scenario file", err=True)
        raise typer.Exit(BAD_INPUT)
    if json_dir is not None:
        status = _write(outcomes(paths, seed, workers), json_dir, len(paths))
    elif as_json or len(paths) == 1:
        status = _one(next(outcomes(paths, seed, 1)), as_json, dialogue, log)
    else:
        status = _many(outcomes(paths, seed, workers), len(paths), dialogue or log, dialogue, log)
    raise typer.Exit(status)


def _complain(done: Done) -> int:
    """Says why there is no outcome; the exit status for it."""
    _flush()
    sys.stderr.buffer.write(f"{done.error}\n".encode("utf-8", "surrogateescape"))
    sys.stderr.flush()
    return BAD_INPUT if done.bad_input else NO_OUTCOME


def _flush() -> None:
    sys.stdout.flush()


def _one(done: Done, as_json: bool, dialogue: bool, log: bool) -> int:
    if done.report is None:
        return _complain(done)
    if as_json:
        sys.stdout.buffer.write(done.json)
        _flush()
        return OK
    from reports.terminal import console, show

    show(done.report, console(), dialogue=dialogue, log=log)
    return OK


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
    return status


def _with_progress(results: Iterator[Done], total: int) -> Iterator[Done]:
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
def version() -> None:
    """Print the version of Postlab, and that of the Postfix that it behaves as."""
    typer.echo(f"postlab {__version__} (behaves as Postfix 3.0.15)")


def main() -> None:
    """The command ``postlab``."""
    app()


if __name__ == "__main__":
    main()
