"""Postfix's own tests of the access checks, where its test data are at hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from driver_smtpd_check import INPUTS, play

DATA = Path(__file__).resolve().parents[3] / "shared" / "postfix-3.0" / "tests"

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="Postfix's test data are not at hand")


@pytest.mark.parametrize("name", sorted(INPUTS))
def test_smtpd_check_says_what_postfix_says(name: str) -> None:
    folder = DATA / "smtpd-access" / name
    zone = (DATA / "porcupine.zone").read_text()
    expected = (folder / "expected").read_text().splitlines()
    assert play(folder, INPUTS[name], zone) == expected
