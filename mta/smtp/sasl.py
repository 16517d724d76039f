"""Logging in at a server: what it offers, which password, and AUTH (smtp_sasl_glue(3),
smtp_sasl_proto(3), RFC 4954).

A password that is there for a server must be used: a login that fails is a failure of the server,
and other servers are tried.  Without a password mail goes out without a login.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from mta.dict.errors import TableError
from mta.dict.flags import ADDRESS_FLAGS
from mta.lib.mail_addr_find import mail_addr_find
from mta.lib.maps import Maps
from mta.lib.smtp_stream import SmtpDataError
from mta.lib.string_list import StringList
from mta.lib.xsasl_client import ClientArguments, XsaslClient, XsaslError, xsasl_client_init
from mta.smtp.chat import chat_cmd, chat_resp
from mta.smtp.features import SMTP_FEATURE_AUTH
from mta.smtp.sasl_cache import SaslAuthCache
from mta.smtp.state import Session, State
from mta.smtp.trouble import sess_fail
from mta.system import Wait
from mta.wire.smtp_reply import SmtpReply

if TYPE_CHECKING:
    from mta.smtp.client import Client

_MOST_STEPS = 100
_WORD = re.compile(r"[^ \t]+")
#: What stands before the challenge in a reply.
_CODE = re.compile(r"[- \t\n]*[^- \t\n]*(?:[- \t\n]|\Z)")


class Password(NamedTuple):
    """What ``smtp_sasl_password_maps`` has for a server."""

    username: str
    password: str


class SmtpSasl:
    """SASL in one process.  Without passwords or an implementation that is fatal."""

    def __init__(self, client: Client) -> None:
        self.client = client
        process, conf = client.process, client.conf
        title = client.name("smtp_sasl_password_maps")
        if not conf.smtp_sasl_password_maps:
            client.log.fatal(f"specify a password table via the `{title}' configuration parameter")
        self.passwords = Maps(process, title, conf.smtp_sasl_password_maps, ADDRESS_FLAGS)
        implementation = xsasl_client_init(process, conf.smtp_sasl_type, conf.smtp_sasl_path)
        if implementation is None:
            client.log.fatal("SASL library initialization")
        self.implementation = implementation
        self.filter: StringList | None = None
        if conf.smtp_sasl_mechanism_filter:
            self.filter = StringList(
                process,
                "smtp_sasl_mechanism_filter",
                conf.smtp_sasl_mechanism_filter,
                fatal=True,
            )
        self.cache: SaslAuthCache | None = None
        if conf.smtp_sasl_auth_cache_name:
            self.cache = SaslAuthCache(
                process, conf.smtp_sasl_auth_cache_name, conf.smtp_sasl_auth_cache_time
            )

    # -- what the server offers -----------------------------------------------------------------

    def offered(self, session: Session, words: str) -> Wait[None]:
        """The server's AUTH keyword with what comes after it.  Several lists make one."""
        mechanisms = yield from self._compatible(words)
        known: str | None = session.sasl
        if known is not None:
            if (
                mechanisms
                and mechanisms.lower() != known.lower()
                and len(known) < self.client.line_limit
            ):
                session.sasl = f"{known} {mechanisms}"
            return
        if mechanisms:
            session.sasl = mechanisms
        elif words:
            self.client.log.warning(
                f"{session.namaddrport} offered no supported AUTH mechanisms: '{words}'"
            )
        else:
            self.client.log.warning(f"{session.namaddrport} offered null AUTH mechanism list")
        session.features |= SMTP_FEATURE_AUTH

    def _compatible(self, words: str) -> Wait[str]:
        """The mechanisms that ``smtp_sasl_mechanism_filter`` leaves.  Its tables must not fail."""
        if self.filter is None or not words:
            return words
        left = []
        for word in _WORD.findall(words):
            if (yield from self.filter.match(word)):
                left.append(word)
        return " ".join(left)

    # -- passwords ------------------------------------------------------------------------------

    def lookup(self, state: State) -> Wait[Password | None]:
        """Name and password for the sender, the server, or the next hop.  Raises SmtpDataError."""
        client, sender = self.client, state.request.sender
        value: str | None = None
        try:
            if client.smtp_mode and sender and client.conf.smtp_sender_dependent_authentication:
                match = yield from mail_addr_find(client.process, self.passwords, sender)
                value = None if match is None else match.value
            for name in (state.host, state.dest):
                if value is None:
                    value = yield from self.passwords.find(name)
        except TableError:
            client.log.warning(f"{state.request.queue_id}: {self.passwords.title} lookup error")
            raise SmtpDataError from None
        if value is None:
            return None
        username, _, password = value.partition(":")
        return Password(username, password)

    # -- the login ------------------------------------------------------------------------------

    def login(self, state: State, session: Session) -> Wait[int]:
        """Logs in where there is a password: 0, or -1 after a failure, which has been reported.
        Raises SmtpError.
        """
        found = yield from self.lookup(state)
        if found is None:
            session.features &= ~SMTP_FEATURE_AUTH
            return 0
        mechanisms: str | None = session.sasl
        if mechanisms is None:
            state.why.simple(
                "4.7.0",
                f"SASL authentication failed: server {session.namaddr} offered no compatible "
                "authentication mechanisms for this type of connection security",
            )
        elif (yield from self._authenticate(state, session, mechanisms, found)):
            return 0
        return (yield from sess_fail(state))

    def _options(self, session: Session) -> str:
        """The security options for the connection as it is."""
        conf, tls = self.client.conf, session.tls_context
        if tls is None:
            return conf.smtp_sasl_security_options
        if tls.is_matched:
            return conf.smtp_sasl_tls_verified_security_options
        return conf.smtp_sasl_tls_security_options

    def _begin(self, state: State, session: Session) -> XsaslClient:
        arguments = ClientArguments(
            service=self.client.process.program,
            server_name=state.host,
            security_options=self._options(session),
        )
        begun = self.implementation.create(arguments)
        if begun is None:
            self.client.log.fatal("SASL per-connection initialization failed")
        return begun

    def _authenticate(
        self, state: State, session: Session, mechanisms: str, found: Password
    ) -> Wait[bool]:
        """The dialogue; whether the server was content.  Where not, ``state.why`` says so."""
        login = self._begin(state, session)
        if self.cache is not None and (yield from self._rejected(state, self.cache, found)):
            return False
        try:
            mechanism, initial = login.first(mechanisms, found.username, found.password)
            chat_cmd(session, f"AUTH {mechanism} {initial}" if initial else f"AUTH {mechanism}")
            reply = yield from chat_resp(session)
            steps = 0
            while reply.code // 100 == 3:
                steps += 1
                if steps > _MOST_STEPS:
                    state.why.simple(
                        "4.3.0",
                        "SASL authentication failed; authentication protocol loop with server "
                        f"{session.namaddr}",
                    )
                    return False
                chat_cmd(session, login.next(_challenge(reply)))
                reply = yield from chat_resp(session)
        except XsaslError as error:
            why, reason = state.why, error.args[0]
            why.simple(
                "4.7.0",
                "SASL authentication failed; cannot authenticate to server "
                f"{session.namaddr}: {reason}",
            )
            why.dtype, why.dtext = "x-sasl", reason
            return False
        if reply.code // 100 == 2:
            return True
        if self.cache is not None and reply.code == 535:
            yield from self.cache.store(state.host, *found, reply)
        text = f"SASL authentication failed; server {session.namaddr} said: {reply.text}"
        self._failed(state, reply.code, reply.dsn, reply.text, text)
        return False

    def _rejected(self, state: State, cache: SaslAuthCache, found: Password) -> Wait[bool]:
        """Whether the server has rejected the password not long ago."""
        rejection = yield from cache.find(state.host, *found)
        if rejection is None:
            return False
        text = f"SASL [CACHED] authentication failed; server {state.host} said: {rejection.text}"
        code = 500 if rejection.status.startswith("5") else 0
        self._failed(state, code, rejection.status, rejection.text, text)
        return True

    def _failed(self, state: State, code: int, status: str, said: str, text: str) -> None:
        """``state.why`` for what a server said (``smtp_sasl_auth_soft_bounce``)."""
        why = state.why
        if code // 100 == 5 and self.client.conf.smtp_sasl_auth_soft_bounce:
            status = "4" + status[1:]
        why.simple(status, text)
        why.mtype, why.mname = "dns", state.host
        why.dtype, why.dtext = self.client.process.program, said


def _challenge(reply: SmtpReply) -> str:
    """What comes after the code of a reply."""
    code = _CODE.match(reply.text)
    return reply.text[code.end() :] if code else ""
