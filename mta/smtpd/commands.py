"""HELO, EHLO, RSET, NOOP, VRFY, QUIT (RFC 5321)."""

from __future__ import annotations

from mta.dict.errors import TableError
from mta.lib.mail_error import MAIL_ERROR_POLICY, MAIL_ERROR_PROTOCOL
from mta.lib.namadr_list import NamadrList
from mta.lib.smtp_stream import SmtpDataError
from mta.smtpd import limits
from mta.smtpd.address import extract_addr
from mta.smtpd.chat import chat_reply, chat_reset
from mta.smtpd.milter import check_milter_reply, milters_of
from mta.smtpd.reset import helo_reset, mail_reset, rcpt_reset
from mta.smtpd.state import SMTPD_FLAG_SMTPUTF8, Session
from mta.smtpd.token import Token
from mta.system import Wait
from mta.wire.ehlo_mask import (
    EHLO_MASK_8BITMIME,
    EHLO_MASK_AUTH,
    EHLO_MASK_DSN,
    EHLO_MASK_ENHANCEDSTATUSCODES,
    EHLO_MASK_ETRN,
    EHLO_MASK_PIPELINING,
    EHLO_MASK_SILENT,
    EHLO_MASK_SIZE,
    EHLO_MASK_SMTPUTF8,
    EHLO_MASK_STARTTLS,
    EHLO_MASK_VERP,
    EHLO_MASK_VRFY,
    EHLO_MASK_XCLIENT,
    EHLO_MASK_XFORWARD,
    str_ehlo_mask,
)
from mta.wire.text import printable

#: Characters that would do harm in headers.
_NEUTER = str.maketrans(dict.fromkeys(' <>()\\";@', "?"))


def neuter(text: str) -> str:
    """The text with characters that have a meaning in headers replaced (NEUTER_CHARACTERS)."""
    return text.translate(_NEUTER)


def protocol_error(session: Session, text: str) -> Wait[bool]:
    """Refuses a command that the client should not have given so."""
    session.error_mask |= MAIL_ERROR_PROTOCOL
    yield from chat_reply(session, text)
    return False


def policy_error(session: Session, text: str) -> Wait[bool]:
    """Refuses a command that the client may not give."""
    session.error_mask |= MAIL_ERROR_POLICY
    yield from chat_reply(session, text)
    return False


def too_many_recipients(session: Session) -> Wait[bool]:
    """Counts a recipient; whether the client has sent too many in a while."""
    limit = session.process.conf.smtpd_client_recipient_rate_limit
    rate = yield from limits.rate(session, "recipient", limit)
    if not rate:
        return False
    session.process.log.warning(
        f"Recipient address rate limit exceeded: {rate} from {session.namaddr} "
        f"for service {session.service}"
    )
    yield from policy_error(session, f"450 4.7.1 Error: too many recipients from {session.addr}")
    return True


# -- HELO, EHLO -------------------------------------------------------------------------------


def helo_cmd(session: Session, argv: list[Token]) -> Wait[bool]:
    """HELO hostname."""
    greeted = yield from _greet(session, argv, "HELO")
    if greeted is None:
        return False
    if session.protocol.upper() not in ("ESMTP", "SMTP"):
        session.protocol = "SMTP"
    yield from chat_reply(session, f"250 {session.process.conf.myhostname}")
    return True


def ehlo_cmd(session: Session, argv: list[Token]) -> Wait[bool]:
    """EHLO hostname."""
    rejected = yield from _greet(session, argv, "EHLO")
    if rejected is None:
        return False
    if session.protocol.upper() != "ESMTP":
        session.protocol = "ESMTP"
    mask = session.ehlo_discard_mask
    if rejected.startswith("5"):
        mask |= ~EHLO_MASK_ENHANCEDSTATUSCODES
    if mask and not mask & (EHLO_MASK_ENHANCEDSTATUSCODES | EHLO_MASK_SILENT):
        session.process.log.info(f"discarding EHLO keywords: {str_ehlo_mask(mask)}")
    if session.ehlo_discard_error:
        session.process.log.warning(
            f"don't know what EHLO features to announce to {session.namaddr}"
        )
        raise SmtpDataError
    lines = yield from _ehlo_lines(session, mask)
    replies = [f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]
    if session.error_count < session.process.conf.smtpd_soft_error_limit:
        yield from chat_reply(session, "\r\n".join(replies))
    else:
        for reply in replies:  # each line waits for its time
            yield from chat_reply(session, reply)
    return True


