"""verify(8) in the time of the world: probes, what is remembered, and for how long."""

from __future__ import annotations

import pytest

from postlab.lab import Lab

MAIN_CF = """
mydestination = example.org
relay_domains = far.test
smtpd_recipient_restrictions = reject_unverified_recipient
"""
NOBODY = "host mx.far.test[203.0.113.10] said: 550 5.1.1 nobody (in reply to RCPT TO command)"
REPLIES = (
    {"on": "RCPT TO:<no", "reply": "550 5.1.1 nobody"},
    {"on": "RCPT TO:<later", "reply": "450 4.2.0 later"},
    {"on": "RCPT TO:<once", "reply": "250 2.1.5 Ok", "times": 1},
    {"on": "RCPT TO:<once", "reply": "550 5.1.1 moved away"},
    {"on": "RCPT TO:<twice", "reply": "550 5.1.1 not yet", "times": 1},
)


def lab(settings: str = "") -> Lab:
    lab = Lab()
    lab.mta(MAIN_CF + settings)
    lab.peer("mx.far.test", "203.0.113.10", mx_for=["far.test"], replies=REPLIES)
    return lab


def ask(lab: Lab, recipient: str) -> str:
    """What the mail system says to a recipient."""
    client = lab.client("198.51.100.7")
    for line in ("HELO client.test", "MAIL FROM:<>", f"RCPT TO:<{recipient}>", "QUIT"):
        client.say(line)
    lab.settle()
    transcript = client.transcript
    return transcript[transcript.index(f"C: RCPT TO:<{recipient}>") + 1][3:]


def probes(lab: Lab) -> int:
    """How many probes there were so far."""
    return len([line for line in lab.log if "from=<double-bounce@" in str(line)])


def refused(address: str, why: str, code: str = "450 4.1.1", kind: str = "unverified") -> str:
    return f"{code} <{address}>: Recipient address rejected: {kind} address: {why}"


def test_an_address_is_probed_while_the_client_waits() -> None:
    world = lab()
    assert ask(world, "ok@far.test") == "250 2.1.5 Ok"
    assert ask(world, "no@far.test") == refused("no@far.test", NOBODY)
    assert probes(world) == 2


def test_without_patience_the_client_has_to_come_again() -> None:
    world = lab("address_verify_poll_count = 1")
    progress = refused("ok@far.test", "Address verification in progress")
    assert ask(world, "ok@far.test") == progress
    assert ask(world, "ok@far.test") == "250 2.1.5 Ok"
    assert probes(world) == 1


def test_a_good_address_is_refreshed_after_a_week_and_forgotten_after_a_month() -> None:
    world = lab()
    assert ask(world, "once@far.test") == "250 2.1.5 Ok"
    world.advance("6d")
    assert ask(world, "once@far.test") == "250 2.1.5 Ok"
    assert probes(world) == 1
    world.advance("2d")
    assert ask(world, "once@far.test") == "250 2.1.5 Ok"  # a failed probe changes nothing yet
    assert probes(world) == 2
    world.advance("25d")
    assert "550 5.1.1 moved away" in ask(world, "once@far.test")


def test_a_bad_address_is_probed_again_after_three_hours() -> None:
    world = lab()
    assert "550 5.1.1 not yet" in ask(world, "twice@far.test")
    world.advance("2h")
    assert "550 5.1.1 not yet" in ask(world, "twice@far.test")
    assert probes(world) == 1
    world.advance("2h")
    assert "550 5.1.1 not yet" in ask(world, "twice@far.test")  # the answer comes too late
    assert ask(world, "twice@far.test") == "250 2.1.5 Ok"
    assert probes(world) == 2


def test_a_bad_address_is_forgotten_after_three_days() -> None:
    world = lab()
    assert "550 5.1.1 not yet" in ask(world, "twice@far.test")
    world.advance("4d")
    assert ask(world, "twice@far.test") == "250 2.1.5 Ok"


def test_bad_addresses_need_not_be_remembered() -> None:
    world = lab("address_verify_negative_cache = no")
    ask(world, "no@far.test")
    before = probes(world)
    ask(world, "no@far.test")
    assert probes(world) > before


@pytest.mark.parametrize(
    ("settings", "address", "reply"),
    [
        ("unverified_recipient_reject_code = 550", "no@far.test",
         refused("no@far.test", NOBODY, "550 5.1.1", "undeliverable")),
        ("unverified_recipient_reject_code = 550\nunverified_recipient_reject_reason = gone",
         "no@far.test", refused("no@far.test", "gone", "550 5.1.1", "undeliverable")),
        ("unverified_recipient_defer_code = 250", "later@far.test", "250 2.1.5 Ok"),
        ("unverified_recipient_defer_code = 451", "later@far.test",
         refused("later@far.test", "host mx.far.test[203.0.113.10] said: 450 4.2.0 later (in reply "
                 "to RCPT TO command)", "451 4.1.1")),
        ("address_verify_transport_maps = inline:{{far.test=error:5.1.2 not here}}", "ok@far.test",
         refused("ok@far.test", "not here")),
        ("address_verify_relayhost = [203.0.113.10]\naddress_verify_relay_transport = error:x",
         "ok@far.test", refused("ok@far.test", "x")),
    ],
)  # fmt: skip
def test_codes_reasons_and_ways(settings: str, address: str, reply: str) -> None:
    assert ask(lab(settings), address) == reply


def test_the_sender_of_probes_may_change_with_the_time() -> None:
    world = lab("address_verify_sender = probe\naddress_verify_sender_ttl = 1h")
    senders = []
    for address in ("a@far.test", "b@far.test"):
        ask(world, address)
        lines = [str(line) for line in world.log if "from=<probe" in str(line)]
        senders.append(lines[-1].partition("from=<")[2].partition("@")[0])
        world.advance("3h")
    assert senders[0] != senders[1]


def test_a_probe_of_the_sender_s_name_is_never_refused() -> None:
    world = lab("smtpd_recipient_restrictions = reject")
    assert ask(world, "double-bounce@mx.example.org") == "250 2.1.5 Ok"


def test_a_colon_is_probed_as_an_underscore() -> None:
    world = lab()
    assert ask(world, "a:b@far.test") == "250 2.1.5 Ok"
    assert any("to=<a_b@far.test>" in str(line) for line in world.log)


def cleanups(lab: Lab) -> list[str]:
    lines = (str(line) for line in lab.log if " full cleanup: " in str(line))
    return [line.partition(" full cleanup: ")[2] for line in lines]


def test_the_cache_is_cleaned_when_the_process_starts_anew() -> None:
    world = lab()
    ask(world, "no@far.test")
    world.advance("5d")
    assert cleanups(world) == ["retained=0 dropped=0 entries"]
    ask(world, "ok@far.test")
    assert cleanups(world)[1:] == ["retained=0 dropped=1 entries"]


def test_a_cache_in_memory_is_cleaned_every_so_often() -> None:
    world = lab("address_verify_map =\naddress_verify_cache_cleanup_interval = 1d")
    ask(world, "no@far.test")
    world.advance("5d")
    assert cleanups(world) == [
        "retained=0 dropped=0 entries",
        *["retained=1 dropped=0 entries"] * 3,
        "retained=0 dropped=1 entries",
        "retained=0 dropped=0 entries",
    ]
