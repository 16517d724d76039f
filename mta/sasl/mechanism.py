"""What a client mechanism is, and the table of those that a client knows, the best one first."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from mta.sasl.status import SASL_BUFOVER, SASL_FAIL, SASL_NOMECH, SaslError

# Properties of mechanisms, and what a policy asks for (SASL_SEC_*).
SASL_SEC_NOPLAINTEXT = 1 << 0
SASL_SEC_NOACTIVE = 1 << 1
SASL_SEC_NODICTIONARY = 1 << 2
SASL_SEC_FORWARD_SECRECY = 1 << 3
SASL_SEC_NOANONYMOUS = 1 << 4
SASL_SEC_MUTUAL_AUTH = 1 << 6

_CANON_BUF_SIZE = 1024
_SPACE = b" \t\n\v\f\r"
_MECHANISM = re.compile(r"[A-Za-z0-9_-]+")
_PLUS = "-PLUS"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who logs in where.

    ``service`` is the protocol (smtp, lmtp), ``server`` and ``client`` the names of the two hosts.
    ``authzid`` tells whether the name is also sent as the identity to act for.  ``random`` gives so
    many random bytes, ``note`` takes what a mechanism logs by itself.
    """

    username: bytes
    password: bytes
    service: bytes
    server: bytes
    client: bytes
    authzid: bool
    random: Callable[[int], bytes]
    note: Callable[[str], None]

    @property
    def name(self) -> bytes:
        """The canonical name of the user.  Raises SaslError."""
        return canon_user(self.username)


class Mechanism(Protocol):
    """A mechanism at work.  ``done`` when the client has nothing more to say."""

    done: bool

    def start(self) -> bytes | None:
        """The initial response, or None.  Raises SaslError."""

    def step(self, challenge: bytes) -> bytes:
        """The response to a challenge.  Raises SaslError."""


class MechanismType(NamedTuple):
    """A mechanism: its properties, and how it begins."""

    properties: int
    begin: Callable[[Credentials], Mechanism]


def canon_user(name: bytes) -> bytes:
    """A name without white space around it.  Raises SaslError.

    As in the library, a name is also taken for blank when exactly as many characters are left as
    were skipped before them.
    """
    stripped = name.lstrip(_SPACE)
    skipped = len(name) - len(stripped)
    stripped = stripped.rstrip(_SPACE)
    if skipped == len(stripped):
        raise SaslError(SASL_FAIL, "All-whitespace username.")
    if len(stripped) > _CANON_BUF_SIZE:
        raise SaslError(SASL_BUFOVER)
    return stripped


def choose(types: Mapping[str, MechanismType], offered: str, wanted: int) -> str:
    """The best of the mechanisms that a server offers, in the order of ``types``, that has all the
    wanted properties (sasl_client_start).  Raises SaslError.

    A name that ends in ``-PLUS`` needs channel binding, which a client of Postfix does not have.
    """
    names = [name.upper() for name in _MECHANISM.findall(offered)]
    names = [name for name in names if not (name.endswith(_PLUS) and name != _PLUS)]
    if not names:
        raise SaslError(SASL_NOMECH)
    for name, kind in types.items():
        if name in names and kind.properties & wanted == wanted:
            return name
    raise SaslError(SASL_NOMECH, "No worthy mechs found")
