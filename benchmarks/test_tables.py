"""What configuration and lookup tables cost: a daemon's view, and lookups in large tables."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from mta.conf.conf import PARAMETERS, Conf
from mta.conf.host import Host
from mta.conf.loads import LOADS
from mta.conf.main_cf import MainCf, parse_main_cf
from mta.dict.flags import ADDRESS_FLAGS
from mta.dict.registry import Dict, open_table
from mta.system import Wait
from postlab.folder import ConfigFolder
from postlab.tools import ToolMachine

#: A ``main.cf`` of middling size.
MAIN = """\
compatibility_level = 2
myhostname = mail.example.org
mydomain = example.org
myorigin = $mydomain
mydestination = $myhostname, localhost.$mydomain, localhost, $mydomain
mynetworks = 127.0.0.0/8, 192.0.2.0/24
relay_domains = $mydestination
virtual_alias_maps = hash:$config_directory/virtual
smtpd_banner = $myhostname ESMTP $mail_name
smtpd_helo_required = yes
smtpd_timeout = ${stress?{10}:{300}}s
smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination
message_size_limit = 20480000
recipient_delimiter = +
"""

LOOKUPS = 1000


def machine(files: dict[str, str]) -> ToolMachine:
    """A machine with an empty ``main.cf`` and some tables."""
    folder = ConfigFolder(Path("/etc/postfix"), "/etc/postfix")
    folder.files = {name: text.encode() for name, text in {"main.cf": "", **files}.items()}
    return ToolMachine(folder, lambda stream, data: pytest.fail(data.decode()))


# -- the view of a daemon


def view(main: MainCf, names: list[str], host: Host) -> Conf:
    """What a process does that reads so many parameters."""
    conf = Conf(main, program="smtpd", host=host, overrides={"smtpd_timeout": "30"})
    for name in names:
        getattr(conf, name)
    return conf


def test_view_of_150_parameters(benchmark: BenchmarkFixture) -> None:
    main, host = parse_main_cf(MAIN), Host("mail.example.org")
    names = [PARAMETERS[name].attribute for name in (*LOADS["common"], *LOADS["smtpd"])][:150]
    conf = benchmark(view, main, names, host)
    assert conf.smtpd_timeout == 30
    assert benchmark.stats["median"] < 0.001


def test_start_of_smtpd(benchmark: BenchmarkFixture) -> None:
    """All that smtpd(8) loads, as a process does it at its start."""
    main, host = parse_main_cf(MAIN), Host("mail.example.org")

    def start() -> None:
        Conf(main, program="smtpd", host=host).check_set()

    benchmark(start)
    benchmark.extra_info["parameters"] = len(LOADS["common"]) + len(LOADS["smtpd"])
    assert benchmark.stats["median"] < 0.005


# -- lookups


def networks(count: int) -> tuple[str, list[str]]:
    """A cidr_table(5) of /24 networks, and addresses in and outside of it."""
    chance = random.Random(count)
    rules = [f"10.{n >> 8}.{n & 255}.0/24 REJECT net {n}" for n in range(count)]
    inside = [f"10.{n >> 8}.{n & 255}.7" for n in chance.choices(range(count), k=LOOKUPS // 2)]
    outside = [f"192.0.{n % 250}.1" for n in range(LOOKUPS // 2)]
    return "\n".join(rules) + "\n", inside + outside


def patterns(count: int) -> tuple[str, list[str]]:
    """A pcre_table(5) of names of hosts, and names that it has and has not."""
    chance = random.Random(count)
    rules = [f"/^(host{n})\\.example\\.(com|net)$/ REJECT $1" for n in range(count)]
    inside = [f"host{n}.example.net" for n in chance.choices(range(count), k=LOOKUPS // 2)]
    outside = [f"other{n}.example.net" for n in range(LOOKUPS // 2)]
    return "\n".join(rules) + "\n", inside + outside


def ask(table: Dict, keys: list[str]) -> Wait[int]:
    """Looks keys up; how many were found."""
    found = 0
    for key in keys:
        found += (yield from table.lookup(key)) is not None
    return found


def measured(benchmark: BenchmarkFixture, kind: str, text: str, keys: list[str]) -> float:
    """Seconds for a lookup."""
    tools = machine({"table": text})
    process: Any = tools.process("smtpd")
    table = open_table(process, f"{kind}:/etc/postfix/table", 0, ADDRESS_FLAGS)
    assert tools.run(ask(table, keys)) == LOOKUPS // 2
    benchmark.pedantic(lambda: tools.run(ask(table, keys)), rounds=5, warmup_rounds=1)
    cost = float(benchmark.stats["median"]) / LOOKUPS
    benchmark.extra_info["microseconds per lookup"] = round(cost * 1e6, 2)
    return cost


@pytest.mark.parametrize("count", [100, 1000, 10_000])
def test_cidr_lookups(benchmark: BenchmarkFixture, count: int) -> None:
    """Their cost should hardly grow with the table."""
    assert measured(benchmark, "cidr", *networks(count)) < 100e-6


@pytest.mark.parametrize("count", [10, 100, 1000])
def test_pcre_lookups(benchmark: BenchmarkFixture, count: int) -> None:
    """Their cost grows with the rules, which are tried in turn."""
    assert measured(benchmark, "pcre", *patterns(count)) < 20e-6 + count * 3e-6


@pytest.mark.parametrize("count", [100, 10_000])
def test_hash_lookups(benchmark: BenchmarkFixture, count: int) -> None:
    """Their cost should not grow at all."""
    text = "".join(f"user{n}@example.org box{n}\n" for n in range(count))
    chance = random.Random(count)
    keys = [f"user{n}@example.org" for n in chance.choices(range(count), k=LOOKUPS // 2)]
    keys += [f"nobody{n}@example.org" for n in range(LOOKUPS // 2)]
    assert measured(benchmark, "texthash", text, keys) < 50e-6
