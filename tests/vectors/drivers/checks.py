"""The SMTP server: its access checks, and the words of its commands."""

from __future__ import annotations

from mta.lib.server_acl import ServerAcl
from mta.smtpd.token import smtpd_token
from mta.util.scalars import split
from tests.access.driver_smtpd_check import Player
from tests.vectors.drivers.config import NOBODY
from tests.vectors.shell import Io, program
from tests.vectors.site import site_of


@program("smtpd_check")
def run_smtpd_check(io: Io) -> None:
    """Access checks of one client."""
    site = site_of(io)
    names = [name for name in site.folder.names() if not name.endswith(".db")]
    files = {name: site.folder.text(name) for name in names}
    for text in Player(files, site.zone).play(io.lines()):
        io.line(text)


@program("server_acl")
def run_server_acl(io: Io) -> None:
    """Addresses in an access list."""
    site = site_of(io)
    settings = {"mynetworks": "", "server_acl": ""}
    for line in io.lines():
        io.line(f"> {line}")
        if line.startswith("#"):
            continue
        words = split(line, " =")
        if not words or words[0] == "?":
            io.line("usage: mynetworks=value|server_acl=value|address=value")
        elif len(words) == 1:
            io.line("missing value")
        elif words[0] in settings:
            settings[words[0]] = words[1]
        elif words[0] == "address":
            more = {"mynetworks": settings["mynetworks"], "compatibility_level": "2"}
            process = site.process(io, more, name=NOBODY, utf8=False)
            acl = ServerAcl(process, "server_acl", settings["server_acl"])
            io.line(f"{words[1]}: {site.run(acl.match(words[1]))}")
        else:
            io.line(f'unknown command: "{words[0]}"')


@program("smtpd_token")
def run_smtpd_token(io: Io) -> None:
    """The words of command lines."""
    for line in io.lines():
        if line.startswith("#"):
            continue
        io.out(f"{line}\n")
        for token in smtpd_token(line):
            kind = "error" if token.bad else "other"
            io.out(f"Token type:  {kind}\nToken value: {token.text}\n")
        io.flush()
