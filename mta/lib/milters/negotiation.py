"""Protocol versions, and what the two sides agree on when they meet (milter8_connect)."""

from __future__ import annotations

from typing import NamedTuple

from mta.util.scalars import split_at_commas
from mta.wire.milter import (
    ALL_ACTIONS,
    NO_SEND_MASK,
    STEPS_V2,
    STEPS_V3,
    STEPS_V4,
    STEPS_V6,
    Step,
)

#: The events and options of each version, the newest first.
_VERSIONS = {6: STEPS_V6, 4: STEPS_V4, 3: STEPS_V3, 2: STEPS_V2}
_WORDS = {str(version): (version, steps) for version, steps in _VERSIONS.items()} | {
    "no_header_reply": (0, int(Step.NR_HDR))
}


class BadProtocol(Exception):
    """``milter_protocol`` makes no sense.  ``args[0]``: the rest of ``milter NAME: ...``."""


class Offer(NamedTuple):
    """What the mail system can do: version, and events and options (mta.wire.milter.Step)."""

    version: int
    steps: int

    @property
    def not_sent(self) -> int:
        """Events that the version does not have."""
        return NO_SEND_MASK & ~self.steps


def parse_protocol(text: str) -> Offer:
    """What ``milter_protocol`` means: one version, and maybe ``no_header_reply``.
    Raises BadProtocol.
    """
    version = steps = 0
    for word in split_at_commas(text):
        found = _WORDS.get(word.lower())
        if found is None or (found[0] and version):
            raise BadProtocol(f"bad protocol information: {word}")
        version = found[0] or version
        steps |= found[1]
    if not version:
        raise BadProtocol("no protocol version information")
    return Offer(version, steps)


def conflict(offer: Offer, version: int, actions: int) -> str | None:
    """Why a filter's answer is not acceptable: the rest of ``milter NAME: ...``, or None."""
    if version > offer.version:
        return (
            f"protocol version {signed(version)} conflict with MTA protocol version {offer.version}"
        )
    if actions & ~ALL_ACTIONS:
        return f"request mask 0x{actions:x} conflict with MTA request mask 0x{ALL_ACTIONS:x}"
    return None


def steps_of_version(version: int) -> int | None:
    """The events and options of the version, or of the next older one; None where it is too old."""
    return next((steps for known, steps in _VERSIONS.items() if known <= signed(version)), None)


def signed(number: int) -> int:
    """A number of 32 bits as C's ``int``."""
    return number - (1 << 32) if number >= 1 << 31 else number
