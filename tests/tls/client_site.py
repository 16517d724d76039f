"""A mail system that sends one message after another to servers that do TLS."""

from __future__ import annotations

from typing import Any

from postlab.lab import Lab
from sim.peers.tls import TlsSpec
from sim.wiretap import Wiretap

FROM = "198.51.100.7"
BASE = """
mynetworks = 198.51.100.0/24
smtp_tls_CAfile = $config_directory/ca.pem
smtp_tls_loglevel = 1
"""
SOUND = TlsSpec()
SECRET = b"The secret is in here."


class Site:
    """A lab with peers by name, and what is asked of it again and again."""

    def __init__(self, main_cf: str = "", **more: Any) -> None:
        names = {line.partition("=")[0].strip() for line in main_cf.split("\n")}
        base = [line for line in BASE.split("\n") if line.partition("=")[0].strip() not in names]
        self.lab = Lab().mta("\n".join(base) + "\n" + main_cf, **more)
        self._tap: Wiretap | None = None

    def peer(self, name: str, tls: TlsSpec | None = SOUND, **more: Any) -> Site:
        """A server."""
        self.lab.peer(name, tls=tls, **more)
        return self

    @property
    def tap(self) -> Wiretap:
        """Who listens to all wires; ask for it before anything is said."""
        if self._tap is None:
            self._tap = Wiretap(self.lab.stage.world.network)
        return self._tap

    def send(self, *recipients: str, sender: str = "a@c.test") -> Site:
        """A message comes in for recipients, and is delivered as far as that is possible now."""
        client = self.lab.client(FROM).say("EHLO c.test", f"MAIL FROM:<{sender}>")
        for recipient in recipients:
            client.say(f"RCPT TO:<{recipient}>")
        client.say("DATA", f"Subject: x\n\n{SECRET.decode()}\n.\n", "QUIT")
        self.lab.settle()
        return self

    def log(self, *words: str) -> list[str]:
        """The lines of the clients' log without their tags; those that hold one of the words."""
        lines = [str(line) for line in self.lab.log]
        found = [
            line.partition(": ")[2]
            for line in lines
            if line.startswith(("postfix/smtp[", "postfix/lmtp["))
        ]
        return [line for line in found if not words or any(word in line for word in words)]

    def reason(self, recipient: str) -> str:
        """Why a recipient has not got the message: ``4.7.5 text``; empty where he has."""
        fate = self.lab.fate(recipient)
        return "" if fate.status == "sent" else f"{fate.dsn} {fate.reason}"

    def said(self, peer: str) -> list[list[str]]:
        """What the mail system said to a server, session by session."""
        return [
            [line[3:] for line in session.transcript if line.startswith("C: ")]
            for session in self.lab.outcome.peers
            if session.who == peer
        ]
