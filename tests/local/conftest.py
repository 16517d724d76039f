"""A mail system for example.org whose mail for far.test goes nowhere, and what becomes of mail."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from postlab import Lab

_MAIN_CF = (
    "mydestination = example.org",
    "myorigin = example.org",
    "mynetworks = 198.51.100.0/24",
    "recipient_delimiter = +",
    "local_recipient_maps =",
    "alias_maps = hash:$config_directory/aliases",
    "transport_maps = inline:{ {far.test = discard:} }",
)
_STATUS = re.compile(r"to=<(.*?)>.*? relay=(\w+),.* dsn=(\S+), status=(\w+) \((.*)\)")


class Site:
    """A lab and short forms for what tests ask of it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def send(
        self, *recipients: str, sender: str = "s@far.test", text: str = "Subject: x\n\nbody\n"
    ) -> list[str]:
        """Sends a message and gives the new outcomes of the local delivery agents, each as
        ``address relay dsn status (reason)``.
        """
        before = len(self.lab.log)
        client = self.lab.client("198.51.100.7").say("EHLO c.test")
        client.say(f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{r}>" for r in recipients), "DATA")
        client.content(text).quit()
        found = []
        for line in list(self.lab.log)[before:]:
            match = _STATUS.search(line.text)
            if match and line.daemon in ("local", "virtual", "pipe"):
                found.append("{} {} {} {} ({})".format(*match.groups()))
        return found

    def warnings(self, daemon: str = "local") -> list[str]:
        """All warnings of a daemon."""
        return [
            line.text.removeprefix("warning: ")
            for line in self.lab.log
            if line.daemon == daemon and line.text.startswith("warning: ")
        ]

    @property
    def disk(self) -> Any:
        """The mail system's disk."""
        return self.lab.stage.mta.files

    @property
    def programs(self) -> Any:
        """Its commands."""
        return self.lab.stage.mta.programs


@pytest.fixture
def make_site() -> Callable[..., Site]:
    """Builds a site from aliases, further main.cf text and other parts of a mail system."""

    def make(
        aliases: str = "", main_cf: str = "", files: Mapping[str, str] | None = None, **more: Any
    ) -> Site:
        lab = Lab(seed=3)
        more.setdefault("users", ["alice", "bob"])
        base = [line for line in _MAIN_CF if line.partition("=")[0] + "=" not in main_cf]
        text = "\n".join(base) + "\n" + main_cf.lstrip()
        lab.mta(text, files={"aliases": aliases, **(files or {})}, **more)
        return Site(lab)

    return make
