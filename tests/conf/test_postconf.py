"""postconf(1)."""

from __future__ import annotations

import pytest

from mta.conf.files import MainCf
from mta.conf.host import Host
from mta.conf.postconf import dump_defaults, postconf
from mta.conf.postconf.htable import htable_order

MAIN = "/etc/postfix/main.cf"
MASTER = "/etc/postfix/master.cf"
HOST = Host("mx.example.com")

MAIN_TEXT = """\
# first
smtpd_banner = $mine   says
  # inside
  hello
mine = x${other?y}
other =
unused = 1
"""
MASTER_TEXT = """\
# services
smtp inet n - n - - smtpd
  -o { smtpd_banner = a  b }
  -o mine=$other
relay unix - - n - 5 smtp -v -o smtp_helo_timeout=5
"""


class Texts:
    def __init__(self, main: str = MAIN_TEXT, master: str = MASTER_TEXT) -> None:
        self.texts = {MAIN: main, MASTER: master}

    def read(self, path: str) -> str:
        if path not in self.texts:
            raise FileNotFoundError(2, "No such file or directory", path)
        return self.texts[path]

    def write(self, path: str, text: str) -> None:
        self.texts[path] = text


def show(*arguments: str, main: str = MAIN_TEXT, master: str = MASTER_TEXT) -> str:
    return postconf(arguments, Texts(main, master), HOST).output.decode()


UNUSED = "postconf: warning: /etc/postfix/main.cf: unused parameter: unused=1\n"


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (("myorigin",), "myorigin = $myhostname\n"),
        (("-x", "myorigin"), "myorigin = mx.example.com\n"),
        (("-h", "mine"), "x${other?y}\n"),
        (("-d", "smtpd_banner"), "smtpd_banner = $myhostname ESMTP $mail_name\n"),
        (("-n",), "mine = x${other?y}\nother =\nsmtpd_banner = $mine says hello\n"),
        (("-nx",), "mine = x\nother =\nsmtpd_banner = x says hello\n"),
        (("-xo", "other=1", "smtpd_banner"), "smtpd_banner = xy says hello\n"),
        (("-nC", "user"), "mine = x${other?y}\nother =\n"),
        (("-h", "relay_destination_rate_delay"), "$default_destination_rate_delay\n"),
        (("process_name", "process_id"), "process_name = postconf\nprocess_id = 0\n"),
    ],
)
def test_it_shows_parameters(arguments: tuple[str, ...], output: str) -> None:
    assert show(*arguments) == output + ("" if "-d" in arguments else UNUSED)


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (
            ("-M",),
            "smtp       inet  n       -       n       -       -       smtpd "
            "-o {smtpd_banner=a  b} -o mine=$other\n"
            "relay      unix  -       -       n       -       5       smtp -v "
            "-o smtp_helo_timeout=5\n",
        ),
        (
            ("-Mf", "relay"),
            "relay      unix  -       -       n       -       5       smtp -v\n"
            "    -o smtp_helo_timeout=5\n",
        ),
        (("-F", "relay/unix/process_limit"), "relay/unix/process_limit = 5\n"),
        (
            ("-Fh", "*/*/command"),
            "smtpd -o {smtpd_banner=a  b} -o mine=$other\nsmtp-v -o smtp_helo_timeout=5\n",
        ),  # as it does
        (
            ("-P",),
            "smtp/inet/mine = $other\nsmtp/inet/smtpd_banner = a b\n"
            "relay/unix/smtp_helo_timeout = 5\n",
        ),
        (("-Px", "smtp/inet/mine"), "smtp/inet/mine =\n"),
        (("-P", "no/such"), 'postconf: warning: unmatched request: "no/such"\n'),
    ],
)
def test_it_shows_services(arguments: tuple[str, ...], output: str) -> None:
    assert show(*arguments) == output


