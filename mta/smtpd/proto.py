"""The conversation: greeting, commands, the end (smtpd_proto)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mta.dict.errors import TableError
from mta.lib.mail_error import MAIL_ERROR_DATA, MAIL_ERROR_POLICY, MAIL_ERROR_PROTOCOL
from mta.lib.smtp_stream import SmtpDataError, SmtpEof, SmtpError, SmtpQuiet, SmtpTimeout
from mta.lib.string_list import StringList
from mta.smtpd import limits, sasl
from mta.smtpd.chat import chat_query, chat_reply, chat_reset, clip
from mta.smtpd.commands import ehlo_cmd, helo_cmd, noop_cmd, quit_cmd, rset_cmd, vrfy_cmd
from mta.smtpd.data import data_cmd
from mta.smtpd.etrn import etrn_cmd
from mta.smtpd.mail import mail_cmd
from mta.smtpd.milter import check_milter_reply
from mta.smtpd.rcpt import rcpt_cmd
from mta.smtpd.reset import helo_reset, mail_reset, rcpt_reset
from mta.smtpd.state import (
    SMTPD_AFTER_DATA,
    SMTPD_AFTER_DOT,
    SMTPD_CMD_DATA,
    SMTPD_CMD_UNKNOWN,
    SMTPD_FLAG_HANGUP,
    SMTPD_FLAG_ILL_PIPELINING,
    Session,
)
from mta.smtpd.tls import starttls_cmd, tls_reset, wrapper_mode
from mta.smtpd.token import Token, smtpd_token
from mta.smtpd.xclient import Restart, xclient_cmd
from mta.smtpd.xforward import xforward_cmd
from mta.system import Wait
from mta.util.escape import escape
from mta.wire.ehlo_mask import ehlo_mask
from mta.wire.header_opts import is_header
from mta.wire.text import printable

REASON_TIMEOUT = "timeout"
REASON_LOST_CONNECTION = "lost connection"
REASON_ERROR_LIMIT = "too many errors"

LIMIT = 1 << 0  #: counts against smtpd_junk_command_limit
PRE_TLS = 1 << 1  #: allowed before STARTTLS
LAST = 1 << 2  #: the last of a group of pipelined commands

Action = Callable[[Session, list[Token]], Wait[bool]]


class Command(NamedTuple):
    """A row of the table of commands."""

    name: str
    action: Action
    flags: int = 0


#: All commands, in the order of the session's fingerprint.
COMMANDS = {
    command.name: command
    for command in (
        Command("HELO", helo_cmd, LIMIT | PRE_TLS | LAST),
        Command("EHLO", ehlo_cmd, LIMIT | PRE_TLS | LAST),
        Command("XCLIENT", xclient_cmd),
        Command("XFORWARD", xforward_cmd),
        Command("STARTTLS", starttls_cmd, PRE_TLS),
        Command("AUTH", sasl.auth_cmd),
        Command("MAIL", mail_cmd),
        Command("RCPT", rcpt_cmd),
        Command("DATA", data_cmd, LAST),
        Command("RSET", rset_cmd, LIMIT),
        Command("NOOP", noop_cmd, LIMIT | PRE_TLS | LAST),
        Command("VRFY", vrfy_cmd, LIMIT | LAST),
        Command("ETRN", etrn_cmd, LIMIT),
        Command("QUIT", quit_cmd, PRE_TLS),
    )
}
_UNKNOWN = "unknown"


def smtpd_proto(session: Session) -> Wait[None]:
    """Talks with a client until one of both ends it, and cleans up."""
    conf = session.process.conf
    session.client.setup(conf.smtpd_timeout, conf.smtpd_per_record_deadline)
    failure = False
    try:
        while True:
            try:
                yield from _converse(session)
                break
            except Restart:
                continue
    except SmtpTimeout:
        session.reason = REASON_TIMEOUT
        failure = True
        yield from _last_words(session, f"421 4.4.2 {conf.myhostname} Error: timeout exceeded")
    except SmtpEof:
        session.reason = REASON_LOST_CONNECTION
        failure = True
    except SmtpQuiet:
        failure = True
    except SmtpDataError:
        text = f"421 4.3.0 {conf.myhostname} Server local data error"
        session.process.log.info(
            f"{session.queue_id or 'NOQUEUE'}: reject: {session.where} from "
            f"{session.namaddr}: {text}"
        )
        session.error_mask |= MAIL_ERROR_DATA
        yield from _last_words(session, text)
    yield from _end(session, failure)


def _last_words(session: Session, text: str) -> Wait[None]:
    try:
        yield from chat_reply(session, text)
    except SmtpError:
        pass


def _end(session: Session, failure: bool) -> Wait[None]:
    """The session is over, for whatever reason."""
    if (yield from limits.limited(session)):
        yield from limits.event(session, "disconnect")
    _log_reason(session)
    yield from tls_reset(session, failure)
    yield from helo_reset(session)
    sasl.sasl_logout(session)
    if session.sasl_server is not None:
        sasl.sasl_deactivate(session)
    yield from chat_reset(session, 0)
    yield from mail_reset(session)
    rcpt_reset(session)
    if session.milters is not None:
        yield from session.milters.disconnect(session)


def _log_reason(session: Session) -> None:
    """Logs an end that was not in good order, and the stage at which it came."""
    reason = session.reason
    if reason is None:
        return
    log = session.process.log
    if session.where == SMTPD_AFTER_DATA:
        log.info(
            f"{reason} after {SMTPD_CMD_DATA} ({session.act_size} bytes) from {session.namaddr}"
        )
    elif session.where != SMTPD_AFTER_DOT or reason != REASON_LOST_CONNECTION:
        log.info(f"{reason} after {session.where} from {session.namaddr}")


def fingerprint(session: Session) -> str:
    """How often each command was given, and how often with success, for the log."""
    text = ""
    success = total = 0
    for name in (*COMMANDS, _UNKNOWN):
        counts = session.command_counts.get(name)
        if counts is None:
            continue
        text += f" {name.lower()}={counts.success}"
        if counts.success != counts.total:
            text += f"/{counts.total}"
        success += counts.success
        total += counts.total
    text += f" commands={success}"
    return text if success == total and total else f"{text}/{total}"


# -- the greeting -----------------------------------------------------------------------------


def _converse(session: Session) -> Wait[None]:
    server = session.server
    session.command_counts = {}
    if not session.stand_alone and server.wrapper_mode:
        if not (yield from wrapper_mode(session)):
            return
    if not (yield from _count_connection(session)):
        return
    yield from _set_ehlo_mask(session)
    yield from _greet(session)
    conf = session.process.conf
    if (
        conf.smtpd_sasl_auth_enable
        and not session.stand_alone
        and session.sasl_server is None
        and session.tls_context is None
        and not server.tls_auth_only
    ):
        yield from sasl.sasl_activate(session)
    yield from _commands(session)


def _count_connection(session: Session) -> Wait[bool]:
    """Tells anvil(8) of the client; False where it has too many connections."""
    if not (yield from limits.limited(session)):
        return True
    reply = yield from limits.event(session, "connect")
    if reply is None:
        return True
    conf = session.process.conf
    session.conn_count = reply.count
    if 0 < conf.smtpd_client_connection_count_limit < reply.count:
        session.error_mask |= MAIL_ERROR_POLICY
        what = f"Connection concurrency limit exceeded: {reply.count}"
    elif 0 < conf.smtpd_client_connection_rate_limit < reply.rate:
        what = f"Connection rate limit exceeded: {reply.rate}"
    else:
        return True
    session.process.log.warning(f"{what} from {session.namaddr} for service {session.service}")
    yield from chat_reply(
        session, f"421 4.7.0 {conf.myhostname} Error: too many connections from {session.addr}"
    )
    return False


def _set_ehlo_mask(session: Session) -> Wait[None]:
    """Which EHLO keywords the client does not get to see."""
    maps = session.server.ehlo_discard_maps
    words: str | None = None
    session.ehlo_discard_error = False
    if maps is not None:
        try:
            words = yield from maps.find(session.addr)
        except TableError:
            session.ehlo_discard_error = True
    if words is None:
        words = session.process.conf.smtpd_discard_ehlo_keywords
    session.ehlo_discard_mask = ehlo_mask(words)


def _greet(session: Session) -> Wait[None]:
    conf = session.process.conf
    refusal: str | None = None
    if not session.stand_alone and not conf.smtpd_delay_reject:
        refusal = yield from session.server.checks.check_client(session)
    if refusal is not None:
        session.error_mask |= MAIL_ERROR_POLICY
        session.access_denied = refusal
        yield from chat_reply(session, refusal)
        session.error_count += 1
        return
    reply: str | None = None
    if session.milters is not None:
        reply = yield from session.milters.connect(session)
        if reply is not None:
            reply = check_milter_reply(session, reply)
    if reply is not None and reply.startswith("5"):
        session.error_mask |= MAIL_ERROR_POLICY
        yield from chat_reply(session, f"554 {conf.myhostname} ESMTP not accepting connections")
        session.error_count += 1
    elif reply is not None and reply.startswith("421"):
        session.error_mask |= MAIL_ERROR_POLICY
        yield from chat_reply(
            session, f"421 {conf.myhostname} Service unavailable - try again later"
        )
    else:
        yield from chat_reply(session, f"220 {conf.smtpd_banner}")


# -- commands ---------------------------------------------------------------------------------


def _commands(session: Session) -> Wait[None]:
    """Reads and executes commands."""
    conf = session.process.conf
    hard_limit = conf.smtpd_hard_error_limit
    utf8 = conf.smtputf8_enable
    while not session.flags & SMTPD_FLAG_HANGUP:
        if session.error_count >= hard_limit:
            session.reason = REASON_ERROR_LIMIT
            session.error_mask |= MAIL_ERROR_PROTOCOL
            yield from chat_reply(session, f"421 4.7.0 {conf.myhostname} Error: too many errors")
            return
        data = yield from chat_query(session)
        if utf8 and not data.isascii() and not _valid_utf8(data):
            yield from _error(session, "500 5.5.2 Error: bad UTF-8 syntax")
            continue
        if session.server.command_filter is not None:
            yield from _filter_command(session)
        argv = smtpd_token(session.buffer)
        if not argv:
            yield from _error(session, "500 5.5.2 Error: bad syntax")
            continue
        if (yield from _listed(session.server.noop_commands, argv[0].text)):
            yield from chat_reply(session, "250 2.0.0 Ok")
            _count_junk(session)
            continue
        if not (yield from _execute(session, argv)):
            return


def _error(session: Session, text: str) -> Wait[None]:
    session.error_mask |= MAIL_ERROR_PROTOCOL
    yield from chat_reply(session, text)
    session.error_count += 1


def _count_junk(session: Session) -> None:
    if session.junk_cmds > session.process.conf.smtpd_junk_command_limit:
        session.error_count += 1
    session.junk_cmds += 1


def _valid_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _listed(commands: StringList, name: str) -> Wait[bool]:
    """Whether a command is in a list; a table that fails counts for nothing."""
    if not commands:
        return False
    try:
        return (yield from commands.match(name))
    except TableError:
        return False


def _filter_command(session: Session) -> Wait[None]:
    """``smtpd_command_filter``: repairs what broken clients say."""
    table = session.server.command_filter
    log = session.process.log
    key = session.buffer.lstrip(" \t")
    try:
        value = (yield from table.lookup(key)) if table.remote else table.get(key)
    except TableError:
        shown = printable(session.buffer, "?", session.process.conf.smtputf8_enable)
        log.warning(f'{table.name} lookup error for "{clip(shown, 100)}"')
        raise SmtpDataError from None
    if value is not None:
        log.info(
            f'{session.namaddr}: replacing command "{clip(session.buffer, 100)}" '
            f'with "{clip(value, 100)}"'
        )
        session.buffer = value


def _execute(session: Session, argv: list[Token]) -> Wait[bool]:
    """Executes a command; False where the session ends with it."""
    server = session.server
    command = COMMANDS.get(argv[0].text.upper())
    counts = session.count(command.name if command is not None else _UNKNOWN)
    if command is None:
        session.where = SMTPD_CMD_UNKNOWN
        name = argv[0].text
        if is_header(name) or (yield from _listed(server.forbidden_commands, name)):
            session.process.log.warning(
                f"non-SMTP command from {session.namaddr}: {clip(session.buffer, 100)}"
            )
            yield from chat_reply(session, "221 2.7.0 Error: I can break rules, too. Goodbye.")
            return False
    if session.access_denied is not None and (command is None or command.action is not quit_cmd):
        yield from _denied(session, session.access_denied)
        return True
    if command is None:
        yield from _unknown_command(session, argv[0].text)
        return True
    if server.enforce_tls and session.tls_context is None and not command.flags & PRE_TLS:
        yield from chat_reply(session, "530 5.7.0 Must issue a STARTTLS command first")
        session.error_count += 1
        return True
    session.where = command.name
    if (
        (command.flags & LAST or session.protocol.upper() != "ESMTP")
        and session.client.readable
        and not session.flags & SMTPD_FLAG_ILL_PIPELINING
        and not session.stand_alone
    ):
        session.process.log.info(
            f"improper command pipelining after {command.name} from {session.namaddr}: "
            f"{escape(session.client.peek()[:100])}"
        )
        session.flags |= SMTPD_FLAG_ILL_PIPELINING
    if (yield from command.action(session, argv)):
        counts.success += 1
    else:
        session.error_count += 1
    if command.flags & LIMIT:
        _count_junk(session)
    return command.action is not quit_cmd


def _denied(session: Session, refusal: str) -> Wait[None]:
    """The client was refused when it connected."""
    if refusal[1:3] == "21":
        yield from chat_reply(session, refusal)
        return
    yield from chat_reply(session, f"503 5.7.0 Error: access denied for {session.namaddr}")
    session.error_count += 1


def _unknown_command(session: Session, name: str) -> Wait[None]:
    reply: str | None = None
    if session.milters is not None:
        reply = yield from session.milters.unknown(session, name)
        if reply is not None:
            reply = check_milter_reply(session, reply)
    yield from chat_reply(
        session, "502 5.5.2 Error: command not recognized" if reply is None else reply
    )
    session.error_mask |= MAIL_ERROR_PROTOCOL
    session.error_count += 1
