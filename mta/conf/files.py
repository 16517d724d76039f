"""The texts of ``main.cf`` and ``master.cf``, from one place."""

from __future__ import annotations

from mta.conf.main_cf import (
    MAIN_CF,
    LogicalLine,
    MainCf,
    MainEntry,
    logical_lines,
    parse_main_cf,
)
from mta.conf.master_cf import MASTER_CF, MasterCf, MasterEntry, parse_master_cf, parse_options

__all__ = [
    "MAIN_CF",
    "MASTER_CF",
    "LogicalLine",
    "MainCf",
    "MainEntry",
    "MasterCf",
    "MasterEntry",
    "logical_lines",
    "parse_main_cf",
    "parse_master_cf",
    "parse_options",
]
