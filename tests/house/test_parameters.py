"""No parameter is ignored in silence: manual pages, code and the table of unused ones agree."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from mta.conf.conf import PARAMETERS
from mta.conf.main_cf import parse_main_cf
from mta.conf.unused import UNUSED, Kind, doubts
from mta.master.server import PROGRAMS
from mta.postfix import load_programs
from postlab.run import run_scenario
from postlab.scenario import loads
from tests.house import parameters
from tests.house.source import Module

PAGES = {page.name: page for page in parameters.pages()}


def _told_of(page: Module) -> set[str]:
    """What all manual pages say that speak for the same modules."""
    own = {module.name for module in parameters.spoken_for(page)}
    return {
        name
        for other in PAGES.values()
        if own & {module.name for module in parameters.spoken_for(other)}
        for name in parameters.documented(other).names
    }


@pytest.mark.parametrize("name", PAGES)
def test_a_manual_page_tells_every_parameter_that_its_modules_read(name: str) -> None:
    read = parameters.reads(parameters.spoken_for(PAGES[name]))
    assert sorted(read - _told_of(PAGES[name])) == []


@pytest.mark.parametrize("name", PAGES)
def test_every_parameter_of_a_manual_page_is_read_or_said_to_be_unused(name: str) -> None:
    package = parameters.spoken_for(PAGES[name])
    read = parameters.reads(package)
    read |= parameters.read_by_libraries(package) | parameters.referred_to(read)
    if any(module.name == "mta.qmgr.transport" for module in package):
        read |= parameters.of_services()
    assert sorted(parameters.documented(PAGES[name]).names - read - set(UNUSED)) == []


@pytest.mark.parametrize("name", PAGES)
def test_no_manual_page_tells_a_parameter_that_does_not_exist(name: str) -> None:
    assert sorted(parameters.documented(PAGES[name]).strange) == []


def test_every_parameter_is_read_or_said_to_be_unused() -> None:
    assert sorted(set(PARAMETERS) - parameters.read_anywhere() - set(UNUSED)) == []


def test_no_parameter_that_is_read_is_said_to_be_unused() -> None:
    assert sorted(set(UNUSED) & parameters.read_anywhere()) == []


def test_the_table_of_unused_parameters_has_no_other_names() -> None:
    assert sorted(set(UNUSED) - set(PARAMETERS)) == []


def test_programs_that_do_not_exist_do_not_exist() -> None:
    load_programs()
    missing = {row.why for row in UNUSED.values() if row.kind is Kind.NO_PROGRAM}
    assert sorted(missing & set(PROGRAMS)) == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("process.conf.smtpd_timeout", {"smtpd_timeout"}),
        ("conf._2bounce_notice_recipient", {"2bounce_notice_recipient"}),
        ("conf.own_addresses", {"inet_interfaces"}),
        ("conf.lookup_eval('relayhost')", {"relayhost"}),
        ("TABLE = ('body_checks',)\ngetattr(conf, name)", {"body_checks"}),
        ("TABLE = ('helo_name',)\ngetattr(conf, f'smtp_{name}')", {"smtp_helo_name"}),
        ("log.warning('body_checks')", set()),
        ("session.mynetworks", set()),
    ],
)
def test_a_parameter_that_is_read_is_found(code: str, found: set[str]) -> None:
    module = Module("planted", Path("planted.py"), ast.parse(code))
    assert parameters.reads([module]) == found


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (
            "relayhost, myhostname\n    soft_bounce",
            ({"relayhost", "myhostname", "soft_bounce"}, set()),
        ),
        ("relay_host", (set(), {"relay_host"})),
    ],
)
def test_a_parameter_that_is_told_is_found(text: str, names: tuple[set[str], set[str]]) -> None:
    code = f'"""A page.\n\n{parameters.HEADING}\n    {text}\n\nBUGS\n    mydestination\n"""'
    assert parameters.documented(Module("p", Path("p.py"), ast.parse(code))) == names


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("dont_remove = 1", ["main.cf, line 1: dont_remove has no effect yet: queue files are "
                             "always removed"]),
        ("dont_remove = 0", []),
        ("tcp_windowsize = 1", []),
        ("qmqpd_timeout = 1", []),
        ("smtpd_timeout = 1", []),
        ("my_own = 1", []),
    ],
)  # fmt: skip
def test_a_setting_that_real_postfix_would_heed_is_doubted(setting: str, said: list[str]) -> None:
    assert doubts(parse_main_cf(setting, "main.cf")) == said


def test_a_report_tells_what_main_cf_and_master_cf_set_without_effect() -> None:
    scenario = loads("""
format: 1
title: A configuration with settings that have no effect yet
mta:
  main.cf: |
    dont_remove = 1
    qmqpd_timeout = 3s
  master.cf: |
    10025 inet n - n - - smtpd -o daemon_timeout=60
    10026 inet n - n - 1 qmqpd
submit:
  - as: root
    text: hello
    """)
    said = "\n".join(run_scenario(scenario).report.unheeded)
    assert "dont_remove has no effect yet" in said
    assert "qmqpd_timeout is of a program that does not exist yet: qmqpd" in said
    assert "daemon_timeout has no effect yet" in said
