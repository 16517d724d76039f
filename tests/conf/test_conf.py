"""The configuration as one process sees it."""

from __future__ import annotations

from typing import assert_type

import pytest

from mta.conf.conf import Conf
from mta.conf.errors import ConfError, ConfPanic
from mta.conf.files import parse_main_cf
from mta.conf.host import Host, hosts_file
from mta.conf.kinds import check_unit
from mta.system import Account, Interface

HOST = Host(
    "mx.example.com",
    (
        Interface("127.0.0.1", 8),
        Interface("::1", 128),
        Interface("192.0.2.17", 28),
        Interface("2001:db8::5", 64),
        Interface("192.0.2.18", 28),
    ),
)


def view(program: str = "smtpd", /, **settings: str) -> Conf:
    return Conf({"compatibility_level": "2", **settings}, program=program, host=HOST)


def test_an_attribute_has_the_type_of_its_parameter() -> None:
    conf = view(smtpd_timeout="5m", soft_bounce="Yes")
    assert assert_type(conf.smtpd_timeout, int) == 300
    assert assert_type(conf.soft_bounce, bool) is True
    assert assert_type(conf.myorigin, str) == "mx.example.com"
    assert assert_type(conf._2bounce_notice_recipient, str) == "postmaster"


@pytest.mark.parametrize(
    ("program", "name", "value", "error"),
    [
        ("smtpd", "smtpd_timeout", "5x", "parameter smtpd_timeout: bad time value or unit: 5x"),
        ("smtpd", "smtpd_timeout", "0", "invalid smtpd_timeout: 0 (min 1)"),
        ("smtpd", "in_flow_delay", "11s", "invalid in_flow_delay: 11 (max 10)"),
        (
            "smtpd",
            "smtpd_recipient_limit",
            "many",
            "bad numerical configuration: smtpd_recipient_limit = many",
        ),
        (
            "smtpd",
            "smtpd_recipient_limit",
            "0",
            "invalid smtpd_recipient_limit parameter value 0 < 1",
        ),
        (
            "smtpd",
            "delay_logging_resolution_limit",
            "7",
            "invalid delay_logging_resolution_limit parameter value 7 > 6",
        ),
        (
            "smtpd",
            "message_size_limit",
            "99999999999999999999",
            "bad numerical configuration: message_size_limit = 99999999999999999999",
        ),
        (
            "smtpd",
            "smtpd_helo_required",
            "maybe",
            "bad boolean configuration: smtpd_helo_required = maybe",
        ),
        ("smtpd", "myorigin", "", "bad string length 0 < 1: myorigin = "),
        (
            "smtpd",
            "default_verp_delimiters",
            "+=-",
            "bad string length 3 > 2: default_verp_delimiters = +=-",
        ),
        (
            "smtpd",
            "smtpd_expansion_filter",
            "",
            "bad string length (0 < 1): smtpd_expansion_filter = ",
        ),
        ("smtpd", "smtpd_banner", "${", "dictionary mail_dict: macro processing error"),
        (
            "smtpd",
            "myhostname",
            "a..b",
            "file /etc/postfix/main.cf: parameter myhostname: bad parameter value: a..b",
        ),
        (
            "smtpd",
            "syslog_facility",
            "none",
            "file /etc/postfix/main.cf: parameter syslog_facility: unrecognized value: none",
        ),
        ("smtpd", "inet_protocols", "ipv5", 'unknown inet_protocols value "ipv5" in "ipv5"'),
        (
            "smtpd",
            "inet_interfaces",
            "no.such.test",
            "config variable inet_interfaces: host not found: no.such.test",
        ),
        (
            "smtpd",
            "inet_interfaces",
            "192.0.2.99",
            "parameter inet_interfaces: no local interface found for 192.0.2.99",
        ),
        (
            "smtpd",
            "mynetworks_style",
            "wide",
            'unknown mynetworks mask style value "wide" in "wide"',
        ),
        (
            "smtpd",
            "mynetworks_style",
            "host, class",
            "bad mynetworks_style value: host, class; specify exactly one value",
        ),
        (
            "smtpd",
            "relayhost",
            "MX.example.com",
            "myhostname and relayhost parameter settings must not be identical: mx.example.com",
        ),
        (
            "smtpd",
            "relayhost",
            "a, b",
            "relayhost parameter setting must not contain multiple values: a, b",
        ),
        (
            "smtpd",
            "myorigin",
            "a b",
            "myorigin parameter setting must not contain multiple values: a b",
        ),
        (
            "smtpd",
            "default_verp_delimiters",
            "x=",
            "file /etc/postfix/main.cf: parameters default_verp_delimiters and "
            "verp_delimiter_filter: bad first VERP delimiter character",
        ),
        ("virtual", "mail_name", "x", "bad string length 0 < 1: virtual_mailbox_base = "),
    ],
)
def test_a_bad_value_ends_the_process_that_loads_it(
    program: str, name: str, value: str, error: str
) -> None:
    conf = view(program, **{name: value})
    with pytest.raises(ConfError) as caught:
        conf.check_set()
    assert caught.value.text == error


