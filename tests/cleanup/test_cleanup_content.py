"""What cleanup(8) makes of headers and bodies."""

from __future__ import annotations

import os

import pytest

from mta.lib.requests import (
    CLEANUP_FLAG_AUTOUTF8,
    CLEANUP_STAT_BAD,
    CLEANUP_STAT_CONT,
    CLEANUP_STAT_DEFER,
    CLEANUP_STAT_HOPS,
    CLEANUP_STAT_SIZE,
    CLEANUP_STAT_WRITE,
)
from tests.cleanup.cleanup_site import EXTERNAL, RECEIVED, CleanupSite

Site = type[CleanupSite]

REMOTE = ("rewrite_context=remote",)
DATE = "Date: Mon,  5 Jan 2026 09:00:00 +0000 (UTC)"


@pytest.mark.parametrize(
    ("lines", "content"),
    [
        (("From: alice", "To: b@c.test", "Message-Id: <1>", "Date: now"),
         ["From: alice@example.org", "To: b@c.test", "Message-Id: <1>", "Date: now"]),
        (("from: Al <alice>", "message-id: <1>", "date: now"),
         ["from: Al <alice@example.org>", "message-id: <1>", "date: now"]),
        (("From : a@b.test", "Message-Id: <1>", "Date: now"),
         ["From: a@b.test", "Message-Id: <1>", "Date: now"]),
        (("From: a@b.test", "Message-Id: <1>", "Date: now", "To: a, b,", " c (comment), d@x.test"),
         ["From: a@b.test", "Message-Id: <1>", "Date: now",
          "To: a@example.org, b@example.org, c@example.org (comment), d@x.test"]),
        (("From: a@b.test", "Message-Id: <1>", "Date: now", "Bcc: x", "Return-Path: <y>",
          "Content-Length: 4", "X-Any: kept"),
         ["From: a@b.test", "Message-Id: <1>", "Date: now", "X-Any: kept"]),
        (("Message-Id: <1>", "Date: now"), ["Message-Id: <1>", "Date: now", "From: a@client.test"]),
        (("Message-Id: <1>", "From: x@y.test"), ["Message-Id: <1>", "From: x@y.test", DATE]),
    ],
)  # fmt: skip
def test_headers_of_local_mail_are_made_complete(
    site: Site, lines: tuple[str, ...], content: list[str]
) -> None:
    assert site().send(*lines, "", "body").content == [*content, "", "body"]


def test_headers_of_mail_from_elsewhere_stay_as_they_are(site: Site) -> None:
    postfix = site()
    result = postfix.send("From: alice", "Bcc: x", "", "body", attributes=REMOTE)
    assert result.content == ["From: alice", "", "body"]
    assert postfix.log() == ["cleanup: QID: message-id=<>"]
    result = site("remote_header_rewrite_domain = away.invalid\n").send(
        "From: alice", "", attributes=REMOTE
    )
    assert "From: alice@away.invalid" in result.content
    result = site("always_add_missing_headers = yes\n").send("", attributes=REMOTE)
    assert [line.split(":")[0] for line in result.content] == ["Message-Id", "Date", "From", ""]


def test_resent_headers_make_the_additions_resent(site: Site) -> None:
    postfix = site("undisclosed_recipients_header = To: nobody:;\n")
    result = postfix.send("Resent-From: bob", "", "body")
    names = [line.split(":")[0] for line in result.content]
    assert names == ["Resent-From", "Resent-Message-Id", "Resent-Date", "To", "", "body"]
    assert [line.split("=")[0] for line in postfix.log()] == [
        "cleanup: QID: resent-message-id", "cleanup: QID: message-id"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fullname", "line"),
    [
        ("A Name", "From: a@client.test (A Name)"),
        ("", "From: a@client.test"),
        ("par)en", 'From: a@client.test "en)" (par)'),
    ],
)
def test_the_full_name_goes_into_a_from_header(site: Site, fullname: str, line: str) -> None:
    assert line in site().send("", envelope=(("F", fullname),)).content


@pytest.mark.parametrize(
    ("main_cf", "line", "expected"),
    [
        ("canonical_maps = inline:{alice@example.org=A.Lice@example.org}\n", "From: alice",
         "From: A.Lice@example.org"),
        ("canonical_maps = inline:{alice@example.org=A.Lice@example.org}\n"
         "canonical_classes = envelope_sender\n", "From: alice", "From: alice@example.org"),
        ("sender_canonical_maps = inline:{alice@example.org=s@x.test}\n", "To: alice",
         "To: alice@example.org"),
        ("recipient_canonical_maps = inline:{alice@example.org=r@x.test}\n", "To: alice",
         "To: r@x.test"),
        ("masquerade_domains = x.test\n", "Reply-To: a@b.x.test", "Reply-To: a@x.test"),
        ("masquerade_domains = x.test\n", "Cc: a@b.x.test", "Cc: a@x.test"),
        ("masquerade_domains = x.test\nmasquerade_classes = header_sender\n", "Cc: a@b.x.test",
         "Cc: a@b.x.test"),
    ],
)  # fmt: skip
def test_header_addresses_are_mapped(site: Site, main_cf: str, line: str, expected: str) -> None:
    assert expected in site(main_cf).send(line, "").content


