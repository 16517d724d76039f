"""What a configuration takes for granted of its machine: name, addresses, accounts."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from mta.conf.conf import Conf
from mta.conf.errors import ConfError
from mta.conf.host import Host
from mta.conf.main_cf import parse_main_cf
from mta.util.parens import split_words
from postlab.folder import ConfigFolder
from sim.accounts import AccountTable

HOSTNAME = "mx.example.org"
ADDRESS = "192.0.2.25"

_USER = re.compile(r"\buser=([A-Za-z_][\w.-]*)(?::([A-Za-z_][\w.-]*))?")
_NAME = re.compile(r"[A-Za-z_][\w.-]*")
_USERS = range(1000, 60000)


@dataclass
class Facts:
    """The machine that a folder belongs to, as far as one can tell from the folder."""

    hostname: str = HOSTNAME
    addresses: list[str] = field(default_factory=lambda: [ADDRESS])
    users: list[str] = field(default_factory=list)  #: people
    services: list[str] = field(default_factory=list)  #: accounts that the mail system runs as
    groups: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, folder: ConfigFolder, users: Iterable[str] = ()) -> Facts:
        """``users`` are there besides those of the folder's own ``/etc/passwd``."""
        conf = Conf(
            parse_main_cf(folder.text("main.cf")), host=Host(HOSTNAME), warn=lambda _: None
        )
        facts = cls(users=list(dict.fromkeys((*_people(folder), *users))))
        name = _value(conf, "myhostname")
        if "myhostname" in conf.settings and "." in name:
            facts.hostname = name
        own = [a for word in split_words(_value(conf, "inet_interfaces")) for a in _address(word)]
        facts.addresses = list(dict.fromkeys(own)) or [ADDRESS]
        for parameter in ("mail_owner", "default_privs"):
            facts._service(_value(conf, parameter))
        for user, group in _USER.findall(folder.text("master.cf")):
            facts._service(user)
            facts.groups += [group] if group else []
        group = _value(conf, "setgid_group")
        facts.groups += [group] if _NAME.fullmatch(group) else []
        return facts

    def _service(self, name: str) -> None:
        if _NAME.fullmatch(name) and name not in self.services:
            self.services.append(name)

    def accounts(self) -> AccountTable:
        """The accounts of the machine."""
        table = AccountTable()
        for name in dict.fromkeys((*self.users, *self.services)):
            if table.by_name(name) is None:
                table.add_user(name)
        for number, name in enumerate(dict.fromkeys(self.groups)):
            if table.group(name) is None:
                table.add_group(name, 900 + number)
        return table


def _value(conf: Conf, name: str) -> str:
    try:
        return conf.get(name, str(getattr(conf, name)))
    except ConfError:
        return ""


def _address(word: str) -> list[str]:
    """The address of a word, where it is one of this machine's own and no loopback."""
    try:
        address = ipaddress.ip_address(word.strip("[]"))
    except ValueError:
        return []
    usable = not (address.is_loopback or address.is_unspecified)
    return [str(address)] if usable else []


def _people(folder: ConfigFolder) -> list[str]:
    """The people in the ``/etc/passwd`` of the tree that the folder is in."""
    if folder.tree is None:
        return []
    try:
        text = (folder.tree / "etc" / "passwd").read_text("utf-8", "surrogateescape")
    except OSError:
        return []
    rows = (line.split(":") for line in text.splitlines())
    return [
        row[0]
        for row in rows
        if len(row) > 2 and row[2].isdigit() and int(row[2]) in _USERS and _NAME.fullmatch(row[0])
    ]
