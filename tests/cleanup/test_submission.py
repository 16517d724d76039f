"""Mail of local users: sendmail(1), postdrop(1), pickup(8)."""

from __future__ import annotations

import pytest

from mta.commands.result import CommandResult
from mta.wire.record import encode
from tests.cleanup.cleanup_site import CleanupSite, Result

Site = type[CleanupSite]


def sendmail(postfix: CleanupSite, *args: str, text: str = "Subject: x\n\nbody\n") -> CommandResult:
    task = postfix.postfix.command(["sendmail", *args], "alice", text.encode())
    result: CommandResult = postfix.run(task)
    return result


def queued(postfix: CleanupSite) -> Result:
    (name,) = postfix.files("incoming")
    return postfix.result(None, name)  # type: ignore[arg-type]


def posted(site: Site, *args: str, text: str = "Subject: x\n\nbody\n") -> Result:
    postfix = site()
    assert sendmail(postfix, *args, text=text) == (0, "")
    return queued(postfix)


def test_a_message_goes_from_maildrop_into_the_queue(site: Site) -> None:
    postfix = site()
    assert sendmail(postfix, "-f", "a@b.test", "bob", "c@d.test") == (0, "")
    result = queued(postfix)
    assert result.of("S") == ["a@b.test"]
    assert result.of("O") == ["bob", "c@d.test"]
    uid = postfix.machine.accounts.by_name("alice").uid  # type: ignore[union-attr]
    assert result.content[:3] == [
        f"Received: by mx.example.org (Postfix, from userid {uid})",
        f"\tid {result.queue_id}; Mon,  5 Jan 2026 09:00:00 +0000 (UTC)",
        "Subject: x",
    ]
    assert postfix.files("maildrop") == []
    assert postfix.log()[0] == f"pickup: QID: uid={uid} from=<a@b.test>"


@pytest.mark.parametrize(
    ("args", "text", "body"),
    [
        ((), "\na\n.\nb\n", ["", "a"]),
        (("-i",), "\na\n.\nb\n", ["", "a", ".", "b"]),
        (("-oi",), "\n.", ["", "."]),
        ((), "From me\n>From you\n\nFrom here\n", ["", "From here"]),
        ((), "\na\r\nb\r\r\n", ["", "a", "b"]),
        ((), "\nno end", ["", "no end"]),
        ((), "\n" + "x" * 2048 + "\n", ["", "x" * 2048]),
        ((), "\n" + "x" * 5000, ["", "x" * 5000]),
    ],
)
def test_text_is_read_line_by_line(
    site: Site, args: tuple[str, ...], text: str, body: list[str]
) -> None:
    content = posted(site, *args, "b@c.test", text=text).content
    assert content[content.index("") :] == body


@pytest.mark.parametrize(
    ("text", "recipients"),
    [
        ("To: a@x.test, B <b@x.test>\nCc: c\nBcc: d@x.test\n\n",
         ["a@x.test", "b@x.test", "c@example.org", "d@x.test"]),
        ("To: a@x.test\nResent-To: r@x.test\nCc: c@x.test\n\n", ["r@x.test"]),
        ("Apparently-To: a@x.test\nTo: b@x.test\n\nTo: c@x.test\n", ["b@x.test"]),
    ],
)  # fmt: skip
def test_recipients_are_taken_from_headers(site: Site, text: str, recipients: list[str]) -> None:
    assert posted(site, "-t", text=text).recipients == recipients


@pytest.mark.parametrize(
    ("args", "records"),
    [
        (("-F", "Full Name"), [("F", "Full Name")]),
        (("-G",), [("A", "rewrite_context=remote")]),
        (("-B", "8BITMIME"), [("A", "encoding=8bit")]),
        (("-N", "success,Delay"), [("A", "notify_flags=10")]),
        (("-R", "hdrs", "-V", "some id"), [("A", "ret_flags=2"), ("A", "envelope_id=some id")]),
        (("-XV",), [("V", "+=")]),
        (("-XV+-",), [("V", "+-")]),
        (("-r", "x@y.test"), [("S", "x@y.test")]),
        (("-f", ""), [("S", "")]),
        (("-f", "Some One <x@y.test>"), [("S", "x@y.test")]),
    ],
)
def test_options_become_records(
    site: Site, args: tuple[str, ...], records: list[tuple[str, str]]
) -> None:
    result = posted(site, *args, "b@c.test")
    for record in records:
        assert record in result.records


