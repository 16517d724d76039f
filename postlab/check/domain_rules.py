"""Domains in two classes at once, and defaults of old releases."""

from __future__ import annotations

from itertools import combinations

from postlab.check.context import Context

#: The lists of domains, by class.
_CLASSES = (
    "mydestination", "virtual_alias_domains", "virtual_mailbox_domains", "relay_domains"
)  # fmt: skip
#: Defaults that differ by compatibility_level: parameter, and the level from which it is new.
_OLD_DEFAULTS = {
    "append_dot_mydomain": 1,
    "smtputf8_enable": 1,
    "mynetworks_style": 2,
    "relay_domains": 2,
}


def check_domains(context: Context) -> None:
    """A domain must be in one class alone."""
    found: dict[str, set[str]] = {}
    for name in _CLASSES:
        words = (word.lower() for word in context.words(name))
        found[name] = {word for word in words if ":" not in word and word[:1] not in "!/"}
    for one, two in combinations(_CLASSES, 2):
        for domain in sorted(found[one] & found[two]):
            line = context.line_of(two) or context.line_of(one)
            if not context.line_of(two) and "mydestination" in (one, two):
                continue  # relay_domains has mydestination by default in old levels
            what = f"{domain} is in {one} and in {two}; a domain belongs to one of them alone"
            context.found.add(
                "warning", "two-classes", what, file=context.main_file, line=line, name=two
            )


def check_recipients(context: Context) -> None:
    """Mail that is accepted for users who do not exist has to be returned: to forged senders."""
    line = context.line_of("local_recipient_maps")
    if line and not context.value("local_recipient_maps") and context.words("mydestination"):
        what = (
            "local_recipient_maps is empty: mail for unknown users is accepted and then returned, "
            "mostly to people who never sent it"
        )
        context.found.add(
            "warning",
            "backscatter",
            what,
            file=context.main_file,
            line=line,
            name="local_recipient_maps",
        )
    line = context.line_of("relay_domains")
    if line and context.words("relay_domains") and not context.value("relay_recipient_maps"):
        what = (
            "relay_recipient_maps is empty: mail for any user in relay_domains is accepted, and "
            "returned where the next server refuses it"
        )
        context.found.add(
            "note", "backscatter", what, file=context.main_file, line=line, name="relay_domains"
        )


def check_compatibility(context: Context) -> None:
    """Defaults that are there for the sake of old configurations."""
    if context.main.values.get("compatibility_level") != context.conf.main.values.get(
        "compatibility_level"
    ):
        return  # it makes no sense
    level = context.conf.compat_level
    old = [
        name
        for name, since in _OLD_DEFAULTS.items()
        if level < since
        and not context.conf.is_set(name)
        and not (name == "mynetworks_style" and context.conf.is_set("mynetworks"))
    ]
    if old:
        what = (
            f"compatibility_level is {level}: {', '.join(old)} "
            f"{'has its' if len(old) == 1 else 'have their'} old default"
            f"{'' if len(old) == 1 else 's'}; set compatibility_level = 2"
        )
        context.found.add(
            "note",
            "old-default",
            what,
            file=context.main_file,
            line=context.line_of("compatibility_level"),
            name="compatibility_level",
        )
