"""What a configuration suggests to who looks for a way through: domains, addresses, names."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mta.conf.conf import Conf
from mta.conf.errors import ConfError
from mta.conf.host import Host
from mta.conf.main_cf import parse_main_cf
from mta.util.parens import split_words
from postlab.facts import Facts
from postlab.folder import CONFIG_DIRECTORY, ConfigFolder
from postlab.relay.patterns import hidden_ways

#: The parameters that say which domains are the mail system's own, by address class.
CLASSES = {
    "local": ("mydestination",),
    "virtual alias": ("virtual_alias_domains",),
    "virtual mailbox": ("virtual_mailbox_domains",),
    "relay": ("relay_domains",),
}
#: The local part of the stranger's recipients.
USER = "user"
#: So many suggestions of one kind are taken up.
MOST = 60

_OUTSIDE = ("outside.test", "elsewhere.test", "stranger.test", "relaytest.invalid")
_STRANGERS = ("198.51.100.7", "203.0.113.77", "100.2.3.4", "45.45.45.45")
_NAME = r"[\w-]+(?:\.[\w-]+)+"
_ADDRESS = re.compile(rf"(?P<user>[\w.+=-]*@)?(?P<domain>\.?{_NAME})")
_HOP = re.compile(rf"\[(?:{_NAME})\](?::\w+)?")
_USER = re.compile(r"^(?P<user>[\w.+=-]+)@\s", re.MULTILINE)
_NUMBERS = re.compile(r"[\d.]+")
_LISTS = re.compile(
    r"(?:reject_rbl_client|reject_rhsbl_\w+|permit_dnswl_client|permit_rhswl_client"
    rf"|postscreen_dnsbl_sites\s*=)\s+(?P<domain>{_NAME})"
)
_FILES = re.compile(r"\.(?:cf|pem|crt|key|so|conf|db|sh|py|pl|map|txt)$")


@dataclass
class Targets:
    """The surroundings of the attempts."""

    hostname: str
    address: str  #: the mail system's own
    client: str  #: the stranger's
    outside: str  #: a domain that the configuration does not know
    own: dict[str, str] = field(default_factory=dict)  #: own domains, and their classes
    domains: list[str] = field(default_factory=list)  #: not its own, but named
    addresses: list[str] = field(default_factory=list)  #: in such domains
    users: list[str] = field(default_factory=list)  #: local parts of tables
    known: list[str] = field(default_factory=list)  #: addresses in its own domains, of tables
    hosts: list[str] = field(default_factory=list)  #: next hops: ``[host]`` or ``[host]:port``
    #: What follows ``RCPT TO:`` where a table of patterns is to make an address elsewhere of it.
    hidden: list[tuple[str, str]] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)  #: DNS lists, which list nobody
    networks: list[str] = field(default_factory=list)  #: the words of mynetworks
    delimiter: str = ""  #: recipient_delimiter
    left_out: int = 0  #: suggestions beyond the limit

    @classmethod
    def of(cls, folder: ConfigFolder) -> Targets:
        """What a folder suggests."""
        facts = Facts.of(folder)
        conf = Conf(
            parse_main_cf(folder.text("main.cf")), host=Host(facts.hostname), warn=lambda _: None
        )
        texts = dict(_texts(folder))
        everything = "\n".join(texts.values()).lower()
        networks = split_words(_value(conf, "mynetworks"))
        targets = cls(
            facts.hostname,
            facts.addresses[0],
            _stranger(networks),
            next((name for name in _OUTSIDE if name not in everything), _OUTSIDE[0]),
            networks=networks,
            delimiter=_value(conf, "recipient_delimiter")[:1],
        )
        for kind, parameters in CLASSES.items():
            for parameter in parameters:
                for domain in _members(_value(conf, parameter), texts):
                    targets.own.setdefault(domain, kind)
        targets.lists = list(dict.fromkeys(m["domain"] for m in _LISTS.finditer(everything)))
        targets._named(texts)
        hops = dict.fromkeys(m[0] for m in _HOP.finditer(everything))
        relayhost = _value(conf, "relayhost").lower()
        targets.hosts = list(hops | ({relayhost: None} if relayhost else {}))[:MOST]
        ways = {
            address: pattern
            for text in texts.values()
            for address, pattern in hidden_ways(text, USER, targets.outside)
        }
        targets.hidden = list(ways.items())[:MOST]
        return targets

    def _named(self, texts: dict[str, str]) -> None:
        domains: dict[str, None] = {}
        addresses: dict[str, None] = {}
        users: dict[str, None] = {}
        for path, text in texts.items():
            plain = text.replace("\\.", ".")
            for match in _ADDRESS.finditer(plain):
                domain = match["domain"].lstrip(".").lower()
                if self._is_useless(domain):
                    continue
                if path.endswith(("main.cf", "master.cf")) and not match["user"]:
                    if not _in_braces(plain, match.start()):
                        continue
                domains[domain] = None
                if match["user"] and len(match["user"]) > 1:
                    addresses[match["user"] + domain] = None
            users.update((match["user"], None) for match in _USER.finditer(text))
        self.left_out = sum(max(0, len(found) - MOST) for found in (domains, addresses, users))
        self.domains = [d for d in domains if not self.is_own(d)][:MOST]
        self.addresses = [a for a in addresses if not self.is_own(a.rpartition("@")[2])][:MOST]
        self.known = [a for a in addresses if a.rpartition("@")[2] in self.own][:MOST]
        self.users = list(users)[:MOST]

    def _is_useless(self, domain: str) -> bool:
        if _NUMBERS.fullmatch(domain) or _FILES.search(domain):
            return True
        return any(domain == name or domain.endswith("." + name) for name in self.lists)

    def is_own(self, domain: str) -> bool:
        """Whether mail for a domain is this mail system's business; its subdomains count."""
        domain = domain.rstrip(".")
        names = (self.hostname, *self.own)
        return any(domain == name or domain.endswith("." + name) for name in names)

    def of_class(self, kind: str) -> list[str]:
        """The own domains of a class."""
        return [domain for domain, other in self.own.items() if other == kind]

    @property
    def home(self) -> str:
        """A domain of its own, the local one if it can be."""
        return next((d for d in self.own if "localhost" not in d), self.hostname)


