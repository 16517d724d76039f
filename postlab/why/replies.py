"""Replies that come of no access restriction: what they mean, and which parameters decide."""

from __future__ import annotations

import re
from typing import NamedTuple


class Cause(NamedTuple):
    """Why a reply was given."""

    words: str
    parameters: tuple[str, ...] = ()


_TLS_LEVEL = ("smtpd_tls_security_level", "smtpd_enforce_tls")

#: By the text of the reply, behind its code; the first match counts.
_CAUSES: tuple[tuple[re.Pattern[str], Cause], ...] = tuple(
    (re.compile(pattern), Cause(words, parameters))
    for pattern, words, parameters in (
        (r"Must issue a STARTTLS command first",
         "The server takes mail only over TLS; the client has to say STARTTLS before", _TLS_LEVEL),
        (r"Encryption required for requested authentication mechanism",
         "Logins are taken only over TLS", ("smtpd_tls_auth_only", *_TLS_LEVEL)),
        (r"Error: authentication failed", "The login service does not know that name and password",
         ("smtpd_sasl_type", "smtpd_sasl_path", "smtpd_sasl_security_options")),
        (r"Error: authentication not enabled", "Nobody can log in here",
         ("smtpd_sasl_auth_enable", "smtpd_sasl_exceptions_networks")),
        (r"TLS not available due to local problem",
         "The server cannot do TLS: the log tells what is wrong with its key or certificate",
         ("smtpd_tls_cert_file", "smtpd_tls_key_file")),
        (r"Error: send HELO/EHLO first", "The client must say HELO first",
         ("smtpd_helo_required",)),
        (r"Message size exceeds fixed limit", "The client announced a message that is too large",
         ("message_size_limit",)),
        (r"Error: message file too big", "The message turned out to be too large",
         ("message_size_limit",)),
        (r"Insufficient system storage", "The queue's disk is too full for one more message",
         ("queue_minfree", "message_size_limit")),
        (r"Error: too many recipients$", "The message has too many recipients",
         ("smtpd_recipient_limit",)),
        (r"Error: too many recipients from", "The client has had too many recipients in a while",
         ("smtpd_client_recipient_rate_limit", "anvil_rate_time_unit")),
        (r"Error: too much mail from", "The client has sent too many messages in a while",
         ("smtpd_client_message_rate_limit", "anvil_rate_time_unit")),
        (r"Error: too many connections from", "The client has too many connections, now or in a "
         "while", ("smtpd_client_connection_count_limit", "smtpd_client_connection_rate_limit")),
        (r"Error: too many errors", "The client has made too many errors",
         ("smtpd_hard_error_limit",)),
        (r"Must declare SMTPUTF8", "An address that is not ASCII needs SMTPUTF8",
         ("strict_smtputf8",)),
        (r"Bad (sender|recipient) address syntax", "That is no address",
         ("strict_rfc821_envelopes", "resolve_null_domain", "resolve_numeric_domain")),
        (r"DSN support is disabled", "The server does not offer DSN to this client",
         ("smtpd_discard_ehlo_keywords", "smtpd_discard_ehlo_keyword_address_maps")),
        (r"VRFY command is disabled", "VRFY is switched off", ("disable_vrfy_command",)),
        (r"I can break rules, too", "The client said what only web browsers and the like say",
         ("smtpd_forbidden_commands",)),
        (r"Error: queue file write error", "The message could not be stored, or the filter before "
         "the queue could not be reached: the log above tells", ("smtpd_proxy_filter",)),
        (r"Error: no valid recipients", "No recipient was accepted: see RCPT TO", ()),
        (r"Error: need (MAIL|RCPT) command", "The command before was not accepted", ()),
    )
)  # fmt: skip


def cause(reply: str) -> Cause | None:
    """Why a reply was given; None where that is not known."""
    for pattern, found in _CAUSES:
        if pattern.search(reply):
            return found
    return None
