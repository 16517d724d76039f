"""Scenario files: everything that the format knows is read, and every mistake has its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from postlab.model import Step, seconds
from postlab.scenario import ScenarioError, from_data, known_keys, load, loads

SMALLEST = """\
format: 1
title: a title
clients:
  - from: 198.51.100.7
    say: [QUIT]
"""

FULL = """\
format: 1
title: Everything at once
about: |
  Two lines
  of text.
needs: [tls, milter, policy, pcre, sqlite, sasl, smtputf8, ipv6]
mta:
  hostname: mail.example.org
  addresses: [192.0.2.26, "2001:db8::26"]
  main.cf: |
    soft_bounce = no
  master.cf: |
    submission inet n - n - - smtpd
  files:
    access: |
      on  REJECT
    "~alice/.forward": bob
    number: 1.50
    empty:
    routes.sql: "CREATE TABLE t (k TEXT);"
  users: [alice, bob]
  commands:
    /usr/bin/filter: {exit: 75, output: done}
    /usr/bin/quiet:
      exit: 0
dns:
  zone: |
    dest.test.      IN MX 10 mx.dest.test.
    mx.dest.test. 60 IN A  203.0.113.10
  faults:
    "slow.test. MX": timeout
    "broken.test. A": servfail
    "closed.test. TXT": refused
peers:
  mx.dest.test:
    address: 203.0.113.10
    port: 2525
    banner: "220 hello"
    extensions: [PIPELINING, SIZE 100]
    replies:
      - {on: "RCPT TO:<full@dest.test>", reply: "452 4.2.2 full", times: 1}
      - {on: DATA, reply: "421 bye", then: close}
      - {on: connect, do: silent}
      - {on: ".", do: close}
    tls: {cert: self-signed, names: [a.test], min: TLSv1.2, max: TLSv1.3, wrapper: true, fault: garbage}
  gone.test: {address: 203.0.113.20, state: refuse}
  lost.test: {address: "2001:db8::5", state: drop}
policy:
  "inet:127.0.0.1:10031":
    replies:
      - {when: {recipient: a@example.org}, action: DEFER_IF_PERMIT later, times: 1}
      - {do: garbage}
  "unix:private/policy": {replies: [{action: DUNNO}]}
milters:
  "inet:127.0.0.1:10032":
    replies:
      - {on: rcpt, when: {recipient: "<bad@example.org>"}, reply: "550 5.7.1 no"}
      - {on: eom, actions: [{add_header: [X-Seen, "yes"]}, {insert_header: [0, X-A, b]},
                            {quarantine: why}], reply: accept}
clients:
  - from: "2001:db8::7"
    to: 587
    tls: {cert: none}
    say:
      - EHLO client.test
      - pipeline: ["MAIL FROM:<>", "RCPT TO:<a@b>"]
      - |
        Subject: on

        off
        .
      - wait: 2
      - wait: 1m
      - starttls
      - raw: "NOOP\\r\\n"
      - hangup
submit:
  - {as: alice, args: ["-f", alice, 25], text: "Subject: x\\n\\nbody\\n"}
commands:
  - postqueue -f
