"""match_parent_style(3) - does ``domain`` in a list match ``sub.domain`` too?"""

from __future__ import annotations

from typing import cast

from mta.dict.process import TableProcess
from mta.util.match_list import MatchList

_STYLE = "match_parent_style"
_PARAMETER = "parent_domain_matches_subdomains"


def match_parent_style(process: TableProcess, name: str) -> bool:
    """Whether the parameter is listed in ``parent_domain_matches_subdomains``.

    The list may hold tables that never wait; one that would have to is fatal here.
    """
    known: dict[str, bool] = process.cache.setdefault(_STYLE, {})
    if name not in known:
        known[name] = _ask(process, name)
    return known[name]


def _ask(process: TableProcess, name: str) -> bool:
    from mta.lib.string_list import StringList

    styles = process.cache.get(_PARAMETER)
    if styles is None:
        text = process.conf.parent_domain_matches_subdomains
        styles = process.cache[_PARAMETER] = StringList(process, _PARAMETER, text, fatal=True)
    steps = cast(MatchList, styles).match_all(name)
    try:
        next(steps)
    except StopIteration as done:
        return bool(done.value)
    steps.close()
    process.log.fatal(f"{_PARAMETER}: a table that has to wait for its answer does not work here")
    return False
