"""Traffic for configurations that no scenario was written for: what any mail server meets.

A stranger writes to each of its domains, to somebody who exists and to somebody who does not; tries
to relay; comes without a good HELO, or with a sender that does not exist.  Somebody of its own
networks writes to the outside.  A local user does.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import replace

from postlab.folder import ConfigFolder
from postlab.model import Client, Peer, Scenario, Submission
from postlab.relay.targets import Targets
from postlab.surroundings import Session, surroundings
from postlab.why.session import steps

#: So many domains of a class, and users, are written to.
_MOST = 5

_NOBODY = "nobody-has-this-name"
#: What ``postlab why`` says of its options.
_HINT = " (--name gives it one)"
_HOP = re.compile(r"\[?(?P<name>[\w.-]+)\]?(?::(?P<port>\w+))?")
_PORTS = {"smtp": "25", "submission": "587", "smtps": "465", "lmtp": "24"}


def scenarios(old: ConfigFolder, new: ConfigFolder) -> tuple[list[Scenario], list[str]]:
    """The traffic, and what is assumed of the world around it.

    The names are those that the first configuration knows, and the second one's besides; the world
    is the same for both.  Raises ScenarioError.
    """
    targets = [Targets.of(folder) for folder in (old, new)]
    made: list[Scenario] = []
    assumed: dict[str, None] = {}
    for title, session in _sessions(targets):
        around = [surroundings(folder, session) for folder in (old, new)]
        assumed.update(dict.fromkeys(line for one in around for line in one.assumed))
        world, other = around[0].scenario, around[1].scenario
        peers = {**other.peers, **world.peers}
        records, servers = _next_hops(targets, world.dns.zone, {p.address for p in peers.values()})
        client = Client.model_validate({"from": session.client, "say": steps(session)})
        made.append(
            world.model_copy(
                update={
                    "title": title,
                    "policy": {**other.policy, **world.policy},
                    "milters": {**other.milters, **world.milters},
                    "dns": world.dns.model_copy(update={"zone": world.dns.zone + records}),
                    "peers": {**servers, **peers},
                    "clients": [client],
                }
            )
        )
        if title == _OUTWARD:
            made.append(made[-1].model_copy(update={"title": _LOCAL, **_submission(session)}))
    if any(target.hosts for target in targets):
        assumed["other next hops take everything"] = None
    return made, [line.replace(_HINT, "") for line in assumed]


def _next_hops(
    targets: Iterable[Targets], zone: str, taken: Container[str]
) -> tuple[str, dict[str, Peer]]:
    """Records and servers for the hosts that mail may be handed to."""
    records, peers = "", dict[str, Peer]()
    free = (f"203.0.113.{number}" for number in range(250, 99, -1))
    addresses: dict[str, str] = {}
    for word in dict.fromkeys(host for target in targets for host in target.hosts):
        match = _HOP.fullmatch(word)
        port = _PORTS.get(match["port"] or "25", match["port"] or "25") if match else ""
        if match is None or not port.isdigit() or not 0 < int(port) < 65536:
            continue
        name = match["name"]
        if name not in addresses:
            is_address = name.replace(".", "").isdigit()
            addresses[name] = name if is_address else next(free)
            if not is_address and f"{name}. IN A " not in zone:
                records += f"{name}. IN A {addresses[name]}\n"
        local = addresses[name].startswith("127.")
        if addresses[name] not in taken and not (local and port == "25"):
            peers[f"{name}:{port}"] = Peer(address=addresses[name], port=int(port))
    return records, peers


_OUTWARD = "Somebody of the own networks writes to the outside"
_LOCAL = "A program of the machine itself writes to the outside"


def _submission(session: Session) -> dict[str, list[object]]:
    item = Submission.model_validate(
        {"args": [*session.recipients, "postmaster"], "text": "Subject: test\n\ntest\n"}
    )
    return {"clients": [], "submit": [item]}


def _sessions(targets: list[Targets]) -> Iterator[tuple[str, Session]]:
    old, new = targets
    outside = next((t.outside for t in targets), "outside.test")
    stranger = Session(old.client, "mail." + outside, "mail." + outside, f"anna@{outside}")
    users = list(dict.fromkeys(u.partition("@")[0] for t in targets for u in t.users))[:_MOST]
    for domain, kind in _domains(targets):
        known = [a for t in targets for a in t.known if a.endswith(f"@{domain}")]
        names = [f"{user}@{domain}" for user in ("postmaster", *users, _NOBODY)]
        to = list(dict.fromkeys((*known[: 2 * _MOST], *names)))
        yield f"A stranger writes to {domain} ({kind})", replace(stranger, recipients=to)
    for address in dict.fromkeys(a for t in targets for a in t.addresses[:_MOST]):
        yield (
            f"A stranger writes to {address}, whom the tables name",
            replace(stranger, recipients=[address]),
        )
    home = f"postmaster@{old.home}"
    yield "A stranger tries to relay", replace(stranger, recipients=[f"ben@elsewhere.{outside}"])
    yield (
        "A stranger has no name, and gives a bad one",
        replace(stranger, name="", helo="localhost", recipients=[home]),
    )
    yield "A bounce comes in", replace(stranger, sender="", recipients=[home])
    yield (
        "The sender's domain does not exist",
        replace(stranger, sender="anna@does-not-exist", recipients=[home]),
    )
    yield "A stranger pretends to be one of us", replace(stranger, sender=home, recipients=[home])
    if old.delimiter or new.delimiter:
        sign = old.delimiter or new.delimiter
        yield (
            f"The recipient has an extension ({sign})",
            replace(stranger, recipients=[f"postmaster{sign}more@{old.home}"]),
        )
    yield _OUTWARD, Session(_insider(old), "", f"pc.{old.home}", home, [f"ben@{outside}", home])


def _domains(targets: Iterable[Targets]) -> Iterator[tuple[str, str]]:
    """The own domains and their classes, some of each class."""
    own: dict[str, str] = {}
    for one in targets:
        for domain, kind in one.own.items():
            own.setdefault(domain, kind)
    counts: dict[str, int] = {}
    for domain, kind in own.items():
        counts[kind] = counts.get(kind, 0) + 1
        if counts[kind] <= _MOST and "localhost" not in domain:
            yield domain, kind


def _insider(targets: Targets) -> str:
    """An address of the own networks: one that is no loopback address, if there is one."""
    for word in targets.networks:
        try:
            network = ipaddress.ip_network(word.replace("[", "").replace("]", ""), strict=False)
        except ValueError:
            continue
        if not network.is_loopback and network.num_addresses > 1:
            return str(network[min(7, network.num_addresses - 1)])
    return "127.0.0.1"
