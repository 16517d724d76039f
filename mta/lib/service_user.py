"""``user=name:group`` of a master.cf entry (pipe(8), spawn(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mta.master.server import Process


class ServiceUser(NamedTuple):
    """With whose rights a command runs."""

    uid: int
    gid: int


def service_user(process: Process, text: str, no_user: str, no_group: str) -> ServiceUser:
    """The numbers for ``name`` or ``name:group``.  Fatal where there is no such user or group:
    ``no_user`` and ``no_group`` are the texts before the name.
    """
    accounts = process.system.accounts
    name, _, group = text.partition(":")
    account = accounts.by_name(name)
    if account is None:
        process.log.fatal(no_user + name)
    if not group:
        return ServiceUser(account.uid, account.gid)
    number = accounts.group(group)
    if number is None:
        process.log.fatal(no_group + group)
    return ServiceUser(account.uid, number)
