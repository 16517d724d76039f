"""Milters in whole SMTP sessions, and for mail of local users."""

from __future__ import annotations

import re

import pytest

from postlab import Lab

ENDPOINT = "inet:127.0.0.1:7001"
MAIN_CF = "mydestination = example.org\nmyorigin = example.org\n"
CLIENT = "unknown[198.51.100.7]"
DETAILS = "proto=ESMTP helo=<c.test>"


def start(lab: Lab, main_cf: str = f"smtpd_milters = {ENDPOINT}\n") -> None:
    lab.mta(main_cf=MAIN_CF + main_cf, users=["alice", "bob"])


def milter_lines(lab: Lab) -> list[str]:
    """The log lines about milters, without their queue ids."""
    return [
        line.text.partition(": ")[2]
        for line in lab.log
        if "milter-" in line.text or "warning: milter" in line.text
    ]


@pytest.mark.parametrize(
    ("event", "reply", "command", "answer", "logged"),
    [
        ("connect", "reject", "banner", "554 mx.example.org ESMTP not accepting connections",
         f"milter-reject: CONNECT from {CLIENT}: 550 5.7.1 Command rejected; proto=SMTP"),
        ("connect", "tempfail", "banner", "220 mx.example.org ESMTP Postfix",
         f"milter-reject: CONNECT from {CLIENT}: 451 4.7.1 Service unavailable - try again later;"
         " proto=SMTP"),
        ("connect", "421 4.7.0 bye", "banner",
         "421 mx.example.org Service unavailable - try again later",
         f"milter-reject: CONNECT from {CLIENT}: 421 4.7.0 bye; proto=SMTP"),
        ("helo", "reject", "MAIL", "550 5.7.1 Command rejected",
         f"milter-reject: EHLO from {CLIENT}: 550 5.7.1 Command rejected; "
         "proto=SMTP helo=<c.test>"),
        ("mail", "450 4.7.1 wait", "MAIL", "450 4.7.1 wait",
         f"milter-reject: MAIL from {CLIENT}: 450 4.7.1 wait; from=<a@c.test> {DETAILS}"),
        ("rcpt", "reject", "RCPT", "550 5.7.1 Command rejected",
         f"milter-reject: RCPT from {CLIENT}: 550 5.7.1 Command rejected; "
         f"from=<a@c.test> to=<alice@example.org> {DETAILS}"),
        ("data", "554 5.7.1 no", "DATA", "554 5.7.1 no",
         f"milter-reject: DATA from {CLIENT}: 554 5.7.1 no; "
         f"from=<a@c.test> to=<alice@example.org> {DETAILS}"),
        ("header", "554 5.7.1 no", "<", "554 5.7.1 no",
         f"milter-reject: END-OF-MESSAGE from {CLIENT}: 5.7.1 no; "
         f"from=<a@c.test> to=<alice@example.org> {DETAILS}"),
        ("eom", "quarantine", "<", "250 2.0.0 Ok: queued as",
         f"milter-hold: END-OF-MESSAGE from {CLIENT}: milter triggers HOLD action; "
         f"from=<a@c.test> to=<alice@example.org> {DETAILS}"),
        ("body", "discard", "<", "250 2.0.0 Ok: queued as",
         f"milter-discard: END-OF-MESSAGE from {CLIENT}: milter triggers DISCARD action; "
         f"from=<a@c.test> to=<alice@example.org> {DETAILS}"),
        ("mail", "discard", "MAIL", "250 2.1.0 Ok",
         f"milter-discard: MAIL from {CLIENT}: milter triggers DISCARD action; "
         f"from=<a@c.test> {DETAILS}"),
    ],
)  # fmt: skip
def test_answers_become_replies_and_log_lines(
    lab: Lab, event: str, reply: str, command: str, answer: str, logged: str
) -> None:
    lab.milter(ENDPOINT, {"on": event, "reply": reply})
    start(lab)
    client = lab.client("198.51.100.7")
    client.say("EHLO c.test")
    client.mail("a@c.test", "alice@example.org", text="Subject: x\n\nbody\n")
    client.quit()
    heard = client.transcript[1][3:] if command == "banner" else client.reply(command)
    assert heard.startswith(answer)
    assert milter_lines(lab)[0] == logged


def test_a_rejected_client_is_offered_little(lab: Lab) -> None:
    lab.milter(ENDPOINT, {"on": "helo", "reply": "reject"})
    start(lab)
    client = lab.client("198.51.100.7")
    client.say("EHLO c.test", "VRFY alice", "ETRN example.org", "NOOP")
    client.quit()
    assert [line for line in client.transcript if line.startswith("S: ")][1:] == [
        "S: 250-mx.example.org",
        "S: 250 ENHANCEDSTATUSCODES",
        "S: 550 5.7.1 Command rejected",
        "S: 550 5.7.1 Command rejected",
        "S: 250 2.0.0 Ok",
        "S: 221 2.0.0 Bye",
    ]


