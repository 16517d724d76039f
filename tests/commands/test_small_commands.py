"""The small commands: postlog, postkick, postlock, postmulti, newaliases, and options of all.

Outputs and log lines are those of a real Postfix 3.0.15.
"""

from __future__ import annotations

import pytest

from postlab import Lab

SITE = """
mydestination = example.org
mynetworks = 192.0.2.0/24
alias_database = hash:/etc/postfix/aliases
"""
ALIASES = "bob: alice\n"


@pytest.fixture
def lab() -> Lab:
    """A mail system with alice."""
    made = Lab(seed=1)
    made.mta(SITE, users=["alice"], files={"aliases": ALIASES})
    return made


def log(lab: Lab) -> list[str]:
    """The log without the numbers of processes."""
    found = []
    for line in map(str, lab.log):
        tag, _, text = line.partition(": ")
        found.append(f"{tag.partition('[')[0]}: {text}")
    return found


POSTLOG_USAGE = "[-c config_dir] [-i] [-p priority] [-t tag] [-v] [text]"
POSTLOG = [
    ("postlog hello world", 0, "", "postfix/postlog: hello world"),
    ("postlog -p warn careful", 0, "", "postfix/postlog: warning: careful"),
    ("postlog -p ERR bad", 0, "", "postfix/postlog: error: bad"),
    ("postlog -p crit dead", 0, "", "postfix/postlog: fatal: dead"),
    ("postlog -p bogus x", 1, "", 'postfix/postlog: fatal: bad severity: "bogus"'),
    ("postlog -i -t my/tag hi", 0, "", "my/tag: hi"),
    ("postlog '  as  it is '", 0, "", "postfix/postlog:   as  it is "),
    ("postlog -z", 1, "postlog: invalid option -- 'z'\n",
     f"postfix/postlog: fatal: usage: postfix/postlog {POSTLOG_USAGE}"),
    ("postlog -c /lost x", 1, "",
     "postfix/postlog: fatal: open /lost/main.cf: No such file or directory"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "status", "output", "last"), POSTLOG)
def test_postlog_writes_to_the_log_alone(
    lab: Lab, line: str, status: int, output: str, last: str
) -> None:
    result = lab.command(line)
    assert (result.exit, result.output) == (status, output)
    assert log(lab)[-1] == last


KICK = "postkick: warning: "
POSTKICK = [
    ("postkick public qmgr W", 0, ""),
    ("postkick private qmgr W", 1,
     f"{KICK}unable to look up private/qmgr: No such file or directory\n"
     f"{KICK}Cannot contact class private service qmgr - perhaps the mail system is down\n"),
    ("postkick public lost W", 1,
     f"{KICK}unable to look up public/lost: No such file or directory\n"
     f"{KICK}Cannot contact class public service lost - perhaps the mail system is down\n"),
    ("postkick public qmgr", 1,
     "postkick: fatal: usage: postkick [-c config_dir] [-v] class service request\n"),
    ("postfix stop; postkick public qmgr W", 1,
     f"{KICK}Cannot contact class public service qmgr - perhaps the mail system is down\n"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "status", "output"), POSTKICK)
def test_postkick_wakes_services(lab: Lab, line: str, status: int, output: str) -> None:
    result = lab.command(line)
    assert (result.exit, result.output) == (status, output)


def test_postkick_has_deferred_mail_delivered() -> None:
    lab = Lab(seed=1)
    lab.mta(SITE, users=["alice"])
    lab.peer("mx.dest.test", mx_for=["dest.test"]).on("RCPT", "450 4.2.1 later", times=1)
    lab.client("192.0.2.30").say("EHLO pc").mail("a@example.org", "bob@dest.test").quit()
    assert lab.fate("bob@dest.test").status == "deferred"
    lab.command("postkick public qmgr DA")
    assert lab.fate("bob@dest.test").status == "sent"


