"""What a scenario must fulfil beyond the types of its keys: names that exist, and zone lines that
are records.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Iterator

from mta.system import Endpoint, Inet
from postlab.configuration import file_path
from postlab.document import Document, dotted
from postlab.errors import Problem
from postlab.model import Mta, Scenario
from sim.peers.host import parse_endpoint

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
    yield from _servers(scenario)
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
    for number, address in enumerate(mta.addresses):
        place = ("mta", "addresses", number)
        if ipaddress.ip_address(address).is_loopback:
            yield place, f"{address} is there always; name the addresses of the network"
        elif address in mta.addresses[:number]:
            yield place, f"{address} stands here twice"
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
        elif not name or name.endswith("/") or "\0" in name:
            yield file, "must be the name of a file"
        elif name.endswith(".sql"):
            said = _sql(mta.files[name])
            if said:
                yield file, said

    yield from _directories(mta)


#: Directories of the machine, which no file can be.
_DIRECTORIES = (
    "/", "/dev", "/etc/postfix", "/home", "/root", "/tmp", "/usr/sbin", "/var/lib/postfix",
    "/var/mail", "/var/spool/postfix", *(f"/var/spool/postfix/{name}" for name in (
        "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop",
        "pid", "private", "public", "saved", "trace",
    )),
)  # fmt: skip


def _directories(mta: Mta) -> Iterator[Found]:
    """Files in the place of directories."""
    paths = {name: posixpath.normpath(file_path(name)) for name in mta.files}
    homes = (f"/home/{user}" for user in mta.users)
    parents: dict[str, str] = {}
    for path in (*_DIRECTORIES, *homes):
        parents.update(dict.fromkeys((path, *_above(path)), "this machine"))
    for name, path in paths.items():
        parents.update(dict.fromkeys(_above(path), f"the file {name}"))
    for name, path in paths.items():
        if path in parents:
            yield ("mta", "files", name), f"{path} is a directory of {parents[path]}"


def _above(path: str) -> Iterator[str]:
    while path not in ("/", "//"):
        path = posixpath.dirname(path)
        yield path


def _sql(script: str) -> str:
    """What is wrong with an SQL script; nothing where it makes a database."""
    import sqlite3

    from postlab.configuration import database

    try:
        database(script)
    except sqlite3.Error as error:
        return f"sqlite says: {error}"
    return ""


def _servers(scenario: Scenario) -> Iterator[Found]:
    """Servers that cannot all be at one place."""
    taken: dict[Endpoint, str] = {Inet("127.0.0.1", 53): "the name server"}
    for name, peer in scenario.peers.items():
        where: Endpoint = Inet(peer.address, peer.port)
        if not name:
            yield ("peers", name), "must have a name"
        elif peer.tls is not None and peer.tls.names is None and not _is_certifiable(name):
            yield ("peers", name), f"{name!r} is no name for a certificate; tls.names can be others"
        if where in taken:
            yield (
                ("peers", name, "address"),
                f"{peer.address} port {peer.port} belongs to {taken[where]} already",
            )
        taken.setdefault(where, name)
    for key, servers in (("policy", scenario.policy), ("milters", scenario.milters)):
        for endpoint in servers:
            where = parse_endpoint(endpoint)
            if where in taken:
                yield (key, endpoint), f"{endpoint} belongs to {taken[where]} already"
            taken.setdefault(where, f"{key}: {endpoint}")
    for endpoint in scenario.databases:
        kind, _, rest = endpoint.partition(":")
        if kind in ("tcp", "socketmap", "memcache"):
            where = parse_endpoint(rest if rest.startswith("unix:") else f"inet:{rest}")
            if where in taken:
                yield ("databases", endpoint), f"{endpoint} belongs to {taken[where]} already"
            taken.setdefault(where, f"databases: {endpoint}")


def _is_certifiable(name: str) -> bool:
    return name.isascii() and name.isprintable() and " " not in name


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
