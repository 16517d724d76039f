"""The world of the attempts: all names exist, and all mail for elsewhere arrives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from dnslib import MX, NS, PTR, RR, A, DNSLabel

from mta.conf.conf import Conf
from mta.conf.host import Host
from mta.conf.main_cf import parse_main_cf
from mta.conf.master_cf import parse_master_cf
from mta.postfix import load_programs
from postlab.folder import ConfigFolder
from postlab.model import Client, Peer
from postlab.relay.probes import Probe
from postlab.relay.report import Relayed
from postlab.relay.targets import Targets
from postlab.run import queue_of
from postlab.stage import Stage
from postlab.surroundings import Session, surroundings
from reports.outcome import Dialogue
from sim.kernel import LogLine
from sim.peers.smtp_server import Delivery
from sim.zone import NOERROR, NXDOMAIN, TYPE_NUMBER, Zone, ancestors, name_key, split_name

PEER = "203.0.113.10"
#: So many clients are there at a time.
BATCH = 10
#: Seconds between batches: limits of rates are another matter.
APART = 7
#: Strangers with other names in the DNS come from here.
_OTHERS = "198.18.{}.{}"

_LITERAL = re.compile(r"\[(\d+\.\d+\.\d+\.\d+)\](?::(\d+))?")
_PORT = re.compile(r"[\]\w]:(\d{2,5})\b")
_PORTS = {"smtp": 25, "submission": 587, "smtps": 465, "submissions": 465}
_SUBJECT = re.compile(r"^Subject: relay test (\d+)$", re.MULTILINE)


class Everywhere(Zone):
    """A name service for which every name exists: as the mail system's own, or elsewhere."""

    def __init__(self, targets: Targets) -> None:
        super().__init__([])
        elsewhere = targets.of_class("relay")  # other hosts come first, and this one is second
        own = (name for name in (targets.hostname, *targets.own) if name not in elsewhere)
        self.own = {name_key(name) for name in own}
        self.home = targets.hostname
        self.address = targets.address
        self.peer = f"peer.{targets.outside}"
        self.second = {name_key(name) for name in (f"mx.{targets.outside}", *elsewhere)}
        self.lists = {name_key(name) for name in targets.lists}
        self.clients: dict[bytes, str] = {}
        self.hosts: dict[bytes, str] = {}
        self.client(targets.client, f"client.{targets.outside}")
        self.hosts[name_key(f"client.{targets.outside}")] = targets.client

    def client(self, address: str, name: str) -> None:
        """What a client's address is called."""
        reverse = ".".join(reversed(address.split(".")))
        self.clients[name_key(f"{reverse}.in-addr.arpa")] = name

    def lookup(self, name: bytes, kind: int) -> tuple[int, list[RR], list[bytes]]:
        """The result code, the answers, and the names on the way."""
        labels = split_name(name)
        if labels[-1:] == (b"arpa",):
            client = self.clients.get(name)
            if client is None:
                return NXDOMAIN, [], [name]
            return NOERROR, _answers(name, kind, {"PTR": PTR(client)}), [name]
        if len(labels) < 2 or any(parent in self.lists for parent in ancestors(name)):
            return NXDOMAIN, [], [name]
        data: dict[str, object] = {
            "A": A(self.address if name in self.own else self.hosts.get(name, PEER))
        }
        data["NS"] = NS(self.peer)
        data["MX"] = MX(self.home if name in self.own else self.peer, 10)
        found = _answers(name, kind, data)
        if name in self.second and kind == TYPE_NUMBER["MX"]:
            found += _answers(name, kind, {"MX": MX(self.home, 20)})
        return NOERROR, found, [name]


def _answers(name: bytes, kind: int, data: dict[str, object]) -> list[RR]:
    owner = DNSLabel(split_name(name))
    return [
        RR(owner, TYPE_NUMBER[word], 1, 3600, record)
        for word, record in data.items()
        if TYPE_NUMBER[word] == kind
    ]


