"""Parameters of MAIL, RCPT and XFORWARD (RFC 3461, RFC 6533, XFORWARD_README)."""

from __future__ import annotations

from collections.abc import Callable

from mta.lib.recipient import (
    DSN_NOTIFY_DELAY,
    DSN_NOTIFY_FAILURE,
    DSN_NOTIFY_NEVER,
    DSN_NOTIFY_SUCCESS,
    Recipient,
)
from mta.lib.requests import DeliverRequest
from mta.smtp.features import (
    SMTP_FEATURE_XFORWARD_ADDR,
    SMTP_FEATURE_XFORWARD_DOMAIN,
    SMTP_FEATURE_XFORWARD_HELO,
    SMTP_FEATURE_XFORWARD_IDENT,
    SMTP_FEATURE_XFORWARD_NAME,
    SMTP_FEATURE_XFORWARD_PORT,
    SMTP_FEATURE_XFORWARD_PROTO,
)
from mta.smtp.state import Session
from mta.wire.quote import quote_822_local, uxtext_quote, xtext_quote

_NOTIFY = (
    (DSN_NOTIFY_NEVER, "NEVER"),
    (DSN_NOTIFY_SUCCESS, "SUCCESS"),
    (DSN_NOTIFY_FAILURE, "FAILURE"),
    (DSN_NOTIFY_DELAY, "DELAY"),
)


def notify(mask: int) -> str:
    """The value of NOTIFY for a mask of DSN_NOTIFY_*."""
    return ",".join(name for bit, name in _NOTIFY if mask & bit)


def orcpt_parameter(recipient: Recipient, utf8: bool) -> str:
    """The ORCPT parameter with the blank before it, or nothing."""
    orcpt = recipient.dsn_orcpt
    if not orcpt and recipient.orig_addr:
        address = quote_822_local(recipient.orig_addr)
        kind = "utf-8" if utf8 and not address.isascii() else "rfc822"
        orcpt = f"{kind};{address}"
    if not orcpt:
        return ""
    if orcpt[:6].lower() == "utf-8;":
        return f" ORCPT={uxtext_quote(orcpt, '+=')}"
    return f" ORCPT={xtext_quote(orcpt, '=')}"


def _source(request: DeliverRequest) -> str:
    context = request.rewrite_context
    return context and ("LOCAL" if context == "local" else "REMOTE")


#: XFORWARD attributes, a command each: the feature of the server, the name, the value, and whether
#: ``unknown`` is no value.
_Attribute = tuple[int, str, Callable[[DeliverRequest], str], bool]
NAME_ADDR: tuple[_Attribute, ...] = (
    (SMTP_FEATURE_XFORWARD_NAME, "NAME", lambda request: request.client_name, True),
    (SMTP_FEATURE_XFORWARD_ADDR, "ADDR", lambda request: request.client_addr, True),
    (SMTP_FEATURE_XFORWARD_PORT, "PORT", lambda request: request.client_port, True),
)
PROTO_HELO: tuple[_Attribute, ...] = (
    (SMTP_FEATURE_XFORWARD_PROTO, "PROTO", lambda request: request.client_proto, True),
    (SMTP_FEATURE_XFORWARD_HELO, "HELO", lambda request: request.client_helo, False),
    (SMTP_FEATURE_XFORWARD_IDENT, "IDENT", lambda request: request.log_ident, False),
    (SMTP_FEATURE_XFORWARD_DOMAIN, "SOURCE", _source, False),
)


def forwardable(
    session: Session, request: DeliverRequest, table: tuple[_Attribute, ...]
) -> list[tuple[str, str]]:
    """The attributes in the table that the server takes and that we know."""
    found = []
    for feature, name, value_of, known in table:
        if session.features & feature:
            value = value_of(request)
            if value and not (known and value.lower() == "unknown"):
                found.append((name, value))
    return found


def xforward(session: Session, request: DeliverRequest, table: tuple[_Attribute, ...]) -> str:
    """An XFORWARD command."""
    attributes = forwardable(session, request, table)
    return "XFORWARD" + "".join(f" {name}={xtext_quote(value)}" for name, value in attributes)
