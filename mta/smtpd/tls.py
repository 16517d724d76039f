"""STARTTLS and TLS from the first byte on (smtpd_start_tls)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.lib.mail_error import MAIL_ERROR_POLICY, MAIL_ERROR_PROTOCOL, MAIL_ERROR_SOFTWARE
from mta.lib.smtp_stream import SmtpEof, SmtpError, SmtpQuiet
from mta.smtpd import limits, sasl
from mta.smtpd.chat import chat_query, chat_reply
from mta.smtpd.reset import helo_reset, mail_reset, rcpt_reset
from mta.smtpd.state import Session, TlsContext
from mta.smtpd.token import Token
from mta.system import Wait
from mta.wire.ehlo_mask import EHLO_MASK_STARTTLS

if TYPE_CHECKING:
    from mta.master.server import Process
    from mta.smtpd.server import Server
    from mta.tls.service import TlsService


class TlsServer:
    """TLS of a process (smtpd_tls_ctx)."""

    def __init__(self, service: TlsService, timeout: int) -> None:
        self._service = service
        self._timeout = timeout
        self.required = service.required  #: whether clients must show a good certificate

    def start(self, session: Session) -> Wait[TlsContext | None]:
        """The handshake over ``session.client``, whose stream is encrypted from then on; None,
        after a line in the log, where it fails.
        """
        client = session.client
        return (
            yield from self._service.start(
                client.stream,
                namaddr=session.namaddr,
                timeout=self._timeout,
                serverid=session.service,
                deadline=client.deadline,
            )
        )

    def stop(self, session: Session, failure: bool) -> Wait[None]:
        """Ends TLS on the connection."""
        context = session.tls_context
        if context is not None:
            yield from context.stop(session.client.stream, self._timeout, failure)


def tls_server_init(process: Process, server: Server) -> TlsServer | None:
    """TLS for the configuration; None where it does not work, so that STARTTLS gets a 454."""
    from mta.tls.service import tls_service

    service = tls_service(
        process, "smtpd", server.enforce_tls, "No server certs available. TLS won't be enabled"
    )
    if service is None:
        return None
    return TlsServer(service, process.conf.smtpd_starttls_timeout)


def starttls_cmd(session: Session, argv: list[Token]) -> Wait[bool]:
    """STARTTLS (RFC 3207)."""
    server = session.server
    refusal = _refusal(session, len(argv))
    if refusal is not None:
        error, text = refusal
        session.error_mask |= error
        yield from chat_reply(session, text)
        return False
    if (yield from _too_many_sessions(session)):
        session.process.log.warning(
            f"Refusing STARTTLS request from {session.namaddr} for service {session.service}"
        )
        yield from chat_reply(
            session, f"454 4.7.0 Error: too many new TLS sessions from {session.namaddr}"
        )
        return False
    yield from chat_reply(session, "220 2.0.0 Ready to start TLS")
    yield from session.client.flush()
    session.client.purge()
    yield from helo_reset(session)
    yield from mail_reset(session)
    rcpt_reset(session)
    yield from start_tls(session, server)
    return True


def _refusal(session: Session, argc: int) -> tuple[int, str] | None:
    server = session.server
    if argc != 1:
        return MAIL_ERROR_PROTOCOL, "501 5.5.4 Syntax: STARTTLS"
    if session.milters is not None:
        text = session.milters.other_event(session) or ""
        if text.startswith("5"):
            return MAIL_ERROR_POLICY, text
        if text.startswith("4"):
            return MAIL_ERROR_POLICY, "454 4.3.0 Try again later"
    if session.tls_context is not None:
        return MAIL_ERROR_PROTOCOL, "554 5.5.1 Error: TLS already active"
    if not server.use_tls or session.ehlo_discard_mask & EHLO_MASK_STARTTLS:
        return MAIL_ERROR_PROTOCOL, "502 5.5.1 Error: command not implemented"
    if server.tls is None:
        return MAIL_ERROR_SOFTWARE, "454 4.7.0 TLS not available due to local problem"
    return None


def _too_many_sessions(session: Session) -> Wait[bool]:
    """Whether the client has begun too many TLS sessions of late."""
    limit = session.process.conf.smtpd_client_new_tls_session_rate_limit
    if (yield from limits.rate(session, "newtls_status", limit)):
        session.error_mask |= MAIL_ERROR_POLICY
        return True
    return False


def wrapper_mode(session: Session) -> Wait[bool]:
    """TLS before the first word (``smtpd_tls_wrappermode``); False where the client has to go."""
    log = session.process.log
    if session.server.tls is None:
        log.warning(
            f"Wrapper-mode request dropped from {session.namaddr} for service {session.service}. "
            "TLS context initialization failed. For details see earlier warnings in your logs."
        )
        return False
    if (yield from _too_many_sessions(session)):
        log.warning(
            f"Refusing TLS service request from {session.namaddr} for service {session.service}"
        )
        return False
    yield from start_tls(session, session.server)
    return True


def start_tls(session: Session, server: Server) -> Wait[None]:
    """The handshake and what follows from it.  Raises SmtpEof where it fails, SmtpQuiet where the
    client has begun too many.
    """
    process = session.process
    conf = process.conf
    engine = server.tls
    if engine is None:
        raise SmtpEof
    context = session.tls_context = yield from engine.start(session)
    limit = conf.smtpd_client_new_tls_session_rate_limit
    if context is None or not context.session_reused:
        rate = yield from limits.rate(session, "newtls", limit)
        if rate:
            session.error_mask |= MAIL_ERROR_POLICY
            process.log.warning(
                f"New TLS session rate limit exceeded: {rate} from {session.namaddr} "
                f"for service {session.service}"
            )
            if context is not None:
                yield from chat_reply(
                    session,
                    f"421 4.7.0 {conf.myhostname} Error: too many new TLS sessions "
                    f"from {session.namaddr}",
                )
            raise SmtpQuiet
    if context is None:
        raise SmtpEof
    if engine.required and not context.is_trusted:
        yield from _reject_certificate(session, context)
        return
    if conf.smtpd_sasl_auth_enable and not session.stand_alone:
        if session.sasl_server is not None:
            sasl.sasl_logout(session)
            sasl.sasl_deactivate(session)
        yield from sasl.sasl_activate(session)


def _reject_certificate(session: Session, context: TlsContext) -> Wait[None]:
    what = (
        "Client certificate not trusted"
        if context.is_present
        else ("No client certificate presented")
    )
    session.process.log.info(f"NOQUEUE: abort: TLS from {session.namaddr}: {what}")
    yield from chat_query(session)
    yield from chat_reply(session, f"421 4.7.1 {session.process.conf.myhostname} Error: {what}")
    session.error_mask |= MAIL_ERROR_POLICY


def tls_reset(session: Session, failure: bool) -> Wait[None]:
    """Ends TLS; ``failure`` where the connection is lost."""
    if session.tls_context is not None:
        try:
            yield from session.client.flush()
        except SmtpError:
            failure = True
        if session.server.tls is not None:
            yield from session.server.tls.stop(session, failure)
        session.tls_context = None
