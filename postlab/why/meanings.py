"""What each restriction does, in a sentence for people."""

from __future__ import annotations

_SERVERS = {"mx": "mail servers", "ns": "name servers", "a": "addresses"}
_WHOSE = {
    "client": "the client's name",
    "reverse_client_hostname": "the client's unverified name",
    "helo": "the name in HELO",
    "sender": "the sender's domain",
    "recipient": "the recipient's domain",
}

MEANINGS: dict[str, str] = {
    "check_client_access": "looks the client up in a table: its name, the domains above, its "
    "address, the networks around it",
    "check_reverse_client_hostname_access": "looks the client's unverified name up in a table, "
    "which must not say OK",
    "check_helo_access": "looks the name in HELO, and the domains above it, up in a table",
    "check_etrn_access": "looks the domain of ETRN up in a table",
    "check_sender_access": "looks the sender up in a table: the address, the domain and those above"
    ", then localpart@",
    "check_recipient_access": "looks the recipient up in a table: the address, the domain and those"
    " above, then localpart@",
    "check_ccert_access": "looks the fingerprint of the client's certificate up in a table",
    "check_sasl_access": "looks the login name up in a table",
    "reject_invalid_helo_hostname": "rejects a HELO name with bad syntax "
    "(invalid_hostname_reject_code)",
    "reject_non_fqdn_helo_hostname": "rejects a HELO name without a domain (non_fqdn_reject_code)",
    "reject_unknown_helo_hostname": "rejects a HELO name that has neither address nor MX in the DNS"
    " (unknown_hostname_reject_code)",
    "permit_naked_ip_address": "permits clients that say an address in HELO; do not use it",
    "permit_auth_destination": "permits mail for our own domains and for relay_domains",
    "reject_unauth_destination": "rejects mail that is neither for our own domains nor for "
    "relay_domains: without it, strangers relay (relay_domains_reject_code)",
    "defer_unauth_destination": "defers mail that is neither for our own domains nor for "
    "relay_domains, so that a mistake loses no mail",
    "check_relay_domains": "an old way to say who may relay; use reject_unauth_destination",
    "reject_non_fqdn_sender": "rejects a sender without a full domain (non_fqdn_reject_code)",
    "reject_non_fqdn_recipient": "rejects a recipient without a full domain (non_fqdn_reject_code)",
    "reject_unknown_sender_domain": "rejects a sender whose domain has neither MX nor address in "
    "the DNS: no answer could ever reach it (unknown_address_reject_code)",
    "reject_unknown_recipient_domain": "rejects a recipient whose domain has neither MX nor address"
    " in the DNS (unknown_address_reject_code)",
    "reject_unknown_client_hostname": "rejects a client whose address has no name, or a name that "
    "does not lead back to the address (unknown_client_reject_code)",
    "reject_unknown_reverse_client_hostname": "rejects a client whose address has no name at all "
    "(unknown_client_reject_code)",
    "permit_mynetworks": "permits clients whose address is in mynetworks",
    "permit_inet_interfaces": "permits clients whose address is one of this host's own",
    "permit_sasl_authenticated": "permits clients that are logged in",
    "permit_tls_clientcerts": "permits clients with a certificate that relay_clientcerts lists",
    "permit_tls_all_clientcerts": "permits clients with a certificate of a trusted authority",
    "permit": "permits; it ends a list",
    "defer": "defers; it ends a list (defer_code)",
    "reject": "rejects; it ends a list (reject_code)",
    "reject_unauth_pipelining": "rejects a client that sends commands ahead of time where it must "
    "not",
    "defer_if_permit": "lets a later permission become a deferral",
    "defer_if_reject": "lets a later rejection become a deferral",
    "sleep": "lets the client wait for some seconds",
    "reject_plaintext_session": "rejects a session without TLS (plaintext_reject_code)",
    "reject_multi_recipient_bounce": "rejects mail from the empty sender to more than one "
    "recipient (multi_recipient_bounce_reject_code)",
    "reject_unlisted_recipient": "rejects a recipient in one of our domains that no table of that "
    "kind of domain has",
    "reject_unlisted_sender": "rejects a sender in one of our domains that no table of that kind of"
    " domain has",
    "reject_sender_login_mismatch": "rejects a sender that belongs to another login, or to a login "
    "where the client has none (smtpd_sender_login_maps)",
    "reject_authenticated_sender_login_mismatch": "rejects a sender that does not belong to the "
    "login (smtpd_sender_login_maps)",
    "reject_unauthenticated_sender_login_mismatch": "rejects a sender that belongs to a login where"
    " the client has none (smtpd_sender_login_maps)",
    "reject_known_sender_login_mismatch": "rejects a sender that smtpd_sender_login_maps gives to "
    "somebody else",
    "permit_mx_backup": "permits mail for domains that have this host among their mail servers",
    "check_policy_service": "asks a policy server, and does what it says as if it came from a "
    "table",
    "reject_rbl_client": "rejects a client whose address is in a DNS list (maps_rbl_reject_code)",
    "reject_maps_rbl": "rejects a client whose address is in one of maps_rbl_domains "
    "(maps_rbl_reject_code)",
    "permit_dnswl_client": "permits a client whose address is in a DNS list",
    "permit_rhswl_client": "permits a client whose name is in a DNS list",
    "reject_rhsbl_client": "rejects a client whose name is in a DNS list (maps_rbl_reject_code)",
    "reject_rhsbl_reverse_client": "rejects a client whose unverified name is in a DNS list "
    "(maps_rbl_reject_code)",
    "reject_rhsbl_helo": "rejects a HELO name that is in a DNS list (maps_rbl_reject_code)",
    "reject_rhsbl_sender": "rejects a sender whose domain is in a DNS list (maps_rbl_reject_code)",
    "reject_rhsbl_recipient": "rejects a recipient whose domain is in a DNS list "
    "(maps_rbl_reject_code)",
    "reject_unverified_sender": "rejects a sender that mail cannot be delivered to, as a probe has "
    "found out (unverified_sender_reject_code)",
    "reject_unverified_recipient": "rejects a recipient that mail cannot be delivered to, as a "
    "probe has found out (unverified_recipient_reject_code)",
    **{
        f"check_{who}_{what}_access": f"looks the {servers} of {whose} up in a table, which must "
        "not say OK"
        for who, whose in _WHOSE.items()
        for what, servers in _SERVERS.items()
    },
}

#: Names of old.
for _old, _new in (
    ("reject_invalid_hostname", "reject_invalid_helo_hostname"),
    ("reject_non_fqdn_hostname", "reject_non_fqdn_helo_hostname"),
    ("reject_unknown_hostname", "reject_unknown_helo_hostname"),
    ("reject_unknown_address", "reject_unknown_sender_domain"),
    ("reject_unknown_client", "reject_unknown_client_hostname"),
    ("check_recipient_maps", "reject_unlisted_recipient"),
    ("reject_rbl", "reject_rbl_client"),
):
    MEANINGS[_old] = MEANINGS[_new]


def meaning(word: str) -> str:
    """What a restriction does; empty for a class of the user's own."""
    return MEANINGS.get(word.lower(), "")