class Laboratory:
    """The mail system of a folder, and strangers who try to get mail through it."""

    def __init__(self, folder: ConfigFolder, targets: Targets, seed: int = 0) -> None:
        load_programs()
        self.folder = folder
        self.targets = targets
        around = surroundings(folder, Session(targets.client), zone="", users=())
        self.assumed = list(around.assumed)
        self.stage = Stage(around.scenario, seed, config=folder)
        if self.stage.outside is not None:
            self.assumed += self.stage.outside.assumed
        self.zone = Everywhere(targets)
        self.stage.dns.zone = self.zone
        self.not_started: list[str] = []
        self.tried = 0
        #: Ports where a server has greeted somebody, and those where none starts (and why).
        self._greeting: set[int] = set()
        self.dead: dict[int, str] = {}
        self._tls: dict[int, str] = {}  #: how a port wants TLS: ``wrapper``, ``starttls``
        self.refused = 0
        self._probes: dict[int, Probe] = {}
        self._strangers: dict[str, str] = {"": targets.client}
        self._services = self._smtp_services()
        if targets.left_out:
            self.assumed.append(f"{targets.left_out} names of the tables were left out")
        self._servers()

    # -- the world

    def _smtp_services(self) -> dict[int, str]:
        """The programs that listen, by port."""
        main = parse_main_cf(self.folder.text("main.cf"))
        text = self.folder.text("master.cf")
        if not self.folder.has_master_cf:
            return {25: "smtpd"}
        services: dict[int, str] = {}
        conf = Conf(main, host=Host(self.targets.hostname), warn=lambda _: None)
        for entry in parse_master_cf(text, conf).entries:
            if entry.type != "inet":
                continue
            host, _, port = entry.name.rpartition(":")
            number = _PORTS.get(port, int(port) if port.isdigit() else 0)
            local = host.strip("[]").startswith(("127.", "localhost", "::1"))
            services[number] = "" if local else entry.program
            here = conf.for_process("", overrides=dict(entry.overrides), warn=lambda _: None)
            if here.smtpd_tls_wrappermode:
                self._tls[number] = "wrapper"
            elif here.smtpd_tls_security_level == "encrypt" or here.smtpd_enforce_tls:
                self._tls[number] = "starttls"
        return services

    def open_ports(self) -> list[int]:
        """The ports where a stranger can speak SMTP."""
        return [n for n, p in self._services.items() if p in ("smtpd", "postscreen") and n]

    def _servers(self) -> None:
        """Whoever the mail system may hand mail to takes it."""
        texts = [self.folder.text(name) for name in self.folder.files]
        ports = {int(port): None for text in texts for port in _PORT.findall(text)}
        places = dict.fromkeys((PEER, port) for port in (25, 587, 465, 24, *ports) if port < 65536)
        for text in texts:
            for address, port in _LITERAL.findall(text):
                if int(port or 25) < 65536:
                    places[address, int(port or 25)] = None
        for address, port in places:
            if self._is_taken(address, port):
                continue
            try:
                peer = Peer(address=address, port=port)
                self.stage.add_peer(f"{address}:{port}", peer)
            except (OSError, ValueError):
                continue

    def _is_taken(self, address: str, port: int) -> bool:
        own = address == self.targets.address or address.startswith("127.")
        return address == "0.0.0.0" or (own and (port in self._services or port == 53))

    def start(self) -> bool:
        """Starts the mail system; False where it does not run."""
        self.stage.start()
        self.stage.settle()
        if self.stage.postfix is None or not self.stage.postfix.running:
            self.not_started = [line.text for line in self.stage.mta.log]
        return not self.not_started

    # -- attempts

    def relaying(self, probes: Sequence[Probe]) -> list[Relayed]:
        """Makes attempts, and tells those whose mail arrived, in the order of the attempts."""
        found: list[Relayed] = []
        for at in range(0, len(probes), BATCH):
            batch = [p for p in probes[at : at + BATCH] if p.port not in self.dead]
            found += self._batch(batch)
            self._look_for_the_dead({probe.port for probe in batch})
        if probes and len(self.dead) == len({probe.port for probe in probes}):
            self.not_started = list(self.dead.values())
        return found

    def _look_for_the_dead(self, ports: set[int]) -> None:
        """Notes ports where nobody was greeted because the server does not start."""
        for port in sorted(ports - self._greeting):
            fatal = [str(line) for line in self.stage.mta.log if _is_fatal(line)]
            if fatal:
                self.dead[port] = fatal[-1]

    def _batch(self, probes: Sequence[Probe]) -> list[Relayed]:
        record = self.stage.record
        start = len(record.delivered)
        dialogues: dict[int, Dialogue] = {}
        for probe in probes:
            self.tried += 1
            self._probes[self.tried] = probe
            dialogues[self.tried] = self.stage.begin_client(self._client(probe, self.tried))
        self.stage.settle()
        for number, dialogue in dialogues.items():
            if any(line.startswith("S: ") for line in dialogue.transcript[1:3]):
                self._greeting.add(self._probes[number].port)
        arrived: dict[int, Delivery] = {}
        for delivery in record.delivered[start:]:
            number = _number(delivery.message)
            if number in self._probes and _how(self._probes[number], delivery):
                arrived.setdefault(number, delivery)
        self.refused += sum(not _accepted(d) for d in dialogues.values())
        self.stage.run_until(self.stage.world.now + APART * 1_000_000)
        return [
            Relayed(
                self._probes[n],
                list(dialogues[n].transcript),
                ", ".join(d.recipients),
                _how(self._probes[n], d),
            )
            for n, d in sorted(arrived.items())
            if n in dialogues
        ]

    def _client(self, probe: Probe, number: int) -> Client:
        source = self._strangers.get(probe.name)
        if source is None:
            count = len(self._strangers)
            source = _OTHERS.format(count // 250, count % 250 + 1)
            self._strangers[probe.name] = source
            self.zone.client(source, probe.name)
        say = [*probe.commands, f"Subject: relay test {number}\n\n.\n", "QUIT"]
        data: dict[str, object] = {"from": source, "to": probe.port, "say": say}
        tls = self._tls.get(probe.port)
        if tls == "wrapper":
            data["tls"] = {"wrapper": True}
        elif tls == "starttls":
            data |= {"tls": {}, "say": ["starttls", *say]}
        return Client.model_validate(data)

    # -- afterwards

    def kept(self) -> list[str]:
        """Mail for elsewhere that was accepted, and has not arrived."""
        if self.not_started:
            return []
        found: dict[str, None] = {}
        domains = {probe.domain for probe in self._probes.values()}
        for entry in queue_of(self.stage):
            for address, reason in ((r.address, r.reason) for r in entry.recipients):
                if address.rpartition("@")[2].lower().rstrip(".") in domains:
                    what = f"{address} ({entry.queue})"
                    found[f"{what}: {reason}" if reason else what] = None
        return list(found)

    def doubts(self) -> list[str]:
        """Why the world may be wrong."""
        return self.stage.doubts() + self.stage.unheeded()


def _number(message: str) -> int:
    """Which attempt a message is of: by its own header, not by what it quotes."""
    match = _SUBJECT.search(message.partition("\n\n")[0])
    return int(match[1]) if match else 0


def _is_fatal(line: LogLine) -> bool:
    return line.text.startswith(("fatal: ", "panic: "))


def _accepted(dialogue: Dialogue) -> bool:
    lines = dialogue.transcript
    return any(a.startswith("C: <") and b.startswith("S: 2") for a, b in pairwise(lines))


def _how(probe: Probe, delivery: Delivery) -> str:
    """How the mail arrived: for the stranger's recipient, or for one who will hand it on."""
    for recipient in delivery.recipients:
        user, _, domain = recipient.rpartition("@")
        domain = domain.lower().rstrip(".")
        if domain == probe.domain or domain.endswith("." + probe.domain):
            return "direct"
        if probe.user in user and probe.domain in user.lower() and re.search("[@%!]", user):
            return "routed"
    return ""