until: 5d
"""


def problems(text: str) -> list[tuple[int, str, str]]:
    """(line, key, message) of each problem in a text."""
    with pytest.raises(ScenarioError) as caught:
        loads(text, "file.yaml")
    return [(p.line, p.key, p.message) for p in caught.value.problems]


def test_everything_that_the_format_knows_is_read() -> None:
    scenario = loads(FULL)
    assert scenario.mta.files["access"] == "on  REJECT\n"
    assert scenario.mta.files["number"] == "1.50"
    assert scenario.mta.files["empty"] == ""
    assert scenario.mta.commands["/usr/bin/filter"].exit == 75
    assert scenario.mta.commands["/usr/bin/quiet"].output == ""
    peer = scenario.peers["mx.dest.test"]
    assert (peer.port, peer.banner, peer.extensions) == (
        2525,
        "220 hello",
        ["PIPELINING", "SIZE 100"],
    )
    assert [rule.do for rule in peer.replies] == [None, None, "silent", "close"]
    assert peer.replies[0].times == 1
    assert peer.tls is not None
    assert (peer.tls.fault, peer.tls.wrapper) == ("garbage", True)
    assert scenario.peers["gone.test"].state == "refuse"
    assert scenario.milters["inet:127.0.0.1:10032"].replies[1].actions == [
        {"add_header": ["X-Seen", "yes"]},
        {"insert_header": [0, "X-A", "b"]},
        {"quarantine": ["why"]},
    ]
    client = scenario.clients[0]
    assert (client.source, client.to) == ("2001:db8::7", 587)
    assert client.say == [
        "EHLO client.test",
        Step(pipeline=["MAIL FROM:<>", "RCPT TO:<a@b>"]),
        "Subject: on\n\noff\n.\n",
        Step(wait=2),
        Step(wait=60),
        "starttls",
        Step(raw="NOOP\r\n"),
        "hangup",
    ]
    assert scenario.submit[0].args == ["-f", "alice", "25"]
    assert scenario.until == 5 * 86400
    assert scenario.uses_tls


def test_what_is_left_out_has_the_documented_defaults() -> None:
    scenario = loads(SMALLEST + "peers:\n  mx.dest.test: {address: 203.0.113.10}\ndns:\nsubmit:\n")
    assert scenario.mta.hostname == "mx.example.org"
    assert scenario.mta.addresses == ["192.0.2.25"]
    peer = scenario.peers["mx.dest.test"]
    assert (peer.port, peer.banner, peer.state) == (25, None, "listen")
    assert peer.extensions == [
        "PIPELINING", "8BITMIME", "SIZE 10240000", "ENHANCEDSTATUSCODES", "DSN",
    ]  # fmt: skip
    assert scenario.clients[0].to == 25
    assert scenario.until is None
    assert not scenario.uses_tls


@pytest.mark.parametrize(
    ("text", "until"),
    [("idle", None), ("30", 30), ("0.5", 0.5), ("30s", 30), ("10m", 600), ("2h", 7200),
     ("5d", 432000), ("1w", 604800)],
)  # fmt: skip
def test_until_is_idle_a_number_or_a_duration(text: str, until: float | None) -> None:
    assert loads(SMALLEST + f"until: {text}\n").until == until


def test_yaml_is_1_2_so_that_on_yes_and_no_are_text() -> None:
    text = SMALLEST.replace("[QUIT]", "[on, yes, no, off, QUIT]")
    assert loads(text).clients[0].say == ["on", "yes", "no", "off", "QUIT"]


@pytest.mark.parametrize(
    ("more", "line", "key", "message"),
    [
        ("client: 1\n", 6, "client", "unknown key 'client'; the nearest key is 'clients'"),
        ("peers:\n  a.test:\n    address: 203.0.113.1\n    adress: x\n", 9, "peers.a.test.adress",
         "unknown key 'adress'; the nearest key is 'address'"),
        ("peers:\n  a.test:\n    address: 203.0.113.1\n    replies:\n      - {on: RCPT, do: close}\n"
         "      - {on: RCPT, reply: x, time: 1}\n", 11, "peers.a.test.replies[1].time",
         "unknown key 'time'; the nearest key is 'times'"),
        ("peers:\n  a.test: {port: 26}\n", 7, "peers.a.test.address", "this key is missing"),
        ("peers:\n  a.test: {address: 203.0.113.1}\n  b.test: {address: 203.0.113.1}\n", 8,
         "peers.b.test.address", "203.0.113.1 port 25 belongs to a.test already"),
        ("peers:\n  a.test: {address: 203.0.113.1, port: 70000}\n", 7, "peers.a.test.port",
         "must be at most 65535"),
        ("peers:\n  a.test: {address: 203.0.113.1, port: smtp}\n", 7, "peers.a.test.port",
         "must be a whole number"),
        ("peers:\n  a.test: {address: 203.0.113.1, state: up}\n", 7, "peers.a.test.state",
         "must be 'listen', 'refuse' or 'drop'"),
        ("peers:\n  a.test: {address: 203.0.113.1, replies: [{on: RCPT}]}\n", 7,
         "peers.a.test.replies[0]", "one of reply, do, then is needed"),
        ("mta:\n  users: alice\n", 7, "mta.users", "must be a list"),
        ("mta:\n  hostname: [a]\n", 7, "mta.hostname", "must be text"),
        ("mta: []\n", 6, "mta", "must be a mapping: keys with values"),
        ("mta:\n  users: [alice, root]\n", 7, "mta.users[1]", "'root' exists already"),
        ("mta:\n  users: [alice, alice]\n", 7, "mta.users[1]", "'alice' stands here twice"),
        ("mta:\n  users: [a b]\n", 7, "mta.users[0]", "'a b' is no user name"),
        ("mta:\n  files:\n    ~bob/.forward: x\n", 8, "mta.files.~bob/.forward",
         "there is no user 'bob'; mta.users has them"),
        ("mta:\n  addresses: []\n", 7, "mta.addresses", "must not be empty"),
        ("mta:\n  addresses: [192.0.2.256]\n", 7, "mta.addresses[0]",
         "'192.0.2.256' is no IPv4 or IPv6 address"),
        ("mta:\n  commands: {filter: {exit: 0}}\n", 7, "mta.commands.filter",
         "'filter' must be the absolute path of a program"),
        ("mta:\n  files:\n    a.sql: CREATE\n", 8, "mta.files.a.sql",
         "sqlite says: incomplete input"),
        ("submit:\n  - {as: bob}\n", 7, "submit[0].as",
         "there is no user 'bob'; mta.users has them"),
        ("needs: [tls, soap]\n", 6, "needs[1]",
         "must be 'tls', 'milter', 'policy', 'pcre', 'sqlite', 'sasl', 'smtputf8' or 'ipv6'"),
        ("until: soon\n", 6, "until", "'soon' is no duration; write 30, 30s, 10m, 2h, 5d or 1w"),
        ("policy:\n  10031: {replies: []}\n", 7, "policy.10031",
         "'10031' is no endpoint; write inet:ADDRESS:PORT or unix:PATH"),
        ("policy:\n  unix:p: {replies: [{action: OK, do: close}]}\n", 7, "policy.unix:p.replies[0]",
         "one of action, do is needed"),
        ("milters:\n  unix:m:\n    replies:\n      - {on: eom, actions: [{insert_header: [x, a, b]}]}"
         "\n", 9, "milters.unix:m.replies[0].actions[0]",
         "the first argument of insert_header is a number from 0 on"),
        ("dns:\n  faults: {a.test. MX: slow}\n", 7, "dns.faults.a.test. MX",
         "must be 'timeout', 'servfail' or 'refused'"),
        ("dns:\n  faults: {a.test. MXX: timeout}\n", 7, "dns.faults.a.test. MXX",
         "no record type 'MXX'; the nearest is 'MX'"),
        ("title: again\n", 6, "title", "this key stands here twice"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_line_key_and_remedy(
    more: str, line: int, key: str, message: str
) -> None:
    assert problems(SMALLEST + more) == [(line, key, message)]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = SMALLEST.replace("198.51.100.7", "here") + "untill: 5\ndns:\n  zone: |\n    bad line\n"
    assert [line for line, *_ in problems(text)] == [4, 6, 9]


def test_steps_of_a_client_are_checked() -> None:
    text = SMALLEST.replace("[QUIT]", "[{pipe: [a]}, {wait: x}, {wait: 1, raw: x}, [a], {}]")
    assert problems(text) == [
        (5, "clients[0].say[0].pipe", "unknown key 'pipe'; the nearest key is 'pipeline'"),
        (5, "clients[0].say[1].wait", "'x' is no duration; write 30, 30s, 10m, 2h, 5d or 1w"),
        (5, "clients[0].say[2]", "exactly one of pipeline, wait, raw is needed"),
        (5, "clients[0].say[3]", "must be text"),
        (5, "clients[0].say[4]", "exactly one of pipeline, wait, raw is needed"),
    ]


def test_a_bad_zone_line_is_told_with_its_line_in_the_file() -> None:
    zone = "dns:\n  zone: |\n    a.test. IN A 203.0.113.1\n\n    b.test. IN A 1.2.3\n    c IN A 1.2.3.4\n"
    found = problems(SMALLEST + zone)
    assert [(line, key) for line, key, _ in found] == [(10, "dns.zone"), (11, "dns.zone")]
    assert "b.test. IN A 1.2.3" in found[0][2]
    assert "'c'" in found[1][2]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: [", 1, "this is not YAML"),
        ("a: 1\n\tb: 2\n", 2, "this is not YAML"),
        ("\x00", 1, "this is not YAML"),
        ("", 1, "the document is empty"),
        ("- a\n", 1, "must be a mapping: keys with values"),
        ("just text", 1, "must be a mapping: keys with values"),
        ("a: &x [*x]\n", 1, "too large or too deep"),
        ("? [a, b]\n: c\n", 1, "a key must be text"),
        ("a: 1\n---\nb: 2\n", 2, "this is not YAML"),
    ],
)
def test_what_is_no_yaml_document_is_told_so(text: str, line: int, message: str) -> None:
    found = problems(text)
    assert found[0][0] == line
    assert found[0][2].startswith(message)


def test_format_title_and_something_that_happens_are_needed() -> None:
    assert problems("format: 2\n") == [
        (1, "format", "must be 1, the only format that this version knows"),
        (1, "title", "this key is missing"),
    ]
    assert problems("format: 1\ntitle: t\n") == [(1, "", "one of clients, submit is needed")]


def test_files_that_cannot_be_read_are_told_so(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot read it: No such file or directory"):
        load(tmp_path / "missing.yaml")
    with pytest.raises(ScenarioError, match="cannot read it: Is a directory"):
        load(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"format: 1\ntitle: gr\xfcezi\n")
    with pytest.raises(ScenarioError, match=r"latin\.yaml:2: this is not UTF-8 text"):
        load(tmp_path / "latin.yaml")


def test_a_message_reads_like_that_of_a_compiler() -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(SMALLEST + "untill: 5\n", "dir/file.yaml")
    assert str(caught.value) == (
        "dir/file.yaml:6: untill: unknown key 'untill'; the nearest key is 'until'"
    )


def test_the_keys_of_every_mapping_are_known_for_hints() -> None:
    assert "main.cf" in known_keys(("mta",))
    assert known_keys(("peers", "x", "replies", 0)) == ["on", "reply", "then", "do", "times"]
    assert known_keys(("clients", 0)) == ["from", "to", "tls", "say"]
    assert known_keys(("clients", 0, "say", 1)) == ["pipeline", "wait", "raw"]
    assert "fault" in known_keys(("peers", "x", "tls"))
    assert known_keys(("until", "x")) == []


def test_python_data_gives_the_same_errors_without_lines() -> None:
    with pytest.raises(ScenarioError, match=r"lab: peers\.a\.test\.address: this key is missing"):
        from_data({"format": "1", "title": "t", "peers": {"a.test": {}}}, "lab")


@pytest.mark.parametrize("text", ["", "5x", "-1", "d", "1 d 2 h", "1e3"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        seconds(text)


CONFORMANCE = Path(__file__).parents[2].parent / "shared" / "conformance"


@pytest.mark.skipif(not CONFORMANCE.exists(), reason="the shared scenario files are not here")
def test_every_shared_scenario_file_is_accepted() -> None:
    files = sorted(CONFORMANCE.glob("*/*.yaml"))
    assert files
    for path in files:
        load(path)


def test_a_key_must_be_written_as_the_format_says() -> None:
    text = (
        "format: 1\ntitle: t\nmta:\n  main_cf: |\n    a = b\n"
        "clients:\n  - source: 192.0.2.1\n    from: 192.0.2.1\n    say: [QUIT]\n"
    )
    with pytest.raises(ScenarioError) as caught:
        loads(text)
    told = str(caught.value)
    assert "unknown key 'main_cf'; the nearest key is 'main.cf'" in told
    assert "unknown key 'source'" in told