def test_long_address_lists_are_folded(site: Site) -> None:
    names = [f"user{number}" for number in range(8)]
    content = site().send("To: " + ", ".join(names), "").content
    start = next(at for at, line in enumerate(content) if line.startswith("To:"))
    assert content[start : start + 3] == [
        "To: user0@example.org, user1@example.org, user2@example.org,",
        "\tuser3@example.org, user4@example.org, user5@example.org,",
        "\tuser6@example.org, user7@example.org",
    ]


@pytest.mark.parametrize(
    ("body", "stored"),
    [
        (("", "body"), ["", "body"]),
        (("no blank line",), ["", "no blank line"]),
        ((" blank at the start", "X: y"), None),
        ((), []),
    ],
)
def test_a_blank_line_divides_headers_and_body(
    site: Site, body: tuple[str, ...], stored: list[str] | None
) -> None:
    result = site().send(*body, attributes=REMOTE)
    if stored is None:  # it continues our Received header
        assert result.of("N") == [RECEIVED, " blank at the start", "X: y"]
    else:
        assert result.content == stored


def test_our_own_received_header_must_be_there(site: Site) -> None:
    postfix = site()
    assert postfix.send("Subject: x", "", received=False).reply.status == CLEANUP_STAT_BAD
    assert postfix.log() == [
        "cleanup: warning: QID: message rejected: no Received: header"
    ]


def test_mail_that_goes_round_and_round_is_refused(site: Site) -> None:
    postfix = site("hopcount_limit = 3\n")
    assert postfix.send(RECEIVED, "", attributes=REMOTE).reply.status == 0
    result = postfix.send(RECEIVED, RECEIVED, "", attributes=REMOTE)
    assert result.reply.status == CLEANUP_STAT_HOPS
    assert "cleanup: warning: QID: message rejected: hopcount exceeded" in postfix.log()


@pytest.mark.parametrize("reject", [True, False])
def test_mail_that_is_too_big_is_refused(site: Site, reject: bool) -> None:
    postfix = site(f"message_size_limit = {5000 if reject else 50000}\n")
    result = postfix.send("", *["x" * 100] * 100, attributes=REMOTE)
    assert (result.reply.status == CLEANUP_STAT_SIZE) is reject
    assert ("cleanup: warning: QID: queue file size limit exceeded" in postfix.log()) is reject
    assert bool(postfix.files("incoming")) is not reject


# -- checks ---------------------------------------------------------------------------------------

CHECK = "cleanup: QID: {}: header Subject: x from local; from=<a@client.test> to=<b@dest.test>{}"


