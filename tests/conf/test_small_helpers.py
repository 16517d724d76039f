"""Numbers, times, lists, host names, ports and sets of names."""

from __future__ import annotations

import pytest

from mta.util.host_port import HostPortError, host_port
from mta.util.match_service import ServicePatterns
from mta.util.name_mask import (
    NameMaskError,
    Unknown,
    name_mask,
    name_mask_or_none,
    str_name_mask,
)
from mta.util.scalars import (
    conv_time,
    extract_parens,
    parse_int,
    parse_long,
    split_at_commas,
    split_name_value,
    split_parameter,
    split_quoted,
)
from mta.util.valid_hostname import (
    mailhost_addr,
    valid_hostaddr,
    valid_hostname,
    valid_hostport,
    valid_mailhost_literal,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0), ("-1", -1), (" 7", 7), ("+7", 7), ("2147483647", 2**31 - 1),
        ("2147483648", None), ("", None), ("7 ", None), ("x", None), ("7k", None),
    ],
)  # fmt: skip
def test_a_whole_text_is_a_number_or_none(text: str, number: int | None) -> None:
    assert parse_int(text) == number


def test_long_numbers_have_64_bits() -> None:
    assert parse_long("9223372036854775807") == 2**63 - 1
    assert parse_long("9223372036854775808") is None


@pytest.mark.parametrize(
    ("text", "unit", "seconds"),
    [
        ("5", "s", 5), ("5", "h", 18000), ("5m", "s", 300), ("1d", "s", 86400),
        ("2w", "s", 1209600), ("m", "s", 0), ("0", "s", 0), ("-1", "s", None),
        ("5x", "s", None), ("5 m", "s", None), ("", "s", None), ("99999w", "s", None),
        ("2147483647", "s", 2147483647), ("2147483648", "s", None),
    ],
)  # fmt: skip
def test_times_are_numbers_with_a_unit(text: str, unit: str, seconds: int | None) -> None:
    assert conv_time(text, unit) == seconds


def test_lists_are_split_at_commas_and_blanks_but_not_in_braces() -> None:
    assert split_at_commas(" a,b\tc\r\n,,d ") == ["a", "b", "c", "d"]
    assert split_quoted("a {b, c} d{e f} }g") == ["a", "{b, c}", "d{e f}", "}g"]
    assert split_quoted("a {b c") == ["a", "{b c"]
    assert split_parameter("name", "a { b c } d") == ["a", "b c", "d"]
    with pytest.raises(ValueError, match=r"name: missing '}' in \"{b c\""):
        split_parameter("name", "a {b c")


def test_text_after_a_brace_is_an_error_and_left_out() -> None:
    assert extract_parens("{ a } b") == ("a", "syntax error after '}' in \"{ a } b\"")
    assert extract_parens("{ a", strip=False) == (" a", "missing '}' in \"{ a\"")
    assert extract_parens("{{a} b}") == ("{a} b", None)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("a = b c ", ("a", "b c")),
        ("a=", ("a", "")),
        ("=b", ("", "b")),
        (" a\t=\t=b", ("a", "=b")),
        ("a b = c", "missing '=' after attribute name"),
        ("a", "missing '=' after attribute name"),
        (" ", "missing attribute name"),
    ],
)
def test_a_setting_is_a_name_and_a_value(text: str, result: tuple[str, str] | str) -> None:
    assert split_name_value(text) == result


LABEL = "a" * 63


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mail.example.com", ""),
        ("a_b.c-d", ""),
        (LABEL, ""),
        ("", "empty hostname"),
        (LABEL + "a", "hostname label too long: " + LABEL + "a"),
        (".a", "misplaced delimiter: .a"),
        ("a.", "misplaced delimiter: a."),
        ("a..b", "misplaced delimiter: a..b"),
        ("-a", "misplaced hyphen: -a"),
        ("a-.b", "misplaced hyphen: a-.b"),
        ("a b", "invalid character 32(decimal): a b"),
        ("\u00e9", "invalid character 195(decimal): \u00e9"),
        ("1.2", "numeric hostname: 1.2"),
        ("a." * 128 + "b", "bad length 257 for " + "a." * 50 + "..."),
    ],
)
def test_host_names_are_judged(name: str, reason: str) -> None:
    verdict = valid_hostname(name)
    assert bool(verdict) is (reason == "")
    assert verdict.reason == (f"valid_hostname: {reason}" if reason else "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1.2.3.4", ""),
        ("0.0.0.0", ""),
        ("0.1.2.3", "valid_ipv4_hostaddr: bad initial octet value: 0.1.2.3"),
        ("1.2.3.256", "valid_ipv4_hostaddr: invalid octet value: 1.2.3.256"),
        ("1.2.3", "valid_ipv4_hostaddr: invalid octet count: 1.2.3"),
        ("1.2.3.", "valid_ipv4_hostaddr: misplaced dot: 1.2.3."),
        ("1.2.3.a", "valid_ipv4_hostaddr: invalid character 97(decimal): 1.2.3.a"),
        ("", "valid_hostaddr: empty address"),
        ("::", ""),
        ("::1", ""),
        ("1::", ""),
        ("1:2:3:4:5:6:7:8", ""),
        ("::ffff:1.2.3.4", ""),
        ("1:2", "valid_ipv6_hostaddr: too few `:' in IPv6 address: 1:2"),
        ("1:2:", "valid_ipv6_hostaddr: bad null last field in IPv6 address: 1:2:"),
        (":1:2", "valid_ipv6_hostaddr: bad null first field in IPv6 address: :1:2"),
        ("1::2::3", "valid_ipv6_hostaddr: too many `::' in IPv6 address: 1::2::3"),
        (
            "1:2:3:4:5:6:7:8:9",
            "valid_ipv6_hostaddr: too many `:' in IPv6 address: 1:2:3:4:5:6:7:8:9",
        ),
        ("12345::", "valid_ipv6_hostaddr: malformed IPv6 address: 12345::"),
        ("1::g", "valid_ipv6_hostaddr: invalid character 103(decimal) in IPv6 address: 1::g"),
        ("1:2.3", "valid_ipv6_hostaddr: malformed IPv4-in-IPv6 address: 1:2.3"),
    ],
)
def test_addresses_are_judged(text: str, reason: str) -> None:
    verdict = valid_hostaddr(text)
    assert (bool(verdict), verdict.reason) == (reason == "", reason)


