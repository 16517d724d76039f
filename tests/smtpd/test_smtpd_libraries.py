"""Small things that smtpd stands on."""

from __future__ import annotations

import pytest
from smtpd_world import Process, run

from mta.lib.input_transp import input_transp_cleanup, input_transp_mask
from mta.lib.requests import CLEANUP_FLAG_MASK_EXTERNAL, CLEANUP_FLAG_MILTER
from mta.lib.verify_sender_addr import make_verify_sender_addr, valid_verify_sender_addr
from mta.smtpd.address import parse_addr
from mta.smtpd.expand import expand_line, smtpd_expand_lookup
from mta.smtpd.received import comment_sanitize
from mta.smtpd.state import Session
from mta.system import Fatal
from mta.util.escape import escape, unescape


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a\r\n\t", "a\\r\\n\\t"),
        (b"\\", "\\\\"),
        (b"\x00\xff", "\\000\\377"),
        (b"\a\b\v\f", "\\a\\b\\v\\f"),
    ],
)
def test_escapes_go_there_and_back(data: bytes, text: str) -> None:
    assert escape(data) == text
    assert unescape(text).encode("utf-8", "surrogateescape") == data


def test_what_is_overridden_is_taken_from_cleanup() -> None:
    mask = input_transp_mask("receive_override_options", "no_milters")
    left = input_transp_cleanup(CLEANUP_FLAG_MASK_EXTERNAL, mask)
    assert left == CLEANUP_FLAG_MASK_EXTERNAL & ~CLEANUP_FLAG_MILTER


@pytest.mark.parametrize(
    ("text", "address", "addresses", "junk"),
    [
        ("<a@b.test>", "a@b.test", 1, 0),
        ("a@b.test", "a@b.test", 1, 0),
        ("<>", "", 0, 0),
        ('<"a b"@c.test>', "a b@c.test", 1, 0),
        ("<@x.test,@y.test:a@b.test>", "a@b.test", 1, 0),
        ("<a@b.test (c)>", "a@b.test", 1, 1),
        ("<a@b.test, c@d.test>", "c@d.test", 2, 1),
    ],
)
def test_addresses_are_found_in_rubble(text: str, address: str, addresses: int, junk: int) -> None:
    assert parse_addr(text) == (address, addresses, junk)


@pytest.mark.parametrize(
    ("text", "clean"),
    [("joe", "joe"), ("a(b", "a(b)"), ("a)b", "a?b"), ("a\\\tb", "a??b"), ("ä", "??")],
)
def test_comments_stay_comments(text: str, clean: str) -> None:
    assert comment_sanitize(text) == clean


NAMES = [
    ("client", "unknown[unknown]"),
    ("client_address", "unknown"),
    ("helo_name", ""),
    ("sender", "a@b.test"),
    ("sender_name", "a"),
    ("sender_domain", "b.test"),
    ("recipient", "<>"),
    ("recipient_domain", ""),
    ("server_name", "mx.example.org"),
    ("localtime", "Jan 01 00:00:00"),
    ("sender_shoe", None),
    ("myhostname", None),
]


@pytest.mark.parametrize(("name", "value"), NAMES)
def test_names_in_replies(name: str, value: str | None) -> None:
    process = Process()
    session = Session(process, None)  # type: ignore[arg-type]
    session.namaddr = "unknown[unknown]"
    session.sender = "a@b.test"
    session.recipient = ""
    assert smtpd_expand_lookup(session, name) == value
    warned = [f'warning: unknown macro name "{name}" in expansion request']
    assert process.system.lines == ([] if value is not None else warned)


def test_values_in_replies_are_filtered() -> None:
    process = Process(smtpd_expansion_filter="\\141b@")
    session = Session(process, None)  # type: ignore[arg-type]
    session.sender = "xab@c"
    assert expand_line(session, "<$sender>") == "<_ab@_>"


def test_the_probe_sender_is_known_in_its_time() -> None:
    process = Process(address_verify_sender="probe@x.test", address_verify_sender_ttl="3600s")
    made = run(make_verify_sender_addr(process))  # type: ignore[arg-type]
    assert made == "probeF7GN@x.test"

    def known(address: str) -> str | None:
        found: str | None = run(valid_verify_sender_addr(process, address))  # type: ignore[arg-type]
        return found

    assert known(made) == "probe@x.test"
    assert known(made.upper().replace("F7GN", "F7GN")) == "probe@x.test"
    assert known("probe@x.test") is None
    assert known("probeF7GN@y.test") is None
    process.system.clock += 3600_000_000
    assert known(made) == "probe@x.test"
    process.system.clock += 3600_000_000
    assert known(made) is None


@pytest.mark.parametrize(
    ("parameter", "address", "known"),
    [("", "", ""), ("<>", "a@b", None), ("double-bounce", "double-bounce@mx.example.org", "")],
)
def test_the_probe_sender_without_a_time(parameter: str, address: str, known: str | None) -> None:
    process = Process(address_verify_sender=parameter)
    found = run(valid_verify_sender_addr(process, address))  # type: ignore[arg-type]
    assert found == (address if known == "" else known)


def test_a_probe_sender_that_is_no_address_is_fatal() -> None:
    process = Process(address_verify_sender="@x.test")
    with pytest.raises(Fatal):
        run(make_verify_sender_addr(process))  # type: ignore[arg-type]