def test_a_report_is_announced(site: Site) -> None:
    postfix = site()
    told = "Mail Delivery Status Report will be mailed to <alice>.\n"
    assert sendmail(postfix, "-v", "b@c.test") == (0, told)
    assert "trace_flags=1024" in queued(postfix).of("A")
    postfix = site()
    assert sendmail(postfix, "-bv", "b@c.test", "c") == (0, told)
    result = queued(postfix)
    assert "trace_flags=512" in result.of("A")
    assert "To: b@c.test, c@example.org" in result.content


@pytest.mark.parametrize(
    ("args", "output"),
    [
        ((), "Recipient addresses must be specified on the command line or via the -t option"),
        (("-t",), "No recipient addresses found in message header"),
        (("-f", "", "-XV", "a@b"), "-V option requires non-null sender address"),
    ],
)
def test_what_cannot_be_posted_is_refused(
    site: Site, args: tuple[str, ...], output: str
) -> None:
    postfix = site()
    status, text = sendmail(postfix, *args)
    assert status == 75
    assert text.startswith("sendmail: fatal: ")
    assert text.endswith(f": {output}\n")
    assert postfix.files("incoming") == postfix.files("maildrop") == []


@pytest.mark.parametrize(
    ("args", "output"),
    [
        (("-n",), "-n option not supported"),
        (("-B", "9BIT"), "-B option needs 8BITMIME or 7BIT"),
        (("-XL", "x"), "unsupported: -XL"),
        (("-XVab", "x"), "-V requires two characters from -=+"),
        (("-bx",), "unsupported: -bx"),
        (("-qX",), "-qX is not implemented"),
        (("-qR",), "specify: -qRsitename"),
        (("-t", "-bp"), "-t can be used only in delivery mode"),
        (("-bv", "-t"), "-t option cannot be used with -bv"),
        (("-bv", "-v", "x"), "-v option cannot be used with -bv"),
        (("-bp", "x"), "display queue mode requires no recipient"),
    ],
)
def test_bad_usage_is_a_fatal_error(site: Site, args: tuple[str, ...], output: str) -> None:
    assert sendmail(site(), *args) == (75, f"sendmail: fatal: {output}\n")


@pytest.mark.parametrize(
    ("args", "warning"),
    [
        (("-V", "+="), "option -V is deprecated with Postfix 2.3; specify -XV instead"),
        (("-R", "some"), "bad -R option value -- ignored"),
        (("-f", "a, b"), "-f option specified malformed sender: a, b"),
    ],
)
def test_small_mistakes_are_warned_of(site: Site, args: tuple[str, ...], warning: str) -> None:
    status, text = sendmail(site(), *args, "b@c.test")
    assert (status, text) == (0, f"sendmail: warning: {warning}\n")


def test_who_may_not_submit_is_told(site: Site) -> None:
    postfix = site("authorized_submit_users = !alice, static:all\n")
    status, text = sendmail(postfix, "b@c.test")
    assert status == 75
    assert text.startswith("sendmail: fatal: User alice(")
    assert text.endswith(") is not allowed to submit mail\n")


def test_smtp_on_standard_input(site: Site) -> None:
    postfix = site()
    dialogue = (
        "HELO x\nMAIL FROM:<a@b.test>\nRCPT TO:<c@d.test>\nDATA\nSubject: hi\n\nbody\n.\nQUIT\n"
    )
    status, text = sendmail(postfix, "-bs", text=dialogue)
    codes = [line[:3] for line in text.splitlines()]
    assert (status, codes) == (0, ["220", "250", "250", "250", "354", "250", "221"])
    assert queued(postfix).of("S", "R") == ["a@b.test", "c@d.test"]


def test_a_size_beyond_the_limit_kills_smtp_on_standard_input(site: Site) -> None:
    postfix = site()
    dialogue = "HELO x\nMAIL FROM:<a@b.test> SIZE=999999999\nQUIT\n"
    status, text = sendmail(postfix, "-bs", text=dialogue)
    assert status == -11
    assert [line[:3] for line in text.splitlines()] == ["220"]


def test_smtp_on_standard_input_shows_what_postdrop_complains_of(site: Site) -> None:
    postfix = site("message_size_limit = 100\n")
    dialogue = (
        "HELO x\nMAIL FROM:<a@b.test>\nRCPT TO:<c@d.test>\nDATA\nSubject: hi\n\nbody\n.\nQUIT\n"
    )
    status, text = sendmail(postfix, "-bs", text=dialogue)
    lines = text.splitlines()
    assert status == 0
    assert lines[1].startswith("postdrop: warning: uid=")
    assert lines[1].endswith(": File too large")
    assert [line[:3] for line in lines[2:]] == ["250", "250", "250", "354", "552", "221"]


