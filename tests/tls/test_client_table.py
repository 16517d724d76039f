"""Every level of the SMTP client with every kind of server."""

from __future__ import annotations

import pytest

from tests.tls.client_table import LEVELS, PEERS, Level, column, drawn, table

BY_TITLE = {level.title: level for level in LEVELS}


def test_the_documentation_shows_what_happens() -> None:
    assert len(LEVELS) >= 9 and len(PEERS) >= 14
    assert drawn() == table()


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.title)
def test_mail_goes_in_the_clear_only_where_the_policy_lets_it(level: Level) -> None:
    for name, outcome in column(level).items():
        assert outcome.leaked == (outcome.how == "plain"), name
        if level.strict:
            assert not outcome.leaked, name


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.title)
def test_no_message_is_lost(level: Level) -> None:
    for name, outcome in column(level).items():
        assert bool(outcome.how) != bool(outcome.reason), name
        assert outcome.attempts >= 1, name


@pytest.mark.parametrize("title", ["may", "dane, no TLSA"])
def test_plaintext_after_a_handshake_that_failed_takes_a_second_attempt(title: str) -> None:
    outcomes = column(BY_TITLE[title])
    for name in ("leaves", "noise", "hangs-up", "resets", "stalls", "alert", "after"):
        assert (outcomes[name].how, outcomes[name].attempts) == ("plain", 2), name


@pytest.mark.parametrize("title", ["fingerprint", "dane, TLSA", "dane-only, TLSA"])
def test_who_is_known_by_his_key_needs_no_authority(title: str) -> None:
    outcomes = column(BY_TITLE[title])
    for name in ("expired", "self-signed", "wrong-name", "untrusted", "missing", "not-yet"):
        assert outcomes[name].how == "Verified", name
    assert outcomes["weak"].reason == "Server certificate not verified"  # another key
