"""The dialogue with a server: what is said, in what groups, and what is made of the replies."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from smtp_site import RawServer, Site

from mta.dict.store import whole
from mta.lib.recipient import DSN_NOTIFY_DELAY, DSN_NOTIFY_SUCCESS, DSN_RET_FULL, Recipient
from mta.system import Inet, Stream, TimedOut, Wait

Make = Callable[..., Site]

GREETING = "220 raw.test ESMTP\n"
HELLO = "250-raw.test\n250-PIPELINING\n250 8BITMIME\n"


def raw(site: Site, *answers: str, pause: float = 0.0) -> RawServer:
    """A raw server that is the one of ``[203.0.113.9]``."""
    return RawServer(site, "203.0.113.9", *answers, pause=pause)


# -- pipelining -----------------------------------------------------------------------------------


def test_a_pipelined_delivery_takes_three_round_trips(make_site: Make) -> None:
    site = make_site()
    server = raw(
        site,
        GREETING,
        HELLO,
        "250 ok\n250 ok\n250 ok\n354 go\n",
        "250 2.0.0 done\n221 bye\n",
    )
    assert not site.send("b@x.test", "c@x.test", nexthop="[203.0.113.9]").deferred
    assert server.chunks == [
        b"EHLO mx.example.org\r\n",
        b"MAIL FROM:<a@client.test>\r\nRCPT TO:<b@x.test>\r\nRCPT TO:<c@x.test>\r\nDATA\r\n",
        b"Subject: test\r\n\r\nhello\r\n.\r\nQUIT\r\n",
    ]


def test_without_pipelining_every_command_waits_for_its_reply(make_site: Make) -> None:
    site = make_site()
    server = raw(
        site,
        GREETING,
        "250 raw.test\n",
        "250 ok\n",
        "250 ok\n",
        "354 go\n",
        "250 done\n",
        "221 x\n",
    )
    assert not site.send("b@x.test", nexthop="[203.0.113.9]").deferred
    assert server.chunks == [
        b"EHLO mx.example.org\r\n",
        b"MAIL FROM:<a@client.test>\r\n",
        b"RCPT TO:<b@x.test>\r\n",
        b"DATA\r\n",
        b"Subject: test\r\n\r\nhello\r\n.\r\n",
        b"QUIT\r\n",
    ]


def test_many_recipients_come_in_groups_that_fill_a_buffer(make_site: Make) -> None:
    site = make_site()
    recipients = [f"recipient.number.{n:03d}@a-rather-long-domain.test" for n in range(100)]
    server = raw(site, GREETING, HELLO, "250 ok\n" * 78, "250 ok\n" * 23 + "354 go\n", "250 ok\n")
    assert not site.send(*recipients, nexthop="[203.0.113.9]").deferred
    groups = server.chunks[1:-1]
    assert [len(group) <= 4096 for group in groups] == [True, True]
    assert b"".join(groups).count(b"RCPT TO") == 100
    assert len(groups[0]) + 60 > 4096


def test_when_all_recipients_are_rejected_there_is_no_data(make_site: Make) -> None:
    site = make_site()
    server = raw(site, GREETING, HELLO, "250 ok\n550 5.1.1 no\n503 no\n", "250 ok\n221 bye\n")
    site.send("b@x.test", nexthop="[203.0.113.9]")
    assert server.chunks[1].endswith(b"DATA\r\n")
    assert server.chunks[2:] == [b"RSET\r\nQUIT\r\n"]


def test_data_that_was_accepted_without_recipients_ends_with_a_lone_dot(make_site: Make) -> None:
    site = make_site()
    server = raw(site, GREETING, HELLO, "250 ok\n550 5.1.1 no\n354 go\n", "554 none\n221 bye\n")
    site.send("b@x.test", nexthop="[203.0.113.9]")
    assert server.chunks[2:] == [b".\r\nQUIT\r\n"]
    assert len(site.log()) == 1


def test_after_ten_seconds_of_silence_commands_are_flushed(make_site: Make) -> None:
    site = make_site(
        main_cf="smtp_generic_maps = tcp:203.0.113.2:25\nmyorigin = client.test",
    )
    slow = site.world.machine("203.0.113.2", ["203.0.113.2"])

    def answer(stream: Stream) -> Wait[None]:
        with suppress(TimedOut):
            while (line := (yield stream.read_line(1000, 100))).endswith(b"\n"):
                if b"c@" in line:
                    yield slow.sleep(20)
                stream.write(b"500 not found\n")
                yield stream.flush(10)

    slow.network.listen(Inet("203.0.113.2", 25), answer)
    server = raw(site, GREETING, HELLO, "250 ok\n250 ok\n", "250 ok\n354 go\n", "250 ok\n")
    assert not site.send("b@x.test", "c@x.test", nexthop="[203.0.113.9]").deferred
    assert server.chunks[1:3] == [
        b"MAIL FROM:<a@client.test>\r\nRCPT TO:<b@x.test>\r\n",
        b"RCPT TO:<c@x.test>\r\nDATA\r\n",
    ]


# -- replies --------------------------------------------------------------------------------------


def test_garbage_before_a_reply_is_skipped_and_warned_of(make_site: Make) -> None:
    site = make_site()
    raw(site, GREETING, HELLO, "what is\n250 ok\n250 ok\n354 go\n", "250 done\n")
    assert not site.send("b@x.test", nexthop="[203.0.113.9]").deferred
    assert site.log()[:2] == [
        "warning: QID: non-ESMTP response from 203.0.113.9[203.0.113.9]:25: what is",
        "warning: to prevent loss of mail, turn off command pipelining for 203.0.113.9 with the "
        "smtp_discard_ehlo_keyword_address_maps parameter",
    ]


def test_a_reply_line_that_is_too_long_is_cut(make_site: Make) -> None:
    site = make_site()
    raw(site, GREETING, HELLO, "250 ok\n550 " + "x" * 3000 + "\n503 no\n", "250 ok\n")
    site.send("b@x.test", nexthop="[203.0.113.9]")
    assert site.log()[0] == (
        f"warning: 203.0.113.9[203.0.113.9]:25: response longer than 2048: 550 {'x' * 26}..."
    )
    assert site.reports[0][1].dsn.reason.count("x") == 2044
    assert len(site.machine.log[-1].text) == 2000  # no text in the log is longer


def test_empty_lines_before_a_reply_leave_nothing_behind(make_site: Make) -> None:
    site = make_site()
    raw(site, GREETING, HELLO, "250 ok\n\n\n550 5.1.1 no\n503 no\n", "250 ok\n")
    site.send("b@x.test", nexthop="[203.0.113.9]")
    assert "said: 550 5.1.1 no (in reply" in site.log()[-1]


def test_a_reply_with_too_many_lines_is_cut(make_site: Make) -> None:
    site = make_site()
    lines = "".join(f"550-{n:04d} {'y' * 90}\n" for n in range(40)) + "550 5.1.1 last\n"
    raw(site, GREETING, HELLO, f"250 ok\n{lines}503 no\n", "250 ok\n")
    site.send("b@x.test", nexthop="[203.0.113.9]")
    assert site.log()[0].startswith(
        "warning: 203.0.113.9[203.0.113.9]:25: multi-line response longer than 2048 550-0000 yyy"
    )
    reason = site.reports[0][1].dsn.reason
    assert "550-0020" in reason
    assert "550-0021" not in reason
    assert "dsn=5.1.1" in site.log()[1]


def test_unprintable_bytes_become_question_marks(make_site: Make) -> None:
    site = make_site()
    raw(site, GREETING, HELLO, "250 ok\n550 5.1.1 a\tb\x07c\n503 no\n", "250 ok\n")
    site.send("b@x.test", nexthop="[203.0.113.9]")
    assert "said: 550 5.1.1 a?b?c (in reply" in site.log()[0]


@pytest.mark.parametrize(
    ("reply", "dsn"),
    [
        ("550 5.1.1 x", "5.1.1"),
        ("550 x", "5.0.0"),
        ("550 4.1.1 x", "5.0.0"),
        ("450 4.99.999 x", "4.99.999"),
        ("450  4.1.1 x", "4.1.1"),
        ("354 5.1.1 x", "5.5.0"),
    ],
)
def test_the_status_of_a_reply(make_site: Make, reply: str, dsn: str) -> None:
    site = make_site(peers={"one.test": [{"on": "RCPT", "reply": reply}]})
    site.send("b@x.test", nexthop="[one.test]")
    assert f"dsn={dsn}, status=" in site.log()[-1]


# -- EHLO -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("main_cf", "banner", "said"),
    [
        ("", "220 x", "EHLO mx.example.org"),
        ("smtp_always_send_ehlo = no", "220 x", "HELO mx.example.org"),
        ("smtp_always_send_ehlo = no", "220 x eSmtP", "EHLO mx.example.org"),
        ("smtp_never_send_ehlo = yes", "220 x ESMTP", "HELO mx.example.org"),
        ("smtp_helo_name = other.test", "220 x ESMTP", "EHLO other.test"),
        ("", "220 **********0*2", "HELO mx.example.org"),
        ("smtp_pix_workarounds =", "220 *********", "EHLO mx.example.org"),
    ],
)
def test_how_the_client_introduces_itself(
    make_site: Make, main_cf: str, banner: str, said: str
) -> None:
    site = make_site(peers={"one.test": [{"on": "connect", "reply": banner}]}, main_cf=main_cf)
    site.send("b@dest.test")
    assert site.said()[0] == said


def test_keywords_can_be_ignored_by_address(make_site: Make) -> None:
    site = make_site(
        main_cf="smtp_discard_ehlo_keywords = size\n"
        "smtp_discard_ehlo_keyword_address_maps = inline:{ {203.0.113.1 = DSN, pipelining} }"
    )
    site.send(Recipient("b@dest.test", orig_addr="b@dest.test"), encoding="8bit")
    assert site.log()[0] == "discarding EHLO keywords: PIPELINING DSN"
    assert site.said()[1:3] == [
        "MAIL FROM:<a@client.test> SIZE=18 BODY=8BITMIME",
        "RCPT TO:<b@dest.test>",
    ]


def test_a_server_with_our_name_warns_in_its_greeting_and_loops_in_its_ehlo(
    make_site: Make,
) -> None:
    site = make_site(
        peers={
            "one.test": [
                {"on": "connect", "reply": "220 mx.example.org ESMTP"},
                {"on": "EHLO", "reply": "250 MX.EXAMPLE.ORG"},
            ]
        }
    )
    site.send("b@dest.test")
    where = "host one.test[203.0.113.1]:25"
    assert site.log()[:2] == [
        f"warning: {where} greeted me with my own hostname mx.example.org",
        f"warning: {where} replied to HELO/EHLO with my own hostname mx.example.org",
    ]
    assert site.log()[2].endswith(
        "dsn=5.4.6, status=bounced (mail for dest.test loops back to myself)"
    )


#: Extensions of the server, the request, and the MAIL command.
MAIL = [
    (["SIZE 1000"], {}, "MAIL FROM:<a@client.test> SIZE=18"),
    (["SIZE 1000"], {"encoding": "8bit"}, "MAIL FROM:<a@client.test>"),
    (["8BITMIME"], {"encoding": "7bit"}, "MAIL FROM:<a@client.test> BODY=7BIT"),
    (["8BITMIME"], {"encoding": "8bit"}, "MAIL FROM:<a@client.test> BODY=8BITMIME"),
    (
        ["DSN"],
        {"dsn_envid": "a=b c", "dsn_ret": DSN_RET_FULL},
        "MAIL FROM:<a@client.test> ENVID=a+3Db+20c RET=FULL",
    ),
    ([], {"dsn_envid": "a=b c", "dsn_ret": DSN_RET_FULL}, "MAIL FROM:<a@client.test>"),
    (["8BITMIME", "SMTPUTF8"], {"smtputf8": 1}, "MAIL FROM:<a@client.test> SMTPUTF8"),
    ([], {"sender": ""}, "MAIL FROM:<>"),
    ([], {"sender": "a b@c.test"}, 'MAIL FROM:<"a b"@c.test>'),
]


@pytest.mark.parametrize(("extensions", "more", "command"), MAIL)
def test_the_parameters_of_mail(
    make_site: Make, extensions: list[str], more: dict[str, Any], command: str
) -> None:
    site = make_site(extensions=extensions)
    site.send("b@dest.test", **{"encoding": "7bit", **more} if "SIZE 1000" in extensions else more)
    assert site.said()[1] == command


@pytest.mark.parametrize(
    ("recipient", "command"),
    [
        (Recipient("b@x"), "RCPT TO:<b@x>"),
        (Recipient("b@x", "c d@y"), 'RCPT TO:<b@x> ORCPT=rfc822;"c+20d"@y'),
        (Recipient("b@x", "c@y", "rfc822;z+1@z"), "RCPT TO:<b@x> ORCPT=rfc822;z+2B1@z"),
        (
            Recipient("b@x", dsn_notify=DSN_NOTIFY_SUCCESS | DSN_NOTIFY_DELAY),
            "RCPT TO:<b@x> NOTIFY=SUCCESS,DELAY",
        ),
        (Recipient('q"uote@x'), 'RCPT TO:<"q\\"uote"@x>'),
    ],
)
def test_the_parameters_of_rcpt(make_site: Make, recipient: Recipient, command: str) -> None:
    site = make_site()
    site.send(recipient)
    assert site.said()[2] == command


def test_the_origin_of_a_message_is_passed_on_to_a_content_filter(make_site: Make) -> None:
    site = make_site(
        main_cf="smtp_send_xforward_command = yes",
        extensions=["XFORWARD NAME ADDR PROTO HELO SOURCE"],
    )
    site.send(
        "b@dest.test",
        client_name="pc.client.test",
        client_addr="198.51.100.7",
        client_port="1234",
        client_proto="ESMTP",
        client_helo="pc x",
        rewrite_context="remote",
    )
    site.send("b@dest.test", client_name="unknown")
    assert site.said(0)[1:3] == [
        "XFORWARD NAME=pc.client.test ADDR=198.51.100.7",
        "XFORWARD PROTO=ESMTP HELO=pc+20x SOURCE=REMOTE",
    ]
    assert site.said(1)[1:3] == [
        "XFORWARD SOURCE=LOCAL",
        "MAIL FROM:<a@client.test>",
    ]


# -- tables ---------------------------------------------------------------------------------------


def test_replies_can_be_replaced(make_site: Make) -> None:
    site = make_site(
        peers={"one.test": [{"on": "RCPT", "reply": "550 5.7.1 policy"}]},
        main_cf="smtp_reply_filter = regexp:/etc/postfix/filter",
        files={"filter": "/^550 (5.7.1 policy)/ 450 4.7.1 policy\n"},
    )
    assert site.send("b@x.test", nexthop="[one.test]").deferred
    assert site.log()[0] == (
        'one.test[203.0.113.1]:25: replacing server reply "550 5.7.1 policy" with '
        '"450 4.7.1 policy"'
    )


def test_a_reply_table_that_fails_defers(make_site: Make) -> None:
    site = make_site(main_cf="smtp_reply_filter = fail:now")
    assert site.send("b@x.test", nexthop="[one.test]").deferred
    assert site.log()[-1].endswith(
        "dsn=4.3.0, status=deferred (local data error while talking to one.test[203.0.113.1])"
    )


def test_a_table_that_has_changed_is_read_again(make_site: Make) -> None:
    site = make_site(
        main_cf="smtp_generic_maps = hash:/etc/postfix/generic\nmyorigin = client.test",
        files={"generic.db": whole("hash", {"a@client.test": "old@public.test"}).decode()},
    )
    site.send("b@dest.test")
    site.world.run_for(5)
    table = whole("hash", {"a@client.test": "new@public.test"})
    site.machine.files.write("/etc/postfix/generic.db", table)
    site.send("b@dest.test")
    assert [site.said(n)[1].partition(" SIZE")[0] for n in (0, 1)] == [
        "MAIL FROM:<old@public.test>",
        "MAIL FROM:<new@public.test>",
    ]
    assert site.log()[1].startswith("table hash:/etc/postfix/generic(0,")
    assert site.log()[1].endswith(") has changed -- restarting")


def test_required_tls_without_an_engine_is_no_plaintext(make_site: Make) -> None:
    site = make_site(main_cf="smtp_tls_security_level = encrypt")  # and no tlsmgr(8)
    site.send("b@dest.test")
    assert "warning: no entropy for TLS key generation: disabling TLS support" in site.log()
    assert site.said() == ["EHLO mx.example.org", "QUIT"]
