"""Types of tables that other packages bring."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import MemoryProcess, finish
from mta.dict import registry
from mta.dict.registry import dict_mapnames, dict_open

MODULE = """
from mta.dict.registry import LocalDict


class Backwards(LocalDict):
    def _find(self, key):
        return key[::-1] + self.table


def open_backwards(process, name, open_flags, flags):
    return Backwards(process, "backwards", name, flags)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package with an entry point."""
    info = tmp_path / "backwards-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: backwards\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[postlab.dict_types]\nbackwards = backwards_tables:open_backwards\n"
    )
    (tmp_path / "backwards_tables.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    registry._TYPES.pop("backwards", None)


@pytest.mark.usefixtures("package")
def test_a_type_comes_with_a_package(process: MemoryProcess) -> None:
    assert "backwards" in dict_mapnames()
    table = dict_open(process, "backwards:!")
    assert finish(table.lookup("abc")) == "cba!"
    assert finish(dict_open(process, "unionmap:{backwards:1,static:x}").lookup("ab")) == "ba1,x"


def test_without_it_the_type_is_unknown(process: MemoryProcess) -> None:
    assert "backwards" not in dict_mapnames()
    dict_open(process, "backwards:!")
    assert process.lines == ["error: unsupported dictionary type: backwards"]
