"""The account that owns the queue and most processes (``mail_owner``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mta.system import Account

if TYPE_CHECKING:
    from mta.master.server import Process

_KEY = "mail_owner"


def mail_owner(process: Process) -> Account:
    """The account.  Where there is none, one with uid and gid 0 and the parameter's name."""
    found = cast(Account | None, process.cache.get(_KEY))
    if found is None:
        name = process.conf.mail_owner
        found = process.system.accounts.by_name(name)
        if found is None:
            found = Account(name, 0, 0, "", "/", "")
        process.cache[_KEY] = found
    return found
