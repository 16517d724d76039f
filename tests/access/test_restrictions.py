"""Every restriction: situation, and the reply that Postfix gives in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from access_bench import Bench

import mta.smtpd.check  # noqa: F401 - registers the restrictions
from mta.lib.requests import (
    RCPT_BOUNCE,
    RCPT_DEFER,
    RCPT_OK,
    RCPT_TODO,
    VRFY_STAT_FAIL,
    VRFY_STAT_OK,
    VerifyReply,
)
from mta.smtpd.check_registry import RESTRICTIONS, WARN_IF_REJECT
from mta.smtpd.state import (
    SMTPD_FLAG_ILL_PIPELINING,
    SMTPD_PEER_CODE_FORGED,
    SMTPD_PEER_CODE_TEMP,
)
from mta.system import Inet
from sim.peers.policy import PolicyRule, PolicyServer, PolicySpec

ZONE = """
sender.test.                   IN A    203.0.113.1
sender.test.                   IN MX   10 mx.sender.test.
mx.sender.test.                IN A    203.0.113.2
sender.test.                   IN NS   ns.sender.test.
ns.sender.test.                IN A    203.0.113.3
sub.sender.test.               IN A    203.0.113.4
null.test.                     IN MX   0 .
text.test.                     IN TXT  "only text"
client.test.                   IN A    198.51.100.7
client.test.                   IN MX   5 mx.client.test.
mx.client.test.                IN A    203.0.113.5
client.test.                   IN NS   ns.client.test.
ns.client.test.                IN A    203.0.113.6
far.test.                      IN A    203.0.113.7
far.test.                      IN MX   10 mx.far.test.
mx.far.test.                   IN A    203.0.113.8
far.test.                      IN NS   ns.far.test.
ns.far.test.                   IN A    203.0.113.9
backup.test.                   IN MX   10 best.backup.test.
backup.test.                   IN MX   20 mail.example.org.
mail.example.org.              IN A    192.0.2.1
best.backup.test.              IN A    203.0.113.10
best.test.                     IN MX   10 mail.example.org.
7.100.51.198.list.test.        IN A    127.0.0.2
7.100.51.198.list.test.        IN TXT  "a reason"
client.test.names.test.        IN A    127.0.0.3
sender.test.names.test.        IN A    127.0.0.4
far.test.names.test.           IN A    127.0.0.5
"""
FAULTS = {
    "down.test. A": "servfail",
    "down.test. AAAA": "servfail",
    "down.test. MX": "servfail",
    "7.100.51.198.dead.test. A": "servfail",
}

DENIED = "554 5.7.1 <to@example.org>: Recipient address rejected: Access denied"
CONFUSED = "451 4.3.5 Server configuration error"
RELAY = "Relay access denied"
#: What the policy server of the bench says.
POLICY = "inet:127.0.0.1:9998"


@dataclass
class Case:
    """A list of restrictions, what is different from the usual session, and the reply."""

    rules: str
    reply: str | None
    main: dict[str, str] = field(default_factory=dict)
    rcpt: str = "to@example.org"
    session: dict[str, Any] = field(default_factory=dict)
    verify: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.rules.split()[0].rstrip(",").lower()

    def __str__(self) -> str:
        return f"{self.rules} {self.session or ''} {self.rcpt} {self.main or ''}"


def tls(present: bool = True, trusted: bool = False, fingerprint: str = "AA:BB") -> Any:
    return SimpleNamespace(
        is_present=present,
        is_trusted=trusted,
        peer_cert_fprint=fingerprint,
        peer_pkey_fprint="CC:DD",
        peer_CN="client",
        issuer_CN="ca",
        protocol="TLSv1.2",
        cipher_name="AES",
        cipher_usebits=256,
    )


LOGIN = {
    "smtpd_sasl_auth_enable": "yes",
    "smtpd_sender_login_maps": "inline:{ {from@sender.test=joe, jim} }",
}


class _SaslServer:
    """A stand-in for the server of a session, with the same name in every process."""

    def __repr__(self) -> str:
        return "a SASL server"


SASL_SERVER = _SaslServer()


def logged_in(user: str | None) -> dict[str, Any]:
    return {"sasl_server": SASL_SERVER, "sasl_username": user, "sasl_method": user and "plain"}


def helo(name: str | None) -> dict[str, Any]:
    return {"helo_name": name}


def sender(address: str) -> dict[str, Any]:
    return {"sender": address}


def denied(what: str, kind: str, code: str = "554 5.7.1", text: str = "Access denied") -> str:
    return f"{code} <{what}>: {kind} rejected: {text}"


CLIENT = "client.test[198.51.100.7]"
HELO, SENDER, RCPT = "Helo command", "Sender address", "Recipient address"

CASES = [
    # whatever comes
    Case("permit", None),
    Case("PERMIT, reject", None),
    Case("reject", DENIED),
    Case("reject", "521 5.7.1 <to@example.org>: Recipient address rejected: Access denied",
         {"reject_code": "521"}),
    Case("defer", denied("to@example.org", RCPT, "450 4.3.2", "Try again later")),
    Case("defer_if_permit",
         denied("to@example.org", RCPT, "450 4.7.0", "defer_if_permit requested")),
    Case("defer_if_permit, reject", DENIED),
    Case("defer_if_reject", None),
    Case("defer_if_reject, reject",
         denied("to@example.org", RCPT, "450 4.7.0", "defer_if_reject requested")),
    Case("warn_if_reject reject", None),
    Case("warn_if_reject reject, reject", DENIED),
    Case("sleep 5, reject", DENIED),
    Case("sleep soon", CONFUSED),
    Case("sleep", CONFUSED),
    Case("reject_unauth_pipelining", None),
    Case("reject_unauth_pipelining",
         denied("to@example.org", RCPT, "503 5.5.0", "Improper use of SMTP command pipelining"),
         session={"flags": SMTPD_FLAG_ILL_PIPELINING}),
    Case("reject_plaintext_session", "450 4.7.1 Session encryption is required"),
    Case("reject_plaintext_session", None, session={"tls_context": tls()}),
    Case("reject_multi_recipient_bounce", None, session=sender("") | {"rcpt_count": 0}),
    Case("reject_multi_recipient_bounce",
         denied("to@example.org", RCPT, "550 5.5.3", "Multi-recipient bounce"),
         session=sender("") | {"rcpt_count": 1}),
    Case("reject_multi_recipient_bounce", None, session={"rcpt_count": 5}),
    # the client
    Case("permit_mynetworks, reject", DENIED),
    Case("permit_mynetworks, reject", None, session={"addr": "192.0.2.9"}),
    Case("permit_inet_interfaces, reject", DENIED, session={"addr": "192.0.2.9"}),
    Case("permit_inet_interfaces, reject", None, session={"addr": "192.0.2.1"}),
    Case("permit_sasl_authenticated, reject", DENIED),
    Case("permit_sasl_authenticated, reject", None, session=logged_in("joe")),
    Case("permit_sasl_authenticated, reject", DENIED,
         session=logged_in("joe") | {"sasl_method": "anonymous"}),
    Case("permit_tls_clientcerts, reject", DENIED),
    Case("permit_tls_clientcerts, reject", DENIED, session={"tls_context": tls(trusted=True)}),
    Case("permit_tls_clientcerts, reject", None, {"relay_clientcerts": "inline:{AA:BB=x}"},
         session={"tls_context": tls()}),
    Case("permit_tls_clientcerts, reject", None, {"relay_clientcerts": "inline:{CC:DD=x}"},
         session={"tls_context": tls()}),
    Case("permit_tls_clientcerts, reject", "451 4.3.0 <to@example.org>: Temporary lookup failure",
         {"relay_clientcerts": "fail:x"}, session={"tls_context": tls()}),
    Case("permit_tls_all_clientcerts, reject", None, session={"tls_context": tls(trusted=True)}),
    Case("permit_tls_all_clientcerts, reject", DENIED, session={"tls_context": tls()}),
    Case("check_ccert_access inline:{AA:BB=reject}", denied("client", "Client certificate"),
         session={"tls_context": tls()}),
    Case("check_ccert_access inline:{CC:DD=REJECT}", denied("client", "Client certificate"),
         session={"tls_context": tls()}),
    Case("check_ccert_access inline:{AA:BB=REJECT}", None),
    Case("check_sasl_access inline:{joe=REJECT}", denied("joe", "SASL login name"),
         {"smtpd_sasl_auth_enable": "yes"}, session=logged_in("joe")),
    Case("check_sasl_access inline:{joe=REJECT}", None, session=logged_in("joe")),
    Case("reject_unknown_client_hostname", None),
    Case("reject_unknown_client_hostname",
         "450 4.7.25 Client host rejected: cannot find your hostname, [198.51.100.7]",
         session={"name_status": SMTPD_PEER_CODE_FORGED}),
    Case("reject_unknown_client",
         "550 5.7.25 Client host rejected: cannot find your hostname, [198.51.100.7]",
         {"unknown_client_reject_code": "550"}, session={"name_status": SMTPD_PEER_CODE_FORGED}),
    Case("reject_unknown_client_hostname",
         "450 4.7.25 Client host rejected: cannot find your hostname, [198.51.100.7]",
         {"unknown_client_reject_code": "550"}, session={"name_status": SMTPD_PEER_CODE_TEMP}),
    Case("reject_unknown_reverse_client_hostname",
         "450 4.7.1 Client host rejected: cannot find your reverse hostname, [198.51.100.7]",
         {"unknown_client_reject_code": "550"},
         session={"reverse_name_status": SMTPD_PEER_CODE_TEMP}),
    Case("reject_unknown_reverse_client_hostname", None),
    Case("check_client_access inline:{client.test=REJECT}", denied(CLIENT, "Client host")),
    Case("check_client_access inline:{test=REJECT}", denied(CLIENT, "Client host")),
    Case("check_client_access inline:{198.51.100=REJECT}", denied(CLIENT, "Client host")),
    Case("check_client_access inline:{{198.51.100.7=DUNNO} {198=REJECT}}", None),
    Case("check_client_access fail:x", denied(CLIENT, "Client host", "451 4.3.5", CONFUSED[10:])),
    Case("check_client_access", CONFUSED),
    Case("check_client_access access", CONFUSED),
    Case("check_reverse_client_hostname_access inline:{client.test=REJECT}",
         denied("client.test", "Unverified Client host")),
    Case("check_reverse_client_hostname_access inline:{client.test=OK}", CONFUSED),
    Case("check_client_mx_access inline:{203.0.113.5=REJECT}", denied(CLIENT, "Client host")),
    Case("check_client_ns_access inline:{ns.client.test=REJECT}", denied(CLIENT, "Client host")),
    Case("check_client_a_access inline:{198.51.100.7=REJECT}", denied(CLIENT, "Client host")),
    Case("check_client_a_access inline:{198.51.100.7=REJECT}", None,
         session={"name": "unknown"}),
    Case("check_client_mx_access inline:{203.0.113.5=OK}", CONFUSED),
    Case("check_reverse_client_hostname_mx_access inline:{mx.client.test=REJECT}",
         denied("client.test", "Unverified Client host")),
    Case("check_reverse_client_hostname_ns_access inline:{203.0.113.6=REJECT}",
         denied("client.test", "Unverified Client host")),
    Case("check_reverse_client_hostname_a_access inline:{198.51=REJECT}",
         denied("client.test", "Unverified Client host")),
    # lists in the DNS
    Case("reject_rbl_client list.test",
         "554 5.7.1 Service unavailable; Client host [198.51.100.7] blocked using list.test; "
         "a reason"),
    Case("reject_rbl list.test=127.0.0.[1..3]",
         "554 5.7.1 Service unavailable; Client host [198.51.100.7] blocked using list.test; "
         "a reason"),
    Case("reject_rbl_client list.test=127.0.0.3", None),
    Case("reject_rbl_client dead.test", None),
    Case("reject_rbl_client list.test", "571 5.7.1 client.test sent mail", {
        "rbl_reply_maps": "inline:{{list.test=571 5.7.1 $$client_name sent mail}}"}),
    Case("reject_rbl_client", None),
    Case("reject_maps_rbl",
         "554 5.7.1 Service unavailable; Client host [198.51.100.7] blocked using list.test; "
         "a reason", {"maps_rbl_domains": "other.test, list.test"}),
    Case("permit_dnswl_client list.test, reject", None),
    Case("permit_dnswl_client list.test, reject", f"554 5.7.1 <x@far.test>: {RCPT} rejected: "
         "Access denied", rcpt="x@far.test"),
    Case("permit_dnswl_client dead.test, reject",
         denied("198.51.100.7", "Client host", "450 4.7.1", "Service unavailable")),
    Case("permit_rhswl_client names.test, reject", None),
    Case("permit_rhswl_client names.test, reject", DENIED, session={"name": "unknown"}),
    Case("reject_rhsbl_client names.test",
         "554 5.7.1 Service unavailable; Client host [client.test] blocked using names.test"),
    Case("reject_rhsbl_reverse_client names.test",
         "554 5.7.1 Service unavailable; Unverified Client host [client.test] blocked using "
         "names.test"),
    Case("reject_rhsbl_helo names.test",
         "554 5.7.1 Service unavailable; Helo command [client.test] blocked using names.test"),
    Case("reject_rhsbl_helo names.test", None, session=helo(None)),
    Case("reject_rhsbl_sender names.test",
         "554 5.7.1 Service unavailable; Sender address [from@sender.test] blocked using "
         "names.test"),
    Case("reject_rhsbl_sender names.test", None, session=sender("x@[198.51.100.7]")),
    Case("reject_rhsbl_recipient names.test",
         "554 5.7.1 Service unavailable; Recipient address [x@far.test] blocked using names.test",
         rcpt="x@far.test"),
    # HELO
    Case("reject_invalid_helo_hostname", None, session=helo("[198.51.100.7]")),
    Case("reject_invalid_helo_hostname", denied("a..b", HELO, "501 5.5.2", "Invalid name"),
         session=helo("a..b")),
    Case("reject_invalid_hostname", denied("[1.2.3]", HELO, "501 5.5.2", "invalid ip address"),
         session=helo("[1.2.3]")),
    Case("reject_invalid_helo_hostname", None, session=helo(None)),
    Case("reject_non_fqdn_helo_hostname",
         denied("localhost", HELO, "504 5.5.2", "need fully-qualified hostname"),
         session=helo("localhost")),
    Case("reject_non_fqdn_hostname", None, session=helo("client.test.")),
    Case("reject_unknown_helo_hostname", None),
    Case("reject_unknown_helo_hostname", None, session=helo("null.test")),
    Case("reject_unknown_helo_hostname",
         denied("no.test", HELO, "450 4.7.1", "Host not found"), session=helo("no.test")),
    Case("reject_unknown_hostname",
         denied("no.test", HELO, "550 5.7.1", "Host not found"),
         {"unknown_hostname_reject_code": "550"}, session=helo("no.test")),
    Case("reject_unknown_helo_hostname, reject", DENIED, session=helo("down.test")),
    Case("reject_unknown_helo_hostname",
         denied("down.test", HELO, "450 4.7.1", "Host not found"), session=helo("down.test")),
    Case("reject_unknown_helo_hostname, reject",
         denied("down.test", HELO, "450 4.7.1", "Host not found"),
         {"unknown_helo_hostname_tempfail_action": "defer"}, session=helo("down.test")),
    Case("permit_naked_ip_address, reject", None, session=helo("198.51.100.7")),
    Case("permit_naked_ip_address, reject", DENIED),
    Case("check_helo_access inline:{client.test=REJECT}", denied("client.test", HELO)),
    Case("check_helo_access inline:{client.test=REJECT}", None, session=helo(None)),
    Case("check_helo_mx_access inline:{203.0.113.5=REJECT}", denied("client.test", HELO)),
    Case("check_helo_ns_access inline:{203.0.113.6=REJECT}", denied("client.test", HELO)),
    Case("check_helo_a_access inline:{198.51.100.7=REJECT}", denied("client.test", HELO)),
    Case("check_helo_mx_access inline:{198.51.100.7=REJECT}",
         denied("[198.51.100.7]", HELO), session=helo("[198.51.100.7]")),
    # the sender
    Case("check_sender_access inline:{from@sender.test=REJECT}",
         denied("from@sender.test", SENDER)),
    Case("check_sender_access inline:{from@=REJECT}", denied("from@sender.test", SENDER)),
    Case("check_sender_access inline:{<>=REJECT}", denied("", SENDER), session=sender("")),
    Case("check_sender_access inline:{from@sender.test=REJECT}",
         denied("from+x@sender.test", SENDER), {"recipient_delimiter": "+"},
         session=sender("from+x@sender.test")),
    Case("reject_non_fqdn_sender",
         denied("from@sender", SENDER, "504 5.5.2", "need fully-qualified address"),
         session=sender("from@sender")),
    Case("reject_non_fqdn_sender", None, session=sender("")),
    Case("reject_unknown_sender_domain", None),
    Case("reject_unknown_sender_domain", None, session=sender("x@example.org")),
    Case("reject_unknown_sender_domain",
         denied("x@no.test", SENDER, "450 4.1.8", "Domain not found"), session=sender("x@no.test")),
    Case("reject_unknown_address",
         denied("x@text.test", SENDER, "550 5.1.8", "Domain not found"),
         {"unknown_address_reject_code": "550"}, session=sender("x@text.test")),
    Case("reject_unknown_sender_domain",
         denied("x@null.test", SENDER, "550 5.7.27",
                "Domain null.test does not accept mail (nullMX)"), session=sender("x@null.test")),
    Case("reject_unknown_sender_domain, reject", DENIED, session=sender("x@down.test")),
    Case("reject_unlisted_sender, permit",
         denied("no@example.org", SENDER, "550 5.1.0", "User unknown in local recipient table"),
         {"local_recipient_maps": "inline:{to=x}"}, session=sender("no@example.org")),
    Case("reject_unverified_sender",
         denied("from@sender.test", SENDER, "550 5.1.7", "undeliverable address: no such"),
         {"unverified_sender_reject_code": "550"},
         verify={"from@sender.test": VerifyReply(VRFY_STAT_OK, RCPT_BOUNCE, "no such")}),
    Case("reject_unverified_sender", None),
    Case("check_sender_mx_access inline:{mx.sender.test=REJECT}",
         denied("from@sender.test", SENDER)),
    Case("check_sender_ns_access inline:{203.0.113.3=REJECT}",
         denied("x@sub.sender.test", SENDER), session=sender("x@sub.sender.test")),
    Case("check_sender_a_access inline:{203.0.113.1=REJECT}",
         denied("from@sender.test", SENDER)),
    Case("check_sender_a_access inline:{203.0.113.1=OK}", CONFUSED),
    Case("reject_authenticated_sender_login_mismatch", None, LOGIN, session=logged_in("Joe")),
    Case("reject_authenticated_sender_login_mismatch",
         "553 5.7.1 <from@sender.test>: Sender address rejected: not owned by user eve",
         LOGIN, session=logged_in("eve")),
    Case("reject_authenticated_sender_login_mismatch",
         "553 5.7.1 <x@free.test>: Sender address rejected: not owned by user joe",
         LOGIN, session=logged_in("joe") | sender("x@free.test")),
    Case("reject_known_sender_login_mismatch", None, LOGIN,
         session=logged_in("joe") | sender("x@free.test")),
    Case("reject_known_sender_login_mismatch",
         "553 5.7.1 <from@sender.test>: Sender address rejected: not logged in", LOGIN),
    Case("reject_unauthenticated_sender_login_mismatch",
         "553 5.7.1 <from@sender.test>: Sender address rejected: not logged in", LOGIN),
    Case("reject_unauthenticated_sender_login_mismatch", None, LOGIN, session=logged_in("eve")),
    Case("reject_sender_login_mismatch",
         "553 5.7.1 <from@sender.test>: Sender address rejected: not logged in", LOGIN),
    Case("reject_sender_login_mismatch", None),
    # the recipient
    Case("check_recipient_access inline:{to@example.org=REJECT}", DENIED),
    Case("check_recipient_access inline:{example.org=OK}, reject", None),
    Case("check_recipient_access inline:{example.org=OK}, reject",
         denied("a%far.test@example.org", RCPT), rcpt="a%far.test@example.org"),
    Case("permit_auth_destination, reject", None),
    Case("permit_auth_destination, reject", denied("x@far.test", RCPT), rcpt="x@far.test"),
    Case("reject_unauth_destination", None),
    Case("reject_unauth_destination", f"554 5.7.1 <x@far.test>: {RELAY}", rcpt="x@far.test"),
    Case("reject_unauth_destination", None, {"relay_domains": "far.test"}, rcpt="x@a.far.test"),
    Case("reject_unauth_destination", f"554 5.7.1 <a%far.test@example.org>: {RELAY}",
         rcpt="a%far.test@example.org"),
    Case("defer_unauth_destination", f"454 4.7.1 <x@far.test>: {RELAY}", rcpt="x@far.test"),
    Case("check_relay_domains", denied("x@far.test", RCPT, "554 5.7.1", RELAY),
         rcpt="x@far.test"),
    Case("check_relay_domains, reject", None, {"relay_domains": "client.test"},
         rcpt="x@far.test"),
    Case("permit_mx_backup, reject", None, rcpt="x@backup.test"),
    Case("permit_mx_backup, reject", denied("x@best.test", RCPT), rcpt="x@best.test"),
    Case("permit_mx_backup, reject", denied("x@backup.test", RCPT),
         {"permit_mx_backup_networks": "198.51.100.0/24"}, rcpt="x@backup.test"),
    Case("permit_mx_backup, reject", None,
         {"permit_mx_backup_networks": "203.0.113.0/24"}, rcpt="x@backup.test"),
    Case("permit_mx_backup, reject",
         denied("x@down.test", RCPT, "450 4.4.4", "Unable to look up mail exchanger information: "
                "Host not found, try again"), rcpt="x@down.test"),
    Case("reject_non_fqdn_recipient",
         denied("to@far", RCPT, "504 5.5.2", "need fully-qualified address"), rcpt="to@far"),
    Case("reject_unknown_recipient_domain, permit",
         denied("x@no.test", RCPT, "450 4.1.2", "Domain not found"), rcpt="x@no.test"),
    Case("reject_unknown_recipient_domain, permit",
         denied("x@null.test", RCPT, "556 5.1.10",
                "Domain null.test does not accept mail (nullMX)"), rcpt="x@null.test"),
    Case("reject_unknown_recipient_domain, permit",
         denied("x@null.test", RCPT, "550 5.1.10",
                "Domain null.test does not accept mail (nullMX)"),
         {"nullmx_reject_code": "550"}, rcpt="x@null.test"),
    Case("reject_unlisted_recipient",
         denied("no@example.org", RCPT, "550 5.1.1", "User unknown in local recipient table"),
         {"local_recipient_maps": "inline:{to=x}"}, rcpt="no@example.org"),
    Case("check_recipient_maps",
         denied("no@example.org", RCPT, "550 5.1.1", "User unknown"),
         {"local_recipient_maps": "inline:{to=x}", "show_user_unknown_table_name": "no"},
         rcpt="no@example.org"),
    Case("reject_unlisted_recipient", None, {"local_recipient_maps": "inline:{to=x}"}),
    Case("reject_unverified_recipient",
         denied("to@example.org", RCPT, "450 4.1.1", "unverified address: busy"),
         verify={"to@example.org": VerifyReply(VRFY_STAT_OK, RCPT_DEFER, "busy")}),
    Case("reject_unverified_recipient",
         denied("to@example.org", RCPT, "550 5.1.1", "undeliverable address: ask elsewhere"),
         {"unverified_recipient_reject_code": "550",
          "unverified_recipient_reject_reason": "ask elsewhere"},
         verify={"to@example.org": VerifyReply(VRFY_STAT_OK, RCPT_BOUNCE, "no such")}),
    Case("reject_unverified_recipient",
         denied("to@example.org", RCPT, "450 4.1.1", "address verification problem"),
         verify={"to@example.org": VerifyReply(VRFY_STAT_FAIL)}),
    Case("reject_unverified_recipient", None,
         verify={"to@example.org": [VerifyReply(VRFY_STAT_OK, RCPT_TODO, "not yet"),
                                    VerifyReply(VRFY_STAT_OK, RCPT_TODO, "not yet"),
                                    VerifyReply(VRFY_STAT_OK, RCPT_OK)]}),
    Case("check_recipient_mx_access inline:{mx.far.test=REJECT}", denied("x@far.test", RCPT),
         rcpt="x@far.test"),
    Case("check_recipient_ns_access inline:{ns.far.test=REJECT}", denied("x@far.test", RCPT),
         rcpt="x@far.test"),
    Case("check_recipient_a_access inline:{203.0.113.7=REJECT}", denied("x@far.test", RCPT),
         rcpt="x@far.test"),
    # others
    Case("check_etrn_access inline:{dial.test=REJECT}", None),
    Case("check_etrn_access inline:{dial.test=REJECT}", denied("dial.test", "Etrn command"),
         session={"etrn_name": "dial.test"}),
    Case(f"check_policy_service {POLICY}", denied("to@example.org", RCPT, text="by policy")),
    Case("check_policy_service unix:private/no",
         denied("to@example.org", RCPT, "451 4.3.5", "Server configuration problem")),
    Case("check_policy_service", CONFUSED),
    Case("no_such_restriction", CONFUSED),
]  # fmt: skip


#: Leaves all to smtpd_recipient_restrictions, which then need not reject anything.
ALONE = {
    "smtpd_relay_restrictions": "check_client_access static:OK, reject",
    "smtpd_reject_unlisted_recipient": "no",
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_reply_is_postfix_s(case: Case) -> None:
    bench = Bench(
        {"smtpd_recipient_restrictions": case.rules, **ALONE, **case.main},
        zone=ZONE,
        faults=FAULTS,
        verify=case.verify,
    )
    rule = PolicyRule(action="REJECT by policy")
    PolicyServer(PolicySpec([rule]), bench.machine, Inet("127.0.0.1", 9998)).start()
    for name, value in case.session.items():
        setattr(bench.session, name, value)
    assert bench.rcpt(case.rcpt) == case.reply
    assert any("reject:" in line for line in bench.log) == (case.reply is not None)


def test_every_restriction_has_a_case() -> None:
    tested = {case.name for case in CASES}
    missing = {*RESTRICTIONS, WARN_IF_REJECT, "reject_sender_login_mismatch"} - tested
    assert missing == set()
