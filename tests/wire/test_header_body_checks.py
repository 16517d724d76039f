"""Actions of header and body checks."""

from __future__ import annotations

from typing import Any

import pytest

from mta.lib.header_body_checks import (
    HBC_UNKNOWN,
    BodyChecks,
    CheckAction,
    HeaderChecks,
    Unknown,
    cleanup_action,
    split_action,
)
from mta.system import Wait
from mta.wire.header_opts import header_table


@pytest.mark.parametrize(
    ("value", "verb", "text"),
    [
        ("reject", "REJECT", ""),
        ("Reject 5.7.1 \t no ", "REJECT", "5.7.1 \t no "),
        ("WARN\t text", "WARN", "text"),
        ("", "", ""),
        (" x", "", "x"),
    ],
)
def test_a_result_is_an_action_and_text(value: str, verb: str, text: str) -> None:
    assert split_action(value) == (verb, text)


CLEANUP = [
    ("REJECT", ("REJECT", "5.7.1 message content rejected"), None),
    ("reject go away", ("REJECT", "5.7.1 go away"), None),
    ("reject 4.7.1   later", ("REJECT", "4.7.1 later"), None),
    (
        "reject 2.0.0 fine",
        ("REJECT", "4.0.0 fine"),
        "bad DSN action in 2.0.0 fine -- need 4.x.x or 5.x.x",
    ),
    ("WARN x", ("WARN", "x"), None),
    ("INFO", ("INFO", ""), None),
    ("FILTER smtp:[x]:10025", ("FILTER", "smtp:[x]:10025"), None),
    ("FILTER", ("DUNNO", ""), "missing FILTER command argument in header_checks map"),
    (
        "FILTER x",
        ("DUNNO", ""),
        "bad FILTER command x in header_checks -- need transport:destination",
    ),
    ("HOLD because", ("HOLD", "because"), None),
    ("DISCARD", ("DISCARD", ""), None),
    ("PREPEND X-A: b", ("PREPEND", "X-A: b"), None),
    ("PREPEND", ("DUNNO", ""), "PREPEND action without text in header_checks map"),
    (
        "PREPEND b",
        ("DUNNO", ""),
        'bad PREPEND header text "b" in header_checks map -- need "headername: headervalue"',
    ),
    ("REPLACE X-A: b", ("REPLACE", "X-A: b"), None),
    ("REPLACE", ("DUNNO", ""), "REPLACE action without text in header_checks map"),
    (
        "REPLACE b",
        ("DUNNO", ""),
        'bad REPLACE header text "b" in header_checks map -- need "headername: headervalue"',
    ),
    ("REDIRECT a@b", ("REDIRECT", "a@b"), None),
    (
        "REDIRECT a",
        ("DUNNO", ""),
        'bad REDIRECT target "a" in header_checks map -- need user@domain',
    ),
    ("BCC a@b", ("BCC", "a@b"), None),
    ("BCC", ("DUNNO", ""), 'bad BCC address "" in header_checks map -- need user@domain'),
    ("IGNORE it", ("IGNORE", "it"), None),
    ("DUNNO", ("DUNNO", ""), None),
    ("ok", ("DUNNO", ""), None),
    ("STRIP", ("DUNNO", ""), "unknown command in header_checks map: STRIP"),
    ("foo bar", ("DUNNO", ""), "unknown command in header_checks map: foo bar"),
]


@pytest.mark.parametrize(("value", "action", "warning"), CLEANUP)
def test_cleanup_learns_what_to_do(
    value: str, action: tuple[str, str], warning: str | None
) -> None:
    warnings: list[str] = []
    assert cleanup_action(value, "header", "header_checks", warnings.append) == action
    assert warnings == ([] if warning is None else [warning])


def test_body_text_need_not_look_like_a_header() -> None:
    assert cleanup_action("REPLACE b", "body", "body_checks", print) == ("REPLACE", "b")


class Table:
    """A list of tables that knows one key."""

    def __init__(self, title: str, key: str, value: str) -> None:
        self.title = title
        self.key = key
        self.value = value

    def find(self, key: str) -> Wait[str | None]:
        yield from ()
        return self.value if key == self.key else None


