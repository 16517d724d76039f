"""Decisions in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mta.lib.requests import (
    RCPT_BOUNCE,
    RCPT_DEFER,
    RCPT_OK,
    RCPT_TODO,
    RESOLVE_CLASS_ALIAS,
    RESOLVE_CLASS_DEFAULT,
    RESOLVE_CLASS_LOCAL,
    RESOLVE_CLASS_RELAY,
    RESOLVE_CLASS_VIRTUAL,
    RESOLVE_FLAG_ERROR,
    RESOLVE_FLAG_FAIL,
    RESOLVE_FLAG_ROUTED,
)
from postlab.why.circumstances import circumstance
from postlab.why.meanings import meaning
from postlab.why.places import NOWHERE, Place, Places
from postlab.why.story import Decision

_CLASSES = {
    RESOLVE_CLASS_LOCAL: "a local domain (mydestination, inet_interfaces)",
    RESOLVE_CLASS_ALIAS: "a virtual alias domain (virtual_alias_domains)",
    RESOLVE_CLASS_VIRTUAL: "a virtual mailbox domain (virtual_mailbox_domains)",
    RESOLVE_CLASS_RELAY: "a domain that we relay for (relay_domains)",
    RESOLVE_CLASS_DEFAULT: "a domain elsewhere",
}
_STATUS = {
    RCPT_OK: "mail can be delivered there",
    RCPT_DEFER: "it could not be found out for now",
    RCPT_BOUNCE: "mail cannot be delivered there",
    RCPT_TODO: "nothing is known yet; a probe is on its way",
}
_VERDICTS = {
    "dunno": "no opinion, the next one is asked",
    "permit": "permits: the rest of this list is not asked",
    "reject": "rejects",
    "broken off": "breaks off",
}
_CHANGES = {
    "defer_if_permit": "a permission later on becomes a deferral: {}",
    "defer_if_reject": "a rejection later on becomes a deferral: {}",
    "discard": "the message will be thrown away",
    "filter": "the message will go through the filter {}",
    "redirect": "the message will go to {} instead",
    "bcc": "a copy will go to {}",
    "prepend": "a header will be added",
}
_FLAGS = {1 << 2: "the message will be put on hold"}
#: Lists of names of parameters, and lists in which hardly anybody is.
_STYLE = "parent_domain_matches_subdomains"
_QUIET = re.compile(r"smtpd_authorized_\w+|smtpd_client_event_limit_exceptions|debug_peer_list")
_TABLE_FILE = re.compile(r"(?:proxy:)?[a-z0-9_]+:(/[^\s(]+)")


def code_parameter(word: str) -> str:
    """The parameter with the reply code of a restriction."""
    match = re.search(r"\b(\w+_code)\b", meaning(word))
    return match[1] if match else ""


class Words:
    """Tells decisions, with places in the user's files."""

    def __init__(self, places: Places) -> None:
        self.places = places

    def place(self, decision: Decision) -> Place:
        """Where the thing that decided stands."""
        facts = decision.facts
        service = str(facts.get("service", ""))
        if decision.kind == "restriction":
            return self.places.parameter(
                str(facts["list"]), service, str(facts["restriction"]), str(facts["argument"])
            )
        if decision.kind == "match_list":
            pattern = str(facts["pattern"])
            return (
                self.places.parameter(str(facts["list"]), service, pattern)
                if pattern
                else (self.places.parameter(str(facts["list"]), service))
            )
        if decision.kind in ("access table", "table") and facts.get("line"):
            match = _TABLE_FILE.match(str(facts["table"]))
            if match is not None:
                path = re.sub(r"\.(?:db|dir|pag|cdb|lmdb)$", "", match[1])
                return self.places.table(path, int(facts["line"]))
        return NOWHERE

    def title(self, decision: Decision) -> str:
        """A restriction as it stands in its list."""
        facts = decision.facts
        word, argument = str(facts["restriction"]), str(facts["argument"])
        if argument == word:
            word = f"{word} (a restriction class)"
        elif argument:
            word = f"{word} {argument}"
        return f"warn_if_reject {word}" if facts.get("test") else word

    def circumstance(self, decision: Decision) -> str:
        """What a restriction had before it; empty where it looks at nothing."""
        return circumstance(str(decision.facts["restriction"]), decision.facts["inputs"])

    def grounds(self, decision: Decision, last: int = 0) -> list[str]:
        """What a restriction went by: what it asked (the ``last`` lines of it, 0: all), and what
        it had before it where that does not tell it.
        """
        asked = self.asked([c for c in decision.children if c.kind != "restriction"])[-last:]
        if asked and "login" not in str(decision.facts["restriction"]).lower():
            return asked
        circumstance = self.circumstance(decision)
        return [circumstance, *asked] if circumstance else asked

    def verdict(self, decision: Decision) -> str:
        """What comes of a restriction."""
        facts, verdict = decision.facts, decision.verdict
        if facts.get("test") and facts.get("reply"):
            return f"would reject: {facts['reply']}; but this is only a test (warn_if_reject)"
        text = _VERDICTS.get(verdict, verdict)
        if verdict == "reject" and facts.get("reply"):
            text = f"rejects: {facts['reply']}"
        return text

    def changes(self, decision: Decision) -> list[str]:
        """What a restriction leaves behind."""
        found = []
        for name, value in decision.facts.get("changes", {}).items():
            if name == "flags":
                found += [text for bit, text in _FLAGS.items() if value & bit]
            elif value and name in _CHANGES:
                found.append(_CHANGES[name].format(value))
        return found

    def asked(self, decisions: Sequence[Decision]) -> list[str]:
        """What a restriction asked, a line each; keys that a table does not have on one line."""
        lines: list[str] = []
        missed: dict[str, list[str]] = {}
        for decision in decisions:
            if decision.kind == "access table" and decision.facts["value"] is None:
                missed.setdefault(str(decision.facts["table"]), []).append(
                    str(decision.facts["key"])
                )
                continue
            teller = _TELLERS.get(decision.kind)
            if teller is None:
                continue
            for table, keys in missed.items():
                lines.append(_missed(table, keys))
            missed = {}
            place = self.place(decision)
            text = teller(decision.facts)
            lines.append(f"{text} ({place})" if place.file and text else text)
        for table, keys in missed.items():
            lines.append(_missed(table, keys))
        return list(dict.fromkeys(filter(None, lines)))


