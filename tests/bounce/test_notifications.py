"""Delivery status notifications: who is told what."""

from __future__ import annotations

import pytest

from mta.lib.recipient import DSN_RET_HDRS, Recipient
from mta.lib.requests import (
    BOUNCE_FLAG_DELRCPT,
    BOUNCE_FLAG_NONE,
    DEL_REQ_FLAG_USR_VRFY,
    AppendRequest,
    FlushRequest,
)
from mta.wire.dsn import Dsn
from tests.cleanup.cleanup_site import CleanupSite, Result

Site = type[CleanupSite]

DOUBLE_BOUNCE = "double-bounce@mx.example.org"
REASON = Dsn("5.1.1", "no such user", "failed")


def append(postfix: CleanupSite, service: str, queue_id: str, *recipients: Recipient) -> None:
    for recipient in recipients:
        dsn = REASON if service == "bounce" else Dsn("4.2.2", "full", "delayed")
        request = AppendRequest(BOUNCE_FLAG_NONE, queue_id, recipient, "none", dsn)
        assert postfix.run(postfix.process.call(service, request))


def flush(postfix: CleanupSite, service: str, kind: str, original: Result, **more: object) -> bool:
    facts: dict[str, object] = {
        "flags": BOUNCE_FLAG_NONE,
        "queue_name": original.queue,
        "queue_id": original.queue_id,
        "encoding": "",
        "smtputf8": 0,
        "sender": "a@client.test",
        "dsn_envid": "",
        "dsn_ret": 0,
        **more,
    }
    request = FlushRequest(kind, **facts)  # type: ignore[arg-type]
    return bool(postfix.run(postfix.process.call(service, request)))


def notices(postfix: CleanupSite, original: Result) -> list[Result]:
    """The messages that are new in the queue."""
    ids = [name for name in postfix.files("incoming") if name != original.queue_id]
    return [postfix.result(original.reply, queue_id) for queue_id in ids]


def message(postfix: CleanupSite, **more: str) -> Result:
    result = postfix.send(
        "Subject: hello", "X-Long: y", " folded", "", "body", attributes=("rewrite_context=remote",)
    )
    postfix.log()
    return result


EXPECTED = """\
From: MAILER-DAEMON@example.org (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: a@client.test
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="ID.1767603600/mx.example.org"
Content-Transfer-Encoding: 8bit
Message-Id: <20260105090000.NEW@mx.example.org>

This is a MIME-encapsulated message.

--ID.1767603600/mx.example.org
Content-Description: Notification
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

This is the mail system at host mx.example.org.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

For further assistance, please send mail to postmaster.

If you do so, please include this problem report. You can
delete your own text from the attached returned message.

                   The mail system

<b@dest.test>: no such user

--ID.1767603600/mx.example.org
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org
Original-Envelope-Id: env
X-Postfix-Queue-ID: ID
X-Postfix-Sender: rfc822; a@client.test
Arrival-Date: Mon,  5 Jan 2026 09:00:00 +0000 (UTC)

Final-Recipient: rfc822; b@dest.test
Original-Recipient: rfc822;o@dest.test
Action: failed
Status: 5.1.1
Diagnostic-Code: X-Postfix; no such user

--ID.1767603600/mx.example.org
Content-Description: Undelivered Message
Content-Type: message/rfc822
Content-Transfer-Encoding: 8bit

Return-Path: <a@client.test>
Received: from somewhere
Subject: hello
X-Long: y
 folded

body

--ID.1767603600/mx.example.org--
"""


def test_a_bounce_is_a_report_in_three_parts(site: Site) -> None:
    postfix = site()
    original = message(postfix)
    append(postfix, "bounce", original.queue_id,
           Recipient("b@dest.test", "b@dest.test", "rfc822;o@dest.test"))  # fmt: skip
    assert flush(postfix, "bounce", "bounce", original, dsn_envid="env")
    (notice,) = notices(postfix, original)
    text = "\n".join(notice.of("N")).replace(original.queue_id, "ID").replace(notice.queue_id, "NEW")
    assert text.split("\n", 3)[3] + "\n" == EXPECTED
    assert (notice.of("S"), notice.recipients) == ([""], ["a@client.test"])
    assert postfix.files("bounce") == []
    assert postfix.log()[-1] == "bounce: QID: sender non-delivery notification: QID"


@pytest.mark.parametrize(
    ("classes", "sender", "told"),
    [
        ("", "a@client.test", [("", "a@client.test")]),
        ("bounce", "a@client.test",
         [("", "a@client.test"), (DOUBLE_BOUNCE, "postmaster@example.org")]),
        ("", "", []),
        ("2bounce", "", [(DOUBLE_BOUNCE, "postmaster@example.org")]),
        ("bounce", "", [(DOUBLE_BOUNCE, "postmaster@example.org")]),
        ("bounce, 2bounce", DOUBLE_BOUNCE, []),
    ],
)  # fmt: skip
def test_notify_classes_decide_who_is_told_of_a_bounce(
    site: Site, classes: str, sender: str, told: list[tuple[str, str]]
) -> None:
    postfix = site(f"notify_classes = {classes}\n")
    original = message(postfix)
    append(postfix, "bounce", original.queue_id, Recipient("b@dest.test"))
    assert flush(postfix, "bounce", "bounce", original, sender=sender)
    got = [(notice.of("S")[0], notice.recipients[0]) for notice in notices(postfix, original)]
    assert got == told
    assert postfix.files("bounce") == []


