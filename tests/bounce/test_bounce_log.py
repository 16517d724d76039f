"""The logfiles of bounce(8), defer(8) and trace(8)."""

from __future__ import annotations

import pytest

from mta.lib.bounce_log import bounce_log_read, format_entry, parse_entries
from mta.lib.recipient import Recipient
from mta.lib.requests import BOUNCE_FLAG_CLEAN, BOUNCE_FLAG_NONE, AppendRequest
from mta.wire.dsn import Dsn
from tests.cleanup.cleanup_site import CleanupSite

Site = type[CleanupSite]

FULL = Recipient("a b@c.test", "orig@c.test", "rfc822;o@c.test", 6, 123)
DSN = Dsn("5.1.1", "no such user", "failed", "smtp", "550 no", "dns", "mx.c.test")
TEXT = """
<"a b"@c.test>: no such user
recipient="a b"@c.test
original_recipient=orig@c.test
offset=123
dsn_orig_rcpt=rfc822;o@c.test
notify_flags=6
status=5.1.1
action=failed
diag_type=smtp
diag_text=550 no
mta_type=dns
mta_mname=mx.c.test
reason=no such user

"""


def test_an_entry_has_all_that_is_known() -> None:
    assert format_entry(FULL, DSN, True).decode() == TEXT


@pytest.mark.parametrize(
    ("recipient", "dsn", "lines"),
    [
        (Recipient(""), Dsn("4.0.0", "r"), ["recipient=<>", "status=4.0.0", "reason=r"]),
        (Recipient("A@b", "a@B"), Dsn("", "r"), ["recipient=A@b", "reason=r"]),
        (Recipient("a@b"), Dsn("", "r", "", "smtp", "", "dns"), ["recipient=a@b", "reason=r"]),
    ],
)
def test_what_is_unknown_is_left_out(recipient: Recipient, dsn: Dsn, lines: list[str]) -> None:
    assert format_entry(recipient, dsn, False).decode().split("\n") == ["", *lines, "", ""]


def test_what_is_written_can_be_read(site: Site) -> None:
    postfix = site()

    def append(service: str, recipient: Recipient, dsn: Dsn) -> bool:
        request = AppendRequest(BOUNCE_FLAG_NONE, "ABCDEF1", recipient, "relay", dsn)
        return bool(postfix.run(postfix.process.call(service, request)))

    assert append("defer", FULL, DSN)
    assert append("defer", Recipient("x@y.test\n"), Dsn("4.2.2", "tab\there"))
    assert postfix.files("defer") == ["A"]
    assert postfix.files("defer/A") == ["ABCDEF1"]
    entries = bounce_log_read(postfix.process, "defer", "ABCDEF1")
    assert entries is not None
    quoted = Recipient('"a b"@c.test', "orig@c.test", "rfc822;o@c.test", 6, 123)
    assert entries[0] == (quoted, DSN)
    assert entries[1].recipient.address == '"x@y.test?"'[1:-1]
    assert entries[1].dsn.reason == "tab?here"
    assert bounce_log_read(postfix.process, "bounce", "ABCDEF1") is None


@pytest.mark.parametrize(
    ("text", "delayed", "address", "status", "reason", "warnings"),
    [
        ("<a@b>:  old style\n\n", True, "a@b", "4.0.0", "old style", []),
        ("<>: x\n\n", False, "(MAILER-DAEMON)", "5.0.0", "x", []),
        ("status=5.1.1\n\n", False, "(recipient address unavailable)", "5.1.1",
         "(description unavailable)", []),
        ("recipient=a@b\nfoo=bar\nnovalue\n?x\n\n", False, "a@b", "5.0.0",
         "(description unavailable)",
         ["defer/X: unknown attribute name: foo, ignored",
          "defer/X: malformed record: missing '=' after attribute name",
          "defer/X: malformed record: ?x..."]),
    ],
)  # fmt: skip
def test_old_and_broken_entries_are_understood(
    site: Site, text: str, delayed: bool, address: str, status: str, reason: str,
    warnings: list[str],
) -> None:  # fmt: skip
    postfix = site()
    entry = parse_entries(postfix.process, "defer/X", text.encode(), delayed)[0]
    assert (entry.recipient.address, entry.dsn.status) == (address, status)
    assert entry.dsn.reason == reason
    assert [line.removeprefix("smtpd: warning: ") for line in postfix.log()] == warnings


@pytest.mark.parametrize("clean", [True, False])
def test_a_client_can_have_a_failed_logfile_removed(site: Site, clean: bool) -> None:
    postfix = site()
    flags = BOUNCE_FLAG_CLEAN if clean else BOUNCE_FLAG_NONE
    good = AppendRequest(BOUNCE_FLAG_NONE, "ABCDEF1", FULL, "relay", DSN)
    assert postfix.run(postfix.process.call("bounce", good))
    postfix.machine.files.write("/var/spool/postfix/bounce/ABCDEF2", b"\n")
    bad = AppendRequest(flags, "ABC/../DEF", FULL, "relay", DSN)
    assert not postfix.run(postfix.process.call("bounce", bad))
    assert postfix.log() == ["bounce: warning: malformed queue id: ABC/../DEF"]
    assert postfix.files("bounce") == ["ABCDEF1", "ABCDEF2"]
