"""``postlab why``: one session, and the decisions that led to each reply."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path

from postlab.document import parse
from postlab.folder import ConfigFolder
from postlab.scenario import load
from postlab.surroundings import Session, surroundings
from postlab.why.places import FolderPlaces, ScenarioPlaces
from postlab.why.session import Story, play
from postlab.why.words import Words

__all__ = ["Session", "Story", "Words", "why"]


def why(
    path: Path,
    session: Session,
    *,
    zone: str | None = None,
    users: Iterable[str] = (),
    policy: str = "DUNNO",
    seed: int = 0,
    port: int = 25,
) -> tuple[Story, Words]:
    """Plays a session against a folder like ``/etc/postfix``, or in the world of a scenario file.

    What is assumed of the world, where a scenario does not say it: ``zone`` (the whole DNS),
    ``users`` (accounts), ``policy`` (what policy servers answer).

    Raises FolderError, ScenarioError, Unsupported, RunError; ValueError where the client's address
    is none.
    """
    session.client = str(ipaddress.ip_address(session.client))
    if path.is_dir():
        folder = ConfigFolder.load(path)
        around = surroundings(folder, session, zone=zone, users=users, policy=policy)
        story = play(around.scenario, session, around.assumed, config=folder, seed=seed, port=port)
        return story, Words(FolderPlaces(folder))
    scenario = load(path)
    text = path.read_text("utf-8")
    story = play(scenario, session, seed=seed, port=port)
    return story, Words(ScenarioPlaces(parse(text, str(path)), scenario))