def test_a_bad_value_does_not_matter_to_a_program_that_does_not_load_it() -> None:
    conf = view("cleanup", smtpd_timeout="x")
    conf.check_set()
    with pytest.raises(ConfError):
        _ = conf.smtpd_timeout


def test_the_first_thing_that_is_wrong_in_the_order_of_postfix_is_told() -> None:
    conf = view(smtpd_timeout="x", myhostname="a..b", mail_name="", soft_bounce="x")
    with pytest.raises(ConfError, match="parameter myhostname"):
        conf.check_set()
    assert conf.warnings == ["valid_hostname: misplaced delimiter: a..b"]


def test_what_the_file_has_wrong_is_told_first() -> None:
    main = parse_main_cf("a = 1\na = 2\nbad\n", "main.cf")
    conf = Conf(main, program="smtpd", host=HOST)
    with pytest.raises(ConfError) as caught:
        conf.check_set()
    assert caught.value.text == "main.cf, line 3: missing '=' after attribute name: \"bad\""
    assert conf.warnings == ["main.cf, line 2: overriding earlier entry: a=1"]


def test_a_time_without_unit_has_that_of_the_default() -> None:
    assert view("qmgr", maximal_queue_lifetime="2").maximal_queue_lifetime == 172800
    assert view("qmgr", minimal_backoff_time="2").minimal_backoff_time == 2
    assert view("qmgr", bounce_queue_lifetime="3").bounce_queue_lifetime == 259200


def test_stress_changes_defaults_that_ask_for_it() -> None:
    calm = Conf({}, program="smtpd", host=HOST, overrides={"stress": ""})
    busy = Conf({}, program="smtpd", host=HOST, overrides={"stress": "yes"})
    assert (calm.smtpd_timeout, busy.smtpd_timeout) == (300, 10)
    assert (calm.smtpd_hard_error_limit, busy.smtpd_hard_error_limit) == (20, 1)
    assert (calm.smtpd_per_record_deadline, busy.smtpd_per_record_deadline) == (False, True)


def test_a_name_is_empty_until_the_program_has_loaded_it() -> None:
    banner = "<$myhostname> <$smtpd_recipient_limit> <$smtpd_timeout> <$lmtp_timeout>"
    conf = view(smtpd_banner=banner)
    assert conf.smtpd_banner == "<mx.example.com> <1000> <> <>"
    assert conf.expand("<$smtpd_timeout> <$lmtp_timeout>") == "<300s> <>"
    set_conf = view(smtpd_banner=banner, smtpd_timeout="7", lmtp_timeout="8")
    assert set_conf.smtpd_banner == "<mx.example.com> <1000> <7> <8>"


def test_all_names_are_known_where_the_program_is_not() -> None:
    assert Conf({}, host=HOST).expand("$smtpd_recipient_limit $nothing") == "1000 "


