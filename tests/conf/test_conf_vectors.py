"""Postfix's own test data for macros, names and versions, where they are at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mta.conf.version import parse_mail_version
from mta.util.host_port import HostPortError, host_port
from mta.util.mac_expand import MacError, mac_expand
from mta.util.name_mask import Unknown, name_mask, str_name_mask
from mta.util.valid_hostname import valid_hostaddr, valid_hostname

DATA = Path(__file__).resolve().parents[3] / "shared" / "postfix-3.0" / "tests"

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="Postfix's test data are not at hand")


def lines(name: str, file: str) -> list[str]:
    return (DATA / name / file).read_text().split("\n")[:-1]


def warning(text: str) -> str:
    return f"unknown: warning: {text}"


def run_mac_expand(source: list[str]) -> list[str]:
    out: list[str] = []
    rest = iter(source)
    while True:
        table: dict[str, str | None] = {}
        for line in rest:
            out.append(f"<< {line}")
            if not line:
                break
            words = line.replace("=", " ").split()
            table[words[0]] = words[1] if len(words) > 1 else None
        else:
            return out[:-1]
        for line in rest:
            out.append(f"<< {line}")
            if not line:
                break
            try:
                text, undefined = mac_expand(line, table.get)
                out.append(f"stat={2 * undefined} result={text}")
            except MacError as error:
                out += map(warning, error.warnings)
                out.append(f"stat={1 + 2 * error.args[3]} result={error.args[2]}")
        out.append("")


def test_expressions_expand_as_in_postfix() -> None:
    name = "config-macro/mac_expand_test"
    got = run_mac_expand(lines(name, "mac_expand.in"))
    assert got == lines(name, "expected")


@pytest.mark.parametrize("number", [0, 1, 3, 5, 7, 9])
def test_sets_of_names_read_and_print_as_in_postfix(number: int) -> None:
    name = f"config-macro/name_mask_test{number}"
    words = (DATA / name / "cmd").read_text().split()
    table = {"zero": 1, "one": 2, "two": 4, "three": 8}
    out: list[str] = []

    def options(text: str) -> tuple[Unknown, bool, str]:
        unknown = [Unknown[n] for n in ("WARN", "IGNORE", "RETURN") if n in text.split(",")]
        return (
            unknown[0] if unknown else Unknown.IGNORE,
            "NUMBER" in text,
            "|" if "PIPE" in text else "," if "COMMA" in text else " ",
        )

    def warn(text: str) -> None:
        if "2>/dev/null" not in words:
            out.append(warning(text))

    how, numbers, _ = options(words[1])
    how_out, numbers_out, separator = options(words[2])
    for line in lines(name, "name_mask.in"):
        mask = name_mask("name", table, line, unknown=how, numbers=numbers, warn=warn)
        text = str_name_mask(
            "mask",
            table,
            mask,
            unknown=how_out,
            numbers=numbers_out,
            separator=separator,
            warn=warn,
        )
        out.append(f"{line} -> 0x{mask:x} -> {'(null)' if text is None else text}")
    assert out == lines(name, "expected")


def test_versions_parse_as_in_postfix() -> None:
    name = "config-macro/mail_version_test"
    out: list[str] = []
    for line in lines(name, "mail_version.in"):
        out.append(f"> {line}")
        if not line or line.startswith("#"):
            continue
        try:
            found = parse_mail_version(line)
        except ValueError as error:
            out.append(f"ERROR: {line}: {error}")
            continue
        tail = f"snapshot: {found.snapshot}" if found.patch is None else f"patch: {found.patch}"
        out.append(f"program: {found.program}\tmajor: {found.major}\tminor: {found.minor}\t{tail}")
    assert out == lines(name, "expected")


def test_host_and_port_split_as_in_postfix() -> None:
    name = "hostname-ip/host_port_test"
    out: list[str] = []
    for line in lines(name, "host_port.in"):
        out.append(f">> {line}")
        if line.startswith("#"):
            continue
        try:
            host, port = host_port(line, None, "default-service")
        except HostPortError as error:
            out.append(warning(f"{error} in {line}"))
        else:
            out.append(f"host {host} port {port}")
    assert out == lines(name, "expected")


def test_host_names_and_addresses_are_judged_as_in_postfix() -> None:
    name = "hostname-ip/valid_hostname_test"
    out: list[str] = []
    checks: list[Callable[[str], object]] = [valid_hostname, valid_hostaddr]
    for line in lines(name, "valid_hostname.in"):
        out.append(f'valid_hostname: testing: "{line}"')
        out += [f"valid_hostname: warning: {v.reason}" for v in (f(line) for f in checks) if not v]  # type: ignore[attr-defined]
    assert out == lines(name, "expected")
