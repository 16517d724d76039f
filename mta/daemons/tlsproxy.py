"""tlsproxy(8) - encryption for programs that have none of their own.

NAME
    tlsproxy - Postfix TLS proxy

DESCRIPTION
    A program (postscreen(8)) hands over the connection of a client.  The handshake is done here;
    afterwards the program goes on in plain text with the same stream, and says when it is over.
    All that smtpd(8) has for TLS goes for this server too, with parameters of its own whose
    defaults are those of smtpd(8).

DIAGNOSTICS
    ``CONNECT from [address]:port``, ``DISCONNECT [address]:port``, and what the TLS library says.

BUGS
    Plain text does not really pass through this process.

CONFIGURATION PARAMETERS
    tlsproxy_tls_security_level, tlsproxy_use_tls, tlsproxy_enforce_tls, tlsproxy_tls_CAfile,
    tlsproxy_tls_CApath, tlsproxy_tls_always_issue_session_ids, tlsproxy_tls_ask_ccert,
    tlsproxy_tls_ccert_verifydepth, tlsproxy_tls_cert_file, tlsproxy_tls_ciphers,
    tlsproxy_tls_dcert_file, tlsproxy_tls_dh1024_param_file, tlsproxy_tls_dh512_param_file,
    tlsproxy_tls_dkey_file, tlsproxy_tls_eccert_file, tlsproxy_tls_eckey_file,
    tlsproxy_tls_eecdh_grade, tlsproxy_tls_exclude_ciphers, tlsproxy_tls_fingerprint_digest,
    tlsproxy_tls_key_file, tlsproxy_tls_loglevel, tlsproxy_tls_mandatory_ciphers,
    tlsproxy_tls_mandatory_exclude_ciphers, tlsproxy_tls_mandatory_protocols,
    tlsproxy_tls_protocols, tlsproxy_tls_req_ccert, tlsproxy_watchdog_timeout
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mta.lib.tls_proxy import TlsproxyReply, TlsproxyRequest
from mta.master.server import Program, program
from mta.system import Wait
from mta.tls.levels import server_level

if TYPE_CHECKING:
    from mta.master.server import Process
    from mta.tls.service import TlsService
    from mta.tls.session import TlsSession
    from mta.wire.tls import HandshakeFailed

#: What is added to the time limit of the program that asks (seconds).
_GRACE = 10


@program("tlsproxy")
class Tlsproxy(Program):
    """The process that encrypts for others."""

    kind = "multi"
    events = True

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        conf = process.conf
        use, enforce = conf.tlsproxy_use_tls, conf.tlsproxy_enforce_tls
        if conf.tlsproxy_tls_security_level:
            use, enforce = server_level(process, "tlsproxy_tls_security_level")
        self._service: TlsService | None = None
        if use or enforce:
            from mta.tls.service import tls_service

            self._service = tls_service(
                process, "tlsproxy", enforce, "No server certs available. TLS can't be enabled"
            )
        else:
            process.log.warning(
                "TLS service is requested, but disabled with tlsproxy_tls_security_level or "
                "tlsproxy_use_tls"
            )

    def serve(self, request: Any) -> Wait[TlsproxyReply]:
        """A connection that is handed over."""
        assert isinstance(request, TlsproxyRequest)
        if self._service is None or request.role != "server":
            return TlsproxyReply(False)
        if request.ready is not None:
            yield from request.ready()
        log, remote = self.process.log, request.remote
        from mta.tls.session import tls_print_errors

        log.info(f"CONNECT from {remote}")

        def failed(failure: HandshakeFailed) -> None:
            if failure.errors:
                tls_print_errors(log, failure.errors)
            elif failure.reason == "Connection timed out":
                log.warning(f"ciphertext read/write timeout for {remote}")

        session = yield from self._service.start(
            request.stream,
            namaddr=remote,
            timeout=request.timeout + _GRACE,
            serverid=request.server_id,
            failed=failed,
        )
        if session is None:
            log.info(f"DISCONNECT {remote}")
            request.stream.close()
            return TlsproxyReply(True)
        return TlsproxyReply(True, session, lambda: self._finish(request, session))

    def _finish(self, request: TlsproxyRequest, session: TlsSession) -> None:
        """The program has ended: so do we."""
        stream = request.stream
        if not session.tls.broken:
            stream.write_sealed(session.tls.farewell())
        stream.close()
        self.process.log.info(f"DISCONNECT {request.remote}")
