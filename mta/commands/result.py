"""How a command ended."""

from __future__ import annotations

from typing import NamedTuple


class CommandResult(NamedTuple):
    """Exit status, and all that went to standard output and error output."""

    exit: int
    output: str
