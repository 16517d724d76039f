"""ETRN: delivery of what waits for a site (RFC 1985, ETRN_README)."""

from __future__ import annotations

from mta.lib.clients import flush_site
from mta.lib.requests import FLUSH_STAT_BAD, FLUSH_STAT_DENY, FLUSH_STAT_OK
from mta.smtpd.chat import chat_reply, clip
from mta.smtpd.commands import policy_error, protocol_error
from mta.smtpd.state import Session
from mta.smtpd.token import Token
from mta.system import Wait
from mta.util.valid_hostname import valid_hostname, valid_mailhost_literal

_UNABLE = "458 Unable to queue messages"


def etrn_cmd(session: Session, argv: list[Token]) -> Wait[bool]:
    """ETRN domain."""
    log = session.process.log
    if session.process.conf.smtpd_helo_required and session.helo_name is None:
        return (yield from policy_error(session, "503 Error: send HELO/EHLO first"))
    if session.milters is not None:
        pending = session.milters.other_event(session)
        if pending is not None and pending[:1] in ("4", "5"):
            return (yield from policy_error(session, pending))
    if session.in_mail_transaction:
        return (yield from protocol_error(session, "503 Error: MAIL transaction in progress"))
    if len(argv) != 2:
        return (yield from protocol_error(session, "500 Syntax: ETRN domain"))
    domain = argv[1].text
    if domain[0] in "@#":
        domain = domain[1:]
    if not valid_hostname(domain) and not valid_mailhost_literal(domain):
        return (yield from protocol_error(session, "501 Error: invalid parameter syntax"))
    if session.stand_alone:
        log.warning('do not use ETRN in "sendmail -bs" mode')
        yield from chat_reply(session, _UNABLE)
        return False
    refusal = yield from session.server.checks.check_etrn(session, domain)
    if refusal is not None:
        yield from chat_reply(session, refusal)
        return False
    status = yield from flush_site(session.process, "send_site", domain)
    if status == FLUSH_STAT_OK:
        yield from chat_reply(session, "250 Queuing started")
        return True
    if status == FLUSH_STAT_DENY:
        log.warning(f"reject: ETRN {clip(domain, 100)}... from {session.namaddr}")
        yield from chat_reply(session, f"459 <{domain}>: service unavailable")
        return False
    if status == FLUSH_STAT_BAD:
        log.warning(f"bad ETRN {clip(domain, 100)}... from {session.namaddr}")
    else:
        log.warning("unable to talk to fast flush service")
    yield from chat_reply(session, _UNABLE)
    return False
