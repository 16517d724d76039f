"""virtual(8), pipe(8), spawn(8)."""

from __future__ import annotations

from typing import Any

import pytest

from mta.system import Inet

VIRTUAL = """
virtual_mailbox_domains = box.test
virtual_mailbox_base = /home/alice
virtual_mailbox_maps = inline:{ {a@box.test = a}, {b@box.test = b/}, {c@box.test = no/c},
    {d@box.test = ../bob/d}, {nouid@box.test = x}, {low@box.test = x}, {nogid@box.test = x},
    {dir@box.test = b} }
virtual_uid_maps = inline:{ {low@box.test = 99}, {@box.test = 1001}, {nouid@box.test = abc} }
virtual_gid_maps = inline:{ {a@box.test = 1001}, {b@box.test = 1001}, {c@box.test = 1001},
    {d@box.test = 1001}, {dir@box.test = 1001} }
"""
BOXES = [
    ("A@Box.test", "2.0.0 sent (delivered to mailbox)"),
    ("a+ext@box.test", "2.0.0 sent (delivered to mailbox)"),
    ("b@box.test", "2.0.0 sent (delivered to maildir)"),
    ("c@box.test", "4.2.0 deferred (delivery failed to mailbox /home/alice/no/c: unable to create "
                   "lock file /home/alice/no/c.lock: No such file or directory)"),
    ("d@box.test", "4.2.0 deferred (delivery failed to mailbox /home/alice/../bob/d: unable to "
                   "create lock file /home/alice/../bob/d.lock: Permission denied)"),
    ("low@box.test", "4.3.5 deferred (mail system configuration error)"),
    ("nouid@box.test", "4.3.5 deferred (mail system configuration error)"),
    ("nogid@box.test", "4.3.5 deferred (mail system configuration error)"),
    ("nosuch@box.test", '5.1.1 bounced (unknown user: "nosuch@box.test")'),
]  # fmt: skip


@pytest.mark.parametrize(("address", "fate"), BOXES)
def test_virtual_delivers_to_what_its_tables_say(make_site: Any, address: str, fate: str) -> None:
    site = make_site("", VIRTUAL + "smtpd_reject_unlisted_recipient = no\n")
    assert site.send(address) == [f"{address} virtual {fate}"]


def test_virtual_warns_of_what_is_wrong_with_its_tables(make_site: Any) -> None:
    site = make_site("", VIRTUAL)
    site.send("low@box.test", "nouid@box.test", "nogid@box.test")
    assert sorted(site.warnings("virtual")) == [
        "recipient low@box.test: bad uid 99 in virtual_uid_maps",
        "recipient nogid@box.test: not found in virtual_gid_maps",
        "recipient nouid@box.test: bad uid abc in virtual_uid_maps",
    ]


def test_virtual_keeps_the_rights_of_a_mailbox_s_owner(make_site: Any) -> None:
    site = make_site("", VIRTUAL)
    site.send("a@box.test", "b@box.test")
    assert site.disk.stat("/home/alice/a").uid == 1001
    data = site.disk.read("/home/alice/a")
    assert b"\nX-Original-To: a@box.test\nDelivered-To: a@box.test\n" in data
    assert len(site.disk.list("/home/alice/b/new")) == 1


# -- pipe -----------------------------------------------------------------------------------------

EAT = {"/usr/bin/eat": {"exit": 0, "output": "  all fine\n"}}


def pipe_site(make_site: Any, attributes: str, main_cf: str = "", **more: Any) -> Any:
    entry = f"eat unix - n n - - pipe {attributes}\n"
    main_cf += "transport_maps = inline:{ {far.test = discard:}, {to.test = eat:Hop} }\n"
    more.setdefault("commands", EAT)
    return make_site("", main_cf, master_cf=entry, **more)


FLAGS = [
    ("", b"Received: ", b"\n\nFrom x\n.y\n"),
    ("flags=F", b"From s@far.test  Mon Jan  5 ", b".y\n"),
    ("flags=ROD", b"Return-Path: <s@far.test>\nX-Original-To: U@to.test\nDelivered-To: U@to", b""),
    ("flags=B", b"Received", b".y\n\n"),
    ("flags=>.", b"Received", b"\n\n>From x\n..y\n"),
    ("flags=R null_sender=nil eol=\\r\\n", b"Return-Path: <s@far.test>\r\n", b"From x\r\n.y\r\n"),
]


