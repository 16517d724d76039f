"""The defaults of postconf(1) against the list of Postfix's, where that is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from mta.conf.host import Host
from mta.conf.postconf import dump_defaults

FACTS = Path(__file__).resolve().parents[3] / "shared" / "postfix-3.0"

pytestmark = pytest.mark.skipif(not FACTS.exists(), reason="Postfix's test data are not at hand")

HOST = Host("host.example")


def test_all_860_parameters_have_their_names_and_defaults() -> None:
    ignored = {
        line.split("#")[0].strip()
        for line in (FACTS / "postconf-ignore.txt").read_text().split("\n")
    }
    expected = {}
    for line in (FACTS / "postconf-d.txt").read_text().splitlines():
        name, _, value = line.partition(" =")
        expected[name] = value.strip()
    found = dump_defaults(HOST, (FACTS / "master.cf").read_text())
    assert list(found) == list(expected)
    assert len(found) == 860
    differing = {
        name: (value, expected[name])
        for name, value in found.items()
        if name not in ignored and " ".join(value.split()) != expected[name]
    }
    assert differing == {}
