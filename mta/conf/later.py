"""Settings that Postfix 3.0 does not know, since a later release brought them.

Postfix 3.0 says nothing of them, but for postconf(1)'s ``unused parameter``; so nothing of this
goes to the mail log.  It is for those who bring the configuration of a newer Postfix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mta.conf.main_cf import MainCf
from mta.conf.master_cf import MasterEntry
from mta.util.mac_expand import scan_names

_NAMES = """
    address_verify_pending_request_limit cleanup_replace_stray_cr_lf dns_ncache_ttl_fix_enable
    dnssec_probe empty_address_local_login_sender_maps_lookup_key
    enable_idna2003_compatibility enable_threaded_bounces header_from_format
    info_log_address_format known_tcp_ports lmtp_balance_inet_protocols
    lmtp_bind_address_enforce lmtp_fallback_relay lmtp_min_data_rate lmtp_per_request_deadline
    lmtp_tls_chain_files lmtp_tls_connection_reuse lmtp_tls_servername local_login_sender_maps
    maillog_file maillog_file_compressor maillog_file_prefixes maillog_file_rotate_suffix
    milter_macro_defaults openssl_path postlog_service_name postlogd_watchdog_timeout
    postscreen_allowlist_interfaces postscreen_denylist_action
    postscreen_dnsbl_allowlist_threshold postscreen_dnsbl_max_ttl postscreen_dnsbl_min_ttl
    postscreen_reject_footer_maps respectful_logging service_name smtp_balance_inet_protocols
    smtp_bind_address_enforce smtp_min_data_rate smtp_per_request_deadline smtp_tcp_port
    smtp_tls_chain_files smtp_tls_connection_reuse smtp_tls_dane_insecure_mx_policy
    smtp_tls_servername smtpd_client_auth_rate_limit smtpd_forbid_bare_newline
    smtpd_forbid_bare_newline_exclusions smtpd_forbid_bare_newline_reject_code
    smtpd_forbid_unauth_pipelining smtpd_milter_maps smtpd_min_data_rate
    smtpd_per_request_deadline smtpd_policy_service_policy_context smtpd_reject_footer_maps
    smtpd_relay_before_recipient_restrictions smtpd_sasl_mechanism_filter
    smtpd_sasl_response_limit smtpd_tls_chain_files tls_config_file tls_config_name
    tls_eecdh_auto_curves tls_fast_shutdown_enable tls_server_sni_maps tlsproxy_client_CAfile
    tlsproxy_client_CApath tlsproxy_client_cert_file tlsproxy_client_chain_files
    tlsproxy_client_dcert_file tlsproxy_client_dkey_file tlsproxy_client_eccert_file
    tlsproxy_client_eckey_file tlsproxy_client_enforce_tls tlsproxy_client_fingerprint_digest
    tlsproxy_client_key_file tlsproxy_client_loglevel tlsproxy_client_loglevel_parameter
    tlsproxy_client_per_site tlsproxy_client_policy_maps tlsproxy_client_scert_verifydepth
    tlsproxy_client_security_level tlsproxy_client_use_tls tlsproxy_tls_chain_files
"""

#: The parameters of 3.1 to 3.7 that 3.0 does not have.
LATER_PARAMETERS = frozenset(_NAMES.split())

#: The suffix of a parameter of each transport since 3.1.
_LATER_SUFFIX = "_transport_rate_delay"


def is_later(name: str) -> bool:
    """Whether a name is a parameter of a later release."""
    return name in LATER_PARAMETERS or name.endswith(_LATER_SUFFIX)


def notices(main: MainCf, entries: Iterable[MasterEntry] = ()) -> list[str]:
    """One sentence for each such setting, in the order of the files."""
    found = [
        f"{main.path}, line {entry.line}: {_sentence(entry.name)}"
        for entry in main.entries
        if is_later(entry.name) and not _is_used(entry.name, main.values)
    ]
    for service in entries:
        found += [
            f"master.cf: line {service.line}: {_sentence(name)}"
            for name in service.overrides
            if is_later(name)
        ]
    return found


def _is_used(name: str, values: Mapping[str, str]) -> bool:
    """Whether another setting refers to the name: then it is the user's own."""
    return any(name in scan_names(value)[0] for value in values.values() if name in value)


def _sentence(name: str) -> str:
    return f"{name} is a parameter of a later Postfix, and means nothing to 3.0"
