"""How filters are shown a message, and how they change it."""

from __future__ import annotations

from typing import Any

import pytest

from mta.wire.milter import CHUNK_SIZE, Step
from mta.wire.milter_reply import (
    AddHeader,
    AddRecipient,
    ChangeFrom,
    ChangeHeader,
    DeleteRecipient,
    InsertHeader,
    Quarantine,
    ReplaceBody,
)
from tests.milter.milter_site import ENDPOINT, MilterSite, rule

ENVELOPE = ("connect", "helo", "mail", "rcpt", "data")


def shown(site: MilterSite, *lines: str, auto: tuple[str, ...] = (), steps: int = 0) -> list[Any]:
    """What a filter sees of a message."""
    application = site.application(steps=steps)
    milters = site.milters()
    site.session(milters, *ENVELOPE)
    assert site.run(site.show(milters, *lines, auto=auto)) is None
    return application.events[5:]


@pytest.mark.parametrize(
    ("lines", "events"),
    [
        (("Subject: s", "", "a", "", "b"),
         [["header", "Subject", "s"], ["eoh"], ["body", "a\n\nb\n"], ["eom"]]),
        (("A: one", " two", "\tthree", ""), [["header", "A", "one\n two\n\tthree"], ["eoh"], ["eom"]]),
        (("A:  two", "B:\ttab", "C:none", "D:", "E : e"),
         [["header", "A", " two"], ["header", "B", "\ttab"], ["header", "C", "none"],
          ["header", "D", ""], ["header", "E", "e"], ["eoh"], ["eom"]]),
        (("", "body"), [["eoh"], ["body", "body\n"], ["eom"]]),
        (("no header", "more"), [["eoh"], ["body", "no header\nmore\n"], ["eom"]]),
        (("A: 1", "text"), [["header", "A", "1"], ["eoh"], ["body", "text\n"], ["eom"]]),
        (("X: ä", "", "ö\udcff"), [["header", "X", "ä"], ["eoh"], ["body", "ö\udcff\n"], ["eom"]]),
        (("A: long\\", " line", "", "half\\", "half"),
         [["header", "A", "long line"], ["eoh"], ["body", "halfhalf\n"], ["eom"]]),
    ],
)  # fmt: skip
def test_headers_and_body(
    site: type[MilterSite], lines: tuple[str, ...], events: list[list[str]]
) -> None:
    assert shown(site(), *lines) == events


def test_our_own_headers_are_not_shown_but_their_likes_are(site: type[MilterSite]) -> None:
    lines = ("Received: by us", "Received: by us", "Received: by us", "X: 1", "")
    auto = ("Received: by us", "X: 2", "Received: by us")
    assert shown(site(), *lines, auto=auto) == [
        ["header", "Received", "by us"], ["header", "X", "1"], ["eoh"], ["eom"]
    ]  # fmt: skip


def test_the_blank_after_the_colon_is_kept_for_those_who_want_it(site: type[MilterSite]) -> None:
    events = shown(site(), "A: one", "B:  two", "C:none", "", steps=Step.HDR_LEADSPC)
    assert events[:3] == [
        ["header", "A", " one"],
        ["header", "B", "  two"],
        ["header", "C", "none"],
    ]


@pytest.mark.parametrize("last", [0, 1, 2, 100])
def test_a_long_body_comes_in_pieces(site: type[MilterSite], last: int) -> None:
    body = ["x" * 1022] * 63 + ["y" * (CHUNK_SIZE - 63 * 1024 - 2)]
    more = ["z" * (last - 2)] if last > 1 else ["half\\"] if last else []
    events = shown(site(), "A: 1", "", *body, *more)
    pieces = [event[1].replace("\n", "\r\n") for event in events if event[0] == "body"]
    assert [len(piece) for piece in pieces][:1] == [CHUNK_SIZE]
    assert len(pieces) == (1 if not more else 2)
    assert "".join(pieces).count("y") == CHUNK_SIZE - 63 * 1024 - 2


def edited(
    site: MilterSite, *actions: Any, reply: str = "accept", steps: int = 0, **replies: str
) -> tuple[str | None, list[tuple[Any, ...]]]:
    """What the editor is asked for by a filter's requests."""
    site.application(rule("eom", reply, actions=actions), steps=steps)
    site.editor.replies.update(replies)
    milters = site.milters()
    site.session(milters, *ENVELOPE)
    return site.run(site.show(milters)), site.editor.asked


