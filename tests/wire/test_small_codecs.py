"""Dates, VERP, base 64, EHLO keywords, SMTP replies, status codes, printable text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.wire.base64_code import base64_decode, base64_encode
from mta.wire.dsn import dsn_prepend, dsn_split, dsn_valid
from mta.wire.ehlo_mask import EHLO_MASK_SMTPUTF8, EHLO_MASK_STARTTLS, ehlo_mask, str_ehlo_mask
from mta.wire.mail_date import asctime, mail_date, syslog_time
from mta.wire.smtp_reply import ReplyReader, SmtpReply, smtp_reply_footer
from mta.wire.text import cut, printable, to_bytes, to_text
from mta.wire.verp import verp_delims_verify, verp_sender

NEW_YEAR = 1_420_070_400_000_000  # 2015-01-01 00:00:00 UTC
HOUR = 3_600_000_000


@pytest.mark.parametrize(
    ("moment", "timezone", "date"),
    [
        (NEW_YEAR + 9 * HOUR, 0, "Thu,  1 Jan 2015 09:00:00 +0000 (UTC)"),
        (NEW_YEAR + 999_999, 60, "Thu,  1 Jan 2015 01:00:00 +0100 (+01)"),
        (NEW_YEAR, -300, "Wed, 31 Dec 2014 19:00:00 -0500 (-05)"),
        (NEW_YEAR, 330, "Thu,  1 Jan 2015 05:30:00 +0530 (+0530)"),
        (NEW_YEAR, -210, "Wed, 31 Dec 2014 20:30:00 -0330 (-0330)"),
        (NEW_YEAR, -30, "Wed, 31 Dec 2014 23:30:00 +0030 (-0030)"),
    ],
)
def test_mail_dates_pad_the_day_and_show_the_zone(moment: int, timezone: int, date: str) -> None:
    assert mail_date(moment, timezone) == date


def test_other_dates_are_those_of_c() -> None:
    moment = NEW_YEAR + 9 * HOUR + 61_000_000
    assert mail_date(NEW_YEAR, -300, "EST").endswith("-0500 (EST)")
    assert asctime(moment) == "Thu Jan  1 09:01:01 2015"
    assert asctime(moment, -600) == "Wed Dec 31 23:01:01 2014"
    assert syslog_time(moment) == "Jan  1 09:01:01"


@pytest.mark.parametrize(
    ("sender", "recipient", "encoded"),
    [
        ("prefix@origin", "user@domain", "prefix+user=domain@origin"),
        ("prefix", "user@domain", "prefix+user=domain"),
        ("prefix@origin", "user", "prefix+user@origin"),
        ("prefix@", "user@", "prefix+user"),
        ("a@b@origin", "c@d@domain", "a@b+c@d=domain@origin"),
    ],
)
def test_verp_puts_the_recipient_into_the_sender(sender: str, recipient: str, encoded: str) -> None:
    assert verp_sender("+=", sender, recipient) == encoded


@pytest.mark.parametrize(
    ("delimiters", "problem"),
    [
        ("+=", None),
        ("+", "bad VERP delimiter character count"),
        ("x=", "bad first VERP delimiter character"),
        ("+x", "bad second VERP delimiter character"),
    ],
)
def test_verp_delimiters_are_checked(delimiters: str, problem: str | None) -> None:
    assert verp_delims_verify(delimiters, "-=+") == problem


@given(st.binary(max_size=50))
def test_base64_can_be_decoded_again(data: bytes) -> None:
    assert base64_decode(base64_encode(data)) == data


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", b""),
        ("QUI=", b"AB"),
        ("QQ==", b"A"),
        ("QQ=x", b"A"),
        ("QQ==QQ==", b"A"),
        ("QUJ", None),
        ("Q===", None),
        ("=QQQ", None),
        ("Q-JD", None),
        ("QUJD\n", None),
        ("QUI\n", None),
    ],
)
def test_base64_is_strict_but_for_what_comes_after_the_end(text: str, data: bytes | None) -> None:
    assert base64_decode(text) == data


@pytest.mark.parametrize(
    ("names", "mask", "canonical"),
    [
        ("starttls, 8bitmime, verp, etrn, etrn", 0xD1, "8BITMIME ETRN VERP STARTTLS"),
        ("foobar, auth, pipelining, size, vrfy", 0x2E, "AUTH PIPELINING SIZE VRFY"),
        ("xclient, xforward", 0x300, "XCLIENT XFORWARD"),
        ("silent-discard dsn", 0x8800, "DSN SILENT-DISCARD"),
        ("", 0, ""),
    ],
)
def test_ehlo_keywords_are_bits(names: str, mask: int, canonical: str) -> None:
    assert ehlo_mask(names) == mask
    assert str_ehlo_mask(mask) == canonical


def test_smtputf8_has_two_names() -> None:
    assert ehlo_mask("smtputf8") == ehlo_mask("EHLO_MASK_SMTPUTF8") == EHLO_MASK_SMTPUTF8
    assert str_ehlo_mask(EHLO_MASK_SMTPUTF8 | EHLO_MASK_STARTTLS) == "STARTTLS EHLO_MASK_SMTPUTF8"


@pytest.mark.parametrize(
    ("lines", "reply"),
    [
        (["250 ok"], SmtpReply(250, "2.0.0", "250 ok")),
        (["250"], SmtpReply(250, "2.0.0", "250")),
        (["250 2.1.0 ok"], SmtpReply(250, "2.1.0", "250 2.1.0 ok")),
        (["550   5.1.1 no"], SmtpReply(550, "5.1.1", "550   5.1.1 no")),
        (["550 4.1.1 no"], SmtpReply(550, "5.0.0", "550 4.1.1 no")),
        (["550 5.1.1234 no"], SmtpReply(550, "5.0.0", "550 5.1.1234 no")),
        (["354 go"], SmtpReply(354, "5.5.0", "354 go")),
        (["250-a", "250-b", "250 c"], SmtpReply(250, "2.0.0", "250-a\n250-b\n250 c")),
        (["250-5.1.1 a", "550 5.7.1 b"], SmtpReply(550, "5.7.1", "250-5.1.1 a\n550 5.7.1 b")),
        (
            ["hello", "2500 x", "25 x", "250_x", "250 ok"],
            SmtpReply(250, "2.0.0", "hello\n2500 x\n25 x\n250_x\n250 ok"),
        ),
    ],
)
def test_replies_are_put_together(lines: list[str], reply: SmtpReply) -> None:
    reader = ReplyReader(2048)
    assert [reader.add(line) for line in lines] == [False] * (len(lines) - 1) + [True]
    assert reader.reply() == reply


def test_garbage_in_a_reply_is_noticed() -> None:
    reader = ReplyReader(2048)
    seen = []
    for line in ("250-a", "what?", "250 b"):
        reader.add(line)
        seen.append(reader.last_garbage)
    assert seen == [False, True, False]


def test_a_reply_is_stored_up_to_a_limit() -> None:
    reader = ReplyReader(12)
    stored = []
    for line in ("250-1234", "250-ü", "250-x", "250-y", "250 z"):
        stored.append(reader.storing)
        reader.add(line)
    assert stored == [True, True, False, False, False]
    assert reader.skipped == 3
    assert reader.reply() == SmtpReply(250, "2.0.0", "250-1234\n250-ü")


def expand(text: str) -> str:
    return text.replace("$name", "NAME")


@pytest.mark.parametrize(
    ("reply", "template", "result"),
    [
        ("550 5.1.1 no", "see $name", "550-5.1.1 no\r\n550 5.1.1 see NAME"),
        ("550 no\r\n", "a\\nb", "550-no\r\n550-a\r\n550 b\r\n"),
        ("550 no", "\\c, sorry", "550 no, sorry"),
        ("550 no", "\\c, sorry\\nb", "550-no, sorry\r\n550 b"),
        ("550-a\r\n550 b\r\n", "\\c!", "550-a\r\n550 b!\r\n"),
        ("550-5.0.0 a\r\n550 5.0.0 b", "c", "550-5.0.0 a\r\n550-5.0.0 b\r\n550 5.0.0 c"),
        ("550 no", "a\\n", "550-no\r\n550-a\r\n550 "),
        ("not a reply", "x", "not a reply"),
        ("550 a\r\nbad", "x", "550-a\r\nbad"),
    ],
)
def test_a_footer_repeats_the_codes(reply: str, template: str, result: str) -> None:
    assert smtp_reply_footer(reply, template, expand) == result


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("5.1.1 x", 5),
        ("4.123.999", 9),
        ("2.0.0\tx", 5),
        ("3.0.0 x", 0),
        ("5.1.1x", 0),
        ("5.1234.1 x", 0),
        ("5.1", 0),
        ("5.1.1\n", 5),
        ("5.١.1 x", 0),
        ("", 0),
    ],
)
def test_status_codes_are_recognized(text: str, size: int) -> None:
    assert dsn_valid(text) == size


def test_status_codes_are_split_off_and_prepended() -> None:
    assert dsn_split("4.0.0", "  5.1.1  \tno such user ") == ("5.1.1", "no such user ")
    assert dsn_split("4.0.0", " no") == ("4.0.0", "no")
    assert dsn_prepend("5.7.1", " 4.2.0   later") == "4.2.0 later"
    assert dsn_prepend("5.7.1", "no") == "5.7.1 no"


@pytest.mark.parametrize(
    ("data", "utf8", "ascii_only"),
    [
        (b"plain", b"plain", b"plain"),
        (b"a\tb\x7f", b"a?b?", b"a?b?"),
        ("é€".encode(), "é€".encode(), b"?????"),
        (b"\xffa\xc3", b"?a?", b"?a?"),
        (b"\xc3\xa9\xa9\xa9", b"\xc3\xa9\xa9\xa9", b"????"),
        (b"\x80x", b"?x", b"?x"),
    ],
)
def test_unprintable_bytes_are_replaced(data: bytes, utf8: bytes, ascii_only: bytes) -> None:
    assert to_bytes(printable(to_text(data))) == utf8
    assert to_bytes(printable(to_text(data), utf8=False)) == ascii_only


def test_text_is_cut_by_bytes() -> None:
    assert cut("abcdef", 3) == "abc"
    assert cut("abc", 3) == "abc"
    assert to_bytes(cut("éé", 3)) == b"\xc3\xa9\xc3"
