"""Warnings of international domain names that cannot be converted: once per name and process, since
Postfix remembers such names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class _Log(Protocol):
    def warning(self, text: str) -> None:
        """``warning: ...``."""


class MidnaProcess(Protocol):
    """What is needed of a process."""

    cache: dict[Any, Any]

    @property
    def log(self) -> _Log:
        """The log of the process."""


def midna_warn(process: MidnaProcess) -> Callable[[str], None]:
    """What to give to the functions of :mod:`mta.util.midna_domain` as ``warn``."""

    def warn(text: str) -> None:
        told: dict[str, None] = process.cache.setdefault("midna_warnings", {})
        if text not in told:
            told[text] = None
            process.log.warning(text)

    return warn
