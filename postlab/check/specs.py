"""The lookup tables that a configuration names, and what each is used for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from mta.dict.registry import dict_mapnames
from mta.smtpd.check_registry import RESTRICTIONS, Argument
from mta.util.parens import split_words
from postlab.check.context import Context, Setting

#: What tables say: actions of access(5) or header_checks(5), transports, or anything.
ACCESS, CHECKS, TRANSPORT, OTHER = "access", "checks", "transport", "other"

_MAP_PARAMETER = re.compile(r".*_maps?$|.*_checks$|alias_database|.*_tls_per_site$")
_NO_MAPS = frozenset(("proxy_read_maps", "proxy_write_maps"))
_UNIX_TABLES = ("passwd.byname", "group.byname")
#: Words of restriction lists that are no restrictions by themselves.
OTHER_RESTRICTIONS = ("reject_sender_login_mismatch", "warn_if_reject")
_NESTED = ("unionmap", "pipemap")
_ENDPOINTS = frozenset(("inet", "local", "pass", "fifo"))


@dataclass
class TableUse:
    """A table, and the settings that name it."""

    spec: str  #: ``type:name``, expanded, without ``proxy:``
    settings: list[Setting] = field(default_factory=list)
    uses: set[str] = field(default_factory=set)
    fixed_keys: bool = True

    @property
    def kind(self) -> str:
        """The type."""
        return self.spec.partition(":")[0]

    @property
    def name(self) -> str:
        """What comes after it."""
        return self.spec.partition(":")[2]


def table_uses(context: Context) -> list[TableUse]:
    """All tables, each once, in the order in which they are named."""
    known = set(dict_mapnames())
    found: dict[str, TableUse] = {}
    for setting in context.settings:
        if setting.name in _NO_MAPS:
            continue
        is_list = _MAP_PARAMETER.fullmatch(setting.name) is not None
        for spec, use in _named(setting, setting.expanded, known, is_list):
            table = found.setdefault(spec, TableUse(spec))
            if setting not in table.settings:
                table.settings.append(setting)
            table.uses.add(use)
    return list(found.values())


def _named(
    setting: Setting, text: str, known: set[str], is_list: bool
) -> Iterator[tuple[str, str]]:
    last = ""
    for word in split_words(text):
        item = word.lstrip("!")
        before, last = last, word.lower()
        kind, colon, name = item.partition(":")
        while colon and kind == "proxy":
            kind, colon, name = name.partition(":")
        if not colon or not name or not kind or not re.fullmatch(r"[a-z][a-z0-9_]*", kind):
            continue
        entry = RESTRICTIONS.get(before)
        if entry is not None and entry.argument is not Argument.TABLE:
            continue
        if kind in _ENDPOINTS or (kind == "unix" and name not in _UNIX_TABLES):
            continue
        if kind not in known and not is_list and entry is None:
            continue
        if kind in _NESTED and name.startswith("{"):
            inner = name[1:].rstrip()
            members = _named(setting, inner.removesuffix("}"), known, is_list)
            if kind == "pipemap":  # what one finds, the next one looks up
                *first, (spec, _) = [*members] or [("", "")]
                yield from ((member, OTHER) for member, _ in first)
                members = iter(((spec, _use(setting, before)),) if spec else ())
            yield from members
        yield f"{kind}:{name}", _use(setting, before)


def _use(setting: Setting, before: str) -> str:
    entry = RESTRICTIONS.get(before)
    if entry is not None or setting.name.endswith("_restrictions"):
        return ACCESS
    if setting.name.endswith("_checks"):
        return CHECKS
    if setting.name in ("transport_maps", "address_verify_transport_maps"):
        return TRANSPORT
    return OTHER
