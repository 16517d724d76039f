"""A world around a configuration folder: as little as a session needs, and a list of what was
assumed.

Where no scenario says what there is, the names of the session exist in the DNS, the mail servers of
its domains accept everything, policy servers have no opinion, and milters want to see more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from mta.conf.conf import Conf
from mta.conf.errors import ConfError
from mta.conf.host import Host
from mta.conf.main_cf import parse_main_cf
from mta.conf.master_cf import parse_master_cf
from mta.smtpd.check_rules import STAGES
from mta.util.midna_domain import midna_domain_to_ascii
from mta.util.parens import split_words
from mta.util.scalars import extract_parens, split_at_commas
from mta.util.valid_hostname import valid_hostaddr, valid_hostname
from postlab.facts import Facts
from postlab.folder import ConfigFolder
from postlab.model import Scenario
from postlab.scenario import from_data

_FIRST_SERVER = 10
_ENDPOINT = re.compile(r"inet:(?:(?P<host>\[[^\]]+\]|[^:\s]+):)?(?P<port>\w+)")
_PORTS = {"smtp": "25", "submission": "587"}


@dataclass
class Session:
    """Who comes, and what he wants."""

    client: str
    name: str = ""  #: the client's name; ``""``: it has none
    helo: str = ""
    sender: str = ""
    recipients: list[str] = field(default_factory=list)
    tls: bool = False  #: whether it does STARTTLS first
    login: str = ""  #: who it logs in as, with AUTH PLAIN


@dataclass
class Surroundings:
    """A world: the scenario, and what was assumed, in words."""

    scenario: Scenario
    assumed: list[str]


def with_config(scenario: Scenario, folder: ConfigFolder) -> Scenario:
    """The scenario, with the folder's machine: its name, addresses and accounts."""
    facts = Facts.of(folder, scenario.mta.users)
    mta = scenario.mta.model_copy(
        update={
            "hostname": facts.hostname,
            "addresses": facts.addresses,
            "main_cf": folder.text("main.cf"),
            "users": [user for user in facts.users if user not in facts.services],
        }
    )
    return scenario.model_copy(update={"mta": mta})


def empty_scenario(folder: ConfigFolder, users: Iterable[str] = ()) -> Scenario:
    """A scenario in which nothing happens."""
    data: dict[str, Any] = {
        "format": "1",
        "title": f"The mail system of {folder.shown}",
        "mta": {"users": list(users)},
    }
    return with_config(from_data(data, folder.shown), folder)


