"""Delivery status filters: replacement of a status code and its text (dsn_filter(3), new in 3.0).

A delivery agent names its parameter once with :func:`set_dsn_filter`; the other programs have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.dict.errors import TableError
from mta.dict.flags import DICT_FLAG_LOCK
from mta.lib.maps import Maps
from mta.system import Wait
from mta.wire.dsn import Dsn, dsn_split, dsn_valid

if TYPE_CHECKING:
    from mta.master.server import Process

_KEY = "delivery status filter"


def set_dsn_filter(process: Process, parameter: str, value: str) -> None:
    """The tables of ``smtp_delivery_status_filter`` or one of its siblings."""
    if value:
        process.cache[_KEY] = Maps(process, parameter, value, DICT_FLAG_LOCK)


def dsn_filter(process: Process, dsn: Dsn) -> Wait[Dsn | None]:
    """The replacement for a status, or None.  A result of another class (success for failure or
    the reverse) is ignored with a warning; so is a table that fails.
    """
    maps: Maps | None = process.cache.get(_KEY)
    if maps is None:
        return None
    try:
        result = yield from maps.find(f"{dsn.status} {dsn.reason}")
    except TableError:
        return None
    if result is None:
        return None
    success = dsn.status[0] == "2"
    if not dsn_valid(result) or (result[0] == "2") != success:
        process.log.warning(f"{maps.title}: bad status code: {result}")
        return None
    status, text = dsn_split("", result)
    if len(result) == len(status):
        text = _left_over(f"{dsn.status} {dsn.reason}", result)
    action = {"4": "delayed", "5": "failed"}.get(status[0], dsn.action)
    return dsn._replace(status=status, reason=text, action=action)


def _left_over(query: str, result: str) -> str:
    """The text of a result that is a status alone: what it did not overwrite of the query, which
    lies in the same buffer.  So a status of the same length leaves the reason as it was.
    """
    return query[len(result) + 1 :].lstrip(" ")
