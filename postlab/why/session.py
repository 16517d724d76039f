"""Plays one session and listens to the decisions of the mail system."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mta.postfix import load_programs
from postlab.folder import ConfigFolder
from postlab.model import Client, Scenario
from postlab.stage import Stage
from postlab.surroundings import Session
from postlab.why.story import Event, Exchange, exchanges
from reports.outcome import Dialogue
from sim.kernel import LogLine

MESSAGE = "Subject: test\n\ntest\n.\n"
_SMTPD = ("smtpd", "trivial-rewrite", "master", "proxymap", "anvil", "verify")


@dataclass
class Story:
    """What came of a session."""

    session: Session
    assumed: list[str]
    exchanges: list[Exchange] = field(default_factory=list)
    not_started: list[str] = field(default_factory=list)  #: why the mail system does not run

    @property
    def refused(self) -> Exchange | None:
        """The first command that was refused."""
        return next((e for e in self.exchanges if e.refused), None)


def steps(session: Session) -> list[Any]:
    """What the client says."""
    helo = session.helo or session.name or f"[{session.client}]"
    first = [f"EHLO {helo}"]
    if session.tls:
        first += ["starttls", f"EHLO {helo}"]
    if session.login:
        said = f"\0{session.login}\0secret".encode("utf-8", "surrogateescape")
        first.append(f"AUTH PLAIN {base64.b64encode(said).decode()}")
    return [
        *first,
        f"MAIL FROM:<{session.sender}>",
        *(f"RCPT TO:<{recipient}>" for recipient in session.recipients),
        "DATA",
        MESSAGE,
        "QUIT",
    ]


class Listener:
    """Notes decisions, and the mail log, by the command that was under way."""

    def __init__(self, stage: Stage) -> None:
        self.events: list[Event] = []
        self.dialogue: Dialogue | None = None
        self._next = stage.mta.on_log
        stage.mta.decisions = self.decision
        stage.mta.on_log = self.log

    def _command(self) -> int:
        if self.dialogue is None:
            return 0
        return sum(line.startswith("C: ") for line in self.dialogue.transcript)

    def decision(self, kind: str, facts: Mapping[str, Any]) -> None:
        """A decision."""
        self.events.append(Event(self._command(), kind, dict(facts)))

    def log(self, line: LogLine) -> None:
        """A line of the log."""
        if line.tag.rpartition("/")[2] in _SMTPD and self.dialogue is not None:
            self.events.append(Event(self._command(), "log", {"text": line.text}))
        if self._next is not None:
            self._next(line)


def play(
    scenario: Scenario,
    session: Session,
    assumed: Sequence[str] = (),
    *,
    config: ConfigFolder | None = None,
    seed: int = 0,
    port: int = 25,
) -> Story:
    """Plays the session in a world.  Raises Unsupported, RunError."""
    load_programs()
    stage = Stage(scenario, seed, config=config)
    stage.start()
    stage.settle()
    if stage.outside is not None:
        assumed = [*assumed, *stage.outside.assumed]
    story = Story(session, list(assumed))
    if stage.postfix is None or not stage.postfix.running:
        story.not_started = [line.text for line in stage.mta.log]
        return story
    listener = Listener(stage)
    client = Client.model_validate({"from": session.client, "to": port, "say": steps(session)})
    dialogue = stage.begin_client(client)
    listener.dialogue = dialogue
    stage.settle()
    story.exchanges = exchanges(dialogue.transcript, listener.events)
    return story
