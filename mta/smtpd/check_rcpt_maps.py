"""Addresses that do not exist here: unlisted recipients and senders (check_rcpt_maps)."""

from __future__ import annotations

from mta.dict.errors import DictConfigError, TableError
from mta.lib.input_transp import INPUT_TRANSP_UNKNOWN_RCPT
from mta.lib.mail_addr_find import mail_addr_find
from mta.lib.mail_error import MAIL_ERROR_BOUNCE
from mta.lib.maps import Maps
from mta.lib.requests import (
    RESOLVE_CLASS_ALIAS,
    RESOLVE_CLASS_DEFAULT,
    RESOLVE_CLASS_LOCAL,
    RESOLVE_CLASS_RELAY,
    RESOLVE_CLASS_VIRTUAL,
    ResolveReply,
)
from mta.smtpd.check_registry import (
    SMTPD_CHECK_DUNNO,
    SMTPD_NAME_RECIPIENT,
    SMTPD_NAME_SENDER,
    Scope,
    Step,
    restriction,
)
from mta.smtpd.check_reject import (
    check_reject,
    reject_dict_retry,
    reject_server_error,
    sender_or,
    smtpd_dsn_fix,
)
from mta.smtpd.check_resolve import resolve_or_defer
from mta.smtpd.check_rules import Rules, rules_of
from mta.smtpd.state import Session
from mta.system import Wait
from mta.util.casefold import same_text
from mta.wire.dsn import dsn_split

#: How large Postfix makes the buffer for the next hop; what is not used of it shows as blanks.
_NEXTHOP_BUFFER = 100

_CLASSES = (
    RESOLVE_CLASS_LOCAL
    | RESOLVE_CLASS_ALIAS
    | RESOLVE_CLASS_VIRTUAL
    | RESOLVE_CLASS_RELAY
    | RESOLVE_CLASS_DEFAULT
)


@restriction("reject_unlisted_recipient", "check_recipient_maps")
def reject_unlisted_recipient(scope: Scope, step: Step) -> Wait[int]:
    """Rejects recipients that no table of their address class has."""
    session = scope.session
    if not session.recipient:
        return SMTPD_CHECK_DUNNO
    return (yield from check_recipient_rcpt_maps(session, session.recipient))


@restriction("reject_unlisted_sender")
def reject_unlisted_sender(scope: Scope, step: Step) -> Wait[int]:
    """The same for senders."""
    session = scope.session
    if not session.sender:
        return SMTPD_CHECK_DUNNO
    return (yield from check_sender_rcpt_maps(session, session.sender))


def check_recipient_rcpt_maps(session: Session, recipient: str) -> Wait[int]:
    """Whether the recipient exists, once per RCPT TO.  Raises Jump."""
    if session.input_transp_mask & INPUT_TRANSP_UNKNOWN_RCPT:
        return SMTPD_CHECK_DUNNO
    if session.recipient_rcptmap_checked:
        return SMTPD_CHECK_DUNNO
    if not session.warn_if_reject:
        session.recipient_rcptmap_checked = 1
    return (yield from _check_rcpt_maps(session, session.sender, recipient, SMTPD_NAME_RECIPIENT))


def check_sender_rcpt_maps(session: Session, sender: str) -> Wait[int]:
    """Whether the sender exists, once per MAIL FROM.  Raises Jump."""
    if session.input_transp_mask & INPUT_TRANSP_UNKNOWN_RCPT:
        return SMTPD_CHECK_DUNNO
    if session.sender_rcptmap_checked:
        return SMTPD_CHECK_DUNNO
    if not session.warn_if_reject:
        session.sender_rcptmap_checked = 1
    return (yield from _check_rcpt_maps(session, session.recipient, sender, SMTPD_NAME_SENDER))


def find_address(session: Session, reply_name: str, maps: Maps, key: str) -> Wait[str | None]:
    """What address tables say of an address (check_mail_addr_find).  Raises Jump."""
    if not maps.tables:
        return None
    try:
        found = yield from mail_addr_find(session.process, maps, key)
    except DictConfigError:
        reject_server_error(session)
    except TableError:
        reject_dict_retry(session, reply_name)
    return None if found is None else found.value


