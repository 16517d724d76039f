"""Recipients that are not delivered here and now, but by a new message."""

from __future__ import annotations

from mta.local.state import State
from mta.system import Wait


def deliver_indirect(state: State) -> Wait[bool]:
    """Adds the recipient to the message that will be forwarded."""
    address = state.rcpt.address
    if state.been_here(f"indirect {address}"):
        return True
    if state.trace_only:
        return (yield from state.sent("2.0.0", f"forwards to {address}"))
    if not (yield from state.forwards.append(state)):
        return (yield from state.defer("4.3.0", "unable to forward message"))
    return True
