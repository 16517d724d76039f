"""The outcome of a scenario, and the report of a run: a plain, typed model.

:class:`Outcome` is exactly the JSON document of scenario format 1.  :class:`Report` is an outcome
with what people and programs want to know besides: title, seed, trace hash, moments.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Dialogue:
    """One SMTP session as one side saw it."""

    who: str  #: a client's address, or a peer's name
    transcript: list[str]  #: ``S: ``, ``C: `` and ``* `` lines


@dataclass(slots=True)
class Delivered:
    """A message that reached a peer, a mailbox or a command."""

    where: str  #: ``peer NAME``, ``mailbox USER``, ``mailbox /PATH`` or ``command /PATH``
    message: str  #: with ``\\n`` line ends
    #: None for a command that local(8) did not run, and at a peer that never heard MAIL.
    sender: str | None = None
    recipients: list[str] | None = None  #: None for a command that local(8) did not run
    args: list[str] | None = None  #: of a command

    def to_json(self) -> dict[str, Any]:
        """The entry of ``delivered``."""
        entry: dict[str, Any] = {"where": self.where}
        if self.args is not None:
            entry["args"] = self.args
        if self.recipients is not None:
            entry["sender"] = self.sender
            entry["recipients"] = self.recipients
        entry["message"] = self.message
        return entry


@dataclass(slots=True)
class Waiting:
    """A recipient that is still in the queue."""

    address: str
    reason: str  #: the last delivery attempt's, ``""`` before the first


@dataclass(slots=True)
class QueueEntry:
    """A message that is left in the queue."""

    queue: str  #: maildrop, hold, incoming, active, deferred or corrupt
    sender: str
    recipients: list[Waiting]
    queue_id: str = ""  #: not part of the JSON document
    size: int = 0  #: bytes; not part of the JSON document
    arrival: str = ""  #: as postqueue(1) prints it; not part of the JSON document

    def to_json(self) -> dict[str, Any]:
        """The entry of ``queue``."""
        return {
            "queue": self.queue,
            "sender": self.sender,
            "recipients": [
                {"address": item.address, "reason": item.reason} for item in self.recipients
            ],
        }


@dataclass(slots=True)
class CommandResult:
    """How a submission or an administrator's command ended."""

    command: str
    exit: int
    output: str


@dataclass(slots=True)
class Outcome:
    """What came of a scenario.  The attributes are the keys of the JSON document."""

    clients: list[Dialogue] = field(default_factory=list)
    peers: list[Dialogue] = field(default_factory=list)
    delivered: list[Delivered] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    queue: list[QueueEntry] = field(default_factory=list)
    policy: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    milters: dict[str, list[list[str]]] = field(default_factory=dict)
    commands: list[CommandResult] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The document as plain data, keys in the documented order."""
        return {
            "clients": [{"from": c.who, "transcript": c.transcript} for c in self.clients],
            "peers": [{"peer": p.who, "transcript": p.transcript} for p in self.peers],
            "delivered": [item.to_json() for item in self.delivered],
            "log": self.log,
            "queue": [item.to_json() for item in self.queue],
            "policy": self.policy,
            "milters": self.milters,
            "commands": [
                {"command": c.command, "exit": c.exit, "output": c.output} for c in self.commands
            ],
        }

    def to_text(self) -> str:
        """The document as JSON text with a newline at its end; the same outcome, the same text."""
        return _json(self.to_json())

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Outcome:
        """The outcome of a document that ``to_json`` (or the reference rig) wrote."""
        return cls(
            clients=[Dialogue(c["from"], c["transcript"]) for c in data.get("clients", [])],
            peers=[Dialogue(p["peer"], p["transcript"]) for p in data.get("peers", [])],
            delivered=[Delivered(**item) for item in data.get("delivered", [])],
            log=list(data.get("log", [])),
            queue=[
                QueueEntry(q["queue"], q["sender"], [Waiting(**r) for r in q["recipients"]])
                for q in data.get("queue", [])
            ],
            policy=dict(data.get("policy", {})),
            milters=dict(data.get("milters", {})),
            commands=[CommandResult(**c) for c in data.get("commands", [])],
        )


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


@dataclass(slots=True)
class Report:
    """A run: its outcome, and when, how and with what it came about."""

    name: str  #: the scenario's file, or what stands for it
    title: str
    outcome: Outcome
    seed: int = 0
    trace_hash: str = ""  #: of all events of the run
    started: int = 0  #: when the mail system started, microseconds since the epoch
    ended: int = 0  #: when the world stood still, microseconds since the epoch
    moments: list[int] = field(default_factory=list)  #: of each line of the log, likewise
    cpu: float = 0.0  #: seconds of processor time
    about: str = ""  #: what the scenario says of itself
    doubts: list[str] = field(default_factory=list)  #: why the outcome is not to be trusted
    unheeded: list[str] = field(default_factory=list)  #: settings without effect in this version
    unused: list[str] = field(default_factory=list)  #: what the scenario has and nothing asked for

    def to_text(self) -> str:
        """The outcome as JSON text; with a key ``doubts`` where there are reasons to doubt it."""
        data = self.outcome.to_json()
        if self.doubts or self.unheeded:
            data["doubts"] = [*self.doubts, *self.unheeded]
        return _json(data)
