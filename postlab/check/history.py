"""What other releases of Postfix know: parameters, programs and table types that came after 3.0,
and what was dropped before it.
"""

from __future__ import annotations

_LATER = """\
3.1 address_verify_pending_request_limit
3.1 default_transport_rate_delay
3.1 dns_ncache_ttl_fix_enable
3.1 lmtp_fallback_relay
3.1 postscreen_dnsbl_max_ttl
3.1 postscreen_dnsbl_min_ttl
3.1 smtp_tls_dane_insecure_mx_policy
3.1 smtpd_client_auth_rate_limit
3.1 smtpd_policy_service_policy_context
3.2 enable_idna2003_compatibility
3.2 lmtp_tls_dane_insecure_mx_policy
3.2 smtpd_milter_maps
3.2 tls_eecdh_auto_curves
3.3 header_from_format
3.3 lmtp_balance_inet_protocols
3.3 service_name
3.3 smtp_balance_inet_protocols
3.4 lmtp_tls_chain_files
3.4 lmtp_tls_connection_reuse
3.4 lmtp_tls_servername
3.4 maillog_file
3.4 maillog_file_compressor
3.4 maillog_file_prefixes
3.4 maillog_file_rotate_suffix
3.4 openssl_path
3.4 postlog_service_name
3.4 postlogd_watchdog_timeout
3.4 postscreen_reject_footer_maps
3.4 smtp_tls_chain_files
3.4 smtp_tls_connection_reuse
3.4 smtp_tls_servername
3.4 smtpd_reject_footer_maps
3.4 smtpd_tls_chain_files
3.4 tls_fast_shutdown_enable
3.4 tls_server_sni_maps
3.4 tlsproxy_client_CAfile
3.4 tlsproxy_client_CApath
3.4 tlsproxy_client_cert_file
3.4 tlsproxy_client_chain_files
3.4 tlsproxy_client_dcert_file
3.4 tlsproxy_client_dkey_file
3.4 tlsproxy_client_eccert_file
3.4 tlsproxy_client_eckey_file
3.4 tlsproxy_client_enforce_tls
3.4 tlsproxy_client_fingerprint_digest
3.4 tlsproxy_client_key_file
3.4 tlsproxy_client_level
3.4 tlsproxy_client_loglevel
3.4 tlsproxy_client_loglevel_parameter
3.4 tlsproxy_client_per_site
3.4 tlsproxy_client_policy
3.4 tlsproxy_client_policy_maps
3.4 tlsproxy_client_scert_verifydepth
3.4 tlsproxy_client_security_level
3.4 tlsproxy_client_use_tls
3.4 tlsproxy_tls_chain_files
3.5 info_log_address_format
3.5 milter_macro_defaults
3.6 dnssec_probe
3.6 empty_address_local_login_sender_maps_lookup_key
3.6 enable_threaded_bounces
3.6 known_tcp_ports
3.6 local_login_sender_maps
3.6 postscreen_allowlist_interfaces
3.6 postscreen_denylist_action
3.6 postscreen_dnsbl_allowlist_threshold
3.6 respectful_logging
3.6 smtpd_relay_before_recipient_restrictions
3.6 smtpd_sasl_mechanism_filter
3.7 lmtp_bind_address_enforce
3.7 lmtp_min_data_rate
3.7 lmtp_per_request_deadline
3.7 smtp_bind_address_enforce
3.7 smtp_min_data_rate
3.7 smtp_per_request_deadline
3.7 smtp_tcp_port
3.7 smtpd_min_data_rate
3.7 smtpd_per_request_deadline
3.8 allow_srv_lookup_fallback
3.8 ignore_srv_lookup_error
3.8 smtpd_forbid_unauth_pipelining
3.8 tls_config_file
3.8 tls_config_name
3.8 tls_ffdhe_auto_groups
3.8 use_srv_lookup
3.9 cleanup_replace_stray_cr_lf
3.9 force_mime_input_conversion
3.9 smtpd_forbid_bare_newline
3.9 smtpd_forbid_bare_newline_exclusions
3.9 smtpd_forbid_bare_newline_reject_code
3.9 smtpd_sasl_response_limit
3.10 full_name_encoding_charset
3.10 smtp_tlsrpt_enable
3.10 smtp_tlsrpt_skip_reused_handshakes
3.10 smtp_tlsrpt_socket_name
3.10 smtpd_hide_client_session
3.10 tls_required_enable
"""

#: Parameters that Postfix learnt after 3.0, and in which release.
LATER: dict[str, str] = {
    name: version for version, name in (line.split() for line in _LATER.splitlines())
}
#: The same for what follows the name of a transport.
LATER_SUFFIXES = {"_transport_rate_delay": "3.1"}

#: Parameters that were dropped or renamed before 3.0: since when, and what to do instead.
DROPPED: dict[str, tuple[str, str]] = {
    "client_connection_rate_time_unit": ("2.1", "use anvil_rate_time_unit"),
    "client_event_status_update_time": ("2.2", "use anvil_status_update_time"),
    "client_rate_time_unit": ("2.2", "use anvil_rate_time_unit"),
    "enable_errors_to": ("2.2", "nothing takes its place"),
    "extract_recipient_limit": ("2.1", "nothing takes its place"),
    "lmtp_cache_connection": ("2.3", "use lmtp_connection_cache_on_demand"),
    "local_transports": ("1.0", "use local_transport"),
    "program_directory": ("2.0", "use daemon_directory and command_directory"),
    "qmgr_site_hog_factor": ("2.0", "nothing takes its place"),
    "sender_based_routing": ("2.3", "use sender_dependent_relayhost_maps"),
    "smtp_connection_cache_domains": ("2.2", "use smtp_connection_cache_destinations"),
    "smtp_connection_cache_reuse_limit": ("2.3", "use smtp_connection_reuse_time_limit"),
    "smtp_skip_4xx_greeting": ("2.2", "a server that greets with 4xx is always skipped"),
    "smtp_tls_cipherlist": ("2.3", "use smtp_tls_mandatory_ciphers"),
    "smtpd_reject_contact_information": ("2.8", "use smtpd_reject_footer"),
    "smtpd_sasl_application_name": ("2.3", "use smtpd_sasl_path"),
    "smtpd_tls_cipherlist": ("2.3", "use smtpd_tls_mandatory_ciphers"),
}

#: Programs of ``master.cf`` that came after 3.0.
LATER_PROGRAMS = {"postlogd": "3.4", "nbdb_reindexd": "3.11"}

#: Table types that came after 3.0, or are not of Postfix itself.
LATER_TABLES = {"mongodb": "3.9", "nis": "", "nisplus": "", "netinfo": ""}


def later_parameter(name: str) -> str | None:
    """The release in which Postfix learnt a parameter, where that came after 3.0."""
    version = LATER.get(name)
    if version is not None:
        return version
    for suffix, version in LATER_SUFFIXES.items():
        if name.endswith(suffix) and len(name) > len(suffix):
            return version
    return None