def test_raw_values_are_not_expanded() -> None:
    assert view(smtpd_expansion_filter="$foo").smtpd_expansion_filter == "$foo"


def test_user_defined_parameters_are_looked_up_by_name() -> None:
    conf = view(mine="$yours", yours="a$$b", smtpd_restriction_classes="mine")
    assert conf.is_set("mine")
    assert not conf.is_set("smtpd_banner")
    assert conf.raw("mine") == "$yours"
    assert conf.get("mine") == "a$b"
    assert conf.lookup_eval("nothing") is None
    assert conf.get("nothing", "$yours") == "a$b"
    assert conf.lookup("mail_name") == "Postfix"
    assert conf.lookup("lmtp_timeout") is None
    assert conf.expand_once("$mine") == "$yours"


def test_recursion_is_an_error_and_not_the_end_of_the_world() -> None:
    conf = view(a="$b", b="$a")
    with pytest.raises(ConfError):
        conf.get("a")
    assert conf.warnings == ['unreasonable macro call nesting: "a"']


def test_lmtp_reads_its_own_parameters_by_the_names_of_smtp() -> None:
    conf = view(
        "lmtp", lmtp_connect_timeout="5s", smtp_connect_timeout="6s", lmtp_lhlo_name="me",
        smtp_fallback_relay="x", relayhost="[r]",
    )  # fmt: skip
    assert conf.smtp_connect_timeout == 5
    assert conf.smtp_helo_name == "me"
    assert conf.smtp_helo_timeout == 300
    assert conf.smtp_fallback_relay == ""
    assert conf.smtp_always_send_ehlo is False
    assert conf.relayhost == "[r]"
    assert view("smtp", smtp_connect_timeout="6s").smtp_connect_timeout == 6


def test_service_parameters_have_the_default_that_is_given() -> None:
    conf = view(
        "qmgr",
        a_destination_concurrency_limit="7",
        a_destination_rate_delay="2m",
        a_time_limit="1h",
        a_recipient_limit="x",
        b_feedback="$default_destination_concurrency_positive_feedback",
    )
    limit = "_destination_concurrency_limit"
    assert conf.service_int("a", limit, 20) == 7
    assert conf.service_int("b", limit, 20) == 20
    assert conf.service_time("a", "_destination_rate_delay", 0) == 120
    assert conf.service_time("b", "_destination_rate_delay", 5) == 5
    assert conf.service_str("b", "_feedback", "x") == "1"
    assert conf.service_str("c", "_feedback", "$mail_name") == "Postfix"
    assert conf.service_bool("c", "_switch", True) is True
    with pytest.raises(ConfError, match="bad numerical configuration: a_recipient_limit = x"):
        conf.service_int("a", "_recipient_limit", 1)
    with pytest.raises(ConfError, match=r"invalid a_time_limit: 3600 \(max 60\)"):
        conf.service_time("a", "_time_limit", 1, "s", 1, 60)
    with pytest.raises(ConfError, match="invalid b_x parameter value 0 < 1"):
        conf.service_int("b", "_x", 0, 1)


def test_a_default_of_a_time_without_a_good_unit_is_a_panic() -> None:
    check_unit("a", "5h", "$b")
    with pytest.raises(ConfPanic) as caught:
        check_unit("a", "5", "$b")
    assert caught.value.text == "parameter a: missing time unit in default value: $b"
    with pytest.raises(ConfPanic) as caught:
        check_unit("a", "5hs", "$b")
    assert caught.value.text == "parameter a: bad time unit in default value: $b"


@pytest.mark.parametrize(
    ("hostname", "settings", "myhostname", "mydomain"),
    [
        ("mx.example.com", {}, "mx.example.com", "example.com"),
        ("mx", {}, "mx.localdomain", "localdomain"),
        ("mx", {"mydomain": "example.org"}, "mx.example.org", "example.org"),
        ("mx", {"myhostname": "short"}, "short", "localdomain"),
        ("mx", {"myhostname": "a.b.c"}, "a.b.c", "b.c"),
        ("mx.x", {"mydomain": "d.$myhostname"}, "mx.x", "d.mx.x"),
    ],
)
def test_host_and_domain_follow_each_other(
    hostname: str, settings: dict[str, str], myhostname: str, mydomain: str
) -> None:
    conf = Conf(settings, program="smtpd", host=Host(hostname))
    assert (conf.myhostname, conf.mydomain) == (myhostname, mydomain)


