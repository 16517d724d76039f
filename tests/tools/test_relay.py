"""``postlab check --relay``: a closed mail system is found closed, and each hole is found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from postlab.folder import ConfigFolder
from postlab.relay import RelayReport, prove
from postlab.relay.command import run_relay
from postlab.relay.patterns import sample
from postlab.relay.probes import family
from postlab.relay.targets import Targets

OWN = "mydestination = example.org\n"
#: Without relay restrictions, so that those for recipients decide.
ONLY_RECIPIENT = OWN + "smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = "


def folder(path: Path, files: Mapping[str, str]) -> ConfigFolder:
    for name, text in files.items():
        (path / name).write_text(text)
    return ConfigFolder.load(path)


def proof(path: Path, main_cf: str, **files: str) -> RelayReport:
    return prove(folder(path, {"main.cf": main_cf, **files}))


CLOSED = {
    "the stock configuration": OWN,
    "a backup server": OWN + "relay_domains = backup.test\n",
    "the percent hack at home": OWN + "relay_domains =\nallow_untrusted_routing = yes\n",
    "a reverse name that the stranger may choose": ONLY_RECIPIENT
    + "check_reverse_client_hostname_access inline:{{trusted.test=OK}}, reject_unauth_destination\n",
    "virtual domains": OWN
    + "virtual_alias_domains = v.test\nvirtual_alias_maps = inline:{{@v.test=boss@far.test}}\n",
    "strangers may write to friends of ours": OWN
    + "smtpd_recipient_restrictions = inline:{{friend.test=OK}}, reject_unauth_destination\n",
}


@pytest.mark.parametrize("main_cf", CLOSED.values(), ids=CLOSED)
def test_a_closed_mail_system_is_found_closed(tmp_path: Path, main_cf: str) -> None:
    report = proof(tmp_path, main_cf)
    assert report.proven
    assert (report.found, report.smallest, report.kept, report.doubts) == ([], None, [], [])
    assert report.tried > 250
    assert f"none of {report.tried} attempts" in next(report.lines())


HOLES: dict[str, tuple[str, dict[str, str], list[str]]] = {
    "everybody is in mynetworks": (
        OWN + "mynetworks = 0.0.0.0/0\n",
        {},
        ["MAIL FROM:<>", "RCPT TO:<a@outside.test>", "DATA"],
    ),
    "relaying is permitted": (
        OWN + "smtpd_relay_restrictions = check_client_access static:OK, reject\n",
        {},
        ["MAIL FROM:<>", "RCPT TO:<a@outside.test>", "DATA"],
    ),
    "routing through a backup server": (
        OWN + "relay_domains = backup.test\nallow_untrusted_routing = yes\n",
        {},
        ["MAIL FROM:<>", "RCPT TO:<a%outside.test@backup.test>", "DATA"],
    ),
    "OK for a domain of recipients": (
        ONLY_RECIPIENT + "check_recipient_access hash:/etc/postfix/friends,"
        " reject_unauth_destination\n",
        {"friends": "friend.test OK\n"},
        ["MAIL FROM:<>", "RCPT TO:<a@friend.test>", "DATA"],
    ),
    "OK for a sender": (
        ONLY_RECIPIENT + "check_sender_access hash:/etc/postfix/senders,"
        " reject_unauth_destination\n",
        {"senders": "boss@partner.test OK\n"},
        ["MAIL FROM:<boss@partner.test>", "RCPT TO:<a@outside.test>", "DATA"],
    ),
    "OK for our own senders": (
        ONLY_RECIPIENT + "check_sender_access inline:{{example.org=OK}},"
        " reject_unauth_destination\n",
        {},
        ["MAIL FROM:<a>", "RCPT TO:<a@outside.test>", "DATA"],
    ),
    "addresses for elsewhere in the local part": (
        OWN + "myhostname = mx.example.org\nvirtual_alias_maps = regexp:/etc/postfix/virtual\n",
        {"virtual": "/^([^@]*)-at-([^@]*)@example\\.org$/ $1@$2\n"},
        ["MAIL FROM:<>", "RCPT TO:<a-at-outside.test@example.org>", "DATA"],
    ),
    "an equals sign for the at sign": (
        OWN + "recipient_canonical_maps = pcre:/etc/postfix/rcpt\n",
        {"rcpt": "/(.*)=(.*)@/ $(1)@${2}\n"},
        ["MAIL FROM:<>", "RCPT TO:<a=outside.test@localhost>", "DATA"],
    ),
    "a pattern for relay_domains without an end": (
        OWN + "relay_domains = pcre:/etc/postfix/relay\n",
        {"relay": "/^backup\\.test/ x\n"},
        ["MAIL FROM:<>", "RCPT TO:<a@backup.testx.test>", "DATA"],
    ),
    "a pattern for relay_domains without a beginning": (
        OWN + "relay_domains = pcre:/etc/postfix/relay\n",
        {"relay": "/backup\\.test$/ x\n"},
        ["MAIL FROM:<>", "RCPT TO:<a@xbackup.test>", "DATA"],
    ),
    "a dot in a pattern for relay_domains": (
        OWN + "relay_domains = pcre:/etc/postfix/relay\n",
        {"relay": "/^backup.test/ x\n"},
        ["MAIL FROM:<>", "RCPT TO:<a@backupxtest.test>", "DATA"],
    ),
    "OK for a HELO name": (
        ONLY_RECIPIENT + "check_helo_access hash:/etc/postfix/helo, reject_unauth_destination\n",
        {"helo": "trusted.test OK\n"},
        ["HELO trusted.test", "MAIL FROM:<>", "RCPT TO:<a@outside.test>", "DATA"],
    ),
}


@pytest.mark.parametrize(("main_cf", "files", "commands"), HOLES.values(), ids=HOLES)
def test_a_hole_is_found_and_made_small(
    tmp_path: Path, main_cf: str, files: dict[str, str], commands: list[str]
) -> None:
    report = proof(tmp_path, main_cf, **files)
    assert report.relays
    assert report.smallest is not None
    assert report.smallest.probe.commands == commands
    said = [line[3:] for line in report.smallest.transcript if line.startswith("C: ")]
    assert said == [*commands, "<2 lines>", "QUIT"]
    assert "OPEN RELAY" in next(report.lines())


@pytest.mark.parametrize(
    ("pattern", "groups", "text"),
    [
        (r"^(.*)=(.*)@own\.test$", {1: "u", 2: "d"}, "u=d@own.test"),
        (r"^([^@]+)\+at\+([^@]+)@", {1: "u", 2: "d"}, "u+at+d@"),
        (r"^(?:a|b)-(x|y)(z)?@$", {}, "a-xz@"),
        (r"^[0-9]{3}\d\w+[a-c]@(?!x)", {}, "1111xa@"),
        (r"^a{0}b{0,0}c{0,2}d{2,}e{,3}@", {}, "cdde@"),
        (r"^((.*)_(.*))@x$", {2: "u", 3: "d"}, "u_d@x"),
        (r"(unclosed", {}, None),
        (r"^[unclosed", {}, None),
        (r"^a$b", {}, None),
    ],
)
def test_a_text_for_a_pattern(pattern: str, groups: dict[int, str], text: str | None) -> None:
    assert sample(pattern, groups) == text


MASTER_CF = """\
smtp      inet  n - n - -   smtpd
pickup    unix  n - n 60 1  pickup
cleanup   unix  n - n - 0   cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n - -   trivial-rewrite
bounce    unix  - - n - 0   bounce
defer     unix  - - n - 0   bounce
trace     unix  - - n - 0   bounce
verify    unix  - - n - 1   verify
proxymap  unix  - - n - -   proxymap
smtp      unix  - - n - -   smtp
error     unix  - - n - -   error
retry     unix  - - n - -   error
local     unix  - n n - -   local
anvil     unix  - - n - 1   anvil
scache    unix  - - n - 1   scache
tlsmgr    unix  - - n - 1   tlsmgr
"""
TLS = (
    OWN
    + "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = /etc/ssl/mx.pem\n"
    + "smtpd_tls_key_file = /etc/ssl/mx.key\n"
)


@pytest.mark.parametrize(
    ("port", "option"),
    [(587, "smtpd_tls_security_level=encrypt"), (465, "smtpd_tls_wrappermode=yes")],
)
def test_a_stranger_does_tls_where_it_is_wanted(tmp_path: Path, port: int, option: str) -> None:
    service = (
        f"{port} inet n - n - - smtpd\n  -o {option}\n"
        "  -o smtpd_relay_restrictions=check_client_access,static:OK,reject\n"
    )
    report = proof(tmp_path, TLS, **{"master.cf": MASTER_CF + service})
    assert report.ports == [25, port]
    assert report.smallest is not None
    assert report.smallest.probe.port == port
    assert any(line.startswith("* tls TLSv1.") for line in report.smallest.transcript)


def test_a_port_where_no_server_starts_is_told(tmp_path: Path) -> None:
    service = "587 inet n - n - - smtpd\n  -o smtpd_relay_restrictions=permit\n"
    report = proof(tmp_path, OWN, **{"master.cf": MASTER_CF + service})
    assert report.proven
    assert not report.relays
    assert list(report.dead) == [587]
    assert "port 587 was not tried: no server starts there: " in "\n".join(report.lines())
    assert report.as_data()["dead"]["587"].endswith("or check_relay_domains")


def test_a_filter_before_the_queue_takes_what_it_gets(tmp_path: Path) -> None:
    main_cf = OWN + "mynetworks = 0.0.0.0/0\nsmtpd_proxy_filter = inet:127.0.0.1:10024\n"
    report = proof(tmp_path, main_cf)
    assert report.relays
    assert "the proxy filter inet:127.0.0.1:10024 accepts everything" in report.assumed


def test_names_of_tables_are_tried_in_every_role(tmp_path: Path) -> None:
    main_cf = OWN + "smtpd_client_restrictions = check_client_access inline:{{trusted.test=OK}}\n"
    probes = family(Targets.of(folder(tmp_path, {"main.cf": main_cf})))
    assert "<user@trusted.test>" in {probe.recipient for probe in probes}
    assert "<a@trusted.test>" in {probe.sender for probe in probes}
    assert "trusted.test" in {probe.helo for probe in probes}
    assert "trusted.test" in {probe.name for probe in probes}


def test_an_accepted_recipient_is_no_proof(tmp_path: Path) -> None:
    main_cf = (
        OWN
        + "smtpd_relay_restrictions = check_client_access static:OK, reject\ndefault_transport = discard\nrelay_transport = discard\n"
    )
    assert not proof(tmp_path, main_cf).relays


def test_what_is_held_has_not_arrived_and_is_told(tmp_path: Path) -> None:
    main_cf = OWN + (
        "smtpd_relay_restrictions = check_client_access static:OK, reject\n"
        "smtpd_end_of_data_restrictions = check_client_access static:HOLD\n"
    )
    report = proof(tmp_path, main_cf)
    assert not report.relays
    assert any(line.startswith("user@outside.test (hold)") for line in report.kept)


def test_a_mail_system_that_does_not_start_proves_nothing(tmp_path: Path) -> None:
    report = proof(tmp_path, OWN + "mail_owner = nobody-here\nqueue_directory = \n")
    assert not report.proven
    assert not report.relays


def test_a_server_that_dies_proves_nothing(tmp_path: Path) -> None:
    report = proof(tmp_path, OWN + "smtpd_relay_restrictions = permit\n")
    assert not report.proven
    assert any("specify at least one working instance" in line for line in report.not_started)


def test_the_same_folder_gives_the_same_report(tmp_path: Path) -> None:
    first = proof(
        tmp_path, OWN + "smtpd_relay_restrictions = check_client_access static:OK, reject\n"
    ).as_data()
    second = prove(tmp_path).as_data()
    assert json.dumps(first) == json.dumps(second)


def test_the_stranger_comes_from_no_network_of_ours(tmp_path: Path) -> None:
    config = folder(tmp_path, {"main.cf": OWN + "mynetworks = 198.51.100.0/24 203.0.113.0/24\n"})
    assert Targets.of(config).client == "100.2.3.4"


def test_each_attempt_is_made_once_and_each_class_of_domains_is_tried(tmp_path: Path) -> None:
    main_cf = OWN + (
        "relay_domains = backup.test\nvirtual_alias_domains = alias.test\n"
        "virtual_mailbox_domains = hash:/etc/postfix/boxes\n"
    )
    targets = Targets.of(folder(tmp_path, {"main.cf": main_cf, "boxes": "box.test x\n"}))
    probes = family(targets)
    assert len({(p.recipient, p.sender, p.helo, p.name) for p in probes}) == len(probes)
    recipients = {probe.recipient for probe in probes}
    for domain in ("example.org", "backup.test", "alias.test", "box.test", "[192.0.2.25]"):
        assert f"<user%outside.test@{domain}>" in recipients
        assert f'<"user@outside.test"@{domain}>' in recipients
        assert f"<@{domain}:user@outside.test>" in recipients


@pytest.mark.parametrize(("networks", "status"), [("127.0.0.0/8", 0), ("0.0.0.0/0", 1)])
def test_the_exit_status_tells_whether_it_relays(
    tmp_path: Path, networks: str, status: int
) -> None:
    config = folder(tmp_path, {"main.cf": OWN + f"mynetworks = {networks}\n"})
    lines: list[str] = []
    assert run_relay(config, True, lines.append) == status
    assert json.loads("\n".join(lines))["relays"] is bool(status)
