"""People for a laboratory: names, user names, addresses and letters, always the same for a seed.

    people = People(seed=7)
    anna = people.person("example.org")
    anna.address, anna.header          # 'anna.lopez@example.org', 'Anna Lopez <anna.lopez@…>'
    people.letter(anna, [people.person("dest.test")])

The names are Faker's; its version is pinned, since another one may know other names.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from faker import Faker

__all__ = ["People", "Person"]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who writes and gets mail."""

    name: str
    user: str  #: the local account, in lower case
    domain: str

    @property
    def address(self) -> str:
        """``user@domain``."""
        return f"{self.user}@{self.domain}"

    @property
    def header(self) -> str:
        """The form for a From or To field (RFC 5322, mailbox)."""
        return f"{self.name} <{self.address}>"


class People:
    """A seeded source of persons and of what they write.  No two of them share an address."""

    def __init__(self, seed: int = 0, locale: str = "en_US") -> None:
        self._faker = Faker(locale)
        self._faker.seed_instance(seed)
        self._taken: set[str] = set()

    def person(self, domain: str) -> Person:
        """One more person at a domain."""
        name = f"{self._faker.first_name()} {self._faker.last_name()}"
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        stem = re.sub(r"[^a-z0-9]+", ".", plain.lower()).strip(".") or "user"
        user, number = stem, 1
        while f"{user}@{domain}" in self._taken:
            number += 1
            user = f"{stem}{number}"
        self._taken.add(f"{user}@{domain}")
        return Person(name, user, domain)

    def persons(self, count: int, domain: str) -> list[Person]:
        """So many persons at a domain."""
        return [self.person(domain) for _ in range(count)]

    def letter(self, sender: Person, recipients: Iterable[Person], paragraphs: int = 2) -> str:
        """A whole message: header, empty line, body; lines end with LF."""
        words = self._faker
        subject = words.sentence(nb_words=4).rstrip(".")
        body = "\n\n".join(
            "\n".join(words.sentence(nb_words=9) for _ in range(3)) for _ in range(paragraphs)
        )
        to = ",\n\t".join(person.header for person in recipients)
        return f"From: {sender.header}\nTo: {to}\nSubject: {subject}\n\n{body}\n"
