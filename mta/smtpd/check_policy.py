"""check_policy_service: what a policy server says (SMTPD_POLICY_README)."""

from __future__ import annotations

from typing import Any

from mta.smtpd.check_actions import check_table_result
from mta.smtpd.check_registry import Argument, Scope, Step, restriction
from mta.smtpd.state import SMTPD_AFTER_DOT, SMTPD_CMD_DATA, Session
from mta.system import Wait
from mta.util.casefold import valid_utf8
from mta.wire.quote import xtext_quote

_DEFAULT_ACTION = "451 4.3.5 Server configuration problem"


@restriction("check_policy_service", argument=Argument.POLICY)
def check_policy_service(scope: Scope, step: Step) -> Wait[int]:
    """Does what the server says, as if it came from an access table; without an answer, what
    ``default_action`` says.
    """
    session = scope.session
    process = session.process
    server: str = step.argument
    client = scope.rules.policy_clients[server]
    action = yield from client.request(_attributes(session), session)
    if action is not None and process.conf.smtputf8_enable and not valid_utf8(action):
        process.log.warning(
            f'malformed UTF-8 in policy server {server} response: "{action}"'
        )
        action = None
    if process.system.decisions is not None:
        process.decide("policy", server=server, action=action)
    if action is not None:
        behind = scope.rules.value_buffer("").put(action)
        return (yield from _do(scope, server, action, behind))
    rules = scope.rules
    rules.policy_nesting += 1
    try:
        default = client.options.default_action if rules.policy_nesting == 1 else _DEFAULT_ACTION
        return (yield from _do(scope, server, default))
    finally:
        rules.policy_nesting -= 1


def _do(scope: Scope, server: str, action: str, behind: str = "") -> Wait[int]:
    return check_table_result(
        scope, server, action, "policy query", scope.reply_name, scope.reply_class, behind
    )


def _attributes(session: Session) -> list[tuple[str, str]]:
    """The request, in Postfix's order."""
    count = session.rcpt_count if session.where in (SMTPD_CMD_DATA, SMTPD_AFTER_DOT) else 0
    size = session.act_size if session.act_size > 0 else session.msg_size
    return [
        ("request", "smtpd_access_policy"),
        ("protocol_state", session.where),
        ("protocol_name", session.protocol),
        ("client_address", session.addr),
        ("client_name", session.name),
        ("client_port", session.port),
        ("reverse_client_name", session.reverse_name),
        ("helo_name", session.helo_name or ""),
        ("sender", session.sender or ""),
        ("recipient", session.recipient or ""),
        ("recipient_count", str(count)),
        ("queue_id", session.queue_id or ""),
        ("instance", session.instance),
        ("size", str(size)),
        ("etrn_domain", session.etrn_name or ""),
        ("stress", session.process.conf.stress),
        ("sasl_method", session.sasl_method or ""),
        ("sasl_username", session.sasl_username or ""),
        ("sasl_sender", session.sasl_sender or ""),
        *_tls_attributes(session.tls_context),
    ]


def _tls_attributes(context: Any) -> list[tuple[str, str]]:
    """What is known of the client's certificate and of the encryption."""
    trusted = context is not None and context.is_trusted
    return [
        ("ccert_subject", xtext_quote(context.peer_CN) if trusted else ""),
        ("ccert_issuer", xtext_quote(context.issuer_CN) if trusted else ""),
        ("ccert_fingerprint", context.peer_cert_fprint if context else ""),
        ("ccert_pubkey_fingerprint", context.peer_pkey_fprint if context else ""),
        ("encryption_protocol", context.protocol if context else ""),
        ("encryption_cipher", context.cipher_name if context else ""),
        ("encryption_keysize", str(context.cipher_usebits) if context else "0"),
    ]
