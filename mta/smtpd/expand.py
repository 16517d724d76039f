"""``$name`` in replies to clients: the attributes of a session (smtpd_expand.c).

Used by ``smtpd_reject_footer``, ``default_rbl_reply`` and ``rbl_reply_maps``.  Parameters are not
to be had here, since a reply must not tell what is inside; ``$server_name`` is ``myhostname``.
"""

from __future__ import annotations

from mta.smtpd.state import Session
from mta.util.escape import unescape
from mta.util.mac_expand import Expansion, Lookup, MacError, mac_expand
from mta.wire.mail_date import local_time

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

_FILTER = "smtpd_expand_filter"

_ATTRIBUTES = {
    "client": "namaddr",
    "client_port": "port",
    "client_address": "addr",
    "client_name": "name",
    "reverse_client_name": "reverse_name",
    "helo_name": "helo_name",
}


def smtpd_expand_filter(session: Session) -> str:
    """The characters that values may have (``smtpd_expansion_filter``, unescaped)."""
    process = session.process
    found: str | None = process.cache.get(_FILTER)
    if found is None:
        found = process.cache[_FILTER] = unescape(process.conf.smtpd_expansion_filter)
    return found


def smtpd_expand_lookup(session: Session, name: str) -> str | None:
    """The value of a name, empty where the session has none; None, with a warning, for a name that
    does not exist.
    """
    attribute = _ATTRIBUTES.get(name)
    if attribute is not None:
        return getattr(session, attribute) or ""
    if name == "server_name":
        return str(session.process.conf.myhostname)
    if name.startswith("sender"):
        return _address(session, session.sender, name, "sender")
    if name.startswith("recipient"):
        return _address(session, session.recipient, name, "recipient")
    if name == "localtime":
        return _localtime(session)
    return _unknown(session, name)


def smtpd_expand(session: Session, template: str, names: Lookup | None = None) -> Expansion:
    """The template with all names replaced.  ``names`` answers instead of the session.
    Raises MacError, after no warning, where the template is malformed.
    """

    def lookup(name: str) -> str | None:
        return smtpd_expand_lookup(session, name)

    return mac_expand(template, names or lookup, filter=smtpd_expand_filter(session))


def expand_line(session: Session, template: str) -> str:
    """The same for a line of a footer: mistakes are warned of and end it."""
    try:
        return smtpd_expand(session, template).text
    except MacError as error:
        for warning in error.warnings:
            session.process.log.warning(warning)
        return str(error.args[2]) if len(error.args) > 2 else ""


def _address(session: Session, address: str | None, name: str, prefix: str) -> str | None:
    if address is None:
        return ""
    suffix = name[len(prefix) :]
    local, at, domain = address.rpartition("@")
    if not suffix:
        return address or "<>"
    if suffix == "_name":
        return (local if at else address) or ("" if address else "<>")
    if suffix == "_domain":
        return domain if at else ""
    return _unknown(session, name)


def _unknown(session: Session, name: str) -> str | None:
    session.process.log.warning(f'unknown macro name "{name}" in expansion request')
    return None


def _localtime(session: Session) -> str:
    when = local_time(session.process.now(), session.process.system.timezone)
    return (
        f"{_MONTHS[when.month - 1]} {when.day:02d} "
        f"{when.hour:02d}:{when.minute:02d}:{when.second:02d}"
    )