@pytest.mark.parametrize(
    ("action", "status", "reason", "logged"),
    [
        ("REJECT", CLEANUP_STAT_CONT, "5.7.1 message content rejected",
         CHECK.format("reject", ": 5.7.1 message content rejected")),
        ("REJECT no", CLEANUP_STAT_CONT, "5.7.1 no", CHECK.format("reject", ": 5.7.1 no")),
        ("reject 4.1.1 no", CLEANUP_STAT_DEFER, "4.1.1 no", CHECK.format("reject", ": 4.1.1 no")),
        ("WARN look", 0, "", CHECK.format("warning", ": look")),
        ("INFO", 0, "", CHECK.format("info", "")),
        ("DISCARD bye", 0, "", CHECK.format("discard", ": bye")),
        ("HOLD", 0, "", CHECK.format("hold", "")),
        ("FILTER smtp:[x]", 0, "", CHECK.format("filter", ": smtp:[x]")),
        ("REDIRECT r@x.test", 0, "", CHECK.format("redirect", ": r@x.test")),
        ("BCC c@x.test", 0, "", CHECK.format("bcc", ": c@x.test")),
        ("PREPEND X: y", 0, "", CHECK.format("prepend", ": X: y")),
        ("REPLACE X: y", 0, "", CHECK.format("replace", ": X: y")),
        ("IGNORE", 0, "", None),
        ("DUNNO", 0, "", None),
        ("FILTER x", 0, "", "cleanup: warning: bad FILTER command x in header_checks -- "
         "need transport:destination"),
        ("FROBNICATE", 0, "", "cleanup: warning: unknown command in header_checks map: FROBNICATE"),
    ],
)  # fmt: skip
def test_header_checks_act(
    site: Site, action: str, status: int, reason: str, logged: str | None
) -> None:
    postfix = site(
        "header_checks = regexp:/etc/postfix/hc\n", {"hc": f"/^Subject: x/ {action}\n"}
    )
    lines = ("Message-Id: <1>", "Date: d", "From: x@y.test", "To: a@b.test", "Subject: x")
    result = postfix.send(*lines, "", "body")
    assert (result.reply.status, result.reply.reason) == (status, reason)
    log = [line for line in postfix.log() if "message-id" not in line]
    assert log == ([logged] if logged else [])
    verb = action.split()[0].upper()
    assert result.queue == {"HOLD": "hold", "DISCARD": "", "REJECT": ""}.get(verb, "incoming")
    if result.queue:
        subject = {"IGNORE": [], "REPLACE": ["X: y"], "PREPEND": ["X: y", "Subject: x"]}
        assert result.content[4:-2] == subject.get(verb, ["Subject: x"])
        assert result.of("L") == (["smtp:[x]"] if "smtp" in action else [])
        assert result.of(">") == (["r@x.test"] if verb == "REDIRECT" else [])
        assert result.recipients[1:] == (["c@x.test"] if verb == "BCC" else [])


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("DUNNO", ["", "one", "two", "three"]),
        ("IGNORE", ["", "one", "three"]),
        ("REPLACE 2", ["", "one", "2", "three"]),
        ("PREPEND before", ["", "one", "before", "two", "three"]),
        ("REDIRECT x@y.test", ["", "one", "two", "three"]),
    ],
)
def test_body_checks_see_line_after_line(site: Site, action: str, body: list[str]) -> None:
    postfix = site("body_checks = regexp:/etc/postfix/bc\n", {"bc": f"/^two$/ {action}\n"})
    result = postfix.send("", "one", "two", "three", attributes=REMOTE)
    assert result.content == body
    logged = [line for line in postfix.log() if ": body two" in line]
    assert len(logged) == (0 if action in ("DUNNO", "IGNORE") else 1)


def test_body_checks_end_at_their_limit(site: Site) -> None:
    postfix = site(
        "body_checks = regexp:/etc/postfix/bc\nbody_checks_size_limit = 10\n",
        {"bc": "/two/ IGNORE\n"},
    )
    assert postfix.send("", "two", "four", "2", "two", attributes=REMOTE).content == [
        "", "four", "2", "two"
    ]  # fmt: skip


def test_headers_of_parts_have_checks_of_their_own(site: Site) -> None:
    postfix = site(
        "header_checks = regexp:/etc/postfix/hc\nmime_header_checks = regexp:/etc/postfix/mc\n"
        "nested_header_checks = regexp:/etc/postfix/nc\n",
        {"hc": "/^X-(.*)/ WARN primary\n", "mc": "/^X-(.*)/ WARN part\n/^Content/ WARN mime\n",
         "nc": "/^X-(.*)/ WARN nested\n"},
    )  # fmt: skip
    postfix.send(
        "X-A: 1", "Content-Type: multipart/mixed; boundary=b", "", "--b", "X-B: 2", "", "X-C: 3",
        "--b", "Content-Type: message/rfc822", "", "X-D: 4", "", "X-E: 5", "--b--",
        attributes=REMOTE,
    )  # fmt: skip
    texts = [
        (line.split(" header ")[1].split(" from ")[0], line.rsplit(": ", 1)[1])
        for line in postfix.log()
        if " header " in line
    ]
    assert texts == [
        ("X-A: 1", "primary"),
        ("Content-Type: multipart/mixed; boundary=b", "mime"),
        ("X-B: 2", "part"),
        ("Content-Type: message/rfc822", "mime"),
        ("X-D: 4", "nested"),
    ]


def test_a_check_that_cannot_be_made_is_a_temporary_error(site: Site) -> None:
    postfix = site("header_checks = fail:1\n")
    result = postfix.send("Subject: x", "", attributes=REMOTE)
    assert result.reply.status == CLEANUP_STAT_WRITE
    assert (
        "cleanup: warning: QID: header_checks map lookup problem -- "
        "message not accepted, try again later"
    ) in postfix.log()