def _greet(session: Session, argv: list[Token], command: str) -> Wait[str | None]:
    """The common part: None when the command was refused, else what a milter said, or nothing."""
    process = session.process
    if len(argv) < 2:
        yield from protocol_error(session, f"501 Syntax: {command} hostname")
        return None
    name = " ".join(token.text for token in argv[1:])
    if not session.stand_alone and not process.conf.smtpd_delay_reject:
        refusal = yield from session.server.checks.check_helo(session, name)
        if refusal is not None:
            yield from chat_reply(session, refusal)
            return None
    rejected = yield from _milter_helo(session, name, command == "EHLO")
    if rejected.startswith("421"):
        yield from chat_reply(session, rejected)
        return None
    yield from helo_reset(session)
    yield from chat_reset(session, process.conf.smtpd_history_flush_threshold)
    yield from mail_reset(session)
    rcpt_reset(session)
    session.helo_name = neuter(printable(name, "?", process.conf.smtputf8_enable))
    return rejected


def _milter_helo(session: Session, name: str, esmtp: bool) -> Wait[str]:
    """What the milters say of the name; a rejection other than 421 comes with MAIL FROM."""
    milters = milters_of(session)
    if milters is None:
        return ""
    reply = yield from milters.helo(session, name, esmtp)
    if reply is None:
        return ""
    saved, session.helo_name = session.helo_name, name
    reply = check_milter_reply(session, reply)
    session.helo_name = saved
    return reply or ""


def _ehlo_lines(session: Session, mask: int) -> Wait[list[str]]:
    """The host's name and the keywords that are on offer."""
    server = session.server
    conf = session.process.conf
    size = conf.message_size_limit
    lines = [conf.myhostname]
    if not mask & EHLO_MASK_PIPELINING:
        lines.append("PIPELINING")
    if not mask & EHLO_MASK_SIZE:
        lines.append(f"SIZE {size}" if size else "SIZE")
    if not mask & EHLO_MASK_VRFY and not conf.disable_vrfy_command:
        lines.append("VRFY")
    if not mask & EHLO_MASK_ETRN:
        lines.append("ETRN")
    if not mask & EHLO_MASK_STARTTLS and not session.stand_alone:
        if server.use_tls and session.tls_context is None:
            lines.append("STARTTLS")
    if not mask & EHLO_MASK_AUTH and session.sasl_server is not None:
        if not (yield from _auth_hidden(session)):
            lines.append(f"AUTH {session.sasl_mechanism_list}")
            if conf.broken_sasl_auth_clients:
                lines.append(f"AUTH={session.sasl_mechanism_list}")
    if not mask & EHLO_MASK_VERP:
        if (yield from _announced(session, server.verp_clients, "XVERP")):
            lines.append("XVERP")
    if not mask & EHLO_MASK_XCLIENT:
        if session.xclient_allowed:
            lines.append("XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN")
        elif session.xclient_error:
            cannot(session, "EHLO feature", "XCLIENT", "announced to")
    if not mask & EHLO_MASK_XFORWARD:
        if session.xforward_allowed:
            lines.append("XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT")
        elif session.xforward_error:
            cannot(session, "EHLO feature", "XFORWARD", "announced to")
    if not mask & EHLO_MASK_ENHANCEDSTATUSCODES:
        lines.append("ENHANCEDSTATUSCODES")
    if not mask & EHLO_MASK_8BITMIME:
        lines.append("8BITMIME")
    if not mask & EHLO_MASK_DSN:
        lines.append("DSN")
    if conf.smtputf8_enable and not mask & EHLO_MASK_SMTPUTF8:
        lines.append("SMTPUTF8")
    return lines


