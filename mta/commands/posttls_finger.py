"""posttls-finger(1) - probe the TLS properties of an ESMTP or LMTP server.

SYNOPSIS
    posttls-finger [options] [inet:]domain[:port] [match ...]
    posttls-finger -S [options] unix:pathname [match ...]

DESCRIPTION
    Connects to a server, does STARTTLS as the smtp(8) client would at some security level, and
    tells of the dialogue and of the server's certificate.  No mail is sent, no policy tables are
    looked at, and no other program of the mail system is asked: TLS sessions are kept in memory.

    -a family      which addresses first: ipv4, ipv6 or any (any)
    -A file        PEM file of trust anchors for ``verify`` and ``secure``; may be given repeatedly
    -c             does not show the SMTP dialogue
    -C             prints the chain of certificates that the server shows
    -d digest      of fingerprints (sha1)
    -f             looks for TLSA records also where the host is in a zone that is not signed
    -F file        CAfile
    -g grade       of ciphers (medium)
    -h lookup      how hosts are looked up: dns, native or both (dns)
    -k file        our certificate; -K file: its key.  Each is the default of the other
    -l level       security level (dane; without TLSA records secure)
    -L options     what to log: as in ``smtp_tls_loglevel`` (routine,certmatch)
    -m count       reconnections at most (5)
    -o name=value  another value for a parameter of main.cf
    -p protocols   (!SSLv2)
    -P path        CApath
    -r delay       connects again after so many seconds, to see whether the session is resumed
    -S             speaks LMTP
    -t time        limit for the connection and the greeting, in seconds (30)
    -T time        limit for each command (30)
    -v             tells more of what the libraries do
    -w             TLS from the first byte on

    Arguments after the destination are fingerprints (level ``fingerprint``) or names (levels
    ``verify`` and ``secure``) to match the certificate with.

DIAGNOSTICS
    The exit status is 0 unless the command makes no sense.

CONFIGURATION PARAMETERS
    inet_protocols, line_length_limit, myhostname, smtputf8_enable, tls_*
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from mta.commands.command import Command, Exit, command
from mta.system import Wait
from mta.util.parens import ParenError, split_nameval
from mta.util.scalars import strtol

USAGE = """\
usage: posttls-finger [-acCfSvw] [-t conn_tmout] [-T cmd_tmout] [-L logopts] \\
\t[-h host_lookup] [-l level] [-d mdalg] [-g grade] [-p protocols] \\
\t[-A tafile] [-F CAfile.pem] [-P CApath/] [-k certfile [-K keyfile]] [-m count] [-r delay] \\
\t[-o name=value] destination [match ...]
"""
_LETTERS = "a:ch:o:St:T:vA:Cd:fF:g:k:K:l:L:m:p:P:r:w"


@dataclass(slots=True)
class Options:
    """What the user wants."""

    preference: str = "any"
    anchors: list[str] = field(default_factory=list)
    quiet: bool = False
    print_chain: bool = False
    digest: str = "sha1"
    force_tlsa: bool = False
    ca_file: str = ""
    ca_path: str = ""
    grade: str = "medium"
    lookup: str = "dns"
    cert_file: str = ""
    key_file: str = ""
    level: str = ""
    log: str = "routine,certmatch"
    reconnects: int = 5
    overrides: dict[str, str] = field(default_factory=dict)
    protocols: str = "!SSLv2"
    delay: int = -1
    lmtp: bool = False
    connect_timeout: int = 30
    timeout: int = 30
    wrapper: bool = False
    verbose: int = 0


@command("posttls-finger")
def posttls_finger(cmd: Command) -> Wait[int]:
    """Runs the command."""
    from mta.commands.finger import Finger  # OpenSSL takes its time

    options = _options(cmd)
    if options.overrides:
        master = cmd.process.master
        conf = master.new_process(cmd.name, overrides=options.overrides).conf
        conf.warn = cmd.process.log.warning
        cmd.process.conf = conf
    yield from Finger(cmd, options).run()
    return 0


# -- options ---------------------------------------------------------------------------------------


def usage(cmd: Command) -> NoReturn:
    """Tells how the command is used.  Raises Exit."""
    cmd.write(USAGE)
    raise Exit(1)


def _words(cmd: Command) -> Iterator[tuple[str, str]]:
    """getopt(3); what is left becomes ``args``."""
    words = list(cmd.args)
    while words and words[0].startswith("-") and len(words[0]) > 1:
        word = words.pop(0)
        if word == "--":
            break
        rest = word[1:]
        while rest:
            letter, rest = rest[0], rest[1:]
            at = -1 if letter == ":" else _LETTERS.find(letter)
            if at < 0:
                cmd.write(f"{cmd.name}: invalid option -- '{letter}'\n")
                usage(cmd)
            if _LETTERS[at + 1 : at + 2] != ":":
                yield letter, ""
                continue
            if not rest and not words:
                cmd.write(f"{cmd.name}: option requires an argument -- '{letter}'\n")
                usage(cmd)
            yield letter, rest or words.pop(0)
            rest = ""
    cmd.args = words


def _set(name: str) -> Callable[[Options, str], None]:
    return lambda options, value: setattr(options, name, value)


def _number(name: str) -> Callable[[Options, str], None]:
    return lambda options, value: setattr(options, name, strtol(value)[0])


def _on(name: str) -> Callable[[Options, str], None]:
    return lambda options, _: setattr(options, name, True)


def _more(options: Options, _: str) -> None:
    options.verbose += 1


def _certificate(options: Options, value: str) -> None:
    options.cert_file = value
    options.key_file = options.key_file or value


def _key(options: Options, value: str) -> None:
    options.key_file = value
    options.cert_file = options.cert_file or value


_TAKE: dict[str, Callable[[Options, str], None]] = {
    "a": _set("preference"),
    "A": lambda options, value: options.anchors.append(value),
    "c": _on("quiet"),
    "C": _on("print_chain"),
    "d": _set("digest"),
    "f": _on("force_tlsa"),
    "F": _set("ca_file"),
    "g": _set("grade"),
    "h": _set("lookup"),
    "k": _certificate,
    "K": _key,
    "l": _set("level"),
    "L": _set("log"),
    "m": _number("reconnects"),
    "p": _set("protocols"),
    "P": _set("ca_path"),
    "r": _number("delay"),
    "S": _on("lmtp"),
    "t": _number("connect_timeout"),
    "T": _number("timeout"),
    "v": _more,
    "w": _on("wrapper"),
}


def _options(cmd: Command) -> Options:
    options = Options()
    for letter, value in _words(cmd):
        if letter == "o":
            try:
                name, setting = split_nameval(value)
            except ParenError:
                usage(cmd)
            else:
                options.overrides[name] = setting
        else:
            _TAKE[letter](options, value)
    return options
