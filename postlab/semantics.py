"""What a scenario must fulfil beyond the types of its keys: names that exist, and zone lines that
are records.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from postlab.document import Document, dotted
from postlab.errors import Problem
from postlab.model import Scenario

#: Accounts that exist without being named.
SYSTEM_USERS = ("root", "nobody", "postfix")

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")

Path = tuple[str | int, ...]
Found = tuple[Path, str]


def check(document: Document | None, scenario: Scenario | None, name: str = "") -> list[Problem]:
    """Everything that is wrong beyond the types; ``scenario`` is None where those are wrong."""
    problems: list[Problem] = []

    def add(path: Path, message: str) -> None:
        line = document.line(path) if document else 0
        problems.append(Problem(document.name if document else name, line, dotted(path), message))

    if document and scenario and not scenario.clients and not scenario.submit:
        add((), "one of clients, submit is needed")
    if scenario is not None:
        for path, message in _findings(scenario):
            add(path, message)
    for offset, message in _zone(_zone_text(document, scenario)):
        line = document.text_line(("dns", "zone"), offset) if document else offset + 1
        problems.append(Problem(document.name if document else name, line, "dns.zone", message))
    return problems


def _findings(scenario: Scenario) -> Iterator[Found]:
    yield from _machine(scenario)
    yield from _peers(scenario)
    users = {*scenario.mta.users, *SYSTEM_USERS}
    for number, item in enumerate(scenario.submit):
        if item.user not in users:
            yield ("submit", number, "as"), f"there is no user {item.user!r}; mta.users has them"
    if scenario.dns.faults:
        yield from _faults(scenario)


def _faults(scenario: Scenario) -> Iterator[Found]:
    from sim.dns import parse_fault

    for key, what in scenario.dns.faults.items():
        try:
            parse_fault(key, what)
        except ValueError as error:
            yield ("dns", "faults", key), str(error)


def _machine(scenario: Scenario) -> Iterator[Found]:
    mta = scenario.mta
    if not _HOSTNAME.fullmatch(mta.hostname):
        yield ("mta", "hostname"), f"{mta.hostname!r} is no host name"
    for number, user in enumerate(mta.users):
        path = ("mta", "users", number)
        if not _USER.fullmatch(user):
            yield path, f"{user!r} is no user name"
        elif user in SYSTEM_USERS:
            yield path, f"{user!r} exists already"
        elif user in mta.users[:number]:
            yield path, f"{user!r} stands here twice"
    for name in mta.files:
        file: Path = ("mta", "files", name)
        if name.startswith("~"):
            user, slash, rest = name[1:].partition("/")
            if not slash or not rest:
                yield file, "must be ~user/file"
            elif user not in mta.users:
                yield file, f"there is no user {user!r}; mta.users has them"
        elif not name or name.endswith("/"):
            yield file, "must be the name of a file"
        elif name.endswith(".sql"):
            said = _sql(mta.files[name])
            if said:
                yield file, said


def _sql(script: str) -> str:
    """What is wrong with an SQL script; nothing where it makes a database."""
    import sqlite3

    from postlab.configuration import database

    try:
        database(script)
    except sqlite3.Error as error:
        return f"sqlite says: {error}"
    return ""


def _peers(scenario: Scenario) -> Iterator[Found]:
    taken: dict[tuple[str, int], str] = {}
    for name, peer in scenario.peers.items():
        where = (peer.address, peer.port)
        if where in taken:
            yield (
                ("peers", name, "address"),
                f"{peer.address} port {peer.port} belongs to {taken[where]} already",
            )
        taken.setdefault(where, name)


def _zone_text(document: Document | None, scenario: Scenario | None) -> str:
    if scenario is not None:
        return scenario.dns.zone
    dns = document.data.get("dns") if document else None
    zone = dns.get("zone") if isinstance(dns, dict) else None
    return zone if isinstance(zone, str) else ""


def _zone(text: str) -> Iterator[tuple[int, str]]:
    """(line from 0, what is wrong) for each line of a zone that is no record."""
    if not text.strip():
        return
    from sim.zone import ZoneError, parse_zone

    lines = text.split("\n")
    for _ in range(len(lines) + 1):
        try:
            parse_zone("\n".join(lines))
        except ZoneError as error:
            number = error.line_number - 1
            yield number, f"{error.text.strip()}: {error.hint}"
            if "(" in lines[number] or ")" in lines[number]:
                return  # what follows belongs to this record, and would only make noise
            lines[number] = ""
        else:
            return
