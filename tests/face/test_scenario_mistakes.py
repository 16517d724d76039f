"""Every key of the format, written wrongly: the error names the file, the line and what is near; and
whatever is done to a scenario file, it has an outcome or an error with its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postlab.batch import run_one
from postlab.document import dotted, parse
from postlab.scenario import ScenarioError, known_keys, load, loads

#: Everything that the format knows, each part on a line of its own.
EVERYTHING = """\
format: 1
title: Everything at once
about: text
needs:
  - tls
  - policy
mta:
  hostname: mail.example.org
  addresses:
    - 192.0.2.26
  main.cf: soft_bounce = no
  master.cf: submission inet n - n - - smtpd
  files:
    access: on  REJECT
  users:
    - alice
  commands:
    /usr/bin/filter:
      exit: 75
      output: done
dns:
  zone: mx.dest.test. IN A 203.0.113.10
  faults:
    slow.test. MX: timeout
peers:
  mx.dest.test:
    address: 203.0.113.10
    port: 2525
    banner: 220 hello
    extensions:
      - PIPELINING
    state: listen
    replies:
      - on: RCPT
        reply: 452 4.2.2 full
        then: close
        times: 1
      - on: DATA
        do: silent
    tls:
      cert: valid
      names:
        - a.test
      min: TLSv1.2
      max: TLSv1.3
      wrapper: false
      fault: garbage
policy:
  inet:127.0.0.1:10031:
    replies:
      - when:
          recipient: a@example.org
        action: DUNNO
        times: 1
      - do: garbage
milters:
  unix:private/milter:
    replies:
      - on: eom
        when:
          recipient: <a@b>
        reply: accept
        actions:
          - add_header:
              - X-Seen
              - yes
        times: 2
databases:
  mysql:192.0.2.9:3306:
    sql: CREATE TABLE t (k TEXT)
    users:
      postfix: secret
    directory:
      - dn: uid=x
        attributes:
          mail:
            - a@b.test
    entries:
      key: value
    state: listen
    delay: 2
    fails: out of order
    times: 3
clients:
  - from: 198.51.100.7
    to: 2525
    tls:
      cert: none
      names:
        - b.test
      min: TLSv1.2
      max: TLSv1.3
      wrapper: false
    say:
      - EHLO client.test
      - pipeline:
          - NOOP
      - wait: 2
      - raw: text
submit:
  - as: alice
    args:
      - -v
    text: text
commands:
  - postqueue -f
until: 30
"""

DOCUMENT = parse(EVERYTHING, "a.yaml")
Path_ = tuple[str | int, ...]


def parts(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Every part of the document with its path."""
    yield path, value
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, item in items:
        yield from parts(item, (*path, key))


def at(path: Path_, value: str) -> str:
    """The text with another value (in flow style) at a path."""
    lines = EVERYTHING.split("\n")
    line = DOCUMENT.line(path) - 1
    indent = len(lines[line]) - len(lines[line].lstrip())
    key = "-" if isinstance(path[-1], int) else f"{path[-1]}:"
    head = re.match(rf"\s*(?:- )?(?={re.escape(key)})", lines[line])
    assert head, (path, lines[line])
    column = len(head[0]) if key != "-" else indent
    end = line + 1
    while end < len(lines) and lines[end][: column + 1].strip() == "":
        if not lines[end]:
            break
        end += 1
    while key != "-" and end < len(lines) and lines[end].startswith(" " * column + "- "):
        end += 1  # a list may stand as far left as its key
    return "\n".join([*lines[:line], f"{head[0] if key != '-' else ' ' * indent}{key} {value}", *lines[end:]])


