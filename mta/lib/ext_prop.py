"""Where unmatched address extensions are added (ext_prop(3), propagate_unmatched_extensions)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.lib.class_mask import class_mask

if TYPE_CHECKING:
    from mta.master.server import Process

EXT_PROP_CANONICAL = 1 << 0
EXT_PROP_VIRTUAL = 1 << 1
EXT_PROP_ALIAS = 1 << 2
EXT_PROP_FORWARD = 1 << 3
EXT_PROP_INCLUDE = 1 << 4
EXT_PROP_GENERIC = 1 << 5

_TABLE = {
    "canonical": EXT_PROP_CANONICAL,
    "virtual": EXT_PROP_VIRTUAL,
    "alias": EXT_PROP_ALIAS,
    "forward": EXT_PROP_FORWARD,
    "include": EXT_PROP_INCLUDE,
    "generic": EXT_PROP_GENERIC,
}


def ext_prop_mask(process: Process) -> int:
    """The bits of the parameter.  An unknown name is fatal."""
    name = "propagate_unmatched_extensions"
    return class_mask(process, name, _TABLE, process.conf.propagate_unmatched_extensions)