@pytest.mark.parametrize(
    ("kind", "notify", "told"),
    [
        ("bounce", 0, True),
        ("bounce", 1, False),
        ("bounce", 2, False),
        ("bounce", 4, True),
        ("bounce", 8, False),
        ("warn", 0, True),
        ("warn", 4, False),
        ("warn", 8, True),
    ],
)
def test_notify_of_the_recipient_decides(site: Site, kind: str, notify: int, told: bool) -> None:
    service = "bounce" if kind == "bounce" else "defer"
    postfix = site("delay_warning_time = 4h\n")
    original = message(postfix)
    append(postfix, service, original.queue_id, Recipient("b@dest.test", dsn_notify=notify))
    assert flush(postfix, service, kind, original)
    assert bool(notices(postfix, original)) is told
    lines = [line for line in postfix.log() if line.startswith("cleanup")]
    assert lines == ["cleanup: QID: message-id=<20260105090000.QID@mx.example.org>"]


def test_a_delay_warning_keeps_the_logfile(site: Site) -> None:
    postfix = site("delay_warning_time = 4h\nnotify_classes = delay\n")
    original = message(postfix)
    append(postfix, "defer", original.queue_id, Recipient("b@dest.test"))
    assert flush(postfix, "defer", "warn", original)
    warning, copy = notices(postfix, original)
    assert "Subject: Delayed Mail (still being retried)" in warning.content
    assert "Your message could not be delivered for more than 4 hour(s)." in warning.content
    assert "It will be retried until it is 5 day(s) old." in warning.content
    assert "Action: delayed" in warning.content
    assert "Will-Retry-Until: Sat, 10 Jan 2026 09:00:00 +0000 (UTC)" in warning.content
    assert "body" not in warning.content
    assert "Subject: Postmaster Warning: Delayed Mail" in copy.content
    assert postfix.files("defer") != []
    assert [line for line in postfix.log() if line.startswith("bounce")] == [
        "bounce: QID: sender delay notification: QID",
        "bounce: QID: postmaster delay notification: QID",
    ]


@pytest.mark.parametrize(
    ("flags", "subject"),
    [(0, "Successful Mail Delivery Report"), (DEL_REQ_FLAG_USR_VRFY, "Mail Delivery Status Report")],
)
def test_a_trace_tells_of_success_or_of_what_was_asked(
    site: Site, flags: int, subject: str
) -> None:
    postfix = site()
    original = message(postfix)
    append(postfix, "trace", original.queue_id, Recipient("b@dest.test", dsn_notify=2))
    assert flush(postfix, "trace", "trace", original, flags=flags)
    (notice,) = notices(postfix, original)
    assert f"Subject: {subject}" in notice.content
    assert "Content-Description: Message Headers" in notice.content
    assert postfix.files("trace") == []
    assert postfix.log()[-1] == "bounce: QID: sender delivery status notification: QID"


def test_no_trace_without_a_logfile_or_for_bounces(site: Site) -> None:
    postfix = site()
    original = message(postfix)
    assert flush(postfix, "trace", "trace", original)
    assert flush(postfix, "trace", "trace", original, sender=DOUBLE_BOUNCE)
    assert flush(postfix, "trace", "trace", original, sender="")
    assert notices(postfix, original) == []
    assert postfix.log() == [
        "bounce: QID: not sending trace/success notification for double-bounce message",
        "bounce: QID: not sending trace/success notification for single-bounce message",
    ]


def test_verp_bounces_come_one_by_one(site: Site) -> None:
    postfix = site("notify_classes = bounce\n")
    original = message(postfix)
    append(postfix, "bounce", original.queue_id, Recipient("b@dest.test"),
           Recipient("c@dest.test", "o@dest.test"), Recipient("d@dest.test", dsn_notify=1))  # fmt: skip
    assert flush(postfix, "bounce", "verp", original, sender="list@l.test", verp="+=")
    told = [notice.recipients[0] for notice in notices(postfix, original)]
    assert told == [
        "list+b=dest.test@l.test",
        "postmaster@example.org",
        "list+o=dest.test@l.test",
        "postmaster@example.org",
        "postmaster@example.org",
    ]


def test_one_recipient_bounces_without_a_logfile(site: Site) -> None:
    postfix = site()
    original = message(postfix)
    recipient = Recipient("b@dest.test", "o@dest.test")
    assert flush(postfix, "bounce", "one", original, recipient=recipient, dsn=REASON)
    (notice,) = notices(postfix, original)
    assert "<b@dest.test> (expanded from <o@dest.test>): no such user" in notice.content
    assert not flush(postfix, "defer", "one", original, recipient=recipient, dsn=REASON)


