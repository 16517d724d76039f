"""local(8): what aliases, include files and forward files lead to."""

from __future__ import annotations

from typing import Any

import pytest

ALIASES = r"""
many: alice, bob
chain: many, x@far.test
loop1: loop2
loop2: loop1
self: self
file: /home/alice/afile
tilde: ~/x
null: /dev/null
home: /home/alice
back: \alice
list: alice, nosuch
owner-list: bob
failing: /etc/postfix/forbidden
owner-failing: bob
empty: "<>"
inc: :include:/etc/postfix/members
norel: :include:members
nofile: :include:/etc/postfix/none
ext: alice
alice+tag: bob
comment: alice (only her)
"""
MEMBERS = "# a comment\nalice,\nx@far.test, bob\n"

CASES = [
    ("many", ["alice@example.org local 2.0.0 sent (delivered to mailbox)",
              "bob@example.org local 2.0.0 sent (delivered to mailbox)"]),
    ("loop1", ["loop2@example.org local 5.4.6 bounced (alias database loop for loop2)"]),
    ("self", ['self@example.org local 5.1.1 bounced (unknown user: "self")']),
    ("file", ["file@example.org local 5.2.0 bounced (cannot append message to file "
              "/home/alice/afile: cannot create file exclusively: Permission denied)"]),
    ("tilde", ["tilde@example.org local 5.3.5 bounced (mail system configuration error)"]),
    ("null", ["null@example.org local 2.0.0 sent (delivered to file: /dev/null)"]),
    ("home", ["home@example.org local 5.2.0 bounced (cannot append message to file "
              "/home/alice: cannot open file: Is a directory)"]),
    ("back", ["alice@example.org local 2.0.0 sent (delivered to mailbox)"]),
    ("norel", ["norel@example.org local 5.3.5 bounced (mail system configuration error)"]),
    ("nofile", ["nofile@example.org local 5.3.5 bounced (mail system configuration error)"]),
    ("ext+some", ["alice@example.org local 2.0.0 sent (delivered to mailbox)"]),
    ("alice+tag", ["bob@example.org local 2.0.0 sent (delivered to mailbox)"]),
    ("comment", ["alice@example.org local 2.0.0 sent (delivered to mailbox)"]),
    ("Alice", ["Alice@example.org local 2.0.0 sent (delivered to mailbox)"]),
    ("nosuch", ['nosuch@example.org local 5.1.1 bounced (unknown user: "nosuch")']),
    ("postmaster", ["postmaster@example.org local 2.0.0 sent (discarded)"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "fates"), CASES, ids=[name for name, _ in CASES])
def test_an_alias_leads_to(make_site: Any, name: str, fates: list[str]) -> None:
    site = make_site(ALIASES)
    assert site.send(f"{name}@example.org") == fates


def test_what_leaves_the_machine_is_forwarded_in_a_new_message(make_site: Any) -> None:
    site = make_site(ALIASES)
    fates = site.send("chain@example.org")
    assert [fate.rpartition(" as ")[0] for fate in fates] == [
        "",
        "",
        "chain@example.org local 2.0.0 sent (forwarded",
    ]
    sent = site.lab.log.one("to=<x@far.test>", "discard")
    new_id = sent.text.partition(":")[0]
    assert new_id in fates[-1]
    assert "orig_to=<chain@example.org>" in sent.text


def test_the_members_of_an_include_file_get_a_message_of_their_own(make_site: Any) -> None:
    site = make_site(ALIASES, files={"members": MEMBERS})
    fates = site.send("inc@example.org")
    assert fates[0].startswith("inc@example.org local 2.0.0 sent (forwarded as ")
    assert fates[1:] == [
        "alice@example.org local 2.0.0 sent (delivered to mailbox)",
        "bob@example.org local 2.0.0 sent (delivered to mailbox)",
    ]
    assert "Delivered-To: inc@example.org\n" in site.lab.mailbox("bob")[0]


def test_bounces_of_a_list_go_to_its_owner(make_site: Any) -> None:
    site = make_site(ALIASES)
    site.send("list@example.org")
    (bounce,) = site.lab.mailbox("bob")
    assert "X-Original-To: owner-list@example.org\n" in bounce
    assert 'unknown user: "nosuch"' in bounce
    assert "Return-Path: <owner-list@example.org>\n" in site.lab.mailbox("alice")[0]


def test_an_owner_hears_of_a_file_that_cannot_be_written(make_site: Any) -> None:
    site = make_site(ALIASES)
    site.send("failing@example.org")
    (bounce,) = site.lab.mailbox("bob")
    assert "cannot append message to file" in bounce
    assert not site.lab.log.find("to=<s@far.test>")


def test_expand_owner_alias_makes_the_target_of_the_owner_the_sender(make_site: Any) -> None:
    site = make_site(ALIASES, "expand_owner_alias = yes\n")
    site.send("list@example.org")
    assert "Return-Path: <bob@example.org>\n" in site.lab.mailbox("alice")[0]


def test_without_owner_request_special_an_owner_is_an_alias_like_any_other(make_site: Any) -> None:
    site = make_site(ALIASES, "owner_request_special = no\n")
    site.send("list@example.org")
    assert "Return-Path: <s@far.test>\n" in site.lab.mailbox("alice")[0]


@pytest.mark.parametrize(
    ("value", "address"),
    [("canonical, virtual", "x@far.test"), ("alias, forward, include", "x+tag@far.test")],
)
def test_extensions_are_propagated_where_wanted(make_site: Any, value: str, address: str) -> None:
    site = make_site("out: x@far.test\n", f"propagate_unmatched_extensions = {value}\n")
    site.send("out+tag@example.org")
    site.lab.log.one(f"to=<{address.replace('+', '[+]')}>", "discard")


def test_a_table_that_fails_makes_mail_wait(make_site: Any) -> None:
    site = make_site("", "alias_maps = fail:nothing\n")
    assert site.send("alice@example.org") == [
        "alice@example.org local 4.3.0 deferred (alias database unavailable)"
    ]
    assert "fail:nothing: lookup of 'alice' failed" in site.warnings()


def test_aliases_that_have_changed_are_read_again(make_site: Any) -> None:
    site = make_site("team: alice\n")
    site.send("team@example.org")
    site.lab.advance("1m")
    site.disk.write("/etc/postfix/aliases", b"team: bob\n")
    assert site.send("team@example.org") == [
        "bob@example.org local 2.0.0 sent (delivered to mailbox)"
    ]
    site.lab.log.one("table hash:/etc/postfix/aliases.* has changed -- restarting", "local")


# -- forward files --------------------------------------------------------------------------------

FORWARDS = [
    ("\\alice, bob", ["alice@example.org local 2.0.0 sent (delivered to mailbox)",
                      "alice@example.org local 2.0.0 sent (forwarded as ID)",
                      "bob@example.org local 2.0.0 sent (delivered to mailbox)"]),
    ("alice", ["alice@example.org local 2.0.0 sent (delivered to mailbox)"]),
    ("~/saved", ["alice@example.org local 2.0.0 sent (delivered to file: /home/alice/saved)"]),
    ("~/saved/", ["alice@example.org local 2.0.0 sent (delivered to maildir)"]),
    ("/home/bob/file", ["alice@example.org local 5.2.0 bounced (cannot append message to file "
                        "/home/bob/file: cannot create file exclusively: Permission denied)"]),
    ("", ["alice@example.org local 2.0.0 sent (delivered to mailbox)"]),
    ("# nothing\n", ["alice@example.org local 2.0.0 sent (delivered to mailbox)"]),
    ("~bob/x", ["alice@example.org local 5.3.5 bounced (mail system configuration error)"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "fates"), FORWARDS, ids=[text for text, _ in FORWARDS])
def test_a_forward_file_leads_to(make_site: Any, text: str, fates: list[str]) -> None:
    site = make_site(files={"~alice/.forward": text})
    found = site.send("alice@example.org")
    assert [_without_id(fate) for fate in found] == fates


def _without_id(fate: str) -> str:
    before, forwarded, _ = fate.partition("forwarded as ")
    return f"{before}{forwarded}ID)" if forwarded else fate


def test_the_forward_file_for_an_extension_comes_first(make_site: Any) -> None:
    site = make_site(files={"~alice/.forward+work": "~/work", "~alice/.forward": "~/other"})
    assert "/home/alice/work" in site.send("alice+work@example.org")[0]
    assert "/home/alice/other" in site.send("alice+play@example.org")[0]


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"uid": 1002}, "file /home/alice/.forward has bad owner uid 1002"),
        ({"mode": 0o666}, "file /home/alice/.forward is world writable"),
        ({"mode": 0o000}, "cannot open file /home/alice/.forward: Permission denied"),
    ],
)
def test_a_forward_file_that_cannot_be_trusted_is_ignored(
    make_site: Any, change: dict[str, int], warning: str
) -> None:
    site = make_site(files={"~alice/.forward": "x@far.test"})
    site.disk.set_attributes("/home/alice/.forward", **change)
    assert site.send("alice@example.org") == [
        "alice@example.org local 2.0.0 sent (delivered to mailbox)"
    ]
    assert site.warnings() == [warning]