@pytest.mark.parametrize(
    ("settings", "networks"),
    [
        ({}, "127.0.0.1/32 192.0.2.17/32 192.0.2.18/32 [::1]/128 [2001:db8::5]/128 "),
        ({"mynetworks_style": "subnet"}, "127.0.0.0/8 192.0.2.16/28 [::1]/128 [2001:db8::]/64 "),
        ({"mynetworks_style": "class"}, "127.0.0.0/8 192.0.2.0/24 [::1]/128 [2001:db8::]/64 "),
        ({"inet_protocols": "ipv4", "mynetworks_style": "subnet"}, "127.0.0.0/8 192.0.2.16/28 "),
        ({"inet_protocols": "ipv6"}, "[::1]/128 [2001:db8::5]/128 "),
        ({"inet_protocols": ""}, ""),
        ({"inet_interfaces": "loopback-only"}, "127.0.0.1/32 [::1]/128 "),
        ({"inet_interfaces": "192.0.2.18, localhost"}, "192.0.2.18/32 127.0.0.1/32 [::1]/128 "),
        ({"mynetworks": "10.0.0.0/8"}, "10.0.0.0/8"),
    ],
)
def test_the_networks_of_the_host_depend_on_the_style_and_the_interfaces(
    settings: dict[str, str], networks: str
) -> None:
    assert view(**settings).mynetworks == networks


def test_the_compatibility_level_decides_defaults_and_what_is_logged() -> None:
    old = Conf({}, program="smtpd", host=HOST)
    assert old.compat_level == 0
    assert old.smtputf8_enable is False
    assert old.append_dot_mydomain is True
    assert old.mynetworks_style == "subnet"
    assert old.relay_domains == old.mydestination
    assert old.warn_compat_break_relay_domains
    assert old.warn_compat_break_flush_domains
    assert old.warn_compat_break_mynetworks_style
    assert old.warn_compat_break_app_dot_mydomain
    assert old.warn_compat_break_smtputf8_enable
    assert old.warn_compat_break_chroot
    some = view(compatibility_level="1", mynetworks="127.0.0.1", fast_flush_domains="x")
    assert some.warn_compat_break_relay_domains
    assert not some.warn_compat_break_flush_domains
    assert not some.warn_compat_break_mynetworks_style
    assert not some.warn_compat_break_app_dot_mydomain
    assert not some.warn_compat_break_chroot
    new = view()
    assert new.smtputf8_enable is True
    assert new.relay_domains == ""
    assert not new.warn_compat_break_relay_domains


class People:
    """Accounts: mail owner 100, nobody 99, and whom a test adds."""

    def __init__(self, **users: tuple[int, int]) -> None:
        self.users = {"postfix": (100, 100), "nobody": (99, 99), **users}

    def by_name(self, name: str) -> Account | None:
        if name not in self.users:
            return None
        return Account(name, *self.users[name], "", "/", "/bin/sh")

    def by_uid(self, uid: int) -> Account | None:
        return next((self.by_name(n) for n, (u, _) in self.users.items() if u == uid), None)

    def group(self, name: str) -> int | None:
        return {"postdrop": 101, "wheel": 0, "nobody": 99, "postfix": 100}.get(name)


