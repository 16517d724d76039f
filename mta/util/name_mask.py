"""Sets of names as text (name_mask(3)): ``bounce, resource`` for ``notify_classes``, say.

A set is a bit mask as in Postfix, so that it prints in the table's order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Protocol

from mta.util.scalars import COMMA_SPACE, split

#: Names and their bits, in order.  Several names may share bits.
NameTable = Mapping[str, int]

_HEX = re.compile(r"0[xX][0-9A-Fa-f]+")


class Unknown(Enum):
    """What becomes of an unknown name (or bit)."""

    FATAL = auto()  #: raise NameMaskError
    RETURN = auto()  #: warn, and the result is empty
    WARN = auto()  #: warn, and go on
    IGNORE = auto()  #: go on


class NameMaskError(ValueError):
    """An unknown name or bit; ``args[0]`` is the fatal text."""


def _quiet(text: str) -> None:
    """Takes a warning for which nobody asked."""


def name_mask(
    context: str,
    table: NameTable,
    names: str,
    *,
    unknown: Unknown = Unknown.FATAL,
    any_case: bool = False,
    numbers: bool = False,
    separators: str = COMMA_SPACE,
    warn: Callable[[str], None] = _quiet,
) -> int:
    """The bits of a list of names.

    ``numbers`` takes ``0x...`` too.  ``warn`` gets the text of a warning
    (``unknown CONTEXT value "x" in "x, y"``).  Raises NameMaskError.
    """
    result = 0
    folded = table
    if any_case:
        folded = {name.lower(): bits for name, bits in reversed(list(table.items()))}
    for name in split(names, separators):
        bits = folded.get(name.lower() if any_case else name)
        if bits is None and numbers and _HEX.fullmatch(name) and int(name, 16) < 1 << 32:
            bits = int(name, 16)
        if bits is not None:
            result |= bits
            continue
        text = f'unknown {context} value "{name}" in "{names}"'
        if unknown is Unknown.FATAL:
            raise NameMaskError(text)
        if unknown is not Unknown.IGNORE:
            warn(text)
        if unknown is Unknown.RETURN:
            return 0
    return result


def str_name_mask(
    context: str,
    table: NameTable,
    mask: int,
    *,
    unknown: Unknown = Unknown.FATAL,
    numbers: bool = False,
    separator: str = " ",
    warn: Callable[[str], None] = _quiet,
) -> str | None:
    """The names of bits, in the table's order; None after ``Unknown.RETURN``."""
    names = []
    for name, bits in table.items():
        if not mask:
            break
        if mask & bits:
            mask &= ~bits
            names.append(name)
    if mask:
        text = f"name_mask: unknown {context} bit in mask: 0x{mask:x}"
        if numbers:
            names.append(f"0x{mask:x}")
        elif unknown is Unknown.FATAL:
            raise NameMaskError(text)
        elif unknown is not Unknown.IGNORE:
            warn(text)
        if unknown is Unknown.RETURN and not numbers:
            return None
    return separator.join(names)


class MaskLog(Protocol):
    """Who takes warnings."""

    def warning(self, text: str) -> object:
        """Logs a warning."""


def name_mask_or_none(log: MaskLog, context: str, table: NameTable, names: str) -> int | None:
    """The bits of a list of names in any case; None, with a warning, where one is unknown."""
    unknown: list[str] = []
    mask = name_mask(
        context, table, names, any_case=True, unknown=Unknown.RETURN, warn=unknown.append
    )
    for text in unknown:
        log.warning(text)
    return None if unknown else mask