def test_address_literals_name_the_version_of_ipv6_alone() -> None:
    assert mailhost_addr("1.2.3.4") == "1.2.3.4"
    assert mailhost_addr("ipv6:::1") == "::1"
    assert mailhost_addr("::1") is None
    assert mailhost_addr("IPv6:1.2.3.4") is None
    assert valid_mailhost_literal("[IPv6:::1]")
    assert valid_mailhost_literal("[1.2.3.4").reason == (
        "valid_mailhost_literal: ']' expected at end: [1.2.3.4"
    )


@pytest.mark.parametrize("text", ["0", "25", "65535"])
def test_ports_are_numbers_of_16_bits(text: str) -> None:
    assert valid_hostport(text)
    assert not valid_hostport("0" + text)
    assert not valid_hostport(text + "x")
    assert not valid_hostport("9" + text.rjust(5, "9"))


@pytest.mark.parametrize(
    ("text", "host", "port", "result"),
    [
        ("h:p", None, "d", ("h", "p")),
        ("h:", None, "d", ("h", "d")),
        ("h", None, "d", ("h", "d")),
        ("[h]:p", None, "d", ("h", "p")),
        ("[::1]:25", None, None, ("::1", "25")),
        ("[ipv6:::1]", None, "d", ("::1", "d")),
        ("25", "", None, ("", "25")),
        (":25", "", None, ("", "25")),
        ("[h", None, "d", 'missing "]"'),
        ("[h]x", None, "d", 'garbage after "]"'),
        ("[ipv6:1.2.3.4]", None, "d", "malformed IPv6 address"),
        ("h:", None, None, "missing service information"),
        (":p", None, "d", "missing host information"),
        ("h.:p", None, "d", "valid hostname or network address required"),
        ("h:1p", None, "d", "garbage after numerical service"),
        ("\u00e9.test:25", None, "d", "valid hostname or network address required"),
    ],
)
def test_host_and_port_are_told_apart(
    text: str, host: str | None, port: str | None, result: tuple[str, str] | str
) -> None:
    if isinstance(result, str):
        with pytest.raises(HostPortError) as caught:
            host_port(text, host, port)
        assert caught.value.args[0] == result
    else:
        assert host_port(text, host, port) == result


def test_an_international_host_is_good_where_utf8_is_on() -> None:
    assert host_port("\u00e9.test:25", None, None, True) == ("\u00e9.test", "25")


TABLE = {"bounce": 1, "delay": 2, "all": 3, "policy": 4}


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, text: str) -> None:
        self.lines.append(text)


def test_sets_of_names_are_bits() -> None:
    assert name_mask("x", TABLE, "bounce, policy") == 5
    assert name_mask("x", TABLE, "ALL", any_case=True) == 3
    assert name_mask("x", TABLE, "0x8 delay", numbers=True) == 10
    assert str_name_mask("x", TABLE, 7) == "bounce delay policy"
    assert str_name_mask("x", TABLE, 12, numbers=True, separator=",") == "policy,0x8"


def test_an_unknown_name_is_fatal_returned_or_warned_of() -> None:
    with pytest.raises(NameMaskError) as caught:
        name_mask("mail class", TABLE, "bounce nope")
    assert caught.value.args[0] == 'unknown mail class value "nope" in "bounce nope"'
    warnings: list[str] = []
    assert name_mask("x", TABLE, "nope bounce", unknown=Unknown.WARN, warn=warnings.append) == 1
    assert name_mask("x", TABLE, "bounce nope", unknown=Unknown.RETURN, warn=warnings.append) == 0
    assert name_mask("x", TABLE, "bounce nope", unknown=Unknown.IGNORE, warn=warnings.append) == 1
    assert warnings == [
        'unknown x value "nope" in "nope bounce"',
        'unknown x value "nope" in "bounce nope"',
    ]
    log = Log()
    assert name_mask_or_none(log, "x", TABLE, "Bounce nope") is None
    assert name_mask_or_none(log, "x", TABLE, "Bounce") == 1
    assert log.lines == ['unknown x value "nope" in "Bounce nope"']


@pytest.mark.parametrize(
    ("patterns", "name", "type", "result"),
    [
        ("inet", "smtp", "inet", True),
        ("inet", "smtp", "unix", False),
        ("smtp/inet", "smtp", "inet", True),
        ("smtp/inet", "25", "inet", False),
        ("!smtp/inet, inet", "smtp", "inet", False),
        ("!smtp/inet, inet", "25", "inet", True),
        ("", "smtp", "inet", False),
        ("smtp.inet", "smtp", "inet", True),
        ("!127.0.0.1:25.inet, inet", "127.0.0.1:25", "inet", False),
        ("smtp.inet", "smtp", "unix", False),
    ],
)
def test_the_first_pattern_that_matches_a_service_decides(
    patterns: str, name: str, type: str, result: bool
) -> None:
    assert ServicePatterns(patterns).matches(name, type) is result