@pytest.mark.parametrize(
    ("settings", "users", "error"),
    [
        ({}, {}, None),
        ({"default_privs": "x"}, {}, "parameter default_privs: unknown user name value: x"),
        (
            {"mail_owner": "root"},
            {"root": (0, 0)},
            "parameter mail_owner: user root has privileged user ID",
        ),
        (
            {"mail_owner": "r"},
            {"r": (5, 0)},
            "parameter mail_owner: user r has privileged group ID",
        ),
        (
            {"mail_owner": "o"},
            {"o": (100, 7)},
            "parameter mail_owner: user o has same user ID as postfix",
        ),
        ({"setgid_group": "x"}, {}, "parameter setgid_group: unknown group name: x"),
        (
            {"setgid_group": "wheel"},
            {},
            "parameter setgid_group: group wheel has privileged group ID",
        ),
        (
            {"default_privs": "postfix"},
            {},
            "parameters default_privs and mail_owner specify the same user postfix",
        ),
        (
            {"default_privs": "d"},
            {"d": (100, 7)},
            "parameters default_privs and mail_owner: users d and postfix have the same user ID: "
            "100",
        ),
        (
            {"setgid_group": "nobody"},
            {},
            "parameters default_privs and setgid_group: user nobody and group nobody have the same "
            "group ID: 99",
        ),
        (
            {"setgid_group": "postfix"},
            {},
            "parameters mail_owner and setgid_group: user postfix and group postfix have the same "
            "group ID: 100",
        ),
    ],
)
def test_the_users_of_postfix_exist_and_are_not_the_same(
    settings: dict[str, str], users: dict[str, tuple[int, int]], error: str | None
) -> None:
    host = Host("mx.example.com", accounts=People(**users))
    conf = Conf(settings, program="smtpd", host=host)
    if error is None:
        conf.check_set()
        return
    with pytest.raises(ConfError) as caught:
        conf.check_set()
    prefix = "file /etc/postfix/main.cf: "
    assert caught.value.text == prefix + error


def test_a_process_may_change_its_own_settings() -> None:
    conf = view()
    assert conf.smtpd_banner.startswith("mx.example.com")
    conf.update("myhostname", "other.test")
    assert conf.smtpd_banner.startswith("other.test")


def test_another_process_has_the_same_file_and_its_own_overrides() -> None:
    conf = Conf({"a": "1"}, program="master", host=HOST, process_id=7)
    other = conf.for_process("smtpd", overrides={"a": "2"}, process_id=8)
    assert (other.program, other.get("a"), other.process_id) == ("smtpd", "2", 8)
    assert other.expand("$process_name[$process_id]") == "smtpd[8]"
    assert conf.get("a") == "1"


def test_a_twin_keeps_what_was_evaluated_but_not_the_number_of_the_process() -> None:
    conf = view(smtpd_banner="x $process_id")
    conf.check_set()
    twin = conf.clone(77, conf.warn)
    assert (conf.smtpd_banner, twin.smtpd_banner) == ("x 1", "x 77")
    assert twin.process_id == 77


def test_a_second_table_is_loaded_on_demand() -> None:
    conf = view(tls_random_bytes="x")
    conf.check_set()
    with pytest.raises(ConfError, match="bad numerical configuration: tls_random_bytes = x"):
        conf.check_set("tlsmgr")


class Disk:
    """A disk with nothing but /etc/hosts."""

    def __init__(self, hosts: str) -> None:
        self.hosts = hosts

    def exists(self, path: str) -> bool:
        return path == "/etc/hosts"

    def read(self, path: str) -> bytes:
        return self.hosts.encode()


def test_host_names_have_the_addresses_of_the_hosts_file_or_their_own() -> None:
    disk = Disk("# c\n192.0.2.18 other.test alias # x\n")
    host = Host(HOST.hostname, HOST.interfaces, None, lambda name: hosts_file(disk, name))  # type: ignore[arg-type]

    def own(names: str) -> tuple[str, ...]:
        return Conf({"inet_interfaces": names}, program="smtpd", host=host).own_addresses

    assert own("Alias") == ("192.0.2.18",)
    assert own("$myhostname, localhost") == (
        "192.0.2.17",
        "2001:db8::5",
        "192.0.2.18",
        "127.0.0.1",
        "::1",
    )
    assert own("[::1]") == ("::1",)
