"""What the answers of filters mean, at each event."""

from __future__ import annotations

from typing import Any

import pytest

from mta.system import Panic
from tests.milter.milter_site import ENDPOINT, MilterSite, rule

REJECTED = "550 5.7.1 Command rejected"
UNAVAILABLE = "451 4.7.1 Service unavailable - try again later"
PROBLEM = "451 4.3.5 Server configuration problem - try again later"
BEFORE = {
    "connect": (),
    "helo": ("connect",),
    "mail": ("connect", "helo"),
    "rcpt": ("connect", "helo", "mail"),
    "data": ("connect", "helo", "mail", "rcpt"),
    "unknown": ("connect", "helo"),
}
MESSAGE = ("header", "eoh", "body", "eom")
STAGES = (*BEFORE, *MESSAGE)


def told(site: MilterSite, stage: str) -> list[str | None]:
    """Reports all events up to a stage, and the next message; the last answer of each."""
    event = "message" if stage in MESSAGE else stage
    before = ("connect", "helo", "mail", "rcpt", "data") if event == "message" else BEFORE[stage]
    milters = site.milters()
    assert site.session(milters, *before) == [None] * len(before)
    replies = site.session(milters, event)
    return replies + site.session(milters, "abort", "mail")[1:]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        ("continue", None),
        ("reject", REJECTED),
        ("tempfail", UNAVAILABLE),
        ("quarantine", "H"),
        ("550 5.1.1 no", "550 5.1.1 no"),
        ("450-4.1.1 one\r\n450 4.1.1 two", "450-4.1.1 one\r\n450 4.1.1 two"),
        ("550 5.1.1 100%% sure%", "550 5.1.1 100% sure"),
        ("skip", None),
    ],
)
def test_answers_decide(site: type[MilterSite], stage: str, answer: str, reply: str | None) -> None:
    there = site()
    there.application(rule(stage, answer, times=1))
    replies = told(there, stage)
    assert replies[0] == reply
    lasting = stage in ("connect", "helo") or answer == "quarantine"
    assert replies[1] == (reply if lasting else None)


@pytest.mark.parametrize("stage", STAGES)
def test_accepting_ends_the_questions(site: type[MilterSite], stage: str) -> None:
    there = site()
    application = there.application(rule(stage, "accept"))
    assert told(there, stage) == [None, None]
    after = {"connect": [], "helo": []}.get(stage, ["abort", "mail"])
    assert application.names[application.names.index(stage) + 1 :] == after


@pytest.mark.parametrize("stage", STAGES)
def test_discarding_needs_a_message(site: type[MilterSite], stage: str) -> None:
    there = site()
    there.application(rule(stage, "discard", times=1))
    connecting = stage in ("connect", "helo")
    assert told(there, stage) == [None if connecting else "D", None]
    warning = "warning: milter {}: DISCARD action is not allowed for connect or helo"
    assert there.log() == ([warning.format(ENDPOINT)] if connecting else [])


@pytest.mark.parametrize("stage", STAGES)
def test_a_filter_may_shut_the_session_down(site: type[MilterSite], stage: str) -> None:
    there = site()
    there.application(rule(stage, "shutdown"))
    assert told(there, stage) == ["S", "S"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("more", "event_warning"),
    [
        ({"do": "close"}, "can't read {event} reply packet header: Success"),
        ({"do": "silent"}, "can't read {event} reply packet header: Connection timed out"),
        ({"reply": "conn-fail"}, "unexpected filter response SMFIR_CONN_FAIL after event {event}"),
        ({"raw": b"\0\0\0\1z"}, "unexpected filter response (unknown filter reply) after event {event}"),
        ({"raw": b"\0\0\0\0"}, "bad packet length: 0"),
        ({"raw": b"\0\0\0\1"}, "EOF while reading command code: Connection timed out"),
        ({"raw": b"\0\0\0\x20y550"}, "EOF while reading data: Connection timed out"),
    ],
)  # fmt: skip
def test_a_broken_filter_becomes_the_default_action(
    site: type[MilterSite], stage: str, more: dict[str, Any], event_warning: str
) -> None:
    there = site()
    there.application(rule(stage, **more))
    assert told(there, stage) == [UNAVAILABLE, UNAVAILABLE]
    event = {
        "connect": "SMFIC_CONNECT", "helo": "SMFIC_HELO", "mail": "SMFIC_MAIL",
        "rcpt": "SMFIC_RCPT", "data": "SMFIC_DATA", "unknown": "SMFIC_UNKNOWN",
        "header": "SMFIC_HEADER", "eoh": "SMFIC_EOH", "body": "SMFIC_BODY", "eom": "SMFIC_BODYEOB",
    }[stage]  # fmt: skip
    text = event_warning.format(event=event)
    assert there.log() == [f"warning: milter {ENDPOINT}: {text}"]


@pytest.mark.parametrize(
    ("event", "size"), [("mail", 18), ("data", 0), ("helo", 7), ("eom", 0), ("header", 10)]
)
def test_the_size_that_is_told_with_excess_data_is_that_of_the_event(
    site: type[MilterSite], event: str, size: int
) -> None:
    there = site()
    there.application(rule(event, raw=b"\0\0\0\3cab"))
    told(there, event)
    assert there.log() == [
        f"warning: milter {ENDPOINT}: reply SMFIR_CONTINUE was followed by {size} data bytes"
    ]