def test_an_include_file_that_all_may_write_is_refused(make_site: Any) -> None:
    site = make_site(ALIASES, files={"members": MEMBERS})
    site.disk.set_attributes("/etc/postfix/members", mode=0o666)
    fates = site.send("inc@example.org")
    assert fates == ["inc@example.org local 5.3.5 bounced (mail system configuration error)"]
    assert site.warnings() == [":include: file /etc/postfix/members is world writable"]


def test_delivered_to_ends_a_loop(make_site: Any) -> None:
    site = make_site()
    text = "Received: x\n\ty\nDelivered-To: Alice@Example.org\nSubject: x\n\nbody\n"
    assert site.send("alice@example.org", text=text) == [
        "alice@example.org local 5.4.6 bounced (mail forwarding loop for alice@example.org)"
    ]
    late = "Subject: x\n\nDelivered-To: alice@example.org\n"
    assert "sent (delivered to mailbox)" in site.send("alice@example.org", text=late)[0]


def test_reports_tell_what_was_expanded_and_relayed(make_site: Any) -> None:
    site = make_site(ALIASES)
    client = site.lab.client("198.51.100.7").say("EHLO c.test", "MAIL FROM:<bob@example.org>")
    client.say("RCPT TO:<chain@example.org> NOTIFY=SUCCESS", "DATA").content("\n\nx\n").quit()
    text = "".join(site.lab.mailbox("bob"))
    assert "Final-Recipient: rfc822; chain@example.org" in text
    assert "Action: expanded" in text
