"""What ``postlab check DIR --relay`` does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from postlab.folder import ConfigFolder
from postlab.relay import prove


def run_relay(
    folder: ConfigFolder | str | Path, as_json: bool, echo: Callable[[str], None], seed: int = 0
) -> int:
    """Tries, tells, and returns the exit status: 0 where nothing got through, 1 where something
    did or nothing could be tried.

    Raises FolderError, Unsupported, RunError.
    """
    report = prove(folder, seed=seed)
    if as_json:
        echo(json.dumps(report.as_data(), indent=1))
    else:
        for line in report.lines():
            echo(line)
    return 0 if report.proven and not report.relays else 1
