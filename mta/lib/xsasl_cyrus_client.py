"""Logging in by Cyrus SASL.  ``smtp_sasl_path`` means nothing to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.lib.xsasl_client import CLIENT_TYPES, ClientArguments, XsaslError
from mta.sasl.client import SaslClient
from mta.sasl.mechanism import (
    SASL_SEC_FORWARD_SECRECY,
    SASL_SEC_MUTUAL_AUTH,
    SASL_SEC_NOACTIVE,
    SASL_SEC_NOANONYMOUS,
    SASL_SEC_NODICTIONARY,
    SASL_SEC_NOPLAINTEXT,
    Credentials,
)
from mta.sasl.status import SaslError, decode64, encode64, sasl_errstring
from mta.util.name_mask import Unknown, name_mask
from mta.wire.text import to_bytes, to_text

if TYPE_CHECKING:
    from mta.master.server import Process

#: ``smtp_sasl_security_options``, ``smtpd_sasl_security_options``.
OPTIONS = {
    "noplaintext": SASL_SEC_NOPLAINTEXT,
    "noactive": SASL_SEC_NOACTIVE,
    "nodictionary": SASL_SEC_NODICTIONARY,
    "forward_secrecy": SASL_SEC_FORWARD_SECRECY,
    "noanonymous": SASL_SEC_NOANONYMOUS,
    "mutual_auth": SASL_SEC_MUTUAL_AUTH,
}


class CyrusClientImpl:
    """Cyrus SASL in a process."""

    def __init__(self, process: Process, path: str) -> None:
        self.process = process
        self.dice = process.system.dice("sasl client")

    def create(self, arguments: ClientArguments) -> CyrusClient | None:
        """For one session.  Options of which one is unknown, or none is left, are refused."""
        warning = self.process.log.warning
        wanted = 0
        if arguments.security_options:
            wanted = name_mask(
                "SASL security options",
                OPTIONS,
                arguments.security_options,
                unknown=Unknown.RETURN,
                warn=warning,
            )
            if not wanted:
                warning("bad per-session SASL security properties")
                return None
        return CyrusClient(self, arguments, wanted)

    def random(self, size: int) -> bytes:
        """Random bytes for a nonce."""
        return bytes(self.dice.randrange(256) for _ in range(size))


class CyrusClient:
    """One login."""

    __slots__ = ("_arguments", "_client", "_impl", "_wanted")

    def __init__(self, impl: CyrusClientImpl, arguments: ClientArguments, wanted: int) -> None:
        self._impl = impl
        self._arguments = arguments
        self._wanted = wanted
        self._client: SaslClient | None = None

    def first(self, mechanisms: str, username: str, password: str) -> tuple[str, str]:
        """Begins."""
        process = self._impl.process
        credentials = Credentials(
            username=to_bytes(username),
            password=to_bytes(password),
            service=to_bytes(self._arguments.service),
            server=to_bytes(self._arguments.server_name),
            client=to_bytes(process.system.hostname),
            authzid=bool(process.conf.send_cyrus_sasl_authzid),
            random=self._impl.random,
            note=process.log.info,
        )
        self._client = SaslClient(self._wanted, credentials)
        try:
            mechanism, response = self._client.start(mechanisms)
        except SaslError as error:
            raise self._failed(error) from None
        return mechanism, to_text(encode64(response or b""))

    def next(self, challenge: str) -> str:
        """Goes on."""
        assert self._client is not None
        try:
            response = self._client.step(decode64(to_bytes(challenge)))
        except SaslError as error:
            raise self._failed(error) from None
        return to_text(encode64(response))

    def _failed(self, error: SaslError) -> XsaslError:
        if error.detail:
            kind = "problem" if error.problem else "failure"
            self._impl.process.log.warning(f"SASL authentication {kind}: {error.detail}")
        return XsaslError(sasl_errstring(error.result))


CLIENT_TYPES["cyrus"] = CyrusClientImpl
