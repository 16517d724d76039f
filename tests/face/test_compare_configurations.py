"""What changes from one configuration to another: computed from outcomes, and over real runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from postlab import cli_compare  # noqa: F401  the command registers itself
from postlab.cli import app
from postlab.compare.changes import changes
from postlab.compare.settings import settings
from reports.changes import KINDS, Change, Comparison, Effect
from reports.dialogues import exchanges
from reports.html import comparison_page, run_page
from reports.outcome import CommandResult, Delivered, Dialogue, Outcome, QueueEntry, Report, Waiting


def report(**outcome: object) -> Report:
    return Report("a.yaml", "a title", Outcome(**outcome))  # type: ignore[arg-type]


def seen(old: Report, new: Report) -> list[tuple[str, str, str, str]]:
    return [(c.kind, c.what, c.old, c.new) for c in changes(old, new)]


def dialogue(*lines: str) -> Dialogue:
    return Dialogue("198.51.100.7", ["* connected", *lines])


@pytest.mark.parametrize(
    ("transcript", "found"),
    [
        (["* refused"], [("connecting", "* refused")]),
        (["* connected", "S: 220 hi", "C: EHLO a", "S: 250-b", "S: 250 c", "C: QUIT", "S: 221 bye",
          "* closed by server"],
         [("connecting", "* connected\n220 hi"), ("EHLO a", "250-b\n250 c"),
          ("QUIT", "221 bye\n* closed by server")]),
        (["* connected", "S: 220 hi", "C: A", "C: B", "C: C", "S: 250 a", "S: 250-b", "S: 250 b",
          "S: 421 c", "* closed by server"],
         [("connecting", "* connected\n220 hi"), ("A", "250 a"), ("B", "250-b\n250 b"),
          ("C", "421 c\n* closed by server")]),
        (["* connected", "S: 220 hi", "C: NOOP", "S: 250 a", "S: 421 too late", "C: RSET",
          "* closed by server"],
         [("connecting", "* connected\n220 hi"), ("NOOP", "250 a\n421 too late"),
          ("RSET", "* closed by server")]),
    ],
)  # fmt: skip
def test_each_command_has_its_reply(transcript: list[str], found: list[tuple[str, str]]) -> None:
    assert [(item.command, item.told) for item in exchanges(transcript)] == found


def test_the_same_story_with_other_queue_ids_is_no_change() -> None:
    def told(queue_id: str, pid: int) -> Report:
        return report(
            clients=[dialogue("S: 220 x", "C: .", f"S: 250 2.0.0 Ok: queued as {queue_id}")],
            log=[
                f"postfix/smtpd[{pid}]: {queue_id}: client=unknown[198.51.100.7]",
                f"postfix/qmgr[{pid}]: {queue_id}: from=<a@b.test>, size=300, nrcpt=1 (queue active)",
                f"postfix/local[{pid}]: {queue_id}: to=<c@d.test>, relay=local, delay=0.1, "
                "delays=0/0/0/0.1, dsn=2.0.0, status=sent (delivered to mailbox)",
            ],
        )

    assert changes(told("3F1A2B3C4D", 101), told("8E9F0A1B2C", 303)) == []


def fate(status: str, reason: str, relay: str = "mx.d.test[203.0.113.1]:25", tries: int = 1) -> Report:
    lines = ["postfix/qmgr[1]: 3F1A2B3C4D: from=<a@b.test>, size=300, nrcpt=1 (queue active)"]
    for number in range(tries):
        last = number == tries - 1
        lines.append(
            f"postfix/smtp[1]: 3F1A2B3C4D: to=<c@d.test>, relay={relay}, delay=0.1, "
            f"delays=0/0/0/0.1, dsn=2.0.0, status={status if last else 'deferred'} ({reason})"
        )
    return report(log=lines)


@pytest.mark.parametrize(
    ("old", "new", "before", "after"),
    [
        (fate("sent", "250 Ok"), fate("bounced", "no such host", "none"),
         "sent via mx.d.test[203.0.113.1]:25: 250 Ok", "bounced: no such host"),
        (fate("sent", "250 Ok"), fate("sent", "250 Ok", tries=3),
         "sent via mx.d.test[203.0.113.1]:25: 250 Ok",
         "sent at try 3 via mx.d.test[203.0.113.1]:25: 250 Ok"),
        (fate("sent", "250 Ok"), report(), "sent via mx.d.test[203.0.113.1]:25: 250 Ok", ""),
    ],
)  # fmt: skip
def test_another_fate_is_told_for_its_recipient(
    old: Report, new: Report, before: str, after: str
) -> None:
    assert seen(old, new)[0] == ("fate", "a@b.test to c@d.test", before, after)
    assert seen(new, old)[0] == ("fate", "a@b.test to c@d.test", after, before)


def test_a_reply_that_is_another_is_told_with_the_command() -> None:
    old = report(clients=[dialogue("S: 220 x", "C: RCPT TO:<a@b>", "S: 250 Ok", "C: DATA", "S: 354")])
    new = report(clients=[dialogue("S: 220 x", "C: RCPT TO:<a@b>", "S: 550 No")])
    assert seen(old, new) == [
        ("reply", "client 198.51.100.7: RCPT TO:<a@b>", "250 Ok", "550 No"),
        ("reply", "client 198.51.100.7: DATA", "354", "(not said)"),
    ]


def test_everything_that_an_outcome_has_can_change() -> None:
    old = report(
        peers=[Dialogue("mx.d.test", ["* connected", "C: EHLO a"])],
        delivered=[
            Delivered("mailbox alice", "Subject: x\n\none\n", "a@b", ["alice"]),
            Delivered("mailbox bob", "Subject: x\n\none\n", "a@b", ["bob"]),
        ],
        log=["postfix/smtpd[1]: NOQUEUE: hold: RCPT from x[1.2.3.4]: <a@b>: wait",
             "postfix/smtpd[1]: warning: old habits"],
        queue=[QueueEntry("deferred", "a@b", [Waiting("c@d", "timeout")])],
        policy={"inet:127.0.0.1:1": [{"request": "smtpd_access_policy"}]},
        milters={"unix:m": [["helo", "a"]]},
        commands=[CommandResult("postqueue -p", 0, "empty\n")],
    )  # fmt: skip
    new = report(
        peers=[Dialogue("mx.d.test", ["* connected", "C: EHLO b"])],
        delivered=[
            Delivered("mailbox alice", "Subject: x\n\ntwo\n", "a@b", ["alice"]),
            Delivered("peer mx.d.test", "Subject: x\n\none\n", "a@b", ["c@d"]),
        ],
        log=["postfix/smtpd[1]: warning: new fashions"],
        milters={"unix:m": [["helo", "b"], ["abort"]]},
        commands=[CommandResult("postqueue -p", 1, "fatal\n")],
    )
    found = changes(old, new)
    told = {(c.kind, c.what): (c.old, c.new) for c in found}
    assert told["arrival", "mailbox alice: from a@b to alice"] == (
        "as it was", "with another content",
    )  # fmt: skip
    assert told["arrival", "mailbox bob: from a@b to bob"] == ("arrives", "")
    assert told["arrival", "peer mx.d.test: from a@b to c@d"] == ("", "arrives")
    assert told["decision", "no more"] == ("hold at RCPT: <a@b>: wait", "")
    assert told["queue", "no more"] == ("deferred: a@b to c@d: timeout", "")
    assert told["question", "policy inet:127.0.0.1:1"] == ("1 request", "0 requests")
    assert told["question", "milter unix:m"] == ("1 event", "2 events")
    assert told["session", "mx.d.test"] == ("1 session", "1 session")
    assert told["command", "postqueue -p"] == ("exit 0", "exit 1")
    assert told["warning", "new"] == ("", "postfix/smtpd: warning: new fashions")
    assert told["log", "lines of the mail log"] == ("2 no more", "1 new")
    details = {c.what: c.detail for c in found}
    assert tuple(
        line for line in details["mailbox alice: from a@b to alice"] if line[0] in "+-"
    ) == ("-one", "+two")
    assert {c.kind for c in found} <= set(KINDS)
    assert changes(old, old) == []


def test_files_that_differ_are_told_parameter_by_parameter() -> None:
    old = {"main.cf": b"relayhost = a.test\nbiff = no\n", "master.cf": b"smtp inet n - n - - smtpd\n",
           "access": b"a OK\nb OK\n", "gone": b"x\n", "same": b"s"}  # fmt: skip
    new = {"main.cf": b"biff = no\nx_own = 1\nsmtpd_timeout=${stress?10}${stress:300}s\n",
           "master.cf": b"smtp  inet n - n - 5 smtpd\n  -o a=b\nx unix - - n - - pipe\n",
           "access": b"a OK\nb REJECT\n", "same": b"s"}  # fmt: skip
    found = {s.name: (s.old, s.new, s.detail) for s in settings(old, new)}
    assert found == {
        "relayhost": ("a.test", "", ()),
        "smtpd_timeout": ("${stress?{10}:{300}}s", "${stress?10}${stress:300}s", ()),
        "x_own": ("", "1", ()),
        "master.cf: smtp/inet": ("smtp inet n - n - - smtpd", "smtp inet n - n - 5 smtpd -o a=b", ()),
        "master.cf: x/unix": ("", "x unix - - n - - pipe", ()),
        "file access": ("2 lines", "2 lines", ("-b OK", "+b REJECT")),
        "file gone": ("1 line", "", ("-x",)),
    }
    assert [s.name for s in settings(old, new) if s.new_is_default] == ["relayhost"]


def test_headlines_and_pages_say_what_there_is() -> None:
    found = Comparison("old", "new", effects=[Effect("a", "A"), Effect("b", "B")])
    assert found.headline() == "2 scenarios: nothing changes"
    found.effects[1].changes.append(Change("reply", "<script>", "250 <b>", "550 \udcff\x1b[31m"))
    found.effects.append(Effect("c", "C", error="not possible yet"))
    assert found.headline() == "1 of 3 scenarios changes, 1 cannot be compared"
    page = comparison_page(found)
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "550 ??[31m" in page
    assert "Nothing changes in" in page
    page.encode("utf-8")


def test_a_page_of_a_run_holds_all_that_was_said_and_is_one_file() -> None:
    full = fate("deferred", "<i>later</i>")
    full.about = "two\nlines"
    full.doubts, full.unheeded, full.unused = ["doubt 1"], ["setting 2"], ["rule 3"]
    full.outcome.clients = [dialogue("S: 220 <x>", "C: QUIT \udc80")]
    full.outcome.queue = [QueueEntry("deferred", "", [Waiting("c@d.test", "why")], "3F1A2B3C4D")]
    full.outcome.commands = [CommandResult("mailq", 69, "unavailable\n")]
    page = run_page([full, report()])
    for text in ("&lt;i&gt;later&lt;/i&gt;", "doubt 1", "setting 2", "rule 3", "220 &lt;x&gt;",
                 "exit 69", "2 scenarios", "why", "QUIT ?"):  # fmt: skip
        assert text in page, text
    assert "http" not in page
    page.encode("utf-8")
    assert "No messages." in run_page([report()])


# -- over real runs --------------------------------------------------------------------------------

OLD = """\
compatibility_level = 2
myhostname = mail.harbour.test
mydomain = harbour.test
mydestination = $myhostname, $mydomain
mynetworks = 127.0.0.0/8 192.0.2.0/24
alias_maps =
virtual_alias_domains = boats.test
virtual_alias_maps = hash:/etc/postfix/virtual
"""

SCENARIO = """\
format: 1
title: A guest writes to the office
mta:
  users: [alice]
