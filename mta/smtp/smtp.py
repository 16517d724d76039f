"""smtp(8), lmtp(8) - the client that delivers mail to other hosts.

DESCRIPTION
    Takes delivery requests from the queue manager, looks up the servers of the next hop, and gives
    the message to the first one that takes it.  A recipient that no server could take for now is
    deferred; one that a server does not want is bounced.

    The name of the executable chooses the protocol.  smtp(8) takes ``domain[:port]`` (MX records)
    and ``[host][:port]`` (address records) as next hops; lmtp(8) takes ``inet:host[:port]``,
    ``host[:port]`` (address records alone) and ``unix:/path``.

    Connections may be left to scache(8) and taken from there again: always for
    ``smtp_connection_cache_destinations``, else when the queue manager asks for it.

DIAGNOSTICS
    A line with ``status=sent``, ``bounced`` or ``deferred`` for each recipient; a line for each
    server that could not be used while there was another one.  Protocol errors and trouble with
    local data make a notice to the postmaster, depending on ``notify_classes``.

CONFIGURATION PARAMETERS
    Most ``smtp_`` parameters have an ``lmtp_`` parameter in their place in lmtp(8).
    best_mx_transport, connection_cache_service_name, disable_dns_lookups,
    disable_mime_output_conversion, error_notice_recipient, header_size_limit, helpful_warnings,
    ignore_mx_lookup_error, inet_interfaces, inet_protocols, line_length_limit, lmtp_assume_final,
    lmtp_tcp_port, mail_name, message_drop_headers, mime_boundary_length_limit, mime_nesting_limit,
    minimal_backoff_time, myhostname, notify_classes, propagate_unmatched_extensions,
    proxy_interfaces, queue_directory, relayhost, smtp_address_preference,
    smtp_address_verify_target, smtp_always_send_ehlo, smtp_bind_address, smtp_bind_address6,
    smtp_body_checks, smtp_cname_overrides_servername, smtp_connect_timeout,
    smtp_connection_cache_destinations, smtp_connection_cache_on_demand,
    smtp_connection_cache_time_limit, smtp_connection_reuse_count_limit,
    smtp_connection_reuse_time_limit, smtp_data_done_timeout, smtp_data_init_timeout,
    smtp_data_xfer_timeout, smtp_defer_if_no_mx_address_found, smtp_delivery_status_filter,
    smtp_discard_ehlo_keyword_address_maps, smtp_discard_ehlo_keywords, smtp_dns_reply_filter,
    smtp_dns_resolver_options, smtp_dns_support_level, smtp_fallback_relay, smtp_generic_maps,
    smtp_header_checks, smtp_helo_name, smtp_helo_timeout, smtp_host_lookup, smtp_line_length_limit,
    smtp_mail_timeout, smtp_mime_header_checks, smtp_mx_address_limit, smtp_mx_session_limit,
    smtp_nested_header_checks, smtp_never_send_ehlo, smtp_per_record_deadline,
    smtp_pix_workaround_delay_time, smtp_pix_workaround_maps, smtp_pix_workaround_threshold_time,
    smtp_pix_workarounds, smtp_quit_timeout, smtp_quote_rfc821_envelope, smtp_randomize_addresses,
    smtp_rcpt_timeout, smtp_reply_filter, smtp_rset_timeout, smtp_send_dummy_mail_auth,
    smtp_send_xforward_command, smtp_skip_5xx_greeting, smtp_skip_quit_response,
    smtp_xforward_timeout, smtputf8_enable, soft_bounce

    SASL: smtp_sasl_auth_enable, smtp_sasl_auth_cache_name, smtp_sasl_auth_cache_time,
    smtp_sasl_auth_soft_bounce, smtp_sasl_mechanism_filter, smtp_sasl_password_maps,
    smtp_sasl_path, smtp_sasl_security_options, smtp_sasl_tls_security_options,
    smtp_sasl_tls_verified_security_options, smtp_sasl_type, smtp_sender_dependent_authentication,
    send_cyrus_sasl_authzid
    TLS: smtp_tls_security_level, smtp_use_tls, smtp_enforce_tls, smtp_tls_enforce_peername,
    smtp_tls_wrappermode, smtp_tls_policy_maps, smtp_tls_per_site, smtp_starttls_timeout,
    smtp_tls_CAfile, smtp_tls_CApath, smtp_tls_block_early_mail_reply, smtp_tls_cert_file,
    smtp_tls_ciphers, smtp_tls_dcert_file, smtp_tls_dkey_file, smtp_tls_eccert_file,
    smtp_tls_eckey_file, smtp_tls_exclude_ciphers, smtp_tls_fingerprint_cert_match,
    smtp_tls_fingerprint_digest, smtp_tls_force_insecure_host_tlsa_lookup, smtp_tls_key_file,
    smtp_tls_loglevel, smtp_tls_mandatory_ciphers, smtp_tls_mandatory_exclude_ciphers,
    smtp_tls_mandatory_protocols, smtp_tls_note_starttls_offer,
    smtp_tls_protocols, smtp_tls_scert_verifydepth, smtp_tls_secure_cert_match,
    smtp_tls_trust_anchor_file, smtp_tls_verify_cert_match
"""

from __future__ import annotations

from mta.lib.requests import DeliverReply, DeliverRequest
from mta.lib.table_changes import must_begin_anew
from mta.master.server import Process, Program, program
from mta.smtp.client import Client
from mta.smtp.connect import connect
from mta.smtp.state import State
from mta.system import Wait


@program("smtp", "lmtp")
class SmtpClient(Program):
    """One process of smtp(8) or lmtp(8)."""

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        self.client = Client(process)

    def serve(self, request: DeliverRequest) -> Wait[DeliverReply]:
        """Delivers a message to the recipients of a request."""
        log = self.process.log
        if must_begin_anew(self.process):
            self.client = Client(self.process)
        if not request.nexthop:
            log.fatal("empty nexthop hostname")
        if not request.recipients:
            log.fatal(f"recipient count: {len(request.recipients)}")
        state = State(self.client, request)
        yield from connect(state)
        return DeliverReply(state.deferred, state.hop_status)