class Calls:
    """Writes down what it is called for."""

    def __init__(self, known: str = "") -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.known = known

    def log(self, action: str, where: str, line: str, text: str) -> None:
        self.seen.append((action, where, line, text))

    def warn(self, text: str) -> None:
        self.seen.append(("WARN", text))

    def prepend(self, text: str, offset: int) -> None:
        self.seen.append(("PREPEND", text, offset))

    def extend(
        self, action: CheckAction, where: str, line: str, offset: int
    ) -> Wait[str | Unknown | None]:
        yield from ()
        if action.verb != self.known:
            return HBC_UNKNOWN
        self.seen.append(("EXTEND", action.text))
        return None


def run(task: Wait[Any]) -> Any:
    with pytest.raises(StopIteration) as stop:
        next(task)
    return stop.value.value


HEADER = "Subject: x"
DELIVERY = [
    ("warn hm", HEADER, [("warning", "header", HEADER, "hm")]),
    ("INFO", HEADER, [("info", "header", HEADER, "")]),
    ("REPLACE A: b", "A: b", [("replace", "header", HEADER, "A: b")]),
    ("REPLACE", HEADER, [("WARN", "REPLACE action without text in header_checks map")]),
    (
        "PREPEND A: b",
        HEADER,
        [("prepend", "header", HEADER, "A: b"), ("PREPEND", "A: b", 7)],
    ),
    ("IGNORE", None, []),
    ("DUNNO", HEADER, []),
    ("OK", HEADER, []),
    ("REJECT no", HEADER, [("WARN", "unsupported command in header_checks map: REJECT no")]),
]


@pytest.mark.parametrize(("value", "result", "seen"), DELIVERY)
def test_delivery_agents_carry_out_what_is_safe(
    value: str, result: str | None, seen: list[tuple[Any, ...]]
) -> None:
    calls = Calls()
    checks = HeaderChecks(calls, Table("header_checks", HEADER, value), None, None)
    assert run(checks.check(1, None, HEADER, 7)) == result
    assert calls.seen == seen
    assert run(checks.check(1, None, "Other: x", 7)) == "Other: x"


def test_mime_headers_have_checks_of_their_own_wherever_they_are() -> None:
    calls = Calls()
    header = "Content-Type: text/plain"
    table = Table("mime_header_checks", header, "IGNORE")
    checks = HeaderChecks(calls, None, table, None)
    assert checks
    assert run(checks.check(1, header_table().find(header), header, 0)) is None
    assert run(checks.check(3, None, header, 0)) == header
    assert not HeaderChecks(calls, None, None, None)


def test_an_extension_comes_first() -> None:
    calls = Calls("HOLD")
    table = Table("milter_header_checks", HEADER, "hold it")
    checks = HeaderChecks(calls, table, None, None, can_extend=True)
    assert run(checks.check(1, None, HEADER, 0)) is None
    assert calls.seen == [("EXTEND", "it")]
    table.value = "INFO"
    assert run(checks.check(1, None, HEADER, 0)) == HEADER


def test_prepend_can_be_unknown() -> None:
    calls = Calls()
    table = Table("header_checks", HEADER, "PREPEND A: b")
    checks = HeaderChecks(calls, table, None, None, can_prepend=False)
    assert run(checks.check(1, None, HEADER, 0)) == HEADER
    assert calls.seen == [("WARN", "unsupported command in header_checks map: PREPEND A: b")]


def test_body_lines_are_checked_up_to_a_nul() -> None:
    calls = Calls()
    table = Table("body_checks", "bad", "REPLACE good")
    checks = BodyChecks(calls, table)
    assert run(checks.check(b"bad", 0)) == b"good"
    assert run(checks.check(b"bad\0rest", 0)) == b"good"
    table.value = "WARN"
    assert run(checks.check(b"bad\0rest", 0)) == b"bad\0rest"
    assert run(checks.check(b"fine\xff", 0)) == b"fine\xff"
    table.value = "IGNORE"
    assert run(checks.check(b"bad", 0)) is None
