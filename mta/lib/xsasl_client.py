"""xsasl_client(3) - logging in at a server by a SASL implementation (``smtp_sasl_type``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from mta.master.server import Process


class XsaslError(Exception):
    """A login cannot begin, or cannot go on; ``args[0]`` is the reason."""


class ClientArguments(NamedTuple):
    """What is known of a session before the login."""

    service: str  #: the protocol: ``smtp`` or ``lmtp``
    server_name: str
    security_options: str


class XsaslClient(Protocol):
    """One login."""

    def first(self, mechanisms: str, username: str, password: str) -> tuple[str, str]:
        """Chooses one of the mechanisms that the server offers; its name, and the initial response
        in base 64, empty where there is none.  Raises XsaslError.
        """

    def next(self, challenge: str) -> str:
        """The response to a challenge, both in base 64.  Raises XsaslError."""


class XsaslClientImpl(Protocol):
    """An implementation, one per process."""

    def create(self, arguments: ClientArguments) -> XsaslClient | None:
        """For one session; None, after a warning, where the arguments make no sense."""


#: Implementations by their names.
CLIENT_TYPES: dict[str, Callable[[Process, str], XsaslClientImpl]] = {}


def xsasl_client_init(process: Process, kind: str, path: str) -> XsaslClientImpl | None:
    """The implementation of a type; None, after a warning, where there is none.  ``path`` means
    what the implementation wants it to.
    """
    import mta.lib.xsasl_cyrus_client  # noqa: F401 - registers itself

    found = CLIENT_TYPES.get(kind)
    if found is not None:
        return found(process, path)
    process.log.warning(f"unsupported SASL client implementation: {kind}")
    return None
