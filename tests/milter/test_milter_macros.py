"""The values of macros that smtpd(8) knows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from mta.smtpd.milter_macros import macro_value
from mta.smtpd.state import SMTPD_PEER_CODE_FORGED, SMTPD_PEER_CODE_OK, SMTPD_PEER_CODE_TEMP

TLS = SimpleNamespace(
    protocol="TLSv1.2", cipher_name="AES", cipher_usebits=128, peer_CN="cn", issuer_CN="ca",
    is_trusted=True,
)  # fmt: skip


def session(**facts: Any) -> Any:
    """A session with the facts that macros ask for."""
    conf = SimpleNamespace(
        milter_macro_daemon_name="daemon", milter_macro_v="Postfix 3", myhostname="mx.example.org"
    )
    known = {
        "process": SimpleNamespace(conf=conf), "name": "c.test", "reverse_name": "c.test",
        "addr": "2001:db8::7", "rfc_addr": "IPv6:2001:db8::7", "port": "4711", "conn_count": 3,
        "name_status": SMTPD_PEER_CODE_OK, "tls_context": None, "queue_id": None,
        "sasl_server": None, "sasl_method": "PLAIN", "sasl_username": "u", "sasl_sender": None,
        "sender": None, "recipient": None, "milter_reject_text": None,
    }  # fmt: skip
    return SimpleNamespace(**(known | facts))


@pytest.mark.parametrize(
    ("name", "facts", "value"),
    [
        ("{daemon_name}", {}, "daemon"),
        ("v", {}, "Postfix 3"),
        ("j", {}, "mx.example.org"),
        ("{_}", {}, "c.test [2001:db8::7]"),
        ("_", {"reverse_name": "C.TEST"}, "C.TEST [2001:db8::7]"),
        ("_", {"name": "unknown"}, "c.test [2001:db8::7] (may be forged)"),
        ("{client_addr}", {}, "IPv6:2001:db8::7"),
        ("{client_name}", {}, "c.test"),
        ("{client_ptr}", {"reverse_name": "r.test"}, "r.test"),
        ("{client_port}", {}, "4711"),
        ("{client_port}", {"port": "unknown"}, "0"),
        ("{client_connections}", {}, "3"),
        ("{client_resolve}", {}, "OK"),
        ("{client_resolve}", {"name_status": SMTPD_PEER_CODE_FORGED}, "FORGED"),
        ("{client_resolve}", {"name_status": SMTPD_PEER_CODE_TEMP}, "TEMP"),
        ("{client_resolve}", {"name_status": 5}, "FAIL"),
        ("{tls_version}", {}, None),
        ("{tls_version}", {"tls_context": TLS}, "TLSv1.2"),
        ("{cipher}", {"tls_context": TLS}, "AES"),
        ("{cipher_bits}", {"tls_context": TLS}, "128"),
        ("{cert_subject}", {"tls_context": TLS}, "cn"),
        ("{cert_issuer}", {"tls_context": TLS}, "ca"),
        ("{cert_issuer}", {"tls_context": SimpleNamespace(is_trusted=False)}, None),
        ("i", {}, None),
        ("i", {"queue_id": "QID"}, "QID"),
        ("{auth_authen}", {}, None),
        ("{auth_type}", {"sasl_server": object()}, "PLAIN"),
        ("{auth_authen}", {"sasl_server": object()}, "u"),
        ("{auth_author}", {"sasl_server": object()}, None),
        ("{mail_addr}", {}, None),
        ("{mail_addr}", {"sender": ""}, ""),
        ("{mail_host}", {}, None),
        ("{rcpt_addr}", {"recipient": ""}, ""),
        ("{if_name}", {}, None),
        ("nothing", {}, None),
    ],
)
def test_facts_of_the_session(name: str, facts: dict[str, Any], value: str | None) -> None:
    assert macro_value(cast(Any, session(**facts)), name) == value


@pytest.mark.parametrize(
    ("refusal", "values"),
    [
        ("554 5.7.1 <a@b>: Relay access denied", ["error", "5.7.1", "Relay access denied"]),
        ("450 4.1.1 <a@b>:", ["error", "4.1.1", None]),
        ("550 no", ["error", "no", None]),
    ],
)
def test_rejected_recipients_are_described(refusal: str, values: list[str | None]) -> None:
    there = session(recipient="a@b", milter_reject_text=refusal)
    names = "{rcpt_mailer}", "{rcpt_host}", "{rcpt_addr}"
    assert [macro_value(there, name) for name in names] == values
