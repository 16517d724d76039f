"""What postscreen(8) knows of a client and of a session with it (postscreen_state.c)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from mta.lib.log_adhoc import format_tv
from mta.lib.passed_stream import PassedStream

#: The tests, as bits.  The first two are made before the client may speak.
PREGR, DNSBL, PIPEL, NSMTP, BARLF = TESTS = (1, 2, 4, 8, 16)
EARLY = PREGR | DNSBL
DEEP = PIPEL | NSMTP | BARLF

#: Moments of expiry (seconds) that are none: the test was never passed; it was never passed and is
#: off; nothing is known.
STAMP_NEW = 0
STAMP_DISABLED = 1
STAMP_INVALID = -1

_SECOND = 1_000_000


class Action(IntEnum):
    """What follows from a test that was failed."""

    DROP = 1
    ENFORCE = 2
    IGNORE = 3


#: The values of ``postscreen_*_action``.
ACTIONS = {
    "drop": Action.DROP,
    "enforce": Action.ENFORCE,
    "ignore": Action.IGNORE,
    "continue": Action.IGNORE,
}


@dataclass(slots=True)
class Client:
    """What the sessions of one address share."""

    concurrency: int = 0
    pass_new_count: int = 0
    #: Until when each test counts as passed (seconds since the epoch, or STAMP_*).
    expires: dict[int, int] = field(default_factory=lambda: dict.fromkeys(TESTS, STAMP_INVALID))


@dataclass(slots=True)
class State:
    """A session.

    ``todo``, ``passed``, ``failed`` and ``done`` are masks of tests; ``done`` are early tests with
    a result, and deep ones about which nothing more is said.
    """

    peer: PassedStream
    client: Client
    todo: int = 0
    passed: int = 0
    failed: int = 0
    done: int = 0
    new: bool = False  #: a test was never passed before
    no_forward: bool = False  #: the session ends here
    using_tls: bool = False
    blacklisted: bool = False  #: by ``postscreen_access_list``
    veto: bool = False  #: the address that it came to makes nobody white
    hung_up: bool = False
    closing: bool = False  #: the next command gets the final reply
    final_reply: str = "421 4.3.2 Service currently unavailable"
    rcpt_reply: str = "450 4.3.2 Service currently unavailable"
    test_name: str = ""
    start: int = 0  #: when the test began, microseconds
    dnsbl_score: int | None = None
    dnsbl_name: str | None = None
    # The dialogue.
    where: str = "CONNECT"
    protocol: str = "SMTP"
    helo_name: str | None = None
    sender: str | None = None
    ehlo_discard_mask: int = 0
    command_count: int = 0

    @property
    def who(self) -> str:
        """``[address]:port``, as in the log."""
        return f"[{self.peer.client_address}]:{self.peer.client_port}"

    @property
    def any_fail(self) -> bool:
        """Whether there is anything against the client."""
        return bool(self.failed or self.blacklisted or self.veto)

    def begin(self, test_name: str, now: int) -> None:
        """The tests of a phase begin."""
        self.test_name = test_name
        self.start = now

    def elapsed(self, now: int, resolution: int) -> str:
        """How long it is since then, as in the log."""
        return format_tv(now - self.start, resolution)

    def elapsed_seconds(self, now: int) -> int:
        """The same in full seconds."""
        return (now - self.start) // _SECOND

    def enforce(self, reply: str) -> None:
        """The session goes on here, and recipients get this reply."""
        self.rcpt_reply = reply
        self.no_forward = True

    def ignore(self, test: int, stamp: int) -> None:
        """A deep test was failed, which does not matter."""
        self.failed &= ~test
        self.passed |= test
        self.client.expires[test] = stamp
