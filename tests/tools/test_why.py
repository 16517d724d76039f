"""``postlab why``: the decisions that led to each reply, and where the rules stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mta.smtpd.check  # noqa: F401 - registers the restrictions
from mta.conf.conf import Conf
from mta.smtpd.check_registry import RESTRICTIONS
from postlab.why import Session, Story, Words, why
from postlab.why.circumstances import circumstance
from postlab.why.meanings import MEANINGS, meaning
from postlab.why.replies import cause
from postlab.why.show import data_of, text_of

MAIN_CF = """\
mydestination = example.org
mynetworks = 127.0.0.0/8
local_recipient_maps =
smtpd_restriction_classes = strict
strict =
    reject_unknown_sender_domain,
    check_sender_access hash:/etc/postfix/senders
smtpd_recipient_restrictions =
    permit_mynetworks,
    check_recipient_access hash:/etc/postfix/access,
    warn_if_reject reject_plaintext_session,
    reject_unknown_client_hostname
"""
ACCESS = """\
# people
joe@example.org   strict
ann@example.org   REJECT 5.7.9 Ann wants no mail
eve@example.org   DEFER_IF_PERMIT wait for it
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (
        ("main.cf", MAIN_CF),
        ("access", ACCESS),
        ("senders", "bad.test REJECT spammers\n"),
    ):
        (tmp_path / name).write_text(text)
    return tmp_path


def told(path: Path, **facts: Any) -> tuple[Story, Words]:
    session = {"client": "198.51.100.7", "sender": "a@good.test", **facts}
    return why(path, Session(**session))


def lines(path: Path, **facts: Any) -> list[str]:
    return [line.strip() for line in text_of(*told(path, **facts))]


def test_every_restriction_has_its_meaning() -> None:
    assert [name for name in RESTRICTIONS if not meaning(name)] == []
    # a class of Postfix's own
    assert set(MEANINGS) - set(RESTRICTIONS) == {"reject_sender_login_mismatch"}


def test_a_rejection_is_traced_to_the_line_of_the_table(folder: Path) -> None:
    found = lines(folder, recipients=["ann@example.org"])
    reply = "554 5.7.9 <ann@example.org>: Recipient address rejected: Ann wants no mail"
    assert f"RCPT TO:<ann@example.org> was refused: {reply}" in found
    assert (
        "It was check_recipient_access hash:/etc/postfix/access in smtpd_recipient_restrictions, "
        f"{folder}/main.cf:10."
    ) in found
    assert (
        "Here: hash:/etc/postfix/access has ann@example.org: REJECT 5.7.9 Ann wants no mail "
        f"({folder}/access:3)"
    ) in found


def test_a_class_that_a_table_names_is_followed(folder: Path) -> None:
    found = lines(folder, sender="x@bad.test", recipients=["joe@example.org"])
    at = found.index("hash:/etc/postfix/access says strict, which is a list of restrictions:")
    assert found[at + 1] == "strict (a restriction class)"
    assert found[at + 2] == f"strict ({folder}/main.cf:5)"
    assert found[at + 3] == f"reject_unknown_sender_domain  [{folder}/main.cf:6]"
    assert (
        f"It was check_sender_access hash:/etc/postfix/senders in strict, {folder}/main.cf:7."
        in (found)
    )


def test_what_a_test_would_have_done_is_told(folder: Path) -> None:
    found = lines(folder, name="client.test", recipients=["bob@example.org"])
    assert (
        "-> would reject: 450 4.7.1 Session encryption is required; but this is only a test "
        "(warn_if_reject)"
    ) in found
    assert found[-1] == "The mail was accepted."


def test_what_was_put_off_is_traced_to_who_put_it_off(folder: Path) -> None:
    found = lines(folder, name="client.test", recipients=["eve@example.org"])
    reply = "450 4.7.1 <eve@example.org>: Recipient address rejected: wait for it"
    assert f"what was put off comes now: {reply}" in found
    assert any(line.startswith("It was check_recipient_access ") for line in found)
    assert (
        "It put this off until something permits the mail, as the rest of the lists did." in found
    )


def test_a_default_of_postfix_is_named_as_one(folder: Path) -> None:
    found = lines(folder, recipients=["x@far.test"])
    assert "smtpd_relay_restrictions (Postfix's default)" in found
    assert "It was defer_unauth_destination in smtpd_relay_restrictions, by default." in found
    assert "the client has not logged in" in found


def test_what_the_restriction_saw_is_told_where_it_asked_nobody(folder: Path) -> None:
    found = lines(folder, recipients=["bob@example.org"])
    assert "Here: no name was found for the client's address 198.51.100.7" in found
    assert "Its reply code is that of unknown_client_reject_code." in found


def test_programs_get_the_same(folder: Path) -> None:
    data = json.loads(json.dumps(data_of(*told(folder, recipients=["ann@example.org"]))))
    assert data["accepted"] is False
    decision = data["refused"]["decision"]
    assert decision["at"] == {"file": f"{folder}/main.cf", "line": 10}
    assert decision["inputs"]["client_address"] == "198.51.100.7"
    assert decision["circumstance"] == "the recipient is <ann@example.org>"
    entry = decision["asked"][-1]
    assert (entry["key"], entry["value"]) == ("ann@example.org", "REJECT 5.7.9 Ann wants no mail")
    assert entry["at"] == {"file": f"{folder}/access", "line": 3}
    rcpt = next(e for e in data["session"] if e["command"] == "RCPT TO:<ann@example.org>")
    assert rcpt["log"][0].startswith("NOQUEUE: reject: RCPT from unknown[198.51.100.7]: 554 5.7.9")


