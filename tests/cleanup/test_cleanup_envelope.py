"""What cleanup(8) makes of senders and recipients."""

from __future__ import annotations

import pytest

from mta.lib.requests import (
    CLEANUP_STAT_BAD,
    CLEANUP_STAT_DEFER,
    CLEANUP_STAT_RCPT,
    CLEANUP_STAT_WRITE,
)
from tests.cleanup.cleanup_site import EXTERNAL, CleanupSite

Site = type[CleanupSite]


def test_a_plain_message_becomes_a_queue_file(site: Site) -> None:
    postfix = site()
    result = postfix.send("Message-Id: <1@x>", "Subject: hi", "", "body", attributes=("rewrite_context=remote",))
    assert result.reply.status == 0
    assert result.queue == "incoming"
    assert [rec_type for rec_type, _ in result.records] == list("CTAASAORMNNNNNXE")
    size = result.of("C")[0]
    numbers = [int(size[at : at + 15]) for at in range(0, 96, 16)]
    assert numbers == [66, 241, 1, 0, 66, 0]
    path = f"/var/spool/postfix/incoming/{result.queue_id}"
    assert postfix.machine.files.stat(path).mode & 0o777 == 0o700
    assert postfix.log() == ["cleanup: QID: message-id=<1@x>"]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("a@client.test", "a@client.test"),
        ("alice", "alice@example.org"),
        ("", ""),
        ("MAILER-DAEMON", ""),
        ("mailer-daemon@example.org", ""),
        ("mailer-daemon@other.test", "mailer-daemon@other.test"),
        ("a b@c", "a b@c"),
        ("user%host", "user@host"),
        ("host!user", "user@host"),
    ],
)
def test_senders_are_completed(site: Site, given: str, stored: str) -> None:
    assert site().send("", sender=given).of("S") == [stored]


@pytest.mark.parametrize(
    ("main_cf", "to", "expected"),
    [
        ("", ("x@a.test", "X@A.test", "y@a.test"), ["x@a.test", "y@a.test"]),
        ("enable_original_recipient = no\n", ("x@a.test", "X@A.test"), ["x@a.test"]),
        ("duplicate_filter_limit = 1\nenable_original_recipient = no\n",
         ("a@x.test", "b@x.test", "b@x.test", "a@x.test"), ["a@x.test", "b@x.test", "b@x.test"]),
        ("", ("",), ["MAILER-DAEMON@example.org"]),
        ("always_bcc = log\n", ("x@a.test",), ["x@a.test", "log@example.org"]),
        ("sender_bcc_maps = inline:{a@client.test=s@b.test}\n"
         "recipient_bcc_maps = inline:{@a.test=r@b.test}\n",
         ("x@a.test",), ["s@b.test", "x@a.test", "r@b.test"]),
        ("virtual_alias_maps = inline:{ {x@a.test = b@c.test, x@a.test d} }\n",
         ("x@a.test",), ["b@c.test", "x@a.test", "d@example.org"]),
        ("virtual_alias_maps = inline:{@a.test=@b.test}\nrecipient_delimiter = +\n",
         ("x+y@a.test",), ["x+y@b.test"]),
        ("virtual_alias_maps = inline:{x@a.test=z@b.test}\nrecipient_delimiter = +\n",
         ("x+y@a.test",), ["z+y@b.test"]),
        ("virtual_alias_maps = inline:{x@a.test=z@b.test}\nrecipient_delimiter = +\n"
         "propagate_unmatched_extensions =\n", ("x+y@a.test",), ["z@b.test"]),
        ("canonical_maps = inline:{x@a.test=c@b.test}\n"
         "recipient_canonical_maps = inline:{c@b.test=no@b.test}\n", ("x@a.test",), ["c@b.test"]),
        ("masquerade_domains = a.test\n", ("x@sub.a.test",), ["x@sub.a.test"]),
        ("masquerade_domains = a.test\nmasquerade_classes = envelope_recipient\n",
         ("x@sub.a.test",), ["x@a.test"]),
    ],
)  # fmt: skip
def test_recipients_are_mapped(
    site: Site, main_cf: str, to: tuple[str, ...], expected: list[str]
) -> None:
    assert site(main_cf).send("", to=to).recipients == expected


def test_a_canonical_table_is_asked_again_until_nothing_changes(site: Site) -> None:
    table = "canonical_maps = inline:{a@x.test=b@x.test, b@x.test=c@x.test, c@x.test=C@x.test}\n"
    assert site(table).send("", sender="a@x.test").of("S") == ["C@x.test"]


def test_a_canonical_table_that_goes_in_circles_is_left_after_ten_rounds(site: Site) -> None:
    postfix = site("canonical_maps = inline:{a@x.test=b@x.test, b@x.test=a@x.test}\n")
    assert postfix.send("", sender="a@x.test").of("S") == ["a@x.test"]
    assert postfix.log()[0] == (
        "cleanup: warning: QID: unreasonable canonical_maps map nesting for a@x.test -- "
        "message not accepted, try again later"
    )


