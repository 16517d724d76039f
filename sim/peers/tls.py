"""TLS of peers: what a scenario asks for, and the hook that an engine fills.

The peers do not do TLS themselves.  A world that has an engine hands them a :class:`TlsWrap`; in a
world without one, a session that gets to its handshake raises TlsMissing.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from mta.system import Stream, Wait

Certificate = Literal[
    "valid", "expired", "not-yet-valid", "self-signed", "wrong-name", "wildcard", "intermediate",
    "missing-intermediate", "untrusted", "weak-key", "none",
]  # fmt: skip
TlsVersion = Literal["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]
TlsFault = Literal[
    "refuse",  # 454 to STARTTLS
    "close-after-starttls",
    "garbage",
    "close-in-handshake",
    "close-after-handshake",
]


Deed = Literal["close", "reset", "stall", "corrupt", "flood", "alert", "renegotiate"]


@dataclass(slots=True, frozen=True)
class Sabotage:
    """What a side does to the bytes that it sends itself, in the middle of a handshake or session.

    Nothing happens before ``at`` bytes of that phase are sent.  Then it hangs up, with or without a
    reset; sends nothing more for ``seconds`` or for ever; turns a byte round; sends so many bytes
    of nonsense first; says an alert (RFC 8446, section 6) in the clear and hangs up; or, in a
    session of TLS 1.2 at most, wants another handshake.
    """

    deed: Deed
    at: int = 0
    phase: Literal["handshake", "session"] = "handshake"
    seconds: float | None = None  #: of a stall; None: for ever
    size: int = 4096  #: of a flood
    alert: int = 40  #: handshake_failure

    def __post_init__(self) -> None:
        check_choice("deed", self.deed, get_args(Deed))
        check_choice("phase", self.phase, ("handshake", "session"))
        if self.deed == "renegotiate" and self.phase != "session":
            raise ValueError("a handshake cannot be renegotiated: phase='session'")


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
    key: str = ""  #: of the certificate, see sim.cert_keys; none: the usual one
    pem: bytes = b""  #: key and certificates of one's own, instead of ``cert``
    trusts: bytes = b""  #: PEM of roots: the other side's certificate is verified, and must be good
    ask: bool = False  #: a server asks for a certificate
    resume: bool = False  #: a client offers to resume its last session
    ciphers: str = ""  #: cipher list of OpenSSL's; none: what is usual
    rotation: tuple[tuple[int, Certificate], ...] = ()  #: from a moment on, another certificate
    sabotage: Sabotage | None = None

    def certificate(self, server: bool, now: int) -> Certificate:
        """The kind of certificate to show at a moment."""
        kind: Certificate = self.cert or ("valid" if server else "none")
        for moment, other in self.rotation:
            if now >= moment:
                kind = other
        return kind

    def __post_init__(self) -> None:
        check_choice("cert", self.cert, get_args(Certificate))
        check_choice("min", self.min, get_args(TlsVersion))
        check_choice("max", self.max, get_args(TlsVersion))
        check_choice("fault", self.fault, get_args(TlsFault))
        deed = self.sabotage.deed if self.sabotage is not None else ""
        if deed == "renegotiate" and self.max == "TLSv1.3":
            raise ValueError("TLS 1.3 has no renegotiation: max='TLSv1.2'")


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
