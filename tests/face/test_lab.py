"""The Python API: what a test author writes, and what comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from postlab import Lab, ScenarioError, World
from postlab.errors import NotStarted
from postlab.folder import FolderError

SITE = """
mydestination = example.org
mynetworks = 192.0.2.0/24
"""


@pytest.fixture
def site() -> Lab:
    """A mail system for example.org with alice, and a server elsewhere."""
    made = Lab(seed=1)
    made.mta(SITE, users=["alice"])
    made.peer("mx.dest.test", mx_for=["dest.test"])
    return made


def test_a_client_delivers_to_a_mailbox(site: Lab) -> None:
    client = site.client("198.51.100.7").say("EHLO client.test")
    client.mail("a@client.test", "alice@example.org", text="Subject: hi\n\nhello\n").quit()
    assert client.reply("RCPT") == "250 2.1.5 Ok"
    assert client.replies[0] == "220 mx.example.org ESMTP Postfix"
    assert client.transcript[-1] == "* closed by server"
    (message,) = site.mailbox("alice")
    assert message.endswith("Subject: hi\n\nhello\n") or "\nhello\n" in message
    assert site.fate("alice@example.org").status == "sent"


def test_the_fingerprint_of_a_session_counts_its_commands(site: Lab) -> None:
    first = site.client("198.51.100.7").say("EHLO x.test").quit()
    second = site.client("198.51.100.7").say("EHLO x.test", "RCPT TO:<a@b.test>").quit()
    assert str(first.fingerprint) == "ehlo=1 quit=1 commands=2"
    assert second.fingerprint["rcpt"] == (0, 1)
    assert str(second.fingerprint).endswith("commands=2/3")
    assert len(site.fingerprints) == 2


def test_pipelined_commands_are_answered_one_by_one(site: Lab) -> None:
    client = site.client("198.51.100.7").say("EHLO x.test")
    client.pipeline("MAIL FROM:<a@x.test>", "RCPT TO:<nobody-here@example.org>", "DATA").hangup()
    assert [line[:3] for line in client.replies[-3:]] == ["250", "550", "554"]
    assert [reject.recipient for reject in site.rejects] == ["nobody-here@example.org"]
    assert client.transcript[-1] == "* closed by client"


def test_a_busy_server_gets_the_mail_after_some_tries() -> None:
    lab = Lab()
    lab.mta(SITE)
    busy = lab.peer("mx.dest.test", mx_for=["dest.test"]).on("RCPT", "450 4.2.1 later", times=3)
    lab.client("192.0.2.30").say("EHLO pc").mail("a@example.org", "bob@dest.test").quit()
    assert lab.fate("bob@dest.test").status == "deferred"
    assert [entry.queue for entry in lab.queue] == ["deferred"]
    assert busy.messages == []
    report = lab.run(until="5d")
    assert lab.elapsed == 5 * 86400
    fate = lab.fate("bob@dest.test")
    assert (fate.status, fate.attempts) == ("sent", 4)
    assert lab.queue == []
    assert [m.recipients for m in busy.messages] == [["bob@dest.test"]]
    assert len(busy.sessions) == 4
    assert report.unused == []


def test_time_passes_in_steps_and_servers_come_and_go(site: Lab) -> None:
    peer = site.peer("mx.other.test", mx_for=["other.test"])
    peer.down()
    site.client("192.0.2.30").say("EHLO pc").mail("a@example.org", "bob@other.test").quit()
    assert "Connection refused" in site.fate("bob@other.test").reason
    site.advance("1h")
    assert site.fate("bob@other.test").status == "deferred"
    peer.up()
    site.advance("2h")
    assert site.fate("bob@other.test").status == "sent"
    assert len(peer.messages) == 1


def test_submissions_and_commands_have_results_when_one_looks(site: Lab) -> None:
    submission = site.submit("alice", "bob@dest.test", text="Subject: x\n\nx\n")
    listing = site.command("mailq")
    assert (submission.exit, submission.output) == (0, "")
    assert listing.output == "Mail queue is empty\n"
    assert site.message(to="bob@dest.test").sender == "alice@mx.example.org"


def test_the_log_answers_questions(site: Lab) -> None:
    site.client("198.51.100.7").say("EHLO x.test").quit()
    log = site.log
    assert log.one("^connect from", "smtpd").text == "connect from unknown[198.51.100.7]"
    assert "disconnect from unknown[198.51.100.7]" in log
    assert "no such thing" not in log
    assert log.find("connect from", "qmgr") == []
    with pytest.raises(AssertionError, match="2 lines match 'connect from' in:"):
        log.one("connect from")


def test_a_policy_server_and_an_external_command_are_part_of_the_lab() -> None:
    lab = Lab()
    lab.mta(
        "mydestination = example.org\n"
        "smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:10031\n"
        "alias_maps = hash:$config_directory/aliases\n",
        files={"aliases": 'robot: "|/usr/bin/robot -x"\n'},
        users=["alice"],
        commands={"/usr/bin/robot": {"exit": 0}},
    )
    lab.policy("inet:127.0.0.1:10031", {"when": {"recipient": "alice@example.org"},
                                        "action": "REJECT not today"}, "DUNNO")  # fmt: skip
    client = lab.client("198.51.100.7").say("EHLO x.test")
    client.mail("a@x.test", "alice@example.org", "robot@example.org").quit()
    assert client.reply("RCPT TO:<alice").startswith("554 5.7.1 <alice@example.org>: Recipient")
    (item,) = [m for m in lab.delivered if m.where == "command /usr/bin/robot"]
    assert item.args == ["-x"]
    assert len(lab.outcome.policy["inet:127.0.0.1:10031"]) == 2


def test_what_is_there_must_be_said_before_the_world_stands(site: Lab) -> None:
    peer = site.peer("late.test")
    _ = site.log
    for change in (lambda: site.mta(""), lambda: site.peer("x.test"), lambda: peer.on("RCPT", "4"),
                   lambda: site.policy("unix:x", "OK"), lambda: site.milter("unix:x")):  # fmt: skip
        with pytest.raises(RuntimeError, match="the world stands already"):
            change()


def test_a_client_whose_session_is_over_says_no_more(site: Lab) -> None:
    client = site.client("198.51.100.7").say("EHLO x.test")
    assert client.transcript
    with pytest.raises(RuntimeError, match="is over; make another client"):
        client.say("NOOP")


def test_mistakes_are_told_as_in_scenario_files() -> None:
    lab = Lab()
    with pytest.raises(ScenarioError, match=r"peer mx\.dest\.test: address: '203.0.113.999' is"):
        lab.peer("mx.dest.test", "203.0.113.999")
    with pytest.raises(ScenarioError, match=r"peer a\.test: baner: unknown key 'baner'; the nearest key is"):
        lab.peer("a.test", baner="220 hi")
    with pytest.raises(ScenarioError, match=r"a rule of peer b\.test: do: must be 'silent' or"):
        lab.peer("b.test").on("RCPT", do="explode")
    with pytest.raises(ScenarioError, match=r"policy\.127.0.0.1:1: .* write inet:ADDRESS:PORT"):
        lab.policy("127.0.0.1:1", "DUNNO")
    with pytest.raises(ScenarioError, match=r"replies\[0\].on: must be 'connect', 'helo'"):
        lab.milter("unix:m", {"on": "hello"})
    with pytest.raises(ScenarioError, match=r"client 198.51.100: from: '198.51.100' is no IPv4"):
        lab.client("198.51.100")
    with pytest.raises(ScenarioError, match=r"the mail system: commands\.sh: .* absolute path"):
        lab.mta(commands={"sh": {}})


def test_a_mail_system_that_does_not_start_says_so_at_the_first_look() -> None:
    lab = Lab()
    lab.mta("inet_protocols = foo")
    client = lab.client("198.51.100.7").say("EHLO x").quit()
    with pytest.raises(NotStarted, match='fatal: unknown inet_protocols value "foo"'):
        client.reply("EHLO")
    assert "fatal: unknown inet_protocols value" in lab.log


def test_texts_between_triple_quotes_and_single_names_mean_what_they_look_like() -> None:
    lab = Lab()
    lab.mta(
        """
        mydestination = example.org, $myhostname
        alias_maps =
            hash:/etc/postfix/aliases
        """,
        files={"aliases": """
            office: alice,
                bob
            """},
        users="alice, bob",
    )  # fmt: skip
    peer = lab.peer("mx.dest.test", mx_for="dest.test")
    lab.client("198.51.100.7").say("EHLO x").mail("a@x.test", "office@example.org").quit()
    lab.submit("alice", "c@dest.test")
    assert len(lab.mailbox("alice")) == len(lab.mailbox("bob")) == 1
    assert [message.recipients for message in peer.messages] == [["c@dest.test"]]
    with pytest.raises(LookupError, match="there is no user 'alcie'"):
        lab.mailbox("alcie")


def test_replies_are_found_for_pipelined_commands_and_content(site: Lab) -> None:
    client = site.client("198.51.100.7").say("EHLO x.test").pipeline(
        "MAIL FROM:<a@x.test>", "RCPT TO:<nosuch@example.org>", "RCPT TO:<alice@example.org>", "DATA"
    )  # fmt: skip
    client.content("Subject: x\n\nx\n").quit()
    assert client.reply("RCPT TO:<nosuch@").startswith("550 5.1.1")
    assert client.reply("rcpt to:<alice@").startswith("250 2.1.5")
    assert client.reply("DATA").startswith("354")
    assert client.reply(".").startswith("250 2.0.0 Ok: queued as ")
    assert client.reply("EHLO").endswith("250 SMTPUTF8")


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text(
        "myhostname = mail.own.test\nmydestination = own.test\ninet_interfaces = 192.0.2.77\n"
        "alias_maps =\n"
    )
    lab = Lab()
    lab.config(tmp_path, users=["alice"], files={"more": "x"})
    client = lab.client("198.51.100.7").say("EHLO x").mail("a@x.test", "alice@own.test").quit()
    assert client.replies[0] == "220 mail.own.test ESMTP Postfix"
    assert len(lab.mailbox("alice")) == 1
    assert lab.stage.mta.files.read("/etc/postfix/more") == b"x"
    with pytest.raises(FolderError, match="there is no such folder"):
        lab.config(tmp_path / "nowhere")


def test_asking_for_what_never_was_tells_what_was(site: Lab) -> None:
    client = site.client("198.51.100.7").say("EHLO x.test").quit()
    with pytest.raises(KeyError, match="never said 'RCPT'"):
        client.reply("RCPT")
    with pytest.raises(AssertionError, match="no mail to bob"):
        site.fate("bob@dest.test")
    with pytest.raises(AssertionError, match="0 such messages"):
        site.message(to="bob@dest.test")


def test_records_and_trouble_can_be_added_later(site: Lab) -> None:
    site.dns(faults={"slow.test. MX": "timeout"})
    send = site.client("192.0.2.30").say("EHLO pc")
    send.mail("a@example.org", "x@slow.test", "y@new.test").quit()
    assert site.fate("x@slow.test").status == "deferred"
    assert site.fate("y@new.test").status == "bounced"
    site.dns("new.test. IN MX 10 mx.dest.test.")
    site.client("192.0.2.30").say("EHLO pc").mail("a@example.org", "z@new.test").quit()
    assert site.fate("z@new.test").status == "sent"


def test_a_folder_like_etc_postfix_is_a_mail_system(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("mydestination = example.org\n"
                                      "smtpd_banner = $myhostname at your service\n")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "x").write_text("a b\n")
    lab = Lab()
    lab.config(tmp_path, users=["alice"])
    assert lab.client("198.51.100.7").quit().replies[0] == "220 mx.example.org at your service"
    assert lab.stage.mta.files.read("/etc/postfix/tables/x") == b"a b\n"


def test_the_same_seed_gives_the_same_trace_and_the_same_bytes() -> None:
    def play(seed: int) -> tuple[str, str]:
        lab = Lab(seed)
        lab.mta(SITE, users=["alice"])
        lab.submit("alice", "alice@example.org")
        report = lab.run(until="1h")
        return report.trace_hash, report.outcome.to_text()

    assert play(5) == play(5)
    assert play(5)[0] != play(6)[0]


def test_world_is_another_name_for_a_lab() -> None:
    assert World is Lab
