"""local(8): mailboxes, and what stands for them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mta.local.local import Local
from mta.system import Fatal
from sim.faults import DiskError, DiskFull

BOX = "/var/mail/alice"


def test_a_mailbox_file_gets_envelope_headers_a_from_line_and_quotes(make_site: Any) -> None:
    site = make_site()
    site.send("alice+x@example.org", text="Subject: x\n\nFrom here\n.dot\n>From there\n\n")
    data = site.disk.read(BOX).decode()
    first, *head = data.split("\n\n")[0].split("\n")
    assert re.fullmatch("From s@far.test  Mon Jan  5 09:00:0[0-9] 2026", first)
    assert head[:3] == [
        "Return-Path: <s@far.test>",
        "X-Original-To: alice+x@example.org",
        "Delivered-To: alice+x@example.org",
    ]
    assert data.endswith("\n\n>From here\n.dot\n>From there\n\n\n")
    stat = site.disk.stat(BOX)
    assert (stat.uid, stat.gid, stat.mode) == (1001, 1001, 0o600)
    assert not site.disk.exists(f"{BOX}.lock")


def test_mail_without_a_sender_is_from_the_mail_system(make_site: Any) -> None:
    site = make_site()
    site.send("alice@example.org", sender="")
    assert site.disk.read(BOX).startswith(b"From MAILER-DAEMON  Mon ")
    assert b"\nReturn-Path: <>\n" in site.disk.read(BOX)


def test_a_maildir_is_made_where_it_is_missing(make_site: Any) -> None:
    site = make_site("", "home_mailbox = Maildir/\n")
    assert site.send("alice@example.org") == [
        "alice@example.org local 2.0.0 sent (delivered to maildir)"
    ]
    (name,) = site.disk.list("/home/alice/Maildir/new")
    assert re.fullmatch(r"17676036\d\d\.V801I[0-9a-f]+M\d+\.mx\.example\.org", name)
    assert site.disk.list("/home/alice/Maildir/tmp") == []
    assert site.disk.stat("/home/alice/Maildir/cur").uid == 1001
    assert site.disk.read(f"/home/alice/Maildir/new/{name}").startswith(b"Return-Path: <s@far")


@pytest.mark.parametrize(
    ("main_cf", "path"),
    [
        ("home_mailbox = box\n", "/home/alice/box"),
        ("mail_spool_directory = /tmp\n", "/tmp/alice"),
    ],
)
def test_the_mailbox_is_where_the_parameters_say(make_site: Any, main_cf: str, path: str) -> None:
    site = make_site("", main_cf)
    assert "delivered to mailbox" in site.send("alice@example.org")[0]
    assert site.disk.exists(path)


SPOOLS = [(0o1777, 0, 1001), (0o755, 0, 0), (0o775, 8, 1001)]


@pytest.mark.parametrize(("mode", "gid", "locker"), SPOOLS)
def test_the_mode_of_the_spool_tells_who_makes_mailboxes(
    make_site: Any, mode: int, gid: int, locker: int
) -> None:
    site = make_site()
    site.disk.set_attributes("/var/mail", mode=mode, gid=gid)
    if locker == 0:  # nobody but root can do it, and the user gets the file
        assert site.disk.stat("/var/mail").uid == 0
    assert "delivered to mailbox" in site.send("alice@example.org")[0]
    assert site.disk.stat(BOX).uid == 1001


def test_a_mailbox_that_belongs_to_another_waits(make_site: Any) -> None:
    site = make_site()
    site.disk.write(BOX, b"", 0o666, 1002, 1002)
    fates = site.send("alice@example.org")
    text = f"cannot update mailbox {BOX} for user alice. destination {BOX} is not owned by recipient"
    assert fates == [f"alice@example.org local 4.2.0 deferred ({text})"]
    assert site.warnings() == [
        'specify "strict_mailbox_ownership = no" to ignore mailbox ownership mismatch'
    ]


def test_a_mailbox_that_belongs_to_another_is_accepted_on_request(make_site: Any) -> None:
    site = make_site("", "strict_mailbox_ownership = no\n")
    site.disk.write(BOX, b"", 0o666, 1002, 1002)
    assert "delivered to mailbox" in site.send("alice@example.org")[0]


def test_a_mailbox_does_not_grow_over_its_limit(make_site: Any) -> None:
    site = make_site("", "message_size_limit = 3000\nmailbox_size_limit = 3000\n")
    text = "Subject: x\n\n" + "0123456789\n" * 120
    assert "delivered to mailbox" in site.send("alice@example.org", text=text)[0]
    before = site.disk.read(BOX)
    text = f"cannot update mailbox {BOX} for user alice. error writing message: File too large"
    again = site.send("alice@example.org", text="Subject: y\n\n" + "0123456789\n" * 120)
    assert again == [f"alice@example.org local 5.2.2 bounced ({text})"]
    assert site.disk.read(BOX) == before


def test_a_limit_for_mailboxes_below_that_for_messages_is_fatal(make_site: Any) -> None:
    site = make_site("", "mailbox_size_limit = 1000\n")
    process = site.lab.stage.postfix.process("local")
    with pytest.raises(Fatal, match="mailbox_size_limit is smaller than message_size_limit"):
        Local(process)


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        (DiskFull(path=BOX, operation="append"), "4.3.0 deferred", "No space left on device"),
        (DiskError(path=BOX, operation="sync"), "5.3.0 bounced", "Input/output error"),
    ],
)
def test_a_disk_that_fails_leaves_the_mailbox_as_it_was(
    make_site: Any, fault: Any, status: str, reason: str
) -> None:
    site = make_site()
    site.disk.write(BOX, b"From x  Mon\n\nold\n\n", 0o600, 1001, 1001)
    site.lab.stage.world.faults.add(fault)
    text = f"cannot update mailbox {BOX} for user alice. error writing message: {reason}"
    assert site.send("alice@example.org") == [f"alice@example.org local {status} ({text})"]
    assert site.disk.read(BOX) == b"From x  Mon\n\nold\n\n"
    assert not site.disk.exists(f"{BOX}.lock")


def test_mail_waits_for_the_lock_file_of_another(make_site: Any) -> None:
    site = make_site("", "deliver_lock_attempts = 3\n")
    site.disk.write(f"{BOX}.lock", b"")
    text = f"cannot update mailbox {BOX} for user alice. unable to create lock file {BOX}.lock"
    assert site.send("alice@example.org") == [
        f"alice@example.org local 4.2.0 deferred ({text}: File exists)"
    ]


def test_a_lock_file_is_forgotten_when_it_is_old(make_site: Any) -> None:
    site = make_site("", "stale_lock_time = 10s\n")
    site.disk.write(f"{BOX}.lock", b"", 0o600, 1001, 1001)
    assert "delivered to mailbox" in site.send("alice@example.org")[0]
    assert not site.disk.exists(f"{BOX}.lock")
    assert float(site.lab.log.one("delivered to mailbox").text.split("delay=")[1].split(",")[0]) > 9


TRANSPORTS = [
    ("mailbox_transport = discard:all\n", "alice", "discard", "sent (all)"),
    ("mailbox_transport = discard:all\n", "nosuch", "discard", "sent (all)"),
    ("mailbox_transport_maps = inline:{alice=discard:one}\n", "alice", "discard", "sent (one)"),
    ("mailbox_transport_maps = inline:{alice=discard:one}\n", "bob", "local", "to mailbox"),
    ("fallback_transport = discard:fall\n", "nosuch", "discard", "sent (fall)"),
    ("fallback_transport = discard:fall\n", "alice", "local", "to mailbox"),
    ("fallback_transport_maps = inline:{nosuch=discard:map}\n", "nosuch", "discard", "sent (map)"),
    ("luser_relay = $user.x@far.test\n", "nosuch", "discard", "to=<nosuch.x@far.test>"),
    ("luser_relay = alice\n", "nosuch", "local", "to mailbox"),
    ("luser_relay = alice\n", "alice", "local", "to mailbox"),
    ("luser_relay = $local\n", "nosuch+x", "local", 'unknown user: "nosuch"'),
    ("mailbox_transport_maps = fail:x\n", "alice", "local", "deferred (table lookup failure)"),
]


@pytest.mark.parametrize(("main_cf", "user", "daemon", "text"), TRANSPORTS)
def test_other_transports_may_stand_for_mailboxes(
    make_site: Any, main_cf: str, user: str, daemon: str, text: str
) -> None:
    site = make_site("", main_cf)
    site.send(f"{user}@example.org")
    lines = site.lab.log.find("status=", daemon)
    assert any(text in line.text for line in lines), str(site.lab.log)


def test_a_home_that_is_missing_makes_mail_wait_where_it_is_required(make_site: Any) -> None:
    site = make_site("", "require_home_directory = yes\n")
    site.disk.remove_directory("/home/alice")
    assert site.send("alice@example.org") == [
        "alice@example.org local 4.3.0 deferred "
        "(cannot access home directory /home/alice: No such file or directory)"
    ]


def test_an_extension_with_a_slash_is_ignored(make_site: Any) -> None:
    site = make_site()
    assert "delivered to mailbox" in site.send("alice+a/b@example.org")[0]
    (warning,) = site.warnings()
    assert warning.endswith(": address with illegal extension: alice+a/b")
