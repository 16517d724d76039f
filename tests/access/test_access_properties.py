"""What holds for all lists of restrictions."""

from __future__ import annotations

from access_bench import Bench
from hypothesis import given, settings
from hypothesis import strategies as st

import mta.smtpd.check  # noqa: F401 - registers the restrictions
from mta.smtpd.check_actions import ACTIONS
from mta.smtpd.check_registry import RESTRICTIONS, Argument

ZONE = """
sender.test.             IN MX  10 mx.sender.test.
mx.sender.test.          IN A   203.0.113.2
sender.test.             IN NS  ns.sender.test.
backup.test.             IN MX  10 best.backup.test.
backup.test.             IN MX  20 mail.example.org.
best.backup.test.        IN A   203.0.113.3
mail.example.org.        IN A   192.0.2.1
null.test.               IN MX  0 .
7.100.51.198.list.test.  IN A   127.0.0.2
sender.test.list.test.   IN A   127.0.0.2
"""
FAULTS = {"down.test. MX": "servfail", "7.100.51.198.down.test. A": "refused"}
ARGUMENTS = {
    Argument.NONE: st.just(""),
    Argument.NUMBER: st.sampled_from([" 1", " x"]),
    Argument.DOMAIN: st.sampled_from([" list.test", " down.test", " list.test=127.0.0.[3..9]"]),
    Argument.POLICY: st.sampled_from([" unix:private/none"]),
}

#: HANGUP cuts the line, which is no outcome of a check.
actions = st.sampled_from(
    [*sorted(set(ACTIONS) - {"HANGUP"}), "550 5.1.1 no", "450 x", "soft", "hard", "reject", "junk"]
)
texts = st.sampled_from(["", " a@b.test", " x:y", " 5.7.1 text", " X-Header: value"])
keys = st.sampled_from(
    ["from@sender.test", "sender.test", "to@example.org", "client.test", "198.51.100", "<>", "mx.sender.test"]
)


@st.composite
def tables(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(["static", "inline", "fail"]))
    if kind == "fail":
        return " fail:x"
    action = draw(actions) + draw(texts)
    if kind == "static":
        return f" static:{{{action}}}"
    return f" inline:{{ {{{draw(keys)}={action}}} }}"


@st.composite
def restrictions(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from([*sorted(RESTRICTIONS), "soft", "hard"]))
    kind = RESTRICTIONS[name].argument if name in RESTRICTIONS else Argument.NONE
    argument = draw(tables() if kind is Argument.TABLE else ARGUMENTS[kind])
    warn = draw(st.sampled_from(["", "", "", "warn_if_reject "]))
    return f"{warn}{name}{argument}"


lists = st.lists(restrictions(), min_size=1, max_size=5)
senders = st.sampled_from(["from@sender.test", "", "x@down.test", "x@null.test", "odd"])
recipients = st.sampled_from(
    ["to@example.org", "x@far.test", "x@backup.test", "x@down.test", "a%far.test@example.org", "odd"]
)
clients = st.sampled_from([("client.test", "198.51.100.7"), ("unknown", "198.51.100.8")])
helos = st.sampled_from([None, "client.test", "[198.51.100.7]", "a..b", "down.test"])

CLASSES = {
    "smtpd_restriction_classes": "soft hard",
    "soft": "warn_if_reject reject",
    "hard": "permit_mynetworks, reject",
}


def bench(
    rules: list[str], client: tuple[str, str], helo: str | None, sender: str, relay: str = ""
) -> Bench:
    found = Bench(
        {
            **CLASSES,
            "smtpd_recipient_restrictions": ", ".join(rules),
            "smtpd_relay_restrictions": relay or "check_client_access static:OK, reject",
            "smtpd_policy_service_try_limit": "1",
        },
        zone=ZONE,
        faults=FAULTS,
    )
    found.client(found.session, *client)
    found.session.helo_name = helo
    found.session.sender = sender
    return found


@settings(max_examples=300, deadline=None, derandomize=True)
@given(lists, clients, helos, senders, recipients)
def test_no_list_is_too_odd(
    rules: list[str], client: tuple[str, str], helo: str | None, sender: str, recipient: str
) -> None:
    world = bench(rules, client, helo, sender)
    reply = world.rcpt(recipient)
    session = world.session
    assert reply is None or (reply[0] in "45" and reply[4] == reply[0])
    assert (session.recipient, session.sender) == (None, sender)
    if reply is not None:
        assert any(f": {reply};" in line for line in world.log)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(lists, clients, helos, senders, recipients)
def test_after_a_rejection_nothing_gets_through(
    rules: list[str], client: tuple[str, str], helo: str | None, sender: str, recipient: str
) -> None:
    assert bench(["reject", *rules], client, helo, sender).rcpt(recipient) is not None


@settings(max_examples=200, deadline=None, derandomize=True)
@given(lists, st.integers(0, 4), clients, helos, senders, recipients)
def test_a_test_never_rejects_more(
    rules: list[str],
    place: int,
    client: tuple[str, str],
    helo: str | None,
    sender: str,
    recipient: str,
) -> None:
    before = bench(rules, client, helo, sender).rcpt(recipient)
    place %= len(rules)
    tested = [*rules[:place], f"warn_if_reject {rules[place]}", *rules[place + 1 :]]
    after = bench(tested, client, helo, sender).rcpt(recipient)
    assert before is not None or after is None


@settings(max_examples=200, deadline=None, derandomize=True)
@given(lists, clients, helos, senders)
def test_a_stranger_is_never_relayed(
    rules: list[str], client: tuple[str, str], helo: str | None, sender: str
) -> None:
    for recipient in ("x@far.test", "a%far.test@example.org", "x@[203.0.113.9]"):
        world = bench(["reject_unauth_destination", *rules], client, helo, sender)
        assert world.rcpt(recipient) is not None
        world = bench(rules, client, helo, sender, relay="reject_unauth_destination")
        assert world.rcpt(recipient) is not None
