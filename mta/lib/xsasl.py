"""xsasl(3) - authentication of clients by a SASL implementation (``smtpd_sasl_type``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mta.system import Wait

if TYPE_CHECKING:
    from mta.master.server import Process

# The state of an authentication.
XSASL_AUTH_MORE = "more"  #: the text is a challenge in base 64
XSASL_AUTH_DONE = "done"  #: ``username`` is set
XSASL_AUTH_FAIL = "fail"  #: the text is the reason


class ServerArguments(NamedTuple):
    """What is known when a client connects."""

    server_addr: str
    client_addr: str
    service: str  #: ``smtpd_sasl_service``
    user_realm: str  #: ``smtpd_sasl_local_domain``
    security_options: str
    tls: bool


class XsaslServer(Protocol):
    """The authentication of one client."""

    username: str | None

    def mechanism_list(self) -> Wait[str]:
        """The mechanisms to announce, separated by blanks; empty where there are none."""

    def first(self, method: str, initial: str | None) -> Wait[tuple[str, str]]:
        """Begins with a mechanism and perhaps an initial response (base 64)."""

    def next(self, response: str) -> Wait[tuple[str, str]]:
        """Goes on with a response (base 64)."""


class XsaslServerImpl(Protocol):
    """An implementation, one per process."""

    def create(self, arguments: ServerArguments) -> XsaslServer:
        """For one client."""


#: Implementations by their names.
SERVER_TYPES: dict[str, Callable[[Process, str], XsaslServerImpl]] = {}


def xsasl_server_init(process: Process, kind: str, path: str) -> XsaslServerImpl | None:
    """The implementation of a type; None, after a warning, where there is none."""
    import mta.lib.xsasl_cyrus_server
    import mta.lib.xsasl_dovecot  # noqa: F401 - both register themselves

    found = SERVER_TYPES.get(kind)
    if found is not None:
        return found(process, path)
    process.log.warning(f"unsupported SASL server implementation: {kind}")
    return None