@pytest.mark.parametrize(
    ("arguments", "main"),
    [
        (("other=new", "added = 1"), MAIN_TEXT.replace("other =", "other = new") + "added = 1\n"),
        (
            ("-e", "smtpd_banner=z"),
            MAIN_TEXT.replace("$mine   says\n  # inside\n  hello", "z\n  # inside"),
        ),
        (("-X", "mine", "smtpd_banner"), "# first\n  # inside\nother =\nunused = 1\n"),
        (("-#", "smtpd_banner"), MAIN_TEXT.replace("smtpd_", "#smtpd_").replace("  he", "#  he")),
    ],
)
def test_it_changes_main_cf_and_keeps_comments(arguments: tuple[str, ...], main: str) -> None:
    files = Texts()
    result = postconf(arguments, files, HOST)
    assert (result.status, result.output) == (0, b"")
    assert files.texts[MAIN] == main


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        (("-P", "relay/unix/x=1"), "-o smtp_helo_timeout=5 -o x=1"),
        (("-P", "relay/unix/smtp_helo_timeout=6"), "-o smtp_helo_timeout=6"),
        (("-PX", "relay/unix/smtp_helo_timeout"), ""),
        (("-F", "relay/unix/command=lmtp -o a=b"), "-o a=b"),
        (("-M", "relay/unix=relay unix - - n - 5 smtp -o c=d"), "-o c=d"),
    ],
)
def test_it_changes_master_cf(arguments: tuple[str, ...], first: str) -> None:
    files = Texts()
    result = postconf(arguments, files, HOST)
    assert (result.status, result.output) == (0, b"")
    master = files.texts[MASTER]
    assert master.startswith(MASTER_TEXT[: MASTER_TEXT.index("relay")])
    shown = postconf(["-Ph", "relay"], files, HOST).output.decode()
    wanted = [word.partition("=")[2] for word in first.split() if "=" in word]
    if wanted:
        assert sorted(shown.split()) == sorted(wanted)
    else:
        assert shown == 'postconf: warning: unmatched request: "relay"\n'


def test_it_takes_away_and_comments_out_services() -> None:
    files = Texts()
    postconf(["-M#", "smtp/inet"], files, HOST)
    assert files.texts[MASTER].splitlines()[1:4] == [
        "#smtp inet n - n - - smtpd",
        "#  -o { smtpd_banner = a  b }",
        "#  -o mine=$other",
    ]
    postconf(["-MX", "*/unix"], files, HOST)
    assert "relay" not in files.texts[MASTER]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("-nd",), "specify one of -d -n"),
        (("-ma",), "specify one of -a -m"),
        (("-mn",), "with option -m, do not specify -n"),
        (("-e",), "-e requires name=value argument"),
        (("-X",), "missing service argument"),
        (("-C", "x"), 'unknown -C option value "x" in "x"'),
        (("-e", "x"), "missing '=' after attribute name: \"x\""),
        (("-X", "x="), "specify one of -e -X"),
        (("-M", "a/b/c"), "-M option requires service_name[/type]"),
        (("-F", "a/b/c"), 'invalid service attribute name: "c"'),
        (("-F", "smtp/inet/chroot=x"), 'invalid chroot field "x" in "x"'),
        (("-P", "a/b/*=1"), "-Pe does not accept wild-card parameter name"),
        (("-c", "/nowhere", "-n"), "open /nowhere/main.cf: No such file or directory"),
    ],
)
def test_it_ends_with_a_fatal_error(arguments: tuple[str, ...], text: str) -> None:
    result = postconf(arguments, Texts(), HOST)
    assert (result.status, result.output.decode()) == (1, f"postconf: fatal: {text}\n")


def test_it_warns_of_what_nothing_defines_or_uses() -> None:
    main = "myorigin = $nowhere\nprocess_name = x\nldap1_scope = sub\nldap2_scope = sub\n"
    main += "alias_maps = ldap:ldap1\nsmtpd_restriction_classes = mine\nmine = reject\n"
    output = show("-h", "mine", "nosuch", main=main, master="")
    head = "postconf: warning: /etc/postfix/main.cf: "
    assert sorted(output.splitlines()) == sorted(
        [
            head + "read-only parameter assignment: process_name=x",
            head + "undefined parameter: nowhere",
            head + "unused parameter: ldap2_scope=sub",
            "postconf: warning: nosuch: unknown parameter",
            "reject",
        ]
    )


def test_it_warns_of_a_setting_given_twice() -> None:
    output = show("-h", "myorigin", main="myorigin = a\nmyorigin = b\n", master="")
    assert output == (
        "postconf: warning: /etc/postfix/main.cf, line 2: overriding earlier entry: myorigin=a\nb\n"
    )


