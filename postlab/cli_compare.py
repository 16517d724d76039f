"""``postlab compare``: what changes if the configuration does.

Exit status: 0 where nothing changes, 1 where something does, or something cannot be compared, 2
where an argument or a file is wrong.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from postlab.cli import BAD_INPUT, NO_OUTCOME, OK, app, complain, write_page
from postlab.errors import ScenarioError
from postlab.folder import ConfigFolder, FolderError


@app.command()
def compare(
    old: Annotated[
        Path, typer.Argument(help="A folder like /etc/postfix, or a scenario file: as it is.")
    ],
    new: Annotated[Path, typer.Argument(help="Another one: as it would be.")],
    scenarios: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Scenario files, or folders with such: what happens; without, the usual traffic "
            "of a mail server.",
            show_default=False,
        ),
    ] = None,
    lines: Annotated[bool, typer.Option("--lines", help="Show every line that differs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the changes as JSON.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write the report to this file.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="The seed of all chance in the world.")] = 0,
) -> None:
    """Tell what changes from one configuration to another, over the same traffic."""
    from postlab.batch import expand
    from postlab.compare.run import compare_files, compare_folders

    paths = expand(scenarios or [])
    if scenarios and not paths:
        complain("postlab: there is no scenario file")
        raise typer.Exit(BAD_INPUT)
    try:
        if old.is_file() and new.is_file() and not paths:
            found = compare_files(old, new, seed)
        else:
            found = compare_folders(ConfigFolder.load(old), ConfigFolder.load(new), paths, seed)
    except (FolderError, ScenarioError) as error:
        complain(str(error) if isinstance(error, ScenarioError) else f"postlab: {error}")
        raise typer.Exit(BAD_INPUT) from None
    if html is not None:
        from reports.html import comparison_page

        write_page(html, comparison_page(found))
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1))
    elif html is None:
        from reports.compare_page import show
        from reports.terminal import console

        show(found, console(), lines=lines)
    raise typer.Exit(OK if found.same else NO_OUTCOME)
