"""Restrictions that ask an access table, access(5): by host, by address, by mail address.

check_client_access, check_reverse_client_hostname_access, check_helo_access, check_sender_access,
check_recipient_access, check_etrn_access, check_ccert_access, check_sasl_access.
"""

from __future__ import annotations

from typing import Any

from mta.dict.errors import TableError
from mta.dict.flags import DICT_FLAG_FIXED
from mta.dict.registry import Dict
from mta.lib.requests import RESOLVE_FLAG_ROUTED, ResolveReply
from mta.lib.strip_addr import strip_addr
from mta.smtpd.check_actions import check_table_result
from mta.smtpd.check_registry import (
    SMTPD_CHECK_DUNNO,
    SMTPD_CHECK_OK,
    SMTPD_NAME_CCERT,
    SMTPD_NAME_CLIENT,
    SMTPD_NAME_ETRN,
    SMTPD_NAME_HELO,
    SMTPD_NAME_RECIPIENT,
    SMTPD_NAME_REV_CLIENT,
    SMTPD_NAME_SASL_USER,
    SMTPD_NAME_SENDER,
    Argument,
    Scope,
    Step,
    restriction,
)
from mta.smtpd.check_reject import reject_server_error
from mta.smtpd.check_resolve import resolve_or_defer
from mta.system import Wait
from mta.util.valid_hostname import valid_hostaddr
from mta.wire.text import printable

#: Kinds of tables that leave their results in one buffer.
_WITH_BUFFER = frozenset({"btree", "cdb", "dbm", "hash", "lmdb", "sdbm"})

_CONFIGURATION_ERROR = "451 4.3.5 Server configuration error"


class Lookup:
    """A search in one access table, on behalf of one restriction.

    Its methods give SMTPD_CHECK_*, or None where the table has nothing to say.  ``partial`` is for
    keys that are a part of what is searched for: tables of patterns do not get them.
    """

    __slots__ = ("key", "name", "reply_class", "reply_name", "scope", "table")

    def __init__(self, scope: Scope, table: str, reply_name: str, reply_class: str) -> None:
        self.scope = scope
        self.name = table
        self.table: Dict | None = scope.rules.tables.get(table)
        self.reply_name = reply_name
        self.reply_class = reply_class

    def find(self, key: str, partial: bool, subject: str) -> Wait[int | None]:
        """Looks one key up; ``subject`` is what the log calls the entry."""
        process = self.scope.session.process
        table = self.table
        if table is None:
            process.log.warning(f"check_access: unexpected dictionary: {self.name}")
            return (yield from self._do(_CONFIGURATION_ERROR, subject))
        if partial and not table.flags & DICT_FLAG_FIXED:
            return None
        try:
            value = (yield from table.lookup(key)) if table.remote else table.get(key)
        except TableError:
            process.log.warning(f"{self.name}: table lookup problem")
            value = _CONFIGURATION_ERROR
        if process.system.decisions is not None:
            line = None if value is None else table.explain(key)
            process.decide("access table", table=self.name, key=key, value=value, line=line)
        if value is None:
            return None
        behind = ""
        if table.kind in _WITH_BUFFER:
            behind = self.scope.rules.value_buffer(self.name).put(value)
        return (yield from self._do(value, subject, behind))

    def _do(self, value: str, subject: str, behind: str = "") -> Wait[int]:
        return check_table_result(
            self.scope, self.name, value, subject, self.reply_name, self.reply_class, behind
        )

    def domain(self, domain: str, partial: bool = False) -> Wait[int | None]:
        """A host name and its parent domains (check_domain_access)."""
        if not domain:
            return None
        status = yield from self.find(domain, partial, domain)
        if status is not None or valid_hostaddr(domain):
            return status
        if self.table is None or not self.table.flags & DICT_FLAG_FIXED:
            return None
        skip = 1 if self.scope.rules.parent_style else 0
        place = domain.find(".", 1)
        while place >= 0:
            name = domain[place + skip :]
            if not name:
                break
            status = yield from self.find(name, True, domain)
            if status is not None:
                return status
            place = domain.find(".", place + skip + 1)
        return None

    def address(self, address: str) -> Wait[int | None]:
        """An address and the networks that it is in, at octets or pairs (check_addr_access)."""
        delimiter = ":" if ":" in address else "."
        key = address
        partial = False
        while True:
            status = yield from self.find(key, partial, address)
            if status is not None:
                return status
            partial = True
            key, found, _ = key.rpartition(delimiter)
            if not found:
                return None

    def name_address(self, name: str, address: str) -> Wait[int | None]:
        """A host's name, then its address (check_namadr_access)."""
        status = yield from self.domain(name)
        if status is not None:
            return status
        return (yield from self.address(address))

    def mail(self, address: str) -> Wait[int | None]:
        """A mail address, most specific form first (check_mail_access).  Raises Jump."""
        session = self.scope.session
        other = session.recipient if self.reply_class == SMTPD_NAME_SENDER else session.sender
        reply = yield from resolve_or_defer(session, other, address)
        at = reply.recipient.rfind("@")
        if at < 0:
            session.process.log.warning(
                f"check_mail_access: no @domain in address: {reply.recipient}"
            )
            return None
        status = yield from self._mail_forms(reply.recipient, at, address)
        if status == SMTPD_CHECK_OK and self._suspicious(reply):
            return SMTPD_CHECK_DUNNO
        return status

    def _mail_forms(self, full: str, at: int, address: str) -> Wait[int | None]:
        process = self.scope.session.process
        status = yield from self.find(full, False, full)
        if status is not None:
            return status
        stripped = strip_addr(process, address, process.conf.recipient_delimiter)
        if stripped is not None:
            bare = stripped.address
            status = yield from self.find(bare, True, bare)
            if status is not None:
                return status
        status = yield from self.domain(full[at + 1 :], True)
        if status is not None:
            return status
        status = yield from self.find(full[: at + 1], True, full[: at + 1])
        if status is not None or stripped is None:
            return status
        bare = bare[: bare.rfind("@") + 1] or bare
        return (yield from self.find(bare, True, bare))

    def _suspicious(self, reply: ResolveReply) -> bool:
        """A recipient with a source route to elsewhere gets no OK."""
        return bool(
            self.reply_class == SMTPD_NAME_RECIPIENT
            and reply.flags & RESOLVE_FLAG_ROUTED
            and not self.scope.session.process.conf.allow_untrusted_routing
        )