def test_a_class_without_a_line_of_its_own_stands_where_it_is_named(tmp_path: Path) -> None:
    settings = (
        "mydestination = example.org\nsmtpd_sasl_auth_enable = yes\n"
        "smtpd_sender_login_maps = static:joe\n"
        "smtpd_sender_restrictions = reject_sender_login_mismatch\n"
    )
    (tmp_path / "main.cf").write_text(settings)
    found = lines(tmp_path, login="ann", recipients=["postmaster@example.org"])
    assert (
        "It was reject_authenticated_sender_login_mismatch in reject_sender_login_mismatch, "
        f"{tmp_path}/main.cf:4."
    ) in found
    assert "Here: the client has logged in as ann; the sender is <a@good.test>" in found


def test_a_reply_that_comes_of_no_restriction_is_explained(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("mydestination = example.org\nsmtpd_enforce_tls = yes\n")
    found = lines(tmp_path, recipients=["a@example.org"])
    assert found[-3:] == [
        "No access restriction said so. The server takes mail only over TLS; the client has to say "
        "STARTTLS before.",
        "smtpd_tls_security_level has a say in it (Postfix's default).",
        f"smtpd_enforce_tls has a say in it ({tmp_path}/main.cf:2).",
    ]
    data = data_of(*told(tmp_path, recipients=["a@example.org"]))
    assert data["refused"]["decision"] is None
    assert data["refused"]["parameters"] == ["smtpd_tls_security_level", "smtpd_enforce_tls"]


@pytest.mark.parametrize(
    ("reply", "parameter"),
    [
        ("530 5.7.0 Must issue a STARTTLS command first", "smtpd_tls_security_level"),
        ("504 5.5.4 Encryption required for requested authentication mechanism",
         "smtpd_tls_auth_only"),
        ("535 5.7.8 Error: authentication failed: x", "smtpd_sasl_type"),
        ("503 5.5.1 Error: authentication not enabled", "smtpd_sasl_auth_enable"),
        ("454 4.7.0 TLS not available due to local problem", "smtpd_tls_cert_file"),
        ("503 5.5.1 Error: send HELO/EHLO first", "smtpd_helo_required"),
        ("552 5.3.4 Message size exceeds fixed limit", "message_size_limit"),
        ("552 5.3.4 Error: message file too big", "message_size_limit"),
        ("452 4.3.1 Insufficient system storage", "queue_minfree"),
        ("452 4.5.3 Error: too many recipients", "smtpd_recipient_limit"),
        ("450 4.7.1 Error: too many recipients from 192.0.2.1",
         "smtpd_client_recipient_rate_limit"),
        ("450 4.7.1 Error: too much mail from 192.0.2.1", "smtpd_client_message_rate_limit"),
        ("421 4.7.0 mx Error: too many connections from 192.0.2.1",
         "smtpd_client_connection_count_limit"),
        ("421 4.7.0 mx Error: too many errors", "smtpd_hard_error_limit"),
        ("553 5.6.7 Must declare SMTPUTF8 to send unicode address", "strict_smtputf8"),
        ("501 5.1.3 Bad recipient address syntax", "strict_rfc821_envelopes"),
        ("501 5.7.1 DSN support is disabled", "smtpd_discard_ehlo_keywords"),
        ("502 5.5.1 VRFY command is disabled", "disable_vrfy_command"),
        ("221 2.7.0 Error: I can break rules, too. Goodbye.", "smtpd_forbidden_commands"),
        ("451 4.3.0 Error: queue file write error", "smtpd_proxy_filter"),
        ("554 5.5.1 Error: no valid recipients", ""),
        ("503 5.5.1 Error: need MAIL command", ""),
    ],
)  # fmt: skip
def test_what_has_a_say_in_a_reply(reply: str, parameter: str) -> None:
    found = cause(reply)
    assert found is not None
    assert (found.parameters or ("",))[0] == parameter
    assert all(hasattr(Conf, name) for name in found.parameters)


def test_a_reply_of_a_kind_that_is_not_known_has_no_cause() -> None:
    assert cause("550 5.7.1 no") is None


INPUTS = {
    "client_name": "unknown",
    "reverse_client_name": "host.test",
    "client_address": "198.51.100.7",
    "helo_name": None,
    "sender": "",
    "recipient": None,
    "sasl_username": "joe",
}


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("permit", ""),
        ("permit_mynetworks", "the client's address is 198.51.100.7"),
        ("REJECT_UNKNOWN_CLIENT_HOSTNAME",
         "the address 198.51.100.7 is called host.test, but that name does not lead back to it"),
        ("reject_unknown_reverse_client_hostname",
         "the address 198.51.100.7 is called host.test in the DNS, which proves nothing"),
        ("check_reverse_client_hostname_mx_access",
         "the address 198.51.100.7 is called host.test in the DNS, which proves nothing"),
        ("check_client_access",
         "the address 198.51.100.7 is called host.test, but that name does not lead back to it"),
        ("reject_rbl_client", "the client's address is 198.51.100.7"),
        ("reject_rhsbl_client",
         "the address 198.51.100.7 is called host.test, but that name does not lead back to it"),
        ("reject_rhsbl_sender", "the sender is <>"),
        ("reject_unknown_helo_hostname", "the client has said no HELO"),
        ("reject_invalid_hostname", "the client has said no HELO"),
        ("check_sender_ns_access", "the sender is <>"),
        ("reject_known_sender_login_mismatch", "the client has logged in as joe; the sender is <>"),
        ("permit_sasl_authenticated", "the client has logged in as joe"),
        ("reject_unauth_destination", "there is no recipient, or more than one"),
        ("check_recipient_a_access", "there is no recipient, or more than one"),
    ],
)  # fmt: skip
def test_what_a_restriction_looks_at(word: str, text: str) -> None:
    assert circumstance(word, INPUTS) == text
