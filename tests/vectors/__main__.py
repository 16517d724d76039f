"""The command line: ``python -m tests.vectors DIR [AREA…] [--json] [--show]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.vectors.cases import FAILED, NOT_APPLICABLE, PASSED, Facts, Result, folders, play


def main(arguments: Sequence[str] | None = None) -> int:
    """Plays tests.  Exit status: 0 when none failed, 1 when some did, 2 for a bad folder."""
    parser = argparse.ArgumentParser(prog="python -m tests.vectors", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder of AREA/TEST/cmd and expected")
    parser.add_argument("areas", nargs="*", metavar="AREA", help="only these areas")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--show", action="store_true", help="show the lines that differ")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        print(f"{options.folder} is no folder", file=sys.stderr)
        return 2
    facts = Facts.of(options.folder)
    results = [play(folder, facts) for folder in folders(options.folder, options.areas)]
    if not results:
        print(f"{options.folder} has no tests", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(as_data(results), indent=1))
    else:
        show(results, options.show)
    return 1 if any(r.result == FAILED for r in results) else 0


def as_data(results: Sequence[Result]) -> dict[str, object]:
    """The results for programs."""
    return {
        "passed": sum(r.result == PASSED for r in results),
        "failed": sum(r.result == FAILED for r in results),
        "not_applicable": sum(r.result == NOT_APPLICABLE for r in results),
        "tests": [
            {"area": r.area, "test": r.test, "result": r.result, "reason": r.reason}
            for r in results
        ],
    }


def show(results: Sequence[Result], differences: bool) -> None:
    """The results for people."""
    stream = sys.stdout
    stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    for r in results:
        if r.result != PASSED:
            print(f"{r.name}: {r.result}: {r.reason}")
            if differences:
                print("".join(f"    {line}\n" for line in r.difference), end="")
    by_area: dict[str, list[Result]] = {}
    for r in results:
        by_area.setdefault(r.area, []).append(r)
    for area, found in [*by_area.items(), ("all", list(results))]:
        counts = [sum(r.result == kind for r in found) for kind in (PASSED, FAILED, NOT_APPLICABLE)]
        print(f"{area:16} passed {counts[0]:3}  failed {counts[1]:3}  not applicable {counts[2]:3}")


if __name__ == "__main__":
    sys.exit(main())