@pytest.mark.parametrize(
    ("main_cf", "lines", "reason"),
    [
        ("strict_7bit_headers = yes\n", ("Subject: ü", "", "x"),
         "improper use of 8-bit data in message header"),
        ("strict_8bitmime_body = yes\n", ("", "ü"), "improper use of 8-bit data in message body"),
        ("strict_mime_encoding_domain = yes\n",
         ("Content-Type: multipart/mixed; boundary=b", "Content-Transfer-Encoding: base64", ""),
         "invalid message/* or multipart/* encoding domain"),
    ],
)  # fmt: skip
def test_strict_mime_is_enforced(
    site: Site, main_cf: str, lines: tuple[str, ...], reason: str
) -> None:
    postfix = site(main_cf)
    result = postfix.send(*lines, attributes=REMOTE)
    assert result.reply.status == CLEANUP_STAT_CONT
    assert result.reply.reason == f"5.6.0 {reason}"
    assert any(f"reject: mime-error {reason}: " in line for line in postfix.log())


def test_characters_are_stripped_or_rejected(site: Site) -> None:
    postfix = site("message_strip_characters = \\001\nmessage_reject_characters = \\002\n")
    assert postfix.send("", "a\1b", attributes=REMOTE).content == ["", "ab"]
    result = postfix.send("", "a\2b", attributes=REMOTE)
    assert result.reply.reason == "5.7.1 disallowed character"
    assert any("reject: content a?b from local;" in line for line in postfix.log())


# -- sizes and encodings --------------------------------------------------------------------------


def test_long_lines_are_kept_in_parts(site: Site) -> None:
    long = "y" * 5000
    result = site().send(f"X-Long: {long}", "", long, attributes=REMOTE)
    assert result.content == [f"X-Long: {long}", "", long]
    assert [len(part) for part in result.of("L")] == [2048, 2048, 2048, 2048]


def test_headers_that_are_too_long_are_cut(site: Site) -> None:
    postfix = site("header_size_limit = 100\n")
    lines = ["X-A: " + "a" * 90, " " + "b" * 50, " " + "c" * 50, "X-B: " + "d" * 200]
    result = postfix.send(*lines, "", attributes=REMOTE)
    assert result.content == ["X-A: " + "a" * 90, "X-B: " + "d" * 95, ""]


@pytest.mark.parametrize(
    ("lines", "encoding"),
    [
        (("Content-Transfer-Encoding: 8bit", ""), ["encoding=8bit"]),
        (("Content-Transfer-Encoding: 7bit", ""), []),
        (("Content-Type: multipart/mixed; boundary=b", "", "--b",
          "Content-Transfer-Encoding: binary", "", "x"), ["encoding=8bit"]),
        (("", "--b", "Content-Transfer-Encoding: 8bit", ""), []),
    ],
)  # fmt: skip
def test_an_8bit_part_makes_the_message_8bit(
    site: Site, lines: tuple[str, ...], encoding: list[str]
) -> None:
    result = site().send(*lines, attributes=REMOTE)
    types = [rec_type for rec_type, _ in result.records]
    after = result.records[types.index("X") :]
    assert [data for rec_type, data in after if rec_type == "A"] == encoding
    assert result.reply.status == 0


@pytest.mark.parametrize(
    ("flags", "sender", "to", "subject", "expected"),
    [
        (0, "a@b.test", "b@c.test", "x", 0),
        (0, "ä@b.test", "b@c.test", "ü", 2 | 4),
        (CLEANUP_FLAG_AUTOUTF8, "ä@b.test", "b@c.test", "x", 1 | 4),
        (CLEANUP_FLAG_AUTOUTF8, "a@b.test", "ö@c.test", "x", 1),
        (CLEANUP_FLAG_AUTOUTF8, "a@b.test", "b@c.test", "ü", 1 | 2),
        (CLEANUP_FLAG_AUTOUTF8, "\udcff@b.test", "b@c.test", "x", 0),
    ],
)
def test_utf8_is_noticed(
    site: Site, flags: int, sender: str, to: str, subject: str, expected: int
) -> None:
    result = site().send(
        f"Subject: {subject}", "", sender=sender, to=(to,), flags=EXTERNAL | flags,
        attributes=REMOTE,
    )  # fmt: skip
    assert int(result.of("C")[0].split()[5]) == expected


@pytest.mark.parametrize(
    ("number", "warnings"),
    [(28, ["cleanup: warning: QID: write queue file: No space left on device"]), (5, [])],
)
def test_a_disk_that_fails_is_a_temporary_error(
    site: Site, number: int, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    postfix = site()
    disk = postfix.machine.files

    def sync(_file: object) -> object:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(disk, "sync", sync)
    result = postfix.send("Message-Id: x", "", attributes=REMOTE)
    assert (result.reply.status, result.queue) == (CLEANUP_STAT_WRITE, "")
    assert postfix.log()[1:] == warnings
    assert postfix.files("incoming") == []
