"""What both sides agree on when they meet, and which events follow from it."""

from __future__ import annotations

import pytest

from mta.wire.milter import Negotiation, Step
from tests.milter.milter_site import ENDPOINT, MilterSite, rule

SESSION = ("connect", "helo", "unknown", "mail", "rcpt", "data", "message", "abort", "disconnect")
EVENTS = [
    "connect", "helo", "unknown", "mail", "rcpt", "data", "header", "eoh", "body", "eom", "abort",
]  # fmt: skip


def test_all_events_are_reported_in_order(site: type[MilterSite]) -> None:
    there = site()
    application = there.application()
    assert there.session(there.milters(), *SESSION) == [None] * len(SESSION)
    assert application.events == [
        ["connect", "c.test", "198.51.100.7"],
        ["helo", "h.test"],
        ["unknown", "FROB"],
        ["mail", "<a@c.test>", "SIZE=9"],
        ["rcpt", "<b@d.test>"],
        ["data"],
        ["header", "Subject", "s"],
        ["eoh"],
        ["body", "body\n"],
        ["eom"],
        ["abort"],
    ]
    assert there.log() == []


@pytest.mark.parametrize(
    ("protocol", "version", "steps"),
    [("2", 2, 0x7F), ("3", 3, 0x17F), ("4", 4, 0x37F), ("6", 6, 0x1FFFFF),
     ("no_header_reply, 2", 2, 0xFF), ("6 no_header_reply", 6, 0x1FFFFF)],
)  # fmt: skip
def test_the_offer_is_what_milter_protocol_says(
    site: type[MilterSite], protocol: str, version: int, steps: int
) -> None:
    there = site(f"milter_protocol = {protocol}\n")
    application = there.application()
    there.session(there.milters(), "connect")
    assert application.offers == [Negotiation(version, 0x1FF, steps)]


@pytest.mark.parametrize(
    ("ours", "theirs", "missing"),
    [
        (6, 6, set()),
        (6, 5, set()),
        (6, 4, set()),
        (6, 3, {"data"}),
        (6, 2, {"data", "unknown"}),
        (4, 2, {"data", "unknown"}),
        (3, 6, {"data"}),
        (2, 6, {"data", "unknown"}),
    ],
)
def test_events_that_the_older_version_lacks_are_not_sent(
    site: type[MilterSite], ours: int, theirs: int, missing: set[str]
) -> None:
    there = site(f"milter_protocol = {ours}\n")
    application = there.application(version=theirs)
    there.session(there.milters(), *SESSION)
    assert application.names == [name for name in EVENTS if name not in missing]


@pytest.mark.parametrize(
    ("steps", "missing"),
    [
        (Step.NOCONNECT, "connect"),
        (Step.NOHELO, "helo"),
        (Step.NOMAIL, "mail"),
        (Step.NORCPT, "rcpt"),
        (Step.NOBODY, "body"),
        (Step.NOHDRS, "header"),
        (Step.NOEOH, "eoh"),
        (Step.NOUNKNOWN, "unknown"),
        (Step.NODATA, "data"),
    ],
)
def test_events_that_a_filter_does_not_want_are_not_sent(
    site: type[MilterSite], steps: int, missing: str
) -> None:
    there = site()
    application = there.application(steps=steps)
    there.session(there.milters(), *SESSION)
    assert application.names == [name for name in EVENTS if name != missing]


@pytest.mark.parametrize(
    "bit",
    [Step.NR_HDR, Step.NR_CONN, Step.NR_HELO, Step.NR_MAIL, Step.NR_RCPT, Step.NR_DATA,
     Step.NR_UNKN, Step.NR_EOH, Step.NR_BODY, 0xFF080],
)  # fmt: skip
def test_answers_that_a_filter_will_not_give_are_not_waited_for(
    site: type[MilterSite], bit: int
) -> None:
    there = site()
    application = there.application(steps=bit)
    assert there.session(there.milters(), *SESSION) == [None] * len(SESSION)
    assert application.names == EVENTS


def test_rejected_recipients_are_for_those_who_want_them(site: type[MilterSite]) -> None:
    there = site()
    one = there.application(steps=Step.RCPT_REJ)
    two = there.application(endpoint="unix:two")
    milters = there.milters(f"{ENDPOINT}, unix:two")
    there.session(milters, "connect", "helo", "mail", "rejected", "rcpt")
    assert one.events[3:] == [["rcpt", "<no@d.test>"], ["rcpt", "<b@d.test>"]]
    assert two.events[3:] == [["rcpt", "<b@d.test>"]]


def test_skipped_events_do_not_come_until_another_one_was(site: type[MilterSite]) -> None:
    there = site()
    application = there.application(
        rule("rcpt", "skip", times=1), rule("header", "skip"), rule("body", "skip")
    )
    milters = there.milters()
    there.session(milters, "connect", "helo", "mail", "rcpt", "rcpt", "rcpt", "data")
    there.run(there.show(milters, "A: 1", "B: 2", "", *["x" * 70] * 2000))
    there.session(milters, "abort", "mail", "rcpt", "rcpt")
    assert application.names == [
        "connect", "helo", "mail", "rcpt", "data", "header", "eoh", "body", "eom", "abort", "mail",
        "rcpt", "rcpt",
    ]  # fmt: skip


def negotiation(text: str) -> bytes:
    """A negotiation packet from hexadecimal text after its code."""
    data = b"O" + bytes.fromhex(text)
    return len(data).to_bytes(4) + data


GOOD = "00000006 000001ff 00000000"


