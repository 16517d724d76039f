"""``postlab why``: the decisions that led to each reply, and where the rules stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mta.smtpd.check  # noqa: F401 - registers the restrictions
from mta.smtpd.check_registry import RESTRICTIONS
from postlab.why import Session, Story, Words, why
from postlab.why.circumstances import circumstance
from postlab.why.meanings import MEANINGS, meaning
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
