"""AUTH, and who is logged in (smtpd_sasl_proto.c, smtpd_sasl_glue.c).

A SASL implementation (``smtpd_sasl_type``) plugs in through :data:`mta.lib.xsasl.SERVER_TYPES`.
"""

from __future__ import annotations

from mta.lib.mail_error import MAIL_ERROR_POLICY, MAIL_ERROR_PROTOCOL
from mta.lib.xsasl import XSASL_AUTH_DONE, XSASL_AUTH_MORE, ServerArguments
from mta.smtpd.chat import chat_query, chat_reply
from mta.smtpd.state import CLIENT_ATTR_UNKNOWN, SMTPD_FLAG_AUTH_USED, Session
from mta.smtpd.token import Token
from mta.system import Inet, Wait
from mta.wire.ehlo_mask import EHLO_MASK_AUTH
from mta.wire.text import printable


def sasl_activate(session: Session) -> Wait[None]:
    """Begins SASL for the connection, with the options for TLS where that is on.
    Logs a fatal error, and raises Fatal, where there are no mechanisms.
    """
    process = session.process
    conf = process.conf
    server_type = session.server.sasl_type
    if server_type is None:
        process.log.fatal("SASL per-process initialization failed")
    encrypted = session.tls_context is not None
    local = session.client.stream.local
    arguments = ServerArguments(
        server_addr=session.dest_addr or (local.host if isinstance(local, Inet) else ""),
        client_addr="" if session.addr == CLIENT_ATTR_UNKNOWN else session.addr,
        service=conf.smtpd_sasl_service,
        user_realm=conf.smtpd_sasl_local_domain,
        security_options=(
            conf.smtpd_sasl_tls_security_options if encrypted else conf.smtpd_sasl_security_options
        ),
        tls=encrypted,
    )
    session.sasl_server = server_type.create(arguments)
    mechanisms = yield from session.sasl_server.mechanism_list()
    if not mechanisms:
        process.log.fatal("no SASL authentication mechanisms")
    session.sasl_mechanism_list = mechanisms


def sasl_deactivate(session: Session) -> None:
    """Ends SASL for the connection, and the login with it."""
    session.sasl_server = None
    session.sasl_mechanism_list = None
    session.sasl_username = None
    session.sasl_method = None
    session.sasl_sender = None


def sasl_login(session: Session, username: str, method: str) -> None:
    """Somebody is logged in, as the server or a trusted proxy (XCLIENT) says."""
    session.sasl_username = username
    session.sasl_method = method


def sasl_logout(session: Session) -> None:
    """Nobody is logged in."""
    session.sasl_username = None
    session.sasl_method = None


def permit_sasl_auth(session: Session) -> bool:
    """Whether the client is logged in, and not as anonymous."""
    return bool(session.sasl_method) and str(session.sasl_method).lower() != "anonymous"


def sasl_mail_opt(session: Session, address: str) -> str | None:
    """The AUTH= parameter of MAIL FROM; what is wrong with it, as a reply."""
    if session.sasl_sender is not None:
        session.error_mask |= MAIL_ERROR_PROTOCOL
        return "503 5.5.4 Error: multiple AUTH= options"
    if address != "<>":
        session.sasl_sender = printable(address, "?", session.process.conf.smtputf8_enable)
    return None


def auth_cmd(session: Session, argv: list[Token]) -> Wait[bool]:
    """AUTH mechanism [initial-response] (RFC 4954)."""
    refusal = _refusal(session)
    if refusal is not None:
        error, text = refusal
        session.error_mask |= error
        yield from chat_reply(session, text)
        return False
    if not 2 <= len(argv) <= 3:
        session.error_mask |= MAIL_ERROR_PROTOCOL
        yield from chat_reply(session, "501 5.5.4 Syntax: AUTH mechanism")
        return False
    if session.flags & SMTPD_FLAG_AUTH_USED:
        sasl_deactivate(session)
        yield from sasl_activate(session)
    elif session.process.conf.smtpd_sasl_type == "cyrus":
        session.flags |= SMTPD_FLAG_AUTH_USED
    return (
        yield from _authenticate(session, argv[1].text, argv[2].text if len(argv) == 3 else None)
    )


def _refusal(session: Session) -> tuple[int, str] | None:
    """Why AUTH is not possible now."""
    conf = session.process.conf
    if conf.smtpd_helo_required and session.helo_name is None:
        return MAIL_ERROR_POLICY, "503 5.5.1 Error: send HELO/EHLO first"
    if (
        session.stand_alone
        or session.sasl_server is None
        or session.ehlo_discard_mask & EHLO_MASK_AUTH
    ):
        return MAIL_ERROR_PROTOCOL, "503 5.5.1 Error: authentication not enabled"
    if session.in_mail_transaction:
        return MAIL_ERROR_PROTOCOL, "503 5.5.1 Error: MAIL transaction in progress"
    if session.milters is not None:
        text = session.milters.other_event(session) or ""
        if text.startswith("5"):
            return MAIL_ERROR_POLICY, text
        if text.startswith("4"):
            return MAIL_ERROR_POLICY, "454 4.3.0 Try again later"
    if session.server.tls_auth_only and session.tls_context is None:
        return (
            MAIL_ERROR_PROTOCOL,
            "504 5.5.4 Encryption required for requested authentication mechanism",
        )
    if session.sasl_username is not None:
        return MAIL_ERROR_PROTOCOL, "503 5.5.1 Error: already authenticated"
    return None


def _authenticate(session: Session, method: str, initial: str | None) -> Wait[bool]:
    log = session.process.log
    server = session.sasl_server
    status, text = yield from server.first(method, initial)
    while status == XSASL_AUTH_MORE:
        yield from chat_reply(session, f"334 {text}")
        yield from chat_query(session)
        if session.buffer == "*":
            log.warning(f"{session.namaddr}: SASL {method} authentication aborted")
            yield from chat_reply(session, "501 5.7.0 Authentication aborted")
            return False
        status, text = yield from server.next(session.buffer)
    if status != XSASL_AUTH_DONE:
        log.warning(f"{session.namaddr}: SASL {method} authentication failed: {text}")
        yield from chat_reply(session, f"535 5.7.8 Error: authentication failed: {text}")
        return False
    yield from chat_reply(session, "235 2.7.0 Authentication successful")
    if server.username is None:
        log.panic("cannot look up the authenticated SASL username")
    utf8 = session.process.conf.smtputf8_enable
    sasl_login(session, printable(server.username, "?", utf8), printable(method, "?", utf8))
    return True
