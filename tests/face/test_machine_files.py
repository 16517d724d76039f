"""What lies on the mail system's disk before a run, and what is found there after it."""

from __future__ import annotations

import sqlite3

import pytest

from mta.system import Inet
from postlab import configuration
from postlab.harvest import Mailboxes, queue
from postlab.model import Mta
from postlab.scenario import loads
from sim.world import World

HEAD = "format: 1\ntitle: t\nclients: [{from: 198.51.100.7, say: [QUIT]}]\n"


def mta(main_cf: str = "", master_cf: str = "") -> Mta:
    return Mta.model_validate({"main.cf": main_cf, "master.cf": master_cf})


def test_the_base_settings_come_before_the_scenarios_own_text() -> None:
    text = configuration.main_cf(mta("# a comment\n\nsoft_bounce = yes\n"))
    assert text.startswith("compatibility_level = 2\nmyhostname = mx.example.org\n")
    assert text.endswith("smtpd_tls_security_level =\n# a comment\n\nsoft_bounce = yes\n")


def test_a_base_setting_that_the_scenario_overrides_is_left_out() -> None:
    text = configuration.main_cf(mta("mydestination=\n  a.test\n  b.test\n#myhostname = x\n"))
    assert "$myhostname, localhost" not in text
    assert text.count("mydestination") == 1
    assert "myhostname = mx.example.org\n" in text


def test_a_service_of_the_scenario_replaces_the_stock_one_of_its_name_and_type() -> None:
    own = "smtp inet n - n - 5 smtpd\n  -o soft_bounce=yes\n# no\n587 inet n - n - - smtpd\n"
    lines = configuration.master_cf(mta(master_cf=own)).split("\n")
    assert lines[0:2] == ["smtp inet n - n - 5 smtpd", "  -o soft_bounce=yes"]
    assert sum(line.startswith("smtp ") for line in lines) == 2
    assert lines[-2] == "587 inet n - n - - smtpd"


def test_files_go_where_their_names_say() -> None:
    scenario = loads(
        HEAD + "mta:\n  users: [alice]\n  files:\n    access: a\n    ~alice/.forward: b\n"
        "    /srv/list: c\n    t.sql: 'CREATE TABLE t (k); INSERT INTO t VALUES (7);'\n"
    )
    found = {path: (data, user) for path, data, user in configuration.files(scenario)}
    assert list(found) == [
        "/etc/postfix/main.cf", "/etc/postfix/master.cf", "/etc/postfix/access",
        "/home/alice/.forward", "/srv/list", "/etc/postfix/t.sql", "/etc/postfix/t.db",
    ]  # fmt: skip
    assert found["/home/alice/.forward"] == (b"b", "alice")
    database = sqlite3.connect(":memory:")
    database.deserialize(found["/etc/postfix/t.db"][0])
    assert database.execute("SELECT k FROM t").fetchall() == [(7,)]
    database.close()


def mailboxes(home_mailbox: str = "", brought: tuple[str, ...] = ()) -> tuple[World, Mailboxes]:
    world = World()
    machine = world.machine("mta", ["192.0.2.25"], nameservers=[Inet("127.0.0.1", 53)])
    for folder in ("/var/mail", "/home/alice", "/var/spool/postfix/active", "/etc", "/srv"):
        machine.files.mkdir(folder)
    return world, Mailboxes(machine.files, ["alice", "bob"], home_mailbox, brought)


MESSAGE = b"Return-Path: <a@x.test>\nDelivered-To: alice@example.org\n\nbody\n"


def test_a_mailbox_file_is_split_at_its_from_lines() -> None:
    _, boxes = mailboxes()
    second = b"Return-Path: <>\n\nFrom here on\n\nFrom me.\n"
    boxes.files.write(
        "/var/mail/alice",
        b"From a@x.test  Mon Jan  5 09:00:00 2026\n" + MESSAGE + b"\n"
        b"From MAILER-DAEMON  Mon Jan  5 09:00:01 2026\n" + second + b"\n",
    )
    one, two = boxes.delivered()
    assert (one.where, one.sender, one.recipients) == (
        "mailbox alice", "a@x.test", ["alice@example.org"],
    )  # fmt: skip
    assert one.message == MESSAGE.decode()
    assert (two.sender, two.recipients, two.message) == ("", [], second.decode())


@pytest.mark.parametrize(
    ("path", "home_mailbox", "where"),
    [
        ("/var/mail/alice", "", "mailbox alice"),
        ("/var/mail/other", "", "mailbox /var/mail/other"),
        ("/home/alice/Mailbox", "", "mailbox /home/alice/Mailbox"),
        ("/home/alice/Mailbox", "Mailbox", "mailbox alice"),
        ("/home/alice/Maildir/new/1.x", "Maildir/", "mailbox alice"),
        ("/home/alice/Maildir/new/1.x", "", "mailbox /home/alice/Maildir/"),
        ("/srv/vmail/x/new/1.x", "", "mailbox /srv/vmail/x/"),
    ],
)
def test_a_mailbox_belongs_to_a_user_or_has_a_path(
    path: str, home_mailbox: str, where: str
) -> None:
    _, boxes = mailboxes(home_mailbox)
    boxes.files.mkdir(path.rpartition("/")[0])
    start = b"" if "/new/" in path else b"From a@x.test  Mon Jan  5 09:00:00 2026\n"
    boxes.files.write(path, start + MESSAGE)
    assert [item.where for item in boxes.delivered()] == [where]


@pytest.mark.parametrize(
    "path",
    ["/var/mail/alice.lock", "/srv/x/tmp/1.x", "/etc/postfix/x", "/var/spool/postfix/active/AB12",
     "/dev/null", "/home/alice/.forward"],
)  # fmt: skip
def test_other_files_are_no_mailboxes(path: str) -> None:
    _, boxes = mailboxes(brought=("/home/alice/.forward",))
    boxes.files.mkdir(path.rpartition("/")[0])
    boxes.files.write(path, MESSAGE)
    assert boxes.delivered() == []


LISTING = """\
-Queue ID- --Size-- ----Arrival Time---- -Sender/Recipient-------
7F7D02A*     300 Mon Jan  5 09:00:03  z@x.test
                                         b@y.test

8A01B2C!     301 Mon Jan  5 09:00:03  MAILER-DAEMON
(host mx said: 450 later)
                                         d@y.test
                                         c@y.test
                   (connect to z: refused)
                                         a@y.test

-- 1 Kbytes in 2 Requests.
"""


def test_the_queue_is_what_postqueue_lists() -> None:
    _, boxes = mailboxes()
    for path in ("active/7F7D02A", "hold/8A01B2C"):
        boxes.files.mkdir(f"/var/spool/postfix/{path.partition('/')[0]}")
        boxes.files.write(f"/var/spool/postfix/{path}", b"x")
    first, second = queue(boxes.files, "/var/spool/postfix", LISTING)
    assert (first.queue, first.queue_id, first.sender) == ("active", "7F7D02A", "z@x.test")
    assert (second.queue, second.sender, second.size) == ("hold", "", 301)
    assert [(r.address, r.reason) for r in second.recipients] == [
        ("a@y.test", "connect to z: refused"),
        ("c@y.test", "host mx said: 450 later"),
        ("d@y.test", "host mx said: 450 later"),
    ]


def test_an_empty_queue_is_an_empty_list() -> None:
    _, boxes = mailboxes()
    assert queue(boxes.files, "/var/spool/postfix", "Mail queue is empty\n") == []
