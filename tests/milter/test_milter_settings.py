"""The list of filters in smtpd_milters: endpoints and their options."""

from __future__ import annotations

import pytest

from mta.lib.milters.settings import Settings, parse_milters
from mta.system import Fatal
from tests.milter.milter_site import MilterSite

DEFAULTS = Settings(30, 10, 20, "6", "tempfail")


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("inet:h:1", ["inet:h:1"]),
        ("inet:h:1, unix:/s  local:t", ["inet:h:1", "unix:/s", "local:t"]),
        ("{inet:h:1},{ unix:s }", ["inet:h:1", "unix:s"]),
        ("", []),
    ],
)
def test_filters_are_separated_by_commas_and_blanks(
    site: type[MilterSite], spec: str, names: list[str]
) -> None:
    found = parse_milters(site().process, spec)
    assert found == [(name, DEFAULTS) for name in names]


def test_a_filter_has_options_of_its_own(site: type[MilterSite]) -> None:
    spec = (
        "inet:h:1 { inet:h:2, connect_timeout=1m command_timeout = 2, { content_timeout = 3h } }"
        " { unix:s default_action=accept, {protocol = 6, no_header_reply} }"
    )
    with pytest.raises(Fatal, match="malformed option: missing '=' after attribute name"):
        parse_milters(site().process, spec)
    spec = spec.replace("command_timeout = 2", "command_timeout=2")
    assert [settings for _, settings in parse_milters(site().process, spec)] == [
        DEFAULTS,
        Settings(60, 2, 10800, "6", "tempfail"),
        Settings(30, 10, 20, "6, no_header_reply", "accept"),
    ]


@pytest.mark.parametrize(
    ("spec", "fatal"),
    [
        ("{ inet:h:1", "milter service syntax error: missing '}' in \"{ inet:h:1\""),
        ("{inet:h:1}x", "milter service syntax error: syntax error after '}' in \"{inet:h:1}x\""),
        ("unix:s { }", 'empty milter definition: "unix:s { }"'),
        ("{ unix:s, foo=bar }", 'unknown option: "foo = bar"'),
        ("{ unix:s, protocol }", "malformed option: missing '=' after attribute name: "
         '"...protocol..."'),
        ("{ unix:s, protocol= }", "bad string length 0 < 1: protocol = "),
        ("{ unix:s, content_timeout=0 }", "invalid content_timeout: 0 (min 1)"),
        ("{ unix:s, content_timeout=x }", "content_timeout: bad time value or unit: x"),
    ],
)  # fmt: skip
def test_mistakes_are_fatal(site: type[MilterSite], spec: str, fatal: str) -> None:
    there = site()
    with pytest.raises(Fatal):
        parse_milters(there.process, spec)
    assert there.log() == [f"fatal: {fatal}"]


@pytest.mark.parametrize(
    ("spec", "warning", "reply"),
    [
        ("inet:127.0.0.1:9", "connect to Milter service inet:127.0.0.1:9: Connection refused",
         "451 4.7.1 Service unavailable - try again later"),
        ("unix:none", "connect to Milter service unix:none: No such file or directory",
         "451 4.7.1 Service unavailable - try again later"),
        ("h:1", "invalid transport name: h in Milter service: h:1",
         "451 4.3.5 Server configuration problem - try again later"),
        ("inet:", 'Milter service needs transport:endpoint instead of "inet:"',
         "451 4.3.5 Server configuration problem - try again later"),
        ("{unix:s protocol=5}", "milter unix:s: bad protocol information: 5",
         "451 4.3.5 Server configuration problem - try again later"),
        ("{unix:s,{protocol=2,3}}", "milter unix:s: bad protocol information: 3",
         "451 4.3.5 Server configuration problem - try again later"),
        ("{unix:s,protocol=no_header_reply}", "milter unix:s: no protocol version information",
         "451 4.3.5 Server configuration problem - try again later"),
        ("{unix:none,default_action=reject}",
         "connect to Milter service unix:none: No such file or directory",
         "550 5.5.0 Service unavailable"),
        ("{unix:none,default_action=quarantine}",
         "connect to Milter service unix:none: No such file or directory", "H"),
        ("{unix:none,default_action=accept}",
         "connect to Milter service unix:none: No such file or directory", None),
    ],
)  # fmt: skip
def test_a_filter_that_is_not_there_is_told_of_when_a_client_comes(
    site: type[MilterSite], spec: str, warning: str, reply: str | None
) -> None:
    there = site()
    assert there.session(there.milters(spec), "connect", "helo", "mail") == [reply] * 3
    assert there.log() == [f"warning: {warning}"]


def test_an_unknown_default_action_is_told_of(site: type[MilterSite]) -> None:
    there = site("milter_default_action = perhaps\n")
    reply = "451 4.3.5 Server configuration problem - try again later"
    assert there.session(there.milters("unix:none"), "connect") == [reply]
    assert there.log()[1:] == ["warning: milter unix:none: unrecognized default action: perhaps"]
