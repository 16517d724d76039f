"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = '''
def test_good(lab):
    lab.mta("mydestination = example.org", users=["alice"])
    client = lab.client("198.51.100.7").say("EHLO x.test").quit()
    assert client.reply("EHLO").startswith("250")

def test_bad(lab):
    lab.mta("mydestination = example.org")
    client = lab.client("198.51.100.7").say("EHLO x.test").quit()
    assert client.reply("EHLO").startswith("999")

def test_file(postlab_run):
    report = postlab_run("greets.yaml")
    assert report.seed == 4711
    assert report.outcome.clients[0].transcript == []
'''

SCENARIO = """\
format: 1
title: The server greets
clients:
  - from: 198.51.100.7
    say: [QUIT]
"""

GREETING = ["* connected", "S: 220 mx.example.org ESMTP Postfix", "C: QUIT", "S: 221 2.0.0 Bye",
            "* closed by server"]  # fmt: skip


def outcome(greeting: list[str]) -> str:
    log = [
        "postfix/smtpd[1]: connect from unknown[198.51.100.7]",
        "postfix/smtpd[1]: disconnect from unknown[198.51.100.7] quit=1 commands=1",
    ]
    return json.dumps({"clients": [{"from": "198.51.100.7", "transcript": greeting}], "log": log})


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a pytest says in a folder with good and bad tests, and good and bad scenarios."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "test_it.py").write_text(TESTS)
    for name, greeting in (("greets", GREETING), ("differs", [*GREETING[:2], "C: HELO"])):
        (folder / f"{name}.yaml").write_text(SCENARIO)
        (folder / f"{name}.json").write_text(outcome(greeting))
    (folder / "other.yaml").write_text("a: 1\n")
    (folder / "other.json").write_text("{}")
    (folder / "lonely.yaml").write_text(SCENARIO)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
         "--postlab-seed", "4711", str(folder)],
        capture_output=True, text=True, cwd=folder, check=False,
    )  # fmt: skip
    return done.stdout


def test_the_fixture_and_scenarios_with_outcomes_are_tests(said: str) -> None:
    assert "3 failed, 2 passed" in said


def test_a_failed_test_shows_seed_trace_log_and_how_to_run_it_again(said: str) -> None:
    assert "seed 4711, trace " in said
    assert "postfix/smtpd[" in said
    assert "client 198.51.100.7:\n  * connected\n  S: 220 mx.example.org ESMTP Postfix\n" in said
    assert "disconnect from unknown[198.51.100.7] ehlo=1 quit=1 commands=2" in said
    assert "run it again: pytest 'test_it.py::test_bad' --postlab-seed 4711" in said
    assert "run it again: pytest 'test_it.py::test_file' --postlab-seed 4711" in said
    assert "::test_good'" not in said


def test_a_scenario_that_differs_shows_the_lines_and_how_to_see_more(said: str) -> None:
    assert "--- clients" in said
    assert '-   "C: HELO"' in said
    assert "differs.yaml --seed 4711 --dialogue --log" in said
    assert Path("greets.yaml").name + " --seed" not in said
