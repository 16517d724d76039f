"""People of a laboratory: the same for the same seed, and fit for mail."""

from __future__ import annotations

from email import message_from_string
from email.utils import getaddresses

from hypothesis import given, settings
from hypothesis import strategies as st

from postlab.lab import Lab
from postlab.people import People


def test_the_same_seed_gives_the_same_people_and_letters() -> None:
    def write() -> str:
        people = People(seed=7)
        anna, ben = people.persons(2, "example.org")
        return people.letter(anna, [ben])

    assert write() == write()
    assert People(seed=8).person("example.org") != People(seed=7).person("example.org")


def test_no_two_people_share_an_address() -> None:
    addresses = [person.address for person in People().persons(2000, "example.org")]
    assert len(dict.fromkeys(addresses)) == 2000


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.sampled_from(["en_US", "de_DE", "fr_FR", "ja_JP"]))
def test_everybody_has_an_account_that_a_mail_system_takes(seed: int, locale: str) -> None:
    people = People(seed, locale)
    person = people.person("example.org")
    assert person.user.isascii() and person.user == person.user.lower()
    message = message_from_string(people.letter(person, [person]))
    assert getaddresses([message["To"]])[0][1] == person.address


def test_a_village_writes_to_itself_and_every_letter_arrives(lab: Lab) -> None:
    people = People(seed=3)
    village = people.persons(8, "example.org")
    lab.mta(
        "mydestination = example.org\nmynetworks = 192.0.2.0/24", users=[p.user for p in village]
    )
    for sender, recipient in zip(village, village[1:] + village[:1], strict=True):
        content = people.letter(sender, [recipient])
        lab.client("192.0.2.30").say("EHLO village").mail(
            sender.address, recipient.address, text=content
        ).quit()
    lab.run()
    assert all(lab.fate(person.address).status == "sent" for person in village)
    assert all(len(lab.mailbox(person.user)) == 1 for person in village)