@pytest.mark.parametrize(
    ("answer", "warnings"),
    [
        (negotiation("00000007 000001ff 00000000"),
         ["protocol version 7 conflict with MTA protocol version 6"]),
        (negotiation("ffffffff 000001ff 00000000"),
         ["protocol version -1 conflict with MTA protocol version 6"]),
        (negotiation("00000006 000003ff 00000000"),
         ["request mask 0x3ff conflict with MTA request mask 0x1ff"]),
        (negotiation("00000006 0001"),
         ["input packet too short for network long", "read error in initial handshake"]),
        (b"\0\0\0\1c", ['unexpected reply "c" in initial handshake']),
        (b"\0\0\0\0", ["bad packet length: 0", "read error in initial handshake"]),
        (b"\x7f\xff\xff\xffO", ["unreasonable packet length: 2147483647 > 1073741823",
                                "read error in initial handshake"]),
        (b"\0\0", ["can't read SMFIC_OPTNEG reply packet header: Connection timed out",
                   "read error in initial handshake"]),
        (b"\0\0\0\x0d", ["EOF while reading command code: Connection timed out",
                         "read error in initial handshake"]),
        (b"\0\0\0\x0dO\0\0", ["EOF while reading network long: Connection timed out",
                              "read error in initial handshake"]),
        (negotiation(GOOD + "0000"), ["input packet too short for network long"]),
        (negotiation(GOOD + "00000000"), ["packet too short for string"]),
    ],
)  # fmt: skip
def test_an_answer_that_makes_no_sense_is_an_error(
    site: type[MilterSite], answer: bytes, warnings: list[str]
) -> None:
    there = site()
    there.application(negotiation=answer)
    replies = there.session(there.milters(), "connect", "helo")
    assert replies == ["451 4.7.1 Service unavailable - try again later"] * 2
    assert there.log() == [f"warning: milter {ENDPOINT}: {text}" for text in warnings]


def test_a_version_that_is_too_old_only_warns(site: type[MilterSite]) -> None:
    there = site()
    there.application(version=1)
    assert there.session(there.milters(), "connect", "helo") == [None, None]
    assert there.log() == [f"warning: milter {ENDPOINT}: unexpected protocol version 1"]


def test_macros_go_with_each_event(site: type[MilterSite]) -> None:
    there = site(
        "milter_connect_macros = j {client_addr} {nothing}\nmilter_helo_macros =\n"
        "milter_mail_macros = i\nmilter_end_of_header_macros = j,i\nmilter_end_of_data_macros = v\n"
    )
    application = there.application(steps=Step.NODATA)
    there.session(there.milters(), *SESSION)
    assert application.macros == [
        (b"C", {"j": "mx", "{client_addr}": "198.51.100.7"}),
        (b"H", {}),
        (b"U", {}),
        (b"M", {"i": "QID"}),
        (b"R", {"i": "QID"}),
        (b"T", {"i": "QID"}),
        (b"L", {"j": "mx", "i": "QID"}),
        (b"N", {"j": "mx", "i": "QID"}),
        (b"B", {"v": "V"}),
        (b"E", {"v": "V"}),
    ]


def test_a_filter_may_ask_for_other_macros(site: type[MilterSite]) -> None:
    there = site(
        "milter_mail_macros = i\nmilter_connect_macros = j\nmilter_end_of_data_macros = j\n"
    )
    one = there.application(macros=((0, "v"), (2, ""), (5, "i v"), (9, "x")))
    two = there.application(endpoint="unix:two")
    milters = there.milters(f"{ENDPOINT} unix:two")
    there.session(milters, *SESSION)
    macros = dict(one.macros)
    assert (macros[b"M"], macros[b"E"]) == ({"i": "QID"}, {"i": "QID", "v": "V"})
    assert dict(two.macros)[b"C"] == {"j": "mx"}
    assert there.log() == [f"warning: milter {ENDPOINT}: ignoring unknown macro type 9"]
    # What goes with the connect event is known from the session before.
    assert macros[b"C"] == {"j": "mx"}
    there.session(milters, "connect")
    assert one.macros[-1] == (b"C", {"v": "V"})


@pytest.mark.parametrize(
    ("client", "event"),
    [
        (("c.test", "198.51.100.7", "25", 2), ["connect", "c.test", "198.51.100.7"]),
        (("unknown", "198.51.100.7", "25", 2), ["connect", "[198.51.100.7]", "198.51.100.7"]),
        (("c.test", "2001:db8::7", "25", 10), ["connect", "c.test", "2001:db8::7"]),
        (("unknown", "unknown", "0", 0), ["connect", "unknown", ""]),
        (("localhost", "/socket", "0", 1), ["connect", "localhost", ""]),
    ],
)
def test_clients_are_named_as_sendmail_names_them(
    site: type[MilterSite], client: tuple[str, str, str, int], event: list[str]
) -> None:
    there = site()
    application = there.application()
    assert there.run(there.milters().conn_event(*client)) is None
    assert application.events == [event]


@pytest.mark.parametrize("port", ["x", "70000", "", "-1"])
def test_a_port_that_is_none_is_told_of(site: type[MilterSite], port: str) -> None:
    there = site()
    application = there.application(rule("connect", "reject", when={"client_port": "0"}))
    reply = there.run(there.milters().conn_event("c.test", "198.51.100.7", port, 2))
    assert reply == "550 5.7.1 Command rejected"
    assert application.names == ["connect"]
    assert there.log() == [f"warning: milter {ENDPOINT}: bad client port number {port}"]