def _auth_hidden(session: Session) -> Wait[bool]:
    """``smtpd_sasl_exceptions_networks``: clients that must not see AUTH."""
    networks = session.server.sasl_exceptions
    if networks is None:
        return False
    return (yield from _announced(session, networks, "AUTH"))


def _announced(session: Session, clients: NamadrList, feature: str) -> Wait[bool]:
    try:
        return (yield from clients.match(session.name, session.addr))
    except TableError:
        cannot(session, "EHLO feature", feature, "announced to")
    return False


def cannot(session: Session, what: str, feature: str, done: str) -> None:
    """A list that decides cannot be searched: the session ends.  Raises SmtpDataError."""
    session.process.log.warning(
        f"don't know if {what} {feature} should be {done} {session.namaddr}"
    )
    raise SmtpDataError


# -- RSET, NOOP, VRFY, QUIT -------------------------------------------------------------------


def rset_cmd(session: Session, argv: list[Token]) -> Wait[bool]:
    """RSET."""
    if len(argv) != 1:
        return (yield from protocol_error(session, "501 5.5.4 Syntax: RSET"))
    yield from chat_reset(session, session.process.conf.smtpd_history_flush_threshold)
    yield from mail_reset(session)
    rcpt_reset(session)
    yield from chat_reply(session, "250 2.0.0 Ok")
    return True


def noop_cmd(session: Session, argv: list[Token]) -> Wait[bool]:
    """NOOP [anything]."""
    yield from chat_reply(session, "250 2.0.0 Ok")
    return True


def vrfy_cmd(session: Session, argv: list[Token]) -> Wait[bool]:
    """VRFY address [SMTPUTF8]: as much as RCPT would say."""
    conf = session.process.conf
    utf8_known = conf.smtputf8_enable and not session.ehlo_discard_mask & EHLO_MASK_SMTPUTF8
    if conf.disable_vrfy_command:
        return (yield from policy_error(session, "502 5.5.1 VRFY command is disabled"))
    smtputf8 = utf8_known and len(argv) > 1 and argv[-1].text.upper() == "SMTPUTF8"
    words = argv[1:-1] if smtputf8 else argv[1:]
    if not words:
        syntax = "501 5.5.4 Syntax: VRFY address"
        if conf.smtputf8_enable:
            syntax += " [SMTPUTF8]"
        return (yield from protocol_error(session, syntax))
    if (yield from too_many_recipients(session)):
        return False
    if session.milters is not None:
        pending = session.milters.other_event(session)
        if pending is not None and pending[:1] in ("4", "5"):
            return (yield from policy_error(session, pending))
    text = " ".join(token.text for token in words)
    address = yield from extract_addr(session, Token(text), False, False, smtputf8)
    if address is None:
        return (yield from protocol_error(session, "501 5.1.3 Bad recipient address syntax"))
    if conf.strict_smtputf8 and not smtputf8 and not address.isascii():
        yield from mail_reset(session)
        yield from chat_reply(session, "553 5.6.7 Must declare SMTPUTF8 to send unicode address")
        return False
    if not session.stand_alone:
        saved = session.flags
        if smtputf8:
            session.flags |= SMTPD_FLAG_SMTPUTF8
        refusal = yield from session.server.checks.check_rcpt(session, address)
        session.flags = saved
        if refusal is not None:
            yield from chat_reply(session, refusal)
            return False
    yield from chat_reply(session, f"252 2.0.0 {text}")
    return True


def quit_cmd(session: Session, argv: list[Token]) -> Wait[bool]:
    """QUIT.  Replies that wait with this one are sent before the session is cleaned up."""
    pending = session.client.out_pending > 0
    yield from chat_reply(session, "221 2.0.0 Bye")
    if pending:
        yield from session.client.flush()
    return True