class _Builder:
    """Builds a world around one session."""

    def __init__(
        self, folder: ConfigFolder, session: Session, zone: str | None, policy: str
    ) -> None:
        self.folder = folder
        self.session = session
        self.facts = Facts.of(folder)
        self.zone = zone
        self.policy_action = policy
        self.assumed: list[str] = []
        self.records: list[str] = []
        self.peers: dict[str, Any] = {}
        self.policy: dict[str, Any] = {}
        self.milters: dict[str, Any] = {}
        self.conf = Conf(
            parse_main_cf(folder.text("main.cf")),
            host=Host(self.facts.hostname),
            warn=lambda _: None,
        )

    def build(self, users: Iterable[str]) -> Surroundings:
        """The world."""
        if self.zone is None:
            self._names()
        self._policy_servers()
        self._milters()
        self._proxy_filters()
        data: dict[str, Any] = {
            "format": "1",
            "title": "A session",
            "mta": {"users": list(users)},
            "dns": {"zone": self.zone if self.zone is not None else "\n".join(self.records) + "\n"},
            "peers": self.peers,
            "policy": self.policy,
            "milters": self.milters,
        }
        scenario = with_config(from_data(data, self.folder.shown), self.folder)
        return Surroundings(scenario, self.assumed)

    # -- names

    def _names(self) -> None:
        session = self.session
        known: dict[str, str] = {}
        own = self.facts.addresses[0]
        self._host(known, self.facts.hostname, own)
        if session.name:
            self._host(known, session.name, session.client)
            pointer = _pointer(session.client)
            self.records.append(f"{pointer} IN PTR {_absolute(session.name)}")
            self.assumed.append(f"DNS: {session.client} is {session.name}, and back")
        else:
            self.assumed.append(f"DNS: {session.client} has no name (--name gives it one)")
        if session.helo and session.helo != session.name and self._host(
            known, session.helo, session.client
        ):
            self.assumed.append(f"DNS: {session.helo} (HELO) is {session.client}")
        for address in (session.sender, *session.recipients):
            self._mail_domain(known, address.rpartition("@")[2] if "@" in address else "")

    def _host(self, known: dict[str, str], name: str, address: str) -> bool:
        """An address record, where the name is good for one and has none yet."""
        absolute = _absolute(name)
        if not absolute or absolute in known:
            return False
        known[absolute] = address
        self.records.append(f"{absolute} IN {'AAAA' if ':' in address else 'A'} {address}")
        return True

    def _mail_domain(self, known: dict[str, str], domain: str) -> None:
        absolute = _absolute(domain)
        if not absolute or f"mx {absolute}" in known:
            return
        known[f"mx {absolute}"] = ""
        if self._is_own(domain):
            self.records.append(f"{absolute} IN MX 10 {_absolute(self.facts.hostname)}")
            return
        server = f"mx.{absolute.rstrip('.')}"
        address = f"203.0.113.{_FIRST_SERVER + len(self.peers)}"
        self.peers[server] = {"address": address}
        self.records.append(f"{absolute} IN MX 10 {server}.")
        self._host(known, server, address)
        self._host(known, domain, address)
        self.assumed.append(f"DNS: {domain} exists; its mail server accepts everything")

    def _is_own(self, domain: str) -> bool:
        for name in (
            "mydestination", "virtual_alias_domains", "virtual_mailbox_domains", "relay_domains"
        ):  # fmt: skip
            words = split_words(self.value(name))
            if domain.lower() in (word.lower() for word in words):
                return True
        return False

    # -- servers that are asked

    def value(self, name: str, overrides: dict[str, str] | None = None) -> str:
        """A parameter's text; empty where it makes no sense."""
        conf = self.conf
        if overrides:
            conf = conf.for_process("", overrides=overrides, warn=lambda _: None)
        try:
            if name.isidentifier() and hasattr(type(conf), name):
                return str(getattr(conf, name))
            return conf.get(name)
        except ConfError:
            return ""

    def _scopes(self) -> Iterator[dict[str, str]]:
        """The ``-o`` of each smtpd(8), and none."""
        yield {}
        try:
            master = parse_master_cf(self.folder.text("master.cf"), self.conf)
        except ConfError:  # it will not start
            return
        for entry in master.entries:
            if entry.program == "smtpd" and entry.overrides:
                yield dict(entry.overrides)

    def _policy_servers(self) -> None:
        for overrides in self._scopes():
            names = [*STAGES.values()]
            names += split_at_commas(self.value("smtpd_restriction_classes", overrides))
            for name in names:
                words = split_words(self.value(name, overrides))
                for before, word in pairwise(words):
                    if before.lower() == "check_policy_service":
                        self._policy_server(word)

    def _policy_server(self, word: str) -> None:
        server = split_words(extract_parens(word)[0])[0] if word.startswith("{") else word
        endpoint = _endpoint(server)
        if endpoint is None:
            self.assumed.append(f"the policy server {server} is not there")
        elif endpoint not in self.policy:
            self.policy[endpoint] = {"replies": [{"action": self.policy_action}]}
            self.assumed.append(f"the policy server {server} says {self.policy_action}")

    def _milters(self) -> None:
        for overrides in self._scopes():
            for word in split_words(self.value("smtpd_milters", overrides)):
                name = split_words(extract_parens(word)[0])[0] if word.startswith("{") else word
                endpoint = _endpoint(name.replace("local:", "unix:", 1))
                if endpoint is None:
                    self.assumed.append(f"the milter {name} is not there")
                elif endpoint not in self.milters:
                    self.milters[endpoint] = {"replies": []}
                    self.assumed.append(f"the milter {name} accepts everything")


    def _proxy_filters(self) -> None:
        own = self._own_ports()
        for overrides in self._scopes():
            name = self.value("smtpd_proxy_filter", overrides)
            if not name:
                continue
            endpoint = _endpoint(name if name.startswith("unix:") else f"inet:{_bare(name)}")
            if endpoint is None or endpoint.startswith("unix:"):
                self.assumed.append(f"the proxy filter {name} is not there")
                continue
            host, _, port = endpoint.removeprefix("inet:").rpartition(":")
            where = {"address": host.strip("[]"), "port": int(port)}
            if where["port"] not in own and where not in self.peers.values():
                self.peers[f"{host}:{port}"] = where
                self.assumed.append(f"the proxy filter {name} accepts everything")

    def _own_ports(self) -> set[int]:
        """The ports of the mail system's own services."""
        try:
            master = parse_master_cf(self.folder.text("master.cf"), self.conf)
        except ConfError:
            return set()
        ports = (entry.name.rpartition(":")[2] for entry in master.entries if entry.type == "inet")
        return {int(port) for port in (_PORTS.get(p, p) for p in ports) if port.isdigit()}


def surroundings(
    folder: ConfigFolder,
    session: Session,
    *,
    zone: str | None = None,
    users: Iterable[str] = (),
    policy: str = "DUNNO",
) -> Surroundings:
    """A world for one session.  ``zone`` is the whole DNS, where it is given.

    Raises ScenarioError: the zone is none.
    """
    return _Builder(folder, session, zone, policy).build(users)


def _absolute(name: str) -> str:
    """A host name as zones have it; empty where it is none."""
    name = name.rstrip(".")
    if not name or valid_hostaddr(name) or "." not in name:
        return ""
    ascii_name = name if name.isascii() else midna_domain_to_ascii(name) or ""
    return f"{ascii_name.lower()}." if ascii_name and valid_hostname(ascii_name) else ""


def _pointer(address: str) -> str:
    import ipaddress

    return ipaddress.ip_address(address).reverse_pointer + "."


def _bare(name: str) -> str:
    """``host:port`` without ``inet:``."""
    return name.removeprefix("inet:")


def _endpoint(server: str) -> str | None:
    """The endpoint of a server, as scenario files have it; None where it cannot be here."""
    if server.startswith("unix:"):
        return server
    match = _ENDPOINT.fullmatch(server)
    if match is None:
        return None
    host = (match["host"] or "127.0.0.1").strip("[]")
    port = _PORTS.get(match["port"], match["port"])
    if host == "localhost":
        host = "127.0.0.1"
    if not port.isdigit() or not valid_hostaddr(host):
        return None
    return f"inet:[{host}]:{port}" if ":" in host else f"inet:{host}:{port}"
