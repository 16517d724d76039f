"""XFORWARD: an upstream MTA says whose mail this is, for the log and content filters.

It changes nothing of what the client may do (XFORWARD_README).
"""

from __future__ import annotations

from mta.lib.requests import REWRITE_INVALID, REWRITE_LOCAL
from mta.smtpd.chat import chat_reply
from mta.smtpd.commands import cannot, neuter, policy_error, protocol_error
from mta.smtpd.peer import build_namaddr
from mta.smtpd.state import (
    CLIENT_ATTR_UNKNOWN,
    SMTPD_STATE_XFORWARD_ADDR,
    SMTPD_STATE_XFORWARD_DOMAIN,
    SMTPD_STATE_XFORWARD_HELO,
    SMTPD_STATE_XFORWARD_IDENT,
    SMTPD_STATE_XFORWARD_INIT,
    SMTPD_STATE_XFORWARD_NAME,
    SMTPD_STATE_XFORWARD_PORT,
    SMTPD_STATE_XFORWARD_PROTO,
    Session,
    Xforward,
    known,
)
from mta.smtpd.token import Token
from mta.smtpd.xattr import Refused, attributes, bad_syntax, port_of, unavailable
from mta.system import Wait
from mta.util.valid_hostname import mailhost_addr, valid_hostname
from mta.wire.text import to_bytes

_FLAGS = {
    "NAME": SMTPD_STATE_XFORWARD_NAME,
    "ADDR": SMTPD_STATE_XFORWARD_ADDR,
    "PORT": SMTPD_STATE_XFORWARD_PORT,
    "PROTO": SMTPD_STATE_XFORWARD_PROTO,
    "HELO": SMTPD_STATE_XFORWARD_HELO,
    "IDENT": SMTPD_STATE_XFORWARD_IDENT,
    "SOURCE": SMTPD_STATE_XFORWARD_DOMAIN,
}
_CONTEXTS = {"LOCAL": REWRITE_LOCAL, "REMOTE": REWRITE_INVALID}
_MAX_PROTO = 64


def xforward_cmd(session: Session, argv: list[Token]) -> Wait[bool]:
    """XFORWARD attribute=value..."""
    if session.in_mail_transaction:
        return (yield from protocol_error(session, "503 5.5.1 Error: MAIL transaction in progress"))
    if len(argv) < 2:
        return (yield from protocol_error(session, "501 5.5.4 Syntax: XFORWARD attribute=value..."))
    if session.xforward_error:
        cannot(session, "command", "XFORWARD", "allowed from")
    if not session.xforward_allowed:
        return (yield from policy_error(session, "550 5.7.0 Error: insufficient authorization"))
    client = session.xforward
    if not client.flags:
        client.flags = SMTPD_STATE_XFORWARD_INIT
    updated = 0
    try:
        for name, value, error in attributes(session, argv[1:]):
            if error is not None:
                raise Refused(error)
            updated |= _take(client, name, value)
    except Refused as refused:
        return (yield from protocol_error(session, refused.args[0]))
    client.flags |= updated
    if updated & (SMTPD_STATE_XFORWARD_NAME | SMTPD_STATE_XFORWARD_ADDR):
        client.namaddr = client.name
        if known(client.addr):
            client.namaddr = build_namaddr(session, client.name, client.addr, client.port)
    yield from chat_reply(session, "250 2.0.0 Ok")
    return True


def _take(client: Xforward, name: str, value: str) -> int:
    """One attribute; its flag.  Raises Refused."""
    keyword = name.upper()
    flag = _FLAGS.get(keyword)
    if flag is None:
        raise Refused(f"501 5.5.4 Bad XFORWARD attribute name: {name}")
    absent = unavailable(value)
    if keyword == "NAME":
        client.name = CLIENT_ATTR_UNKNOWN if absent else _name(value)
    elif keyword == "ADDR":
        _address(client, CLIENT_ATTR_UNKNOWN if absent else neuter(value), absent)
    elif keyword == "PORT":
        client.port = CLIENT_ATTR_UNKNOWN if absent else port_of(value, keyword)
    elif keyword == "HELO":
        client.helo_name = None if absent else neuter(value)
    elif keyword == "PROTO":
        if not absent and len(to_bytes(value)) > _MAX_PROTO:
            raise bad_syntax(keyword, value)
        client.protocol = CLIENT_ATTR_UNKNOWN if absent else neuter(value)
    elif keyword == "IDENT":
        client.ident = None if absent else neuter(value)
    else:
        context = REWRITE_LOCAL if absent else _CONTEXTS.get(value.upper())
        if context is None:
            raise bad_syntax("SOURCE", value)
        client.domain = context
    return flag


def _name(value: str) -> str:
    value = neuter(value)
    if not valid_hostname(value):
        raise bad_syntax("NAME", value)
    return value


def _address(client: Xforward, value: str, absent: bool) -> None:
    bare = value if absent else mailhost_addr(value)
    if bare is None:
        raise bad_syntax("ADDR", value)
    client.addr = bare
    client.rfc_addr = value