clients:
  - from: 198.51.100.7
    say: [EHLO g.test, "MAIL FROM:<g@g.test>", "RCPT TO:<alice@harbour.test>", QUIT]
"""


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    made = tmp_path / "old", tmp_path / "new"
    for folder in made:
        folder.mkdir()
        (folder / "main.cf").write_text(OLD)
        (folder / "virtual").write_text("info@boats.test root\n")
    return made


def postlab_compares(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["compare", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_the_same_folder_twice_changes_nothing(folders: tuple[Path, Path]) -> None:
    status, out, _ = postlab_compares(folders[0], folders[0])
    assert status == 0
    assert "nothing changes" in out


def test_the_usual_traffic_meets_what_the_folders_know(folders: tuple[Path, Path]) -> None:
    old, new = folders
    (new / "main.cf").write_text(OLD + "relayhost = [smart.provider.test]:587\n")
    (new / "virtual").write_text("info@boats.test root\nsales@boats.test root\n")
    status, out, _ = postlab_compares(old, new, "--json")
    data = json.loads(out)
    assert (status, data["same"]) == (1, False)
    assert [setting["name"] for setting in data["settings"]] == ["relayhost", "file virtual"]
    found = {(c["kind"], c["what"]): c["new"] for s in data["scenarios"] for c in s["changes"]}
    assert found["reply", "client 198.51.100.7: RCPT TO:<sales@boats.test>"] == "250 2.1.5 Ok"
    (outward,) = [new for (kind, what), new in found.items()
                  if kind == "fate" and what.startswith("postmaster@mail.harbour.test to ben@")]  # fmt: skip
    assert "via smart.provider.test[203.0.113.250]:587: 250" in outward
    unchanged = [s["title"] for s in data["scenarios"] if not s["changes"]]
    assert "A stranger tries to relay" in unchanged
    assert not any(s["error"] or s["doubts"] for s in data["scenarios"])


def test_scenario_files_are_the_traffic_where_there_are_some(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    old, new = folders
    (new / "main.cf").write_text(OLD + "smtpd_client_restrictions = reject\n")
    (tmp_path / "a.yaml").write_text(SCENARIO)
    page = tmp_path / "page.html"
    status, out, _ = postlab_compares(old, new, tmp_path / "a.yaml", "--lines", "--html", page)
    assert (status, out) == (1, "")
    assert "RCPT TO:&lt;alice@harbour.test&gt;" in page.read_text()
    status, out, _ = postlab_compares(old, new, tmp_path / "a.yaml", "--lines")
    assert "    client 198.51.100.7: RCPT TO:<alice@harbour.test>\n      - 250 2.1.5 Ok\n" in out
    assert "+postfix/smtpd: NOQUEUE: reject: RCPT from unknown[198.51.100.7]: 554 5.7.1" in out


def test_a_configuration_that_does_not_start_is_a_change(folders: tuple[Path, Path]) -> None:
    old, new = folders
    (new / "main.cf").write_text(OLD + "inet_protocols = foo\n")
    status, out, _ = postlab_compares(old, new)
    assert status == 1
    assert "- starts" in out
    assert 'fatal: unknown inet_protocols value "foo"' in out
    status, out, _ = postlab_compares(new, new)
    assert (status, "neither starts" in out) == (1, True)


def test_two_scenario_files_are_compared_with_their_own_configurations(tmp_path: Path) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(SCENARIO)
    new.write_text(SCENARIO.replace("mta:\n", "mta:\n  main.cf: mydestination = harbour.test\n"))
    status, out, _ = postlab_compares(old, new)
    assert status == 1
    assert "+ harbour.test" in out
    assert "Relay access denied" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("old", "nowhere"), "nowhere: there is no such folder"),
        (("old", "empty"), "empty/main.cf: there is none"),
        (("old", "new", "empty"), "there is no scenario file"),
        (("old", "new", "bad.yaml"), "bad.yaml:2: this is not YAML"),
        (("old", "bad.yaml"), "bad.yaml: there is no such folder"),
        (("bad.yaml", "bad.yaml"), "bad.yaml:2: this is not YAML"),
    ],
)
def test_what_cannot_be_compared_is_told(
    folders: tuple[Path, Path], tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.yaml").write_text("a: [\n")
    status, out, err = postlab_compares(*(tmp_path / name for name in arguments))
    assert (status, out) == (2, "")
    assert said in err
