"""Configurations with which nothing works: told, and in time."""

from __future__ import annotations

import pytest

from postlab.errors import NotStarted, RunError
from postlab.run import run_scenario
from postlab.scenario import loads
from reports.fates import parse_lines
from reports.outcome import Outcome, Report
from reports.terminal import as_text, grouped

SCENARIO = """\
format: 1
title: A configuration that is broken
mta:
  main.cf: |
    {main}
  users: [alice]
clients:
  - from: 198.51.100.7
    say: [EHLO x.test, QUIT]
submit:
  - {{as: alice, args: [bob]}}
"""


def played(main: str, more: str = "") -> Report:
    return run_scenario(loads(SCENARIO.format(main=main) + more), name="a.yaml").report


@pytest.mark.parametrize(
    ("main", "said"),
    [
        ("inet_protocols = foo", 'fatal: unknown inet_protocols value "foo" in "foo"'),
        ("myhostname = ..", "fatal: file /etc/postfix/main.cf: parameter myhostname: bad parameter"),
        ("nothing", "fatal: /etc/postfix/main.cf, line 9: missing '=' after attribute name"),
        ("inet_interfaces = 192.0.2.99", "no local interface found for 192.0.2.99"),
        ("queue_directory = relative", "postfix/master"),
    ],
)
def test_a_mail_system_that_does_not_start_is_told_with_its_log(main: str, said: str) -> None:
    with pytest.raises(NotStarted) as caught:
        played(main)
    assert str(caught.value).startswith("the mail system does not start; its log:\n  postfix/master[")
    assert said in str(caught.value)


def test_a_service_that_does_not_exist_keeps_it_from_starting() -> None:
    text = SCENARIO.format(main="biff = no").replace(
        "  users:", "  master.cf: |\n    nosuch inet n - n - - smtpd\n  users:"
    )
    with pytest.raises(NotStarted, match="nosuch: Servname not supported"):
        run_scenario(loads(text))


def test_where_no_daemon_lives_the_run_ends_and_is_doubted() -> None:
    report = played("duplicate_filter_limit = abc")
    assert [(entry.queue, entry.sender) for entry in report.outcome.queue] == [("maildrop", "?")]
    assert "the queue cannot be listed: showq(8) does not run" in report.doubts
    assert any("did not come to rest" in doubt for doubt in report.doubts)


def test_a_command_without_end_is_told() -> None:
    with pytest.raises(RunError, match="mailq: waits for what never comes"):
        played("duplicate_filter_limit = abc", "commands: [mailq]\n")


def test_a_warning_that_comes_again_and_again_is_shown_once() -> None:
    log = [
        f"postfix/master[1]: warning: process /usr/libexec/postfix/smtpd pid {pid} exit status 1"
        for pid in range(200, 230)
    ]
    log.append("postfix/smtpd[1]: warning: another")
    assert [(line.text[-7:], n) for line, n in grouped(parse_lines(log))] == [
        ("tatus 1", 30), ("another", 1),
    ]  # fmt: skip
    text = as_text(Report("a", "t", Outcome(log=log)))
    assert text.count("exit status 1") == 1
    assert "(30 times)" in text
    assert "another" in text
