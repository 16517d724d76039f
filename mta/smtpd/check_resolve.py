"""Where an address goes, remembered across sessions (smtpd_resolve.c)."""

from __future__ import annotations

from mta.lib.clients import resolve, rewrite
from mta.lib.requests import RESOLVE_FLAG_FAIL, REWRITE_LOCAL, ResolveReply
from mta.smtpd.check_reject import reject_dict_retry
from mta.smtpd.check_rules import Rules, rules_of
from mta.smtpd.state import Session
from mta.system import Wait
from mta.util.casefold import casefold
from mta.wire.quote import quote_822_local, unquote_822_local


def resolve_addr(session: Session, sender: str | None, address: str) -> Wait[ResolveReply]:
    """The destination of an address (internal form) for mail of a sender; its ``recipient`` is in
    standard form and folded.  A failure is remembered, too.
    """
    rules = rules_of(session)
    key = (sender or "", address)
    found = rules.resolved.get(key)
    if found is not None:
        process = rules.process
        if process.system.decisions is not None:
            process.decide("resolve", address=address, reply=found._asdict())
        return found
    return rules.resolved.put(key, (yield from _ask(rules, *key)))


def _ask(rules: Rules, sender: str, address: str) -> Wait[ResolveReply]:
    process = rules.process
    full_sender = yield from _standard(rules, sender)
    full_address = yield from _standard(rules, address)
    reply = yield from resolve(process, full_sender, full_address)
    folded = casefold(reply.recipient, bool(process.conf.smtputf8_enable))
    return reply._replace(recipient=folded)


def _standard(rules: Rules, address: str) -> Wait[str]:
    """The address rewritten as a local one (rewrite_clnt_internal)."""
    external = quote_822_local(address)
    answer = yield from rewrite(rules.process, REWRITE_LOCAL, external)
    return address if answer is external else unquote_822_local(answer)


def resolve_or_defer(session: Session, sender: str | None, address: str) -> Wait[ResolveReply]:
    """The same; the evaluation ends with a 451 where it cannot be found out.  Raises Jump."""
    reply = yield from resolve_addr(session, sender, address)
    if reply.flags & RESOLVE_FLAG_FAIL:
        reject_dict_retry(session, address)
    return reply
