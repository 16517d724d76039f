"""MAIL FROM and its parameters (mail_cmd)."""

from __future__ import annotations

from dataclasses import dataclass

from mta.dict.errors import TableError
from mta.lib.dsn_mask import dsn_ret_code
from mta.lib.namadr_list import NamadrList
from mta.lib.verify_sender_addr import valid_verify_sender_addr
from mta.smtpd import limits
from mta.smtpd.address import extract_addr
from mta.smtpd.chat import chat_reply
from mta.smtpd.commands import policy_error, protocol_error
from mta.smtpd.envelope import mail_open_stream
from mta.smtpd.milter import check_milter_reply, milters_of
from mta.smtpd.reset import mail_reset
from mta.smtpd.sasl import sasl_mail_opt
from mta.smtpd.server import SMTPD_PROXY_FLAG_SPEED_ADJUST
from mta.smtpd.state import SMTPD_FLAG_SMTPUTF8, Session
from mta.smtpd.token import Token
from mta.system import Wait
from mta.util.scalars import all_digits, parse_offset
from mta.wire.ehlo_mask import EHLO_MASK_DSN, EHLO_MASK_SMTPUTF8
from mta.wire.quote import xtext_unquote
from mta.wire.verp import verp_delims_verify

_BAD_SENDER = "501 5.1.7 Bad sender address syntax"
DSN_DISABLED = "501 5.7.1 DSN support is disabled"
MUST_DECLARE = "553 5.6.7 Must declare SMTPUTF8 to send unicode address"


@dataclass(slots=True)
class _Options:
    """What becomes of the session when the command is accepted."""

    verp_delims: str | None = None
    dsn_envid: str | None = None


def mail_cmd(session: Session, argv: list[Token]) -> Wait[bool]:
    """MAIL FROM:<address> [parameters]."""
    session.flags &= ~SMTPD_FLAG_SMTPUTF8
    session.encoding = None
    session.dsn_ret = 0
    if not (yield from _in_order(session, argv)):
        return False
    sender = yield from _sender(session, argv)
    if sender is None:
        return (yield from protocol_error(session, _BAD_SENDER))
    options = yield from _parse_options(session, argv[3:])
    if options is None:
        return False
    refusal = yield from session.server.checks.check_size(session, session.msg_size)
    if refusal is not None:
        yield from chat_reply(session, refusal)
        return False
    if options.verp_delims is not None and not sender:
        yield from chat_reply(session, "503 5.5.4 Error: XVERP requires non-null sender")
        return False
    if not session.stand_alone:
        probe = yield from valid_verify_sender_addr(session.process, sender)
        sender = sender if probe is None else probe
        if not (yield from _checked(session, sender, argv)):
            return False
    if not (yield from unicode_allowed(session, "sender", sender)):
        return False
    if not (yield from _room(session)):
        return False
    return (yield from _begin(session, sender, options))


def _in_order(session: Session, argv: list[Token]) -> Wait[bool]:
    """Whether the command comes at its time and in its form."""
    conf = session.process.conf
    if conf.smtpd_helo_required and session.helo_name is None:
        return (yield from policy_error(session, "503 5.5.1 Error: send HELO/EHLO first"))
    if session.in_mail_transaction:
        return (yield from protocol_error(session, "503 5.5.1 Error: nested MAIL command"))
    if len(argv) < 3 or argv[1].text.lower() != "from:":
        return (yield from protocol_error(session, "501 5.5.4 Syntax: MAIL FROM:<address>"))
    rate = yield from limits.rate(session, "message", conf.smtpd_client_message_rate_limit)
    if rate:
        yield from policy_error(session, f"450 4.7.1 Error: too much mail from {session.addr}")
        session.process.log.warning(
            f"Message delivery request rate limit exceeded: {rate} from {session.namaddr} "
            f"for service {session.service}"
        )
        return False
    return True


def _sender(session: Session, argv: list[Token]) -> Wait[str | None]:
    """The sender, which may be empty; None for what is no address.  SMTPUTF8 decides what is one,
    so it is looked for first.
    """
    if argv[2].bad:
        return None
    if _smtputf8_known(session):
        if any(token.text.upper() == "SMTPUTF8" for token in argv[3:]):
            session.flags |= SMTPD_FLAG_SMTPUTF8
    strict = session.process.conf.strict_rfc821_envelopes
    smtputf8 = bool(session.flags & SMTPD_FLAG_SMTPUTF8)
    return (yield from extract_addr(session, argv[2], True, strict, smtputf8))


def _smtputf8_known(session: Session) -> bool:
    return bool(
        session.process.conf.smtputf8_enable and not session.ehlo_discard_mask & EHLO_MASK_SMTPUTF8
    )


def _parse_options(session: Session, words: list[Token]) -> Wait[_Options | None]:
    """The parameters; None when one of them was refused."""
    options = _Options()
    for word in words:
        text = word.text
        name, equals, value = text.partition("=")
        keyword = name.upper() + equals
        if text.upper() == "BODY=8BITMIME":
            session.encoding = "8bit"
        elif text.upper() == "BODY=7BIT":
            session.encoding = "7bit"
        elif keyword == "SIZE=":
            if not (yield from _size(session, value)):
                return None
        elif text.upper() == "SMTPUTF8" and _smtputf8_known(session):
            pass
        elif keyword == "AUTH=":
            error = sasl_mail_opt(session, value)
            if error is not None:
                yield from chat_reply(session, error)
                return None
        elif keyword in ("XVERP", "XVERP=") and (yield from _verp_allowed(session)):
            if not (yield from _verp(session, options, value if equals else None)):
                return None
        elif keyword == "RET=":
            if not (yield from _ret(session, value)):
                return None
        elif keyword == "ENVID=":
            if not (yield from _envid(session, options, value)):
                return None
        else:
            yield from protocol_error(session, f"555 5.5.4 Unsupported option: {text}")
            return None
    return options


