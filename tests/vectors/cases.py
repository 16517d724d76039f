"""The tests of a folder: found, played, judged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.vectors.shell import DIRECTORY, NotHere, Shell
from tests.vectors.site import Site

PASSED, FAILED, NOT_APPLICABLE = "passed", "failed", "not applicable"

#: Files of a folder that are no input of its programs.
_OURS = ("cmd", "expected", "cmd.ov", "expected.ov", "cases.tsv")
#: Debug output of the C programs, where the folder has no list of its own.
_TRACE = (
    r"^mime_state: (header_token|PUSH|POP|garbage in)\b",
    r"^test_dns_lookup: (lookup|dns_query|dns_get_answer|dict_regexp_lookup|maps_find)\b",
    r"^unknown: (dict_open|dict_register|dict_unregister|maps_find|maps_free)\b",
)
#: Warnings of postconf that come in the order of a hash table.
_UNORDERED = re.compile(rb"^postconf: warning: .*(unused|undefined) parameter")
#: The mail system of the tests that need one sends mail as from its domain.
_SITE = {"myorigin": "$mydomain"}
_ENVIRONMENT = {
    "PWD": DIRECTORY,
    "TZ": "America/New_York",
    "LC_ALL": "C",
    "HOME": DIRECTORY,
    "LANG": "C",
    "PATH": "/usr/bin:/bin",
    "USER": "tester",
}


@dataclass
class Result:
    """What came of a test."""

    area: str
    test: str
    result: str
    reason: str = ""
    difference: list[str] = field(default_factory=list)  #: lines of a unified diff

    @property
    def name(self) -> str:
        """``AREA/TEST``."""
        return f"{self.area}/{self.test}"


@dataclass(frozen=True)
class Facts:
    """What the tests of a folder have in common."""

    root: Path
    trace: tuple[re.Pattern[bytes], ...]
    zone: str
    needs: dict[str, str]  #: by ``AREA/TEST``

    @classmethod
    def of(cls, root: Path) -> Facts:
        """Reads them."""
        listed = root / "trace-lines.txt"
        trace = listed.read_text().splitlines() if listed.exists() else _TRACE
        zone = next((path.read_text() for path in sorted(root.glob("*.zone"))), "")
        return cls(
            root,
            tuple(re.compile(line.encode()) for line in trace if line.strip()),
            zone,
            _needs(root / "INDEX.tsv"),
        )


def _needs(index: Path) -> dict[str, str]:
    if not index.exists():
        return {}
    rows = [line.split("\t") for line in index.read_text().splitlines()]
    columns = rows[0]
    if not {"area", "test", "needs"} <= set(columns):
        return {}
    area, test, needs = (columns.index(name) for name in ("area", "test", "needs"))
    return {f"{row[area]}/{row[test]}": row[needs] for row in rows[1:] if len(row) > needs}


def folders(root: Path, areas: Iterable[str]) -> Iterator[Path]:
    """The folders of tests, by area and name."""
    wanted = set(areas)
    for area in sorted(path for path in root.iterdir() if path.is_dir()):
        if wanted and area.name not in wanted:
            continue
        yield from sorted((f.parent for f in area.glob("*/cmd")), key=lambda path: path.name)


def play(folder: Path, facts: Facts) -> Result:
    """Plays one test."""
    import tests.vectors.drivers  # noqa: F401  (they register themselves)

    area, test = folder.parent.name, folder.name
    result = Result(area, test, PASSED)
    needs = facts.needs.get(result.name, "")
    if "dns" in needs and not facts.zone:
        return Result(area, test, NOT_APPLICABLE, "needs DNS data, and the folder has no zone")
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in _OURS
    }
    for suffix in ("", ".ov"):
        command, expected = folder / f"cmd{suffix}", folder / f"expected{suffix}"
        if not (command.exists() and expected.exists()):
            continue
        try:
            settings = _SITE if "site" in needs else {}
            text = command.read_text("utf-8", "surrogateescape")
            got = run(text, files, facts.zone, settings)
        except NotHere as missing:
            return Result(area, test, NOT_APPLICABLE, str(missing.args[0]))
        except Exception as error:  # a defect is a failure, and the other tests go on
            return Result(area, test, FAILED, f"{type(error).__name__}: {error}")
        difference = compare(expected.read_bytes(), got, facts)
        if difference:
            changed = sum(line[0] in "+-" for line in difference)
            lines = "line differs" if changed == 1 else "lines differ"
            first = next(line for line in difference if line[0] in "+-")
            reason = f"{changed} {lines} ({command.name}): {first}"
            return Result(area, test, FAILED, reason, difference)
    return result


def run(
    text: str, files: dict[str, bytes], zone: str, settings: Mapping[str, str] | None = None
) -> bytes:
    """What a command prints, on a machine of its own.  Raises NotHere."""
    site = Site(files, zone, settings)
    return Shell(site.folder, dict(_ENVIRONMENT), site).run(text)


def compare(expected: bytes, got: bytes, facts: Facts) -> list[str]:
    """The lines that differ, as a unified diff; empty where none does."""
    import difflib

    left, right = (_comparable(data, facts) for data in (expected, got))
    if left == right:
        return []
    shown = [
        [line.decode("utf-8", "backslashreplace") for line in lines] for lines in (left, right)
    ]
    rows = list(difflib.unified_diff(shown[0], shown[1], lineterm="", n=1))[2:]
    return [row for row in rows if not row.startswith("@@")] or ["+ (bytes that show alike)"]


def _comparable(data: bytes, facts: Facts) -> list[bytes]:
    lines = [
        line for line in data.split(b"\n") if not any(trace.search(line) for trace in facts.trace)
    ]
    unordered = sorted(line for line in lines if _UNORDERED.search(line))
    return [line for line in lines if not _UNORDERED.search(line)] + unordered
