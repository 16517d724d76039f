"""TLS of a server program by its configuration: what smtpd(8) and tlsproxy(8) have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mta.system import Stream, Wait
from mta.tls.server import TlsServerEngine, TlsServerProps, tls_server_init

if TYPE_CHECKING:
    from mta.master.server import Process
    from mta.tls.session import TlsSession
    from mta.wire.tls import HandshakeFailed


class TlsService:
    """TLS of a process, with what its configuration asks of each session."""

    def __init__(
        self, process: Process, engine: TlsServerEngine, prefix: str, enforce: bool, ask: bool
    ) -> None:
        def parameter(name: str) -> Any:
            return getattr(process.conf, f"{prefix}_tls_{name}")

        self._engine = engine
        #: Whether clients must show a certificate that is good.
        self.required = bool(parameter("req_ccert") and enforce)
        exclusions = [parameter("exclude_ciphers")]
        if enforce:
            exclusions.append(parameter("mandatory_exclude_ciphers"))
        if ask:
            exclusions.append("aNULL")
        self._grade: str = parameter("mandatory_ciphers" if enforce else "ciphers")
        self._exclusions = " ".join(part for part in exclusions if part)

    def start(
        self,
        stream: Stream,
        *,
        namaddr: str,
        timeout: float,
        serverid: str,
        deadline: bool = False,
        failed: Callable[[HandshakeFailed], None] | None = None,
    ) -> Wait[TlsSession | None]:
        """The handshake with a client; see :meth:`TlsServerEngine.start`."""
        return (
            yield from self._engine.start(
                stream,
                namaddr=namaddr,
                timeout=timeout,
                requirecert=self.required,
                serverid=serverid,
                cipher_grade=self._grade,
                cipher_exclusions=self._exclusions,
                deadline=deadline,
                failed=failed,
            )
        )


def tls_service(
    process: Process, prefix: str, enforce: bool, no_certificates: str
) -> TlsService | None:
    """TLS by the parameters ``<prefix>_tls_*``; None, after warnings, where it does not work.

    ``no_certificates`` is the warning where there are none.
    """
    log = process.log

    def parameter(name: str) -> Any:
        return getattr(process.conf, f"{prefix}_tls_{name}")

    ask = bool(parameter("ask_ccert") or (enforce and parameter("req_ccert")))
    anonymous = parameter("cert_file").lower() == "none"
    cert_file = "" if anonymous else parameter("cert_file")
    have_certificate = bool(cert_file or parameter("dcert_file") or parameter("eccert_file"))
    if not have_certificate and ask:
        log.warning("Need a server cert to request client certs")
    if not enforce and parameter("req_ccert"):
        log.warning("Can't require client certs unless TLS is required")
    if not have_certificate and (ask or not anonymous):
        log.warning(no_certificates)
        return None
    protocols = parameter("mandatory_protocols" if enforce else "protocols")
    props = TlsServerProps.of(
        process, prefix, cert_file=cert_file, protocols=protocols, ask_ccert=ask
    )
    engine = tls_server_init(process, props)
    return None if engine is None else TlsService(process, engine, prefix, enforce, ask)