@pytest.mark.parametrize(
    "text", ["450", "451nocode", "550+5.1.1 x", "550 4.1.1 x", "450 5.1.1 x", "550-2.0.0 x"]
)
@pytest.mark.parametrize(
    ("action", "reply"),
    [("accept", None), ("reject", PROBLEM), ("tempfail", PROBLEM), ("quarantine", "H")],
)
def test_a_malformed_reply_is_a_configuration_error(
    site: type[MilterSite], text: str, action: str, reply: str | None
) -> None:
    there = site(f"milter_default_action = {action}\n")
    there.application(rule("mail", text))
    assert told(there, "mail") == [reply, reply]
    assert there.log() == [f"warning: milter {ENDPOINT}: malformed reply: {text}"]


@pytest.mark.parametrize(
    ("text", "soft"),
    [
        ("550 5.7.1 no", "450 4.7.1 no"),
        ("550 no", "450 no"),
        ("450 4.7.1 no", "450 4.7.1 no"),
        ("554-5.1.1 a\r\n554 5.1.1 b", "454-4.1.1 a\r\n454 4.1.1 b"),
    ],
)
def test_soft_bounce_makes_replies_softer(site: type[MilterSite], text: str, soft: str) -> None:
    there = site("soft_bounce = yes\n")
    there.application(rule("mail", text))
    assert told(there, "mail")[0] == soft


def test_progress_gives_more_time(site: type[MilterSite]) -> None:
    there = site()
    there.application(rule("mail", "550 5.7.1 at last", delay=8, progress=3, times=1))
    begin = there.world.now
    assert told(there, "mail") == ["550 5.7.1 at last", None]
    assert 32 <= (there.world.now - begin) / 1_000_000 < 33


def test_the_content_has_a_time_limit_of_its_own(site: type[MilterSite]) -> None:
    there = site()
    there.application(rule("eom", delay=15, times=1), rule("mail", delay=15, when={"sender": "x"}))
    milters = there.milters()
    events = ("connect", "helo", "mail", "rcpt", "data", "message")
    assert there.session(milters, *events) == [None] * 6
    assert there.session(milters, "abort")[:1] == [None]
    assert there.run(milters.mail_event(["x"])) == UNAVAILABLE


def test_the_first_answer_counts_and_the_rest_is_not_asked(site: type[MilterSite]) -> None:
    there = site()
    one = there.application(rule("mail", "reject"), rule("connect", "accept", times=1))
    two = there.application(rule("rcpt", "450 4.7.1 two"), endpoint="unix:two")
    milters = there.milters(f"{ENDPOINT}, unix:two")
    assert there.session(milters, "connect", "helo", "mail", "rcpt") == [
        None, None, None, "450 4.7.1 two"
    ]  # fmt: skip
    there.session(milters, "disconnect")
    assert there.session(milters, "connect", "helo", "mail") == [None, None, REJECTED]
    assert one.names == ["connect", "connect", "helo", "mail"]
    assert two.names == ["connect", "helo", "mail", "rcpt", "connect", "helo"]


def test_after_quarantine_a_filter_is_not_asked_any_more(site: type[MilterSite]) -> None:
    there = site()
    application = there.application(rule("helo", "quarantine"))
    milters = there.milters()
    assert there.session(milters, "connect", "helo", "mail", "rcpt") == [None, "H", "H", "H"]
    assert milters.other_event() == "H"
    assert application.names == ["connect", "helo"]
    assert there.log() == [
        f"warning: milter8_event: attempt to send event {event} to milter {ENDPOINT} after error"
        for event in ("SMFIC_MAIL", "SMFIC_RCPT")
    ]
    there.session(milters, "disconnect")
    assert milters.other_event() is None


def test_mail_after_a_command_was_accepted_is_more_than_postfix_can_bear(
    site: type[MilterSite],
) -> None:
    there = site()
    there.application(rule("unknown", "accept"))
    milters = there.milters()
    there.session(milters, "connect", "helo", "unknown")
    with pytest.raises(Panic, match=f"milter8_mail_event: milter {ENDPOINT}: bad state 7"):
        there.session(milters, "mail")
    milters.lose()


def test_a_process_that_takes_over_goes_on_where_the_other_one_was(site: type[MilterSite]) -> None:
    there = site()
    one = there.application(rule("eom", "reject", times=1))
    two = there.application(rule("connect", "accept"), endpoint="unix:two")
    milters = there.milters(f"{ENDPOINT} unix:two")
    there.session(milters, "connect", "helo", "mail", "rcpt", "data")
    assert there.run(milters.dummy().receive(there.process).message(bytearray(), 0, ())) is None
    other = there.run(milters.send()).receive(there.process)
    assert there.run(there.show(other)) == REJECTED
    assert there.session(milters, "abort", "mail") == [None, None]
    assert one.names[-3:] == ["eom", "abort", "mail"]
    assert two.names == ["connect"]


@pytest.mark.parametrize(
    ("more", "errno"),
    [
        ({"raw": b"\0\0\0\1z"}, "Broken pipe"),
        ({"raw": b"\0\0\0\1z\0\0\0\1c"}, "Connection reset by peer"),
    ],
)
def test_an_error_in_one_process_is_found_by_the_other(
    site: type[MilterSite], more: dict[str, Any], errno: str
) -> None:
    there = site()
    there.application(rule("eom", **more))
    milters = there.milters()
    there.session(milters, "connect", "helo", "mail", "rcpt", "data")
    other = there.run(milters.send()).receive(there.process)
    assert there.run(there.show(other)) == UNAVAILABLE
    assert there.session(milters, "abort", "mail") == [None, UNAVAILABLE]
    assert there.log()[1:] == [
        f"warning: milter {ENDPOINT}: can't read SMFIC_MAIL reply packet header: {errno}"
    ]
