"""The records of Postfix's own queue files, where they are at hand (beside the project)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mta.wire import record

VECTORS = Path(__file__).parents[3] / "shared" / "postfix-3.0" / "tests"
pytestmark = pytest.mark.skipif(not VECTORS.is_dir(), reason="Postfix's test data are not here")


def folders(area: str, pattern: str) -> list[Path]:
    return sorted((VECTORS / area).glob(pattern)) if VECTORS.is_dir() else []


def name(folder: object) -> str:
    return folder.name if isinstance(folder, Path) else str(folder)


MARKERS = {"M": "MESSAGE CONTENTS", "X": "HEADER EXTRACTED", "E": "MESSAGE FILE END"}


@pytest.mark.parametrize("folder", folders("cleanup-milter", "*"), ids=name)
def test_records_of_a_queue_file_are_where_postcat_says(folder: Path) -> None:
    """The original queue files: those of their records that no edit moved."""
    source = re.match(r"cp (\S+) ", (folder / "cmd.ov").read_text())
    assert source
    data = (folder / source[1]).read_bytes()
    rows = {}
    for offset, rec_type, value in record.records(data, follow=False):
        kind = record.rec_type_name(rec_type) if rec_type not in MARKERS else "***"
        rows[offset] = "create_time" if value.startswith(b"create_time=") else kind
        if rec_type == record.REC_TYPE_END:  # after it is a heap that edits may use again
            break
    expected = (folder / "expected.ov").read_text("utf-8", "surrogateescape")
    shown = {
        int(found[1]): found[2]
        for found in re.finditer(r"^ *(\d+) (?:([a-z_]+|\*\*\*)[: ])", expected, re.MULTILINE)
    }
    known = {offset: kind for offset, kind in shown.items() if offset in rows}
    assert len(known) > 10
    edits = {"pointer_record", "padding", "canceled_recipient"}
    for offset, kind in known.items():
        assert kind == rows[offset] or kind in edits or rows[offset] in edits, offset
