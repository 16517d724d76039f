"""Edits of queue files by milters, byte by byte as Postfix's own tests have them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mta.cleanup import addr
from mta.system import Wait
from tests.cleanup.driver_cleanup_milter import Driver, postcat

DATA = Path(__file__).resolve().parents[3] / "shared/postfix-3.0/tests/cleanup-milter"
CASES = sorted(path.name for path in DATA.iterdir()) if DATA.exists() else []

pytestmark = pytest.mark.skipif(not CASES, reason="Postfix's test data are not at hand")


def as_it_is(_state: Any, address: str) -> Wait[str]:
    """The driver does not rewrite."""
    return address
    yield


def commands(folder: Path) -> Iterator[list[str]]:
    """The words of a case's commands."""
    for line in (folder / "cmd.ov").read_text().splitlines():
        yield line.split()


def undated(line: str) -> str:
    """Without the date, which was that of a summer in New York."""
    return re.sub(r"_time: \w{3} \w{3} .*", "_time: DATE", line)


@pytest.mark.parametrize("case", CASES)
def test_a_queue_file_is_edited_as_postfix_does_it(
    case: str, make_process: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addr, "rewrite_internal", as_it_is)
    folder = DATA / case
    tables = {str(path): path.read_bytes() for path in folder.glob("*.reg*")}
    files: dict[str, bytes] = {}
    told: list[str] = []
    got: list[str] = []
    for words in commands(folder):
        if words[0] == "cp":
            files[words[2]] = (folder / words[1]).read_bytes()
        elif words[0] == "cleanup_milter":
            process = make_process("recipient_delimiter =\n", files=tables)
            log = process.log.lines
            driver = Driver(process, folder, files)
            driver.play((folder / words[1].lstrip("<")).read_text())
            told = [f"cleanup_milter: {line}" for line in log]
            if "2>&1" in words and words.index("2>&1") < words.index(">/dev/null"):
                got += told
        elif words[:2] == ["postcat", "-ov"]:
            got += postcat(words[2], files[words[2]])
    expected = (folder / "expected.ov").read_bytes().decode().split("\n")[:-1]
    assert got
    assert list(map(undated, got)) == list(map(undated, expected[: len(got)]))
