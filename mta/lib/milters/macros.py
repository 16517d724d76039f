"""Macros: facts that go with each event, by the names that filters know from Sendmail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mta.system import Wait
from mta.util.scalars import split_at_commas
from mta.wire.text import c_string, to_bytes

if TYPE_CHECKING:
    from mta.master.server import Process

#: Gives the value of a macro, None where there is none; it may have to wait for it.
MacroLookup = Callable[[str], str | Wait[str | None] | None]

#: The events that have a list of macro names, and the parameters that hold them.
STAGES: Mapping[str, str] = {
    "connect": "milter_connect_macros",
    "helo": "milter_helo_macros",
    "mail": "milter_mail_macros",
    "rcpt": "milter_rcpt_macros",
    "data": "milter_data_macros",
    "eoh": "milter_end_of_header_macros",
    "eom": "milter_end_of_data_macros",
    "unknown": "milter_unknown_command_macros",
}


def default_names(process: Process) -> dict[str, str]:
    """The names that all filters get which do not ask for others, by stage."""
    return {stage: getattr(process.conf, parameter) for stage, parameter in STAGES.items()}


def evaluate(lookup: MacroLookup | None, names: str) -> Wait[bytes]:
    """Names and values as they travel; macros without a value are left out."""
    if lookup is None:
        return b""
    found = []
    for name in split_at_commas(names):
        value = lookup(name)
        if value is not None and not isinstance(value, str):
            value = yield from value
        if value is not None:
            found += [to_bytes(name), c_string(to_bytes(value))]
    return b"".join([text + b"\0" for text in found])
