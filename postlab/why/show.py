"""A story as text, and as data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from postlab.why.meanings import meaning
from postlab.why.places import NOWHERE, Place
from postlab.why.replies import cause
from postlab.why.session import Story
from postlab.why.story import Decision, Exchange
from postlab.why.words import Words, code_parameter

_NO_ACCOUNT = re.compile("in local recipient table|unknown user: ")


def text_of(story: Story, words: Words) -> Iterator[str]:
    """The story, line by line."""
    session = story.session
    name = f" ({session.name})" if session.name else ""
    yield f"A client at {session.client}{name}"
    for line in story.assumed:
        yield f"  assumed: {line}"
    if story.not_started:
        yield ""
        yield "The mail system does not start:"
        yield from (f"  {line}" for line in story.not_started)
        return
    for exchange in story.exchanges:
        yield ""
        yield from _exchange(exchange, words)
    yield ""
    yield from conclusion(story, words)


def _exchange(exchange: Exchange, words: Words) -> Iterator[str]:
    yield f"C: {exchange.command}" if exchange.command else "(connects)"
    before = [d for d in exchange.decisions if d.kind not in ("restriction", "put off")]
    yield from (f"   {line}" for line in words.asked(before))
    yield from _decisions(exchange.decisions, words, "   ")
    for line in exchange.log:
        yield f"   log: {line}"
    for reply in exchange.replies:
        yield f"S: {reply}" if not reply.startswith("(") else reply


def _decisions(decisions: list[Decision], words: Words, indent: str) -> Iterator[str]:
    parameter = ""
    for decision in decisions:
        if decision.kind == "put off":
            yield f"{indent}what was put off comes now: {decision.facts['reply']}"
            continue
        if decision.kind != "restriction":
            continue
        if decision.facts["list"] != parameter:
            parameter = str(decision.facts["list"])
            yield f"{indent}{_list_title(decision, words)}"
        yield from _restriction(decision, words, indent + "   ")


def _list_title(decision: Decision, words: Words) -> str:
    name = str(decision.facts["list"])
    source, _, value = name.partition(" ")
    if value:
        return f"{source} says {value}, which is a list of restrictions:"
    place = words.places.parameter(name, str(decision.facts.get("service", "")))
    where = str(place) if place.file else "Postfix's default"
    return f"{name} ({where})"


def _restriction(decision: Decision, words: Words, indent: str) -> Iterator[str]:
    place = words.place(decision)
    where = f"  [{place}]" if place.file else ""
    yield f"{indent}{words.title(decision)}{where}"
    inner = [child for child in decision.children if child.kind == "restriction"]
    for line in words.grounds(decision):
        yield f"{indent}   {line}"
    yield from _decisions(inner, words, indent + "   ")
    yield f"{indent}   -> {words.verdict(decision)}"
    for line in words.changes(decision):
        yield f"{indent}   -> {line}"


def conclusion(story: Story, words: Words) -> Iterator[str]:
    """What it comes to."""
    refused = story.refused
    if refused is None:
        if story.exchanges and story.exchanges[-1].command == "QUIT":
            yield "The mail was accepted."
        else:
            yield "The session broke off."
        return
    yield f"{refused.command or 'The connection'} was refused: {refused.replies[-1]}"
    decision = refused.deciding
    if decision is None:
        yield from _other_cause(refused.replies[-1], words, _service(story))
        return
    facts = decision.facts
    place = _place(decision, refused.decisions, words)
    where = f", {place}" if place.file else ", by default"
    yield f"It was {words.title(decision)} in {facts['list']}{where}."
    if decision.verdict != "reject":
        yield "  It put this off until something permits the mail, as the rest of the lists did."
    purpose = meaning(str(facts["restriction"]))
    if purpose:
        yield f"  {facts['restriction']} {purpose}."
    for line in words.grounds(decision, last=2):
        yield f"  Here: {line}"
    code = code_parameter(str(facts["restriction"]))
    if code:
        yield f"  Its reply code is that of {code}."
    if _NO_ACCOUNT.search(refused.replies[-1]):
        yield "  Accounts that this world should have: say --user NAME for each."


def _service(story: Story) -> str:
    """The service of master.cf that the client speaks to; empty where nothing tells it."""
    for exchange in story.exchanges:
        for decision in exchange.decisions:
            if decision.facts.get("process") == "smtpd":
                return str(decision.facts["service"])
    return ""


def _other_cause(reply: str, words: Words, service: str) -> Iterator[str]:
    found = cause(reply)
    if found is None:
        yield "No access restriction said so: the log above tells which check it was."
        return
    yield f"No access restriction said so. {found.words}."
    for name in found.parameters:
        place = words.places.parameter(name, service)
        where = place if place.file else "Postfix's default"
        yield f"  {name} has a say in it ({where})."


def _place(decision: Decision, decisions: Sequence[Decision], words: Words) -> Place:
    """Where a decision stands; for one in a class without a line of its own, where that stands."""
    place = words.place(decision)
    if place.file:
        return place
    for outer in decisions:
        if decision in outer.children:
            return words.place(outer)
        if outer.children:
            place = _place(decision, outer.children, words)
            if place.file:
                return place
    return NOWHERE


# -- data


def data_of(story: Story, words: Words) -> dict[str, Any]:
    """The story for programs."""
    session, refused = story.session, story.refused
    decision = refused.deciding if refused is not None else None
    other = cause(refused.replies[-1]) if refused is not None and decision is None else None
    return {
        "client": {"address": session.client, "name": session.name or None},
        "helo": session.helo,
        "from": session.sender,
        "to": session.recipients,
        "assumed": story.assumed,
        "not_started": story.not_started,
        "accepted": bool(story.exchanges) and refused is None,
        "refused": None
        if refused is None
        else {
            "command": refused.command,
            "reply": refused.replies[-1],
            "decision": None if decision is None else _data(decision, words),
            "cause": None if other is None else other.words,
            "parameters": [] if other is None else list(other.parameters),
        },
        "session": [
            {
                "command": exchange.command or None,
                "replies": exchange.replies,
                "decisions": [_data(d, words) for d in exchange.decisions],
                "log": exchange.log,
            }
            for exchange in story.exchanges
        ],
    }


def _data(decision: Decision, words: Words) -> dict[str, Any]:
    place: Place = words.place(decision)
    facts = {k: _plain(v) for k, v in decision.facts.items() if k not in ("process", "depth")}
    data: dict[str, Any] = {"kind": decision.kind, **facts}
    if place.file:
        data["at"] = {"file": place.file, "line": place.line}
    if decision.kind == "restriction":
        data["meaning"] = meaning(str(decision.facts["restriction"]))
        data["circumstance"] = words.circumstance(decision)
        data["asked"] = [_data(child, words) for child in decision.children]
    return data


def _plain(value: Any) -> Any:
    """A fact as JSON has it."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
