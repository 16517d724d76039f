"""Addresses: tokens, rewriting, resolving, masquerading, senders of probes."""

from __future__ import annotations

from typing import Any

from mta.cleanup.rewrite import masquerade_external
from mta.cleanup.state import State
from mta.cleanup.tables import Tables
from mta.lib.clients import resolve, rewrite
from mta.lib.requests import (
    RESOLVE_CLASS_ALIAS,
    RESOLVE_CLASS_DEFAULT,
    RESOLVE_CLASS_LOCAL,
    RESOLVE_CLASS_RELAY,
    RESOLVE_CLASS_VIRTUAL,
    RESOLVE_FLAG_ERROR,
    RESOLVE_FLAG_FAIL,
    RESOLVE_FLAG_FINAL,
    RESOLVE_FLAG_ROUTED,
    CleanupMessage,
)
from mta.lib.verify_sender_addr import make_verify_sender_addr, valid_verify_sender_addr
from mta.system import Fatal, System
from mta.util.scalars import conv_time
from mta.wire.tok822 import (
    TOK822_ADDR,
    TOK822_STARTGRP,
    TOK822_STR_LINE,
    TOK822_STR_TRNC,
    Token,
    tok822_externalize,
    tok822_internalize,
    tok822_parse,
)
from tests.vectors.drivers.config import NOBODY, warning
from tests.vectors.shell import DIRECTORY, Exit, Io, program
from tests.vectors.site import site_of

_FLAGS = {
    RESOLVE_FLAG_FINAL: "FLAG_FINAL",
    RESOLVE_FLAG_ROUTED: "FLAG_ROUTED",
    RESOLVE_FLAG_ERROR: "FLAG_ERROR",
    RESOLVE_FLAG_FAIL: "FLAG_FAIL",
    RESOLVE_CLASS_LOCAL: "CLASS_LOCAL",
    RESOLVE_CLASS_ALIAS: "CLASS_ALIAS",
    RESOLVE_CLASS_VIRTUAL: "CLASS_VIRTUAL",
    RESOLVE_CLASS_RELAY: "CLASS_RELAY",
    RESOLVE_CLASS_DEFAULT: "CLASS_DEFAULT",
}
_TOKEN_LIMIT = 20
_SECOND = 1_000_000


def _pairs(io: Io) -> list[tuple[str, str]]:
    """The words of the command line in pairs, or of each line of the input."""
    words = [word for word in io.args if word != "-v"]
    if words:
        return list(zip(words[::2], words[1::2], strict=True))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in io.lines())]


@program("resolve_clnt")
def run_resolve_clnt(io: Io) -> None:
    """Where addresses go."""
    site = site_of(io)
    process = site.process(io)
    process.log.info(f"using config files in {DIRECTORY}")
    for kind, address in _pairs(io):
        reply = site.run(resolve(process, "", address, kind == "verify"))
        if reply.flags & RESOLVE_FLAG_FAIL:
            io.line("request failed")
            continue
        names = "".join(f"{name} " for bit, name in _FLAGS.items() if reply.flags & bit)
        for title, text in (
            ("class", kind),
            ("address", address),
            ("transport", reply.transport),
            ("nexthop", reply.nexthop or "[none]"),
            ("recipient", reply.recipient),
            ("flags", names),
        ):
            io.out(f"{title:<10} {text}\n")
        io.line()


@program("rewrite_clnt")
def run_rewrite_clnt(io: Io) -> None:
    """Addresses in standard form."""
    site = site_of(io)
    process = site.process(io)
    process.log.info(f"using config files in {DIRECTORY}")
    for rule, address in _pairs(io):
        result = site.run(rewrite(process, rule, address))
        for title, text in (("rule", rule), ("address", address), ("result", result)):
            io.out(f"{title:<10} {text}\n")
        io.line()


@program("verify_sender_addr")
def run_verify_sender_addr(io: Io) -> None:
    """The sender of probes, and when it is known as such."""
    site = site_of(io)
    sender, text = io.args
    ttl = conv_time(text, "s")
    if ttl is None:
        io.message(f"fatal: bad time value: {text}")
        raise Exit(1)
    settings = {"address_verify_sender": sender, "address_verify_sender_ttl": f"{ttl}s"}
    process = site.process(io, settings)
    io.line(f"using config files in {DIRECTORY}")
    start = site.system.now()
    clock: Any = _Clock(site.system, start)
    process.system = clock
    try:
        address = site.run(make_verify_sender_addr(process))
        slots = {-2: "prev2", -1: "prev1", 0: "self", 1: "next1", 2: "next2"} if ttl else {0: "self"}
        for slot, title in slots.items():
            clock.moment = start + slot * ttl * _SECOND
            found = site.run(valid_verify_sender_addr(process, address))
            io.line(f'"{address}" matches {title}: "{"nope" if found is None else found}"')
    except Fatal:
        raise Exit(1) from None


class _Clock:
    """The machine at another moment."""

    def __init__(self, system: System, moment: int) -> None:
        self.system = system
        self.moment = moment

    def now(self) -> int:
        """The moment."""
        return self.moment

    def __getattr__(self, name: str) -> Any:
        return getattr(self.system, name)


@program("cleanup_masquerade")
def run_cleanup_masquerade(io: Io) -> None:
    """An address masqueraded."""
    site = site_of(io)
    exceptions, domains, address = io.args
    if "@" not in address:
        io.message("fatal: address must be in user@domain form", NOBODY)
        raise Exit(1)
    settings = {"masquerade_exceptions": exceptions, "masquerade_domains": domains}
    process = site.process(io, settings, name=NOBODY, utf8=False, program="cleanup")
    io.out(f"----------\nexceptions: {exceptions}\nmasq_list:  {domains}\naddress:    {address}\n")
    file: Any = _NoFile()
    state = State(process, Tables(process), CleanupMessage("NOQUEUE", 0), file)
    result = site.run(masquerade_external(state, address)).address
    io.line(f"result:     {result}\nerrs:       {state.errs}")


class _NoFile:
    """A queue file without content."""

    data = bytearray()


@program("tok822_parse")
def run_tok822_parse(io: Io) -> None:
    """Address lists: tokens, internal and external form."""
    logical: list[str] = []
    for line in io.lines():
        if line[:1] in (" ", "\t") and logical:
            logical[-1] += line
        elif line.strip() and not line.lstrip().startswith("#"):
            logical.append(line)
    for line in logical:
        tree = tok822_parse(line, _TOKEN_LIMIT)
        io.out(f">>>{line}<<<\n\nParse tree:\n")
        _show(io, tree, 0)
        io.line(f"\nInternalized:\n{tok822_internalize(tree)}\n")
        for flags, how in ((0, "no newlines"), (TOK822_STR_LINE, "newlines")):
            text = tok822_externalize(
                tree, TOK822_STR_TRNC | flags, lambda said: warning(io, said)
            )
            io.line(f"Externalized, {how} inserted:\n{text}\n")


def _show(io: Io, tokens: list[Token], indent: int) -> None:
    for token in tokens:
        if token.type == TOK822_ADDR:
            io.out(f"{'':{indent}} address\n")
            _show(io, token.children, indent + 2)
        elif token.type == TOK822_STARTGRP:
            io.out(f'{"":{indent}} group ":"\n')
        elif len(token.type) == 1:
            io.out(f'{"":{indent}} OP "{token.type}"\n')
        else:
            io.out(f'{"":{indent}} {token.type} "{token.text}"\n')
