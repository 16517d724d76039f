"""The scenario file, format 1, as typed values.  Field names are the keys of the format; where a
key is no Python name, the alias is the key (``main_cf`` is ``main.cf``, ``source`` is ``from``).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from mta.system import Inet, Unix
from sim.peers.host import parse_endpoint

EXTENSIONS = ["PIPELINING", "8BITMIME", "SIZE 10240000", "ENHANCEDSTATUSCODES", "DSN"]

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)")
#: Nobody waits longer than ten years.
_LONGEST = 3653 * 86400


def seconds(text: str | float) -> float:
    """The seconds of a duration: a number, or one with a unit (``30s``, ``2h``, ``5d``).

    Raises ValueError.
    """
    if isinstance(text, (int, float)):
        return float(text)
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration; write 30, 30s, 10m, 2h, 5d or 1w")
    return float(match[1]) * _SECONDS[match[2]]


def _address(value: str) -> str:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise ValueError(f"{value!r} is no IPv4 or IPv6 address") from None
    if address.is_unspecified or address.is_multicast or value == "255.255.255.255" or "%" in value:
        raise ValueError(f"{value!r} is no address of a host")
    return str(address)


def _endpoint(value: str) -> str:
    try:
        where = parse_endpoint(value)
    except ValueError:
        raise ValueError(
            f"{value!r} is no endpoint; write inet:ADDRESS:PORT or unix:PATH"
        ) from None
    if isinstance(where, Unix) and (value.endswith("/") or re.search(r"[\s\0]", value)):
        raise ValueError(f"{value!r} is no endpoint: the path must be that of a file")
    if isinstance(where, Inet) and not 1 <= where.port <= 65535:
        raise ValueError(f"{value!r} is no endpoint: a port is 1 to 65535")
    return value


def _boolean(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError("must be true or false")


def _until(value: Any) -> Any:
    if not isinstance(value, (str, int, float)):
        raise ValueError("must be idle, seconds, or a duration such as 5d")
    return None if value == "idle" else _duration(value)


def _duration(value: Any) -> Any:
    if not isinstance(value, (str, int, float)):
        raise ValueError("must be a number of seconds")
    found = seconds(value)
    if not 0 <= found <= _LONGEST:
        raise ValueError("must be between nothing and ten years")
    return found


def _absolute(value: str) -> str:
    if not value.startswith("/") or value.endswith("/") or "\0" in value:
        raise ValueError(f"{value!r} must be the absolute path of a program")
    return value


def _version(value: str) -> str:
    if value != "1":
        raise ValueError("must be 1, the only format that this version knows")
    return value


Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
Boolean = Annotated[bool, BeforeValidator(_boolean)]
Address = Annotated[str, AfterValidator(_address)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]
Seconds = Annotated[float, BeforeValidator(_duration)]
Port = Annotated[int, Field(ge=1, le=65535)]
Times = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """A mapping of the format: no other keys, and a key without a value counts as left out."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if isinstance(data, dict) and None in data.values():
            return {key: value for key, value in data.items() if value is not None}
        return data


class Command(Part):
    """What stands for an external command: exit status and output of every run."""

    exit: Annotated[int, Field(ge=0, le=255)] = 0
    output: Text = ""


class Mta(Part):
    """The mail system under test."""

    hostname: str = "mx.example.org"
    addresses: list[Address] = Field(default=["192.0.2.25"], min_length=1)
    main_cf: Text = Field(default="", alias="main.cf")
    master_cf: Text = Field(default="", alias="master.cf")
    files: dict[str, Text] = {}
    users: list[str] = []
    commands: dict[AbsolutePath, Command] = {}


class Dns(Part):
    """What the mail system sees of the name service."""

    zone: Text = ""
    faults: dict[str, Literal["timeout", "servfail", "refused"]] = {}


_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")


def _certified(value: str) -> str:
    if not value or not value.isascii():
        raise ValueError(f"{value!r} is no name for a certificate")
    return value