def test_recipients_are_marked_as_done_where_wanted(site: Site) -> None:
    postfix = site()
    original = message(postfix)
    offset = 0
    path = f"/var/spool/postfix/incoming/{original.queue_id}"
    data = postfix.machine.files.read(path)
    offset = data.index(b"R\x0bb@dest.test")
    append(postfix, "bounce", original.queue_id, Recipient("b@dest.test", offset=offset))
    assert flush(postfix, "bounce", "bounce", original, flags=BOUNCE_FLAG_DELRCPT)
    assert postfix.machine.files.read(path)[offset : offset + 1] == b"D"


@pytest.mark.parametrize(
    ("main_cf", "more", "description", "body"),
    [
        ("", {}, "Undelivered Message", True),
        ("", {"dsn_ret": DSN_RET_HDRS}, "Undelivered Message Headers", False),
        ("bounce_size_limit = 10\n", {}, "Undelivered Message Headers", False),
    ],
)
def test_how_much_of_the_message_goes_back(
    site: Site, main_cf: str, more: dict[str, int], description: str, body: bool
) -> None:
    postfix = site(main_cf)
    original = message(postfix)
    append(postfix, "bounce", original.queue_id, Recipient("b@dest.test"))
    assert flush(postfix, "bounce", "bounce", original, **more)
    (notice,) = notices(postfix, original)
    assert f"Content-Description: {description}" in notice.content
    assert ("body" in notice.content) is body
    assert " folded" in notice.content


def test_what_is_gone_is_said_to_be_gone(site: Site) -> None:
    postfix = site()
    original = message(postfix)
    postfix.machine.files.remove(f"/var/spool/postfix/incoming/{original.queue_id}")
    assert flush(postfix, "bounce", "bounce", original)
    (notice,) = notices(postfix, original)
    assert "\t--- Delivery report unavailable ---" in notice.content
    assert notice.content[-1] == "\t--- Undelivered message unavailable ---"


@pytest.mark.parametrize(
    ("smtputf8", "address", "types"),
    [
        (0, "ü@dest.test", ("rfc822", "message/delivery-status", "message/rfc822")),
        (4, "ü@dest.test", ("utf-8", "message/delivery-status", "message/rfc822")),
        (1, "ü@dest.test", ("utf-8", "message/global-delivery-status", "message/global")),
        (1, "u@dest.test", ("rfc822", "message/global-delivery-status", "message/global")),
    ],
)
def test_utf8_reports(site: Site, smtputf8: int, address: str, types: tuple[str, ...]) -> None:
    postfix = site()
    original = message(postfix)
    append(postfix, "bounce", original.queue_id, Recipient(address))
    assert flush(postfix, "bounce", "bounce", original, smtputf8=smtputf8)
    (notice,) = notices(postfix, original)
    assert f"Final-Recipient: {types[0]}; {address}" in notice.content
    assert f"Content-Type: {types[1]}" in notice.content
    assert f"Content-Type: {types[2]}" in notice.content


def test_without_smtputf8_a_report_is_as_wide_as_its_message(site: Site) -> None:
    postfix = site("smtputf8_enable = no\n")
    original = message(postfix)
    append(postfix, "bounce", original.queue_id, Recipient("b@dest.test"))
    assert flush(postfix, "bounce", "bounce", original)
    (notice,) = notices(postfix, original)
    assert not any(line.startswith("Content-Transfer-Encoding") for line in notice.content)
    assert "Content-Type: text/plain; charset=us-ascii" in notice.content


def test_bad_requests_are_refused(site: Site) -> None:
    postfix = site()
    original = message(postfix)
    assert not flush(postfix, "bounce", "verp", original, verp="+")
    assert not flush(postfix, "bounce", "strange", original)
    assert not flush(postfix, "bounce", "bounce", original, queue_name="in/coming")
    assert [line.removeprefix("bounce: warning: ") for line in postfix.log()] == [
        "malformed verp delimiter string: +",
        "unknown command: strange",
        "malformed queue name: in/coming",
    ]


def test_cleanup_sends_back_what_it_cannot_take(site: Site) -> None:
    from mta.lib.requests import CLEANUP_FLAG_BOUNCE
    from tests.cleanup.cleanup_site import EXTERNAL

    postfix = site("header_checks = static:{REJECT no thanks}\n")
    result = postfix.send("Subject: x", "", "body", flags=EXTERNAL | CLEANUP_FLAG_BOUNCE)
    assert result.reply.status == 0
    (name,) = postfix.files("incoming")
    notice = postfix.result(result.reply, name)
    assert notice.recipients == ["a@client.test"]
    assert "Diagnostic-Code: X-Postfix; no thanks" in notice.content
    assert "body" not in notice.content
    assert any(
        line.startswith("cleanup: QID: to=<b@dest.test>, relay=none")
        and line.endswith("dsn=5.7.1, status=bounced (no thanks)")
        for line in postfix.log()
    )
