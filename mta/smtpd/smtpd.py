"""smtpd(8) - the SMTP server.

NAME
    smtpd - Postfix SMTP server

DESCRIPTION
    The server takes connections from the network, one at a time, and has zero or more mail
    transactions in each.  Every message goes to cleanup(8), or to a before-queue content filter.
    The access lists decide who may send what to whom (:mod:`mta.smtpd.check`).
    It implements RFC 5321 with PIPELINING, SIZE, VRFY, ETRN, AUTH, ENHANCEDSTATUSCODES, 8BITMIME,
    DSN, SMTPUTF8, and the extensions XCLIENT, XFORWARD and XVERP.  It is no friend of senders that
    violate the protocol, and tells the postmaster of it when asked to.

DIAGNOSTICS
    Problems and transactions go to the log: ``connect from``, ``QUEUEID: client=``, ``reject:``,
    ``disconnect from`` with the number of commands that were given and of those that succeeded.

BUGS
    What debug_peer_list names is not logged in detail, which is said in the log.

CONFIGURATION PARAMETERS
    The connection: smtpd_banner, smtpd_timeout, smtpd_per_record_deadline, smtpd_peername_lookup,
    smtpd_client_port_logging, smtpd_upstream_proxy_protocol, smtpd_upstream_proxy_timeout,
    line_length_limit, inet_protocols, stress, myhostname, mail_name, cleanup_service_name,
    debug_peer_list
    Errors: smtpd_error_sleep_time, smtpd_soft_error_limit, smtpd_hard_error_limit,
    smtpd_junk_command_limit, smtpd_forbidden_commands, smtpd_noop_commands, smtpd_command_filter,
    smtpd_reject_footer, smtpd_expansion_filter, soft_bounce, notify_classes,
    error_notice_recipient, smtpd_history_flush_threshold
    Limits: smtpd_client_connection_count_limit, smtpd_client_connection_rate_limit,
    smtpd_client_message_rate_limit, smtpd_client_recipient_rate_limit,
    smtpd_client_new_tls_session_rate_limit, smtpd_client_event_limit_exceptions,
    smtpd_recipient_limit, smtpd_recipient_overshoot_limit, message_size_limit, queue_minfree
    Protocol: smtpd_helo_required, strict_rfc821_envelopes, disable_vrfy_command,
    smtpd_discard_ehlo_keywords, smtpd_discard_ehlo_keyword_address_maps, smtputf8_enable,
    strict_smtputf8, smtpd_delay_reject, smtpd_delay_open_until_valid_rcpt
    Trusted clients: smtpd_authorized_xclient_hosts, smtpd_authorized_xforward_hosts,
    smtpd_authorized_verp_clients, default_verp_delimiters, verp_delimiter_filter
    Mail: content_filter, receive_override_options, smtpd_proxy_filter, smtpd_proxy_ehlo,
    smtpd_proxy_options, smtpd_proxy_timeout, smtpd_milters, milter_macro_daemon_name,
    milter_macro_v, address_verify_sender, address_verify_sender_ttl
    SASL: smtpd_sasl_auth_enable, smtpd_sasl_authenticated_header, smtpd_sasl_exceptions_networks,
    smtpd_sasl_local_domain, smtpd_sasl_path, smtpd_sasl_security_options, smtpd_sasl_service,
    smtpd_sasl_tls_security_options, smtpd_sasl_type, broken_sasl_auth_clients,
    cyrus_sasl_config_path
    TLS: smtpd_tls_security_level, smtpd_use_tls, smtpd_enforce_tls, smtpd_tls_wrappermode,
    smtpd_starttls_timeout, smtpd_tls_auth_only, smtpd_tls_ask_ccert, smtpd_tls_req_ccert,
    smtpd_tls_received_header
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.dict.errors import TableError
from mta.lib.namadr_list import NamadrList
from mta.lib.passed_stream import PassedStream
from mta.lib.smtp_stream import SmtpStream
from mta.lib.table_changes import must_begin_anew
from mta.master.server import Program, program
from mta.smtpd import limits
from mta.smtpd.peer import peer_init
from mta.smtpd.proto import fingerprint, smtpd_proto
from mta.smtpd.reset import abandon_message
from mta.smtpd.server import Server, StandAlone
from mta.smtpd.state import SMTPD_FLAG_HANGUP, Session
from mta.system import Fatal, Panic, Stream, Wait
from mta.tls.mgr import NO_MANAGER, TLS_MGR_SCACHE_SMTPD, tls_mgr_policy

if TYPE_CHECKING:
    from mta.master.server import Process


@program("smtpd")
class Smtpd(Program):
    """The server as a service of master(8)."""

    streams = True

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        self.server = Server(process)

    def serve(self, request: Stream | PassedStream) -> Wait[None]:
        """Serves a client."""
        if must_begin_anew(self.process):
            self.server = Server(self.process)
        if NO_MANAGER in self.process.cache:
            yield from tls_mgr_policy(self.process, TLS_MGR_SCACHE_SMTPD)
        passed = request if isinstance(request, PassedStream) else None
        stream = request.stream if isinstance(request, PassedStream) else request
        yield from smtpd_service(self.server, stream, passed)


def smtpd_service(
    server: Server,
    stream: Stream,
    passed: PassedStream | None = None,
    stand_alone: StandAlone | None = None,
) -> Wait[None]:
    """Serves one client.  With ``stand_alone`` the client is a local program (``sendmail -bs``) and
    its messages go where that function says: no access checks, no extensions that need the mail
    system.
    """
    process = server.process
    client = SmtpStream(stream, now=process.now)
    session = Session(process, client, server)
    session.stand_alone = stand_alone is not None
    session.open_stand_alone = stand_alone
    session.notify_mask = server.notify_mask
    session.input_transp_mask = server.input_transp_mask
    try:
        yield from _serve(session, passed)
    except (Fatal, Panic):
        client.purge()
        yield from _die(session)
        raise
    finally:
        client.close()


def _die(session: Session) -> Wait[None]:
    """What other services notice when the process dies over a client."""
    yield from abandon_message(session)
    if session.proxy is not None:
        session.proxy.free()
    if session.milters is not None:
        session.milters.lose()
    if session.conn_count:
        yield from limits.event(session, "disconnect")


def _serve(session: Session, passed: PassedStream | None) -> Wait[None]:
    server = session.server
    log = session.process.log
    yield from peer_init(session, passed)
    log.info(f"connect from {session.namaddr}")
    if not session.stand_alone:
        session.xclient_allowed, session.xclient_error = yield from _member(
            session, server.xclient_hosts
        )
        session.xforward_allowed, session.xforward_error = yield from _member(
            session, server.xforward_hosts
        )
        if server.milter_factory is not None:
            session.milters = server.milter_factory(session)
    if not session.flags & SMTPD_FLAG_HANGUP:
        yield from smtpd_proto(session)
    log.info(f"disconnect from {session.namaddr}{fingerprint(session)}")


def _member(session: Session, hosts: NamadrList) -> Wait[tuple[bool, bool]]:
    """Whether the client is in a list, and whether the list cannot be searched."""
    try:
        return (yield from hosts.match(session.name, session.addr)), False
    except TableError:
        return False, True
