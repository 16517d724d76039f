"""The attempts: who comes, what he says, and where the mail is to arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from postlab.relay.targets import USER, Targets


@dataclass(frozen=True, slots=True)
class Probe:
    """One attempt."""

    form: str  #: what is tried, in words
    recipient: str  #: what follows ``RCPT TO:``
    user: str  #: where the mail is to arrive
    domain: str
    sender: str  #: what follows ``MAIL FROM:``
    helo: str  #: empty: no HELO at all
    name: str = ""  #: what the client's address is called in the DNS; empty: its own name
    port: int = 25

    @property
    def commands(self) -> list[str]:
        """The commands before the message."""
        hello = [f"HELO {self.helo}"] if self.helo else []
        return [*hello, f"MAIL FROM:{self.sender}", f"RCPT TO:{self.recipient}", "DATA"]

    @property
    def size(self) -> tuple[int, int, int]:
        """What makes a dialogue small: few commands, short addresses, short commands."""
        return (
            len(self.commands),
            len(self.recipient) + len(self.sender),
            sum(map(len, self.commands)) + 1000 * bool(self.name),
        )


class Form(NamedTuple):
    """A form of an address that hides where the mail goes."""

    words: str
    build: Callable[[str, str, str], str]  #: user, domain elsewhere, own domain


#: Where the mail is for elsewhere, and an own name helps.
FORMS = (
    Form("source route", lambda u, d, own: f"<@{own}:{u}@{d}>"),
    Form("source route over two hosts", lambda u, d, own: f"<@{own},@{own}:{u}@{d}>"),
    Form("percent hack", lambda u, d, own: f"<{u}%{d}@{own}>"),
    Form("percent hack, twice", lambda u, d, own: f"<{u}%{d}%{own}@{own}>"),
    Form("quoted percent hack", lambda u, d, own: f'<"{u}%{d}"@{own}>'),
    Form("percent hack behind a source route", lambda u, d, own: f"<@{own}:{u}%{d}@{own}>"),
    Form("percent hack, own domain with a dot at its end", lambda u, d, own: f"<{u}%{d}@{own}.>"),
    Form("percent hack, in capitals", lambda u, d, own: f"<{u}%{d}@{own.upper()}>"),
    Form("percent hack to a subdomain", lambda u, d, own: f"<{u}%{d}@sub.{own}>"),
    Form("bang path", lambda u, d, own: f"<{d}!{u}@{own}>"),
    Form("bang path over the own host", lambda u, d, own: f"<{own}!{d}!{u}>"),
    Form("bang path to a subdomain", lambda u, d, own: f"<{d}!{u}@sub.{own}>"),
    Form("quoted bang path", lambda u, d, own: f'<"{d}!{u}"@{own}>'),
    Form("bang path and percent", lambda u, d, own: f"<{own}!{u}%{d}>"),
    Form("address in the local part", lambda u, d, own: f"<{u}@{d}@{own}>"),
    Form("quoted address in the local part", lambda u, d, own: f'<"{u}@{d}"@{own}>'),
    Form("escaped address in the local part", lambda u, d, own: f"<{u}\\@{d}@{own}>"),
    Form("quoted address, subdomain", lambda u, d, own: f'<"{u}@{d}"@sub.{own}>'),
    Form("quoted address and percent", lambda u, d, own: f'<"{u}@{d}%{own}"@{own}>'),
    Form("colon in the local part", lambda u, d, own: f"<{own}:{u}@{d}>"),
    Form("address after a space", lambda u, d, own: f"<{own} {u}@{d}>"),
    Form("extension", lambda u, d, own: f"<{u}+{d}@{own}>"),
    Form("equals sign for the at sign", lambda u, d, own: f"<{u}={d}@{own}>"),
    Form("underscore for the at sign", lambda u, d, own: f"<{u}_{d}@{own}>"),
    Form("hyphen for the at sign", lambda u, d, own: f"<{u}-{d}@{own}>"),
    Form("number sign for the at sign", lambda u, d, own: f"<{u}#{d}@{own}>"),
    Form("two addresses in brackets", lambda u, d, own: f"<{u}@{own},{u}@{d}>"),
)
#: Where the mail is for elsewhere, and nothing hides it.
PLAIN = (
    Form("trailing dot", lambda u, d, own: f"<{u}@{d}.>"),
    Form("capitals", lambda u, d, own: f"<{u}@{d.upper()}>"),
    Form("without brackets", lambda u, d, own: f"{u}@{d}"),
    Form("space before the brackets", lambda u, d, own: f" <{u}@{d}>"),
    Form("spaces in the brackets", lambda u, d, own: f"< {u}@{d} >"),
    Form("brackets twice", lambda u, d, own: f"<<{u}@{d}>>"),
    Form("a phrase before the address", lambda u, d, own: f"relay <{u}@{d}>"),
    Form("a comment", lambda u, d, own: f"<{u}@{d}(comment)>"),
    Form("quoted local part", lambda u, d, own: f'<"{u}"@{d}>'),
    Form("the whole address quoted", lambda u, d, own: f'<"{u}@{d}">'),
    Form("percent alone", lambda u, d, own: f"<{u}%{d}>"),
    Form("bang path alone", lambda u, d, own: f"<{d}!{u}>"),
    Form("subdomain", lambda u, d, own: f"<{u}@sub.{d}>"),
    Form("address with an extension", lambda u, d, own: f"<{u}+x@{d}>"),
    Form("a domain that lists this host as its mail server", lambda u, d, own: f"<{u}@mx.{d}>"),
)


def family(targets: Targets, port: int = 25) -> list[Probe]:
    """All attempts at a port, each once."""
    found: dict[tuple[str, ...], Probe] = {}
    for probe in _family(targets):
        probe = replace(probe, port=port)
        key = (probe.recipient, probe.sender, probe.helo, probe.name)
        found.setdefault(key, probe)
    return list(found.values())


def _family(targets: Targets) -> Iterator[Probe]:
    outside = targets.outside
    client = f"client.{outside}"
    base = Probe("plain", f"<{USER}@{outside}>", USER, outside, f"<a@sender.{outside}>", client)
    home = targets.home
    yield base
    yield from _introductions(base, targets)
    for form in PLAIN:
        recipient = form.build(USER, outside, home)
        yield replace(base, form=form.words, recipient=recipient)
    senders = {"": base.sender, ", null sender": "<>", ", local sender": f"<postmaster@{home}>"}
    for domain in dict.fromkeys((home, targets.hostname, *targets.own)):
        yield from (p for p in _look_alikes(base, domain) if not targets.is_own(p.domain))
    for own, kind in _places(targets):
        for form in FORMS:
            recipient = form.build(USER, outside, own)
            words = f"{form.words} ({kind})"
            for what, sender in senders.items():
                yield replace(base, form=words + what, recipient=recipient, sender=sender)
    yield from _suggestions(base, targets)


def _look_alikes(base: Probe, own: str) -> Iterator[Probe]:
    """Names elsewhere that a list that is too generous takes for an own domain."""
    for words, domain in (
        ("own domain below the other", f"{own}.{base.domain}"),
        ("a name that begins like an own domain", f"{own}x.test"),
        ("a name that ends like an own domain", f"x{own}"),
        ("an own domain with another letter for its dot", own.replace(".", "x") + ".test"),
    ):
        yield replace(base, form=words, recipient=f"<{USER}@{domain}>", domain=domain)


def _places(targets: Targets) -> Iterator[tuple[str, str]]:
    """One or two own domains of each class, and the host itself."""
    kinds = dict.fromkeys(targets.own.values())
    for kind in kinds:
        for domain in targets.of_class(kind)[:2]:
            yield domain, f"{kind} domain"
    yield targets.hostname, "host name"
    yield f"[{targets.address}]", "address literal"
    yield "localhost", "localhost"


def _introductions(base: Probe, targets: Targets) -> Iterator[Probe]:
    """Who the client says he is."""
    home, host = targets.home, targets.hostname
    for words, sender in (
        ("null sender", "<>"),
        ("local sender", f"<postmaster@{home}>"),
        ("sender at the host", f"<postmaster@{host}>"),
        ("sender at the address literal", f"<postmaster@[{targets.address}]>"),
        ("sender without a domain", "<postmaster>"),
        ("sender at localhost", "<postmaster@localhost>"),
        ("sender is the recipient", base.recipient),
    ):
        yield replace(base, form=words, sender=sender)
    for words, helo in (
        ("HELO with the host's name", host),
        ("HELO with an own domain", home),
        ("HELO localhost", "localhost"),
        ("HELO with the host's address", f"[{targets.address}]"),
        ("HELO with a loopback address", "[127.0.0.1]"),
        ("no HELO", ""),
    ):
        yield replace(base, form=words, helo=helo)
        yield replace(base, form=f"{words}, local sender", helo=helo, sender=f"<postmaster@{home}>")
    for name in dict.fromkeys((host, f"client.{home}", "localhost")):
        yield replace(base, form=f"the client's address is called {name}", name=name)
    for domain in targets.own:
        yield replace(base, form=f"sender at {domain}", sender=f"<postmaster@{domain}>")


def _suggestions(base: Probe, targets: Targets) -> Iterator[Probe]:
    """What the tables name."""
    for address, pattern in targets.hidden:
        yield replace(base, form=f"an address for the pattern {pattern}", recipient=f"<{address}>")
    for domain in targets.domains:
        there = replace(base, recipient=f"<{USER}@{domain}>", domain=domain)
        yield replace(there, form=f"recipient at {domain}")
        yield replace(base, form=f"sender at {domain}", sender=f"<a@{domain}>")
        yield replace(base, form=f"HELO {domain}", helo=domain)
        yield replace(base, form=f"the client's address is called {domain}", name=domain)
        name = f"client.{domain}"
        yield replace(base, form=f"the client's address is called {name}", name=name)
    for address in targets.addresses:
        user, _, domain = address.rpartition("@")
        form = f"recipient {address}"
        yield replace(base, form=form, recipient=f"<{address}>", user=user, domain=domain)
        yield replace(base, form=f"sender {address}", sender=f"<{address}>")
    for user in targets.users:
        recipient = f"<{user}@{base.domain}>"
        yield replace(base, form=f"recipient {user}@", recipient=recipient, user=user)
        yield replace(base, form=f"sender {user}@", sender=f"<{user}@sender.{base.domain}>")
