"""postscreen(8): who is tested, how, and for how long that counts.

What it says to clients, and most of its log, is in ``scenarios/conformance/postscreen``.
"""

from __future__ import annotations

import re

import pytest

from mta.postscreen.smtpd import extract_addr
from mta.postscreen.stamps import parse_stamps, print_stamps
from mta.postscreen.stamps import tests_to_do as expired
from mta.postscreen.state import BARLF, DNSBL, NSMTP, PIPEL, PREGR, TESTS
from mta.system import Inet, Wait
from postlab.lab import Lab

MASTER = """
smtp inet n - n - 1 postscreen
smtpd pass - - n - - smtpd
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
"""
FROM = "198.51.100.7"
PORT = re.compile(r"(\]:)[0-9]+")


def lab(main_cf: str = "", master_cf: str = MASTER) -> Lab:
    return Lab().mta(main_cf, master_cf=master_cf, users=["alice"])


def log_of(world: Lab, program: str = "postscreen") -> list[str]:
    """The lines of a program without tags and ports; those about the cache's cleanup count for
    nothing.
    """
    lines = [str(line).partition(": ") for line in world.log]
    texts = [PORT.sub(r"\1P", text) for tag, _, text in lines if f"/{program}[" in tag]
    return [text for text in texts if not text.startswith("cache ")]


def verdicts(world: Lab) -> list[str]:
    """What was thought of each client, in order."""
    return [line for line in log_of(world) if not line.startswith("CONNECT from")]


def visit(world: Lab, address: str = FROM) -> None:
    world.client(address).say("EHLO c.test", "QUIT")
    world.settle()


# -- memory


def test_a_client_that_passed_is_known_until_its_results_expire() -> None:
    world = lab()  # postscreen_greet_ttl = 1d
    visit(world)
    world.advance("20h")
    visit(world)
    world.advance("5h")
    visit(world)
    assert verdicts(world) == [
        f"PASS NEW [{FROM}]:P",
        f"PASS OLD [{FROM}]:P",
        f"PASS OLD [{FROM}]:P",
    ]
    teasers = [line for line in world.outcome.clients[2].transcript if line.startswith("S: 220")]
    assert teasers[0].startswith("S: 220-")


def test_the_cache_outlives_the_process_and_is_cleaned() -> None:
    world = lab("max_idle = 10s\npostscreen_cache_retention_time = 1d\n")
    visit(world)
    world.advance("3d")
    visit(world)
    cleanups = [str(line).partition(": ")[2] for line in world.log if "full cleanup" in str(line)]
    assert cleanups[0].endswith("retained=0 dropped=0 entries")
    assert "cache btree:/var/lib/postfix/postscreen_cache full cleanup" in cleanups[0]
    assert any(line.endswith("retained=1 dropped=0 entries") for line in cleanups)
    assert any(line.endswith("retained=0 dropped=1 entries") for line in cleanups)
    assert verdicts(world)[-1] == f"PASS NEW [{FROM}]:P"


@pytest.mark.parametrize(
    ("entry", "stamps"),
    [
        ("10;20;30;40;50", (10, 20, 30, 40, 50)),
        ("10;20", (10, 20, 1, 1, 1)),
        ("", (1, 1, 1, 1, 1)),
        ("x;20;;40;50y", (1, 20, 1, 40, 1)),
    ],
)
def test_an_entry_of_the_cache(entry: str, stamps: tuple[int, ...]) -> None:
    assert tuple(parse_stamps(entry)[test] for test in TESTS) == stamps


def test_a_test_that_is_off_and_was_never_passed_says_so_in_the_cache() -> None:
    stamps = dict(zip(TESTS, (100, 0, 0, 300, 0), strict=True))
    assert print_stamps(stamps, PREGR | PIPEL) == "100;1;0;300;1"


def test_only_tests_that_are_on_and_expired_are_made() -> None:
    stamps = dict(zip(TESTS, (100, 200, 300, 400, 500), strict=True))
    assert expired(stamps, PREGR | DNSBL | BARLF, 250) == PREGR | DNSBL
    assert expired(stamps, PIPEL | NSMTP, 300) == 0


# -- waiting


def test_a_client_waits_as_long_as_the_configuration_says() -> None:
    world = lab("postscreen_greet_wait = 9s\n")
    before = world.elapsed
    visit(world)
    assert 9 <= world.elapsed - before < 10


