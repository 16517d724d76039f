"""One run of postconf(1): the files, the options, and the table of known parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Flag, auto
from functools import cache
from typing import Protocol

from mta.conf import interfaces
from mta.conf.conf import PARAMETERS, Conf
from mta.conf.errors import ConfError
from mta.conf.host import Host
from mta.conf.main_cf import MainCf, logical_lines, parse_main_cf
from mta.conf.postconf.entries import Entry, EntryError, parse_entry
from mta.conf.postconf.terminal import Terminal
from mta.conf.services import SERVICE_PARAMETERS
from mta.util.mac_expand import Lookup, MacError, mac_expand
from mta.util.scalars import split

#: Where the configuration is when no option says otherwise.
CONFIG_DIRECTORY = "/etc/postfix"

#: Of the reference build: ``-m``, ``-l``, ``-a``, ``-A``.
MAP_TYPES = (
    *("btree", "cidr", "environ", "fail", "hash", "inline", "internal", "lmdb", "memcache"),
    *("pcre", "pipemap", "proxy", "randmap", "regexp", "socketmap", "sqlite", "static", "tcp"),
    *("texthash", "unionmap", "unix"),
)
LOCK_TYPES = ("flock", "fcntl", "dotlock")
SERVER_SASL_TYPES = ("cyrus", "dovecot")
CLIENT_SASL_TYPES = ("cyrus",)

#: Names of parameters of earlier releases whose settings still count.
_LEGACY = (
    "virtual_maps",
    "fallback_relay",
    "authorized_verp_clients",
    "smtpd_client_connection_limit_exceptions",
)

#: Accepted in a configuration, but no parameter of 3.0 that postconf(1) shows.
_NOT_SHOWN = ("nullmx_reject_code",)


#: Shows the templates of bounce(8): whether expanded, with which ``main.cf`` and settings beside
#: it; gives the exit status and all that was shown.
Templates = Callable[[bool, MainCf, dict[str, str]], tuple[int, str]]


class ConfFiles(Protocol):
    """The files of a configuration."""

    def read(self, path: str) -> str:
        """The text of a file.  Raises OSError."""

    def write(self, path: str, text: str) -> None:
        """Replaces a file.  Raises OSError."""


class Kind(Flag):
    """What a parameter is: the class of ``-C``, and marks."""

    BUILTIN = auto()
    SERVICE = auto()
    USER = auto()
    LEGACY = auto()
    RAW = auto()
    READONLY = auto()
    DBMS = auto()
    ALL = BUILTIN | SERVICE | USER


@dataclass(slots=True)
class Node:
    """A known parameter: its kind, and what computes its default."""

    kind: Kind
    default: Callable[[], str]


@dataclass
class Session:
    """The state of a run."""

    files: ConfFiles
    host: Host
    terminal: Terminal
    process_id: int = 0
    config_directory: str = ""
    options: set[str] = field(default_factory=set)
    #: What is set in ``main.cf``, with ``-o``, or by the program itself.
    settings: dict[str, str] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    table: dict[str, Node] = field(default_factory=dict)
    #: Shows the templates of bounce(8).
    templates: Templates | None = None

    # Files.

    @property
    def directory(self) -> str:
        """Where the files of the configuration are."""
        return self.config_directory or CONFIG_DIRECTORY

    def main_path(self) -> str:
        """The path of ``main.cf``."""
        return f"{self.directory}/main.cf"

    def master_path(self) -> str:
        """The path of ``master.cf``."""
        return f"{self.directory}/master.cf"

    def read_main(self) -> MainCf:
        """Reads ``main.cf``; says what is wrong with it."""
        if self.config_directory:
            self.settings["config_directory"] = self.config_directory
        path = self.main_path()
        try:
            text = self.files.read(path)
        except OSError as error:
            self.terminal.fatal(f"open {path}: {error.strerror}")
        main = parse_main_cf(text, path)
        for warning in main.warnings:
            self.terminal.warning(warning)
        if main.error:
            self.terminal.fatal(main.error)
        self.settings.update(main.values)
        return main

    def read_master(self, required: bool) -> None:
        """Reads ``master.cf``; without it there are no services."""
        path = self.master_path()
        if self.config_directory:
            self.settings.setdefault("config_directory", self.config_directory)
        try:
            text = self.files.read(path)
        except OSError as error:
            complaint = f"open {path}: {error.strerror}"
            if required:
                self.terminal.fatal(complaint)
            self.terminal.warning(complaint)
            return
        warnings: list[str] = []
        for logical in logical_lines(text, path, warnings):
            self._warn_all(warnings)
            self.entries.append(
                self.parse(logical.text, f"file {path}: line {logical.line}: {{error}}")
            )
        self._warn_all(warnings)

    def _warn_all(self, warnings: list[str]) -> None:
        for warning in warnings:
            self.terminal.warning(warning)
        warnings.clear()

    def parse(self, text: str, complaint: str) -> Entry:
        """The entry of a line.  ``complaint`` is the form of the fatal error."""
        try:
            entry = parse_entry(text, self.terminal.warning)
        except EntryError as error:
            self.terminal.fatal(str(error))
        if isinstance(entry, str):
            self.terminal.fatal(complaint.format(error=entry))
        return entry

    # Parameters.

    def register_builtin(self) -> None:
        """The parameters of Postfix itself."""
        for name, parameter in PARAMETERS.items():
            if name in _NOT_SHOWN:
                continue
            kind = Kind.BUILTIN
            if parameter.kind == "raw":
                kind |= Kind.RAW
            if name in ("process_name", "process_id"):
                kind |= Kind.READONLY
            if parameter.function:
                self.table[name] = Node(kind, self._computed(parameter.function))
            else:
                self.table[name] = Node(kind, _constant(parameter.default))
        self.table["process_name"].default = _constant(self.terminal.program)
        self.table["process_id"].default = _constant(str(self.process_id))
        for name in _LEGACY:
            self.table[name] = Node(Kind.LEGACY, _constant(""))

    def register_services(self) -> None:
        """The parameters that services have."""
        for entry in self.entries:
            for suffix, default in SERVICE_PARAMETERS.get(entry.words[7], {}).items():
                name = entry.words[0] + suffix
                node = self.table.get(name)
                if node is None:
                    self.table[name] = Node(Kind.SERVICE, _constant("$" + default))
                else:
                    node.kind = node.kind & ~Kind.ALL | Kind.SERVICE

    def _computed(self, function: str) -> Callable[[], str]:
        """A default that depends on the host and on what is set."""
        return cache(
            {
                "check_myhostname": self._own_hostname,
                "check_mydomainname": self._own_domain,
                "mynetworks": self._own_networks,
            }[function]
        )

    def _set_value(self, name: str) -> str | None:
        """What is set, expanded with nothing but what is set; None where it is not."""
        text = self.settings.get(name)
        if text is None:
            return None
        return self._expanded(text, self.settings.get, "dictionary mail_dict: ")

    def _own_hostname(self) -> str:
        name = self.host.hostname
        if "." in name:
            return name
        domain = self._set_value("mydomain")
        return f"{name}.{'localdomain' if domain is None else domain}"

    def _own_domain(self) -> str:
        name = self._set_value("myhostname")
        _, dot, domain = (self._own_hostname() if name is None else name).partition(".")
        return domain if dot else "localdomain"

    def _own_networks(self) -> str:
        values: dict[str, str] = {}
        for name in ("inet_interfaces", "mynetworks_style", "inet_protocols"):
            value = None if "d" in self.options else self._set_value(name)
            values[name] = self.expand(PARAMETERS[name].default) if value is None else value
        conf = Conf({}, host=self.host, warn=self.terminal.warning)
        vars(conf).update(values)
        try:
            networks = interfaces.mynetworks(conf, values["mynetworks_style"])
        except ConfError as error:
            self.terminal.fatal(error.text)
        if "v" in self.options:
            self._tell_networks(conf, values, networks)
        return networks

    def _tell_networks(self, conf: Conf, values: dict[str, str], networks: str) -> None:
        """What ``-v`` says of the way to them."""
        say = self.terminal.message
        for word in (*split(values["inet_protocols"], ", \t\r\n"), values["mynetworks_style"]):
            say(f"name_mask: {word}")
        for version in conf.protocols:
            count = sum((":" in i.address) == (version == 6) for i in conf.host.interfaces)
            if count:
                say(f"inet_addr_local: configured {count} IPv{version} addresses")
        for network in networks.split():
            say(f"been_here: {network}: 0")
        say(f"mynetworks_core: {networks}")

    def lookup(self, name: str, scope: Entry | None, defaults: bool, set_only: bool) -> str | None:
        """The value of a parameter: of an entry's ``-o``, of ``main.cf``, or the default."""
        if not defaults:
            if scope is not None and scope.params is not None and name in scope.params:
                return scope.params[name]
            if name in self.settings:
                return self.settings[name]
            if set_only:
                return None
        node = self.table.get(name)
        return None if node is None else node.default()

    def expand(self, text: str, scope: Entry | None = None) -> str:
        """A value with all ``$name`` expanded."""
        defaults = "d" in self.options
        return self._expanded(text, lambda name: self.lookup(name, scope, defaults, False))

    def _expanded(self, text: str, lookup: Lookup, complaint: str = "") -> str:
        try:
            return mac_expand(text, lookup, recursive=True).text
        except MacError as error:
            for warning in error.warnings:
                self.terminal.warning(warning)
            self.terminal.fatal(f"{complaint}macro processing error")


def _constant(text: str) -> Callable[[], str]:
    return lambda: text
