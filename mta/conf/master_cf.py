"""``master.cf``: the services and how to run them (master(5), master_ent).

Parsing never raises: the text of a fatal error is kept in :attr:`MasterCf.error`, with the entries
before it, and what is logged on the way in :attr:`MasterCf.log`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mta.conf.conf import Conf
from mta.conf.errors import ConfError
from mta.conf.main_cf import LogicalLine, logical_lines
from mta.util.host_port import host_port
from mta.util.match_service import ServicePatterns
from mta.util.scalars import BLANKS, extract_parens, split, split_name_value, split_quoted, strtol

MASTER_CF = "/etc/postfix/master.cf"

_OPTIONS_WITH_ARGUMENT = "ilmnost"
_OPTIONS = "cdDSuvVz"


@dataclass(slots=True)
class MasterEntry:
    """A service.

    ``wakeup`` is in seconds, 0 for never; ``wakeup_conditional`` means only when it was used
    (``?``).  ``max_proc`` 0 is no limit.  ``args`` are the words after the program's name with
    ``{...}`` taken out of the braces; ``options``, ``overrides``, ``verbose`` and ``rest`` are what
    the program makes of them.
    """

    name: str
    type: str  #: inet, unix, fifo or pass
    private: bool
    unprivileged: bool
    chroot: bool
    wakeup: int
    wakeup_conditional: bool
    max_proc: int
    program: str
    args: list[str] = field(default_factory=list)
    line: int = 0
    #: Of inet services: the host (``""``: by inet_interfaces) and the port, as written.
    host: str = ""
    port: str = ""
    #: Of inet services: the addresses to listen at; ``""`` is every address.
    addresses: tuple[str, ...] = ()
    #: Whether clients can only be on this machine.
    local_only: bool = True
    #: The ``-o name=value`` in order.
    overrides: dict[str, str] = field(default_factory=dict)
    verbose: int = 0  #: number of ``-v``
    debug: bool = False  #: ``-D``
    #: The words after the options (pipe(8)'s attributes, spawn(8)'s).
    rest: list[str] = field(default_factory=list)
    #: The fatal error of the program over its options, or None.
    error: str | None = None

    @property
    def path(self) -> str:
        """The path of the service's socket below the queue directory (not of inet services)."""
        return f"{'private' if self.private else 'public'}/{self.name}"

    def process_overrides(self, stress: bool = False) -> dict[str, str]:
        """What the command line of a process sets: ``stress`` (where master does that), ``-o``."""
        if not self.stressable:
            return dict(self.overrides)
        return {"stress": "yes" if stress else "", **self.overrides}

    @property
    def stressable(self) -> bool:
        """Whether master tells the processes ``stress``: empty, and ``yes`` when all are busy."""
        return not self.local_only and self.max_proc > 1


@dataclass(slots=True)
class MasterCf:
    """A parsed ``master.cf``.  ``log`` are (``info`` or ``warning``, text) in order."""

    entries: list[MasterEntry] = field(default_factory=list)
    log: list[tuple[str, str]] = field(default_factory=list)
    error: str | None = None
    path: str = MASTER_CF

    def find(self, name: str, type: str = "") -> MasterEntry | None:
        """The entry of a service, the last one where there are several."""
        for entry in reversed(self.entries):
            if entry.name == name and type in ("", entry.type):
                return entry
        return None


