"""Whose headers are rewritten as local ones (``local_header_rewrite_clients``)."""

from __future__ import annotations

from mta.dict.errors import DictConfigError, TableError
from mta.lib.mail_error import MAIL_ERROR_RESOURCE, MAIL_ERROR_SOFTWARE
from mta.lib.requests import REWRITE_INVALID, REWRITE_LOCAL
from mta.smtpd.check_client import has_known_certificate, in_mynetworks, is_interface_address
from mta.smtpd.check_registry import REPLY, Jump
from mta.smtpd.check_reject import log_whatsup, reject_server_error
from mta.smtpd.check_rules import Rules, rules_of
from mta.smtpd.sasl import permit_sasl_auth
from mta.smtpd.state import Session
from mta.system import Wait

_PARAMETER = "local_header_rewrite_clients"
_ADDRESS_MAP = "check_address_map"


def check_rewrite(session: Session) -> Wait[str | None]:
    """Sets ``rewrite_context``: local where one of ``local_header_rewrite_clients`` holds."""
    rules = rules_of(session)
    try:
        local = yield from _is_local(rules, session)
    except Jump:
        return str(session.scratch[REPLY])
    except DictConfigError:
        return _fail(session, MAIL_ERROR_SOFTWARE, "451 4.3.5 Server configuration error")
    except TableError:
        return _fail(session, MAIL_ERROR_RESOURCE, "451 4.3.0 Temporary lookup error")
    session.rewrite_context = REWRITE_LOCAL if local else REWRITE_INVALID
    return None


def _fail(session: Session, error: int, reply: str) -> str:
    session.error_mask |= error
    log_whatsup(session, "reject", reply)
    return reply


def _is_local(rules: Rules, session: Session) -> Wait[bool]:
    """Raises TableError; Jump where ``check_address_map`` has no table."""
    words = iter(rules.local_rewrite_clients.words)
    for word in words:
        name = word.lower()
        if ":" in word:
            found = yield from _in_table(rules, session, word)
        elif name == _ADDRESS_MAP:
            table = next(words, word)
            if ":" not in table:
                session.process.log.warning(
                    f'restriction {_ADDRESS_MAP}: bad argument "{table}": need maptype:mapname'
                )
                reject_server_error(session)
            found = yield from _in_table(rules, session, table)
        elif name == "permit_inet_interfaces":
            found = is_interface_address(session)
        elif name == "permit_mynetworks":
            found = yield from in_mynetworks(rules, session)
        elif name == "permit_sasl_authenticated":
            found = session.sasl_server is not None and permit_sasl_auth(session)
        elif name in ("permit_tls_clientcerts", "permit_tls_all_clientcerts"):
            found = yield from has_known_certificate(
                rules, session, name == "permit_tls_all_clientcerts"
            )
        else:
            session.process.log.warning(f"parameter {_PARAMETER}: invalid request: {word}")
            continue
        if found:
            return True
    return False


def _in_table(rules: Rules, session: Session, name: str) -> Wait[bool]:
    table = rules.tables[name]
    try:
        return (yield from table.lookup(session.addr)) is not None
    except TableError:
        session.process.log.warning(f"{_PARAMETER}: {name}: lookup error")
        raise
