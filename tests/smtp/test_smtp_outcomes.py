"""What becomes of recipients: sent, bounced, deferred, tried elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from smtp_site import Site

from mta.lib.recipient import DSN_NOTIFY_SUCCESS, Recipient
from mta.lib.requests import DEL_REQ_FLAG_SUCCESS, DEL_REQ_FLAG_USR_VRFY

Make = Callable[..., Site]

ONE = "one.test[203.0.113.1]"


def test_a_message_is_sent_to_the_best_server(make_site: Make) -> None:
    site = make_site()
    reply = site.send("b@dest.test")
    assert reply == (False, None)
    assert site.log() == [
        f"QID: to=<b@dest.test>, relay={ONE}:25, dsn=2.0.0, status=sent (250 2.0.0 Ok)"
    ]
    assert site.said() == [
        "EHLO mx.example.org",
        "MAIL FROM:<a@client.test> SIZE=18",
        "RCPT TO:<b@dest.test>",
        "DATA",
        "<3 lines>",
        "QUIT",
    ]
    assert site.delivered == ["Subject: test\n\nhello\n"]


#: What the only server does, whether the recipient stays in the queue, and the end of the log.
SERVER_TROUBLE = [
    ("a rejected recipient bounces", [{"on": "RCPT", "reply": "550 5.1.1 no"}], False,
     f"bounced (host {ONE} said: 550 5.1.1 no (in reply to RCPT TO command))"),
    ("a busy mailbox defers", [{"on": "RCPT", "reply": "452 4.2.2 full"}], True,
     f"deferred (host {ONE} said: 452 4.2.2 full (in reply to RCPT TO command))"),
    ("lines of a reply are joined", [{"on": "RCPT", "reply": "550-5.1.1 no\n550 5.1.1 never"}],
     False, f"bounced (host {ONE} said: 550-5.1.1 no 550 5.1.1 never (in reply to RCPT TO command))"),
    ("a rejected sender bounces", [{"on": "MAIL", "reply": "553 5.1.8 you?"}], False,
     f"bounced (host {ONE} said: 553 5.1.8 you? (in reply to MAIL FROM command))"),
    ("rejected content bounces", [{"on": ".", "reply": "554 5.7.1 spam"}], False,
     f"bounced (host {ONE} said: 554 5.7.1 spam (in reply to end of DATA command))"),
    ("rejected DATA defers", [{"on": "DATA", "reply": "451 4.3.0 not now"}], True,
     f"deferred (host {ONE} said: 451 4.3.0 not now (in reply to DATA command))"),
    ("success in the wrong place is an error", [{"on": "DATA", "reply": "250 2.0.0 Ok"}], False,
     f"bounced (Protocol error: host {ONE} said: 250 2.0.0 Ok (in reply to DATA command))"),
    ("a greeting with 554 defers", [{"on": "connect", "reply": "554 5.7.1 go away"}], True,
     f"deferred (host {ONE} refused to talk to me: 554 5.7.1 go away)"),
    ("421 to EHLO defers", [{"on": "EHLO", "reply": "421 4.3.2 busy"}], True,
     f"deferred (host {ONE} refused to talk to me: 421 4.3.2 busy)"),
    ("HELO comes after a rejected EHLO, and may be rejected",
     [{"on": "EHLO", "reply": "500 5.5.1 what?"}, {"on": "HELO", "reply": "501 5.5.1 no"}], False,
     f"bounced (host {ONE} refused to talk to me: 501 5.5.1 no)"),
    ("hanging up at the start", [{"on": "connect", "do": "close"}], True,
     f"deferred (lost connection with {ONE} while receiving the initial server greeting)"),
    ("hanging up at EHLO", [{"on": "EHLO", "do": "close"}], True,
     f"deferred (lost connection with {ONE} while performing the EHLO handshake)"),
    ("hanging up at MAIL", [{"on": "MAIL", "do": "close"}], True,
     f"deferred (lost connection with {ONE} while sending MAIL FROM)"),
    ("hanging up at RCPT", [{"on": "RCPT", "do": "close"}], True,
     f"deferred (lost connection with {ONE} while sending RCPT TO)"),
    ("hanging up at DATA", [{"on": "DATA", "do": "close"}], True,
     f"deferred (lost connection with {ONE} while sending DATA command)"),
    ("hanging up at the end", [{"on": ".", "do": "close"}], True,
     f"deferred (lost connection with {ONE} while sending end of data -- message may be sent more "
     "than once)"),
    ("silence at the start", [{"on": "connect", "do": "silent"}], True,
     f"deferred (conversation with {ONE} timed out while receiving the initial server greeting)"),
    ("silence at RCPT", [{"on": "RCPT", "do": "silent"}], True,
     f"deferred (conversation with {ONE} timed out while sending RCPT TO)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rules", "deferred", "ending"),
    [row[1:] for row in SERVER_TROUBLE],
    ids=[row[0] for row in SERVER_TROUBLE],
)
def test_trouble_with_the_only_server(
    make_site: Make, rules: list[dict[str, Any]], deferred: bool, ending: str
) -> None:
    site = make_site(peers={"one.test": rules})
    reply = site.send("b@dest.test", nexthop="[one.test]")
    assert reply.deferred is deferred
    assert site.log()[-1].endswith(f"status={ending}")
    assert [service for service, _ in site.reports] == ["defer" if deferred else "bounce"]


#: Of which failures the queue manager learns that the destination as a whole is in trouble.
@pytest.mark.parametrize(
    ("rules", "whole"),
    [
        ([{"on": "connect", "reply": "421 4.3.2 no"}], True),
        ([{"on": "EHLO", "do": "close"}], True),
        ([{"on": "DATA", "do": "close"}], True),
        ([{"on": "MAIL", "reply": "451 4.3.0 no"}], False),
        ([{"on": "RCPT", "reply": "451 4.3.0 no"}], False),
        ([{"on": "DATA", "reply": "451 4.3.0 no"}], False),
        ([{"on": ".", "reply": "451 4.3.0 no"}], False),
        ([{"on": "RCPT", "do": "close"}], True),
    ],
)
def test_only_trouble_with_the_server_itself_throttles(
    make_site: Make, rules: list[dict[str, Any]], whole: bool
) -> None:
    site = make_site(peers={"one.test": rules})
    reply = site.send("b@dest.test", nexthop="[one.test]")
    assert reply.deferred
    assert (reply.dsn is not None) is whole


def test_a_later_server_gets_the_recipients_that_the_first_cannot_take(make_site: Make) -> None:
    site = make_site(
        peers={
            "one.test": [
                {"on": "RCPT TO:<later", "reply": "450 4.2.1 later"},
                {"on": "RCPT TO:<never", "reply": "550 5.1.1 never"},
            ],
            "two.test": [],
        }
    )
    reply = site.send("ok@dest.test", "later@dest.test", "never@dest.test")
    assert not reply.deferred
    assert site.log() == [
        f"QID: host {ONE} said: 450 4.2.1 later (in reply to RCPT TO command)",
        f"QID: to=<never@dest.test>, relay={ONE}:25, dsn=5.1.1, status=bounced (host {ONE} said: "
        "550 5.1.1 never (in reply to RCPT TO command))",
        f"QID: to=<ok@dest.test>, relay={ONE}:25, dsn=2.0.0, status=sent (250 2.0.0 Ok)",
        "QID: to=<later@dest.test>, relay=two.test[203.0.113.2]:25, dsn=2.0.0, status=sent "
        "(250 2.0.0 Ok)",
    ]
    assert site.said(1)[2:4] == ["RCPT TO:<later@dest.test>", "DATA"]


def test_with_soft_bounce_a_rejected_recipient_goes_on_to_the_next_server(make_site: Make) -> None:
    rules = [{"on": "RCPT", "reply": "550 5.1.1 no"}]
    site = make_site(peers={"one.test": rules, "two.test": []}, main_cf="soft_bounce = yes")
    assert not site.send("b@dest.test").deferred
    assert site.peers == ["one.test", "two.test"]


def test_done_recipients_are_marked_in_the_queue_file(make_site: Make) -> None:
    site = make_site(peers={"one.test": [{"on": "RCPT TO:<c", "reply": "450 4.2.1 later"}]})
    request = site.request(nexthop="[one.test]", flags=DEL_REQ_FLAG_SUCCESS)
    place = len(request.file.data)
    request.file.data += b"R\1bR\1c"
    request.recipients += [Recipient("b@x.test", offset=place), Recipient("c@x.test", offset=place + 3)]
    assert site.deliver(request).deferred
    assert request.file.data[place:] == b"D\1bR\1c"


def test_a_size_limit_is_kept_without_asking(make_site: Make) -> None:
    site = make_site(extensions=["SIZE 10"])
    site.send("b@dest.test")
    assert site.log()[-1].endswith(
        f"dsn=5.3.4, status=bounced (message size 18 exceeds size limit 10 of server {ONE})"
    )
    assert site.said() == ["EHLO mx.example.org"]


def test_smtputf8_is_required_where_it_is_needed(make_site: Make) -> None:
    site = make_site()
    site.send("b@dest.test", smtputf8=3)
    assert site.log()[-1].endswith(
        f"dsn=5.6.7, status=bounced (SMTPUTF8 is required, but was not offered by host {ONE})"
    )


def test_a_probe_ends_after_rcpt(make_site: Make) -> None:
    site = make_site(peers={"one.test": [{"on": "RCPT TO:<no", "reply": "550 5.1.1 no"}]})
    site.send("yes@dest.test", "no@dest.test", flags=DEL_REQ_FLAG_USR_VRFY)
    assert site.said()[-2:] == ["RSET", "QUIT"]
    assert [request.dsn.action for _, request in site.reports] == ["deliverable", "undeliverable"]
    assert site.delivered == []


def test_a_probe_may_end_after_data_without_a_word(make_site: Make) -> None:
    site = make_site(main_cf="smtp_address_verify_target = data")
    site.send("yes@dest.test", flags=DEL_REQ_FLAG_USR_VRFY)
    assert site.said()[-1] == "DATA"
    assert site.reports[0][1].dsn.status == "2.0.0"
    assert site.reports[0][1].dsn.reason.endswith(": 354 End data with <CR><LF>.<CR><LF>")


@pytest.mark.parametrize(
    ("extensions", "reports"), [(["DSN"], []), (["8BITMIME"], ["relayed"])]
)
def test_a_server_without_dsn_ends_its_path(
    make_site: Make, extensions: list[str], reports: list[str]
) -> None:
    site = make_site(extensions=extensions)
    site.send(Recipient("b@dest.test", dsn_notify=DSN_NOTIFY_SUCCESS))
    assert [request.dsn.action for _, request in site.reports] == reports


# -- LMTP -----------------------------------------------------------------------------------------


def test_lmtp_has_one_reply_for_each_recipient(make_site: Make) -> None:
    rules = [{"on": "RCPT TO:<two", "reply": "550 5.1.1 no"}]
    site = make_site(peers={"one.test": rules}, port=24)
    site.send("one@x", "two@x", "three@x", nexthop="inet:one.test", service="lmtp")
    assert [line.rpartition(", ")[2] for line in site.log("lmtp")] == [
        f"status=bounced (host {ONE} said: 550 5.1.1 no (in reply to RCPT TO command))",
        "status=sent (250 2.0.0 Ok)",
        "status=sent (250 2.0.0 Ok)",
    ]
    assert site.said() == [
        "LHLO mx.example.org",
        "MAIL FROM:<a@client.test> SIZE=18",
        "RCPT TO:<one@x>",
        "RCPT TO:<two@x>",
        "RCPT TO:<three@x>",
        "DATA",
        "<3 lines>",
        "QUIT",
    ]


def test_lmtp_over_a_socket_that_does_not_exist(make_site: Make) -> None:
    site = make_site()
    reply = site.send("one@x", nexthop="unix:private/none", service="lmtp")
    assert reply.dsn is not None
    assert site.log("lmtp") == [
        "QID: to=<one@x>, relay=none, dsn=4.4.1, status=deferred (connect to "
        "mx.example.org[private/none]: No such file or directory)"
    ]