# -- postdrop(1) and pickup(8) --------------------------------------------------------------------


def stream(*records: tuple[str, str]) -> bytes:
    return b"".join(encode(rec_type, data.encode()) for rec_type, data in records)


def postdrop(postfix: CleanupSite, data: bytes) -> CommandResult:
    result: CommandResult = postfix.run(postfix.postfix.command(["postdrop"], "alice", data))
    return result


BASE = (("S", "a"), ("R", "b"), ("M", ""), ("N", "text"), ("X", ""), ("E", ""))


def test_postdrop_lets_through_what_users_may_say(site: Site) -> None:
    postfix = site()
    attributes = (("A", "encoding=8bit"), ("A", "client_name=evil"), ("A", "nonsense"))
    assert postdrop(postfix, stream(*attributes, *BASE)).exit == 0
    assert queued(postfix).of("A")[1:2] == ["encoding=8bit"]
    told = [line.split(": ", 1)[1] for line in postfix.log() if line.startswith("postdrop")]
    assert [line.split(": ", 2)[2] for line in told] == [
        "ignoring attribute record: client_name=evil",
        "ignoring malformed record: missing '=' after attribute name: nonsense",
    ]


@pytest.mark.parametrize(
    ("data", "status", "text"),
    [
        (stream(*BASE[:-1]), 0, ""),
        (stream(("L", "x"), *BASE), 1, "unexpected record type: 76"),
        (stream(*BASE)[:-1], 1, "malformed input"),
        (stream(*BASE[1:]), 1, ""),
    ],
)
def test_postdrop_refuses_what_makes_no_sense(
    site: Site, data: bytes, status: int, text: str
) -> None:
    postfix = site()
    result = postdrop(postfix, data)
    assert result.exit == status
    assert text in result.output
    assert postfix.files("incoming") == []


@pytest.mark.parametrize(
    ("data", "warning"),
    [
        (b"garbage", "unexpected or malformed record type"),
        (stream(("T", "1 0"), *BASE[1:]), ": no envelope sender"),
        (stream(("T", "1 0"), *BASE[:-1]), "unexpected or malformed record type -1"),
    ],
)
def test_pickup_drops_damaged_files(site: Site, data: bytes, warning: str) -> None:
    postfix = site()
    postfix.machine.files.write("/var/spool/postfix/maildrop/ABC", data, 0o744, 1000)
    postfix.postfix.master.trigger("pickup", b"W")  # type: ignore[union-attr]
    postfix.world.settle()
    assert any(warning in line for line in postfix.log())
    assert postfix.files("maildrop") == postfix.files("incoming") == []


def test_pickup_keeps_what_cannot_be_taken_now(site: Site) -> None:
    postfix = site("virtual_alias_maps = fail:1\n")
    assert sendmail(postfix, "b@c.test") == (0, "")
    assert len(postfix.files("maildrop")) == 1
    assert postfix.files("incoming") == []


def test_requeued_mail_forgets_its_routing(site: Site) -> None:
    postfix = site()
    owner = postfix.machine.accounts.by_name("postfix")
    assert owner is not None
    data = stream(
        ("C", "1"), ("T", "1767603600 0"), ("L", "smtp:x"), ("S", "a@b.test"), ("O", "o"),
        ("R", "c@d.test"), ("M", ""), ("N", "Subject: x"), ("X", ""), (">", "r@x.test"),
        ("A", "encoding=8bit"), ("E", ""),
    )  # fmt: skip
    postfix.machine.files.write("/var/spool/postfix/maildrop/ABCDEF", data, 0o700, owner.uid)
    postfix.postfix.master.trigger("pickup", b"W")  # type: ignore[union-attr]
    postfix.world.settle()
    result = queued(postfix)
    assert result.of("L", ">") == []
    assert "encoding=8bit" not in result.of("A")
    assert postfix.log()[0] == f"pickup: QID: uid={owner.uid} from=<a@b.test> orig_id=QID"


def test_a_content_filter_is_noted(site: Site) -> None:
    postfix = site("content_filter = smtp:[127.0.0.1]:10025\n")
    assert sendmail(postfix, "b@c.test") == (0, "")
    assert queued(postfix).of("L") == ["smtp:[127.0.0.1]:10025"]
