"""What access tables can say, and what comes of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from access_bench import Bench

from mta.lib.requests import CLEANUP_FLAG_DISCARD, CLEANUP_FLAG_HOLD
from mta.lib.smtp_stream import SmtpQuiet
from mta.smtpd import check
from mta.smtpd.check_actions import ACTIONS
from mta.smtpd.check_registry import ValueBuffer
from mta.system import Wait

CONFUSED = "451 4.3.5 Server configuration error"
BY = "<to@example.org>: Recipient address rejected"
TAIL = "; from=<from@sender.test> to=<to@example.org> proto=ESMTP helo=<client.test>"
HEAD = "NOQUEUE: {}: RCPT from client.test[198.51.100.7]: "
SUBJECT = "<to@example.org>: Recipient address "


def table(action: str, then: str = "", **main: str) -> Bench:
    """A table with that action for the recipient."""
    rules = "check_recipient_access hash:/etc/postfix/access" + (f", {then}" if then else "")
    return Bench(
        {
            "smtpd_relay_restrictions": "check_client_access static:OK, reject",
            "smtpd_recipient_restrictions": rules,
            "smtpd_log_access_permit_actions": "DISCARD",
            "smtpd_reject_unlisted_recipient": "no",
            **main,
        },
        files={"/etc/postfix/access": f"to@example.org {action}\n"},
    )


REPLIES = [
    ("OK", None),
    ("ok and more", None),
    ("RELAY", None),
    ("20261124", None),
    ("550", None),
    ("DUNNO", "554 5.7.1 " + BY + ": Access denied"),
    ("INFO look", "554 5.7.1 " + BY + ": Access denied"),
    ("REJECT", "554 5.7.1 " + BY + ": Access denied"),
    ("reject no way", "554 5.7.1 " + BY + ": no way"),
    ("REJECT 5.7.9 no way", "554 5.7.9 " + BY + ": no way"),
    ("REJECT 4.7.9 no way", "554 5.7.9 " + BY + ": no way"),
    ("REJECT 5.1.7 no such", "554 5.1.3 " + BY + ": no such"),
    ("DEFER", "450 4.7.1 " + BY + ": Access denied"),
    ("DEFER 4.3.2 later", "450 4.3.2 " + BY + ": later"),
    ("450 later", "450 4.7.1 " + BY + ": later"),
    ("550 5.1.1 no such", "550 5.1.1 " + BY + ": no such"),
    ("550 4.1.1 no such", "550 5.1.1 " + BY + ": no such"),
    ("DEFER_IF_REJECT", "450 4.7.1 " + BY + ": Service unavailable"),
    ("DEFER_IF_PERMIT", "554 5.7.1 " + BY + ": Access denied"),
    ("reject", "554 5.7.1 " + BY + ": Access denied"),
    ("permit", None),
    ("permit_mynetworks, defer", "450 4.3.2 " + BY + ": Try again later"),
    ("check_client_access hash:/x", CONFUSED),
    ("600 what", CONFUSED),
    ("nonsense", CONFUSED),
]  # fmt: skip


@pytest.mark.parametrize(("action", "reply"), REPLIES)
def test_the_reply_is_postfix_s_where_a_rejection_follows(action: str, reply: str | None) -> None:
    assert table(action, "reject").rcpt() == reply


@pytest.mark.parametrize(
    ("action", "reply"),
    [
        ("DEFER_IF_PERMIT 4.2.9 maybe", f"450 4.2.9 {BY}: maybe"),
        ("DEFER_IF_REJECT", None),
        ("DUNNO", None),
    ],
)
def test_what_is_put_off_comes_with_the_permission(action: str, reply: str | None) -> None:
    assert table(action, "permit").rcpt() == reply


EFFECTS: list[tuple[str, str, dict[str, Any]]] = [
    ("INFO some text", HEAD.format("info") + "some text", {}),
    ("WARN", HEAD.format("warn"), {}),
    (
        "FILTER smtp:[x]:26",
        HEAD.format("filter") + SUBJECT + "triggers FILTER smtp:[x]:26",
        {"saved_filter": "smtp:[x]:26"},
    ),
    (
        "HOLD",
        HEAD.format("hold") + SUBJECT + "triggers HOLD action",
        {"saved_flags": CLEANUP_FLAG_HOLD},
    ),
    (
        "HOLD for later",
        HEAD.format("hold") + SUBJECT + "for later",
        {"saved_flags": CLEANUP_FLAG_HOLD},
    ),
    (
        "REDIRECT a@b.test",
        HEAD.format("redirect") + SUBJECT + "triggers REDIRECT a@b.test",
        {"saved_redirect": "a@b.test"},
    ),
    (
        "BCC a@b.test",
        HEAD.format("bcc") + SUBJECT + "triggers BCC a@b.test",
        {"saved_bcc": "a@b.test"},
    ),
]


@pytest.mark.parametrize(("action", "line", "state"), EFFECTS)
def test_the_message_is_marked_and_the_log_says_so(
    action: str, line: str, state: dict[str, Any]
) -> None:
    bench = table(action)
    assert bench.rcpt() is None
    assert line + TAIL in bench.log
    assert {name: getattr(bench.session, name) for name in state} == state


def test_discard_ends_everything_with_a_permission() -> None:
    bench = table("DISCARD bin", "reject")
    assert bench.rcpt() is None
    assert bench.log == [
        HEAD.format("discard") + SUBJECT + "bin" + TAIL,
        HEAD.format("permit")
        + "action=DISCARD for Recipient address=to@example.org from hash:/etc/postfix/access"
        + TAIL,
    ]
    assert bench.session.discard
    assert bench.session.saved_flags == CLEANUP_FLAG_DISCARD
    assert bench.rcpt("other@far.test") is None


def test_prepend_adds_headers_in_order() -> None:
    bench = table("PREPEND X-One: 1")
    bench.rcpt()
    bench.rcpt()
    assert bench.session.prepend == ["X-One: 1", "X-One: 1"]
    assert bench.log == []


def test_hangup_cuts_the_line() -> None:
    bench = table("HANGUP bye")
    closed: list[bool] = []
    bench.session.client.stream = SimpleNamespace(close=lambda: closed.append(True))  # type: ignore[assignment]

    def session() -> Wait[str]:
        try:
            yield from check.check_rcpt(bench.session, "to@example.org")
        except SmtpQuiet:
            return "quiet"
        return "talk"

    assert bench.run(session()) == "quiet"
    assert closed == [True]
    assert bench.log == [HEAD.format("hangup") + "bye" + TAIL]


UNUSABLE = [
    ("FILTER", ' entry "to@example.org" has FILTER entry without value'),
    ("FILTER x", ' entry "to@example.org" requires transport:destination'),
    ("REDIRECT x", ' entry "to@example.org" requires user@domain target'),
    ("BCC", ' entry "to@example.org" requires user@domain target'),
    ("PREPEND", ' entry "to@example.org" requires header: text'),
    ("PREPEND no header", ' entry "to@example.org" requires header: text'),
]


@pytest.mark.parametrize(("action", "text"), UNUSABLE)
def test_an_action_without_what_it_needs_is_left_out_with_a_warning(
    action: str, text: str
) -> None:
    bench = table(action)
    assert bench.rcpt() is None
    assert bench.log == [f"warning: access table hash:/etc/postfix/access{text}"]


@pytest.mark.parametrize("action", ["FILTER a:b", "HOLD", "DISCARD", "REDIRECT a@b", "BCC a@b"])
def test_actions_for_cleanup_do_not_work_with_a_proxy_filter_nor_before_mail(action: str) -> None:
    name = action.split()[0]
    bench = table(action, smtpd_proxy_filter="127.0.0.1:10026")
    bench.rcpt()
    assert bench.new_log() == [
        "warning: access table hash:/etc/postfix/access: with smtpd_proxy_filter specified, "
        f"action {name} is unavailable"
    ]
    bench = table(action)
    bench.session.sender = None
    bench.rcpt()
    assert bench.log == [
        "warning: access table hash:/etc/postfix/access: with smtpd_delay_reject=no, "
        f"action {name} is always skipped in Client host or Helo command restrictions"
    ]


def test_etrn_brings_no_mail_to_mark() -> None:
    bench = Bench({"smtpd_etrn_restrictions": "check_etrn_access static:HOLD, reject"})
    bench.session.where = "ETRN"
    reply = bench.run(check.check_etrn(bench.session, "dial.test"))
    assert reply == "554 5.7.1 <dial.test>: Etrn command rejected: Access denied"
    assert bench.log[0] == (
        "warning: access table static:HOLD: action HOLD is unavailable in smtpd_etrn_restrictions"
    )


def test_prepend_is_too_late_at_the_end_of_data() -> None:
    bench = Bench(
        {"smtpd_end_of_data_restrictions": "check_sender_access static:{PREPEND X: y}"}
    )
    bench.session.where = "END-OF-MESSAGE"
    assert bench.run(check.check_eod(bench.session)) is None
    assert bench.log == [
        "warning: access table static:{PREPEND X: y}: action PREPEND must be used before "
        "smtpd_end_of_data_restrictions"
    ]


def test_a_table_that_asks_itself_is_stopped() -> None:
    bench = Bench(
        {
            "smtpd_restriction_classes": "again",
            "again": "check_client_access static:again",
            "smtpd_recipient_restrictions": "again, reject",
        }
    )
    assert bench.rcpt() == CONFUSED
    assert (
        "warning: access table static:again entry again causes unreasonable recursion" in bench.log
    )


def test_an_empty_value_permits() -> None:
    bench = Bench({"smtpd_recipient_restrictions": "check_recipient_access inline:{x=}, reject"})
    assert bench.rcpt("x@example.org") == (
        "554 5.7.1 <x@example.org>: Recipient address rejected: Access denied"
    )
    rules = "check_recipient_access inline:{x@example.org=}, reject"
    bench = Bench({"smtpd_recipient_restrictions": rules})
    assert bench.rcpt("x@example.org") is None
    assert bench.log == [
        "warning: access table inline:{x@example.org=} entry  has empty value"
    ]


def test_a_bare_status_shows_what_an_earlier_result_left_in_memory() -> None:
    buffer = ValueBuffer()
    assert buffer.put("REJECT 5.1.7 some text") == ""
    assert buffer.put("REJECT") == "5.1.7 some text"
    assert buffer.put("REJECT 5.7.0") == "some text"
    bench = Bench(
        {
            "smtpd_relay_restrictions": "check_client_access static:OK, reject",
            "smtpd_recipient_restrictions": "check_recipient_access hash:/etc/access",
        },
        files={"/etc/access": "a@example.org REJECT 5.7.9 secret\nb@example.org REJECT 5.7.8\n"},
    )
    assert bench.rcpt("b@example.org") == (
        "554 5.7.8 <b@example.org>: Recipient address rejected: Access denied"
    )
    bench.rcpt("a@example.org")
    assert bench.rcpt("b@example.org") == (
        "554 5.7.8 <b@example.org>: Recipient address rejected: secret"
    )


def test_every_action_is_tested() -> None:
    rows = [row[0] for row in (*REPLIES, *EFFECTS, *UNUSABLE)]
    tested = {action.split()[0].upper() for action in (*rows, "DISCARD", "HANGUP")}
    assert set(ACTIONS) <= tested
