"""The texts of notifications, built-in and the user's."""

from __future__ import annotations

import pytest

from mta.bounce.templates import Templates
from mta.system import Fatal
from tests.cleanup.cleanup_site import CleanupSite

Site = type[CleanupSite]

FILE = "bounce_template_file = /etc/postfix/bounce.cf\n"


def templates(postfix: CleanupSite) -> Templates:
    return Templates(postfix.postfix.process("bounce"))


def warnings(postfix: CleanupSite) -> list[str]:
    return [line.removeprefix("bounce: ") for line in postfix.log()]


def test_built_in_texts_expand(site: Site) -> None:
    lines = templates(site("delay_warning_time = 4h\n")).expanded()
    assert lines[:2] == [
        "expanded_failure_text = <<EOF", "This is the mail system at host mx.example.org."
    ]  # fmt: skip
    assert "It will be retried until it is 5 day(s) old." in lines


def test_a_user_s_text_takes_the_place(site: Site) -> None:
    text = """
    # comment
failure_template = <<EOF
Charset: utf-8
From: me
Subject: s
Postmaster-Subject: ps

Grüße von $myhostname, $maximal_queue_lifetime_weeks $maximal_queue_lifetime_minutes
EOF
"""
    postfix = site(FILE, {"bounce.cf": text})
    failure = templates(postfix).failure
    assert failure.headers("a@b", True) == ["From: me", "Subject: ps", "To: a@b"]
    assert failure.headers("a@b", False) == ["From: me", "Subject: s", "To: a@b"]
    assert (failure.text.charset, failure.text.encoding) == ("utf-8", "8bit")
    assert failure.expand() == ["Grüße von mx.example.org, 0 7200"]
    path = "/etc/postfix/bounce.cf"
    assert warnings(postfix) == [
        f"warning: {path}: zero result in failure template conversion of parameter "
        '"maximal_queue_lifetime_weeks"',
        'warning: please reduce time unit "weeks" of "maximal_queue_lifetime_weeks" in failure '
        "template",
        "warning: for instructions see the bounce(5) manual",
        f'warning: {path}: excessive result "7200" in failure template conversion of parameter '
        '"maximal_queue_lifetime_minutes"',
        'warning: please increase time unit "minutes" of "maximal_queue_lifetime_minutes" in '
        "failure template",
        "warning: for instructions see the bounce(5) manual",
    ]


@pytest.mark.parametrize(
    ("class_", "text", "warning"),
    [
        ("failure", "Subject:\n\nx", 'empty "Subject" header value in failure template'),
        ("failure", "Subject: ü\n\nx", 'non-ASCII "Subject" header value in failure template'),
        ("failure", "X-Other: y\n\nx", 'unknown "X-Other" header label in failure template'),
        ("verify", "Postmaster-Subject: y\n\nx",
         'inapplicable "Postmaster-Subject" header label in verify template'),
        ("failure", "Subject: y\n\n", "missing message text in failure template"),
    ],
)  # fmt: skip
def test_a_template_with_a_mistake_is_ignored(
    site: Site, class_: str, text: str, warning: str
) -> None:
    postfix = site(FILE, {"bounce.cf": f"{class_}_template = <<E\n{text}\nE\n"})
    found = templates(postfix)
    template = found.failure if class_ == "failure" else found.verify
    assert template.expand()[0] == "This is the mail system at host mx.example.org."
    assert warnings(postfix) == [
        f"warning: /etc/postfix/bounce.cf: {warning} -- ignoring this template"
    ]


def test_8bit_text_needs_a_charset(site: Site) -> None:
    postfix = site(FILE, {"bounce.cf": "failure_template = <<E\n\nü\nE\n"})
    assert templates(postfix).failure.text.encoding == "7bit"
    assert warnings(postfix)[0] == (
        "warning: /etc/postfix/bounce.cf: 8-bit message text in failure template"
    )


@pytest.mark.parametrize(
    ("text", "fatal"),
    [
        ("no equals sign\n", "line 2: missing '=' after attribute name: \"no equals sign\""),
        ("x = <<\n", "line 2: missing end marker after <<"),
        ("x = <<%\n", "line 2: malformed end marker after <<"),
    ],
)
def test_a_file_that_makes_no_sense_is_fatal(site: Site, text: str, fatal: str) -> None:
    postfix = site(FILE, {"bounce.cf": text})
    with pytest.raises(Fatal):
        templates(postfix)
    assert warnings(postfix) == [f"fatal: /etc/postfix/bounce.cf, {fatal}"]


@pytest.mark.parametrize(
    ("line", "fatal"),
    [
        ("$unknown_name", "undefined $name in failure template: $unknown_name"),
        ("${myhostname", "bad $name syntax in failure template: ${myhostname"),
    ],
)
def test_a_name_that_is_not_known_is_fatal(site: Site, line: str, fatal: str) -> None:
    postfix = site(FILE, {"bounce.cf": f"failure_template = <<E\nSubject: s\n\n{line}\nE\n"})
    with pytest.raises(Fatal):
        templates(postfix).failure.expand()
    assert warnings(postfix)[-1] == f"fatal: /etc/postfix/bounce.cf: {fatal}"


def test_unknown_templates_are_named(site: Site) -> None:
    postfix = site(FILE, {"bounce.cf": "strange_template = x\n\nother = <<E\nE\n"})
    templates(postfix)
    path = "/etc/postfix/bounce.cf"
    assert warnings(postfix) == [
        f"warning: {path}, line 2: unknown template name: strange_template -- "
        "ignoring this template",
        f"warning: {path}, line 5: unknown template name: other -- ignoring this template",
    ]
