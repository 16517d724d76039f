"""Postfix's commands on a folder of the real machine, and ``postlab check``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

import postlab.cli_tools
from postlab.cli import app
from postlab.tools import run_postconf, run_postmap

assert postlab.cli_tools is not None

MASTER = "smtp inet n - n - - smtpd\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "main.cf": "myhostname = mx.example.org\na = 1\na = 2\nsmtpd_banner = $a\n",
        "master.cf": MASTER,
        "people": "Alice  one\nbob  two\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run(command: str, arguments: Sequence[str]) -> tuple[int, str, str]:
    shown = {1: b"", 2: b""}

    def write(stream: int, data: bytes) -> None:
        shown[stream] += data

    if command == "postconf":
        status = run_postconf(arguments, write)
    else:
        status = run_postmap(arguments, command, write=write)
    return status, shown[1].decode(), shown[2].decode()


def test_postmap_reads_main_cf_once(folder: Path) -> None:
    status, out, err = run("postmap", ["-c", str(folder), "-q", "x", "static:y"])
    assert (status, out) == (0, "y\n")
    assert err == f"postmap: warning: {folder}/main.cf, line 3: overriding earlier entry: a=1\n"


@pytest.mark.parametrize("command", ["postconf", "postmap", "postalias"])
def test_a_folder_that_is_not_there_is_fatal(command: str) -> None:
    arguments = ["-c", "/nowhere/at/all", *([] if command == "postconf" else ["-q", "x", "hash:y"])]
    status, _, err = run(command, arguments)
    assert status == 1
    assert err == f"{command}: fatal: open /nowhere/at/all/main.cf: No such file or directory\n"


def test_an_option_without_its_argument_gets_the_usage(folder: Path) -> None:
    assert run("postconf", ["-c"])[2].startswith("postconf: option requires an argument -- 'c'\n")


def test_tables_are_built_where_only_their_texts_are_there(folder: Path) -> None:
    for kind in ("hash", "btree", "texthash", "lmdb", "cdb", "dbm", "sdbm"):
        status, out, _ = run(
            "postmap", ["-c", str(folder), "-q", "alice", f"{kind}:{folder}/people"]
        )
        assert (status, out) == (0, "one\n"), kind
    assert sorted(path.name for path in folder.iterdir()) == ["main.cf", "master.cf", "people"]


def test_aliases_are_built_as_aliases_without_a_word(folder: Path) -> None:
    (folder / "main.cf").write_text("myhostname = mx.example.org\n")
    (folder / "al").write_text("root: alice\nteam: alice, bob\nno colon\n")
    for command, wanted in {"postalias": "alice, bob\n", "postmap": ""}.items():
        status, out, err = run(command, ["-c", str(folder), "-q", "team", f"hash:{folder}/al"])
        assert (status, out, err) == (0 if wanted else 1, wanted, "")


def check(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["check", *arguments])
    return result.exit_code, result.output


def test_check_takes_a_folder_by_either_name(folder: Path) -> None:
    assert check(str(folder)) == check("--config", str(folder))
    status, output = check("--config", str(folder))
    assert status == 1
    assert "a is set already in line 2; this one counts [duplicate-setting]" in output


@pytest.mark.parametrize("both", [True, False])
def test_check_takes_one_folder(folder: Path, both: bool) -> None:
    status, output = check(*([str(folder), "--config", str(folder)] if both else []))
    assert status == 2
    assert "check takes a folder" in output