def test_output_is_held_back_until_there_is_much_of_it() -> None:
    assert show("-h", "nosuch", "myorigin", main="", master="").splitlines() == [
        "postconf: warning: nosuch: unknown parameter",
        "$myhostname",
    ]
    output = show("-d", "-h", *["myhostname"] * 300, "nosuch")
    assert output.index("nosuch") == 4096 + len("postconf: warning: ")


def test_long_lines_are_folded_on_request() -> None:
    long = " ".join(["word"] * 30)
    folded = show("-fh", "myorigin", main=f"myorigin = {long}\n", master="")
    assert max(map(len, folded.splitlines())) <= 80
    assert folded.splitlines()[1].startswith("    word")
    assert folded.split() == long.split()


def test_the_templates_of_bounce_come_from_their_owner() -> None:
    asked: list[tuple[bool, str, dict[str, str]]] = []

    def templates(expand: bool, main: MainCf, overrides: dict[str, str]) -> tuple[int, str]:
        asked.append((expand, main.values["unused"], overrides))
        return 3, "text\n"

    result = postconf(["-b", "/x"], Texts(), HOST, templates=templates)
    assert (result.status, result.output) == (3, b"text\n")
    assert asked == [(True, "1", {"bounce_template_file": "/x", "queue_directory": "."})]
    assert show("-t").startswith("postconf: fatal: ")


def test_a_hash_table_lists_its_members_in_the_order_of_postfix() -> None:
    assert htable_order(["foo", "bar", "baz"]) == ["bar", "baz", "foo"]
    many = [f"name{number}" for number in range(40)]
    assert sorted(htable_order(many)) == sorted(many)
    assert htable_order(many) != htable_order(reversed(many))


def test_all_defaults_are_860_and_more_with_other_transports() -> None:
    stock = "".join(
        f"{name} unix - - n - - {program}\n"
        for name, program in {
            "smtp": "smtp", "relay": "smtp", "error": "error", "retry": "error", "local": "local",
            "virtual": "virtual", "lmtp": "lmtp",
        }.items()
    )  # fmt: skip
    assert len(dump_defaults(HOST, stock)) == 860
    more = dump_defaults(HOST, stock + "mine unix - - n - - pipe\nits unix - - n - - spawn\n")
    assert len(more) == 860 + 16 + 1
    assert more["mine_time_limit"] == "$command_time_limit"


@pytest.mark.parametrize(
    ("main", "wanted", "shown"),
    [
        ("myhostname = $mydomain\n", "mydomain", "mydomain = localdomain\n"),
        ("myhostname = a.$mydomain\n", "mydomain", "mydomain =\n"),
        ("mydomain = $myhostname\n", "myhostname", "myhostname = mx.example.com\n"),
        (
            "inet_protocols = $$ more\n",
            "mynetworks",
            'unknown inet_protocols value "$" in "$ more"',
        ),
        ("mynetworks_style = $nothing\n", "mynetworks", "bad mynetworks_style value: ; specify"),
        ("myhostname = $a\na = $myorigin\n", "myorigin", "fatal: macro processing error"),
    ],
)
def test_defaults_that_hang_on_each_other(main: str, wanted: str, shown: str) -> None:
    assert shown in show("-x", wanted, main=main)


def test_a_fatal_error_comes_instead_of_what_was_held_back() -> None:
    text = show("-x", "myorigin", "a", main="a = $b\nb = $a\n")
    assert "myorigin" not in text
    assert text.endswith("fatal: macro processing error\n")


def test_the_first_argument_of_a_command_loses_its_braces() -> None:
    shown = show("-M", master="x unix - n n - - pipe {a b} {c d}\n")
    assert shown.rstrip().endswith("pipe a b {c d}")


def test_verbose_says_what_makes_a_setting_known() -> None:
    lines = show("-v", "mine").splitlines()
    assert "postconf: $mine in main.cf validates mine=value in main.cf" in lines
    assert "postconf: $mine in main.cf validates mine=value in master.cf:smtp/inet" in lines
    assert "postconf: mynetworks_core: 127.0.0.0/8 [::1]/128 " in lines