class _Parser:
    """Reads one ``master.cf``."""

    def __init__(self, conf: Conf, path: str) -> None:
        self.conf = conf
        self.path = path
        self.result = MasterCf(path=path)
        self.line = 0
        self.words: list[str] = []
        self.rest = ""
        disable = conf.master_service_disable
        if not conf.protocols:
            disable = f"inet,{disable}"
            self.result.log += [
                (
                    "warning",
                    f"all network protocols are disabled (inet_protocols = {conf.inet_protocols})",
                ),
                ("warning", 'disabling all type "inet" services in master.cf'),
            ]
        self.disable = ServicePatterns(disable)

    def context(self, text: str) -> ConfError:
        """A fatal error at the present line."""
        return ConfError(f"{self.path}: line {self.line}: {text}")

    def word(self) -> str | None:
        """The next word of the line."""
        text = self.rest.lstrip(BLANKS)
        words = split(text, BLANKS) if text else []
        if not words:
            self.rest = ""
            return None
        self.rest = text[len(words[0]) + 1 :]
        return words[0]

    def text_field(self, name: str, default: str | None = None) -> str:
        """A field; ``-`` is the default."""
        value = self.word()
        if value is None:
            raise self.context(f'missing "{name}" field')
        if value != "-":
            return value
        if default is None:
            raise self.context(f'field "{name}" has no default value')
        if name == "chroot" and self.conf.warn_compat_break_chroot:
            self.result.log.append(
                (
                    "info",
                    f"{self.path}: line {self.line}: using backwards-compatible default setting "
                    f"{name}={default}",
                )
            )
        return default

    def bool_field(self, name: str, default: str) -> bool:
        """``y`` or ``n``."""
        value = self.text_field(name, default)
        if value not in ("y", "n"):
            raise self.bad(name, value)
        return value == "y"

    def int_field(self, name: str, default: str) -> tuple[int, str]:
        """A number, and what was written."""
        value = self.text_field(name, default)
        if not value[0].isascii() or not value[0].isdecimal():
            raise self.bad(name, value)
        return strtol(value)[0], value

    def bad(self, name: str, value: str) -> ConfError:
        """A value that a field cannot have."""
        return self.context(f'field "{name}": bad value: "{value}"')

    def entry(self, logical: LogicalLine) -> MasterEntry | None:
        """One entry, or None where it is disabled.  Raises ConfError."""
        self.line = logical.line
        self.rest = logical.text
        name = self.word()
        if name is None:
            return None
        type = self.text_field("transport type")
        if self.disable.matches(name, type):
            return None
        if type not in ("inet", "unix", "fifo", "pass"):
            raise self.context(f"bad transport type: {type}")
        host = port = ""
        addresses: tuple[str, ...] = ()
        if type == "inet":
            host, port, addresses = self.endpoint(name)
        private = self.bool_field("private", "y")
        if type == "inet":
            if private:
                raise self.context("inet service cannot be private")
            if not addresses:
                raise self.context(f"no valid IP address found: {name}")
        unprivileged = self.bool_field("unprivileged", "y")
        chroot = self.bool_field("chroot", "y" if self.conf.compat_level < 1 else "n")
        wakeup, written = self.int_field("wakeup_time", "0")
        limit, _ = self.int_field("max_proc", str(self.conf.default_process_limit))
        entry = MasterEntry(
            name,
            type,
            private,
            unprivileged,
            chroot,
            wakeup,
            wakeup > 0 and written.endswith("?"),
            limit,
            self.text_field("command"),
            line=self.line,
            host=host,
            port=port,
            addresses=addresses,
        )
        entry.local_only = type in ("unix", "fifo") or (
            type == "inet" and all(a.startswith("127.") or a == "::1" for a in addresses)
        )
        for word in split_quoted(self.rest, BLANKS):
            if word.startswith("{"):
                word, error = extract_parens(word)
                if error:
                    raise self.context(error)
            entry.args.append(word)
        parse_options(entry)
        return entry

    def endpoint(self, name: str) -> tuple[str, str, tuple[str, ...]]:
        """Host, port and addresses of an inet service."""
        try:
            host, port = host_port(name, "", None, self.conf.smtputf8_enable)
        except ValueError as error:
            raise self.context(f'{error.args[0]} in "{name}"') from None
        if host:
            addresses = self.conf.addresses_of(host)
            if not addresses:
                raise self.context(f"bad hostname or network address: {name}")
        elif self.conf.inet_interfaces.lower() == "all":
            addresses = [""]
        else:
            addresses = list(self.conf.own_addresses)
        return host, port, tuple(dict.fromkeys(addresses))


def parse_options(entry: MasterEntry) -> None:
    """Sorts the arguments as the program's getopt(3) does, up to the first that is no option."""
    args = entry.args
    index = 0
    while index < len(args):
        word = args[index]
        if word == "--":
            index += 1
            break
        if len(word) < 2 or word[0] != "-":
            break
        index += 1
        for position, letter in enumerate(word[1:], 1):
            if letter in _OPTIONS_WITH_ARGUMENT:
                value = word[position + 1 :]
                if not value:
                    if index >= len(args):
                        entry.error = "invalid option: ?"
                        return
                    value = args[index]
                    index += 1
                entry.error = _option(entry, letter, value)
            elif letter == "v":
                entry.verbose += 1
            elif letter == "D":
                entry.debug = True
            elif letter not in _OPTIONS:
                entry.error = "invalid option: ?"
            if entry.error:
                return
            if letter in _OPTIONS_WITH_ARGUMENT:
                break
    entry.rest = args[index:]


def _option(entry: MasterEntry, letter: str, value: str) -> str | None:
    """One option with an argument; what is wrong with it, or None."""
    if letter == "o":
        pair = split_name_value(value)
        if isinstance(pair, str):
            return f'invalid "-o {value}" option value: {pair}'
        entry.overrides.pop(pair[0], None)
        entry.overrides[pair[0]] = pair[1]
    elif letter == "i":
        entry.overrides["max_idle"] = value
    elif letter == "m":
        entry.overrides["max_use"] = value
    return None


def parse_master_cf(text: str, conf: Conf, path: str = MASTER_CF) -> MasterCf:
    """Parses ``master.cf`` with the configuration that master has."""
    parser = _Parser(conf, path)
    result = parser.result
    warnings: list[str] = []
    try:
        for logical in logical_lines(text, path, warnings):
            result.log += [("warning", warning) for warning in warnings]
            warnings.clear()
            entry = parser.entry(logical)
            if entry is not None:
                result.entries.append(entry)
    except ConfError as error:
        result.error = error.text
    result.log += [("warning", warning) for warning in warnings]
    return result
