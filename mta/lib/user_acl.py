"""Lists of users who may do something (user_acl(3)): names, ``static:anyone``, tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.dict.errors import TableError
from mta.lib.string_list import StringList
from mta.system import Wait

if TYPE_CHECKING:
    from mta.master.server import Process


def user_in_acl(process: Process, parameter: str, acl: str, user: str) -> Wait[bool]:
    """Whether a user is in the list; not, where the lookup fails."""
    try:
        return (yield from StringList(process, parameter, acl).match(user))
    except TableError:
        return False