def errors(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(ScenarioError) as caught:
        loads(text, "a.yaml")
    return [(problem.line, problem.key, problem.message) for problem in caught.value.problems]


ALL = dict(parts(DOCUMENT.data))
MAPPINGS = [path for path, value in ALL.items() if isinstance(value, dict) and known_keys(path)]
LISTS = [path for path, value in ALL.items() if isinstance(value, list)]
#: ``add_header: [a, b]`` is checked as a whole.
ACTION = ("milters", "unix:private/milter", "replies", 0, "actions", 0)
TEXTS = [
    path for path, value in ALL.items()
    if isinstance(value, str) and path[: len(ACTION)] != ACTION
]  # fmt: skip


def test_the_document_is_right_and_has_every_key() -> None:
    load_ = loads(EVERYTHING)
    assert load_.until == 30
    for path in MAPPINGS:
        there = set(ALL[path])
        there |= {"do"} if path[-2:-1] == ("replies",) else set()
        if path[:-1] == ("clients", 0, "say"):
            continue
        missing = set(known_keys(path)) - there
        optional = {"do", "reply", "then", "times", "when", "action", "actions", "databases"}
        assert missing <= optional, path


@pytest.mark.parametrize("path", MAPPINGS, ids=dotted)
def test_an_unknown_key_is_told_with_its_line_and_the_nearest_one(path: Path_) -> None:
    known = known_keys(path)[0]
    first = next(iter(ALL[path]))
    line = DOCUMENT.line((*path, first))
    indent = " " * (len(path) and EVERYTHING.split("\n")[line - 1].index(str(first)))
    lines = EVERYTHING.split("\n")
    lines.insert(line, f"{indent}{known}x: 1")
    if isinstance(ALL[path][first], (dict, list)):  # not between a key and its value
        lines = EVERYTHING.split("\n")
        head = lines[line - 1][: len(indent)]
        lines[line - 1 : line] = [f"{head}{known}x: 1", f"{indent}{lines[line - 1].lstrip(' -')}"]
        line -= 1
    found = errors("\n".join(lines))
    key = dotted((*path, f"{known}x"))
    told = f"unknown key '{known}x'; the nearest key is '{known}'"
    assert (line + 1, key, told) in found


@pytest.mark.parametrize("path", TEXTS, ids=dotted)
@pytest.mark.parametrize("value", ["[a, b]", "{a: b}"])
def test_a_list_or_a_mapping_is_no_text(path: Path_, value: str) -> None:
    found = errors(at(path, value))
    assert found[0][0] == DOCUMENT.line(path)
    assert found[0][1].startswith(dotted(path))
    assert found[0][2]


@pytest.mark.parametrize("path", [*LISTS, *MAPPINGS[1:]], ids=dotted)
def test_a_text_is_neither_a_list_nor_a_mapping(path: Path_) -> None:
    if path == ("clients", 0, "say", 1):
        return  # a step may be a text
    if path[:-1] == ("clients", 0, "say"):
        return
    found = errors(at(path, "text"))
    assert found[0][0] == DOCUMENT.line(path)
    kind = "a list" if path in LISTS else "a mapping: keys with values"
    assert found[0][2].startswith(f"must be {kind}") or path[:-1] == ACTION


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("format", ["2", "one"]),
        ("title", ["''"]),
        ("mta.hostname", ["'a b'", "-a", "''"]),
        ("mta.commands./usr/bin/filter.exit", ["256", "-1", "x", "1.5"]),
        ("peers.mx.dest.test.address", ["mx", "0.0.0.0", "224.0.0.1", "203.0.113.300", "fe80::1%eth0"]),
        ("peers.mx.dest.test.port", ["0", "65536", "smtp", "2.5"]),
        ("peers.mx.dest.test.state", ["up", "Refuse"]),
        ("peers.mx.dest.test.replies[0].then", ["stop"]),
        ("peers.mx.dest.test.replies[1].do", ["reset", "Silent"]),
        ("peers.mx.dest.test.replies[0].times", ["-1", "often"]),
        ("peers.mx.dest.test.tls.cert", ["good"]),
        ("peers.mx.dest.test.tls.min", ["1.2", "SSLv3"]),
        ("peers.mx.dest.test.tls.wrapper", ["yes", "1"]),
        ("peers.mx.dest.test.tls.fault", ["none"]),
        ("policy.inet:127.0.0.1:10031.replies[0].times", ["-1"]),
        ("policy.inet:127.0.0.1:10031.replies[1].do", ["reset"]),
        ("milters.unix:private/milter.replies[0].on", ["RCPT", "quit"]),
        ("milters.unix:private/milter.replies[0].reply", ["ok", "250 ok", "'55 x'"]),
        ("milters.unix:private/milter.replies[0].times", ["x"]),
        ("clients[0].from", ["client.test", "127.0.0.256"]),
        ("clients[0].to", ["smtp", "0"]),
        ("clients[0].tls.max", ["2"]),
        ("clients[0].say[2].wait", ["-1", "soon", "99999w"]),
        ("dns.faults.slow.test. MX", ["never"]),
        ("submit[0].as", ["carol"]),
        ("until", ["-5", "later", "1000w"]),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_told_at_its_line(path: str, values: list[str]) -> None:
    (place,) = [p for p in ALL if dotted(p) == path]
    for value in values:
        found = errors(at(place, value))
        assert (found[0][0], found[0][1]) == (DOCUMENT.line(place), path), (value, found)


@pytest.mark.parametrize(
    ("more", "key", "said"),
    [
        ('policy: {"inet:127.0.0.1:0": {}}', "policy.inet:127.0.0.1:0", "a port is 1 to 65535"),
        ('policy: {"inet:pol.test:1": {}}', "policy.inet:pol.test:1", "write inet:ADDRESS:PORT"),
        ('policy: {"unix:/": {}}', "policy.unix:/", "the path must be that of a file"),
        ('policy: {"inet:127.0.0.1:53": {}}', "policy.inet:127.0.0.1:53", "belongs to the name server"),
        ('policy: {"unix:a": {}}\nmilters: {"unix:/var/spool/postfix/a": {}}',
         "milters.unix:/var/spool/postfix/a", "belongs to policy: unix:a already"),
        ("mta: {addresses: [127.0.0.1]}", "mta.addresses[0]", "127.0.0.1 is there always"),
        ("mta: {addresses: [192.0.2.1, 192.0.2.1]}", "mta.addresses[1]", "stands here twice"),
        ("mta: {files: {a: x, a/b: y}}", "mta.files.a", "/etc/postfix/a is a directory of the file a/b"),
        ("mta: {files: {/var/spool/postfix/defer: x}}", "mta.files./var/spool/postfix/defer",
         "is a directory of this machine"),
        ("mta: {files: {a.sql: \"ATTACH 'b' AS c\"}}", "mta.files.a.sql", "sqlite says: not authorized"),
        ("peers: {a.test: {address: 192.0.2.1, tls: {min: TLSv1.3, max: TLSv1.2}}}",
         "peers.a.test.tls", "min TLSv1.3 is above max TLSv1.2"),
        ("peers: {a.test: {address: 192.0.2.1, tls: {names: [é]}}}", "peers.a.test.tls.names[0]",
         "'é' is no name for a certificate"),
        ("peers: {é.test: {address: 192.0.2.1, tls: {}}}", "peers.é.test", "tls.names can be others"),
        ("peers: {'': {address: 192.0.2.1}}", "peers.", "must have a name"),
        ("milters: {'unix:a': {replies: [{on: eom, actions: [{insert_header: [-1, a, b]}]}]}}",
         "milters.unix:a.replies[0].actions[0]", "a number from 0 on"),
    ],
)  # fmt: skip
def test_things_that_cannot_be_together_are_told(more: str, key: str, said: str) -> None:
    start = "format: 1\ntitle: t\nclients: [{from: 198.51.100.7}]\n"
    found = errors(start + more + "\n")
    assert [(k, said in message) for _, k, message in found] == [(key, True)], found


def test_a_script_of_a_database_touches_no_file_of_this_machine(tmp_path: Path) -> None:
    target = tmp_path / "x.db"
    for script in (f"ATTACH '{target}' AS a; CREATE TABLE a.t (k);", f"VACUUM INTO '{target}';"):
        start = "format: 1\ntitle: t\nclients: [{from: 198.51.100.7}]\nmta:\n  files:\n"
        assert "sqlite says" in errors(f'{start}    a.sql: "{script}"\n')[0][2]
    assert not target.exists()


def test_a_message_is_one_line_whatever_is_in_a_key() -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(EVERYTHING + '"a\\nb\\u2028": 1\n', "a.yaml")
    assert str(caught.value).splitlines() == [str(caught.value)]
    assert r"unknown key 'a\nb\u2028'" in str(caught.value).replace("\\\\", "\\")


# -- anything at all -------------------------------------------------------------------------------

FILES = sorted((Path(__file__).parents[2] / "scenarios/conformance").glob("[ads]*/*.yaml"))[::7]
TEXTS_OF_FILES = [EVERYTHING, *(path.read_text("utf-8") for path in FILES)]
BITS = st.sampled_from([
    "", " ", "\n", "\t", "'", '"', ":", ": ", "- ", "{", "}", "[", "]", "#", "&a ", "*a", "!!x ", "|",
    ">", "%", "@", "`", "\x00", "\x7f", "\u2028", "\ufeff", "é", "~", "null", "-1", "0", "99999999999",
    "1.5", "true", "~root/x", "/", "/etc", "../x", "inet:127.0.0.1:25", "unix:/", "127.0.0.1", "::1",
    "0.0.0.0", "close", "connect", ".", "QUIT", "hangup", "1d", "$config_directory", "mx.example.org",
])  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A scenario file to which something was done."""
    text = draw(st.sampled_from(TEXTS_OF_FILES))
    for _ in range(draw(st.integers(1, 3))):
        lines = text.split("\n")
        line = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["bit", "bit", "value", "value", "drop", "twice", "swap", "shift"])):
            case "bit":
                place = draw(st.integers(0, len(text)))
                text = text[:place] + draw(BITS) + text[place + draw(st.integers(0, 4)) :]
                continue
            case "value":
                head, colon, _ = lines[line].partition(": ")
                lines[line] = head + (colon or ": ") + draw(BITS)
            case "drop":
                del lines[line]
            case "twice":
                lines.insert(line, lines[line])
            case "swap":
                other = draw(st.integers(0, len(lines) - 1))
                lines[line], lines[other] = lines[other], lines[line]
            case "shift":
                lines[line] = " " * draw(st.integers(0, 8)) + lines[line].lstrip()
        text = "\n".join(lines)
    return text


@given(damaged())
@settings(
    max_examples=300, derandomize=True, deadline=None, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Attribute's length")
def test_a_damaged_file_has_an_outcome_or_errors_with_their_place(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    path.write_bytes(text.encode("utf-8"))
    try:
        scenario = load(path)
    except ScenarioError as error:
        for line in str(error).split("\n"):
            assert re.match(rf"{re.escape(str(path))}:[1-9]\d*: \S", line), line
        return
    if (scenario.until or 0) > 100 or any(
        not isinstance(step, str) and (step.wait or 0) > 100
        for client in scenario.clients for step in client.say
    ):  # fmt: skip
        return
    done = run_one(path, 0)
    assert "a defect" not in done.error, done.error
    assert done.report is not None or done.error.startswith(f"{path}: ")