def _missed(table: str, keys: Sequence[str]) -> str:
    return f"{table} has none of: {', '.join(keys)}"


def _match_list(facts: Mapping[str, Any]) -> str:
    if facts["list"] == _STYLE or (not facts["pattern"] and _QUIET.fullmatch(facts["list"])):
        return ""
    of = " ".join(dict.fromkeys(text for text in facts["of"] if text))
    if not facts["pattern"]:
        return f"{facts['list']} has nothing that matches {of}"
    sense = "" if facts["result"] else ", which excludes it"
    return f"{of} matches {facts['pattern']} of {facts['list']}{sense}"


def _access(facts: Mapping[str, Any]) -> str:
    return f"{facts['table']} has {facts['key']}: {facts['value']}"


def _table(facts: Mapping[str, Any]) -> str:
    if facts["result"] is None:
        return f"{facts['maps']} does not have {facts['key']}"
    return f"{facts['maps']}: {facts['table']} has {facts['key']}: {facts['result']}"


def _dns(facts: Mapping[str, Any]) -> str:
    what = f"DNS: {facts['name']} {'/'.join(facts['types'])}"
    return f"{what}: {'; '.join(facts['records']) or facts['why']}"


def _addresses(facts: Mapping[str, Any]) -> str:
    return f"addresses of {facts['name']}: {', '.join(facts['addresses']) or facts['why']}"


def _dnsxl(facts: Mapping[str, Any]) -> str:
    if facts["soft"]:
        return f"DNS: {facts['query']} could not be asked"
    if not facts["addresses"]:
        return f"DNS: {facts['query']} does not exist: not listed"
    text = f" ({facts['text']})" if facts["text"] else ""
    return f"DNS: {facts['query']} is {', '.join(facts['addresses'])}{text}: listed"


def _resolve(facts: Mapping[str, Any]) -> str:
    reply = facts["reply"]
    flags = int(reply["flags"])
    if flags & RESOLVE_FLAG_FAIL:
        return f"{facts['address']} cannot be resolved for now"
    if flags & RESOLVE_FLAG_ERROR:
        return f"{facts['address']} makes no sense as an address"
    kind = next((text for bit, text in _CLASSES.items() if flags & bit), "no known class")
    routed = ", with sender-specified routing" if flags & RESOLVE_FLAG_ROUTED else ""
    return (
        f"{reply['recipient']} is in {kind}{routed}: "
        f"it would go by {reply['transport']} to {reply['nexthop']}"
    )


def _policy(facts: Mapping[str, Any]) -> str:
    if facts["action"] is None:
        return f"{facts['server']} did not answer"
    return f"{facts['server']} says {facts['action']}"


def _verify(facts: Mapping[str, Any]) -> str:
    what = _STATUS.get(facts["status"], "unknown status")
    return f"probes of {facts['address']}: {what}: {facts['text']}"


_TELLERS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "match_list": _match_list,
    "access table": _access,
    "table": _table,
    "dns": _dns,
    "addresses": _addresses,
    "dnsxl": _dnsxl,
    "resolve": _resolve,
    "policy": _policy,
    "verify": _verify,
}
