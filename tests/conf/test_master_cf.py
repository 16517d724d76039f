"""The entries of master.cf."""

from __future__ import annotations

import pytest

from mta.conf.conf import Conf
from mta.conf.files import MasterCf, parse_master_cf
from mta.conf.host import Host
from mta.system import Interface

HOST = Host(
    "mx.example.com", (Interface("127.0.0.1", 8), Interface("192.0.2.1", 24), Interface("::1", 128))
)


def parse(text: str, **settings: str) -> MasterCf:
    conf = Conf({"compatibility_level": "2", **settings}, program="master", host=HOST)
    return parse_master_cf(text, conf, "master.cf")


def test_an_entry_has_its_fields_and_their_defaults() -> None:
    entry = parse("\n# c\nfoo unix - - - - - smtp\n").entries[0]
    assert (entry.name, entry.type, entry.line) == ("foo", "unix", 3)
    assert (entry.private, entry.unprivileged, entry.chroot) == (True, True, False)
    assert (entry.wakeup, entry.wakeup_conditional, entry.max_proc) == (0, False, 100)
    assert (entry.program, entry.args, entry.path) == ("smtp", [], "private/foo")
    assert entry.local_only
    assert not entry.stressable


def test_fields_are_taken_as_written() -> None:
    entry = parse("foo fifo n n y 60? 0 qmgr\n").entries[0]
    assert (entry.private, entry.unprivileged, entry.chroot) == (False, False, True)
    assert (entry.wakeup, entry.wakeup_conditional, entry.max_proc) == (60, True, 0)
    assert entry.path == "public/foo"
    assert parse("foo unix n - n 60 1 qmgr\n").entries[0].wakeup_conditional is False


def test_arguments_are_options_overrides_and_the_rest() -> None:
    text = """\
x unix - n n - - pipe -v -Dv
  -o a=1 -ob=2 -o { c = 3  4 } -o a=5
  # comment
  flags=R user={u v} argv=/bin/x -o {y z}
"""
    entry = parse(text).entries[0]
    assert entry.overrides == {"b": "2", "c": "3  4", "a": "5"}
    assert (entry.verbose, entry.debug) == (2, True)
    assert entry.rest == ["flags=R", "user={u v}", "argv=/bin/x", "-o", "y z"]
    assert entry.error is None


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("-o x", "invalid \"-o x\" option value: missing '=' after attribute name"),
        ("-o", "invalid option: ?"),
        ("-q", "invalid option: ?"),
    ],
)
def test_bad_options_are_the_fatal_error_of_the_program(arguments: str, error: str) -> None:
    master = parse(f"x unix - - n - - smtp {arguments}\n")
    assert master.error is None
    assert master.entries[0].error == error


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("foo", 'missing "transport type" field'),
        ("foo unix", 'missing "private" field'),
        ("foo unix - - n", 'missing "wakeup_time" field'),
        ("foo - - - n - - smtp", 'field "transport type" has no default value'),
        ("foo unix - - n - - -", 'field "command" has no default value'),
        ("foo bad - - n - - smtp", "bad transport type: bad"),
        ("foo unix Y - n - - smtp", 'field "private": bad value: "Y"'),
        ("foo unix - x n - - smtp", 'field "unprivileged": bad value: "x"'),
        ("foo unix - - x - - smtp", 'field "chroot": bad value: "x"'),
        ("foo unix - - n x - smtp", 'field "wakeup_time": bad value: "x"'),
        ("foo unix - - n - -5 smtp", 'field "max_proc": bad value: "-5"'),
        ("foo inet - - n - - smtpd", "inet service cannot be private"),
        ("[::1:25 inet n - n - - smtpd", 'missing "]" in "[::1:25"'),
        ("12x inet n - n - - smtpd", 'garbage after numerical service in "12x"'),
        (
            "no.such.test:25 inet n - n - - smtpd",
            "bad hostname or network address: no.such.test:25",
        ),
        ("foo unix - - n - - smtp {a b", "missing '}' in \"{a b\""),
        ("foo unix - - n - - smtp {a b}c", "syntax error after '}' in \"{a b}c\""),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(line: str, error: str) -> None:
    master = parse(f"ok unix - - n - - smtp\n\n{line}\n")
    assert master.error == f"master.cf: line 3: {error}"
    assert [entry.name for entry in master.entries] == ["ok"]


@pytest.mark.parametrize(
    ("name", "settings", "addresses", "local"),
    [
        ("smtp", {}, ("",), False),
        ("25", {"inet_interfaces": "loopback-only"}, ("127.0.0.1", "::1"), True),
        ("25", {"inet_interfaces": "192.0.2.1"}, ("192.0.2.1",), False),
        ("127.0.0.1:25", {}, ("127.0.0.1",), True),
        ("localhost:25", {"inet_protocols": "ipv4"}, ("127.0.0.1",), True),
        ("[::1]:25", {}, ("::1",), True),
    ],
)
def test_an_inet_service_listens_where_its_name_or_inet_interfaces_says(
    name: str, settings: dict[str, str], addresses: tuple[str, ...], local: bool
) -> None:
    entry = parse(f"{name} inet n - n - - smtpd\n", **settings).entries[0]
    assert (entry.addresses, entry.local_only) == (addresses, local)
    assert entry.stressable is not local
    assert entry.process_overrides(True) == ({} if local else {"stress": "yes"})


def test_disabled_services_are_left_out_unread() -> None:
    text = "smtp inet\nfoo unix\nbar unix - - n - - smtp\n"
    master = parse(text, master_service_disable="inet, foo/unix")
    assert [entry.name for entry in master.entries] == ["bar"]
    assert master.error is None
    assert master.find("bar") is master.entries[0]


def test_without_network_protocols_there_are_no_inet_services() -> None:
    master = parse("smtp inet n - n - - smtpd\n", inet_protocols="")
    assert master.entries == []
    assert master.log == [
        ("warning", "all network protocols are disabled (inet_protocols = )"),
        ("warning", 'disabling all type "inet" services in master.cf'),
    ]


def test_the_old_default_of_chroot_is_logged() -> None:
    text = "a unix - - - - - smtp\nb unix - - n - - smtp\n"
    master = parse(text, compatibility_level="0")
    assert [entry.chroot for entry in master.entries] == [True, False]
    assert master.log == [
        ("info", "master.cf: line 1: using backwards-compatible default setting chroot=y")
    ]