def _size(session: Session, value: str) -> Wait[bool]:
    """SIZE= (RFC 1870)."""
    if not all_digits(value):
        return (yield from protocol_error(session, "501 5.5.4 Bad message size syntax"))
    session.msg_size = parse_offset(value)
    if session.msg_size < 0:
        return (
            yield from policy_error(
                session, "552 5.3.4 Message size exceeds file system imposed limit"
            )
        )
    return True


def _verp_allowed(session: Session) -> Wait[bool]:
    clients: NamadrList = session.server.verp_clients
    try:
        return (yield from clients.match(session.name, session.addr))
    except TableError:
        return False


def _verp(session: Session, options: _Options, value: str | None) -> Wait[bool]:
    """XVERP[=xy] (VERP_README)."""
    conf = session.process.conf
    allowed = conf.verp_delimiter_filter
    options.verp_delims = conf.default_verp_delimiters if value is None else value
    if value is not None and verp_delims_verify(value, allowed) is not None:
        return (
            yield from protocol_error(
                session, f"501 5.5.4 Error: XVERP needs two characters from {allowed}"
            )
        )
    return True


def _ret(session: Session, value: str) -> Wait[bool]:
    """RET= (RFC 3461)."""
    if session.ehlo_discard_mask & EHLO_MASK_DSN:
        return (yield from protocol_error(session, DSN_DISABLED))
    if not session.dsn_ret:
        session.dsn_ret = dsn_ret_code(value)
        if session.dsn_ret:
            return True
    return (yield from protocol_error(session, "501 5.5.4 Bad RET parameter syntax"))


def _envid(session: Session, options: _Options, value: str) -> Wait[bool]:
    """ENVID= (RFC 3461)."""
    if session.ehlo_discard_mask & EHLO_MASK_DSN:
        return (yield from protocol_error(session, DSN_DISABLED))
    plain = xtext_unquote(value)
    if options.dsn_envid is None and plain and plain.isascii() and plain.isprintable():
        options.dsn_envid = plain
        return True
    return (yield from protocol_error(session, "501 5.5.4 Bad ENVID parameter syntax"))


def _checked(session: Session, sender: str, argv: list[Token]) -> Wait[bool]:
    """Access checks that are not delayed, milters, and the rewriting context."""
    checks = session.server.checks
    refusal: str | None = None
    if not session.process.conf.smtpd_delay_reject:
        refusal = yield from checks.check_mail(session, sender)
    milters = milters_of(session)
    if refusal is None and milters is not None:
        saved, session.sender = session.sender, sender
        refusal = yield from milters.mail(session, [token.text for token in argv[2:]])
        if refusal is not None:
            refusal = check_milter_reply(session, refusal)
        session.sender = saved
    if refusal is None:
        refusal = yield from checks.check_rewrite(session)
    return (yield from _accepted(session, refusal))


def _accepted(session: Session, refusal: str | None) -> Wait[bool]:
    """Whether there is no refusal; it undoes what access tables have decided."""
    if refusal is None:
        return True
    yield from mail_reset(session)
    yield from chat_reply(session, refusal)
    return False


def unicode_allowed(session: Session, what: str, address: str) -> Wait[bool]:
    """Whether the sender or recipient may have characters that are not ASCII.

    Where ``smtputf8_enable`` is off by default alone, mail that needs it leaves a line in the log
    (COMPATIBILITY_README).
    """
    if address.isascii() or session.flags & SMTPD_FLAG_SMTPUTF8:
        return True
    if session.process.conf.strict_smtputf8:
        yield from chat_reply(session, MUST_DECLARE)
        return False
    if session.process.conf.warn_compat_break_smtputf8_enable:
        session.process.log.info(
            "using backwards-compatible default setting smtputf8_enable=no to accept non-ASCII "
            f'{what} address "{address}" from {session.namaddr}'
        )
    return True


def _room(session: Session) -> Wait[bool]:
    """Whether the queue has room for the message, where it comes there at once."""
    if session.stand_alone:
        return True
    if session.use_proxy and not session.server.proxy_options & SMTPD_PROXY_FLAG_SPEED_ADJUST:
        return True
    refusal = yield from session.server.checks.check_queue(session)
    return (yield from _accepted(session, refusal))


def _begin(session: Session, sender: str, options: _Options) -> Wait[bool]:
    """The transaction has begun."""
    process = session.process
    session.arrival_time = process.now()
    session.sender = sender
    seconds, micros = divmod(session.arrival_time, 1_000_000)
    session.instance = f"{process.pid:x}.{seconds:x}.{micros:x}.{session.seqno:x}"
    session.seqno += 1
    session.verp_delims = options.verp_delims
    session.dsn_envid = options.dsn_envid
    if session.use_proxy:
        session.proxy_mail = session.buffer
    if not process.conf.smtpd_delay_open_until_valid_rcpt:
        if not (yield from mail_open_stream(session)):
            yield from mail_reset(session)
            return False
    yield from chat_reply(session, "250 2.1.0 Ok")
    return True
