"""TLS in smtp(8) and lmtp(8): when it begins, and what becomes of mail where it does not work
(smtp_proto, smtp_connect, smtp_session).

With an opportunistic level (``may``, or ``dane`` for a destination that has none) TLS that fails is
given up: a message that has been deferred before (it was older than ``minimal_backoff_time`` when
the queue manager took it) is tried again with the same server, in plaintext.  That holds for a
handshake that fails, and for a connection that breaks later.  It does not hold for who logs in.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from mta.lib.smtp_stream import SmtpDataError, SmtpEof, SmtpError, SmtpTimeout
from mta.smtp.chat import chat_cmd, chat_resp
from mta.smtp.features import SMTP_FEATURE_STARTTLS
from mta.smtp.state import Session, State
from mta.smtp.tls_policy import NO_TLS, TlsPolicies, TlsPolicy
from mta.smtp.trouble import local_reply, mesg_fail, one_line, site_fail, stream_except
from mta.system import Wait
from mta.tls.client import (
    TlsClientEngine,
    TlsClientProps,
    TlsClientStart,
    no_engine,
    tls_client_init,
)
from mta.tls.levels import (
    TLS_LEV_DANE,
    TLS_LEV_ENCRYPT,
    TLS_LEV_INVALID,
    TLS_LEV_MAY,
    TLS_LEV_NONE,
    TLS_LEV_VERIFY,
    must_match,
    must_trust,
    tls_level,
)

if TYPE_CHECKING:
    from mta.smtp.client import Client

_SECOND = 1_000_000
_FAILURE = "Cannot start TLS: handshake failure"


def client_tls(client: Client) -> ClientTls | None:
    """TLS of a process; None where the configuration speaks of none.  Fatal where it makes no
    sense.
    """
    conf = client.conf
    use, enforce = bool(conf.smtp_use_tls), bool(conf.smtp_enforce_tls)
    if conf.smtp_tls_security_level:
        level = tls_level(conf.smtp_tls_security_level)
        if level == TLS_LEV_INVALID:
            client.log.fatal(f'Invalid TLS level "{conf.smtp_tls_security_level}"')
        use, enforce = level > TLS_LEV_NONE, level > TLS_LEV_MAY and level != TLS_LEV_DANE
    elif enforce:
        level = TLS_LEV_VERIFY if conf.smtp_tls_enforce_peername else TLS_LEV_ENCRYPT
    else:
        level = TLS_LEV_MAY if use else TLS_LEV_NONE
    wanted = use or enforce or bool(conf.smtp_tls_per_site) or bool(conf.smtp_tls_policy_maps)
    if not wanted and not conf.smtp_tls_wrappermode:
        return None
    tls = ClientTls(client, level)
    if wanted:
        tls.engine = tls_client_init(client.process, _props(client))
        tls.policies.open_tables()
    return tls


def _props(client: Client) -> TlsClientProps:
    conf = client.conf
    return TlsClientProps(
        log_param=client.name("smtp_tls_loglevel"),
        log_level=conf.smtp_tls_loglevel,
        verifydepth=conf.smtp_tls_scert_verifydepth,
        cert_file=conf.smtp_tls_cert_file,
        key_file=conf.smtp_tls_key_file,
        dcert_file=conf.smtp_tls_dcert_file,
        dkey_file=conf.smtp_tls_dkey_file,
        eccert_file=conf.smtp_tls_eccert_file,
        eckey_file=conf.smtp_tls_eckey_file,
        CAfile=conf.smtp_tls_CAfile,
        CApath=conf.smtp_tls_CApath,
        mdalg=conf.smtp_tls_fingerprint_digest,
    )


class ClientTls:
    """TLS of one process.  ``engine`` is None where there is none, or where it does not work."""

    def __init__(self, client: Client, level: int) -> None:
        self.client = client
        self.policies = TlsPolicies(client, level)
        self.engine: TlsClientEngine | None = None
        self.wrapper_mode = bool(client.conf.smtp_tls_wrappermode)

    # -- policies -----------------------------------------------------------------------------

    def lookup(self, state: State) -> Wait[bool]:
        """Sets ``state.tls``, the policy for the server at hand; False (and ``state.why``) where
        that fails.
        """
        policy = state.tls = yield from self.policies.query(state)
        state.confidential = policy.level >= TLS_LEV_ENCRYPT
        if policy.level != TLS_LEV_INVALID:
            return True
        state.why.simple(policy.status, policy.reason)
        return False

    def plaintext(self, state: State) -> bool:
        """Whether the policy is to use no TLS, so that a cached connection will do."""
        return _policy(state).level <= TLS_LEV_NONE

    def allows(self, state: State) -> bool:
        """Whether a connection may be made under the policy; warns where not (wrapper mode)."""
        if not self.wrapper_mode or _policy(state).level >= TLS_LEV_ENCRYPT:
            return True
        wrapper, level = (
            self.client.name(name) for name in ("smtp_tls_wrappermode", "smtp_tls_security_level")
        )
        self.client.log.warning(f'{wrapper} requires "{level} = encrypt" (or stronger)')
        return False

    def local(self, state: State) -> None:
        """TLS for its own sake makes no sense on a UNIX-domain socket."""
        if _policy(state).level == TLS_LEV_MAY:
            self.client.log.warning(
                "smtp_connect_local: opportunistic TLS encryption is not appropriate "
                "for unix-domain destinations."
            )
            state.tls = NO_TLS

    # -- STARTTLS -----------------------------------------------------------------------------

    def after_ehlo(self, state: State, session: Session) -> Wait[int | None]:
        """STARTTLS where it is to be used: 1 where the handshake may begin, -1 after a failure,
        which has been reported, None to go on in plaintext.
        """
        client, policy = self.client, _policy(state)
        offered = session.features & SMTP_FEATURE_STARTTLS
        if offered and policy.level <= TLS_LEV_NONE and client.conf.smtp_tls_note_starttls_offer:
            client.log.info(f"Host offered STARTTLS: [{state.host}]")
        if offered and self.engine is not None and policy.level >= TLS_LEV_MAY:
            session.stream.setup(
                client.conf.smtp_starttls_timeout, bool(client.conf.smtp_per_record_deadline)
            )
            try:
                chat_cmd(session, "STARTTLS")
                reply = yield from chat_resp(session)
            except SmtpError as error:
                return (yield from stream_except(state, error, "receiving the STARTTLS response"))
            if reply.code // 100 == 2:
                return 1
            session.features &= ~SMTP_FEATURE_STARTTLS
            if policy.level > TLS_LEV_MAY:
                text = (
                    f"TLS is required, but host {session.namaddr} refused to start TLS: "
                    f"{one_line(reply)}"
                )
                return (yield from site_fail(state, reply, text))
        if policy.level <= TLS_LEV_MAY:
            return None
        if not session.features & SMTP_FEATURE_STARTTLS:
            text = f"TLS is required, but was not offered by host {session.namaddr}"
            return (yield from site_fail(state, local_reply("4.7.4"), text))
        text = "TLS is required, but our TLS engine is unavailable"
        return (yield from site_fail(state, local_reply("4.7.5"), text))

    # -- the handshake --------------------------------------------------------------------------

    def start(self, state: State, session: Session) -> Wait[int]:
        """The handshake, and the verdict on the server's certificate: 0, or -1 after a failure,
        which has been reported (smtp_start_tls).
        """
        session.dont_cache()
        policy = _policy(state)
        if self.engine is None:
            no_engine()
        assert self.engine is not None
        context = session.tls_context = yield from self.engine.start(
            session.stream.stream, self._want(state, session, policy)
        )
        if context is None:
            return (yield from self._failed(state, session, policy))
        if must_trust(policy.level) and not context.is_trusted:
            text = "Server certificate not trusted"
        elif must_match(policy.level) and not context.is_matched:
            text = "Server certificate not verified"
        else:
            session.stream.purge()
            return 0
        return (yield from site_fail(state, local_reply("4.7.5"), text))

    def _want(self, state: State, session: Session, policy: TlsPolicy) -> TlsClientStart:
        conf = self.client.conf
        fields = (self.client.process.service, state.dest, state.host, state.addr)
        return TlsClientStart(
            timeout=conf.smtp_starttls_timeout,
            level=policy.level,
            nexthop=state.domain,
            host=state.host,
            namaddr=session.namaddrport,
            serverid="".join(_key(field) + "&" for field in fields),
            helo=session.helo,
            protocols=policy.protocols or "",
            cipher_grade=policy.grade or "",
            cipher_exclusions=policy.exclusions or "",
            match=policy.match,
            mdalg=conf.smtp_tls_fingerprint_digest,
            dane=policy.dane,
            deadline=bool(conf.smtp_per_record_deadline),
        )

    def _failed(self, state: State, session: Session, policy: TlsPolicy) -> Wait[int]:
        """The handshake has failed: nobody knows what state the server is in."""
        session.stream.purge()
        session.forbidden = True
        optional = policy.level == TLS_LEV_MAY
        if optional and (yield from self._may_fall_back(state)):
            _retry_as_plaintext(state, session)
        report = mesg_fail if optional else site_fail
        return (yield from report(state, local_reply("4.7.5"), _FAILURE))

    # -- plaintext after TLS has failed ---------------------------------------------------------

    def broken(self, state: State, session: Session, error: SmtpError) -> Wait[None]:
        """A connection that may have been encrypted breaks."""
        if (
            isinstance(error, SmtpEof | SmtpTimeout)
            and session.tls_context is not None
            and not all(state.marks)
            and _policy(state).level == TLS_LEV_MAY
            and (yield from self._may_fall_back(state))
        ):
            _retry_as_plaintext(state, session)

    def _may_fall_back(self, state: State) -> Wait[bool]:
        """Whether the message has been in the queue for long enough, and we would not log in."""
        stats = state.request.stats
        waited = stats.active_arrival // _SECOND - stats.incoming_arrival // _SECOND
        if waited < self.client.conf.minimal_backoff_time:
            return False
        return not (yield from self._has_credentials(state))

    def _has_credentials(self, state: State) -> Wait[bool]:
        """Whether we have a password for the server (HAVE_SASL_CREDENTIALS)."""
        sasl = self.client.sasl
        if sasl is None:
            return False
        try:
            return (yield from sasl.lookup(state)) is not None
        except SmtpDataError:
            return True

    # -- the end ------------------------------------------------------------------------------

    def close(self, session: Session) -> Wait[None]:
        """The end of a session that may have used TLS (smtp_session_free)."""
        if session.tls_context is None:
            return
        stream, timeout = session.stream, self.client.conf.smtp_starttls_timeout
        try:
            yield from stream.flush()
        except SmtpError:
            pass
        yield from session.tls_context.stop(stream.stream, timeout, False)


def _policy(state: State) -> TlsPolicy:
    """The policy for the server at hand."""
    policy: TlsPolicy | None = state.tls
    return NO_TLS if policy is None else policy


def _retry_as_plaintext(state: State, session: Session) -> None:
    """The same server is to be tried once more, without TLS."""
    session.tls_retry_plain = True
    state.final_server = False


def _key(text: str) -> str:
    """A part of the name under which a TLS session is kept (smtp_key_append_str)."""
    if "&" not in text:
        return text
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode("ascii")
