"""What a side of a TLS connection may do to its own bytes, for Hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from sim.peers.tls import Sabotage


def oldest(plan: Sabotage, version: Any) -> Any:
    """The version to speak: TLS 1.3 has no renegotiation."""
    return "TLSv1.2" if plan.deed == "renegotiate" else version


def sabotages(last: int) -> Any:
    """What one side may do to its bytes of a handshake (up to byte ``last``) or of a session."""
    harm = st.builds(
        Sabotage,
        deed=st.sampled_from(["close", "reset", "stall", "corrupt", "flood", "alert"]),
        at=st.integers(0, last),
        phase=st.sampled_from(["handshake", "session"]),
        seconds=st.sampled_from([None, 1.0, 30.0]),
        size=st.sampled_from([1, 100, 20_000]),
        alert=st.integers(0, 120),
    )
    again = st.builds(
        Sabotage, deed=st.just("renegotiate"), at=st.integers(0, 700), phase=st.just("session")
    )
    return st.one_of(harm, again)
