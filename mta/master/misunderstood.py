"""What a daemon says that is woken, but serves requests: the byte of the wake-up is no attribute.

master(8) wakes any service whose entry has a wake-up time (master_wakeup(3)).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.wire.text import to_text

if TYPE_CHECKING:
    from mta.master.server import Process

#: Programs that understand a wake-up.
_WOKEN = frozenset(("flush", "oqmgr", "pickup", "postscreen", "qmgr", "tlsmgr"))
#: Those that deliver mail: their requests begin with flags.
_AGENTS = frozenset(("discard", "error", "lmtp", "local", "pipe", "smtp", "virtual"))
#: The first attribute of the requests of others.
_FIRST = {
    "anvil": "request",
    "proxymap": "request",
    "scache": "request",
    "trivial-rewrite": "request",
    "verify": "request",
}


def understands_wakeup(program: str) -> bool:
    """Whether the program does something about a wake-up."""
    return program in _WOKEN


def complain_of_wakeup(process: Process, data: bytes) -> None:
    """Logs what becomes of a wake-up (its bytes) that is taken for a request."""
    program = process.program
    first = "flags" if program in _AGENTS else _FIRST.get(program)
    if first is None:
        return
    process.log.warning(
        f"unexpected attribute {to_text(data)} from {process.service} socket (expecting: {first})"
    )
    if program in _AGENTS:
        process.log.warning("deliver_request_get: error receiving common attributes")