@pytest.mark.parametrize(("flags", "start", "end"), FLAGS)
def test_flags_shape_the_message(make_site: Any, flags: str, start: bytes, end: bytes) -> None:
    site = pipe_site(make_site, f"{flags} user=alice argv=/usr/bin/eat")
    fates = site.send("U@to.test", text="Subject: x\n\nFrom x\n.y\n")
    assert fates == ["U@to.test eat 2.0.0 sent (delivered via eat service (  all fine))"]
    (run,) = site.programs.runs
    assert run.invocation.stdin.startswith(start)
    assert run.invocation.stdin.endswith(end)
    assert run.invocation.uid == 1001


WORDS = [
    ("", "$sender ${nexthop} $$x", ["s@far.test", "Hop", "$x"]),
    ("", "-f [$sender] ${recipient}", ["-f", "[s@far.test]", "A+b@to.test", "C@to.test"]),
    ("", "x${user}y $extension -$mailbox", ["xAy", "xCy", "b", "", "-A+b", "-C"]),
    ("flags=hu", "$recipient $nexthop", ["a+b@to.test", "c@to.test", "hop"]),
    ("", "$original_recipient$client_address", ["A+b@to.test198.51.100.7", "C@to.test198.51.100.7"]),
    ("", "{a b} {c}", ["a b", "c"]),
]


@pytest.mark.parametrize(("flags", "words", "argv"), WORDS)
def test_words_come_once_or_for_each_recipient(
    make_site: Any, flags: str, words: str, argv: list[str]
) -> None:
    site = pipe_site(make_site, f"{flags} user=alice argv=/usr/bin/eat {words}")
    site.send("A+b@to.test", "C@to.test")
    (run,) = site.programs.runs
    assert list(run.invocation.argv[1:]) == argv


MISTAKES = [
    ("user=alice argv=/usr/bin/eat ${none}", "4.3.5 deferred (mail system configuration error)",
     'warning: file /etc/postfix/master.cf: service eat: unknown macro name: "none"'),
    ("user=alice argv=/usr/bin/eat ${user", "4.3.5 deferred (mail system configuration error)",
     'warning: truncated macro reference: "${user"'),
    ("user=alice size=10 argv=/usr/bin/eat", "5.2.3 bounced (message too large)", ""),
    ("user=alice directory=/none argv=/usr/bin/eat", "4.3.0 deferred (temporary failure)",
     'fatal: cannot change directory to "/none" for uid=1001 gid=1001: No such file or directory'),
    ("user=alice argv=/usr/bin/none", "4.3.0 deferred (temporary failure. Command output: pipe: "
     "fatal: pipe_command: execvp /usr/bin/none: No such file or directory )", ""),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "fate", "line"), MISTAKES)
def test_mistakes_of_a_pipe(make_site: Any, attributes: str, fate: str, line: str) -> None:
    site = pipe_site(make_site, attributes)
    assert site.send("u@to.test") == [f"u@to.test eat {fate}"]
    assert any(found.text == line for found in site.lab.log) or not line


FATAL = [
    ("argv=/x", "missing user= command-line attribute"),
    ("user=alice", "missing argv= command-line attribute"),
    ("user=root argv=/x", "user= command-line attribute specifies root privileges"),
    ("user=postfix argv=/x", "user= command-line attribute specifies mail system owner postfix"),
    ("user=nosuch argv=/x", "get_service_attr: unknown username: nosuch"),
    ("user=alice:none argv=/x", "get_service_attr: unknown group: none"),
    ("user=alice:root argv=/x", "user= command-line attribute specifies privileged group id 0"),
    ("user=alice:postdrop argv=/x",
     "user= command-line attribute specifies mail system postdrop group id 106"),
    ("user=alice flags=Z argv=/x", "unknown flag: Z (ignored)"),
    ("user=alice size=1k argv=/x", "get_service_attr: bad size= value: 1k"),
    ("user=alice color=red argv=/x", "unknown attribute name: color=red"),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "text"), FATAL)
