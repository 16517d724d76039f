"""Access lists: restrictions that do not exist, and ways for strangers to relay."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any, cast

from mta.conf.conf import PARAMETERS
from mta.conf.errors import ConfError
from mta.smtpd import check_mistakes
from mta.smtpd.check_registry import RESTRICTIONS, RestrictionList, Step
from mta.smtpd.check_restrictions import __doc__ as _restrictions_are_registered
from mta.smtpd.check_rules import STAGES
from mta.util.scalars import split_at_commas
from postlab.check.context import Context
from postlab.check.main_rules import nearest
from postlab.check.specs import OTHER_RESTRICTIONS

assert _restrictions_are_registered

#: The restriction that a bare table stands for in each list.
_IMPLIED = {
    "client": "check_client_access", "helo": "check_helo_access", "sender": "check_sender_access",
    "relay": "check_recipient_access", "recipient": "check_recipient_access",
    "etrn": "check_etrn_access", "data": None, "end_of_data": None,
}  # fmt: skip
#: What keeps strangers from relaying.
_GUARDS = frozenset(
    ("reject_unauth_destination", "defer_unauth_destination", "reject", "defer",
     "check_relay_domains", "permit_auth_destination")
)  # fmt: skip
#: Tables whose OK says nothing of who the client is: anyone can claim to be the sender.
_CLAIMED = {
    "check_sender_access": "anyone can claim any sender",
    "check_helo_access": "anyone can say any name in HELO",
    "check_reverse_client_hostname_access": "anyone can give his address any name",
}
_WIDE_V4, _WIDE_V6 = 8, 32


class _Rules:
    """What a list needs to be compiled."""

    def __init__(self, classes: Mapping[str, RestrictionList]) -> None:
        self.classes = classes


def check_access(context: Context) -> None:
    """All restriction lists, of main.cf and of each smtpd(8) in master.cf."""
    _check_lists(context, {}, context.main_file, 0)
    for entry in context.entries:
        if entry.program == "smtpd" and any(
            name in STAGES.values() or name == "smtpd_restriction_classes"
            for name in entry.overrides
        ):
            _check_lists(context, entry.overrides, context.master_file, entry.line)
    _check_networks(context)
    _check_relay_domains(context)


def _check_lists(context: Context, overrides: Mapping[str, str], file: str, line: int) -> None:
    def value(name: str) -> str:
        try:
            return context.view("", overrides, context.sound_main).get(name, _default(name))
        except ConfError:
            return ""

    def place(name: str) -> tuple[str, int]:
        return (file, line) if name in overrides else (context.main_file, context.line_of(name))

    classes: dict[str, RestrictionList] = {}
    for name in split_at_commas(value("smtpd_restriction_classes")):
        text = value(name)
        if not text:
            where, number = place("smtpd_restriction_classes")
            what = f"the restriction class {name} has no definition; smtpd(8) does not start"
            context.found.add("error", "empty-class", what, file=where, line=number, name=name)
        classes[name] = RestrictionList(name, text)
    rules = _Rules(classes)
    for stage, parameter in STAGES.items():
        if overrides and parameter not in overrides:
            continue
        steps = _steps(RestrictionList(parameter, value(parameter)), _IMPLIED[stage], rules)
        where, number = place(parameter)
        for step in steps:
            _check_step(context, step, parameter, where, number, classes)
        _check_order(context, steps, parameter, where, number)
    if not overrides:
        for name, rules_of_class in classes.items():
            for step in _steps(rules_of_class, None, rules):
                where, number = place(name)
                _check_step(context, step, name, where, number, classes)
    _check_relay(context, value, rules, place)


def _default(name: str) -> str:
    parameter = PARAMETERS.get(name)
    return "" if parameter is None else parameter.default


def _steps(rules_list: RestrictionList, implied: str | None, rules: _Rules) -> list[Step]:
    return rules_list.steps(implied, cast(Any, rules))


def _check_step(
    context: Context,
    step: Step,
    parameter: str,
    file: str,
    line: int,
    classes: Mapping[str, RestrictionList],
) -> None:
    what = ""
    if step.run is check_mistakes.unknown:
        near = nearest(step.word.lower(), [*RESTRICTIONS, *OTHER_RESTRICTIONS, *classes])
        guess = f"; did you mean {near}?" if near else ""
        what = f"there is no restriction {step.word}{guess}"
    elif step.run is check_mistakes.bad_table:
        what = f"{step.name} needs a table (type:name) after it, not {step.argument}"
    elif step.run is check_mistakes.no_domain:
        what = f"{step.word} needs a domain after it"
    elif step.run is check_mistakes.no_server:
        what = f"{step.name} needs a server after it: inet:host:port or unix:path"
    elif step.run is check_mistakes.no_number:
        what = f"{step.name} needs a number after it"
    elif step.run is check_mistakes.bare_table:
        what = f"what is {step.word} to be asked for? write check_..._access before it"
    if what:
        what = f"{what} ({parameter})"
        context.found.add("error", "bad-restriction", what, file=file, line=line, name=parameter)


def _check_order(context: Context, steps: list[Step], parameter: str, file: str, line: int) -> None:
    """Restrictions that are never reached."""
    for place, step in enumerate(steps[:-1]):
        if step.name in ("permit", "reject", "defer") and not (place and steps[place - 1].warns):
            what = f"{steps[place + 1].word} after {step.word} is never reached ({parameter})"
            context.found.add("warning", "unreachable", what, file=file, line=line, name=parameter)
            return
    if steps and steps[-1].warns:
        what = f"warn_if_reject at the end has nothing to warn of ({parameter})"
        context.found.add("warning", "unreachable", what, file=file, line=line, name=parameter)


# -- relaying


def _check_relay(
    context: Context,
    value: Callable[[str], str],
    rules: _Rules,
    place: Callable[[str], tuple[str, int]],
) -> None:
    """Whether strangers are kept from relaying, and by what."""
    lists = {
        stage: _steps(RestrictionList(STAGES[stage], value(STAGES[stage])), _IMPLIED[stage], rules)
        for stage in ("relay", "recipient")
    }
    guards = {stage: _guard(steps, rules) for stage, steps in lists.items()}
    if guards["relay"] is None and guards["recipient"] is None:
        where, number = place("smtpd_relay_restrictions")
        if not number:
            where, number = place("smtpd_recipient_restrictions")
        what = (
            "neither smtpd_relay_restrictions nor smtpd_recipient_restrictions has "
            "reject_unauth_destination: smtpd(8) does not start, or relays for anyone"
        )
        context.found.add("error", "open-relay", what, file=where, line=number)
        return
    for stage in ("relay", "recipient"):
        guard = guards[stage]
        other = guards["recipient" if stage == "relay" else "relay"]
        if guard is None or (other is not None and stage == "recipient"):
            continue
        if stage == "relay" and other is not None:
            continue  # each of them suffices
        where, number = place(STAGES[stage])
        for step in lists[stage][:guard]:
            hole = _hole(step)
            if hole:
                what = (
                    f"{step.word} stands before reject_unauth_destination in {STAGES[stage]}: "
                    f"{hole}"
                )
                context.found.add(
                    "warning", "relay-hole", what, file=where, line=number, name=STAGES[stage]
                )


def _guard(steps: list[Step], rules: _Rules) -> int | None:
    """The place of the first restriction that keeps strangers out; None where there is none."""
    for place, step in enumerate(steps):
        if place and steps[place - 1].warns:
            continue
        if step.name == "permit":
            return None
        if step.name in _GUARDS and step.name != "permit_auth_destination":
            return place
        if isinstance(step.argument, RestrictionList):
            if _guard(_steps(step.argument, None, rules), rules) is not None:
                return place
    return None


def _hole(step: Step) -> str:
    """How a restriction lets a stranger relay; nothing where it does not."""
    if step.name in _CLAIMED:
        return f"an OK there relays for strangers, since {_CLAIMED[step.name]}"
    if step.name == "permit_mx_backup":
        return "anyone who makes this host a mail exchanger in his DNS can relay through it"
    if step.name == "permit_naked_ip_address":
        return "any client that says its address in HELO can relay"
    if step.name == "check_policy_service":
        return "where the policy server says OK, strangers relay; let it say DUNNO"
    return ""


def _check_networks(context: Context) -> None:
    """Networks of trusted clients that are much too large."""
    line = context.line_of("mynetworks")
    for word in context.words("mynetworks"):
        if word.startswith(("!", "/")) or (":" in word and not word.startswith("[")):
            continue
        text = word.replace("[", "").replace("]", "")
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            continue
        wide = _WIDE_V4 if network.version == 4 else _WIDE_V6
        if network.is_private and network.prefixlen:
            continue
        if network.prefixlen < wide or not network.prefixlen:
            what = f"mynetworks has {word}: all of that network may relay"
            severity = "error" if not network.prefixlen else "warning"
            context.found.add(
                severity,
                "open-relay" if not network.prefixlen else "wide-network",
                what,
                file=context.main_file,
                line=line,
                name="mynetworks",
            )


def _check_relay_domains(context: Context) -> None:
    """Domains that stand for all domains."""
    for name in ("relay_domains", "mydestination", "virtual_alias_domains"):
        for word in context.words(name):
            if word.lower().startswith("static:") or word in (".", "*"):
                if word in (".", "*"):
                    what = f"{name} has {word}, which matches no domain"
                    rule, severity = "odd-domain", "warning"
                else:
                    what = f"{name} has {word}, which matches every domain: anyone can relay"
                    rule, severity = "open-relay", "error"
                context.found.add(
                    severity,
                    rule,
                    what,
                    file=context.main_file,
                    line=context.line_of(name),
                    name=name,
                )
