"""The lists that every daemon opens when it starts, before it looks at them.

What cannot be opened is told then (``error: open file ...``), also by daemons that never ask.
``mydestination`` is opened by all (resolve_local(3)), ``fast_flush_domains`` by those that may have
to note mail that is delayed (flush_clnt(3)).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.lib.flush_policy import flush_domains
from mta.lib.resolve_local import own_domains

if TYPE_CHECKING:
    from mta.master.server import Process

_FLUSH = frozenset(
    ("cleanup", "discard", "error", "lmtp", "local", "oqmgr", "pipe", "qmgr", "smtp", "smtpd")
    + ("virtual",)
)


def open_start_lists(process: Process) -> None:
    """Opens them.  Lists of nothing but names have nothing that could fail."""
    conf = process.conf
    if process.program in _FLUSH and _may_fail(conf.fast_flush_domains):
        flush_domains(process)
    if _may_fail(conf.mydestination):
        own_domains(process)


def _may_fail(patterns: str) -> bool:
    """Whether there are files or tables in a list."""
    return "/" in patterns or ":" in patterns
