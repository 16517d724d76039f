"""The programs that test commands run: Postfix's commands, and its drivers (see DRIVERS.md of the
data).  Importing this registers all of them.
"""

from __future__ import annotations

from tests.vectors import tools
from tests.vectors.drivers import (
    addresses,
    checks,
    commands,
    config,
    dns,
    hosts,
    milter,
    mime,
    tables,
    tls,
    utf8,
)

__all__ = [
    "addresses", "checks", "commands", "config", "dns", "hosts", "milter", "mime", "tables", "tls",
    "tools", "utf8",
]  # fmt: skip
