"""What becomes of a message at each client level and with each kind of peer, as a table.

``python -m tests.tls.client_table`` draws it into ``docs/tls.md``; a test compares.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from postlab.lab import Lab
from sim.cert_keys import private_key
from sim.certs import DEFAULT_KEY, public_der
from sim.clock import START
from sim.faults import Rewrite
from sim.peers.tls import Sabotage, TlsSpec
from sim.wiretap import Wiretap

PAGE = Path(__file__).parents[2] / "docs" / "tls.md"
BEGIN, END = "<!-- client table -->", "<!-- end of client table -->"

MAIN_CF = """
mynetworks = 198.51.100.0/24
smtp_tls_CAfile = $config_directory/ca.pem
smtp_tls_loglevel = 1
smtp_starttls_timeout = 30s
maximal_queue_lifetime = 1h
bounce_queue_lifetime = 0
"""

DAY = 86_400_000_000


#: The SHA-256 of the key that peers have unless it is a weak one.
KEY_DIGEST = sha256(public_der(private_key(DEFAULT_KEY)))


#: Kinds of peer: what each does, in a few words, and how.
PEERS: dict[str, tuple[str, TlsSpec | None]] = {
    "plain": ("offers no STARTTLS", None),
    "stripped": ("STARTTLS taken out of its offer on the way", TlsSpec()),
    "refuses": ("454 to STARTTLS", TlsSpec(fault="refuse")),
    "leaves": ("closes after STARTTLS", TlsSpec(fault="close-after-starttls")),
    "noise": ("sends garbage for a handshake", TlsSpec(fault="garbage")),
    "hangs-up": ("closes in the handshake", TlsSpec(fault="close-in-handshake")),
    "resets": ("resets at byte 500 of it", TlsSpec(sabotage=Sabotage("reset", 500))),
    "stalls": ("falls silent at byte 100 of it", TlsSpec(sabotage=Sabotage("stall", 100))),
    "alert": ("a fatal alert at byte 90 of it", TlsSpec(sabotage=Sabotage("alert", 90))),
    "after": (
        "closes right after it (TLS 1.2)",
        TlsSpec(fault="close-after-handshake", max="TLSv1.2"),
    ),
    "valid": ("a certificate that is good", TlsSpec()),
    "expired": ("expired", TlsSpec(cert="expired")),
    "not-yet": ("not yet valid", TlsSpec(cert="not-yet-valid")),
    "self-signed": ("self-signed", TlsSpec(cert="self-signed")),
    "wrong-name": ("another name", TlsSpec(cert="wrong-name")),
    "wildcard": ("a wildcard: `*.test`", TlsSpec(cert="wildcard")),
    "intermediate": ("an intermediate authority", TlsSpec(cert="intermediate")),
    "missing": ("the intermediate one is not shown", TlsSpec(cert="missing-intermediate")),
    "untrusted": ("from an unknown root", TlsSpec(cert="untrusted")),
    "weak": ("a key of 1024 bits", TlsSpec(cert="weak-key")),
    "anonymous": ("none at all", TlsSpec(cert="none")),
    "old": ("speaks TLS 1.0 only", TlsSpec(min="TLSv1", max="TLSv1")),
    "rotates": ("good, and expired from tomorrow on", TlsSpec(rotation=((START + DAY, "expired"),))),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Level:
    """A column: its heading, what main.cf says, whether TLSA records are there, and whether mail
    must never go in the clear.
    """

    title: str
    main_cf: str
    strict: bool
    tlsa: bool = False


_DNSSEC = "smtp_dns_support_level = dnssec\n"
LEVELS = (
    Level("none", "smtp_tls_security_level = none\n", False),
    Level("may", "smtp_tls_security_level = may\n", False),
    Level("encrypt", "smtp_tls_security_level = encrypt\n", True),
    Level(
        "fingerprint",
        "smtp_tls_security_level = fingerprint\nsmtp_tls_fingerprint_digest = sha256\n"
        f"smtp_tls_fingerprint_cert_match = {KEY_DIGEST.digest().hex(':')}\n",
        True,
    ),
    Level("dane, no TLSA", f"smtp_tls_security_level = dane\n{_DNSSEC}", False),
    Level("dane, TLSA", f"smtp_tls_security_level = dane\n{_DNSSEC}", True, tlsa=True),
    Level("dane-only, no TLSA", f"smtp_tls_security_level = dane-only\n{_DNSSEC}", True),
    Level("dane-only, TLSA", f"smtp_tls_security_level = dane-only\n{_DNSSEC}", True, tlsa=True),
    Level("verify", "smtp_tls_security_level = verify\n", True),
    Level("secure", "smtp_tls_security_level = secure\n", True),
)


def world(level: Level) -> tuple[Lab, Wiretap]:
    """A world with all kinds of peer, for a mail system with a level."""
    lab = Lab().mta(MAIN_CF + level.main_cf)
    for name, (_, tls) in PEERS.items():
        lab.peer(f"{name}.test", tls=tls)
        if level.tlsa:
            lab.dns(f"_25._tcp.{name}.test. IN TLSA 3 1 1 {KEY_DIGEST.hexdigest()}")
    lab.dns(signed=["test."])
    tap = Wiretap(lab.stage.world.network)
    lab.stage.world.faults.add(
        Rewrite(pattern=rb"250([- ])STARTTLS\r\n", replacement=rb"250\1XSTARTXX\r\n",
                host=lab.stage.servers["stripped.test"].spec.address)
    )  # fmt: skip
    return lab, tap


@dataclass(frozen=True, slots=True)
class Outcome:
    """A cell: how the message went (``plain``, ``Verified``, …, empty: not at all), after how many
    attempts, and the reason where it did not.
    """

    how: str
    attempts: int
    reason: str
    leaked: bool  #: its text could be read on a wire


@lru_cache(maxsize=32)
def column(level: Level) -> dict[str, Outcome]:
    """What becomes of a message to each kind of peer."""
    lab, tap = world(level)
    lab.advance(30)  # all mail is too young for the run of the queue in five minutes
    for name in PEERS:
        lab.client("198.51.100.7").say(
            "EHLO c.test", "MAIL FROM:<a@c.test>", f"RCPT TO:<u@{name}.test>", "DATA",
            f"Subject: x\n\nsecret-of-{name}.\n.\n", "QUIT",
        )  # fmt: skip
    lab.run("2h")
    lines = [str(line) for line in lab.log]
    return {name: _outcome(lab, tap, lines, name) for name in PEERS}


def _outcome(lab: Lab, tap: Wiretap, lines: list[str], name: str) -> Outcome:
    address = lab.stage.servers[f"{name}.test"].spec.address
    secret = f"secret-of-{name}.".encode()
    leaked = bool(tap.in_clear(secret, to=address))
    message = next(m for m in lab.messages if any(f.recipient == f"u@{name}.test" for f in m.fates))
    fate = message.fate(f"u@{name}.test")
    if not any(d.where == f"peer {name}.test" for d in lab.delivered):
        return Outcome(
            "", fate.attempts, re.sub(r"\S+\.test\[[\d.]+\]", "HOST", fate.reason), leaked
        )
    found = [
        m[1]
        for line in lines
        if (m := re.search(rf"(\w+) TLS connection established to {re.escape(name)}\.test\[", line))
    ]
    return Outcome("plain" if leaked else found[-1], fate.attempts, "", leaked)


def table() -> str:
    """The table as Markdown, with the texts below it."""
    reasons: dict[str, str] = {}
    rows = []
    columns = {level.title: column(level) for level in LEVELS}
    for name, (what, _) in PEERS.items():
        cells = []
        for level in LEVELS:
            outcome = columns[level.title][name]
            if outcome.how:
                cells.append(
                    outcome.how + (f" ({outcome.attempts})" if outcome.attempts > 1 else "")
                )
            else:
                letter = reasons.setdefault(outcome.reason, chr(ord("a") + len(reasons)))
                cells.append(f"*{letter}* ({outcome.attempts})")
        rows.append(f"| {what} | " + " | ".join(cells) + " |")
    head = "| the server | " + " | ".join(level.title for level in LEVELS) + " |"
    legend = [f"- *{letter}*: {reason}" for reason, letter in reasons.items()]
    return "\n".join([head, "|" + " --- |" * (len(LEVELS) + 1), *rows, "", *legend])


def drawn() -> str:
    """The table in the documentation."""
    text = PAGE.read_text(encoding="utf-8")
    return text.partition(BEGIN)[2].partition(END)[0].strip()


def draw() -> None:
    """Puts the table into the documentation."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    draw()
    sys.stdout.write(table() + "\n")
