"""postconf(1) on a machine: its files, and the templates of bounce(8)."""

from __future__ import annotations

from postlab.lab import Lab

TEMPLATES = """\
failure_template = <<END
Charset: us-ascii
From: mailer
Subject: No

From $myhostname.
END
"""


def test_it_reads_and_changes_the_files_of_the_machine() -> None:
    lab = Lab().mta("compatibility_level = 2\nmine = 1\nmyorigin = $mine\n")
    assert lab.command("postconf -x myorigin").output == "myorigin = 1\n"
    assert lab.command("postconf -e mine=2").exit == 0
    assert lab.command("postconf -h mine").output == "2\n"
    assert lab.command("postconf -F smtp/inet/command").output == "smtp/inet/command = smtpd\n"
    assert lab.command("postconf -c /nowhere -n").exit == 1
    assert "hash" in lab.command("postconf -m").output.split()


def test_it_shows_the_templates_of_bounce() -> None:
    lab = Lab().mta("", files={"t": TEMPLATES})
    shown = lab.command("postconf -b /etc/postfix/t")
    assert shown.exit == 0
    assert "From mx.example.org.\n" in shown.output
    assert "From: mailer\nSubject: No\n" in lab.command("postconf -t /etc/postfix/t").output
    assert lab.command("postconf -t /nowhere").exit == 1
