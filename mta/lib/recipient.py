"""Recipients and the times of a message as the queue manager and the delivery agents share them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DSN_NOTIFY_NEVER = 1
DSN_NOTIFY_SUCCESS = 2
DSN_NOTIFY_FAILURE = 4
DSN_NOTIFY_DELAY = 8

DSN_RET_FULL = 1
DSN_RET_HDRS = 2


@dataclass(slots=True)
class Recipient:
    """A recipient of a message in the queue (recipient_list(3)).

    ``offset`` is the place of its record in the queue file, which ``deliver_completed`` marks as
    done; 0 where there is none.  ``dsn_notify`` is a mask of DSN_NOTIFY_*; ``dsn_orcpt`` is
    ``type;xtext-decoded address``; ``orig_addr`` the address before aliases.
    """

    address: str
    orig_addr: str = ""
    dsn_orcpt: str = ""
    dsn_notify: int = 0
    offset: int = 0
    #: The queue manager's own link (its queue), as in struct RECIPIENT.
    queue: Any = field(default=None, repr=False)


@dataclass(slots=True)
class MsgStats:
    """Moments in the life of a message, in microseconds since the epoch, 0 for unknown.

    They make up ``delay=`` and ``delays=a/b/c/d`` (msg_stats(3), log_adhoc(3)).
    """

    incoming_arrival: int = 0
    active_arrival: int = 0
    agent_handoff: int = 0
    conn_setup_done: int = 0
    deliver_done: int = 0
    reuse_count: int = 0