def test_edits_reach_the_mailbox(lab: Lab) -> None:
    actions = [
        {"insert_header": [1, "X-First", "1"]},
        {"change_header": [1, "Subject", "new"]},
        {"add_header": ["X-Last", "z"]},
        {"add_rcpt": "bob@example.org"},
        {"delete_rcpt": "<alice@example.org>"},
        {"change_from": "<new@c.test>"},
        {"replace_body": "other\n"},
    ]
    lab.milter(ENDPOINT, {"on": "eom", "actions": actions, "reply": "accept"})
    start(lab)
    lab.client("198.51.100.7").mail("a@c.test", "alice@example.org", text="Subject: x\n\nbody\n")
    assert lab.mailbox("alice") == []
    (message,) = lab.mailbox("bob")
    lines = str(message).split("\n")
    assert lines[0] == "Return-Path: <new@c.test>"
    assert lines[lines.index("X-First: 1") :] == [
        "X-First: 1", "Subject: new", "X-Last: z", "", "other", ""
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("action", "reply", "queued"),
    [("accept", "250", "sent"), ("quarantine", "250", "hold"), ("reject", "550", ""),
     ("tempfail", "451", "")],
)  # fmt: skip
def test_default_action_of_a_filter_that_is_not_there(
    lab: Lab, action: str, reply: str, queued: str
) -> None:
    start(lab, f"smtpd_milters = {{ {ENDPOINT}, default_action={action} }}\n")
    client = lab.client("198.51.100.7")
    client.mail("a@c.test", "alice@example.org", text="Subject: x\n\nbody\n")
    assert client.reply("MAIL").startswith(reply)
    assert len(lab.mailbox("alice")) == (queued == "sent")
    assert [entry.queue for entry in lab.queue] == (["hold"] if queued == "hold" else [])


def test_local_mail_has_a_made_up_session(lab: Lab) -> None:
    lab.milter(ENDPOINT, {"on": "header", "when": {"name": "X-Bad"}, "reply": "550 5.7.1 bad"})
    start(lab, f"non_smtpd_milters = {ENDPOINT}\n")
    lab.submit("alice", "bob", text="Subject: good\n\nx\n")
    lab.submit("alice", "bob", text="X-Bad: yes\n\nx\n")
    assert len(lab.mailbox("bob")) == 1
    events = lab.outcome.milters[ENDPOINT]
    assert events[:4] == [
        ["connect", "localhost", "127.0.0.1"],
        ["helo", "localhost"],
        ["mail", "alice@example.org"],
        ["rcpt", "bob@example.org"],
    ]
    (bounce,) = lab.mailbox("alice")
    assert "Diagnostic-Code: X-Postfix; bad" in str(bounce)


def test_a_size_limit_is_found_by_the_edit_that_exceeds_it(lab: Lab) -> None:
    actions = [{"add_header": ["X", "y" * 1500]}, {"add_header": ["Y", "z" * 1500]}]
    lab.milter(ENDPOINT, {"on": "eom", "actions": actions, "reply": "accept"})
    start(lab, f"smtpd_milters = {ENDPOINT}\nmessage_size_limit = 2500\n")
    client = lab.client("198.51.100.7")
    client.mail("a@c.test", "alice@example.org", text="Subject: x\n\nbody\n")
    assert client.reply("<") == "552 5.3.4 Error: message file too big"
    assert lab.log.find(re.escape("cleanup_add_header: seek file incoming/"))
    assert lab.log.find(re.escape(": File too large"))


def test_a_file_that_is_too_big_already_is_not_shown_to_milters(lab: Lab) -> None:
    lab.milter(ENDPOINT)
    start(lab, f"smtpd_milters = {ENDPOINT}\nmessage_size_limit = 300\n")
    client = lab.client("198.51.100.7")
    client.mail("a@c.test", "alice@example.org", text="Subject: x\n\nbody\n")
    assert client.reply("<") == "552 5.3.4 Message file too big"
    assert lab.log.find(re.escape("milter8_message: vstream_fseek incoming/"))
    assert [event[0] for event in lab.outcome.milters[ENDPOINT]][-2:] == ["data", "abort"]


def test_the_tables_of_milter_header_checks_are_opened_for_each_message(lab: Lab) -> None:
    lab.milter(ENDPOINT, {"on": "eom", "actions": [{"add_header": ["X-A", "1"]}]})
    lab.mta(
        f"{MAIN_CF}smtpd_milters = {ENDPOINT}\n"
        "milter_header_checks = regexp:$config_directory/own, regexp:$config_directory/shared\n"
        "header_checks = regexp:$config_directory/shared\n",
        files={"own": "/X-A/ WARN seen\nno action\n", "shared": "/Y/ WARN\nnor here\n"},
        users=["alice"],
    )
    client = lab.client("198.51.100.7")
    for _ in range(3):
        client.mail("a@c.test", "alice@example.org", text="Subject: x\n\nbody\n")
    for name, times in (("own", 3), ("shared", 1)):
        lines = [line for line in lab.log if f"warning: regexp map /etc/postfix/{name}" in line.text]
        assert len(lines) == times


def test_a_panic_takes_the_connections_of_the_process_with_it(lab: Lab) -> None:
    lab.milter(ENDPOINT, {"on": "unknown", "reply": "accept"})
    start(lab)
    client = lab.client("198.51.100.7")
    client.say("EHLO c.test", "FROB", "MAIL FROM:<a@c.test>")
    assert client.transcript[-1] == "* closed by server"
    assert lab.log.find(re.escape(f"panic: milter8_mail_event: milter {ENDPOINT}: bad state 7"))
    assert lab.outcome.milters[ENDPOINT][-1] == ["unknown", "FROB"]


def test_queue_listings_show_the_changed_sender_and_all_recipients(lab: Lab) -> None:
    actions = [{"change_from": "<q@c.test>"}, {"add_rcpt": "bob@example.org"}]
    lab.milter(ENDPOINT, {"on": "eom", "actions": actions, "reply": "quarantine"})
    start(lab)
    lab.client("198.51.100.7").mail("a@c.test", "alice@example.org", text="Subject: x\n\nbody\n")
    (entry,) = lab.queue
    assert (entry.queue, entry.sender) == ("hold", "q@c.test")
    assert [r.address for r in entry.recipients] == ["alice@example.org", "bob@example.org"]
