"""Parameters that list names of classes (``notify_classes``, ``masquerade_classes``) as bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mta.util.name_mask import NameMaskError, name_mask

if TYPE_CHECKING:
    from mta.master.server import Process


def class_mask(process: Process, parameter: str, table: Mapping[str, int], text: str) -> int:
    """The bits of the names in a parameter's value.  An unknown name is fatal."""
    try:
        return name_mask(parameter, table, text)
    except NameMaskError as error:
        process.log.fatal(error.args[0])