def verdict(status: int | None) -> int:
    """What a restriction says for the outcome of a search."""
    return SMTPD_CHECK_DUNNO if status is None else status


def forbid_whitelist(scope: Scope, step: Step, status: int, target: str) -> int:
    """Nobody may be permitted because of what he can set himself.  Raises Jump."""
    session = scope.session
    if status == SMTPD_CHECK_OK and not session.discard:
        warning = session.process.log.warning
        warning(f"restriction {step.word} returns OK for {target}")
        warning("this is not allowed for security reasons")
        warning("use DUNNO instead of OK if you want to make an exception")
        reject_server_error(session)
    return status


@restriction("check_client_access", argument=Argument.TABLE)
def check_client_access(scope: Scope, step: Step) -> Wait[int]:
    """The client's name, parent domains, address, networks."""
    session = scope.session
    lookup = Lookup(scope, step.argument, session.namaddr, SMTPD_NAME_CLIENT)
    return verdict((yield from lookup.name_address(session.name, session.addr)))


@restriction("check_reverse_client_hostname_access", argument=Argument.TABLE)
def check_reverse_client_hostname_access(scope: Scope, step: Step) -> Wait[int]:
    """The same with the name that is not verified; OK is not allowed."""
    session = scope.session
    name = session.reverse_name
    lookup = Lookup(scope, step.argument, name, SMTPD_NAME_REV_CLIENT)
    status = verdict((yield from lookup.name_address(name, session.addr)))
    return forbid_whitelist(scope, step, status, name)


@restriction("check_helo_access", argument=Argument.TABLE)
def check_helo_access(scope: Scope, step: Step) -> Wait[int]:
    """The name of HELO and its parent domains."""
    name = scope.session.helo_name
    if name is None:
        return SMTPD_CHECK_DUNNO
    lookup = Lookup(scope, step.argument, name, SMTPD_NAME_HELO)
    return verdict((yield from lookup.domain(name)))


@restriction("check_etrn_access", argument=Argument.TABLE)
def check_etrn_access(scope: Scope, step: Step) -> Wait[int]:
    """The name of ETRN and its parent domains."""
    name = scope.session.etrn_name
    if name is None:
        return SMTPD_CHECK_DUNNO
    lookup = Lookup(scope, step.argument, name, SMTPD_NAME_ETRN)
    return verdict((yield from lookup.domain(name)))


@restriction("check_sender_access", argument=Argument.TABLE)
def check_sender_access(scope: Scope, step: Step) -> Wait[int]:
    """The sender, or ``smtpd_null_access_lookup_key``."""
    session = scope.session
    sender = session.sender
    if sender is None:
        return SMTPD_CHECK_DUNNO
    lookup = Lookup(scope, step.argument, sender, SMTPD_NAME_SENDER)
    if sender:
        return verdict((yield from lookup.mail(sender)))
    key = session.process.conf.smtpd_null_access_lookup_key
    return verdict((yield from lookup.find(key, False, key)))


@restriction("check_recipient_access", argument=Argument.TABLE)
def check_recipient_access(scope: Scope, step: Step) -> Wait[int]:
    """The recipient."""
    recipient = scope.session.recipient
    if recipient is None:
        return SMTPD_CHECK_DUNNO
    lookup = Lookup(scope, step.argument, recipient, SMTPD_NAME_RECIPIENT)
    return verdict((yield from lookup.mail(recipient)))


@restriction("check_ccert_access", argument=Argument.TABLE)
def check_ccert_access(scope: Scope, step: Step) -> Wait[int]:
    """The fingerprints of the client's certificate and of its key."""
    context: Any = scope.session.tls_context
    if context is None or not context.is_present:
        return SMTPD_CHECK_DUNNO
    lookup = Lookup(scope, step.argument, context.peer_CN, SMTPD_NAME_CCERT)
    for fingerprint in (context.peer_cert_fprint, context.peer_pkey_fprint):
        status = verdict((yield from lookup.find(fingerprint, False, fingerprint)))
        if status != SMTPD_CHECK_DUNNO:
            return status
    return SMTPD_CHECK_DUNNO


@restriction("check_sasl_access", argument=Argument.TABLE)
def check_sasl_access(scope: Scope, step: Step) -> Wait[int]:
    """The login name."""
    session = scope.session
    conf = session.process.conf
    if not conf.smtpd_sasl_auth_enable:
        session.process.log.warning(f"restriction `{step.word}' ignored: no SASL support")
        return SMTPD_CHECK_DUNNO
    name = session.sasl_username
    if not name:
        return SMTPD_CHECK_DUNNO
    shown = printable(name, "_", conf.smtputf8_enable)
    lookup = Lookup(scope, step.argument, shown, SMTPD_NAME_SASL_USER)
    return verdict((yield from lookup.find(name, False, name)))