LOCK_USAGE = "postlock: fatal: usage: postlock [-c config_dir] [-l lock_style] [-v] folder command"
POSTLOCK = [
    ("postlock /var/mail/alice postqueue -p", 0, "Mail queue is empty\n"),
    ("postlock /var/mail/alice false", 1, ""),
    ("postlock -l dotlock /tmp/new postlock /tmp/other echo a b", 0, "a b\n"),
    ("postlock /var/mail/alice", 75, f"{LOCK_USAGE}...\n"),
    ("postlock -l bogus /var/mail/alice true", 75,
     'postlock: fatal: unknown mailbox_delivery_lock value "bogus" in "bogus"\n'),
    ("postlock /lost/x true", 75,
     "postlock: fatal: open file /lost/x: unable to create lock file /lost/x.lock: "
     "No such file or directory\n"),
    ("postlock /etc true", 75,
     "postlock: fatal: open file /etc: cannot open file: Is a directory\n"),
    ("postlock /var/mail/alice lost", 1,
     "postlock: fatal: execvp lost: No such file or directory\n"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "status", "output"), POSTLOCK)
def test_postlock_runs_a_command_under_a_lock(
    lab: Lab, line: str, status: int, output: str
) -> None:
    result = lab.command(line)
    assert (result.exit, result.output) == (status, output)


PRIMARY = "-               -               y         /etc/postfix\n"
POSTMULTI = [
    ("postmulti -l", 0, PRIMARY, None),
    ("postmulti -l -g none", 0, "", None),
    ("postmulti -x postconf -h mydestination", 0, "example.org\n", None),
    ("postmulti -i - -x postqueue -p", 0, "Mail queue is empty\n", None),
    ("postmulti -i lost -x true", 1, "", "fatal: No matching instances"),
    ("postmulti", 1, "", "fatal: Specify exactly one of '-e', '-l', '-p', '-x'"),
    ("postmulti -p", 1, "", "fatal: Command required with '-p' or '-x' option"),
    ("postmulti -e enable -i x", 1, "", "fatal: No instance named x"),
    ("postmulti -e enable", 1, "", "fatal: Select an instance via '-i name'"),
    ("postmulti -i - -e destroy", 1, "", "fatal: Cannot remove the primary instance"),
    ("postmulti -I out -e create", 1, "", "fatal: New instance name must start with 'postfix-'"),
    ("postmulti -i - -I a/b -e assign", 1, "",
     "fatal: Illegal '/' character in new instance name: 'a/b'"),
    ("postmulti -i - -G 'a b' -e assign", 1, "", "fatal: Unsafe characters in '-G a b'"),
    ("postmulti -l -G x", 1, "", "fatal: Cannot assign instance name or group without '-e assign'"),
    ("postmulti -a -g x -l", 1, "", "fatal: Specity no more than one of '-a', '-g', '-i'"),
    ("postmulti -e create", 1, "", "fatal: Missing config_directory parameter value"),
    ("postmulti -e bogus", 1, "",
     "fatal: Invalid '-e' edit action 'bogus'. Specify 'create', 'destroy', 'import', 'deport', "
     "'enable', 'disable', 'assign' or 'init'"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "status", "output", "last"), POSTMULTI)
def test_postmulti_with_one_instance(
    lab: Lab, line: str, status: int, output: str, last: str | None
) -> None:
    result = lab.command(line)
    assert (result.exit, result.output) == (status, output)
    if last is not None:
        assert log(lab)[-1] == f"postmulti: {last}"


def test_a_second_instance_has_its_own_settings_queue_and_switch(lab: Lab) -> None:
    second = (
        "queue_directory = /var/spool/postfix-out\ndata_directory = /var/lib/postfix-out\n"
        "multi_instance_name = postfix-out\nmulti_instance_group = mx\n"
        "multi_instance_enable = yes\nmyhostname = out.example.org\n"
        "inet_interfaces = loopback-only\n"
    )
    lab.write_file("/etc/postfix-out/main.cf", second)
    lab.write_file(
        "/etc/postfix-out/master.cf",
        "qmgr unix n - n 300 1 qmgr\nshowq unix n - n - - showq\n",
    )
    edit = lab.command("postconf -e 'multi_instance_directories = /etc/postfix-out'")
    assert edit.exit == 0
    listing = "postfix-out     mx              y         /etc/postfix-out\n"
    assert lab.command("postmulti -l").output == PRIMARY.replace("y  ", "n  ") + listing
    assert lab.command("postmulti -i out -x postconf -h myhostname").output == "out.example.org\n"
    down = lab.command("postqueue -c /etc/postfix-out -f")
    assert down.exit == 69
    assert lab.command("postmulti -i out -p start").exit == 0
    assert lab.command("postqueue -c /etc/postfix-out -p").output == "Mail queue is empty\n"
    assert lab.command("postmulti -g mx -p status").exit == 0
    assert lab.command("postfix -c /etc/postfix-out stop").exit == 0
    assert lab.command("postmulti -i out -p status").exit == 1
    assert lab.command("postfix status").exit == 0