def _check_rcpt_maps(
    session: Session, sender: str | None, recipient: str, reply_class: str
) -> Wait[int]:
    rules = rules_of(session)
    reply = yield from resolve_or_defer(session, sender, recipient)
    if (yield from _is_mapped(rules, session, recipient, reply.recipient, reply_class)):
        return SMTPD_CHECK_DUNNO
    if reply.transport in ("error", "retry"):
        return _reject_transport(session, reply, recipient, reply_class)
    return (yield from _check_class(rules, session, reply, recipient, reply_class))


def _is_mapped(
    rules: Rules, session: Session, recipient: str, key: str, reply_class: str
) -> Wait[bool]:
    """Whether canonical or virtual alias tables know the address: then it is taken for good."""
    senders = (rules.send_canon_maps,) if reply_class == SMTPD_NAME_SENDER else ()
    for maps in (rules.rcpt_canon_maps, *senders, rules.canonical_maps, rules.virt_alias_maps):
        if (yield from find_address(session, recipient, maps, key)) is not None:
            return True
    return False


def _reject_transport(
    session: Session, reply: ResolveReply, recipient: str, reply_class: str
) -> int:
    """The address goes to error(8) or retry(8)."""
    first, code = "5", 550
    if reply.transport == "retry":
        first, code = "4", 450
    elif reply.flags & RESOLVE_CLASS_ALIAS:
        code = session.process.conf.unknown_virtual_alias_reject_code
    default = f"{first}.1.{sender_or(reply_class, '0', '1')}"
    status, text = dsn_split(default, reply.nexthop)
    if status == reply.nexthop:
        # A status without a text: Postfix steps over its end, on to what the buffer holds.
        text = " " * (_NEXTHOP_BUFFER - len(status) - 1)
    return check_reject(
        session,
        MAIL_ERROR_BOUNCE,
        code,
        smtpd_dsn_fix(session, status, reply_class),
        f"<{recipient}>: {reply_class} rejected: {text}",
    )


def _check_class(
    rules: Rules, session: Session, reply: ResolveReply, recipient: str, reply_class: str
) -> Wait[int]:
    """Whether the tables of the address class have the address."""
    conf = session.process.conf
    kind = reply.flags & _CLASSES
    if kind == RESOLVE_CLASS_LOCAL:
        maps, what, code = rules.local_rcpt_maps, "local recipient", (
            conf.unknown_local_recipient_reject_code
        )
        if not conf.local_recipient_maps or _is_special(session, reply.recipient):
            return SMTPD_CHECK_DUNNO
    elif kind == RESOLVE_CLASS_VIRTUAL:
        maps, what, code = rules.virt_mailbox_maps, "virtual mailbox", (
            conf.unknown_virtual_mailbox_reject_code
        )
        if not conf.virtual_mailbox_maps:
            return SMTPD_CHECK_DUNNO
    elif kind == RESOLVE_CLASS_RELAY:
        maps, what, code = rules.relay_rcpt_maps, "relay recipient", (
            conf.unknown_relay_recipient_reject_code
        )
        if not conf.relay_recipient_maps:
            return _relayed(session, recipient)
    else:
        return SMTPD_CHECK_DUNNO
    if (yield from find_address(session, recipient, maps, reply.recipient)) is not None:
        return _relayed(session, recipient) if kind == RESOLVE_CLASS_RELAY else SMTPD_CHECK_DUNNO
    table = f" in {what} table" if conf.show_user_unknown_table_name else ""
    return check_reject(
        session,
        MAIL_ERROR_BOUNCE,
        code,
        sender_or(reply_class, "5.1.0", "5.1.1"),
        f"<{recipient}>: {reply_class} rejected: User unknown{table}",
    )


def _relayed(session: Session, recipient: str) -> int:
    process = session.process
    if process.conf.warn_compat_break_relay_domains:
        process.log.info(
            "using backwards-compatible default setting relay_domains=$mydestination "
            f'to accept mail for address "{recipient}"'
        )
    return SMTPD_CHECK_DUNNO


def _is_special(session: Session, address: str) -> bool:
    """Whether an address is one that the mail system itself makes or takes."""
    conf = session.process.conf
    local, at, _ = address.partition("@")
    return bool(at) and any(
        same_text(local, name, conf.smtputf8_enable)
        for name in (conf.double_bounce_sender, "postmaster", "mailer-daemon")
    )
