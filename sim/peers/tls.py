"""TLS of peers: what a scenario asks for, and the hook that an engine fills.

The peers do not do TLS themselves.  A world that has an engine hands them a :class:`TlsWrap`; in a
world without one, a session that gets to its handshake raises TlsMissing.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from mta.system import Stream, Wait

Certificate = Literal["valid", "expired", "self-signed", "wrong-name", "none"]
TlsVersion = Literal["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]
TlsFault = Literal[
    "refuse",  # 454 to STARTTLS
    "close-after-starttls",
    "garbage",
    "close-in-handshake",
    "close-after-handshake",
]


class TlsMissing(Exception):
    """A session wants TLS and the world has no engine for it.  ``args[0]`` says whose."""


@dataclass(slots=True, frozen=True)
class TlsSpec:
    """How one side does TLS."""

    cert: Certificate | None = None  #: None: ``valid`` for a server, ``none`` for a client
    names: tuple[str, ...] = ()  #: of the certificate; none: the peer's name
    min: TlsVersion = "TLSv1.2"
    max: TlsVersion = "TLSv1.3"
    wrapper: bool = False  #: TLS from the first byte on
    fault: TlsFault | None = None  #: servers only

    def __post_init__(self) -> None:
        check_choice("cert", self.cert, get_args(Certificate))
        check_choice("min", self.min, get_args(TlsVersion))
        check_choice("max", self.max, get_args(TlsVersion))
        check_choice("fault", self.fault, get_args(TlsFault))


class TlsWrap(Protocol):
    """A TLS engine."""

    def __call__(
        self, stream: Stream, spec: TlsSpec, server: bool, name: str, server_name: str
    ) -> Wait[tuple[Stream, str] | None]:
        """Does the handshake.

        The value is the encrypted stream and the protocol (``TLSv1.3``), or None where the
        handshake failed.  ``name`` is the default name of the own certificate; ``server_name`` is
        what a client asks for (SNI).  The encrypted stream may have ``shut()``, which ends its own
        direction and still reads; peers end gently with it.
        """


def check_choice(what: str, value: str | None, choices: tuple[str, ...]) -> None:
    """Raises ValueError, with the nearest choice, for a value that is none of the choices."""
    if value is None or value in choices:
        return
    near = difflib.get_close_matches(str(value), choices, 1, 0)
    raise ValueError(f"{what}: no {value!r}; the nearest is {near[0]!r} (of {', '.join(choices)})")