#: Exit statuses for a directory without ``main.cf``.
NO_CONFIGURATION = [
    ("postconf", 1), ("postmap", 1), ("postalias", 1), ("postsuper", 1), ("postcat", 1),
    ("postqueue", 69), ("postlock", 75), ("postkick", 1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "status"), NO_CONFIGURATION)
def test_a_configuration_that_is_not_there_is_fatal(lab: Lab, name: str, status: int) -> None:
    words = {"postkick": " public qmgr W", "postlock": " /tmp/x true", "postqueue": " -p"}
    result = lab.command(f"{name} -c /lost{words.get(name, ' x')}")
    assert result.output == f"{name}: fatal: open /lost/main.cf: No such file or directory\n"
    assert result.exit == status


@pytest.mark.parametrize("name", ["sendmail", "mailq"])
def test_sendmail_reads_its_options_twice_for_the_sake_of_the_configuration(
    lab: Lab, name: str
) -> None:
    lost = lab.command(f"{name} -C /lost/main.cf -bp")
    assert lost.output == f"{name}: fatal: open /lost/main.cf: No such file or directory\n"
    assert lost.exit == 75
    bad = f"{name}: invalid option -- '='\n"
    usage = f"{name}: fatal: usage: {name} [options]\n"
    assert lab.command(f"{name} -= x").output == 2 * bad + usage
    once = lab.command(f"{name} -V -= x").output  # at first "-=" was the argument of -V
    assert once.endswith(f"specify -XV instead\n{bad}{usage}")


def test_newaliases_ends_as_postalias_does() -> None:
    lab = Lab(seed=1)
    lab.mta("alias_database = hash:/lost/aliases\n")
    result = lab.command("newaliases")
    assert result.output == "postalias: fatal: open /lost/aliases: No such file or directory\n"
    assert result.exit == 1


def test_verbose_commands_tell_a_little_of_what_they_do(lab: Lab) -> None:
    head = "name_mask: ipv4\ninet_addr_local: configured 2 IPv4 addresses\n"
    told = lab.command("postqueue -v -p").output
    assert told.replace("postqueue: ", "") == (
        f"{head}connect to subsystem public/showq\nMail queue is empty\n"
    )
    queues = ["defer", "bounce", "maildrop", "incoming", "active", "deferred", "hold", "flush"]
    told = lab.command("postsuper -v -d ALL").output
    assert told.replace("postsuper: ", "") == head + "".join(f"queue: {q}\n" for q in queues)


def test_a_listing_without_showq_is_no_listing() -> None:
    lab = Lab(seed=1)
    lab.mta(f"{SITE}\nshowq_service_name = lost\n")
    result = lab.command("postqueue -p")
    assert result.exit == 69
    assert result.output == (
        "postqueue: warning: Mail system is down -- accessing queue directly\n"
        "postqueue: fatal: execv /usr/libexec/postfix/lost: No such file or directory\n"
    )


def test_a_queue_manager_that_is_not_there_cannot_be_woken() -> None:
    lab = Lab(seed=1)
    lab.mta(f"{SITE}\nqueue_service_name = lost\n")
    result = lab.command("postqueue -f")
    assert result.exit == 69
    assert result.output == (
        "postqueue: warning: unable to look up public/lost: No such file or directory\n"
        "postqueue: fatal: Cannot flush mail queue - mail system is down\n"
    )
