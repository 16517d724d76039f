"""XCLIENT: a trusted client speaks for another one (XCLIENT_README).

The session starts anew as if that other client had connected.
"""

from __future__ import annotations

from dataclasses import dataclass

from mta.dict.errors import TableError
from mta.smtpd import sasl
from mta.smtpd.chat import chat_reset
from mta.smtpd.commands import cannot, neuter, policy_error, protocol_error
from mta.smtpd.peer import build_namaddr
from mta.smtpd.reset import helo_reset, mail_reset, rcpt_reset
from mta.smtpd.state import (
    CLIENT_ATTR_UNKNOWN,
    SMTPD_PEER_CODE_OK,
    SMTPD_PEER_CODE_PERM,
    SMTPD_PEER_CODE_TEMP,
    Session,
)
from mta.smtpd.token import Token
from mta.smtpd.xattr import (
    TEMPORARY,
    UNAVAILABLE,
    Refused,
    attributes,
    bad_syntax,
    port_of,
    unavailable,
)
from mta.system import Wait
from mta.util.valid_hostname import MAX_HOSTNAME, mailhost_addr, valid_hostname
from mta.wire.text import to_bytes


class Restart(Exception):
    """The conversation starts anew with the greeting."""


@dataclass(slots=True)
class _Seen:
    """Which attributes came that decide what is kept."""

    helo: bool = False
    proto: bool = False
    login: bool = False
    address: bool = False


def xclient_cmd(session: Session, argv: list[Token]) -> Wait[bool]:
    """XCLIENT attribute=value...  Raises Restart when it is done."""
    if session.in_mail_transaction:
        return (yield from protocol_error(session, "503 5.5.1 Error: MAIL transaction in progress"))
    if len(argv) < 2:
        return (yield from protocol_error(session, "501 5.5.4 Syntax: XCLIENT attribute=value..."))
    if session.xclient_error:
        cannot(session, "command", "XCLIENT", "allowed from")
    if not session.xclient_allowed:
        return (yield from policy_error(session, "550 5.7.0 Error: insufficient authorization"))
    seen = _Seen()
    try:
        for name, value, error in attributes(session, argv[1:]):
            if error is not None:
                raise Refused(error)
            _take(session, seen, name, value)
    except Refused as refused:
        return (yield from protocol_error(session, refused.args[0]))
    if seen.address:
        session.namaddr = build_namaddr(session, session.name, session.addr, session.port)
    yield from _start_over(session, seen)
    raise Restart


def _take(session: Session, seen: _Seen, name: str, value: str) -> None:
    """One attribute.  Raises Refused."""
    keyword = name.upper()
    if keyword == "NAME":
        session.name_status, session.name = _host_name(keyword, value)
        seen.address = True
        if session.name_status == SMTPD_PEER_CODE_OK:
            session.reverse_name = session.name
            session.reverse_name_status = SMTPD_PEER_CODE_OK
    elif keyword == "REVERSE_NAME":
        session.reverse_name_status, session.reverse_name = _host_name(keyword, value)
    elif keyword == "ADDR":
        _address(session, value)
        seen.address = True
    elif keyword == "PORT":
        known = not unavailable(value)
        session.port = port_of(value, keyword) if known else CLIENT_ATTR_UNKNOWN
        seen.address = True
    elif keyword == "HELO":
        session.helo_name = None if unavailable(value) else _helo(value)
        seen.helo = True
    elif keyword == "PROTO":
        if value.upper() not in ("SMTP", "ESMTP"):
            raise bad_syntax(keyword, value)
        session.protocol = value.upper()
        seen.proto = True
    elif keyword == "LOGIN":
        if not unavailable(value):
            sasl.sasl_login(session, value, "XCLIENT")
            seen.login = True
    else:
        raise Refused(f"501 5.5.4 Bad XCLIENT attribute name: {name}")


def _host_name(keyword: str, value: str) -> tuple[int, str]:
    """The status and the name."""
    if value.upper() == UNAVAILABLE:
        return SMTPD_PEER_CODE_PERM, CLIENT_ATTR_UNKNOWN
    if value.upper() == TEMPORARY:
        return SMTPD_PEER_CODE_TEMP, CLIENT_ATTR_UNKNOWN
    if not valid_hostname(value):
        raise bad_syntax(keyword, value)
    return SMTPD_PEER_CODE_OK, value


def _address(session: Session, value: str) -> None:
    if unavailable(value):
        session.addr = session.rfc_addr = CLIENT_ATTR_UNKNOWN
        session.addr_family = 4
        return
    bare = mailhost_addr(value)
    if bare is None:
        raise bad_syntax("ADDR", value)
    session.addr = bare
    session.rfc_addr = value
    session.addr_family = 6 if value[:5].lower() == "ipv6:" else 4


def _helo(value: str) -> str:
    if len(to_bytes(value)) > MAX_HOSTNAME:
        raise bad_syntax("HELO", value)
    return neuter(value)


def _start_over(session: Session, seen: _Seen) -> Wait[None]:
    """Forgets what the client that connected has said."""
    try:
        hosts = session.server.xclient_hosts
        session.xclient_allowed = yield from hosts.match(session.name, session.addr)
    except TableError:
        session.xclient_allowed = False
        session.xclient_error = True
    if not seen.helo:
        yield from helo_reset(session)
    if not seen.proto:
        session.protocol = "SMTP"
    if not seen.login:
        sasl.sasl_logout(session)
    if session.sasl_server is not None:
        username = session.sasl_username
        sasl.sasl_deactivate(session)
        yield from sasl.sasl_activate(session)
        if seen.login and username is not None:
            sasl.sasl_login(session, username, "XCLIENT")
    yield from chat_reset(session, 0)
    yield from mail_reset(session)
    rcpt_reset(session)
    if session.milters is not None:
        yield from session.milters.disconnect(session)