def _texts(folder: ConfigFolder) -> Iterator[tuple[str, str]]:
    """The files of a folder as texts, by absolute path, without comments."""
    seen = set()
    for path, data in folder.mounts():
        if path.startswith(f"{folder.root.as_posix()}/") and path not in folder.outside:
            path = CONFIG_DIRECTORY + path[len(folder.root.as_posix()) :]
        if path in seen or b"\0" in data:
            continue
        seen.add(path)
        lines = data.decode("utf-8", "surrogateescape").splitlines()
        yield path, "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def _in_braces(text: str, at: int) -> bool:
    """Whether a place is in a table that is written out (``inline:{…}``)."""
    before = text[text.rfind("\n\n", 0, at) + 1 : at]
    return before.count("{") > before.count("}")


def _members(value: str, texts: dict[str, str]) -> Iterator[str]:
    """The domains of a list: its words, and the keys of its tables and files."""
    for word in split_words(value):
        path = word.partition(":")[2] if ":" in word else word
        if path.startswith("/"):
            for line in texts.get(path, "").splitlines():
                key = line.split()[0] if line.strip() and line[0] not in " \t" else ""
                if key.startswith("/"):
                    yield from _pattern_domains(key)
                else:
                    yield from _domains(key.rpartition("@")[2])
        else:
            yield from _domains(word)


def _domains(word: str) -> Iterator[str]:
    if re.fullmatch(rf"\.?{_NAME}|localhost", word) and not _NUMBERS.fullmatch(word):
        yield word.lstrip(".").lower()


def _pattern_domains(pattern: str) -> Iterator[str]:
    """The names that can be read in a pattern."""
    for name in re.findall(_NAME, pattern.replace("\\.", ".").replace("\\", " ")):
        yield from _domains(name)


def _value(conf: Conf, name: str) -> str:
    try:
        return str(getattr(conf, name))
    except ConfError:
        return ""


def _stranger(networks: Iterable[str]) -> str:
    """An address that no network but those of everybody holds."""
    known = []
    for word in networks:
        try:
            network = ipaddress.ip_network(
                word.strip("[]").replace("[", "").replace("]", ""), False
            )
        except ValueError:
            continue
        if network.prefixlen >= 8:
            known.append(network)
    for address in _STRANGERS:
        if not any(ipaddress.ip_address(address) in network for network in known):
            return address
    return _STRANGERS[0]