def test_attributes_that_make_a_pipe_die(make_site: Any, attributes: str, text: str) -> None:
    site = pipe_site(make_site, attributes)
    site.send("u@to.test")
    assert [line.text for line in site.lab.log if line.daemon == "pipe"] == [f"fatal: {text}"]


@pytest.mark.parametrize("flag", ["D", "O"])
def test_headers_for_one_recipient_need_a_limit_of_one(make_site: Any, flag: str) -> None:
    site = pipe_site(make_site, f"flags={flag} user=alice argv=/usr/bin/eat")
    fates = site.send("u@to.test", "v@to.test")
    assert [fate.partition(" ")[2] for fate in fates] == [
        "eat 4.3.5 deferred (mail system configuration error)"
    ] * 2
    assert site.warnings("pipe") == [
        f"pipe flag `{flag}' requires eat_destination_recipient_limit = 1"
    ]


def test_a_pipe_with_delivered_to_ends_loops(make_site: Any) -> None:
    site = pipe_site(make_site, "flags=D user=alice argv=/usr/bin/eat")
    assert site.send("u@to.test", text="Delivered-To: U@To.test\n\nx\n") == [
        "u@to.test eat 5.4.6 bounced (mail forwarding loop for u@to.test)"
    ]


def test_a_service_has_a_time_limit_of_its_own(make_site: Any) -> None:
    site = pipe_site(make_site, "user=alice argv=/usr/bin/slow", "eat_time_limit = 5s\n")
    site.programs.add("/usr/bin/slow", seconds=6)
    assert site.send("u@to.test") == [
        'u@to.test eat 5.3.0 bounced (Command time limit exceeded: "/usr/bin/slow")'
    ]


# -- spawn ----------------------------------------------------------------------------------------


def test_spawn_gives_a_command_what_its_client_says(make_site: Any) -> None:
    entry = "2626 inet n n n - - spawn user=alice argv=/usr/bin/x a\n"
    site = make_site("", master_cf=entry, commands={"/usr/bin/x": {"exit": 3, "output": "ok\n"}})
    there = site.lab.stage.machine_at("198.51.100.7")

    def client() -> Any:
        stream = yield there.network.connect(Inet("192.0.2.25", 2626), 10)
        stream.write(b"hello\r\n")
        yield stream.flush(10)
        stream.close()

    there.spawn(client(), "client")
    site.lab.advance("10s")
    (run,) = site.programs.runs
    assert run.invocation.argv == ("/usr/bin/x", "a")
    assert run.invocation.stdin == b"hello\r\n"
    first, second = site.warnings("spawn")
    assert first.startswith("a dialogue with a command is not implemented: /usr/bin/x ")
    assert second == "command /usr/bin/x exit status 3"


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ("argv=/x", "missing user= attribute"),
        ("user=alice", "missing argv= attribute"),
        ("user=root argv=/x", "request to deliver as root"),
        ("user=postfix argv=/x", "request to deliver as mail system owner"),
        ("user=none argv=/x", "unknown user name: none"),
        ("flags=x user=alice argv=/x", "unknown attribute name: flags=x"),
    ],
)
def test_attributes_that_make_spawn_die(make_site: Any, attributes: str, text: str) -> None:
    site = make_site("", master_cf=f"2626 inet n n n - - spawn {attributes}\n")
    assert site.lab.client("198.51.100.7", 2626).hangup().transcript
    assert [line.text for line in site.lab.log if line.daemon == "spawn"] == [f"fatal: {text}"]


# -- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("odd unix - - n - - error", "bad error service name: odd"),
        ("odd unix - - n - - discard some thing", "unexpected command-line argument: some"),
        ("odd unix - n n - - local some", "unexpected command-line argument: some"),
        ("odd unix - - n - - smtp some", "unexpected command-line argument: some"),
    ],
)
def test_entries_of_master_cf_that_make_an_agent_die(make_site: Any, entry: str, text: str) -> None:
    routes = "transport_maps = inline:{ {far.test = discard:}, {to.test = odd:hop} }\n"
    site = make_site("", routes, master_cf=entry + "\n")
    site.send("u@to.test")
    assert f"fatal: {text}" in [line.text for line in site.lab.log]
    assert site.lab.queue[0].recipients[0].reason == "unknown mail transport error"