@pytest.mark.parametrize(
    ("action", "asked"),
    [
        (AddHeader("X", "1"), ("add_header", "X", " ", "1")),
        (InsertHeader(0, "X", "1"), ("ins_header", 1, "X", " ", "1")),
        (InsertHeader(7, "X", ""), ("ins_header", 8, "X", " ", "")),
        (ChangeHeader(2, "X", "1"), ("upd_header", 2, "X", " ", "1")),
        (ChangeHeader(0, "X", "1"), ("upd_header", 1, "X", " ", "1")),
        (ChangeHeader(3, "X", ""), ("del_header", 3, "X")),
        (ChangeFrom("<a@b>"), ("chg_from", "<a@b>", "")),
        (ChangeFrom("<a@b>", "RET=FULL"), ("chg_from", "<a@b>", "RET=FULL")),
        (AddRecipient("<a@b>"), ("add_rcpt", "<a@b>")),
        (AddRecipient("<a@b>", "NOTIFY=NEVER"), ("add_rcpt_par", "<a@b>", "NOTIFY=NEVER")),
        (DeleteRecipient("<a@b>"), ("del_rcpt", "<a@b>")),
    ],
)
def test_requests_are_carried_out(
    site: type[MilterSite], action: Any, asked: tuple[Any, ...]
) -> None:
    assert edited(site(), action) == (None, [asked])


def test_values_come_with_their_blank_from_those_who_want_it(site: type[MilterSite]) -> None:
    actions = AddHeader("X", " 1"), InsertHeader(1, "X", "1")
    assert edited(site(), *actions, steps=Step.HDR_LEADSPC)[1] == [
        ("add_header", "X", "", " 1"),
        ("ins_header", 2, "X", "", "1"),
    ]


def test_a_new_body_comes_line_by_line(site: type[MilterSite]) -> None:
    actions = ReplaceBody(b"one\r\ntw"), ReplaceBody(b"o\nthree\r"), ReplaceBody(b"\n\r\nlast")
    assert edited(site(), *actions, AddHeader("X", "1"))[1] == [
        ("repl_body", 1),
        ("repl_body", 2, b"one"),
        ("repl_body", 2, b"two"),
        ("repl_body", 2, b"three"),
        ("repl_body", 2, b""),
        ("repl_body", 2, b"last"),
        ("repl_body", 3),
        ("add_header", "X", " ", "1"),
    ]


def test_a_body_must_come_in_one_go(site: type[MilterSite]) -> None:
    there = site()
    reply, asked = edited(there, ReplaceBody(b"1\n"), AddHeader("X", "1"), ReplaceBody(b"2\n"))
    assert reply == "451 4.3.5 Server configuration problem - try again later"
    assert len(asked) == 4
    assert there.log() == [
        f"warning: milter {ENDPOINT}: body replacement requests can't currently be mixed with "
        "other requests"
    ]


def test_a_header_must_have_a_name_to_be_changed(site: type[MilterSite]) -> None:
    there = site()
    reply, asked = edited(there, ChangeHeader(1, "", "x"), AddHeader("X", "1"))
    assert (reply, asked) == ("451 4.3.5 Server configuration problem - try again later", [])
    assert there.log() == [f"warning: milter {ENDPOINT}: null change header name"]


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        ("accept", "552 5.3.4 big"),
        ("quarantine", "552 5.3.4 big"),
        ("reject", "552 5.3.4 big"),
        ("tempfail", "451 4.7.1 Service unavailable - try again later"),
        ("discard", "D"),
    ],
)
def test_after_a_failure_no_more_is_changed(
    site: type[MilterSite], verdict: str, outcome: str
) -> None:
    actions = AddHeader("X", "1"), AddHeader("Y", "2"), ReplaceBody(b"new\n"), AddRecipient("a@b")
    reply, asked = edited(site(), *actions, reply=verdict, add_header="552 5.3.4 big")
    assert (reply, asked) == (outcome, [("add_header", "X", " ", "1")])


def test_quarantine_is_no_change_of_the_message(site: type[MilterSite]) -> None:
    reply, asked = edited(site(), Quarantine("why"), AddHeader("X", "1"))
    assert (reply, asked) == ("H", [("add_header", "X", " ", "1")])


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "header", "eoh", "body"])
def test_changes_are_for_the_end_of_the_message(site: type[MilterSite], stage: str) -> None:
    there = site()
    there.application(rule(stage, actions=[AddHeader("X", "1")]))
    milters = there.milters()
    replies = there.session(milters, *ENVELOPE, "message")
    assert "451 4.7.1 Service unavailable - try again later" in replies
    assert there.editor.asked == []
    assert (
        f"unexpected filter response SMFIR_ADDHEADER after event SMFIC_{stage.upper()}"
        in (there.log()[0])
    )
