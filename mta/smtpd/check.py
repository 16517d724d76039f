"""NAME
    smtpd access control - what clients may do (SMTPD_ACCESS_README, access(5))

DESCRIPTION
    Each stage of the conversation has a list of restrictions, which are asked in order until one
    permits or rejects.  A permission ends the list of its stage only.  With ``smtpd_delay_reject``
    all lists wait for RCPT TO (or ETRN), so that the log shows sender and recipient.

    The functions of this module are the stages; each gives None, or the whole reply with which the
    client is refused.  The restrictions are in check_generic, check_client, check_helo,
    check_address, check_relay, check_mx_backup, check_rcpt_maps, check_access, check_server,
    check_rbl, check_login, check_verify and check_policy; actions of access tables in
    check_actions.

DIAGNOSTICS
    Each rejection is a line ``NOQUEUE: reject: STAGE from CLIENT: REPLY; from=<> to=<> ...``.
    Restrictions that do not exist, or lack an argument, are a warning and a 451 when they are
    evaluated.  Lists that would relay for anyone are a fatal error at the start.

CONFIGURATION PARAMETERS
    Lists: smtpd_client_restrictions, smtpd_helo_restrictions, smtpd_sender_restrictions,
    smtpd_relay_restrictions, smtpd_recipient_restrictions, smtpd_data_restrictions,
    smtpd_end_of_data_restrictions, smtpd_etrn_restrictions, smtpd_restriction_classes,
    smtpd_delay_reject, smtpd_reject_unlisted_sender, smtpd_reject_unlisted_recipient,
    smtpd_log_access_permit_actions, local_header_rewrite_clients, message_size_limit, queue_minfree
    Clients: mynetworks, mynetworks_style, inet_interfaces, relay_clientcerts, maps_rbl_domains,
    rbl_reply_maps, default_rbl_reply, smtpd_dns_reply_filter, smtpd_null_access_lookup_key,
    recipient_delimiter
    Recipients: relay_domains, allow_untrusted_routing, permit_mx_backup_networks,
    smtpd_sender_login_maps, show_user_unknown_table_name, local_recipient_maps,
    relay_recipient_maps, virtual_alias_maps, virtual_mailbox_maps, canonical_maps,
    sender_canonical_maps, recipient_canonical_maps, double_bounce_sender
    Probes: address_verify_service_name, address_verify_poll_count, address_verify_poll_delay,
    unverified_sender_reject_reason, unverified_recipient_reject_reason
    Replies: access_map_reject_code, access_map_defer_code, reject_code, defer_code,
    invalid_hostname_reject_code, maps_rbl_reject_code, multi_recipient_bounce_reject_code,
    non_fqdn_reject_code, nullmx_reject_code, plaintext_reject_code, relay_domains_reject_code,
    unknown_address_reject_code, unknown_client_reject_code, unknown_hostname_reject_code,
    unknown_local_recipient_reject_code, unknown_relay_recipient_reject_code,
    unknown_virtual_alias_reject_code, unknown_virtual_mailbox_reject_code,
    unverified_sender_reject_code, unverified_sender_defer_code, unverified_recipient_reject_code,
    unverified_recipient_defer_code
    What is done where a lookup fails for now: reject_tempfail_action,
    unknown_address_tempfail_action, unknown_helo_hostname_tempfail_action,
    unverified_sender_tempfail_action, unverified_recipient_tempfail_action
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mta.smtpd.check_restrictions  # noqa: F401 - all restrictions register themselves
from mta.lib.crash import Crash
from mta.lib.mail_error import MAIL_ERROR_RESOURCE
from mta.lib.requests import RESOLVE_FLAG_ERROR
from mta.smtpd.check_evaluate import inputs_of, stage_checks
from mta.smtpd.check_rcpt_maps import check_recipient_rcpt_maps, check_sender_rcpt_maps
from mta.smtpd.check_registry import (
    REPLY,
    SMTPD_CHECK_REJECT,
    SMTPD_NAME_CLIENT,
    SMTPD_NAME_DATA,
    SMTPD_NAME_EOD,
    SMTPD_NAME_ETRN,
    SMTPD_NAME_HELO,
    SMTPD_NAME_RECIPIENT,
    SMTPD_NAME_SENDER,
    VERDICTS,
    Jump,
)
from mta.smtpd.check_reject import check_reject, reject_pending, reject_policy
from mta.smtpd.check_resolve import resolve_addr
from mta.smtpd.check_rewrite import check_rewrite
from mta.smtpd.check_rules import rules_init, rules_of
from mta.smtpd.state import SMTPD_CMD_DATA, SMTPD_CMD_EOD, Session
from mta.system import Wait

if TYPE_CHECKING:
    from mta.master.server import Process

__all__ = [
    "check_addr",
    "check_client",
    "check_data",
    "check_eod",
    "check_etrn",
    "check_helo",
    "check_init",
    "check_mail",
    "check_queue",
    "check_rcpt",
    "check_rewrite",
    "check_size",
]

#: Free space is counted in blocks of this size (bytes).
_BLOCK = 4096
#: Above this, multiples in a warning are not shown as they are.
_BAD_ADDRESS = "bad address syntax"


def check_init(process: Process) -> None:
    """Opens tables and reads the lists.  Logs a fatal error, and raises Fatal, where they make no
    sense.
    """
    rules_init(process)


def _reset(session: Session) -> None:
    """Before a stage."""
    session.recursion = 0
    session.warn_if_reject = 0
    session.defer_if_reject.active = False


def _reply(session: Session, status: int) -> str | None:
    return str(session.scratch[REPLY]) if status == SMTPD_CHECK_REJECT else None


def _forced(session: Session, status: int) -> int:
    """A permission becomes the rejection that was put off."""
    if status != SMTPD_CHECK_REJECT and session.defer_if_permit.active:
        status = reject_pending(session, session.defer_if_permit)
        session.process.decide(
            "put off", stage=session.where, reply=session.scratch[REPLY], verdict=VERDICTS[status]
        )
    return status


def _unlisted(session: Session, parameter: str, address: str, check: Wait[int]) -> Wait[int]:
    """What is checked of an address in any case, unless ``parameter`` says no."""
    process = session.process
    if process.system.decisions is not None:
        process.decide("restriction begins", depth=1)
    try:
        status = yield from check
    except Jump as jump:
        status = jump.args[0]
    if process.system.decisions is not None:
        process.decide(
            "restriction",
            list=parameter,
            restriction=parameter.removeprefix("smtpd_"),
            argument="",
            inputs=inputs_of(session, address),
            verdict=VERDICTS[status],
            reply=session.scratch[REPLY] if status == SMTPD_CHECK_REJECT else "",
            depth=1,
            changes={},
            test=False,
        )
    return status


def check_client(session: Session) -> Wait[str | None]:
    """smtpd_client_restrictions."""
    session.defer_if_permit.active = False
    _reset(session)
    status = yield from stage_checks(
        rules_of(session),
        session,
        "client",
        session.namaddr,
        SMTPD_NAME_CLIENT,
        "check_client_access",
    )
    session.defer_if_permit_client = session.defer_if_permit.active
    return _reply(session, status)


def check_helo(session: Session, name: str) -> Wait[str | None]:
    """smtpd_helo_restrictions for a name."""
    saved, session.helo_name = session.helo_name, name
    session.defer_if_permit.active = session.defer_if_permit_client
    _reset(session)
    status = yield from stage_checks(
        rules_of(session), session, "helo", name, SMTPD_NAME_HELO, "check_helo_access"
    )
    session.defer_if_permit_helo = session.defer_if_permit.active
    session.helo_name = saved
    return _reply(session, status)


def check_mail(session: Session, sender: str) -> Wait[str | None]:
    """smtpd_sender_restrictions for a sender, and smtpd_reject_unlisted_sender."""
    saved, session.sender = session.sender, sender
    session.defer_if_permit.active = (
        session.defer_if_permit_client or session.defer_if_permit_helo
    )
    session.sender_rcptmap_checked = 0
    _reset(session)
    status = yield from stage_checks(
        rules_of(session), session, "sender", sender, SMTPD_NAME_SENDER, "check_sender_access"
    )
    session.defer_if_permit_sender = session.defer_if_permit.active
    if (
        sender
        and session.process.conf.smtpd_reject_unlisted_sender
        and status != SMTPD_CHECK_REJECT
        and not session.sender_rcptmap_checked
        and not session.discard
    ):
        check = check_sender_rcpt_maps(session, sender)
        status = yield from _unlisted(session, "smtpd_reject_unlisted_sender", sender, check)
    session.sender = saved
    return _reply(session, status)


def check_rcpt(session: Session, recipient: str) -> Wait[str | None]:
    """All that was delayed, smtpd_relay_restrictions and smtpd_recipient_restrictions for a
    recipient, and smtpd_reject_unlisted_recipient.  The bare ``postmaster`` is always welcome.
    """
    if recipient.lower() == "postmaster":
        return None
    saved, session.recipient = session.recipient, recipient
    session.recipient_rcptmap_checked = 0
    refusal: str | None = None
    if session.process.conf.smtpd_delay_reject:
        refusal = yield from _delayed(session, True)
    if refusal is None:
        refusal = _reply(session, (yield from _recipient_stage(session, recipient)))
    session.recipient = saved
    return refusal


def _delayed(session: Session, mail: bool) -> Wait[str | None]:
    """The stages that have gone by."""
    refusal = yield from check_client(session)
    if refusal is None and session.helo_name is not None:
        refusal = yield from check_helo(session, session.helo_name)
    if refusal is None and mail and session.sender is not None:
        refusal = yield from check_mail(session, session.sender)
    return refusal


def _recipient_stage(session: Session, recipient: str) -> Wait[int]:
    rules = rules_of(session)
    session.defer_if_permit.active = session.defer_if_permit_sender
    _reset(session)
    status = 0
    for stage in ("relay", "recipient"):
        status = yield from stage_checks(
            rules, session, stage, recipient, SMTPD_NAME_RECIPIENT, "check_recipient_access"
        )
        if status == SMTPD_CHECK_REJECT:
            return status
    status = _forced(session, status)
    if (
        session.process.conf.smtpd_reject_unlisted_recipient
        and status != SMTPD_CHECK_REJECT
        and not session.recipient_rcptmap_checked
        and not session.discard
    ):
        check = check_recipient_rcpt_maps(session, recipient)
        status = yield from _unlisted(session, "smtpd_reject_unlisted_recipient", recipient, check)
    return status


def check_etrn(session: Session, domain: str) -> Wait[str | None]:
    """smtpd_etrn_restrictions for a domain, after those of the client and of HELO."""
    saved, session.etrn_name = session.etrn_name, domain
    refusal: str | None = None
    if session.process.conf.smtpd_delay_reject:
        refusal = yield from _delayed(session, False)
    if refusal is None:
        session.defer_if_permit.active = (
            session.defer_if_permit_client or session.defer_if_permit_helo
        )
        _reset(session)
        status = yield from stage_checks(
            rules_of(session), session, "etrn", domain, SMTPD_NAME_ETRN, "check_etrn_access"
        )
        refusal = _reply(session, _forced(session, status))
    session.etrn_name = saved
    return refusal


def check_data(session: Session) -> Wait[str | None]:
    """smtpd_data_restrictions."""
    return (yield from _message_stage(session, "data", SMTPD_CMD_DATA, SMTPD_NAME_DATA))


def check_eod(session: Session) -> Wait[str | None]:
    """smtpd_end_of_data_restrictions."""
    return (yield from _message_stage(session, "end_of_data", SMTPD_CMD_EOD, SMTPD_NAME_EOD))


def _message_stage(
    session: Session, stage: str, reply_name: str, reply_class: str
) -> Wait[str | None]:
    """A stage that is about all recipients: with more than one, none is shown."""
    saved = session.recipient
    if session.rcpt_count > 1:
        session.recipient = None
    session.defer_if_permit.active = False
    _reset(session)
    status = yield from stage_checks(
        rules_of(session), session, stage, reply_name, reply_class, None
    )
    status = _forced(session, status)
    session.recipient = saved
    return _reply(session, status)


def check_size(session: Session, size: int) -> Wait[str | None]:
    """Whether a message of that size (0: unknown) may come (``message_size_limit``)."""
    _reset(session)
    limit = session.process.conf.message_size_limit
    if not 0 < limit < size:
        return None
    if session.stand_alone:
        raise Crash("a rejection where the access checks were never set up")
    reject_policy(session, 552, "5.3.4", "Message size exceeds fixed limit")
    return str(session.scratch[REPLY])
    yield None


def check_queue(session: Session) -> Wait[str | None]:
    """Whether the queue has room: more than ``queue_minfree``, and ``smtpd_space_multf`` times
    ``message_size_limit``.
    """
    _reset(session)
    process = session.process
    conf = process.conf
    free = process.system.files.free_space() // _BLOCK
    if (
        conf.queue_minfree // _BLOCK < free
        and conf.message_size_limit // _BLOCK < free / session.space_multf
    ):
        return None
    check_reject(session, MAIL_ERROR_RESOURCE, 452, "4.3.1", "Insufficient system storage")
    process.log.warning(
        f"not enough free space in mail queue: {free * _BLOCK} bytes < "
        f"{session.space_multf:g}*message size limit"
    )
    return str(session.scratch[REPLY])
    yield None


def check_addr(session: Session, address: str, smtputf8: bool) -> Wait[str | None]:
    """What is wrong with an address, as far as it can be told from itself; None for nothing.

    Without SMTPUTF8 the domain has to be ASCII.
    """
    if not address:
        return None
    reply = yield from resolve_addr(session, session.sender, address)
    if reply.flags & RESOLVE_FLAG_ERROR:
        return _BAD_ADDRESS
    _, at, domain = reply.recipient.rpartition("@")
    if at and not smtputf8 and not domain.isascii():
        return _BAD_ADDRESS
    return None