@pytest.mark.parametrize(
    ("main_cf", "status", "warning"),
    [
        ("virtual_alias_maps = fail:x\n", CLEANUP_STAT_WRITE,
         "virtual_alias_maps map lookup problem for x@a.test"),
        ("virtual_alias_maps = inline:{ {x@a.test = 1@b.test 2@b.test 3@b.test} }\n"
         "virtual_alias_expansion_limit = 2\n", CLEANUP_STAT_DEFER,
         "unreasonable virtual_alias_maps map expansion size for x@a.test"),
        ("virtual_alias_maps = inline:{x@a.test=y@a.test, y@a.test=z@a.test, z@a.test=q@a.test}\n"
         "virtual_alias_recursion_limit = 2\n", CLEANUP_STAT_DEFER,
         "unreasonable virtual_alias_maps map nesting for x@a.test"),
        ("virtual_alias_maps = inline:{x@a.test=long-long-long@a.test}\n"
         "virtual_alias_address_length_limit = 10\n", CLEANUP_STAT_DEFER,
         "unreasonable virtual_alias_maps result long-long-long@a.test..."),
    ],
)  # fmt: skip
def test_an_expansion_that_fails_is_a_temporary_error(
    site: Site, main_cf: str, status: int, warning: str
) -> None:
    postfix = site(main_cf)
    result = postfix.send("", to=("x@a.test",))
    assert (result.reply.status, result.reply.reason) == (status, "4.6.0 Alias expansion error")
    assert result.queue == ""
    lines = [line for line in postfix.log() if "QID" in line]
    assert lines == [
        f"cleanup: warning: QID: {warning} -- message not accepted, try again later"
    ]


def test_success_is_reported_as_expanded_and_not_passed_on(site: Site) -> None:
    postfix = site("virtual_alias_maps = inline:{v@a.test=x@b.test}\n")
    result = postfix.send("", to=("v@a.test",), envelope=(("A", "notify_flags=6"),))
    assert "notify_flags=4" in result.of("A")
    log = postfix.machine.files.read(f"/var/spool/postfix/trace/{result.queue_id}").decode()
    assert "action=expanded" in log
    assert "reason=alias expanded" in log


@pytest.mark.parametrize(
    ("envelope", "warning"),
    [
        ((("S", "again"),), "multiple envelope sender records"),
        ((("A", "novalue"),), "malformed attribute: missing '=' after attribute name: novalue"),
        ((("A", "envelope_id=a"), ("A", "envelope_id=b")), "multiple DSN envelope ID records"),
        ((("A", "ret_flags=7"),), "bad DSN RET record <ret_flags=7>"),
        ((("A", "rewrite_context=foo"),), "bad rewriting context: foo"),
        ((("N", "text"),), "unexpected record type 78 in envelope"),
    ],
)
def test_a_client_that_talks_nonsense_is_refused(
    site: Site, envelope: tuple[tuple[str, str], ...], warning: str
) -> None:
    postfix = site()
    result = postfix.send("", envelope=envelope)
    assert result.reply.status == CLEANUP_STAT_BAD
    assert result.queue == ""
    assert postfix.log() == [f"cleanup: warning: QID: message rejected: {warning}"]


@pytest.mark.parametrize(
    ("envelope", "warning"),
    [
        ((("A", "x="),), 'spurious null attribute value for "x" -- ignored'),
        ((("A", "notify_flags=9"),), "ignoring malformed DSN notify record <notify_flags=9>"),
        ((("V", "ab"),), 'ignoring bad VERP request: "ab"'),
        ((("O", "a"), ("O", "b")), "ignoring out-of-order original recipient record <a>"),
        ((("f", "256"),), "ignoring bad extra flags: 0x100"),
    ],
)
def test_small_mistakes_are_ignored(
    site: Site, envelope: tuple[tuple[str, str], ...], warning: str
) -> None:
    postfix = site()
    result = postfix.send("Message-Id: x", "", envelope=envelope)
    assert result.reply.status == 0
    assert postfix.log()[0] == f"cleanup: warning: QID: {warning}"


def test_records_between_recipients_are_told_to_the_queue_manager(site: Site) -> None:
    result = site().send("", envelope=(("R", "x@y.test"), ("A", "encoding=8bit")))
    assert result.of("C")[0][48:63].strip() == "1"


def test_a_delay_warning_is_asked_for(site: Site) -> None:
    postfix = site("delay_warning_time = 1h\n")
    assert postfix.send("").of("W") == [f"{1767603600 + 3600:15d}"]
    assert postfix.send("", sender="").of("W") == []


def test_a_message_without_recipients_or_without_an_end_is_dropped(site: Site) -> None:
    postfix = site()
    assert postfix.send("", to=()).reply.status == CLEANUP_STAT_RCPT
    assert postfix.send("Message-Id: x", "", "y", complete=False).reply.status == CLEANUP_STAT_BAD
    assert postfix.files("incoming") == []


def test_without_the_flags_nothing_is_mapped(site: Site) -> None:
    postfix = site(
        "virtual_alias_maps = inline:{x@a.test=y@b.test}\nalways_bcc = z@c.test\n"
        "canonical_maps = inline:{a@client.test=b@client.test}\n"
    )
    result = postfix.send("", to=("x@a.test",), flags=0)
    assert (result.recipients, result.of("S")) == (["x@a.test"], ["a@client.test"])
    assert postfix.send("", to=("x@a.test",), flags=EXTERNAL).recipients == ["y@b.test", "z@c.test"]