def test_lists_that_do_not_answer_are_not_waited_for() -> None:
    world = lab("postscreen_dnsbl_sites = slow.test\npostscreen_dnsbl_timeout = 3s\n")
    world.dns(faults={f"{'.'.join(reversed(FROM.split('.')))}.slow.test. A": "timeout"})
    visit(world)
    assert log_of(world)[1:] == [
        "warning: dnsblog reply timeout 3s for slow.test",
        f"PASS NEW [{FROM}]:P",
    ]


def crowd(world: Lab, number: int) -> None:
    """So many clients of one address are there at the same time, until they have been greeted."""
    network = world.stage.world.machine(f"host-{FROM}", [FROM]).network

    def client() -> Wait[None]:
        stream = yield network.connect(Inet("192.0.2.25", 25), 30)
        while not (yield stream.read_line(512, 60)).startswith((b"220 ", b"4")):
            pass
        stream.write(b"QUIT\r\n")
        yield stream.flush(10)
        stream.close()

    for each in range(number):
        world.stage.world.start_task(client(), f"client {each}")
    world.stage.world.run_for(60)


def test_many_clients_make_it_nervous() -> None:
    world = lab("default_process_limit = 10\nsmtpd_client_connection_count_limit = 0\n")
    crowd(world, 9)
    lines = [line for line in log_of(world) if "STRESS" in line]
    assert lines == [
        "entering STRESS mode with 9 connections",
        "leaving STRESS mode with 7 connections",
    ]


def test_one_address_cannot_take_all_its_time() -> None:
    world = lab("postscreen_client_connection_count_limit = 2\n")
    crowd(world, 3)
    lines = verdicts(world)
    assert lines[0] == f"NOQUEUE: reject: CONNECT from [{FROM}]:P: too many connections"
    assert sorted(line for line in lines if line.startswith("PASS")) == [
        f"PASS NEW [{FROM}]:P",
        f"PASS OLD [{FROM}]:P",
    ]


# -- mistakes


@pytest.mark.parametrize(
    ("setting", "fatal"),
    [
        ("postscreen_greet_action = foo", "bad postscreen_greet_action value: foo"),
        ("postscreen_dnsbl_sites = a.test*b", 'bad DNSBL weight factor "b" in "a.test*b"'),
        ("postscreen_dnsbl_sites = -a.test", 'bad DNSBL domain name "-a.test" in "-a.test"'),
        (
            "postscreen_dnsbl_sites = a.test=1.2.[",
            'bad DNSBL filter syntax: need decimal number 0..255 at "1.2.[><"',
        ),
        ("postscreen_tls_security_level = foo", 'Invalid TLS level "foo"'),
        ("postscreen_command_time_limit = 5x", "parameter postscreen_command_time_limit"),
    ],
)
def test_a_mistake_in_the_configuration_is_fatal(setting: str, fatal: str) -> None:
    world = lab(setting + "\n")
    world.client(FROM).say("EHLO x")
    world.run(until=5)
    assert any("fatal: " in line and fatal in line for line in log_of(world)), log_of(world)


@pytest.mark.parametrize(
    ("entry", "program", "limit"),
    [
        ("smtp inet n - n - - postscreen", "postscreen", 1),
        ("cleanup unix n - n - 5 cleanup", "cleanup", 0),
        ("anvil unix - - n - 2 anvil", "anvil", 1),
    ],
)
def test_some_programs_need_a_process_limit_of_their_own(
    entry: str, program: str, limit: int
) -> None:
    world = lab(master_cf=entry + "\n")
    world.client(FROM).say("EHLO x", "MAIL FROM:<>", "RCPT TO:<alice@mx.example.org>")
    world.run(until=5)
    service = entry.split()[0]
    assert f"fatal: service {service} requires a process limit of {limit}" in log_of(world, program)


# -- the dialogue


@pytest.mark.parametrize(
    ("argument", "address"),
    [
        ("<a@b>", "a@b"),
        (" <a@b> SIZE=1", "a@b"),
        ("a@b SIZE=1", "a@b"),
        ("<@x,@y:a@b>", "a@b"),
        ('<"a b"@c>', "a b@c"),
        ('<"a>b"@c>', "a>b@c"),
        (r"<a\>b@c>", "a>b@c"),
        ("<a", "a"),
        ("a\\", "a"),
        ("", ""),
    ],
)
def test_addresses_are_logged_without_their_clothes(argument: str, address: str) -> None:
    assert extract_addr(argument) == address
