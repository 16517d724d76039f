"""Commands about a configuration: ``postlab check``, ``why``, and Postfix's own tools.

They read a folder such as ``/etc/postfix`` and change nothing.  Exit status: 0 where nothing is
wrong, 1 where something is, 2 where an argument or the folder is unusable; ``why`` has 0 wherever a
session took place; ``postconf``, ``postmap`` and ``postalias`` have that of Postfix's commands.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from postlab.cli import BAD_INPUT, NO_OUTCOME, OK, app
from postlab.errors import RunError, ScenarioError, Unsupported
from postlab.folder import FolderError

#: What can be wrong with a folder, a scenario, or the world that is made of them.
_PROBLEMS = (FolderError, ScenarioError, Unsupported, RunError)

#: For commands whose options are Postfix's own.
_AS_IS = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def _unusable(error: Exception) -> NoReturn:
    typer.echo(f"postlab: {error}", err=True)
    raise typer.Exit(BAD_INPUT)


@app.command()
def check(
    path: Annotated[
        Path | None,
        typer.Argument(help="A folder with a main.cf, or a scenario file.", show_default=False),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A folder with a main.cf, as for run.", show_default=False),
    ] = None,
    relay: Annotated[
        bool, typer.Option("--relay", help="Try whether a stranger can relay through it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    seed: Annotated[int, typer.Option(help="The seed of all chance in the world.")] = 0,
) -> None:
    """Tell everything that is wrong with a configuration."""
    from postlab.check import check_folder
    from postlab.check.scenario import ScenarioFolder
    from postlab.folder import ConfigFolder

    if (path is None) == (config is None):
        typer.echo("postlab: check takes a folder, a scenario file, or --config DIR", err=True)
        raise typer.Exit(BAD_INPUT)
    path = path if path is not None else config
    assert path is not None
    try:
        scenario = ScenarioFolder(path) if path.is_file() else None
        folder = ConfigFolder.load(path) if scenario is None else scenario.folder
        if relay:
            from postlab.relay.command import run_relay

            raise typer.Exit(run_relay(folder, as_json, typer.echo, seed))
        found = check_folder(folder)
    except _PROBLEMS as error:
        _unusable(error)
    if scenario is not None:
        found = scenario.mapped(found)
    if as_json:
        typer.echo(json.dumps(found.as_data(), indent=1, ensure_ascii=False))
    else:
        for finding in found.ordered():
            typer.echo(str(finding))
        count = len(found.problems)
        typer.echo(f"{count} problem{'' if count == 1 else 's'}" if count else "no problems")
    raise typer.Exit(NO_OUTCOME if found.problems else OK)


@app.command()
def why(
    path: Annotated[Path, typer.Argument(help="A folder with a main.cf, or a scenario file.")],
    client: Annotated[str, typer.Option(help="The client's address.")],
    sender: Annotated[str, typer.Option("--from", help="The sender; <> is the empty one.")],
    recipient: Annotated[list[str], typer.Option("--to", help="A recipient; may come again.")],
    helo: Annotated[
        str, typer.Option(help="What the client says in EHLO.", show_default="its name or address")
    ] = "",
    name: Annotated[
        str, typer.Option(help="The client's host name.", show_default="it has none")
    ] = "",
    tls: Annotated[bool, typer.Option("--tls", help="The client begins with STARTTLS.")] = False,
    login: Annotated[
        str, typer.Option(help="The client logs in as this user.", show_default=False)
    ] = "",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port it comes to.")] = 25,
    zone: Annotated[
        Path | None,
        typer.Option(help="A file with all records of the name service.", show_default=False),
    ] = None,
    user: Annotated[
        list[str] | None,
        typer.Option(help="An account of the mail system; may come again.", show_default=False),
    ] = None,
    policy: Annotated[str, typer.Option(help="What policy servers answer.")] = "DUNNO",
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    seed: Annotated[int, typer.Option(help="The seed of all chance in the world.")] = 0,
) -> None:
    """Run one session, and tell which decisions led to each reply."""
    from postlab.why import Session
    from postlab.why import why as explain
    from postlab.why.show import data_of, text_of

    session = Session(
        client, name, helo, _bare(sender), [_bare(one) for one in recipient], tls, login
    )
    try:
        records = None if zone is None else zone.read_text("utf-8")
        story, words = explain(
            path,
            session,
            zone=records,
            users=user or (),
            policy=policy,
            seed=seed,
            port=port,
        )
    except (*_PROBLEMS, OSError, ValueError) as error:
        _unusable(error)
    if as_json:
        typer.echo(json.dumps(data_of(story, words), indent=1, ensure_ascii=False))
    else:
        for line in text_of(story, words):
            typer.echo(line)
    raise typer.Exit(OK if story.exchanges else NO_OUTCOME)


def _bare(address: str) -> str:
    """An address without the angle brackets that it may have."""
    return address[1:-1] if address.startswith("<") and address.endswith(">") else address


@app.command(context_settings=_AS_IS, add_help_option=False)
def postconf(context: typer.Context) -> None:
    """Do what postconf(1) does, for a folder: -c DIR."""
    from postlab.tools import run_postconf

    raise typer.Exit(run_postconf(context.args))


@app.command(context_settings=_AS_IS, add_help_option=False)
def postmap(context: typer.Context) -> None:
    """Ask lookup tables, as postmap(1) does: -q KEY TYPE:NAME, -s TYPE:NAME."""
    _table_command(context.args, "postmap")


@app.command(context_settings=_AS_IS, add_help_option=False)
def postalias(context: typer.Context) -> None:
    """Ask alias tables, as postalias(1) does."""
    _table_command(context.args, "postalias")


def _table_command(arguments: list[str], name: str) -> NoReturn:
    from postlab.tools import run_postmap, stdin_bytes

    raise typer.Exit(run_postmap(arguments, name, stdin_bytes(arguments)))
