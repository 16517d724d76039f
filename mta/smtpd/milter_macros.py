"""The values of macros that milters get from smtpd(8) (smtpd_milter.c)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mta.smtpd.check_resolve import resolve_addr
from mta.smtpd.state import (
    CLIENT_ATTR_UNKNOWN,
    SMTPD_PEER_CODE_FORGED,
    SMTPD_PEER_CODE_OK,
    SMTPD_PEER_CODE_TEMP,
    Session,
)
from mta.system import Wait
from mta.util.casefold import casefold
from mta.wire.quote import quote_821_local

Value = str | Wait[str | None] | None

_CLIENT_RESOLVE = {
    SMTPD_PEER_CODE_OK: "OK",
    SMTPD_PEER_CODE_FORGED: "FORGED",
    SMTPD_PEER_CODE_TEMP: "TEMP",
}


def macro_value(session: Session, name: str) -> Value:
    """The value of a macro, ``{name}`` or ``name``; None where there is none.  Where it depends on
    where an address goes, one has to wait for it.
    """
    evaluate = _MACROS.get(name if name.startswith("{") else f"{{{name}}}")
    return evaluate(session) if evaluate is not None else None


# -- the client


def _client(session: Session) -> str:
    same = casefold(session.name) == casefold(session.reverse_name)
    forged = "" if same else " (may be forged)"
    return f"{session.reverse_name} [{session.addr}]{forged}"


def _client_port(session: Session) -> str:
    return "0" if session.port == CLIENT_ATTR_UNKNOWN else session.port


# -- TLS and SASL


def _tls(attribute: str) -> Callable[[Session], str | None]:
    """A fact of the TLS session, where there is one."""

    def value(session: Session) -> str | None:
        context = session.tls_context
        return str(getattr(context, attribute)) if context is not None else None

    return value


def _certificate(attribute: str) -> Callable[[Session], str | None]:
    """A fact of the client's certificate, where that is good."""

    def value(session: Session) -> str | None:
        context = session.tls_context
        if context is None or not context.is_trusted:
            return None
        return str(getattr(context, attribute))

    return value


def _sasl(attribute: str) -> Callable[[Session], str | None]:
    """A fact of the client's authentication."""

    def value(session: Session) -> str | None:
        return getattr(session, attribute) or None if session.sasl_server is not None else None

    return value


# -- sender and recipient


def _address(session: Session, address: str, other: str | None) -> Wait[str | None]:
    """An address in external form, as it is resolved."""
    reply = yield from resolve_addr(session, other, address)
    return quote_821_local(reply.recipient) if reply.recipient else ""


def _mail_addr(session: Session) -> Value:
    sender = session.sender
    return _address(session, sender, session.recipient) if sender else sender


def _mail(attribute: str) -> Callable[[Session], Value]:
    """Where mail to the sender would go."""

    def resolved(session: Session, sender: str) -> Wait[str | None]:
        reply = yield from resolve_addr(session, session.recipient, sender)
        return str(getattr(reply, attribute))

    def value(session: Session) -> Value:
        return None if session.sender is None else resolved(session, session.sender)

    return value


def _refusal(session: Session) -> tuple[str, str | None] | None:
    """Enhanced status code and text of our own refusal: ``550 5.1.1 <a@b>: Recipient address
    rejected`` without the address.
    """
    if session.milter_reject_text is None:
        return None
    status, _, rest = session.milter_reject_text[4:].partition(" ")
    _, space, text = rest.partition(" ")
    return status, text if space else None


def _rcpt_addr(session: Session) -> Value:
    recipient = session.recipient
    if not recipient:
        return recipient
    refusal = _refusal(session)
    return refusal[1] if refusal is not None else _address(session, recipient, session.sender)


def _rcpt(
    attribute: str, refused: Callable[[tuple[str, str | None]], str]
) -> Callable[[Session], Value]:
    """Where mail to the recipient goes, or what there is in its place when we refuse it."""

    def resolved(session: Session, recipient: str) -> Wait[str | None]:
        reply = yield from resolve_addr(session, session.sender, recipient)
        return str(getattr(reply, attribute))

    def value(session: Session) -> Value:
        if session.recipient is None:
            return None
        refusal = _refusal(session)
        return refused(refusal) if refusal else resolved(session, session.recipient)

    return value


_MACROS: Mapping[str, Callable[[Session], Value]] = {
    "{daemon_name}": lambda session: str(session.process.conf.milter_macro_daemon_name),
    "{v}": lambda session: str(session.process.conf.milter_macro_v),
    "{_}": _client,
    "{j}": lambda session: str(session.process.conf.myhostname),
    "{client_addr}": lambda session: session.rfc_addr,
    "{client_port}": _client_port,
    "{client_connections}": lambda session: str(session.conn_count),
    "{client_name}": lambda session: session.name,
    "{client_ptr}": lambda session: session.reverse_name,
    "{client_resolve}": lambda session: _CLIENT_RESOLVE.get(session.name_status, "FAIL"),
    "{tls_version}": _tls("protocol"),
    "{cipher}": _tls("cipher_name"),
    "{cipher_bits}": _tls("cipher_usebits"),
    "{cert_subject}": _certificate("peer_CN"),
    "{cert_issuer}": _certificate("issuer_CN"),
    "{i}": lambda session: session.queue_id,
    "{auth_type}": _sasl("sasl_method"),
    "{auth_authen}": _sasl("sasl_username"),
    "{auth_author}": _sasl("sasl_sender"),
    "{mail_addr}": _mail_addr,
    "{mail_host}": _mail("nexthop"),
    "{mail_mailer}": _mail("transport"),
    "{rcpt_addr}": _rcpt_addr,
    "{rcpt_host}": _rcpt("nexthop", lambda refusal: refusal[0]),
    "{rcpt_mailer}": _rcpt("transport", lambda refusal: "error"),
}