class Tls(Part):
    """How a client or a peer does TLS."""

    cert: Literal["valid", "expired", "self-signed", "wrong-name", "none"] | None = None
    names: list[Annotated[str, AfterValidator(_certified)]] | None = None
    min: Literal["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] = "TLSv1.2"
    max: Literal["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] = "TLSv1.3"
    wrapper: Boolean = False

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if _VERSIONS.index(self.min) > _VERSIONS.index(self.max):
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class PeerTls(Tls):
    """TLS of a peer, and how it fails."""

    fault: (
        Literal[
            "refuse",
            "close-after-starttls",
            "garbage",
            "close-in-handshake",
            "close-after-handshake",
        ]
        | None
    ) = None


class PeerRule(Part):
    """What a peer says or does at a command."""

    on: str
    reply: str | None = None
    then: Literal["close"] | None = None
    do: Literal["silent", "close"] | None = None
    times: Times | None = None

    @model_validator(mode="after")
    def _says_or_does(self) -> PeerRule:
        if self.reply is None and self.do is None and self.then is None:
            raise ValueError("one of reply, do, then is needed")
        if self.do is not None and (self.reply is not None or self.then is not None):
            raise ValueError("do excludes reply and then")
        return self


class Peer(Part):
    """An SMTP or LMTP server elsewhere."""

    address: Address
    port: Port = 25
    banner: str | None = None
    extensions: list[str] = EXTENSIONS
    state: Literal["listen", "refuse", "drop"] = "listen"
    replies: list[PeerRule] = []
    tls: PeerTls | None = None


class PolicyRule(Part):
    """What a policy server answers, or does instead."""

    when: dict[str, Text] = {}
    action: Text | None = None
    do: Literal["close", "silent", "garbage"] | None = None
    times: Times | None = None

    @model_validator(mode="after")
    def _one(self) -> PolicyRule:
        if (self.action is None) == (self.do is None):
            raise ValueError("one of action, do is needed")
        return self


class Policy(Part):
    """A policy server."""

    replies: list[PolicyRule] = []


_DATABASE = re.compile(
    r"(?:mysql|pgsql):(?:unix:/\S+|[^:\s/]+(?::\d+)?)"
    r"|ldaps?://[^:\s/]+(?::\d+)?|ldapi://\S+"
    r"|(?:tcp|socketmap|memcache):(?:unix:\S+|[^:\s/]+:\d+)"
)


def _database(value: str) -> str:
    if not _DATABASE.fullmatch(value):
        raise ValueError(
            f"{value!r} is no database; write mysql:host:port, pgsql:unix:/path, ldap://host:port, "
            "memcache:host:port, tcp:host:port or socketmap:host:port"
        )
    return value


class DirectoryEntry(Part):
    """An entry of an LDAP directory."""

    dn: str
    attributes: dict[str, list[Text]] = {}


class Database(Part):
    """A server behind lookup tables: its data, and how it behaves."""

    sql: Text = ""  #: of mysql and pgsql: the statements that make its tables
    users: dict[str, Text] = {}  #: who may log in (ldap: DNs), with which password; empty: all
    directory: list[DirectoryEntry] = []  #: of ldap
    entries: dict[str, Text] = {}  #: of tcp, socketmap and memcache: keys and values
    state: Literal["listen", "refuse"] = "listen"
    delay: Seconds = 0.0  #: before each answer
    fails: Text = ""  #: the text of the error that comes instead of an answer
    times: Times | None = None  #: how often it comes


_MILTER_REPLY = re.compile(
    r"(?:continue|accept|reject|tempfail|discard|quarantine)|[45]\d\d.*", re.DOTALL
)


def _milter_reply(value: str) -> str:
    if not _MILTER_REPLY.fullmatch(value):
        raise ValueError(
            "must be continue, accept, reject, tempfail, discard, quarantine or an SMTP reply"
        )
    return value


#: The modifications that a milter can ask for, and the kinds of their arguments.
MILTER_ACTIONS: dict[str, tuple[type, ...]] = {
    "add_header": (str, str),
    "insert_header": (int, str, str),
    "change_header": (int, str, str),
    "replace_body": (str,),
    "add_rcpt": (str,),
    "delete_rcpt": (str,),
    "change_from": (str,),
    "quarantine": (str,),
}


def _milter_action(value: Any) -> Any:
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError("must be one action with its arguments, e.g. {add_header: [X-Seen, yes]}")
    ((name, given),) = value.items()
    kinds = MILTER_ACTIONS.get(name)
    if kinds is None:
        raise ValueError(f"unknown action {name!r}; there are {', '.join(MILTER_ACTIONS)}")
    items = given if isinstance(given, list) else [given]
    if len(items) != len(kinds) or any(isinstance(item, (dict, list)) for item in items):
        raise ValueError(f"{name} takes {len(kinds)} argument{'s' if len(kinds) > 1 else ''}")
    try:
        found = [kind("" if v is None else v) for kind, v in zip(kinds, items, strict=True)]
        if isinstance(found[0], int) and not 0 <= found[0] < 1 << 32:
            raise ValueError
    except ValueError:
        raise ValueError(f"the first argument of {name} is a number from 0 on") from None
    return {name: found}


class MilterRule(Part):
    """What a milter application answers at an event."""

    on: Literal[
        "connect", "helo", "mail", "rcpt", "data", "header", "eoh", "body", "eom", "unknown"
    ]
    when: dict[str, Text] = {}
    reply: Annotated[str, AfterValidator(_milter_reply)] = "continue"
    actions: list[Annotated[dict[str, list[Any]], BeforeValidator(_milter_action)]] = []
    times: Times | None = None


class Milter(Part):
    """A milter application."""

    replies: list[MilterRule] = []


class Step(Part):
    """A step of a client that is more than a line of text: one of the three keys."""

    pipeline: list[str] | None = None
    wait: Seconds | None = None
    raw: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Step:
        if [self.pipeline, self.wait, self.raw].count(None) != 2:
            raise ValueError("exactly one of pipeline, wait, raw is needed")
        return self


def _kind_of_step(value: Any) -> str:
    return "<step>" if isinstance(value, (dict, Step)) else "<text>"


#: One step: text that a client says (a command, content, ``starttls``, ``hangup``), or more.
AnyStep = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[Step, Tag("<step>")], Discriminator(_kind_of_step)
]


class Client(Part):
    """An SMTP client elsewhere (or on the mail system's own addresses)."""

    source: Address = Field(alias="from")
    to: Port = 25
    tls: Tls | None = None
    say: list[AnyStep] = []


class Submission(Part):
    """One run of sendmail(1)."""

    user: str = Field(default="root", alias="as")
    args: list[Text] = []
    text: Text = ""


Need = Literal["tls", "milter", "policy", "pcre", "sqlite", "sasl", "smtputf8", "ipv6"]


class Scenario(Part):
    """A whole scenario."""

    format: Annotated[str, AfterValidator(_version)]
    title: Annotated[str, Field(min_length=1)]
    about: Text = ""
    needs: list[Need] = []
    mta: Mta = Mta()
    dns: Dns = Dns()
    peers: dict[str, Peer] = {}
    policy: dict[Endpoint, Policy] = {}
    milters: dict[Endpoint, Milter] = {}
    databases: dict[Annotated[str, AfterValidator(_database)], Database] = {}
    clients: list[Client] = []
    submit: list[Submission] = []
    commands: list[Text] = []
    #: seconds from the start of the mail system; None is ``idle``
    until: Annotated[float | None, BeforeValidator(_until)] = None

    @property
    def has_databases(self) -> bool:
        """Whether it speaks of databases at all, though there be none."""
        return "databases" in self.model_fields_set

    @property
    def uses_tls(self) -> bool:
        """Whether certificates are wanted."""
        return (
            "tls" in self.needs
            or any(peer.tls for peer in self.peers.values())
            or any(client.tls for client in self.clients)
        )
