"""What docs/tools.md shows is what the commands print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

import postlab.cli_tools
from postlab.cli import app
from postlab.tools import run_postconf, run_postmap

assert postlab.cli_tools is not None

PAGE = (Path(__file__).parents[2] / "docs" / "tools.md").read_text("utf-8")
FILES = dict(re.findall(r"`([a-z.]+)`:\n\n```\n(.*?)```\n", PAGE, re.DOTALL))
EXAMPLES = re.findall(r"```\n\$ postlab ([^\n]+)\n(.*?)```\n", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "etc" / "postfix"
    path.mkdir(parents=True)
    for name, text in FILES.items():
        (path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return path


def test_the_page_has_files_and_examples() -> None:
    assert FILES.keys() == {"main.cf", "master.cf", "blocked", "aliases"}
    assert len(EXAMPLES) == 9


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("line", "shown"), EXAMPLES, ids=[line for line, _ in EXAMPLES])
def test_the_output_is_what_the_page_says(line: str, shown: str) -> None:
    command, *arguments = shlex.split(line)
    texts: list[bytes] = []

    def write(_: int, data: bytes) -> None:
        texts.append(data)

    if command == "check":
        assert CliRunner().invoke(app, [command, *arguments]).output == shown
        return
    if command == "postconf":
        run_postconf(arguments, write)
    else:
        run_postmap(arguments, command, write=write)
    assert b"".join(texts).decode() == shown
