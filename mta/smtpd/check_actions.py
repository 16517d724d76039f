"""What the right-hand side of an access table can say, access(5) (check_table_result).

An action is a function with the decorator :func:`action`.  What is no action is a list of
restrictions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from mta.lib.mail_error import MAIL_ERROR_POLICY
from mta.lib.requests import CLEANUP_FLAG_DISCARD, CLEANUP_FLAG_HOLD
from mta.lib.smtp_stream import SmtpQuiet
from mta.smtpd.check_evaluate import generic_checks
from mta.smtpd.check_registry import (
    SMTPD_CHECK_DUNNO,
    SMTPD_CHECK_OK,
    RestrictionList,
    Scope,
)
from mta.smtpd.check_reject import (
    DEFER_IF_PERMIT_ACT,
    acl_permit,
    defer_if,
    defer_if_permit,
    log_whatsup,
    reject_policy,
    reject_server_error,
    smtpd_dsn_fix,
)
from mta.smtpd.state import SMTPD_AFTER_DOT, SMTPD_CMD_ETRN, Session
from mta.system import Wait
from mta.util.scalars import all_digits
from mta.wire.dsn import dsn_split
from mta.wire.header_opts import is_header

_COMMAND = re.compile(r"[^ \t]*")
_SPACES = " \t\r\n\f\v"
_CODE = re.compile(r"[45][0-9][0-9]")
_MAX_RECURSION = 100


class Result(NamedTuple):
    """A result of an access table (or of a policy server) and what it is about."""

    scope: Scope
    table: str  #: ``type:name``, or the policy server
    key: str  #: what was looked for
    command: str  #: the action as it is written
    text: str  #: what follows it
    reply_name: str
    reply_class: str
    behind: str = ""  #: what lies in memory behind the value (see ValueBuffer)

    @property
    def session(self) -> Session:
        """The conversation."""
        return self.scope.session

    def warn(self, text: str) -> int:
        """Complains of an action that cannot be used."""
        self.session.process.log.warning(f"access table {self.table}{text}")
        return SMTPD_CHECK_DUNNO

    def subject(self, default: str) -> str:
        """``<x>: Sender address text`` for the log."""
        return f"<{self.reply_name}>: {self.reply_class} {default}"

    def refusal(self, default_dsn: str, default: str) -> tuple[str, str]:
        """Status and reason for ``[status] [text]``.  Where nothing follows the status, Postfix 3.0
        reads on behind the end of the value.
        """
        status, text = dsn_split(default_dsn, self.text)
        if not text and self.behind and self.text == status:
            text = self.behind.lstrip(_SPACES)
        status = smtpd_dsn_fix(self.session, status, self.reply_class)
        return status, f"<{self.reply_name}>: {self.reply_class} rejected: {text or default}"

    def permit(self) -> Wait[int]:
        """Permits, because of the table."""
        return acl_permit(
            self.scope, self.command, self.reply_class, self.reply_name, f"from {self.table}"
        )


#: Actions by their names, in upper case.  They return SMTPD_CHECK_*, or a generator that does.
ACTIONS: dict[str, Callable[[Result], Any]] = {}

A = TypeVar("A", bound=Callable[[Result], Any])


def action(*names: str) -> Callable[[A], A]:
    """Registers an action under its names."""

    def register(run: A) -> A:
        for name in names:
            ACTIONS[name] = run
        return run

    return register


def check_table_result(
    scope: Scope,
    table: str,
    value: str,
    key: str,
    reply_name: str,
    reply_class: str,
    behind: str = "",
) -> Wait[int]:
    """Does what a table says.  Raises Jump, SmtpQuiet."""
    match = _COMMAND.match(value)
    command = match[0] if match else ""
    text = value[len(command) :].lstrip(_SPACES)
    result = Result(scope, table, key, command, text, reply_name, reply_class, behind)
    run = ACTIONS.get(command.upper())
    if run is None and all_digits(value):
        run = permit
    if run is None and len(command) == 3 and text and _CODE.fullmatch(command):
        run = _reject_code
    if run is None:
        return (yield from _restrictions(result, value))
    status = run(result)
    return status if isinstance(status, int) else (yield from status)


@action("OK", "RELAY")
def permit(result: Result) -> Wait[int]:
    """Permits; so does a number, which may be a time stamp."""
    return result.permit()


@action("DUNNO")
def dunno(result: Result) -> int:
    """As if there were no such key, but less specific keys are not looked for."""
    return SMTPD_CHECK_DUNNO


@action("REJECT")
def reject(result: Result) -> int:
    """Rejects (``access_map_reject_code``)."""
    status, reason = result.refusal("5.7.1", "Access denied")
    code = result.session.process.conf.access_map_reject_code
    return reject_policy(result.session, code, status, reason)


@action("DEFER")
def defer(result: Result) -> int:
    """Rejects for now (``access_map_defer_code``)."""
    status, reason = result.refusal("4.7.1", "Access denied")
    code = result.session.process.conf.access_map_defer_code
    return reject_policy(result.session, code, status, reason)


def _reject_code(result: Result) -> int:
    """``4NN text``, ``5NN text``."""
    status, reason = result.refusal(f"{result.command[0]}.7.1", "Access denied")
    return reject_policy(result.session, int(result.command), status, reason)


@action("DEFER_IF_PERMIT")
def defer_if_permitted(result: Result) -> int:
    """Turns a later permission into a 4xx."""
    status, reason = result.refusal("4.7.1", "Service unavailable")
    session = result.session
    code = session.process.conf.access_map_defer_code
    return defer_if_permit(session, DEFER_IF_PERMIT_ACT, MAIL_ERROR_POLICY, code, status, reason)


@action("DEFER_IF_REJECT")
def defer_if_rejected(result: Result) -> int:
    """Turns a later rejection into a 4xx."""
    status, reason = result.refusal("4.7.1", "Service unavailable")
    session = result.session
    code = session.process.conf.access_map_defer_code
    return defer_if(session.defer_if_reject, MAIL_ERROR_POLICY, code, status, reason)


@action("HANGUP")
def hangup(result: Result) -> int:
    """Cuts the line without a word.  Raises SmtpQuiet."""
    result.session.client.stream.close()
    log_whatsup(result.session, "hangup", result.text)
    raise SmtpQuiet


@action("INFO")
def info(result: Result) -> int:
    """A line in the log."""
    log_whatsup(result.session, "info", result.text)
    return SMTPD_CHECK_DUNNO


@action("WARN")
def warn(result: Result) -> int:
    """A line in the log."""
    log_whatsup(result.session, "warn", result.text)
    return SMTPD_CHECK_DUNNO


def _can_delegate(result: Result, name: str) -> bool:
    """Whether cleanup(8) will see the message, so that it can do what the table wants."""
    session = result.session
    if session.use_proxy:
        result.warn(f": with smtpd_proxy_filter specified, action {name} is unavailable")
        return False
    if session.where == SMTPD_CMD_ETRN:
        result.warn(f": action {name} is unavailable in smtpd_etrn_restrictions")
        return False
    return _in_transaction(result, name)


def _in_transaction(result: Result, name: str) -> bool:
    """Whether there is a message at all."""
    if result.session.sender is not None:
        return True
    result.warn(
        f": with smtpd_delay_reject=no, action {name} is always skipped in "
        "Client host or Helo command restrictions"
    )
    return False


@action("FILTER")
def filter(result: Result) -> int:
    """The message goes through a content filter: ``FILTER transport:destination``."""
    if not _can_delegate(result, "FILTER"):
        return SMTPD_CHECK_DUNNO
    if not result.text:
        return result.warn(f' entry "{result.key}" has FILTER entry without value')
    if ":" not in result.text:
        return result.warn(f' entry "{result.key}" requires transport:destination')
    log_whatsup(result.session, "filter", result.subject(f"triggers FILTER {result.text}"))
    result.session.saved_filter = result.text
    return SMTPD_CHECK_DUNNO


@action("HOLD")
def hold(result: Result) -> int:
    """The message stays in the hold queue."""
    session = result.session
    if not _can_delegate(result, "HOLD") or session.saved_flags & CLEANUP_FLAG_HOLD:
        return SMTPD_CHECK_DUNNO
    log_whatsup(session, "hold", result.subject(result.text or "triggers HOLD action"))
    session.saved_flags |= CLEANUP_FLAG_HOLD
    return SMTPD_CHECK_DUNNO


@action("DISCARD")
def discard(result: Result) -> int | Wait[int]:
    """The message is thrown away, and the client hears of success."""
    session = result.session
    if not _can_delegate(result, "DISCARD"):
        return SMTPD_CHECK_DUNNO
    log_whatsup(session, "discard", result.subject(result.text or "triggers DISCARD action"))
    session.saved_flags |= CLEANUP_FLAG_DISCARD
    session.discard = True
    return result.permit()


@action("REDIRECT")
def redirect(result: Result) -> int:
    """The message goes to one other address."""
    if not _can_delegate(result, "REDIRECT"):
        return SMTPD_CHECK_DUNNO
    if "@" not in result.text:
        return result.warn(f' entry "{result.key}" requires user@domain target')
    log_whatsup(result.session, "redirect", result.subject(f"triggers REDIRECT {result.text}"))
    result.session.saved_redirect = result.text
    return SMTPD_CHECK_DUNNO


@action("BCC")
def bcc(result: Result) -> int:
    """The message goes to one more address."""
    if not _can_delegate(result, "BCC"):
        return SMTPD_CHECK_DUNNO
    if "@" not in result.text:
        return result.warn(f' entry "{result.key}" requires user@domain target')
    log_whatsup(result.session, "bcc", result.subject(f"triggers BCC {result.text}"))
    result.session.saved_bcc = result.text
    return SMTPD_CHECK_DUNNO


@action("PREPEND")
def prepend(result: Result) -> int:
    """The message gets another header at the top."""
    session = result.session
    if not _in_transaction(result, "PREPEND"):
        return SMTPD_CHECK_DUNNO
    if session.where == SMTPD_AFTER_DOT:
        return result.warn(": action PREPEND must be used before smtpd_end_of_data_restrictions")
    if not result.text or not is_header(result.text):
        return result.warn(f' entry "{result.key}" requires header: text')
    session.prepend.append(result.text)
    return SMTPD_CHECK_DUNNO


def _restrictions(result: Result, value: str) -> Wait[int]:
    """The result is a list of restrictions, or of classes.  Raises Jump."""
    session = result.session
    warning = session.process.log.warning
    if ":" in value:
        warning(f"access table {result.table} has entry with lookup table: {value}")
        warning("do not specify lookup tables inside SMTPD access maps")
        warning("define a restriction class and specify its name instead.")
        reject_server_error(session)
    if session.recursion > _MAX_RECURSION:
        warning(f"access table {result.table} entry {value} causes unreasonable recursion")
        reject_server_error(session)
    outer = result.scope
    rules = outer.rules
    restrictions = rules.results.get(value)
    if restrictions is None:
        restrictions = rules.results.put(value, RestrictionList(f"{result.table} {value}", value))
    if not restrictions:
        warning(f"access table {result.table} entry {value} has empty value")
        return SMTPD_CHECK_OK
    scope = Scope(
        rules, session, outer.parameter, result.reply_name, result.reply_class, outer.def_acl
    )
    return (yield from generic_checks(scope, restrictions))
